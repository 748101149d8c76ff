"""Logbooks over REST: what people did to large runs by hand; every LR of every life, by closed formulas."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from running_service import service

AT_ONCE_S = 1e-9
"""Iterations so short that a window is as long as windows may be."""


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """A service of long windows."""
    with service(max_window_iterations=8192) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def run_to(job: RestJob, position: int) -> None:
    """The job runs on until `position` is the next iteration to run."""
    run = job.run()
    while run["position"] < position:
        run = job.ask(min(run["horizon"], position), iteration_s=AT_ONCE_S)


def lane(job: RestJob, attempt: int, start: int, stop: int) -> list[float]:
    """What iterations start … stop − 1 ran at in an attempt and those before it, all of it on record as used."""
    window = {"attempt": attempt, "start": start, "stop": stop}
    record = job.http.get(f"{job.path}/lr", params=window).raise_for_status().json()
    assert {part["certainty"] for part in record["parts"]} == {"used"}
    lrs: list[float] = record["groups"][0]["lr"]
    return lrs


PEAK, WARMUP, TOTAL = 3.75e-5, 2_000, 500_000
IDEFICS: dict[str, Any] = {
    "target_lr": PEAK,
    "total_iterations": TOTAL,
    "warmup": WARMUP,
    "after_scheduler": {"type": "CosineAnnealingLR"},
}


def cosine(n: int) -> float:
    """The schedule as published: a warm-up, then a cosine to 0."""
    if n <= WARMUP:
        return PEAK * n / WARMUP
    return PEAK * (1 + math.cos(math.pi * (n - WARMUP) / (TOTAL - WARMUP))) / 2


@dataclass(frozen=True)
class Life:
    """A life of the job: its first iteration, the one that it came to, and what was asked for before it began.

    `published`: what its own iterations ran at, `changed` the operation that holds from its first one on.
    """

    start: int
    last: int
    published: Callable[[int], float]
    changed: dict[str, Any] | None = None


LIVES = [
    Life(1, 15_611, cosine),
    Life(14_501, 16_700, lambda n: 0.75 * cosine(n), {"op": "scale", "factor": 0.75}),
    Life(16_251, 17_000, lambda n: 0.75 * cosine(n)),  # a bad GPU
    Life(16_251, 20_686, lambda _: 1.875e-5, {"op": "hold", "value": 1.875e-5}),
    Life(20_687, 23_800, lambda _: 1.875e-5),  # in place
    Life(23_251, 25_500, lambda _: 1.875e-5),
    Life(25_001, 29_800, lambda _: 1.875e-5),
    Life(29_001, 30_800, lambda _: 3.75e-5, {"op": "scale", "factor": 2.0}),
    Life(30_251, 30_900, lambda _: 1.875e-5, {"op": "hold", "value": 1.875e-5}),
    Life(30_501, 34_900, lambda _: 1.875e-5),
    Life(34_001, 39_036, lambda _: 9.375e-6, {"op": "scale", "factor": 0.5}),
]
"""IDEFICS-80B. Where the log does not say how far a life came before the job went back, a few hundred iterations."""


def published(lives: list[Life], n: int) -> float:
    """The LR of an iteration in the last of some lives: its own, or that of the life that it goes on from."""
    return next(life for life in reversed(lives) if life.start <= n).published(n)


def test_the_logbook_of_idefics_80b(http: httpx.Client) -> None:
    """Eleven lives and five changes; each life's whole line, and what was left of each is what it was to the end."""
    job = RestJob(http, IDEFICS)
    for number, life in enumerate(LIVES, start=1):
        if life.changed is not None:
            job.change(**life.changed, why="it diverged", confirm=True)
            answer = job.send("rollback", {"after": life.start - 1, "changes": "from-here", "why": "it diverged"})
            assert answer.json()["rollback"]["position"] == life.start
        job.attach(life.start, checkpoint=None if number == 1 else job.checkpoint(life.start))
        assert job.run()["rollback"] is None
        run_to(job, life.last + 1)
    job.http.post(f"{job.path}/finish").raise_for_status()
    for number, life in enumerate(LIVES, start=1):
        expected = [published(LIVES[:number], n) for n in range(1, life.last + 1)]
        assert lane(job, number, 1, life.last + 1) == pytest.approx(expected, rel=1e-12, abs=0), number
    effects = [change["effect"] for change in http.get(f"{job.path}/changes").json()["changes"]]
    assert effects == [life.start for life in LIVES if life.changed is not None]
    # Those whose first LR is another than the one before it, by the table above: 1 (from nothing) is none of them.
    jumps = [event["data"]["attempt"] for event in job.events() if event["kind"] == "lr-jump"]
    assert jumps == [2, 4, 8, 9, 11]


def test_lr_0_for_300_iterations_at_night_with_nobody_awake(http: httpx.Client) -> None:
    """BLOOM-104B: asked for in the evening, in force for 300 iterations, and then as if it had not been."""
    job = RestJob(http, IDEFICS)
    job.attach()
    run_to(job, 3_000)
    evening = job.run()["horizon"]
    asked = job.change("hold", value=0.0, at=evening + 700, for_iterations=300, why="let Adam's moments settle")
    assert (asked["change"]["effect"], asked["change"]["stop"]) == (evening + 700, evening + 1_000)
    run_to(job, evening + 2_000)  # the job alone
    night = range(evening + 700, evening + 1_000)
    found = lane(job, 1, 1, evening + 2_000)
    assert [n for n, lr in enumerate(found, start=1) if lr == 0.0] == list(night)
    expected = [0.0 if n in night else cosine(n) for n in range(1, evening + 2_000)]
    assert found == pytest.approx(expected, rel=1e-12, abs=0)


def test_times_0_9_from_the_next_iteration_that_nobody_has(http: httpx.Client) -> None:
    """By a person who looked, and saw by a dry run what it would be."""
    job = RestJob(http, IDEFICS)
    job.attach()
    run_to(job, 100)
    horizon = job.run()["horizon"]
    shown = job.dry_run(factor=0.9).json()["after"]["values"]
    expected = {n: cosine(n) * (0.9 if n >= horizon else 1.0) for n in (horizon - 1, horizon, horizon + 1)}
    assert {n: shown[str(n)]["default"] for n in expected} == {
        n: pytest.approx(lr, rel=1e-12) for n, lr in expected.items()
    }
    assert job.change(factor=0.9)["effect"]["iteration"] == horizon
    run_to(job, horizon + 500)
    everything = [cosine(n) * (0.9 if n >= horizon else 1.0) for n in range(1, horizon + 500)]
    assert lane(job, 1, 1, horizon + 500) == pytest.approx(everything, rel=1e-12, abs=0)


def test_a_gradient_clip_of_0_3_in_the_place_of_1(http: httpx.Client) -> None:
    """OPT-175B: a hyperparameter's column is changed as LRs are, which go on as they were."""
    job = RestJob(http, {**IDEFICS, "hyperparameters": {"gradient_clip": 1.0}})
    job.attach()
    window = job.ask(1, iteration_s=0.1)
    assert window["groups"][0]["hyperparameters"]["gradient_clip"] == [1.0] * (window["stop"] - 1)
    changed = job.change("hold", value=0.3, hyperparameter="gradient_clip", why="gradient norms of 2 and more")
    start = changed["effect"]["iteration"]
    assert start == window["stop"]
    after = job.ask(start, iteration_s=0.1)
    group = after["groups"][0]
    assert group["hyperparameters"]["gradient_clip"] == [0.3] * (after["stop"] - start)
    assert group["lr"] == pytest.approx([cosine(n) for n in range(start, after["stop"])], rel=1e-12, abs=0)
