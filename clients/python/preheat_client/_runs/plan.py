"""Plan: what a run's LRs would be as things stand, to look at: nothing is used, nobody attaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preheat_client._core.curve import Metadata, Row
from preheat_client._runs.revisions import Revisions


class Plan(Protocol):
    """LRs and other hyperparameters as they are planned at present."""

    def lr(self, iteration: int) -> Row:
        """The learning rate at an iteration; that of the nearest known one where it is not known."""

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters there."""

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates of iterations start … stop − 1."""


@dataclass(frozen=True)
class NewestRevision:
    """The plan of a process that asks the service: the newest revision."""

    revisions: Revisions

    def lr(self, iteration: int) -> Row:
        """Read as `Schedule.lr` reads it."""
        return self.revisions.newest[1].lr(iteration)

    def hyperparameters(self, iteration: int) -> list[float]:
        """Read as `Schedule.hyperparameters` reads them."""
        return self.revisions.newest[1].hyperparameters(iteration)

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Read as `Schedule.lrs` reads them."""
        return self.revisions.newest[1].lrs(start, stop)


@dataclass(frozen=True)
class ToldPlan:
    """The plan of a process that rank 0 tells: successive iterations from `start` on, as they were when it opened."""

    metadata: Metadata
    start: int
    rows: list[tuple[Row, list[float]]]

    def lr(self, iteration: int) -> Row:
        """The nearest that was told."""
        return self._row(iteration)[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """The nearest that were told."""
        return self._row(iteration)[1]

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Those that were told. Raises ValueError for others: they are for rank 0 to ask for."""
        stop = self.metadata.total_iterations + 1 if stop is None else stop
        if not self.start <= start <= stop <= self.start + len(self.rows):
            raise ValueError(f"iterations {start} … {stop - 1} are not known on this rank: ask on rank 0")
        return [lr for lr, _ in self.rows[start - self.start : stop - self.start]]

    def _row(self, iteration: int) -> tuple[Row, list[float]]:
        return self.rows[min(max(iteration - self.start, 0), len(self.rows) - 1)]
