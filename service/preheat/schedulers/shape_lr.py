"""A shape of a spec as a torch scheduler."""

import math
from collections.abc import Sequence
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from preheat.errors import UndefinedLR
from preheat.formula.language import compiled
from preheat.schedulers.closed_form import Rates
from preheat.specs.after_schedulers.shape import Shape


class ShapeLR(LRScheduler):
    """The LRs of a normalised shape's formula, from each group's initial LR; random access as in `RandomAccess`."""

    has_closed_form = True

    def __init__(self, optimizer: Optimizer, shape: Shape) -> None:
        self.shape = shape
        self._formula = compiled(shape.formula())
        super().__init__(optimizer)

    def rates(self, iterations: range) -> Rates:
        """Learning rates of ascending `iterations`: every group of the first, every group of the second, and so on.

        Raises UndefinedLR where the formula has no finite, non-negative value.
        """
        bases = [float(lr) for lr in self.base_lrs]
        try:
            rates = self._formula(iterations, bases)
            is_sound = not rates or (math.isfinite(sum(rates)) and min(rates) >= 0)
        except (ArithmeticError, ValueError, TypeError):
            is_sound = False
        if not is_sound:
            raise self._failure(iterations, bases)
        return rates  # type: ignore[return-value]

    def start_from(self, rates: Rates) -> None:
        """Nothing to do: a formula starts from its own base LR."""

    @override
    def get_lr(self) -> Rates:
        """Learning rates at `last_epoch`."""
        return self.rates(range(self.last_epoch, self.last_epoch + 1))

    @override
    def state_dict(self) -> dict[str, Any]:
        """Where it stands."""
        return {"last_epoch": self.last_epoch, "_last_lr": self._last_lr}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from where the state was taken."""
        self.last_epoch = state_dict["last_epoch"]
        self._last_lr = state_dict["_last_lr"]

    def _failure(self, iterations: range, bases: Sequence[float]) -> UndefinedLR:
        """The first iteration without a value."""
        for s in iterations:
            try:
                values = self._formula((s,), bases)
            except (ArithmeticError, ValueError, TypeError) as error:
                return UndefinedLR(self.shape.type, s, str(error))
            for value in values:
                if not (math.isfinite(value) and value >= 0):
                    return UndefinedLR(self.shape.type, s, f"it is {value!r}")
        return UndefinedLR(self.shape.type, iterations.start, "the sum of its values is not finite")
