"""One spec of every after_scheduler, and a strategy for many; all for 50 iterations after a warm-up of 10."""

from typing import Any

from hypothesis import strategies as st

WARMUP, LEFT = 10, 50
TOTAL = WARMUP + LEFT

EXAMPLES: list[dict[str, Any]] = [
    {"type": "StepLR", "step_size": 7},
    {"type": "MultiStepLR", "milestones": [5, 20, 50], "gamma": 0.5},
    {"type": "ConstantLR", "factor": 0.25, "total_iters": 12},
    {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.0, "total_iters": 40},
    {"type": "ExponentialLR", "gamma": 0.9},
    {"type": "PolynomialLR", "total_iters": 45, "power": 2.0},
    {"type": "CosineAnnealingLR", "T_max": 50},
    {"type": "CosineAnnealingLR", "T_max": 13, "eta_min": 0.001},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 7},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 3, "T_mult": 2, "eta_min": 0.001},
    {
        "type": "CyclicLR",
        "cycle_momentum": False,
        "base_lr": 0.001,
        "max_lr": 0.02,
        "step_size_up": 4,
        "step_size_down": 6,
    },
    {
        "type": "CyclicLR",
        "cycle_momentum": False,
        "base_lr": 0.001,
        "max_lr": 0.02,
        "step_size_up": 5,
        "mode": "triangular2",
    },
    {
        "type": "CyclicLR",
        "cycle_momentum": False,
        "base_lr": 0.001,
        "max_lr": 0.02,
        "step_size_up": 9,
        "mode": "exp_range",
        "gamma": 0.9,
    },
    {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 0.1, "total_steps": 51},
    {
        "type": "OneCycleLR",
        "cycle_momentum": False,
        "max_lr": 0.1,
        "total_steps": 51,
        "three_phase": True,
        "anneal_strategy": "linear",
    },
    {"type": "SWALR", "swa_lr": 0.002},
    {"type": "SWALR", "swa_lr": 0.05, "anneal_epochs": 30, "anneal_strategy": "linear"},
    {"type": "MultiplicativeLR", "lr_lambda": 0.95},
    {"type": "MultiplicativeLR", "lr_lambda": [0.5, 2.0, 0.1]},
    {
        "type": "SequentialLR",
        "schedulers": [
            {"type": "LinearLR", "total_iters": 8},
            {"type": "CosineAnnealingLR", "T_max": 20},
            {"type": "ExponentialLR", "gamma": 0.8},
        ],
        "milestones": [8, 28],
    },
    {
        "type": "SequentialLR",
        "schedulers": [
            {"type": "StepLR", "step_size": 4},
            {"type": "SWALR", "swa_lr": 0.002},
            {"type": "MultiplicativeLR", "lr_lambda": 0.95},
        ],
        "milestones": [15, 35],
    },
    {
        "type": "ChainedScheduler",
        "schedulers": [{"type": "LinearLR", "total_iters": 8}, {"type": "ExponentialLR", "gamma": 0.9}],
    },
]
"""All of these behave in torch as its documentation says, so that stepping torch gives the expected values."""

