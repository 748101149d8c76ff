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
    {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.02, "step_size_up": 4, "step_size_down": 6},
    {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.02, "step_size_up": 5, "mode": "triangular2"},
    {"type": "CyclicLR", "base_lr": 0.001, "max_lr": 0.02, "step_size_up": 9, "mode": "exp_range", "gamma": 0.9},
    {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 51},
    {"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 51, "three_phase": True, "anneal_strategy": "linear"},
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
            "base_lr": _factor,
            "max_lr": _factor,
            "step_size_up": _length,
            "step_size_down": _length,
            "mode": st.sampled_from(["triangular", "triangular2", "exp_range"]),
            "gamma": _factor,
        }
    ),
    st.fixed_dictionaries({"type": st.just("OneCycleLR"), "max_lr": _factor, "pct_start": st.floats(0.25, 0.75)}),
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


ANY = st.one_of(_SIMPLE, _ABSOLUTE, _composed(_SIMPLE | _ABSOLUTE))
"""Valid specs of every type."""
