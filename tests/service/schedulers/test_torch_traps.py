"""What becomes of torch's traps: each is made right, refused, or kept and named here for what it is."""

import math
from typing import Any

import pytest

from preheat.specs import InvalidSpec
from reference import torch_stepped
from support.specs import curve_after

TARGET = 0.1


def lrs(after_scheduler: dict[str, Any], left: int) -> list[float]:
    """The LRs of a run of `left` iterations without a warm-up."""
    asked = curve_after(after_scheduler, total_iterations=left, warmup=None)
    values: list[float] = asked.window(0, left + 1)[:, 0].tolist()
    return values


def refusal(after_scheduler: dict[str, Any], left: int = 100) -> str:
    """The message with which a spec is refused."""
    with pytest.raises(InvalidSpec) as refused:
        lrs(after_scheduler, left)
    return str(refused.value)


@pytest.mark.parametrize("first_length", [1, 7, 29])
@pytest.mark.parametrize("growth", [2, 3, 4, 5, 7])
def test_warm_restarts_are_made_right(first_length: int, growth: int) -> None:
    """Made right: every cycle starts at the base LR, for every (T_0, T_mult) and at every restart below 10⁷."""
    spec = {"type": "CosineAnnealingWarmRestarts", "T_0": first_length, "T_mult": growth}
    asked = curve_after(spec, total_iterations=10**7, warmup=None)
    restart, length = 0, first_length
    while restart < 10**7:
        assert asked.lr(restart) == [TARGET]
        restart, length = restart + length, length * growth


def test_multiplicative_lr_multiplies_every_iteration() -> None:
    """Made right: asking for iteration 7 gives seven multiplications, where torch's step(7) makes one."""
    spec = {"type": "MultiplicativeLR", "lr_lambda": 0.5}
    assert curve_after(spec, target_lr=1, total_iterations=9, warmup=None).lr(7) == [2**-7]


def test_cosine_climbs_again_past_t_max() -> None:
    """Kept: torch's cosine is periodic, so a T_max shorter than the run brings the LR back up."""
    values = lrs({"type": "CosineAnnealingLR", "T_max": 10}, 20)
    assert values[10] == 0.0
    assert values[20] == pytest.approx(TARGET)


@pytest.mark.parametrize("total_steps", [100, 101])
def test_onecycle_holds_its_end(total_steps: int) -> None:
    """Made right: with total_steps equal to what is left, the last value is held where torch bounces up."""
    values = lrs({"type": "OneCycleLR", "cycle_momentum": False, "max_lr": TARGET, "total_steps": total_steps}, 100)
    assert values[total_steps - 1] == pytest.approx(TARGET / 25 / 1e4, rel=1e-12)
    assert values[100] == values[total_steps - 1]
    expected = torch_stepped(
        {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": TARGET, "total_steps": total_steps}, (TARGET,), 99
    )
    assert values[:100] == pytest.approx([row[0] for row in expected], rel=1e-9)


def test_linear_lr_from_zero_is_refused_with_the_way_around() -> None:
    """Refused, as torch does; the message says that the warm-up starts from 0."""
    assert refusal({"type": "LinearLR", "start_factor": 0}) == (
        "after_scheduler.start_factor (0.0) must be > 0 (torch refuses 0): for a start from 0 use warmup.iterations"
    )


def test_constant_factor_0_is_made_right() -> None:
    """Made right: the LR is 0 until total_iters and then the target, where torch's stepping divides by zero."""
    assert lrs({"type": "ConstantLR", "factor": 0, "total_iters": 3}, 5) == [0, 0, 0, TARGET, TARGET, TARGET]


def test_constant_factor_0_in_a_chain_is_refused() -> None:
    """Refused: a chain must be stepped, so that torch's division by zero could not be avoided."""
    chain = {"type": "ChainedScheduler", "schedulers": [{"type": "ConstantLR", "factor": 0}]}
    assert "schedulers[0].factor (0.0) must be at least 1e-30 in a ChainedScheduler" in refusal(chain)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"type": "CosineAnnealingLR", "T_max": 0}, "T_max"),
        ({"type": "StepLR", "step_size": 0}, "step_size"),
        ({"type": "LinearLR", "total_iters": 0}, "total_iters"),
        ({"type": "PolynomialLR", "total_iters": 0}, "total_iters"),
        ({"type": "CosineAnnealingWarmRestarts", "T_0": 0}, "T_0"),
        ({"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1, "step_size_up": 0}, "step_size_up"),
    ],
)
def test_zero_lengths_are_refused(spec: dict[str, Any], field: str) -> None:
    """Refused: with a length of 0 torch divides by zero or never gets anywhere."""
    assert refusal(spec) == f"after_scheduler.{field} (0) must be ≥ 1"


