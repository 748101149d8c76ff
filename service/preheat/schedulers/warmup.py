"""LearningRateWarmUP: a warm-up to the target LR, and the torch scheduler that follows it."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR, ReduceLROnPlateau
from typing_extensions import override

from preheat.formula.language import compiled, substituted
from preheat.schedulers.closed_forms import LRs, shift
from preheat.schedulers.compositions import Composite
from preheat.schedulers.random_access import current_rates, random_access, set_rates
from preheat.specs import Warmup


class LearningRateWarmUP(LRScheduler):
    """Warm-up to `target_lr`, then `after_scheduler`.

    At iteration n ≤ W = warmup_iteration every param group has target_lr · n / W: 0 at n = 0, target_lr at n = W.
    At n > W, and at n = 0 if W is 0, it has the LR of `after_scheduler` at its own iteration n − W; without one,
    target_lr. Another `curve` has its own LRs, and its own idea of where `after_scheduler` begins. Construction sets
    iteration 0.

    Args:
        optimizer: any torch optimizer; Tensor LRs are filled in place.
        warmup_iteration: W ≥ 0, in iterations.
        target_lr: finite and ≥ 0; a number for every param group, or one per group.
        after_scheduler: a fresh torch scheduler on the same optimizer, whose LRs start from target_lr. (CyclicLR and
            OneCycleLR have LRs of their own.) None holds the target.
        curve: the warm-up; by default linear over warmup_iteration.

    Raises:
        TypeError: an argument of the wrong type, or ReduceLROnPlateau, which follows a metric.
        ValueError: an argument out of bounds; the message has its value.

    Asking for iterations in any order gives, bit for bit, the LRs of asking for them in turn.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_iteration: int,
        target_lr: float | Sequence[float],
        after_scheduler: LRScheduler | None = None,
        *,
        curve: "WarmupCurve | None" = None,
    ) -> None:
        _check_optimizer(optimizer)
        _check_warmup_iteration(warmup_iteration)
        self.warmup_iteration = warmup_iteration
        self.target_lrs = _target_lrs(target_lr, len(optimizer.param_groups))
        if after_scheduler is not None:
            _check_after_scheduler(after_scheduler, optimizer, self.target_lrs)
        self.after_scheduler = after_scheduler
        self.curve = curve or LinearWarmup(warmup_iteration)
        # Before super().__init__, which asks for the LRs of iteration 0.
        self._after = None if after_scheduler is None else random_access(after_scheduler)
        super().__init__(optimizer)

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration is computed without stepping to it."""
        return self._after is None or self._after.has_closed_form

    def step(self, cur_iteration: int | None = None) -> None:
        """Sets every param group to the LR of iteration `cur_iteration`, by default the next one.

        Raises ValueError if it is negative.
        """
        iteration = self.last_epoch + 1 if cur_iteration is None else cur_iteration
        if iteration < 0:
            raise ValueError(f"cur_iteration ({cur_iteration}) must be ≥ 0")
        set_rates(self.optimizer, self.rates(range(iteration, iteration + 1)))
        self.last_epoch = iteration
        self._step_count += 1
        self._last_lr = current_rates(self.optimizer)

    def rates(self, iterations: range) -> LRs:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on.

        Where the scheduler has a closed form, the optimizer's LRs stay as they are; else they are those of the last.
        """
        curve = self.curve
        if curve.dampens:
            return self._dampened_rates(iterations)
        if curve.meets is not None:
            return self._meeting_rates(iterations, curve.meets)
        # `last` itself belongs to the warm-up; by default its LR there is exactly the target.
        if iterations.start > curve.last:
            return self._after_rates(iterations)
        within = bisect_right(iterations, curve.last)
        rates = list(curve.rates(iterations[:within], [float(lr) for lr in self.target_lrs]))
        return rates + self._after_rates(iterations[within:]) if within < len(iterations) else rates

    @override
    def get_lr(self) -> LRs:
        """Learning rates at `last_epoch`."""
        return self.rates(range(self.last_epoch, self.last_epoch + 1))

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where warm-up and `after_scheduler` stand."""
        return {
            "last_epoch": self.last_epoch,
            "warmup_iteration": self.warmup_iteration,
            "target_lrs": self.target_lrs,
            "_last_lr": self._last_lr,
            "after_scheduler": self._after and self._after.state_dict(),
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on, bit for bit, from where the state was taken, and sets the param groups' LRs to what they were.

        Raises ValueError if the state is that of another warm-up.
        """
        for name in ("warmup_iteration", "target_lrs"):
            if state_dict[name] != getattr(self, name):
                raise ValueError(f"{name} of the state ({state_dict[name]}) must equal {getattr(self, name)}")
        if (state_dict["after_scheduler"] is None) != (self._after is None):
            raise ValueError("the state must have an after_scheduler exactly if this warm-up has one")
        if self._after is not None:
            self._after.load_state_dict(state_dict["after_scheduler"])
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = state_dict["_last_lr"]
        set_rates(self.optimizer, self._last_lr)

    def _after_rates(self, iterations: range) -> LRs:
        if self._after is None:
            return self.target_lrs * len(iterations)
        return self._after.rates(shift(iterations, -self.curve.origin))

    def _dampened_rates(self, iterations: range) -> LRs:
        """The LRs that follow, times the warm-up's factor as long as it lasts."""
        rates: Any = self._after_rates(iterations)
        within = bisect_right(iterations, self.curve.last)
        factors: Any = self.curve.rates(iterations[:within], [1.0])
        groups = len(self.target_lrs)
        damped = [lr * factors[place // groups] for place, lr in enumerate(rates[: within * groups])]
        return [*damped, *rates[within * groups :]]

    def _meeting_rates(self, iterations: range, meets: int) -> LRs:
        """The LRs that follow, and until they are met the warm-up's way there."""
        # All of them, and in this order: as everywhere, the scheduler is left at the last of the iterations.
        met = self._after_rates(range(meets, meets + 1))
        rates = self._after_rates(iterations)
        within = bisect_right(iterations, self.curve.last)
        rising = self.curve.rates(iterations[:within], list(zip(self.target_lrs, met, strict=True)))
        return [*rising, *rates[within * len(self.target_lrs) :]]


class WarmupCurve(Protocol):
    """LRs of iterations 0 … `last`, −1 if there is no warm-up.

    `origin` is the iteration at which the following scheduler's clock is 0; `dampens` says that `rates` are factors of
    its LRs, and not LRs; `meets` is the iteration whose LR of the following scheduler the warm-up goes to, and None if
    it goes to the target: then every entry of `target_lrs` is a pair of the target and that LR.
    """

    last: int
    origin: int
    dampens: bool
    meets: int | None

    def rates(self, iterations: range, target_lrs: Sequence[Any]) -> LRs:
        """Every group's LR at the first of the iterations, at the second, and so on."""
        ...


class LinearWarmup(WarmupCurve):
    """target_lr · n / W at n ≤ W."""

    dampens = False
    meets = None

    def __init__(self, warmup_iteration: int) -> None:
        self.last = warmup_iteration or -1
        self.origin = self._warmup = warmup_iteration

    @override
    def rates(self, iterations: range, target_lrs: Sequence[Any]) -> LRs:
        return [target_lr * n / self._warmup for n in iterations for target_lr in target_lrs]


class FormulaWarmup(WarmupCurve):
    """The warm-up of a normalised spec, by its formula."""

    def __init__(self, warmup: Warmup) -> None:
        self.last, self.origin, self.dampens = warmup.last, warmup.origin, warmup.dampens
        self.meets = warmup.peak if warmup.meets_decay else None
        base = "b, m" if warmup.meets_decay else "b"
        self._formula = compiled(substituted(warmup.formula(), {"n": "s"}), base) if warmup.iterations else None

    @override
    def rates(self, iterations: range, target_lrs: Sequence[Any]) -> LRs:
        return [] if self._formula is None else self._formula(iterations, target_lrs)  # type: ignore[return-value]


def _check_optimizer(optimizer: Optimizer) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer ({type(optimizer).__name__}) must be a torch.optim.Optimizer")


def _check_warmup_iteration(warmup_iteration: int) -> None:
    if not isinstance(warmup_iteration, int) or isinstance(warmup_iteration, bool):
        raise TypeError(f"warmup_iteration ({warmup_iteration!r}) must be an int")
    if warmup_iteration < 0:
        raise ValueError(f"warmup_iteration ({warmup_iteration}) must be ≥ 0")


def _target_lrs(target_lr: float | Sequence[float], groups: int) -> LRs:
    target_lrs = list(target_lr) if isinstance(target_lr, Sequence) else [target_lr] * groups
    if len(target_lrs) != groups:
        raise ValueError(
            f"target_lr ({target_lr}) must have one entry per param group: {groups}, not {len(target_lrs)}"
        )
    for value in target_lrs:
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"target_lr ({value}) must be finite and ≥ 0")
    return [float(value) for value in target_lrs]


def _check_after_scheduler(after_scheduler: LRScheduler, optimizer: Optimizer, target_lrs: LRs) -> None:
    if isinstance(after_scheduler, ReduceLROnPlateau):
        raise TypeError("after_scheduler (ReduceLROnPlateau) must not follow a metric: its LR has no iteration")
    if not isinstance(after_scheduler, LRScheduler):
        raise TypeError(f"after_scheduler ({type(after_scheduler).__name__}) must be a torch LRScheduler")
    if after_scheduler.optimizer is not optimizer:
        raise ValueError(f"after_scheduler ({type(after_scheduler).__name__}) must be on the same optimizer")
    if getattr(after_scheduler, "last_epoch", 0) != 0:
        raise ValueError(f"after_scheduler must be fresh, not at iteration {after_scheduler.last_epoch}")
    if not isinstance(after_scheduler, CyclicLR | OneCycleLR | Composite):
        _check_start(after_scheduler, optimizer, target_lrs)


def _check_start(after_scheduler: LRScheduler, optimizer: Optimizer, target_lrs: LRs) -> None:
    """Refuses an LR that would jump when the warm-up ends because the optimizer was built with another one."""
    starts = zip(optimizer.param_groups, after_scheduler.get_last_lr(), target_lrs, strict=True)
    for index, (group, first_lr, target_lr) in enumerate(starts):
        # Either may be it: a LambdaLR with absolute rates has a base LR of 1, and starts at the target.
        initial_lr = float(group.get("initial_lr", group["lr"]))
        if not any(math.isclose(lr, target_lr, rel_tol=1e-6) for lr in (initial_lr, float(first_lr))):
            raise ValueError(
                f"target_lr ({target_lr}) must equal the LR that after_scheduler starts from in param group {index} "
                f"({initial_lr}): build the optimizer with lr={target_lr}"
            )
