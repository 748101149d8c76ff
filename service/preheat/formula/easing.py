"""Easings: the curve forms by which an LR goes from one end to the other, as formulas of x, the share that is over.

Every x and every end is itself the text of a formula; a sum in it needs its own parentheses.
"""

from collections.abc import Sequence

FALLING = {"linear": "1 - {x}", "cosine": "(1 + cos(pi * {x})) / 2", "1-sqrt": "1 - sqrt({x})"}
"""Heights from 1 at x = 0 down to 0 at x = 1, by the name of their form."""

RISING = {"linear": "{x}", "cosine": "(1 - cos(pi * {x})) / 2", "1-sqrt": "(1 - sqrt(1 - {x}))"}
"""Heights from 0 at x = 0 up to 1 at x = 1."""


def falling(form: str, x: str) -> str:
    """The height of a form of FALLING."""
    return FALLING[form].format(x=x)


def rising(form: str, x: str) -> str:
    """The height of a form of RISING."""
    return RISING[form].format(x=x)


def between(form: str, first: str, last: str, x: str) -> str:
    """The LR from `first` at x = 0 to `last` at x = 1: linear, exponential, or a form of FALLING."""
    if form == "linear":  # from the first end: at x = 0 it is exact
        return f"{first} + ({last} - {first}) * {x}"
    if form == "exponential":
        return f"{first} * ({last} / {first}) ** {x}"
    return f"{last} + ({first} - {last}) * ({falling(form, x)})"


def power(base: str, exponent: float) -> str:
    """A power of a formula; the exponent 1 is left out."""
    return f"({base})" if exponent == 1 else f"({base}) ** {number(exponent)}"


def number(value: float) -> str:
    """A number as part of a formula; a negative one in parentheses."""
    # repr gives the shortest text that is read back to the same bits.
    return repr(value) if value >= 0 else f"({value!r})"


def in_pairs(pair: str, texts: Sequence[str]) -> str:
    """Formulas put together two at a time, as `pair` says with two {}: a hundred are nested seven deep."""
    if len(texts) == 1:
        return texts[0]
    middle = len(texts) // 2
    return pair.format(in_pairs(pair, texts[:middle]), in_pairs(pair, texts[middle:]))
