"""LearningRateWarmUP on its own, in a training script."""

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import (
    ASGD,
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
)
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    LambdaLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from after_schedulers import EXAMPLES, LEFT, TOTAL, WARMUP, example_id
from preheat.schedulers import LearningRateWarmUP
from reference import REFERENCE_ROWS, optimizer, torch_scheduler, torch_stepped


def lrs(of: Optimizer) -> list[float]:
    """The LR of each param group."""
    return [float(group["lr"]) for group in of.param_groups]


def reference_scheduler(on: Optimizer) -> LearningRateWarmUP:
    """The warm-up of the design's reference table."""
    return LearningRateWarmUP(on, 10, 0.01, CosineAnnealingLR(on, T_max=10))


def test_a_training_loop_reads_the_reference_table() -> None:
    """`step(n)` before update n sets the printed LR, for n = 1 … 20."""
    on = optimizer(0.01)
    scheduler = reference_scheduler(on)
    used = []
    for n in range(1, 21):
        scheduler.step(n)
        used.append(str(on.param_groups[0]["lr"]))
        on.step()
    assert used == list(REFERENCE_ROWS)
    assert scheduler.get_last_lr() == [0.0]


def test_construction_sets_iteration_0() -> None:
    """Before the first step the LR is 0 with a warm-up, and after_scheduler's first one without."""
    on = optimizer(0.01)
    assert LearningRateWarmUP(on, 4, 0.01).get_last_lr() == lrs(on) == [0.0]
    on = optimizer(0.01)
    assert LearningRateWarmUP(on, 0, 0.01).get_last_lr() == lrs(on) == [0.01]


def test_step_without_an_iteration_takes_the_next() -> None:
    """`step()` after each update walks 1, 2, 3, … as torch's schedulers do."""
    on = optimizer(0.01)
    scheduler = reference_scheduler(on)
    for row in REFERENCE_ROWS:
        scheduler.step()
        assert str(on.param_groups[0]["lr"]) == row


def test_without_an_after_scheduler_the_target_is_held() -> None:
    """Past W every group stays at its target."""
    on = optimizer(0.1, 0.2)
    scheduler = LearningRateWarmUP(on, 4, [0.1, 0.2])
    scheduler.step(2)
    assert lrs(on) == [0.05, 0.1]
    scheduler.step(1_000_000)
    assert lrs(on) == [0.1, 0.2]


def test_one_target_serves_every_param_group() -> None:
    """A number is the target of all groups."""
    on = optimizer(0.1, 0.1, 0.1)
    LearningRateWarmUP(on, 4, 0.1).step(3)
    assert lrs(on) == [0.1 * 3 / 4] * 3


@pytest.mark.parametrize("after_scheduler", EXAMPLES, ids=example_id)
def test_torchs_own_scheduler_follows_the_warmup(after_scheduler: dict[str, Any]) -> None:
    """Iteration W + s has the LR of iteration s of the scheduler that the user built, asked in any order."""
    on = optimizer(0.01, 0.1)
    scheduler = LearningRateWarmUP(on, WARMUP, [0.01, 0.1], torch_scheduler(after_scheduler, on))
    expected = torch_stepped(after_scheduler, (0.01, 0.1), LEFT)
    for s in (*range(1, LEFT + 1), 3, LEFT, 1, 17):
        on.step()
        scheduler.step(WARMUP + s)
        assert lrs(on) == pytest.approx(expected[s], rel=1e-9, abs=1e-14)
        scheduler.step(5)
        assert lrs(on) == [0.005, 0.05]


@pytest.mark.parametrize("after_scheduler", [None, *EXAMPLES], ids=lambda spec: example_id(spec) if spec else "none")
def test_a_saved_state_continues_bit_for_bit_from_every_iteration(after_scheduler: dict[str, Any] | None) -> None:
    """A fresh scheduler that loads the state of iteration n gives n + 1, n + 2, … exactly as the first would have."""

    def build() -> tuple[SGD, LearningRateWarmUP]:
        on = optimizer(0.01)
        after = None if after_scheduler is None else torch_scheduler(after_scheduler, on)
        on.step()
        return on, LearningRateWarmUP(on, WARMUP, 0.01, after)

    on, scheduler = build()
    states, rows = [], []
    for n in range(TOTAL + 1):
        scheduler.step(n)
        states.append(copy.deepcopy(scheduler.state_dict()))
        rows.append(lrs(on))
    for n, state in enumerate(states):
        resumed_on, resumed = build()
        resumed.load_state_dict(state)
        assert (lrs(resumed_on), resumed.get_last_lr(), resumed.last_epoch) == (rows[n], rows[n], n)
        for later in range(n + 1, min(n + 4, TOTAL + 1)):
            resumed.step()
            assert lrs(resumed_on) == rows[later]


