"""Schedulers taking turns, as torch's SequentialLR means to, without what goes wrong there."""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer
from typing_extensions import override

from preheat.schedulers.closed_form import Rates
from preheat.schedulers.composite import Build, Composite, shift


class SequentialRestarts(Composite):
    """Scheduler 0 until milestones[0], then scheduler 1 on a clock of its own from 0, and so on.

    At s = milestones[k] − 1 scheduler k is in force, at s = milestones[k] scheduler k + 1 at its own 0. Each starts
    from the group's initial LR; SWALR and MultiplicativeLR go on from the LR before, as in torch.
    """

    def __init__(self, optimizer: Optimizer, build: Sequence[Build], milestones: Sequence[int]) -> None:
        self.milestones = list(milestones)
        self._has_started = [True] + [False] * len(self.milestones)
        super().__init__(optimizer, build)

    @override
    def rates(self, iterations: range) -> Rates:
        rates: Rates = []
        for index, (start, stop) in enumerate(pairwise((0, *self.milestones, max(iterations.stop, 1)))):
            within = iterations[bisect_left(iterations, start) : bisect_left(iterations, stop)]
            if within:
                self._start(index)
                rates += self._parts[index].rates(shift(within, -start))
        return rates

    @override
    def start_from(self, rates: Rates) -> None:
        """Hands the LR on to the first scheduler."""
        self._parts[0].start_from(rates)

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where each scheduler stands."""
        return {**super().state_dict(), "has_started": list(self._has_started)}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self._has_started = list(state_dict["has_started"])
        super().load_state_dict(state_dict)

    def _start(self, index: int) -> None:
        if not self._has_started[index]:
            before = self.milestones[index - 1] - 1
            self._parts[index].start_from(self.rates(range(before, before + 1)))
            self._has_started[index] = True
