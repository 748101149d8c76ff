"""Any iteration of a torch scheduler, whichever was asked for before."""

import copy
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LambdaLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
)
from torch.optim.swa_utils import SWALR
from typing_extensions import override

Rates = list[float | Tensor]
"""Learning rates, one per param group."""


@runtime_checkable
class RandomAccess(Protocol):
    """Learning rates by the scheduler's own iteration s, counted from 0.

    Asking for s directly gives, bit for bit, what asking for 1 … s in turn gives.
    """

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration is computed without stepping to it."""
        ...

    def rates(self, iterations: range) -> Rates:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on."""
        ...

    def start_from(self, rates: Rates) -> None:
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
    closed_form = _closed_form(scheduler)
    return ClosedForm(scheduler, closed_form) if closed_form else Stepped(scheduler)


def current_rates(optimizer: Optimizer) -> Rates:
    """The LR of each param group; Tensors are copied, so that later changes do not show."""
    lrs = (group["lr"] for group in optimizer.param_groups)
    return [lr.clone() if isinstance(lr, Tensor) else lr for lr in lrs]


def set_rates(optimizer: Optimizer, rates: Rates) -> None:
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

    def __init__(self, scheduler: LRScheduler, closed_form: Callable[[LRScheduler, range], Rates]) -> None:
        self._scheduler = scheduler
        self._closed_form = closed_form

    @override
    def rates(self, iterations: range) -> Rates:
        return self._closed_form(self._scheduler, iterations)

    @override
    def start_from(self, rates: Rates) -> None:
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
        self._origin_rates: Rates = []
        self._remember_origin()
        self._iteration = 0
        self._rates = self._origin_rates

    @override
    def rates(self, iterations: range) -> Rates:
        return [lr for iteration in iterations for lr in self._step_to(iteration)]

    @override
    def start_from(self, rates: Rates) -> None:
        """SWALR and MultiplicativeLR go on from `rates`, as at a milestone of torch's SequentialLR."""
        if not isinstance(self._scheduler, SWALR | MultiplicativeLR):
            return
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

    def _step_to(self, iteration: int) -> Rates:
        if iteration < self._iteration:
            self._rewind()
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
        self._scheduler.load_state_dict(copy.deepcopy(self._origin))
        self._iteration = 0
        self._rates = self._origin_rates


def _closed_form(scheduler: LRScheduler) -> Callable[[LRScheduler, range], Rates] | None:
    for scheduler_type, closed_form in _PURE.items():
        if isinstance(scheduler, scheduler_type):
            return closed_form
    return _torch_closed_form if hasattr(scheduler, "_get_closed_form_lr") else None


def _torch_closed_form(scheduler: LRScheduler, iterations: range) -> Rates:
    closed_form = cast("Callable[[], Rates]", scheduler._get_closed_form_lr)  # type: ignore[attr-defined] # noqa: SLF001
    # The loop sets last_epoch itself: a third of the time of a closed form is spent in function calls.
    return [lr for scheduler.last_epoch in iterations for lr in closed_form()]


def _pure_get_lr(scheduler: LRScheduler, iterations: range) -> Rates:
    """Types whose `get_lr` reads nothing but `last_epoch`."""
    if len(iterations) > 1 and getattr(scheduler, "cycle_momentum", False):
        return _without_momentum(scheduler, iterations[:-1]) + _pure_get_lr(scheduler, iterations[-1:])
    scheduler._get_lr_called_within_step = True  # noqa: SLF001 - else torch warns at every call
    try:
        return [lr for scheduler.last_epoch in iterations for lr in scheduler.get_lr()]
    finally:
        scheduler._get_lr_called_within_step = False  # noqa: SLF001


def _without_momentum(scheduler: Any, iterations: range) -> Rates:
    """Leaves the momentum alone, which is half of the work and which only the last iteration sets for good."""
    scheduler.cycle_momentum = False
    try:
        return _pure_get_lr(scheduler, iterations)
    finally:
        scheduler.cycle_momentum = True


def _cyclic(scheduler: LRScheduler, iterations: range) -> Rates:
    """Past cycle 1024 of `triangular2`, 2.0 ** cycle overflows in torch; its amplitude has long been 0 in float64."""
    try:
        return _pure_get_lr(scheduler, iterations)
    except OverflowError:
        if len(iterations) == 1:
            return list(scheduler.base_lrs)
        middle = len(iterations) // 2
        return _cyclic(scheduler, iterations[:middle]) + _cyclic(scheduler, iterations[middle:])


def _one_cycle(scheduler: LRScheduler, iterations: range) -> Rates:
    """At total_steps torch bounces up, and raises one later; the end of the cycle is held instead."""
    cycle = cast("OneCycleLR", scheduler)
    last = cycle.total_steps - 1
    within = iterations[: bisect_right(iterations, last)]
    rates = _phases_of_one_cycle(cycle, within[:-1]) + _pure_get_lr(cycle, within[-1:])
    past = len(iterations) - len(within)
    return rates + _pure_get_lr(cycle, range(last, last + 1)) * past if past else rates


def _phases_of_one_cycle(cycle: Any, iterations: range) -> Rates:
    """What `get_lr` gives, phase by phase; looking for the phase at every iteration takes twice as long."""
    anneal = cycle._annealing_cos if cycle._anneal_func_type == "cos" else cycle._annealing_linear  # noqa: SLF001
    rates: Rates = []
    start = 0.0
    for phase in cycle._schedule_phases:  # noqa: SLF001
        end = phase["end_step"]
        inside = bisect_right(iterations, end)
        ends = [(group[phase["start_lr"]], group[phase["end_lr"]]) for group in cycle.optimizer.param_groups]
        rates += [
            anneal(first, final, (s - start) / (end - start)) for s in iterations[:inside] for first, final in ends
        ]
        iterations, start = iterations[inside:], end
    return rates


def _warm_restarts(scheduler: LRScheduler, iterations: range) -> Rates:
    """Finds each cycle in whole numbers: torch's `step(epoch)` takes a logarithm that rounds to the wrong one."""
    restarts: Any = scheduler
    restarts._get_lr_called_within_step = True  # noqa: SLF001 - else torch warns at every call
    rates: Rates = []
    while iterations:
        into, restarts.T_i = cycle_position(iterations.start, restarts.T_0, restarts.T_mult)
        inside = bisect_left(iterations, iterations.start - into + restarts.T_i)
        of_cycle = range(into, into + iterations[:inside][-1] - iterations.start + 1, iterations.step)
        rates += [lr for restarts.T_cur in of_cycle for lr in restarts.get_lr()]
        restarts.last_epoch = iterations[inside - 1]
        iterations = iterations[inside:]
    restarts._get_lr_called_within_step = False  # noqa: SLF001
    return rates


def cycle_position(iteration: int, first_length: int, growth: int) -> tuple[int, int]:
    """Iterations into the cycle, and the cycle's length, where cycle k lasts first_length · growth^k."""
    if growth == 1:
        return iteration % first_length, first_length
    length = first_length
    while iteration >= length:
        iteration -= length
        length *= growth
    return iteration, length


_PURE: dict[type[LRScheduler], Callable[[LRScheduler, range], Rates]] = {
    CosineAnnealingWarmRestarts: _warm_restarts,
    CyclicLR: _cyclic,
    LambdaLR: _pure_get_lr,
    OneCycleLR: _one_cycle,
}
"""Types that torch gives no `_get_closed_form_lr`, though their LR depends on the iteration alone."""
