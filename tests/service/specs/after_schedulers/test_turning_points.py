"""Turning points: the few iterations at which a track's lowest and highest LR are looked for."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preheat.curve import Curve
from preheat.specs import Track
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from support.random_specs import CLOSED, SINGLE, WARMUPS, Fields, composed, typed, whole

RUN = {"target_lr": 0.1, "total_iterations": 200}

COMPOSED = {"ClampLR", "WindowLR", "CooldownLR", "SequentialLR", "StaircaseLR"}
"""Compositions that turn only where their parts do, or at their own ends."""

NOT_TOLD = {"ExpressionLR", "ProductLR", "MaxLR", "MinLR"}
"""A user's formula turns anywhere, a product between its parts' turns, a maximum or minimum where two parts cross."""


REPEATING = {
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CosineRestartsLR",
    "CyclicLR",
    "PolynomialDecayLR",
    "TableLR",
}
"""Types whose lowest and highest LR may be told without every place where they turn."""


def check(asked: Curve, track: Track, start: int, stop: int) -> None:
    """The ends and the turning points have the extremes of start … stop − 1, found by looking at every iteration."""
    points = sorted({start, stop - 1, *track.turning_points(start, stop)})
    assert start <= points[0]
    assert points[-1] < stop
    every = asked.window(start, stop)[:, list(track.columns)]
    few = every[[point - start for point in points]]
    assert few.min(axis=0) == pytest.approx(every.min(axis=0), rel=1e-12, abs=1e-15)
    assert few.max(axis=0) == pytest.approx(every.max(axis=0), rel=1e-12, abs=1e-15)


def check_somewhere(data: st.DataObject, asked: Curve) -> None:
    """The whole run and a window of it."""
    start = data.draw(st.integers(0, asked.total_iterations - 1), "start")
    stop = data.draw(st.integers(start + 1, asked.total_iterations + 1), "stop")
    for track in asked.schedule.spec.tracks:
        check(asked, track, 0, asked.total_iterations + 1)
        check(asked, track, start, stop)


def test_every_type_is_asked_for_its_turning_points() -> None:
    """A new type with a closed form is drawn here, or is named as one whose turning points cannot be told."""
    stepped = {name for name, model in SCHEDULER_TYPES.items() if not model.has_closed_form}
    assert {*SINGLE, *COMPOSED, *NOT_TOLD, *stepped} == set(SCHEDULER_TYPES)


@pytest.mark.parametrize("kind", SINGLE)
@settings(max_examples=40)
@given(data=st.data())
def test_a_scheduler_has_its_extremes_at_its_turning_points(kind: str, data: st.DataObject) -> None:
    """In any window, after any warm-up, the lowest and the highest LR are at its ends or at the turning points."""
    after, warmup = data.draw(typed(kind), "after_scheduler"), data.draw(WARMUPS, "warmup")
    check_somewhere(data, whole({**RUN, "warmup": warmup, "after_scheduler": after}))


@settings(max_examples=150)
@given(data=st.data(), after=composed(CLOSED), warmup=WARMUPS)
def test_a_composition_has_its_extremes_at_its_turning_points(data: st.DataObject, after: Fields, warmup: Any) -> None:
    """Clamped, within a window, before a cool-down or one after the other, schedulers turn where each of them does."""
    check_somewhere(data, whole({**RUN, "warmup": warmup, "after_scheduler": after}))


@settings(max_examples=150)
@given(data=st.data(), child=CLOSED, hold=st.integers(2, 9))
def test_many_stairs_have_their_extremes_beside_where_the_scheduler_turns(
    data: st.DataObject, child: Fields, hold: int
) -> None:
    """Of more stairs than are looked at one by one; where the scheduler repeats itself, that cannot be told."""
    after = {"type": "StaircaseLR", "scheduler": child, "hold": hold}
    asked = whole({**RUN, "total_iterations": 2000, "after_scheduler": after})
    [track] = asked.schedule.spec.tracks
    is_proved = not track.unproved(0, 2001)
    assert is_proved or child["type"] in REPEATING
    if is_proved:
        check_somewhere(data, asked)