def test_state_goes_through_torch_save(tmp_path: Any) -> None:
    """The state is data: torch.save and torch.load with weights_only keep it."""
    scheduler = reference_scheduler(optimizer(0.01))
    scheduler.step(13)
    torch.save(scheduler.state_dict(), tmp_path / "state.pt")
    on = optimizer(0.01)
    resumed = reference_scheduler(on)
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.step()
    assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[13]


@pytest.mark.parametrize(
    ("warmup_iteration", "target_lr", "message"),
    [
        (9, 0.01, r"warmup_iteration of the state \(10\) must equal 9"),
        (10, 0.02, r"target_lrs of the state \(\[0.01\]\)"),
    ],
)
def test_a_state_of_another_warmup_is_refused(warmup_iteration: int, target_lr: float, message: str) -> None:
    """A state with another length or target is refused, so that loading never changes the warm-up."""
    state = LearningRateWarmUP(optimizer(0.01), 10, 0.01).state_dict()
    with pytest.raises(ValueError, match=message):
        LearningRateWarmUP(optimizer(0.01), warmup_iteration, target_lr).load_state_dict(state)


def test_a_state_without_an_after_scheduler_is_refused_by_one_with() -> None:
    """A state that has no after_scheduler cannot be loaded where there is one."""
    state = LearningRateWarmUP(optimizer(0.01), 10, 0.01).state_dict()
    with pytest.raises(ValueError, match="after_scheduler"):
        reference_scheduler(optimizer(0.01)).load_state_dict(state)


def test_tensor_lrs_are_filled_in_place() -> None:
    """The Tensor in the param group stays the same object and has the new value."""
    lr = torch.tensor(0.01, dtype=torch.float64)
    on = Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    held = on.param_groups[0]["lr"]
    scheduler = reference_scheduler(on)
    for n, row in enumerate(REFERENCE_ROWS, start=1):
        scheduler.step(n)
        assert on.param_groups[0]["lr"] is held
        assert held.item() == pytest.approx(float(row), rel=1e-12)
    last = scheduler.get_last_lr()[0]
    scheduler.step(5)
    assert float(last) == 0.0


