"""Turning points: the few iterations at which a track's lowest and highest LR are looked for."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from preheat.curve import Curve
from preheat.specs import InvalidSpec, Track
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from support.specs import curve_after

Fields = dict[str, Any]

_length = st.integers(1, 150)
_lr = st.floats(0, 2) | st.sampled_from([0.0, 0.1, 1.0])
_factor = st.floats(0, 1.5) | st.just(1.0)
_end = st.sampled_from([{}, {"min_lr": 0.001}, {"min_lr": 0.5}, {"min_ratio": 0.2}, {"min_ratio": 3.0}])
_bool = st.booleans()


def _fields(required: dict[str, Any], optional: dict[str, Any] | None = None) -> st.SearchStrategy[Fields]:
    return st.fixed_dictionaries(required, optional=optional)  # type: ignore[arg-type]


def _decay(**fields: Any) -> st.SearchStrategy[Fields]:
    """The fields of a Decay, with one end LR or none."""
    return st.builds(lambda own, end: own | end, _fields({}, {"length": _length, **fields}), _end)


def _ascending(most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(1, most), min_size=1, max_size=6, unique=True).map(sorted)


_points = st.lists(
    st.tuples(st.integers(0, 160), st.sampled_from(["lr", "factor"]), st.floats(1e-3, 2)),
    min_size=1,
    max_size=8,
    unique_by=lambda point: point[0],
).map(lambda points: [{"at": at, field: value} for at, field, value in sorted(points)])

_phase = _fields(
    {"length": st.integers(1, 40)},
    {
        "shape": st.sampled_from(["linear", "cosine", "exponential", "1-sqrt"]),
        "from": st.floats(1e-3, 2),
    },
).flatmap(lambda fields: st.floats(1e-3, 2).map(lambda to: fields | {"to": to}))

_periods = st.lists(st.integers(1, 30), min_size=1, max_size=9)

SINGLE: dict[str, st.SearchStrategy[Fields]] = {
    "StepLR": _fields({"step_size": _length, "gamma": _factor}),
    "MultiStepLR": _fields({"milestones": _ascending(50), "gamma": _factor}),
    "ConstantLR": _fields({"factor": st.floats(0, 1), "total_iters": _length}),
    "LinearLR": _fields({"start_factor": st.floats(0.01, 1), "end_factor": st.floats(0, 1), "total_iters": _length}),
    "ExponentialLR": _fields({"gamma": st.floats(0, 1.1)}),
    "PolynomialLR": _fields({"total_iters": _length, "power": st.floats(0, 4)}),
    "CosineAnnealingLR": _fields({"eta_min": _lr}, {"T_max": _length}),
    "CosineAnnealingWarmRestarts": _fields({"T_0": _length, "T_mult": st.integers(1, 4), "eta_min": _lr}),
    "CyclicLR": _fields(
        {
            "base_lr": _lr,
            "max_lr": _lr,
            "step_size_up": _length,
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": st.floats(0, 1.2) | st.floats(0.9, 1.02),
        },
        {"step_size_down": _length},
    ),
    "OneCycleLR": _fields(
        {"max_lr": _lr},
        {
            "pct_start": st.floats(0, 1),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "three_phase": _bool,
            "div_factor": st.floats(0.1, 50),
            "final_div_factor": st.floats(0.1, 1e4),
        },
    ),
    "PolynomialDecayLR": _decay(power=st.floats(0, 4), cycle=_bool),
    # Past 200 half waves only some of them are looked at.
    "CosineLR": _decay(num_cycles=st.floats(0.1, 90), exponent=st.floats(0, 4)),
    "KDecayLR": _decay(k=st.floats(0.1, 5), shape=st.sampled_from(["cosine", "polynomial"]), power=st.floats(0, 4)),
    "TanhLR": _decay(lower=st.floats(-8, 8), upper=st.floats(-8, 8)),
    "REXLR": _decay(),
    "ExponentialDecayLR": _fields(
        {"decay_rate": st.floats(0.001, 3)}, {"decay_length": _length, "staircase": _bool, "min_lr": _lr}
    ),
    "InverseTimeLR": _fields({"decay_rate": st.floats(0.01, 5), "decay_length": _length}, {"staircase": _bool}),
    "InverseSqrtLR": _fields({}, {"timescale": _length, "shift": st.integers(0, 50)}),
    "NoamLR": _fields({"d_model": st.integers(1, 999), "warmup_iterations": _length}, {"factor": st.floats(0.1, 3)}),
    # Cycles of more than 200 different lengths need a run far longer than brute force can walk.
    "CosineRestartsLR": _fields(
        {"T_0": _length},
        {"T_mult": st.floats(0.3, 3), "decay": st.floats(0.1, 1.5), "cycles": st.integers(1, 9), "min_lr": _lr},
    )
    | _fields({"periods": _periods}, {"decay": st.floats(0.1, 1.5), "min_lr": _lr})
    | _periods.flatmap(
        lambda periods: _fields(
            {
                "periods": st.just(periods),
                "weights": st.lists(st.floats(0, 2), min_size=len(periods), max_size=len(periods)),
            }
        )
    ),
    "WSDLR": _decay(
        decay_length=st.integers(0, 150),
        decay=st.sampled_from(["linear", "cosine", "1-sqrt", "power", "exponential"]),
        power=st.floats(0.1, 4),
        decay_ratio=st.floats(1e-6, 0.999),
    ),
    "FlatCosineLR": _decay(flat_length=st.integers(0, 150)),
    "TriStageLR": _fields(
        {
            "warmup_iterations": st.integers(0, 50),
            "hold_iterations": st.integers(0, 50),
            "decay_iterations": _length,
            "init_ratio": st.floats(0, 1),
            "final_ratio": st.floats(0.01, 1),
        }
    ),
    "SlantedTriangularLR": _fields({}, {"length": _length, "cut_share": st.floats(0, 1), "ratio": st.floats(1, 99)}),
    "RangeTestLR": _fields(
        {"start_lr": st.floats(0.001, 2)},
        {"length": _length, "mode": st.sampled_from(["linear", "exponential"]), "stair_length": st.integers(1, 20)},
    ),
    "PhasesLR": _fields({"phases": st.lists(_phase, min_size=1, max_size=5)}),
    "PiecewiseLR": _fields(
        {"points": _points, "interpolation": st.sampled_from(["linear", "cosine", "exponential", "step"])}
    ),
    "TableLR": _fields(
        {"values": st.lists(_lr, min_size=1, max_size=30)}, {"are_factors": _bool, "hold": st.integers(1, 9)}
    ),
}
"""Fields of every type that is one scheduler and has a closed form: only of those turning points are asked for."""

COMPOSED = {"ClampLR", "WindowLR", "CooldownLR", "SequentialLR", "StaircaseLR"}
"""Compositions that turn only where their parts do, or at their own ends."""

NOT_TOLD = {"ExpressionLR", "ProductLR", "MaxLR", "MinLR"}
"""A user's formula turns anywhere, a product between its parts' turns, a maximum or minimum where two parts cross."""


def typed(kind: str) -> st.SearchStrategy[Fields]:
    """A scheduler of a type, its fields drawn."""
    return SINGLE[kind].map(lambda fields: {"type": kind, **fields})


_any = st.sampled_from(sorted(SINGLE)).flatmap(typed)

WARMUPS = st.fixed_dictionaries(
    {"iterations": st.integers(0, 40)},
    optional={
        "start_lr": st.floats(1e-3, 2),
        "shape": st.sampled_from(["linear", "power", "cosine", "log", "1-sqrt", "constant"]),
        "hold": st.integers(1, 9),
        "convention": st.sampled_from(["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]),
        "decay_clock": st.sampled_from(["after_warmup", "from_peak", "from_zero", "meets_decay"]),
    },
)


def whole(after_scheduler: Fields, **fields: Any) -> Curve:
    """A curve; what contradicts itself is drawn again."""
    try:
        return curve_after(after_scheduler, **fields)
    except InvalidSpec:
        assume(False)
        raise


def check(asked: Curve, track: Track, start: int, stop: int) -> None:
    """The ends and the turning points have the extremes of start … stop − 1, found by looking at every iteration."""
    points = sorted({start, stop - 1, *track.turning_points(start, stop)})
    assert start <= points[0]
    assert points[-1] < stop
    every = asked.window(start, stop)[:, list(track.columns)]
    # torch's own LinearLR to end_factor 0 ends at −5.6e-18 for some start factors: rounding, by less than one ulp of b.
    assert (every >= -1e-15).all()
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
    check_somewhere(data, whole(after, total_iterations=200, warmup=warmup))


def _clamp(child: Fields, low: float, high: float) -> Fields:
    return {"type": "ClampLR", "scheduler": child, "min_lr": low, "max_lr": low + high}


def _window(child: Fields, begin: int, length: int) -> Fields:
    return {"type": "WindowLR", "scheduler": child, "begin": begin, "end": begin + length}


def _cooldown(child: Fields, length: int, shape: str, low: float) -> Fields:
    return {"type": "CooldownLR", "scheduler": child, "length": length, "shape": shape, "min_lr": low}


def _sequence(children: list[Fields], first: int, second: int) -> Fields:
    return {"type": "SequentialLR", "schedulers": children, "milestones": [first, first + second]}


def _stairs(child: Fields, hold: int) -> Fields:
    return {"type": "StaircaseLR", "scheduler": child, "hold": hold}


@settings(max_examples=150)
@given(
    data=st.data(),
    after=st.builds(_stairs, _any, st.integers(1, 60))
    | st.builds(_clamp, _any, _lr, _lr)
    | st.builds(_window, _any, st.integers(0, 100), _length)
    | st.builds(_cooldown, _any, _length, st.sampled_from(["linear", "cosine", "1-sqrt"]), _lr)
    | st.builds(_sequence, st.lists(_any, min_size=3, max_size=3), _length, st.integers(1, 50)),
)
def test_a_composition_has_its_extremes_at_its_turning_points(data: st.DataObject, after: Fields) -> None:
    """Clamped, within a window, before a cool-down or one after the other, schedulers turn where each of them does."""
    check_somewhere(data, whole(after, total_iterations=200))


@settings(max_examples=150)
@given(data=st.data(), child=_any, hold=st.integers(2, 9))
def test_many_stairs_have_their_extremes_beside_where_the_scheduler_turns(
    data: st.DataObject, child: Fields, hold: int
) -> None:
    """Of more stairs than are looked at one by one, the lowest and the highest are beside the scheduler's turns."""
    check_somewhere(data, whole(_stairs(child, hold), total_iterations=2000))