def test_a_onecycle_rise_of_no_length_is_refused() -> None:
    """Refused: pct_start · total_steps = 1 divides by zero in torch."""
    assert "pct_start (0.01) must not be 1 / total_steps" in refusal(
        {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 1, "pct_start": 0.01, "total_steps": 100}
    )


def test_children_of_a_sequence_restart_from_the_target() -> None:
    """Kept, as in torch: after a decay to 0.1 of the target the next scheduler starts at the target again."""
    decay = {"type": "LinearLR", "start_factor": 1.0, "end_factor": 0.1, "total_iters": 5}
    hold = {"type": "ConstantLR", "factor": 1.0}
    values = lrs({"type": "SequentialLR", "schedulers": [decay, hold], "milestones": [6]}, 8)
    assert values[5:7] == pytest.approx([0.1 * TARGET, TARGET])


def test_unsorted_milestones_are_refused() -> None:
    """Refused: torch takes [5, 3] and never runs the scheduler between."""
    children = [{"type": "ConstantLR"}] * 3
    assert "milestones[1] (3) must be greater than milestones[0] (5)" in refusal(
        {"type": "SequentialLR", "schedulers": children, "milestones": [5, 3]}
    )


def test_composed_children_of_a_sequence_start_at_their_turn() -> None:
    """Made right: torch raises at the milestone, or runs the first such child one step early."""
    inner = {
        "type": "SequentialLR",
        "schedulers": [
            {"type": "ConstantLR", "factor": 0.5, "total_iters": 9},
            {"type": "ExponentialLR", "gamma": 0.5},
        ],
        "milestones": [2],
    }
    chain = {"type": "ChainedScheduler", "schedulers": [{"type": "ExponentialLR", "gamma": 0.5}]}
    values = lrs({"type": "SequentialLR", "schedulers": [inner, chain], "milestones": [4]}, 7)
    assert [value / TARGET for value in values] == pytest.approx([0.5, 0.5, 1, 0.5, 1, 0.5, 0.25, 0.125])


@pytest.mark.parametrize(
    "cycle",
    [
        {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 7.0},
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 3.0, "max_lr": 7.0, "step_size_up": 5},
    ],
)
def test_a_cycle_in_a_sequence_leaves_its_siblings_alone(cycle: dict[str, Any]) -> None:
    """Made right: torch's constructor rewrites initial_lr and rescales the other schedulers."""
    step = {"type": "StepLR", "step_size": 5}
    values = lrs({"type": "SequentialLR", "schedulers": [step, cycle, step], "milestones": [10, 20]}, 29)
    assert values[:10] == values[20:] == pytest.approx([TARGET] * 5 + [TARGET / 10] * 5)
    assert max(values[10:20]) == pytest.approx(7.0, rel=0.05)


@pytest.mark.parametrize(
    "child",
    [
        {"type": "CosineAnnealingWarmRestarts", "T_0": 5},
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1},
        {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 1},
        {"type": "SequentialLR", "schedulers": [{"type": "ConstantLR"}], "milestones": []},
    ],
)
def test_children_that_overwrite_the_others_of_a_chain_are_refused(child: dict[str, Any]) -> None:
    """Refused: torch lets them overwrite the earlier schedulers in silence."""
    message = refusal({"type": "ChainedScheduler", "schedulers": [{"type": "LinearLR"}, child]})
    assert f'schedulers[1].type ("{child["type"]}") cannot be chained' in message


def test_eta_min_above_the_target_makes_the_lr_rise() -> None:
    """Kept, as in torch: eta_min is absolute, so that an LR below it rises to it."""
    values = lrs({"type": "CosineAnnealingLR", "eta_min": 0.2}, 10)
    assert (values[0], values[10]) == pytest.approx((0.1, 0.2))


