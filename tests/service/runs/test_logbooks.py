"""Logbooks: what people did to large runs by hand, said as changes of a run; LRs computed in plain math."""

import math
from typing import Any

import pytest

from live_runs.script import CONSTANT, LIMITS, Script
from preheat.runs.limits import Limits
from preheat.runs.record import entry

IDEFICS: dict[str, Any] = {
    "target_lr": 3.75e-5,
    "total_iterations": 500_000,
    "warmup": 2_000,
    "after_scheduler": {"type": "CosineAnnealingLR"},
}


def _cosine(n: int) -> float:
    if n <= 2_000:
        return 3.75e-5 * n / 2_000
    return 3.75e-5 * (1 + math.cos(math.pi * (n - 2_000) / 498_000)) / 2


# Lives of the job: from the first iteration of each on, the LR as published.
_LIVES = [
    (1, 15_612, _cosine),
    (14_501, 16_900, lambda n: _cosine(n) if n < 14_501 else 0.75 * _cosine(n)),
    (16_251, 17_100, lambda n: _cosine(n) if n < 14_501 else 0.75 * _cosine(n)),
    (16_251, 20_687, lambda n: 1.875e-5 if n >= 16_251 else 0.75 * _cosine(n)),
    (20_687, 23_900, lambda _: 1.875e-5),
    (23_251, 25_600, lambda _: 1.875e-5),
    (25_001, 29_900, lambda _: 1.875e-5),
    (29_001, 30_900, lambda n: 3.75e-5 if n >= 29_001 else 1.875e-5),
    (30_251, 31_000, lambda n: 1.875e-5 if n >= 30_251 else 3.75e-5),
    (30_501, 35_000, lambda n: 1.875e-5 if n >= 30_251 else 3.75e-5),
    (34_001, 39_037, lambda n: 9.375e-6 if n >= 34_001 else 1.875e-5),
]

# What a person asked for before the life of this index: an operation that goes on from where the job goes back to.
_CHANGES: dict[int, dict[str, Any]] = {
    1: {"op": "scale", "factor": 0.75},
    3: {"op": "hold", "value": 1.875e-5},
    7: {"op": "scale", "factor": 2.0, "confirm": True},
    8: {"op": "hold", "value": 1.875e-5},
    10: {"op": "scale", "factor": 0.5},
}


def test_the_logbook_of_idefics_80b() -> None:
    """Eleven lives, five changes: every life has its own lane, and each change begins where the job went back to."""
    job = Script(IDEFICS, Limits(window_cap=4096, first_window=2000))
    for life, (k, end, _) in enumerate(_LIVES):
        if life in _CHANGES:
            job.change(**_CHANGES[life])
            job.roll_back(k - 1, "from-here")
        job.attach(k, checkpoint=bool(life))
        assert job.run.rollback is None
        job.run_to(end)
    for life, (k, end, published) in enumerate(_LIVES, start=1):
        places = {k, k + 1, (k + end) // 2, end - 1, 14_500, 14_501, 16_250, 16_251, 29_000, 30_250, 34_000}
        for n in sorted(place for place in places if k - 300 <= place < end):
            assert job.lr(n, life) == pytest.approx(published(n), rel=1e-12, abs=0), (life, n)
            found = entry(job.run, life, n)
            assert found is not None
            assert found.certainty == "used"
    assert job.kinds().count("attached") == len(_LIVES)
    assert job.kinds().count("rolled-back") == len(_CHANGES)


def test_times_0_9_from_the_next_iteration_that_nobody_has() -> None:
    """Without `at` a factor holds from H on, and what has been handed out stays."""
    job = Script()
    job.attach()
    window = job.ask(1)
    assert (window.start, window.stop) == (1, 11)
    assert job.change(factor=0.9).effect == 11
    assert [job.lr(n) for n in (1, 10, 11, 1000)] == [0.1, 0.1, 0.1 * 0.9, 0.1 * 0.9]


def test_lr_0_for_300_iterations_at_night_with_nobody_awake() -> None:
    """BLOOM-104B: asked for in the evening, in force for 300 iterations, and then as if it had not been."""
    cosine = {**CONSTANT, "total_iterations": 2000, "after_scheduler": {"type": "CosineAnnealingLR"}}
    job = Script(cosine, LIMITS)
    job.attach()
    job.change("hold", value=0.0, at=700, for_iterations=300)
    job.run_to(1100)

    def planned(n: int) -> float:
        return 0.1 * (1 + math.cos(math.pi * n / 2000)) / 2

    expected = {n: 0.0 if 700 <= n < 1000 else planned(n) for n in (1, 699, 700, 701, 999, 1000, 1001, 1099)}
    assert {n: job.lr(n) for n in expected} == {
        n: pytest.approx(lr, rel=1e-12, abs=1e-17) for n, lr in expected.items()
    }


def test_a_gradient_clip_is_a_change_like_any_other() -> None:
    """OPT-175B: 1.0 to 0.3 while LRs go on."""
    job = Script({**CONSTANT, "hyperparameters": {"gradient_clip": 1.0}})
    job.attach()
    job.change("hold", value=0.3, hyperparameter="gradient_clip", at=50)
    curve = job.shelf.curve(job.run.schedule_id)
    assert [curve.lr(n) for n in (49, 50)] == [[0.1, 1.0], [0.1, 0.3]]
