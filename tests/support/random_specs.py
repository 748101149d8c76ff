"""Random specs of every type, edge values included; what contradicts itself among them is refused when it is parsed."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec

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
"""Fields of every type that is one scheduler and has a closed form."""


STEPPED: dict[str, st.SearchStrategy[Fields]] = {
    "SWALR": _fields(
        {"swa_lr": _lr, "anneal_epochs": st.integers(0, 150)}, {"anneal_strategy": st.sampled_from(["cos", "linear"])}
    ),
    "MultiplicativeLR": _fields({"lr_lambda": _factor | st.lists(_factor, min_size=1, max_size=30)}),
}
"""Those that are stepped, one iteration after the other."""

_CHAINED = ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"]


def typed(kind: str) -> st.SearchStrategy[Fields]:
    """A scheduler of a type, its fields drawn."""
    return (SINGLE | STEPPED)[kind].map(lambda fields: {"type": kind, **fields})


CLOSED = st.sampled_from(sorted(SINGLE)).flatmap(typed)
"""One scheduler with a closed form."""

SIMPLE = st.sampled_from(sorted(SINGLE | STEPPED)).flatmap(typed)
"""One scheduler."""

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
"""Warm-ups that take the place of what they stand before."""

DAMPENED = st.fixed_dictionaries(
    {
        "decay_clock": st.just("dampened"),
        "convention": st.sampled_from(["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]),
        "iterations": st.integers(0, 40),
        "shape": st.sampled_from(["linear", "cosine", "log", "1-sqrt", "constant"]),
        "start_factor": st.floats(0.001, 3),
    }
) | st.fixed_dictionaries(
    {
        "decay_clock": st.just("dampened"),
        "shape": st.sampled_from(["radam", "untuned_linear", "untuned_exponential"]),
        "beta2": st.sampled_from([0.9, 0.97]),
    }
)
"""Warm-ups that multiply what they stand before."""


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


def composed(child: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    """Compositions that turn only where their parts do, or at their own ends."""
    return (
        st.builds(_clamp, child, _lr, _lr)
        | st.builds(_stairs, child, st.integers(1, 60))
        | st.builds(_window, child, st.integers(0, 100), _length)
        | st.builds(_cooldown, child, _length, st.sampled_from(["linear", "cosine", "1-sqrt"]), _lr)
        | st.builds(_sequence, st.lists(child, min_size=3, max_size=3), _length, st.integers(1, 50))
    )


def combined(child: st.SearchStrategy[Fields]) -> st.SearchStrategy[Fields]:
    """Products, maxima and minima of two or three."""
    return st.fixed_dictionaries(
        {
            "type": st.sampled_from(["ProductLR", "MaxLR", "MinLR"]),
            "schedulers": st.lists(child, min_size=2, max_size=3),
        }
    )


CHAINS = st.fixed_dictionaries(
    {
        "type": st.just("ChainedScheduler"),
        "schedulers": st.lists(st.sampled_from(_CHAINED).flatmap(typed), min_size=1, max_size=3),
    }
)

ANY = st.recursive(SIMPLE | CHAINS, lambda child: composed(child) | combined(child), max_leaves=4)
"""One scheduler, or several in any composition."""


def whole(spec: Fields) -> Curve:
    """The curve of a spec; what is refused is drawn again."""
    try:
        return Curve(Schedule.of(spec))
    except InvalidSpec:
        assume(False)
        raise
