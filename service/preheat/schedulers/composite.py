"""What schedulers that are made of schedulers have in common."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from preheat.schedulers.closed_form import Rates
from preheat.schedulers.random_access import RandomAccess, random_access

Build = Callable[[Optimizer], LRScheduler]
"""Makes a scheduler for a given optimizer."""


class Composite(LRScheduler):
    """A scheduler whose LR comes from other schedulers; random access as in `RandomAccess`.

    Each has a private optimizer, so that one that rewrites `initial_lr` (OneCycleLR, CyclicLR) does not rescale the
    others, and one that is itself composed starts at its turn and not before (pytorch#196243).
    """

    def __init__(self, optimizer: Optimizer, build: Sequence[Build]) -> None:
        self.initial_lrs = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        self.schedulers = [make(bench_optimizer(self.initial_lrs)) for make in build]
        self._parts: list[RandomAccess] = [random_access(scheduler) for scheduler in self.schedulers]
        super().__init__(optimizer)

    @abstractmethod
    def rates(self, iterations: range) -> Rates:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on."""

    @property
    def has_closed_form(self) -> bool:
        """Whether every scheduler has one."""
        return all(part.has_closed_form for part in self._parts)

    def start_from(self, rates: Rates) -> None:
        """Hands the LR on to the schedulers."""
        for part in self._parts:
            part.start_from(rates)

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
            "parts": [part.state_dict() for part in self._parts],
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = state_dict["_last_lr"]
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


def bench_optimizer(lrs: Sequence[float | Tensor]) -> SGD:
    """An optimizer that trains nothing: a place for a scheduler to write the LRs of `len(lrs)` param groups to."""
    groups = [{"params": [Tensor([0.0])], "lr": float(lr)} for lr in lrs]
    return SGD(groups, lr=0.0, momentum=0.9)


def shift(iterations: range, by: int) -> range:
    """The same iterations on a clock that differs by `by`."""
    return range(iterations.start + by, iterations.stop + by, iterations.step)
