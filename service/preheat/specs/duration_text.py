"""Texts of durations: an amount of a unit, or a point of the run."""

import re
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from preheat.specs.fields import MAX_ITERATION

Unit = Literal["epoch", "samples", "tokens"]
"""What a run is counted in besides iterations."""

_EXAMPLES = '"10%", "5ep", "2000it", "4e6sp" or "375e6tok"'
_NUMBER = r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_PATTERN = rf"^@?{_NUMBER} ?(?:%|it|ep|sp|tok|ba|dur)$"
_MAX_CHARACTERS = 32
_UNITS: dict[str, Unit | Literal["%", "it"]] = {
    "%": "%",
    "ba": "it",
    "dur": "%",
    "ep": "epoch",
    "it": "it",
    "sp": "samples",
    "tok": "tokens",
}

DurationText = Annotated[str, Field(pattern=_PATTERN, max_length=_MAX_CHARACTERS, examples=["10%"])]


@dataclass(frozen=True)
class Duration:
    """An amount of a unit, as written in `text`; it stands for at least `least` iterations.

    % is a share of the whole run. Epochs, samples and tokens take as many iterations as they take where the duration
    begins: fewer where the batch has grown. A point (`@`) lasts until that much of the run is over, wherever it begins.
    """

    text: str
    amount: float
    unit: Unit | Literal["%", "it"]
    least: int
    is_point: bool = False


def duration(text: str, least: int) -> Duration:
    """The duration that a text stands for. Raises ValueError, which says what may stand there."""
    match = re.fullmatch(rf"(@?)({_NUMBER}) ?([a-z%]+)", text) if len(text) <= _MAX_CHARACTERS else None
    if match is None or match[3] not in _UNITS:
        raise ValueError(f"must be a whole number of iterations or a duration: {_EXAMPLES}{_suggestion(text)}")
    amount = float(match[2])  # inf for 1e999
    # Of any unit, before it is known what one is: a bound against overflow, not the one on iterations.
    if amount > MAX_ITERATION * 1e6:
        raise ValueError("must be shorter")
    if match[3] == "dur":  # the run as 1: 0.29 · 100 is a little less than 29, and the nearest digits are meant
        amount = round(amount * 100, 9)
    return Duration(text, amount, _UNITS[match[3]], least, bool(match[1]))


_OTHER_NAMES = {
    "it": "its iter iters iteration iterations step steps update updates batch batches",
    "ep": "eps epoch epochs",
    "sp": "samples sample example examples image images",
    "tok": "toks token tokens",
    "%": "percent pct",
}
_UNIT_OF = {name: unit for unit, names in _OTHER_NAMES.items() for name in (unit, *names.split())}
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def _suggestion(text: str) -> str:
    """The duration that a text with another unit, blanks or a number alone may mean."""
    match = re.fullmatch(
        rf"\s*(@?)\s*({_NUMBER}|\.[0-9]+)\s*([kmbt]?)\s*([a-z%]*)\s*", text[:_MAX_CHARACTERS], re.IGNORECASE
    )
    if match is None:
        return ""
    at, amount, unit = match[1], float(match[2]), match[4].lower()
    if not (match[3] or unit):
        meant = f'"{amount * 100:g}%"' if amount < 1 else f"{match[2]}, without quotes"
        return f"; did you mean {meant}?"
    # "5 tokens" has a t that is no scale: the longer unit goes first.
    for scale, name in (("", match[3].lower() + unit), (match[3].lower(), unit)):
        if name in _UNIT_OF:
            number = f"{amount * _SCALES[scale]:g}".replace("e+0", "e").replace("e+", "e")
            return f'; did you mean "{at}{number}{_UNIT_OF[name]}"?'
    return ""
