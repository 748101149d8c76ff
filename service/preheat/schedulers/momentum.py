"""The momentum that OneCycleLR and CyclicLR run against the LR."""

from bisect import bisect_left

from torch.optim.lr_scheduler import LRScheduler

from preheat.schedulers.closed_form import cycled_momentum
from preheat.schedulers.composite import shift


class CycledMomentum:
    """Momentum of each param group by iteration, by torch's own formulas; before its clock starts, its first.

    Random access: they read nothing but the iteration.
    """

    has_closed_form = True

    def __init__(self, cycle: LRScheduler, origin: int) -> None:
        self._cycle = cycle
        self._origin = origin

    def rates(self, iterations: range) -> list[float]:
        """Every group's momentum at the first of the iterations, at the second, and so on."""
        before = bisect_left(iterations, self._origin)
        first = cycled_momentum(self._cycle, range(1)) * before if before else []
        return first + cycled_momentum(self._cycle, shift(iterations[before:], -self._origin))
