"""Numbers that `preheat runs` is called with: values, values by param group, and durations."""

import math
import re

from preheat.cli.output import fail
from preheat.specs.duration_text import duration as parsed_duration

_WHOLE = re.compile(r"[0-9]+|[0-9]{1,3}(,[0-9]{3})+")


def duration(text: str, name: str) -> int | str:
    """An iteration as a number (12,345 as it is shown, too); any other duration as it is written.

    Ends the command if it is none.
    """
    written = text.strip()
    if _WHOLE.fullmatch(written):
        return int(written.replace(",", ""))
    try:
        parsed_duration(written, 0)
    except ValueError as error:
        fail(f"{name} ({text}) {error}", code=2)
    return written


def finite(text: str, name: str, *, or_else: str = "") -> float:
    """A number ≥ 0; ends the command if it is none. `or_else` says what else could stand there."""
    value = _float(text)
    if value is None:
        decimal = _float(text.replace(",", "."))
        advice = f"; write {decimal!r}" if decimal is not None else ""
        fail(f"{name} ({text}) must be a number{or_else}{advice}", code=2)
    if not math.isfinite(value):
        fail(f"{name} ({value}) must be a finite number", code=2)
    if value < 0:
        fail(f"{name} ({text}) must be ≥ 0", code=2)
    return value


def per_group(texts: list[str], name: str, *, or_else: str = "") -> float | dict[str, float]:
    """One value, or one for each param group, from texts such as `head=1e-4`; ends the command for others."""
    if len(texts) == 1 and "=" not in texts[0]:
        return finite(texts[0], name, or_else=or_else)
    pairs = [text.rpartition("=") for text in texts]
    names = [group for group, _, _ in pairs]
    if not all(names) or len(set(names)) < len(names):
        rule = f"must be one value{or_else}, or group=value once for each param group"
        fail(f"{name} ({' '.join(texts)}) {rule}", code=2)
    return {group: finite(value, name) for group, _, value in pairs}


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
