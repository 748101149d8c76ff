"""Confirmation: what is out of the ordinary in a change, and done only if whoever asks for it says that it is meant."""

import math
from collections.abc import Mapping
from typing import Any

from preheat.budget import Deadline
from preheat.runs.draft import Curves, Draft
from preheat.runs.errors import ConfirmationRequired
from preheat.runs.run import Run
from preheat.specs.tracks import LR_NAME

_FACTORS = (0.25, 2.0)
"""Factors within which nobody is asked whether they mean it."""


def check_meant(run: Run, draft: Draft, operation: Mapping[str, Any], curves: Curves, deadline: Deadline) -> None:
    """Raises ConfirmationRequired for a factor or an LR that is out of the ordinary."""
    reasons = []
    factor = operation.get("factor")
    low, high = _FACTORS
    if operation["op"] == "scale" and factor is not None and not low <= factor <= high:
        reasons.append(f"the factor ({factor:g}) is outside {low:g} to {high:g}")
    # A factor up to 1 makes no LR higher, and to compare a long run that must be stepped takes its time.
    is_lower = operation["op"] == "scale" and factor is not None and factor <= 1
    if draft.schedule is not None and not is_lower:
        was, will = curves.curve(run.schedule_id), curves.curve_of(draft.schedule)
        before, after = (_highest(curve, deadline) for curve in (was, will))
        reasons += [
            f"the LR of param group {name} would be {after[name]:g}, above any so far ({before[name]:g})"
            for name in before
            if after[name] > before[name] * (1 + 1e-12)
        ]
    if reasons:
        raise ConfirmationRequired(reasons)


def _highest(curve: Any, deadline: Deadline) -> dict[str, float]:
    """The highest LR of every param group, by name."""
    _, _, highs = curve.envelope(0, curve.total_iterations + 1, 1, deadline)
    return {
        column.group: float(high)
        for column, high in zip(curve.columns, highs[0], strict=True)
        if column.hyperparameter == LR_NAME and math.isfinite(high)
    }
