"""Specs and curves that tests describe by a few fields."""

import math
from collections.abc import Mapping
from typing import Any

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import Spec, spec_of

SHORT: dict[str, Any] = {"target_lr": 0.01, "total_iterations": 20, "warmup": {"iterations": 10}}
"""Target 0.01, warm-up 10, total 20, constant after the warm-up."""

COSINE: dict[str, Any] = {
    "target_lr": 0.1,
    "total_iterations": 1000,
    "warmup": {"iterations": 100},
    "after_scheduler": {"type": "CosineLR"},
}
"""Target 0.1, warm-up 100, total 1000, cosine over the remaining 900."""


def cosine_lr(n: int) -> float:
    """The LR of COSINE at iteration n, in plain math."""
    return 0.1 * n / 100 if n <= 100 else 0.05 * (1 + math.cos(math.pi * (n - 100) / 900))


def curve(spec: Mapping[str, Any] = SHORT, /, **fields: Any) -> Curve:
    """The curve of a spec with some fields replaced; a field that is None is left out."""
    written = {name: value for name, value in {**spec, **fields}.items() if value is not None}
    return Curve(Schedule.of(written))


def first_column(of: Curve) -> list[float]:
    """Every LR of the first param group."""
    values: list[float] = of.window(0, of.total_iterations + 1)[:, 0].tolist()
    return values


def content(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A spec as a user writes it: target 0.1, 60 iterations, warm-up 10; a field that is None is left out."""
    defaults = {"target_lr": 0.1, "total_iterations": 60, "warmup": {"iterations": 10}}
    whole = {**defaults, "after_scheduler": after_scheduler, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def spec(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Spec:
    """The normalised spec of `content`."""
    return spec_of(content(after_scheduler, **fields))


def curve_after(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Curve:
    """The curve of `content`."""
    return Curve(Schedule(spec(after_scheduler, **fields)))
