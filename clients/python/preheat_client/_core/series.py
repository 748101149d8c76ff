"""Series: the part of a schedule that is in memory, cut by param group for a scheduler that steps through it."""

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from preheat_client._core.curve import Rows, View
from preheat_client._core.param_groups import Binding

AtHand = tuple[Any, Any, int, int, Sequence[float] | None, list[dict[str, Any]], int]
"""What a step reads from: what has the view, the view, its first iteration and length, LRs, and the param groups."""

NOTHING: AtHand = SimpleNamespace(view=()), None, 0, 0, None, [], 0
"""Its view is that of no schedule: the next step goes the long way."""


@dataclass(frozen=True)
class Series:
    """Successive iterations from `start` on: LRs and factor of each param group, and the other hyperparameters."""

    start: int
    length: int
    lrs: list[tuple[Sequence[float], float]]
    others: list[Sequence[float]]

    @staticmethod
    def of(view: View, binding: Binding) -> "Series":
        """Cuts the view that a loop is in, once a window: so a step reads numbers, and makes no lists."""
        start, rows, others = view
        columns: dict[int, Sequence[Any]] = {  # of floats: rows that are no Rows are the LR of one group
            column: rows.column(column) if isinstance(rows, Rows) else rows for column in set(binding.columns)
        }
        lrs = [
            (columns[column], factor) for column, factor in zip(binding.columns, binding.shares.factors, strict=True)
        ]
        values: list[Sequence[float]] = []
        if isinstance(others, Rows):
            values = [others.column(index) for index in range(len(binding.places))]
        return Series(start, len(rows), lrs, values)