SHAPES: list[dict[str, Any]] = [
    {"type": "PolynomialDecayLR"},
    {"type": "PolynomialDecayLR", "length": 40, "power": 2.5, "min_lr": 0.001},
    {"type": "PolynomialDecayLR", "length": 12, "cycle": True, "min_ratio": 0.1},
    {"type": "CosineLR"},
    {"type": "CosineLR", "length": 33, "min_ratio": 0.1, "exponent": 1.7},
    {"type": "CosineLR", "num_cycles": 2.25, "min_lr": 0.001},
    {"type": "CosineRestartsLR", "T_0": 7, "decay": 0.5, "min_lr": 0.0001},
    {"type": "CosineRestartsLR", "T_0": 5, "T_mult": 1.5, "decay": 0.8},
    {"type": "CosineRestartsLR", "T_0": 16, "T_mult": 0.5},
    {"type": "CosineRestartsLR", "T_0": 11, "T_mult": 0.7, "cycles": 3, "min_lr": 0.001},
    {"type": "CosineRestartsLR", "T_0": 4, "T_mult": 2, "cycles": 3},
    {"type": "CosineRestartsLR", "periods": [10, 5, 20], "weights": [1.0, 0.5, 0.25], "min_lr": 0.0001},
    {"type": "CosineRestartsLR", "periods": [10, 15], "decay": 0.5},
    {"type": "WSDLR"},
    {"type": "WSDLR", "decay_length": 20, "decay": "cosine", "min_ratio": 0.1},
    {"type": "WSDLR", "decay_length": 20, "decay": "1-sqrt", "min_lr": 0.001},
    {"type": "WSDLR", "decay_length": 50, "decay": "power", "power": 2.0},
    {"type": "WSDLR", "length": 45, "decay_length": 30, "decay": "exponential"},
    {"type": "WSDLR", "decay_length": 30, "decay": "exponential", "decay_ratio": 0.1},
    {"type": "WSDLR", "decay_length": 0},
    {"type": "WSDLR", "length": 30, "decay_length": 0, "min_ratio": 0.1},
    {"type": "FlatCosineLR"},
    {"type": "FlatCosineLR", "flat_length": 10, "length": 40, "min_ratio": 1e-5},
    {"type": "InverseSqrtLR"},
    {"type": "InverseSqrtLR", "timescale": 7, "shift": 3},
    {"type": "NoamLR", "d_model": 512, "warmup_iterations": 20, "factor": 2.0},
    {"type": "TriStageLR", "warmup_iterations": 5, "hold_iterations": 20, "decay_iterations": 20, "final_ratio": 0.05},
    {"type": "TriStageLR", "warmup_iterations": 0, "hold_iterations": 0, "decay_iterations": 50},
    {"type": "SlantedTriangularLR"},
    {"type": "SlantedTriangularLR", "length": 40, "cut_share": 0.33, "ratio": 10.0},
    {"type": "InverseTimeLR", "decay_rate": 0.5, "decay_length": 9},
    {"type": "InverseTimeLR", "decay_rate": 0.5, "decay_length": 9, "staircase": True},
    {"type": "ExponentialDecayLR", "decay_rate": 0.01},
    {"type": "ExponentialDecayLR", "decay_rate": 0.5, "decay_length": 8, "staircase": True, "min_lr": 0.001},
    {"type": "KDecayLR", "k": 1.5},
    {"type": "KDecayLR", "k": 0.6, "shape": "polynomial", "power": 2.0, "length": 40, "min_lr": 0.001},
    {"type": "TanhLR"},
    {"type": "TanhLR", "lower": -4.0, "upper": 4.0, "length": 40, "min_ratio": 0.05},
    {"type": "REXLR"},
    {"type": "REXLR", "length": 40, "min_lr": 0.001},
    {"type": "RangeTestLR"},
    {"type": "RangeTestLR", "start_lr": 0.001, "mode": "linear", "stair_length": 5, "length": 40},
    {
        "type": "PhasesLR",
        "phases": [
            {"length": 10},
            {"shape": "cosine", "length": 9, "to": 0.003},
            {"shape": "exponential", "length": 6, "to": 0.001},
            {"shape": "linear", "length": 8, "from": 0.002, "to": 0.005},
            {"shape": "1-sqrt", "to": 0.0},
        ],
    },
    {
        "type": "PhasesLR",
        "phases": [
            {"shape": "exponential", "length": 10, "to_factor": 3.0},
            {"shape": "cosine", "length": 9, "to_factor": 0.5},
            {"length": 5, "from_factor": 0.25},
            {"shape": "exponential", "length": 8, "to": 0.001},
            {"shape": "linear", "to_factor": 0.0},
        ],
    },
    {"type": "PiecewiseLR", "points": [{"at": 3, "lr": 0.01}, {"at": 20, "factor": 0.5}, {"at": 45, "lr": 0.0}]},
    *(
        {
            "type": "PiecewiseLR",
            "interpolation": interpolation,
            "points": [{"at": 0, "factor": 1.0}, {"at": 20, "lr": 0.5}, {"at": 30, "lr": 0.001}],
        }
        for interpolation in ("cosine", "exponential", "step")
    ),
    {"type": "TableLR", "values": [0.1, 0.3, 0.05, 0.2]},
    {"type": "TableLR", "values": [1.0, 0.5, 0.7], "are_factors": True, "hold": 8},
]
"""One spec or more of every shape that torch lacks."""

