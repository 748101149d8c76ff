"""Specs and curves that tests start from: target 0.1, 60 iterations, warm-up 10, unless said otherwise."""

import json
from typing import Any

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import Spec, parse_spec


def content(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A spec as a user writes it; a field that is None is left out."""
    defaults = {"target_lr": 0.1, "total_iterations": 60, "warmup": {"iterations": 10}}
    whole = {**defaults, "after_scheduler": after_scheduler, **fields}
    return {name: value for name, value in whole.items() if value is not None}


def spec(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Spec:
    """A normalised spec."""
    return parse_spec(json.dumps(content(after_scheduler, **fields)))


def curve(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Curve:
    """The curve of a spec."""
    return Curve(Schedule(spec(after_scheduler, **fields)))
