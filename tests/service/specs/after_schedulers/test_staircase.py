"""StaircaseLR: any scheduler, held at the multiples of a number of iterations."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from after_schedulers import ANY, LEFT, TOTAL, WARMUP
from preheat.curve import Curve
from preheat.specs import InvalidSpec
from support.specs import curve_after, first_column, spec


def staircase(child: dict[str, Any], hold: Any, total: int = TOTAL, **fields: Any) -> Curve:
    """The curve of a scheduler that is held."""
    return curve_after({"type": "StaircaseLR", "scheduler": child, "hold": hold}, total_iterations=total, **fields)


@settings(max_examples=200, deadline=None)
@given(child=ANY, hold=st.integers(1, 80), warmup=st.integers(0, 20), steps=st.integers(1, 70))
def test_the_lr_is_that_of_the_last_multiple(child: dict[str, Any], hold: int, warmup: int, steps: int) -> None:
    """Of any scheduler after any warm-up, to the last bit: read one by one, as a list, at every distance."""
    child = {**child, "cycle_momentum": False} if child["type"] in {"CyclicLR", "OneCycleLR"} else child
    total = max(TOTAL, warmup + LEFT)  # room for every scheduler
    free = first_column(curve_after(child, total_iterations=total, warmup=warmup))
    asked = staircase(child, hold, total, warmup=warmup)
    lrs = first_column(asked)
    last = warmup or -1
    held = [n // hold * hold for n in range(total + 1)]
    assert [lr for n, lr in enumerate(lrs) if n <= last] == free[: last + 1]
    assert [lr for n, lr in enumerate(lrs) if held[n] > last] == [free[stair] for stair in held if stair > last]
    # Between the two the scheduler is at its own 0, which the warm-up hides.
    assert len({lr for n, lr in enumerate(lrs) if held[n] <= last < n}) <= 1
    assert [asked.lr(n)[0] for n in reversed(range(total + 1))] == lrs[::-1]
    assert asked.window(0, total + 1, steps)[:, 0].tolist() == lrs[::steps]


@pytest.mark.parametrize(
    ("n", "expected"), [(0, 1.0), (9, 1.0), (10, 0.9), (19, 0.9), (20, 0.8), (99, 0.1), (100, 0.0)]
)
def test_a_stair_begins_at_the_multiple(n: int, expected: float) -> None:
    """At both sides of a multiple; at the end of the run, if that is one, the scheduler's own end."""
    after = {"type": "StaircaseLR", "scheduler": {"type": "PolynomialDecayLR"}, "hold": 10}
    asked = curve_after(after, target_lr=1.0, total_iterations=100, warmup=None)
    assert asked.lr(n)[0] == pytest.approx(expected)


def test_stairs_are_those_of_the_run_and_not_of_the_scheduler() -> None:
    """After a warm-up of 10 with a hold of 7, the first stair of its own begins at iteration 14."""
    lrs = first_column(staircase({"type": "CosineLR"}, 7))
    changes = [n for n in range(WARMUP + 1, TOTAL + 1) if lrs[n] != lrs[n - 1]]
    assert changes == [14, 21, 28, 35, 42, 49, 56]
    assert lrs[WARMUP : WARMUP + 4] == [lrs[WARMUP]] * 4


def test_an_epoch_may_be_held() -> None:
    """The hold is a duration; one that is no whole number of iterations would run away from the epochs."""
    after = {"type": "StaircaseLR", "scheduler": {"type": "CosineLR"}}
    found = spec({**after, "hold": "2ep"}, units={"iterations_per_epoch": 12.5})
    assert found.after_scheduler is not None
    assert found.after_scheduler.model_dump()["hold"] == 25
    with pytest.raises(InvalidSpec, match=r"hold \(\"1ep\"\) must be whole iterations, and is 12.5 here"):
        spec({**after, "hold": "1ep"}, units={"iterations_per_epoch": 12.5})
    with pytest.raises(InvalidSpec, match=r"warmup.hold \(\"1ep\"\) must be whole iterations"):
        spec(None, units={"iterations_per_epoch": 31.25}, warmup={"iterations": 10, "hold": "1ep"})


def test_where_the_stairs_begin_is_filled_in_and_held_against_the_run() -> None:
    """What an answer has filled in may be sent again where it still holds."""
    after = {"type": "StaircaseLR", "scheduler": {"type": "CosineLR"}, "hold": 7, "start": WARMUP}
    assert spec(after) == spec({**after, "start": None})
    with pytest.raises(InvalidSpec, match=r"after_scheduler.start \(3\) must be 10 here, or left out"):
        spec({**after, "start": 3})


@pytest.mark.parametrize(("hold", "rule"), [(0, "must be ≥ 1"), (None, "whole number"), ("0.1ep", "counts epochs")])
def test_a_hold_is_at_least_one_iteration(hold: Any, rule: str) -> None:
    """Refused by field, value and rule."""
    with pytest.raises(InvalidSpec, match=rf"after_scheduler.hold .*{rule}"):
        staircase({"type": "CosineLR"}, hold)


def test_a_long_run_is_answered_anywhere() -> None:
    """A closed form stays one: the last iteration of 10¹² is computed directly."""
    after = {"type": "StaircaseLR", "scheduler": {"type": "PolynomialDecayLR"}, "hold": 10**6}
    asked = curve_after(after, target_lr=1.0, total_iterations=10**12, warmup=None)
    assert asked.has_closed_form
    assert asked.lr(10**12 - 1)[0] == pytest.approx(1e-6)
    assert asked.window(0, 10**12, 10**11)[:, 0].tolist() == pytest.approx([1 - k / 10 for k in range(10)])


def test_stages_of_the_scheduler_begin_with_a_stair() -> None:
    """The decay of a WSDLR that begins at own iteration 46 is seen from 49, in iterations of the run 56."""
    child = {"type": "WSDLR", "decay_length": LEFT - 45}
    phases = staircase(child, 7).schedule.spec.phases
    assert [(phase.name, phase.start) for phase in phases][-2:] == [("stable", 11), ("linear decay", 56)]