COMPOSITIONS: list[dict[str, Any]] = [
    {"type": "ProductLR", "schedulers": [{"type": "CosineLR"}, {"type": "ExponentialLR", "gamma": 0.97}]},
    {"type": "MaxLR", "schedulers": [{"type": "CosineLR"}, {"type": "CosineAnnealingWarmRestarts", "T_0": 8}]},
    {"type": "MinLR", "schedulers": [{"type": "CosineLR"}, {"type": "MultiplicativeLR", "lr_lambda": 0.97}]},
    {"type": "ClampLR", "scheduler": {"type": "CosineRestartsLR", "T_0": 9}, "min_ratio": 0.2, "max_lr": 0.015},
    {"type": "WindowLR", "scheduler": {"type": "CosineLR"}, "begin": 10, "end": 40},
    {"type": "WindowLR", "scheduler": {"type": "SWALR", "swa_lr": 0.001}, "begin": 10},
    {"type": "CooldownLR", "scheduler": {"type": "InverseSqrtLR"}, "length": 12, "shape": "1-sqrt"},
    {"type": "CooldownLR", "scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.97}, "length": 12},
    {"type": "StaircaseLR", "scheduler": {"type": "CosineLR"}, "hold": 7},
    {"type": "StaircaseLR", "scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.97}, "hold": 4},
    {"type": "ExpressionLR", "expression": "0.95 ** n + s / N / 10"},
]
"""Compositions, and an expression."""


def example_id(spec: dict[str, Any]) -> str:
    """A name for a parametrised test."""
    return "-".join([spec["type"], *(str(value) for value in spec.values() if isinstance(value, str | bool))][:3])


_factor = st.floats(0.05, 1.0)
_length = st.integers(1, 60)

_SIMPLE = st.one_of(
    st.fixed_dictionaries({"type": st.just("StepLR"), "step_size": _length, "gamma": _factor}),
    st.fixed_dictionaries(
        {
            "type": st.just("MultiStepLR"),
            "milestones": st.lists(st.integers(1, 9), min_size=1, unique=True).map(sorted),
            "gamma": _factor,
        }
    ),
    st.fixed_dictionaries({"type": st.just("ConstantLR"), "factor": _factor, "total_iters": _length}),
    st.fixed_dictionaries(
        {"type": st.just("LinearLR"), "start_factor": _factor, "end_factor": _factor, "total_iters": _length}
    ),
    st.fixed_dictionaries({"type": st.just("ExponentialLR"), "gamma": _factor}),
    st.fixed_dictionaries({"type": st.just("PolynomialLR"), "total_iters": _length, "power": st.floats(0.5, 3)}),
    st.fixed_dictionaries({"type": st.just("MultiplicativeLR"), "lr_lambda": _factor}),
    st.fixed_dictionaries({"type": st.just("SWALR"), "swa_lr": _factor, "anneal_epochs": _length}),
)

_ABSOLUTE = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("CosineAnnealingLR"), "T_max": _length, "eta_min": st.sampled_from([0.0, 0.001])}
    ),
    st.fixed_dictionaries(
        {"type": st.just("CosineAnnealingWarmRestarts"), "T_0": _length, "T_mult": st.integers(1, 4)}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("CyclicLR"),
            "cycle_momentum": st.just(False),
            "base_lr": _factor,
            "max_lr": _factor,
            "step_size_up": _length,
            "step_size_down": _length,
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": _factor,
        }
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("OneCycleLR"),
            "cycle_momentum": st.just(False),
            "max_lr": _factor,
            "pct_start": st.floats(0.25, 0.75),
        }
    ),
)


def _composed(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    sequences = st.integers(2, 3).flatmap(
        lambda count: st.fixed_dictionaries(
            {
                "type": st.just("SequentialLR"),
                "schedulers": st.lists(children, min_size=count, max_size=count),
                "milestones": st.just([10, 30][: count - 1]),
            }
        )
    )
    chains = st.fixed_dictionaries(
        {"type": st.just("ChainedScheduler"), "schedulers": st.lists(_SIMPLE, min_size=1, max_size=3)}
    )
    return sequences | chains


_OURS = st.sampled_from([*SHAPES, *COMPOSITIONS])

ANY = st.one_of(_SIMPLE, _ABSOLUTE, _OURS, _composed(_SIMPLE | _ABSOLUTE))
"""Valid specs of every type."""
