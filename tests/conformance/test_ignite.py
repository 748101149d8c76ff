"""ignite: warm-ups before real torch schedulers, piecewise lines and cycles, against specs that say the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conformance.comparison import RATES, assert_same, library, lrs, randomly
from reference import optimizer, torch_scheduler

TOTAL = 100


@randomly
@given(
    lr=RATES,
    start=st.just(0.0) | RATES,
    warmup=st.integers(2, 60),
    after=st.one_of(
        st.fixed_dictionaries({"type": st.just("CosineAnnealingLR"), "T_max": st.integers(100, 300)}),
        st.fixed_dictionaries({"type": st.just("StepLR"), "step_size": st.integers(1, 99), "gamma": st.floats(0.1, 1)}),
        st.fixed_dictionaries({"type": st.just("ExponentialLR"), "gamma": st.floats(0.9, 1)}),
    ),
)
def test_a_warmup_reaches_its_peak_one_iteration_early(lr: float, start: float, warmup: int, after: Any) -> None:
    """create_lr_scheduler_with_warmup has the target at W − 1, and the decay from there."""
    handlers: Any = library("ignite.handlers")
    on = optimizer(lr)
    found: list[Any] = [None] * (TOTAL + 1)
    handlers.create_lr_scheduler_with_warmup(
        torch_scheduler(after, on), start, warmup, lr, output_simulated_values=found
    )
    clock = {"iterations": warmup, "start_lr": start, "convention": "n/(W-1)", "decay_clock": "from_peak"}
    assert_same("ignite", lrs(lr, TOTAL, after, **clock), [value for _, value in found], atol=1e-13)


@randomly
@given(milestones=st.dictionaries(st.integers(0, 120), st.just(0.0) | RATES, min_size=1, max_size=8))
def test_piecewise_linear(milestones: dict[int, float]) -> None:
    """PiecewiseLinear is a PiecewiseLR through its milestones."""
    handlers: Any = library("ignite.handlers")
    values = sorted(milestones.items())
    found = handlers.PiecewiseLinear.simulate_values(num_events=TOTAL + 1, param_name="lr", milestones_values=values)
    after = {"type": "PiecewiseLR", "points": [{"at": at, "lr": lr} for at, lr in values]}
    assert_same("ignite", lrs(1.0, TOTAL, after), [lr for _, lr in found], atol=1e-13)


@randomly
@given(high=RATES, low=st.just(0.0) | RATES, half=st.integers(1, 80), is_linear=st.booleans())
def test_cycles(high: float, low: float, half: int, is_linear: bool) -> None:
    """LinearCyclicalScheduler goes there and back as a triangular CyclicLR; CosineAnnealingScheduler restarts."""
    handlers: Any = library("ignite.handlers")
    kind = handlers.LinearCyclicalScheduler if is_linear else handlers.CosineAnnealingScheduler
    length = 2 * half
    found = kind.simulate_values(
        num_events=TOTAL + 1, param_name="lr", start_value=high, end_value=low, cycle_size=length
    )
    triangle = {"type": "CyclicLR", "base_lr": high, "max_lr": low, "step_size_up": half, "cycle_momentum": False}
    restarts = {"type": "CosineRestartsLR", "T_0": length, "min_lr": low}
    ours = lrs(high, TOTAL, triangle if is_linear else restarts)
    assert_same("ignite", ours, [lr for _, lr in found], rtol=1e-9, atol=1e-12)