@pytest.mark.parametrize("kind", ["ReduceLROnPlateau", "LambdaLR"])
def test_code_and_metrics_are_refused_with_the_way_around(kind: str) -> None:
    """Refused: what follows from code or a metric is no schedule; the message says what to use."""
    message = refusal({"type": kind})
    assert message.startswith(f'after_scheduler.type ("{kind}")')
    assert "ExpressionLR" in message or "StepLR" in message


def test_triangular2_does_not_overflow_after_1024_cycles() -> None:
    """Made right: torch raises OverflowError from 2.0 ** 1024; the amplitude is 0 by then."""
    cycle = {
        "type": "CyclicLR",
        "cycle_momentum": False,
        "base_lr": 0.1,
        "max_lr": 1,
        "step_size_up": 1,
        "mode": "triangular2",
    }
    values = lrs(cycle, 5000)
    assert values[:5] == pytest.approx([0.1, 1, 0.1, 0.55, 0.1])
    assert values[2040:] == [0.1] * 2961


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ExponentialLR", "gamma": 1.1},
        {"type": "StepLR", "step_size": 1, "gamma": 10},
        {"type": "MultiplicativeLR", "lr_lambda": 2},
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1, "mode": "exp_range", "gamma": 2},
        {"type": "ChainedScheduler", "schedulers": [{"type": "ExponentialLR", "gamma": 1.01}] * 3},
    ],
)
def test_growth_without_bound_is_refused(spec: dict[str, Any]) -> None:
    """Refused: an LR that would overflow in torch, to infinity or with an error, is found before it is computed."""
    assert refusal(spec, 10_000) == "after_scheduler makes the LR grow beyond 1e100 times target_lr in 10000 steps"


def test_growth_within_bounds_is_not_refused() -> None:
    """Kept: an LR that grows a hundredfold is somebody's range test."""
    assert lrs({"type": "ExponentialLR", "gamma": math.exp(0.1)}, 46)[-1] == pytest.approx(TARGET * math.exp(4.6))


@pytest.mark.parametrize(
    ("cycle", "name"),
    [
        ({"base_lr": 1.0, "max_lr": 0.5, "step_size_up": 5, "gamma": 1.03, "cycle_momentum": False}, "LR"),
        ({"base_lr": [0.1, 1.0], "max_lr": [1.0, 0.5], "step_size_up": 5, "gamma": 1.03}, "LR"),
        ({"base_lr": 1.0, "max_lr": [2.0, 0.5], "step_size_up": 5, "gamma": 1.03}, "LR"),
        ({"base_lr": 0.5, "max_lr": 1.0, "step_size_up": 5, "gamma": 1.08}, "momentum"),
    ],
)
def test_a_cycle_that_grows_until_it_is_negative_is_refused(cycle: dict[str, Any], name: str) -> None:
    """Refused: where gamma > 1 makes an amplitude outgrow the value it is subtracted from, torch serves less than 0."""
    spec = {"type": "CyclicLR", "mode": "exp_range", **cycle}
    groups: list[dict[str, Any]] = [{}, {}] if isinstance(cycle["max_lr"], list) else [{}]
    with pytest.raises(InvalidSpec) as refused:
        curve_after(spec, total_iterations=40, warmup=None, param_groups=groups)
    message = f"after_scheduler.gamma ({cycle['gamma']}) makes the {name} negative within 40 iterations"
    assert str(refused.value) == message


def test_a_cycle_that_grows_and_stays_positive_is_served() -> None:
    """The bound is the amplitude at a top, not at the end of the run: 0.5 · 1.02^35 is just below 1."""
    spec = {"type": "CyclicLR", "mode": "exp_range", "gamma": 1.02, "base_lr": 1.0, "max_lr": 0.5, "step_size_up": 5}
    values = lrs({**spec, "cycle_momentum": False}, 40)
    assert min(values) == pytest.approx(1 - 0.5 * 1.02**35, rel=1e-12)
    assert "gamma (1.0201) makes the LR negative" in refusal({**spec, "gamma": 1.0201, "cycle_momentum": False}, 40)
