"""The curve of a warm-up: what the LR is while it lasts, and where what follows begins."""

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from preheat.formula.language import compiled, substituted
from preheat.schedulers.closed_form import Rates
from preheat.specs.warmup import Warmup


class WarmupCurve(Protocol):
    """LRs of iterations 0 … `last`, −1 if there is no warm-up.

    `origin` is the iteration at which the following scheduler's clock is 0; `dampens` says that `rates` are factors of
    its LRs, and not LRs.
    """

    last: int
    origin: int
    dampens: bool

    def rates(self, iterations: range, target_lrs: Sequence[float]) -> Rates:
        """Every group's LR at the first of the iterations, at the second, and so on."""
        ...


class LinearWarmup(WarmupCurve):
    """target_lr · n / W at n ≤ W."""

    dampens = False

    def __init__(self, warmup_iteration: int) -> None:
        self.last = warmup_iteration or -1
        self.origin = self._warmup = warmup_iteration

    @override
    def rates(self, iterations: range, target_lrs: Sequence[float]) -> Rates:
        return [target_lr * n / self._warmup for n in iterations for target_lr in target_lrs]


class FormulaWarmup(WarmupCurve):
    """The warm-up of a normalised spec, by its formula."""

    def __init__(self, warmup: Warmup) -> None:
        self.last, self.origin, self.dampens = warmup.last, warmup.origin, warmup.dampens
        self._formula = compiled(substituted(warmup.formula(), {"n": "s"})) if warmup.iterations else None

    @override
    def rates(self, iterations: range, target_lrs: Sequence[float]) -> Rates:
        return [] if self._formula is None else self._formula(iterations, target_lrs)  # type: ignore[return-value]
