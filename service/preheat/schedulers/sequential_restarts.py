"""Schedulers taking turns, as torch's SequentialLR means to, without what goes wrong there."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from preheat.schedulers.closed_form import Rates
from preheat.schedulers.random_access import RandomAccess, random_access


class SequentialRestarts(LRScheduler):
    """Scheduler 0 until milestones[0], then scheduler 1 on a clock of its own from 0, and so on.

    At s = milestones[k] − 1 scheduler k is in force, at s = milestones[k] scheduler k + 1 at its own 0. Each starts
    from the group's initial LR; SWALR and MultiplicativeLR go on from the LR before, as in torch.

    Every scheduler has a private optimizer, so that one that rewrites `initial_lr` (OneCycleLR, CyclicLR) does not
    rescale the others, and one that is itself composed starts at its turn and not before (pytorch#196243). `build`
    functions make the scheduler for a given optimizer. Random access as in `RandomAccess`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        build: Sequence[Callable[[Optimizer], LRScheduler]],
        milestones: Sequence[int],
    ) -> None:
        initial_lrs = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self.schedulers = [make(bench_optimizer(initial_lrs)) for make in build]
        self._turns: list[RandomAccess] = [random_access(scheduler) for scheduler in self.schedulers]
        self.milestones = list(milestones)
        self._has_started = [True] + [False] * len(self.milestones)
        super().__init__(optimizer)

    @property
    def has_closed_form(self) -> bool:
        """Whether every scheduler has one."""
        return all(turn.has_closed_form for turn in self._turns)

    def rates(self, iterations: range) -> Rates:
        """Learning rates of ascending `iterations`, as in `RandomAccess`."""
        rates: Rates = []
        for index, (start, stop) in enumerate(pairwise((0, *self.milestones, max(iterations.stop, 1)))):
            within = iterations[bisect_left(iterations, start) : bisect_left(iterations, stop)]
            if within:
                self._start(index)
                rates += self._turns[index].rates(shift(within, -start))
        return rates

    def start_from(self, rates: Rates) -> None:
        """Hands the LR on to the first scheduler."""
        self._turns[0].start_from(rates)

    @override
    def get_lr(self) -> Rates:
        """Learning rates at `last_epoch`."""
        return self.rates(range(self.last_epoch, self.last_epoch + 1))

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where each scheduler stands."""
        return {
            "last_epoch": self.last_epoch,
            "_last_lr": self._last_lr,
            "has_started": list(self._has_started),
            "turns": [turn.state_dict() for turn in self._turns],
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = state_dict["_last_lr"]
        self._has_started = list(state_dict["has_started"])
        for turn, state in zip(self._turns, state_dict["turns"], strict=True):
            turn.load_state_dict(state)

    def _start(self, index: int) -> None:
        if not self._has_started[index]:
            before = self.milestones[index - 1] - 1
            self._turns[index].start_from(self.rates(range(before, before + 1)))
            self._has_started[index] = True


def bench_optimizer(lrs: Sequence[float | Tensor]) -> SGD:
    """An optimizer that trains nothing: a place for a scheduler to write the LRs of `len(lrs)` param groups to."""
    groups = [{"params": [Tensor([0.0])], "lr": float(lr)} for lr in lrs]
    return SGD(groups, lr=0.0, momentum=0.9)


def shift(iterations: range, by: int) -> range:
    """The same iterations on a clock that differs by `by`."""
    return range(iterations.start + by, iterations.stop + by, iterations.step)
