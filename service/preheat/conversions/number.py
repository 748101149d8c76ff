"""Numbers of a source: what counts as one, whether it is written 3, 3.0, 3e0 or as a text of those."""

from contextlib import suppress
from typing import Any

from preheat.errors import NotImportable
from preheat.messages import excerpt

_LARGEST = 1e100
"""Numbers up to this one can be multiplied by each other without an overflow."""

_MOST_DIGITS = 400
# The whole numbers up to this one are exact in a float, as which JSON and YAML may give them.
_LARGEST_COUNT = 2**53


def number(path: str, value: Any) -> float:
    """A finite number, or that of a text; an int where it is whole. Raises NotImportable with the path."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS:
        with suppress(ValueError):
            value = float(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not abs(value) <= _LARGEST:  # NaN is not ≤ anything
        raise NotImportable(f"{excerpt(path)} ({excerpt(repr(value))}) must be a number")
    found: float = whole(value)
    return found


def count(path: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`, in any form of a number. Raises NotImportable with the path."""
    found = number(path, value)
    if found != int(found) or not least <= found <= _LARGEST_COUNT:
        raise NotImportable(f"{excerpt(path)} ({found:g}) must be a whole number ≥ {least}, at most 2**53")
    return int(found)


def number_or_text(path: str, value: Any) -> Any:
    """The number that a text stands for, or the text itself: YAML 1.1 takes 1e-3, which has no point, for a text."""
    if isinstance(value, str):
        with suppress(ValueError):
            float(value)
            # A text that float() takes and no LR can be, such as nan, is refused by its path.
            return number(path, value)
    return whole(value)


def whole(value: Any) -> Any:
    """A number as an int where it is whole; within lists too."""
    if isinstance(value, list):
        return [whole(entry) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_COUNT:
        return int(value)
    return value
