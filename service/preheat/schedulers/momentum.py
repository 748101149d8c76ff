"""The momentum that OneCycleLR and CyclicLR run against the LR."""

from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from preheat.schedulers.composite import shift
from preheat.schedulers.random_access import random_access


class CycledMomentum:
    """Momentum of each param group by iteration, as torch's own scheduler sets it; before its clock starts, its first.

    Random access: torch's formulas read nothing but the iteration.
    """

    has_closed_form = True

    def __init__(self, cycle: LRScheduler, origin: int) -> None:
        self._cycle = cycle
        self._access = random_access(cycle)
        self._origin = origin

    def rates(self, iterations: range) -> list[float]:
        """Every group's momentum at the first of the iterations, at the second, and so on."""
        groups: Any = self._cycle.optimizer.param_groups
        momenta = []
        for s in shift(iterations, -self._origin):
            for group in groups:  # where torch's amplitude overflows it has long been 0, and torch sets nothing
                group["momentum"] = group["max_momentum"]
            self._access.rates(range(max(s, 0), max(s, 0) + 1))  # sets the momentum too
            momenta += [group["momentum"] for group in groups]
        return momenta
