import itertools
import math
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reference import REFERENCE_SPEC
from rest import post, posted_id, problem
from running_service import wait_until

SLOW: dict[str, Any] = {
    "target_lr": 1,
    "total_iterations": 3_000_000,
    "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.999999},
}
"""A schedule that has to be stepped, for half a minute to its end."""


def test_too_long_is_503_and_says_when_to_come_back(service_with: Callable[..., httpx.Client]) -> None:
    """A computation that takes longer than the setting is stopped, and the problem names the setting."""
    answer = post(service_with(compute_timeout_s=0.01), SLOW, start=3_000_000)
    assert "compute_timeout_s (0.01 s)" in problem(answer, 503, "compute-timeout")["detail"]
    assert answer.headers["retry-after"] == "1"


def test_meanwhile_others_are_answered(watched: Any) -> None:
    """A long computation keeps neither liveness nor another schedule's LR waiting for its end."""
    time_passed, looks = [0.0], itertools.count()

    def clock() -> float:
        next(looks)
        return time_passed[0]

    window = f"/v1/schedules/{posted_id(watched.http, REFERENCE_SPEC)}/lr"
    slow_window = f"/v1/schedules/{posted_id(watched.http, SLOW)}/lr?start=3000000"
    watched.set_deadline(1.0, clock)
    answers: list[httpx.Response] = []
    slow = threading.Thread(target=lambda: answers.append(watched.http.get(slow_window)))
    slow.start()
    try:
        wait_until(lambda: next(looks) > 10, 30)  # it computes, block by block
        for address in ("/livez", f"{window}/7", f"{window}/7?", window):
            assert watched.http.get(address).status_code == 200
        assert slow.is_alive()
    finally:
        time_passed[0] = 2.0
        slow.join(60)
    assert answers[0].status_code == 503


def test_meanwhile_a_large_spec_is_validated(watched: Any) -> None:
    """A point is looked up on the event loop, which a spec of 250 groups, each of ten schedulers, does not hold."""
    scheduler = {
        "type": "SequentialLR",
        "schedulers": [{"type": "ConstantLR", "factor": 0.5}] * 10,
        "milestones": list(range(1, 10)),
    }
    groups = [{"name": f"g{n}", "target_lr": 0.1, "after_scheduler": scheduler} for n in range(250)]
    # Too long a run, which is found at the very end of validation: nothing is computed.
    spec = {"target_lr": 0.1, "total_iterations": 10**13, "param_groups": groups}
    point = f"/v1/schedules/{posted_id(watched.http, REFERENCE_SPEC)}/lr/7"
    assert watched.http.get(point).status_code == 200
    answers: list[httpx.Response] = []
    posting = threading.Thread(target=lambda: answers.append(post(watched.http, spec)))
    posting.start()
    looked_up = 0
    while posting.is_alive():
        assert watched.http.get(point).status_code == 200
        looked_up += 1
    problem(answers[0], 422, "limit-exceeded")
    # A loop that is held answers one before, and the next when all is over.
    assert looked_up > 5


def test_asking_again_gets_further(watched: Any) -> None:
    """What was computed is kept: enough attempts arrive at the answer, though each may look at only ten blocks."""
    path = f"/v1/schedules/{posted_id(watched.http, {**SLOW, 'total_iterations': 300_000})}/lr?start=300000"
    statuses = []
    for _ in range(20):
        watched.set_deadline(10, itertools.count().__next__)
        statuses.append((answer := watched.http.get(path)).status_code)
        if answer.is_success:
            break
    assert statuses[0] == 503
    assert statuses[-1] == 200
    (lr,) = answer.json()["groups"][0]["lr"]
    assert lr == pytest.approx(math.exp(300_000 * math.log(0.999999)), rel=1e-9)
