"""Fields of a spec that the client computes: values as strict as the service's, or not computed at all.

Each reader takes a value and the name by which a message calls it, and raises NotComputed for a value that the service
would refuse, and for one that only the service can tell the meaning of ("5ep").
"""

import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

MAX_ITERATION = 2**53
LARGEST = sys.float_info.max
_MAX_LR = 1e6
_MIN_RATE = 1e-30

Reader = Callable[[Any, str], Any]


class NotComputed(Exception):
    """Why no LRs are computed from a spec here; names the field, its value and the rule."""


def mapping_of(value: Any, name: str, known: Collection[str]) -> Mapping[str, Any]:
    """An object that has no fields but the known ones."""
    if not isinstance(value, Mapping):
        raise NotComputed(f"{name} ({value!r:.80}) must be an object")
    if unknown := sorted(map(str, set(value) - set(known))):
        raise NotComputed(f"{name} must have no {unknown[0]!r} to be computed by the client")
    return value


def number(value: Any, name: str, least: float = 0.0, most: float = _MAX_LR) -> float:
    """A finite number of least … most."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise NotComputed(f"{name} ({value!r:.80}) must be a number in {least:g} … {most:g}")
    return float(value) + 0.0  # without a negative zero


def rate(value: Any, name: str, most: float = _MAX_LR) -> float:
    """An LR or a factor: 0, or at least 1e-30."""
    read = number(value, name, 0.0, most)
    if 0 < read < _MIN_RATE:
        raise NotComputed(f"{name} ({read}) must be 0 or at least {_MIN_RATE:g}")
    return read


def whole(value: Any, name: str, least: int = 1) -> int:
    """A whole number of iterations."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_ITERATION:
        raise NotComputed(f"{name} ({value!r:.80}) must be iterations, a whole number in {least} … 2**53")
    return value


def text(value: Any, name: str, most: int) -> str:
    """A text of 1 … most characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= most or not _is_unicode(value):
        raise NotComputed(f"{name} ({value!r:.80}) must be a text of 1 … {most} characters")
    return value


def one_of(*allowed: Any) -> Reader:
    """A reader of one of some values."""

    def read(value: Any, name: str) -> Any:
        if not any(type(value) is type(each) and value == each for each in allowed):  # 0 is not False here
            raise NotComputed(f"{name} ({value!r:.80}) must be one of {', '.join(map(str, allowed))} to be computed")
        return value

    return read


def optional(reader: Reader) -> Reader:
    """A reader that lets None pass, which stands for the default."""
    return lambda value, name: None if value is None else reader(value, name)


def ascending(value: Any, name: str) -> list[int]:
    """1 … 1000 iterations in ascending order."""
    if not isinstance(value, list | tuple) or not 1 <= len(value) <= 1000:  # noqa: PLR2004 - as the service has it
        raise NotComputed(f"{name} ({value!r:.80}) must be a list of 1 … 1000 iterations")
    read = [whole(each, f"{name}[{index}]") for index, each in enumerate(value)]
    if sorted(set(read)) != read:
        raise NotComputed(f"{name} ({value!r:.80}) must ascend")
    return read


share: Reader = partial(number, most=1.0)
exponent: Reader = partial(rate, most=1000.0)
positive: Reader = partial(number, least=1e-9)
whole_or_zero: Reader = partial(whole, least=0)


def _is_unicode(value: str) -> bool:
    """Whether it has no lone surrogate, which JSON can write and no UTF-8 has."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
