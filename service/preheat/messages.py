"""How values and texts are shown in messages: short, printable, and without the secrets of keys."""

import json
from collections.abc import Iterable
from typing import Any

from preheat.masking import masked

_MOST_CHARACTERS = 60
_MOST_NAMES = 60
"""Names of a list: more than there are schedulers or fields, fewer than there may be param groups."""


def beginning(text: str, most: int = _MOST_CHARACTERS) -> str:
    """The first characters of a text, masked."""
    return masked(text)[:most]


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """The text, masked, its end cut off where it has more than `most` characters."""
    text = masked(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def printable(text: str) -> str:
    """The text with an escape for each character outside ASCII."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def encodable(text: str) -> str:
    """The text with an escape for each lone surrogate, which no UTF-8 document can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shown(value: Any) -> str:
    """The value as short JSON; what is not JSON by the name of its type."""
    try:
        return shortened(json.dumps(value, default=lambda other: type(other).__name__))
    except (TypeError, ValueError, RecursionError):  # keys that are not texts; more digits than Python writes down
        return type(value).__name__


def excerpt(text: str, most: int = _MOST_CHARACTERS) -> str:
    """The text as a message shows it: short, and without what no UTF-8 document can hold."""
    return encodable(shortened(text, most))


def listed(names: Iterable[str], most: int = _MOST_NAMES) -> str:
    """The names as a message lists them: the first of them, and how many there are more."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
