"""pytorch_warmup: its warm-ups, dampening real torch schedulers, against dampened warm-ups."""

from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from conformance.comparison import RATES, assert_same, library, lrs, randomly, stepped
from reference import torch_scheduler

_after = st.one_of(
    st.fixed_dictionaries({"type": st.just("CosineAnnealingLR"), "T_max": st.integers(150, 300)}),
    st.fixed_dictionaries({"type": st.just("StepLR"), "step_size": st.integers(1, 99), "gamma": st.floats(0.1, 1)}),
    st.fixed_dictionaries({"type": st.just("ExponentialLR"), "gamma": st.floats(0.9, 1)}),
)


@randomly
@given(
    kind=st.sampled_from(["LinearWarmup", "UntunedLinearWarmup", "UntunedExponentialWarmup", "RAdamWarmup"]),
    period=st.integers(1, 150),
    beta2=st.sampled_from([0.9, 0.95, 0.98, 0.99]) | st.floats(0.7, 0.99),
    lr=RATES,
    after=_after,
)
def test_a_dampened_warmup_is_that_of_the_library(kind: str, period: int, beta2: float, lr: float, after: Any) -> None:
    """Every LR of 150 iterations: an untuned warm-up follows from β2."""
    warmups = library("pytorch_warmup")
    on = torch.optim.Adam([torch.zeros(1)], lr=lr, betas=(0.9, beta2))
    scheduler = torch_scheduler(after, on)
    is_linear = kind == "LinearWarmup"
    warmup = warmups.LinearWarmup(on, period) if is_linear else getattr(warmups, kind)(on)

    def step(_: int) -> None:
        with warmup.dampening():
            scheduler.step()

    shapes = {"UntunedLinearWarmup": "untuned_linear", "UntunedExponentialWarmup": "untuned_exponential"}
    fields = (
        {"iterations": period, "convention": "(n+1)/W"}
        if is_linear
        else {"shape": shapes.get(kind, "radam"), "beta2": beta2}
    )
    theirs = stepped(on, step, 150)
    assert_same("pytorch_warmup", lrs(lr, 150, after, decay_clock="dampened", **fields), theirs, atol=1e-13)
