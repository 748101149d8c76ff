"""Random access to a torch scheduler: any iteration, whichever was asked for before."""

import copy
import warnings
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiplicativeLR
from torch.optim.swa_utils import SWALR
from typing_extensions import override

from preheat.schedulers.closed_forms import LRs, closed_form


@runtime_checkable
class RandomAccess(Protocol):
    """Learning rates by the scheduler's own iteration s, counted from 0.

    Asking for s directly gives, bit for bit, what asking for 1 … s in turn gives.
    """

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration is computed without stepping to it."""
        ...

    def rates(self, iterations: range) -> LRs:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on."""
        ...

    def start_from(self, rates: LRs) -> None:
        """Tells a scheduler that goes on from the LR it finds which one that is; the others start from their own."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on from here."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        ...


def random_access(scheduler: LRScheduler) -> RandomAccess:
    """Random access to `scheduler`: through its closed form where it has one, else by stepping it."""
    if isinstance(scheduler, RandomAccess):
        return scheduler
    found = closed_form(scheduler)
    return ClosedForm(scheduler, found) if found else Stepped(scheduler)


def current_rates(optimizer: Optimizer) -> LRs:
    """The LR of each param group; Tensors are copied, so that later changes do not show."""
    lrs = (group["lr"] for group in optimizer.param_groups)
    return [lr.clone() if isinstance(lr, Tensor) else lr for lr in lrs]


def set_rates(optimizer: Optimizer, rates: LRs) -> None:
    """Sets the LR of each param group; a Tensor LR is filled in place, so that a compiled step sees it.

    Raises ValueError if there are not as many rates as param groups.
    """
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr.item() if isinstance(lr, Tensor) else lr)
        else:
            group["lr"] = lr


class ClosedForm(RandomAccess):
    """A scheduler whose LR is a function of its iteration alone."""

    has_closed_form = True

    def __init__(self, scheduler: LRScheduler, closed_form: Callable[[LRScheduler, range], LRs]) -> None:
        self._scheduler = scheduler
        self._closed_form = closed_form

    @override
    def rates(self, iterations: range) -> LRs:
        return self._closed_form(self._scheduler, iterations)

    @override
    def start_from(self, rates: LRs) -> None:
        """Nothing to do: a closed form starts from its own base LR."""

    @override
    def state_dict(self) -> dict[str, Any]:
        return dict(self._scheduler.state_dict())

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._scheduler.load_state_dict(state_dict)


class Stepped(RandomAccess):
    """A scheduler that derives each LR from the one before, stepped one by one and rewound to go back.

    What else is done to the optimizer's LRs between two calls (a warm-up, say) leaves no trace in its rates.
    """

    has_closed_form = False

    def __init__(self, scheduler: LRScheduler) -> None:
        self._scheduler = scheduler
        self._origin_rates: LRs = []
        self._remember_origin()
        self._iteration = 0
        self._rates = self._origin_rates

    @override
    def rates(self, iterations: range) -> LRs:
        return [lr for iteration in iterations for lr in self._step_to(iteration)]

    @override
    def start_from(self, rates: LRs) -> None:
        """SWALR and MultiplicativeLR go on from `rates`, as at a milestone of torch's SequentialLR."""
        if not isinstance(self._scheduler, SWALR | MultiplicativeLR):
            return
        # From its own iteration 0, wherever it stood: the LR it is handed is the one it starts from.
        self._rewind()
        set_rates(self._scheduler.optimizer, rates)
        self._scheduler._update_lr(0)  # noqa: SLF001 - what torch's SequentialLR calls at a milestone
        self._remember_origin()
        self._rewind()

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            "iteration": self._iteration,
            "rates": self._rates,
            "scheduler": self._scheduler.state_dict(),
            "origin": self._origin,
            "origin_rates": self._origin_rates,
        }

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._iteration = state_dict["iteration"]
        self._rates = state_dict["rates"]
        self._scheduler.load_state_dict(state_dict["scheduler"])
        self._origin = state_dict["origin"]
        self._origin_rates = state_dict["origin_rates"]

    def _step_to(self, iteration: int) -> LRs:
        if iteration < self._iteration:
            self._rewind()
        # What a warm-up has written to the optimizer since must not be what the next step multiplies.
        if iteration > self._iteration:
            set_rates(self._scheduler.optimizer, self._rates)
            if not getattr(self._scheduler.optimizer, "_opt_called", False):
                self._step_before_the_first_update()
            while self._iteration < iteration:
                self._scheduler.step()
                self._iteration += 1
            self._rates = current_rates(self._scheduler.optimizer)
        return self._rates

    def _step_before_the_first_update(self) -> None:
        """Without torch's warning: an LR that is set before the update it is for is no mistake here."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of", UserWarning)
            self._scheduler.step()
        self._iteration += 1

    def _remember_origin(self) -> None:
        self._origin = copy.deepcopy(self._scheduler.state_dict())
        self._origin_rates = current_rates(self._scheduler.optimizer)

    def _rewind(self) -> None:
        # A copy: torch keeps the objects of a state that it loads.
        self._scheduler.load_state_dict(copy.deepcopy(self._origin))
        self._iteration = 0
        self._rates = self._origin_rates
