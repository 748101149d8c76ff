"""Known: what the caller knows of a run besides the source of its schedule."""

import math
from dataclasses import dataclass
from typing import Any

from preheat.conversions.number import count, number
from preheat.errors import NotImportable


@dataclass(frozen=True)
class Known:
    """What the caller knows of the run besides the source; what is given here goes before the source.

    `batch_size` is that of one device, `accumulation` the batches of one update, `dataset_size` in samples; the sizes
    that a source gives in their place must be ≥ 1.
    """

    target_lr: float | None = None
    total_iterations: int | None = None
    warmup_iterations: int | None = None
    dataset_size: int | None = None
    batch_size: int | None = None
    accumulation: int | None = None
    devices: int | None = None
    epochs: float | None = None

    def spec(
        self, lr: float | None, length: int | None, after_scheduler: dict[str, Any] | None = None, **others: Any
    ) -> dict[str, Any]:
        """A spec with the known target LR and length, else with the source's. Raises NotImportable."""
        spec = {"target_lr": self.lr(lr), "total_iterations": self.length(length), **others}
        return spec if after_scheduler is None else {**spec, "after_scheduler": after_scheduler}

    def lr(self, of_source: float | None) -> float:
        """The known target LR, else the source's. Raises NotImportable."""
        lr = of_source if self.target_lr is None else self.target_lr
        if lr is None:
            raise NotImportable("target_lr is required: the source does not contain it")
        return lr

    def length(self, of_source: int | None, why: str = "the source does not contain it") -> int:
        """The known length of the run, else the source's. Raises NotImportable."""
        length = of_source if self.total_iterations is None else self.total_iterations
        if length is None:
            raise NotImportable(f"total_iterations is required: {why}")
        return length

    def warmup(self, of_source: int) -> int:
        """The known length of the warm-up, else the source's."""
        return of_source if self.warmup_iterations is None else self.warmup_iterations

    def without_warmup(self, what: str) -> None:
        """Refuses a known length of the warm-up, where `what` has none, or says itself how it warms up."""
        if self.warmup_iterations is not None:
            raise NotImportable(
                f"warmup_iterations ({self.warmup_iterations}) has no place in an import of {what}: leave it out, and "
                "write the warm-up into the spec"
            )

    def whole_epochs(self, of_source: int | None) -> int | None:
        """The known number of epochs, else the source's, where an iteration is an epoch. Raises NotImportable."""
        if self.epochs is None:
            return of_source
        return count("epochs", self.epochs)

    def batches(self, batch_size: int, *, drop_last: bool = False) -> int | None:
        """Batches of one epoch on each device, the last one incomplete or dropped; None without a dataset_size.

        Raises NotImportable for more samples, as `updates` does for more epochs, than any run has.
        """
        if self.dataset_size is None:
            return None
        samples, size = count("dataset_size", self.dataset_size), (self.batch_size or batch_size) * (self.devices or 1)
        # -(-a // b) rounds up in whole numbers: math.ceil(a / b) goes through a float.
        return samples // size if drop_last else -(-samples // size)

    def updates_per_epoch(self, batch_size: int, accumulation: int, *, drop_last: bool = False) -> int | None:
        """Updates of one epoch; the last one may have fewer batches. None without a dataset_size."""
        batches = self.batches(batch_size, drop_last=drop_last)
        return None if batches is None else max(-(-batches // (self.accumulation or accumulation)), 1)

    def updates(
        self, epochs: float | None, batch_size: int, accumulation: int, *, drop_last: bool = False
    ) -> int | None:
        """Updates of the run, rounded up as transformers does; None where dataset_size or epochs are not known."""
        each = self.updates_per_epoch(batch_size, accumulation, drop_last=drop_last)
        total_epochs = epochs if self.epochs is None else number("epochs", self.epochs)
        return None if each is None or total_epochs is None else math.ceil(total_epochs * each)