@pytest.mark.parametrize(
    "kind", [SGD, Adam, AdamW, NAdam, RAdam, Adamax, Adadelta, Adagrad, ASGD, LBFGS, RMSprop, Rprop]
)
def test_any_torch_optimizer_will_do(kind: Callable[..., Optimizer]) -> None:
    """With every optimizer of torch, iteration 12 has the LR of the reference table."""
    on = kind([torch.zeros(1, requires_grad=True)], lr=0.01)
    scheduler = reference_scheduler(on)
    scheduler.step(12)
    assert [str(lr) for lr in lrs(on)] == [REFERENCE_ROWS[11]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((-1, 0.01), ValueError, r"warmup_iteration \(-1\) must be ≥ 0"),
        ((2.5, 0.01), TypeError, r"warmup_iteration \(2\.5\) must be an int"),
        ((True, 0.01), TypeError, r"warmup_iteration \(True\) must be an int"),
        ((5, math.nan), ValueError, r"target_lr \(nan\) must be finite"),
        ((5, math.inf), ValueError, r"target_lr \(inf\) must be finite"),
        ((5, -0.1), ValueError, r"target_lr \(-0\.1\) must be finite and ≥ 0"),
        ((5, [0.1, 0.2]), ValueError, "must have one entry per param group: 1, not 2"),
        ((5, 0.01, object()), TypeError, r"after_scheduler \(object\) must be a torch LRScheduler"),
    ],
)
def test_wrong_arguments_are_refused_with_their_value(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    """A wrong argument is refused with a message that names argument, value and rule."""
    with pytest.raises(error, match=message):
        LearningRateWarmUP(optimizer(0.01), *arguments)


def test_an_optimizer_is_required() -> None:
    """A list in the place of the optimizer is refused by its type."""
    with pytest.raises(TypeError, match=r"optimizer \(list\) must be a torch.optim.Optimizer"):
        LearningRateWarmUP([], 5, 0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize("iteration", [-1, -10])
def test_a_negative_iteration_is_refused(iteration: int) -> None:
    """An iteration below 0 is refused, since nothing is before iteration 0."""
    with pytest.raises(ValueError, match=rf"cur_iteration \({iteration}\) must be ≥ 0"):
        LearningRateWarmUP(optimizer(0.01), 5, 0.01).step(iteration)


def test_an_after_scheduler_of_another_optimizer_is_refused() -> None:
    """A scheduler on another optimizer is refused: it would set LRs that nobody trains with."""
    with pytest.raises(ValueError, match=r"after_scheduler \(StepLR\) must be on the same optimizer"):
        LearningRateWarmUP(optimizer(0.01), 5, 0.01, StepLR(optimizer(0.01), 3))


def test_an_after_scheduler_that_starts_elsewhere_is_refused() -> None:
    """An optimizer built with another LR than the target is refused: its LR would jump when the warm-up ends."""
    on = optimizer(0.1)
    with pytest.raises(
        ValueError, match=r"target_lr \(0\.01\) must equal .* \(0\.1\): build the optimizer with lr=0\.01"
    ):
        LearningRateWarmUP(on, 5, 0.01, StepLR(on, 3))


def test_an_after_scheduler_that_was_stepped_is_refused() -> None:
    """A scheduler that was stepped is refused, since its iteration 0 must be where the warm-up ends."""
    on = optimizer(0.01)
    after = StepLR(on, 3)
    on.step()
    after.step()
    with pytest.raises(ValueError, match="after_scheduler must be fresh, not at iteration 1"):
        LearningRateWarmUP(on, 5, 0.01, after)


def test_reduce_on_plateau_is_refused() -> None:
    """ReduceLROnPlateau is refused: it follows a metric, and has no LR at an iteration."""
    on = optimizer(0.01)
    with pytest.raises(TypeError, match="ReduceLROnPlateau"):
        LearningRateWarmUP(on, 5, 0.01, ReduceLROnPlateau(on))


def test_lambda_lr_with_absolute_rates_follows() -> None:
    """A user's LambdaLR is read at its own iteration; a base LR of 1 is fine if it starts at the target."""
    on = optimizer(1.0)
    scheduler = LearningRateWarmUP(on, 4, 0.01, LambdaLR(on, lambda s: 0.01 / (s + 1)))
    scheduler.step(4 + 3)
    assert lrs(on) == [0.01 / 4]


@pytest.mark.parametrize("after", [StepLR, MultiplicativeLR])
def test_the_first_step_before_the_first_update_does_not_warn(after: Callable[..., LRScheduler]) -> None:
    """`step(1)` stands before update 1, which torch would take for a mistake."""
    on = optimizer(0.01)
    argument: Any = 1 if after is StepLR else lambda _: 0.5
    scheduler = LearningRateWarmUP(on, 0, 0.01, after(on, argument))
    scheduler.step(1)
    assert lrs(on)[0] < 0.01


def test_onecycle_cycles_momentum_as_torch_does() -> None:
    """The momentum of iteration W + s is that of torch's OneCycleLR after s steps."""
    on, torch_on = optimizer(0.1), optimizer(0.1)
    scheduler = LearningRateWarmUP(on, 5, 0.1, OneCycleLR(on, max_lr=0.1, total_steps=30))
    alone = OneCycleLR(torch_on, max_lr=0.1, total_steps=30)
    for s in range(1, 30):
        torch_on.step()
        alone.step()
        scheduler.step(5 + s)
        assert on.param_groups[0]["momentum"] == torch_on.param_groups[0]["momentum"]


def test_warm_restarts_come_out_where_torchs_logarithm_rounds_to_the_wrong_cycle() -> None:
    """T_mult = 3 at epoch 121 · T_0 is a restart: the base LR, where torch's step(epoch) gives 0."""
    on = optimizer(0.1)
    scheduler = LearningRateWarmUP(on, 0, 0.1, CosineAnnealingWarmRestarts(on, T_0=1, T_mult=3))
    scheduler.step(121)
    assert lrs(on) == [0.1]
    alone = CosineAnnealingWarmRestarts(optimizer(0.1), T_0=1, T_mult=3)
    alone.step(121)
    assert alone.get_last_lr() == pytest.approx([0.0]), (
        "torch has mended its bug: read the design's list of traps again"
    )
