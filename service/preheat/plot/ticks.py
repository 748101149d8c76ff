"""Ticks of an axis and numbers as text: round places, and one number form for all of them."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_THIN_SPACE = "\u202f"
_UNITS = ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_MOST_DECIMALS = 3
_FEW = 3
_GROUPED = 10_000
_PLAIN = (1e-3, 1e5)
"""Axes whose largest number is in here are written without exponents."""


@dataclass(frozen=True)
class Ticks:
    """Values of an axis with their labels; all have the same form. The axis may count from `offset` on."""

    values: tuple[float, ...]
    labels: tuple[str, ...]
    offset: int = 0


def short(value: float) -> str:
    """A value as text, with up to six digits: 0.000123457, 2e-5."""
    mantissa, _, exponent = f"{value:.6g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def count(iterations: int) -> str:
    """A number of iterations as text: 12 000, 25M, 1.5T."""
    for unit, letter in _UNITS[:3]:
        # below ten million every digit is written, and above if there are more than six
        if iterations >= max(unit, 10**7) and iterations * 10**5 % 10 ** (len(str(iterations)) - 1) == 0:
            return f"{iterations / unit:.6g}{letter}"
    return grouped(iterations)


def grouped(iterations: int) -> str:
    """Every digit, in groups of three if there are more than four: 2000 as on an axis, 12 000."""
    return f"{iterations:,}".replace(",", _THIN_SPACE) if abs(iterations) >= _GROUPED else str(iterations)


def linear_ticks(low: float, high: float, wanted: int, most: int) -> Ticks:
    """Multiples of 1, 2 or 5 times a power of ten in low … high: up to `wanted`.

    Where that would be less than three, a finer step gives up to `most`.
    """
    step, exponent = _round_step(min(high - low, sys.float_info.max) / max(wanted, 1))
    while len(_multiples(low, high, step, exponent)) > max(wanted, 1):
        step, exponent = _next_step(step, exponent)
    multiples = _multiples(low, high, step, exponent)
    while len(multiples) < _FEW:
        finer_step, finer_exponent = _finer_step(step, exponent)
        finer = _multiples(low, high, finer_step, finer_exponent)
        if len(finer) > most and multiples:
            break
        multiples, step, exponent = finer, finer_step, finer_exponent
    return Ticks(tuple(_times_power(multiple, exponent) for multiple in multiples), _labels(multiples, exponent))


def log_ticks(low: float, high: float, most: int) -> Ticks:
    """Powers of ten in low … high; also 2 and 5 times these where there is room, and multiples where there are few."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = [decade for decade in decades if low <= _times_power(1, decade) <= high]
    finer = [(digit, decade) for decade in decades for digit in (1, 2, 5) if low <= _times_power(digit, decade) <= high]
    if len(within) > 1:
        chosen = finer if len(finer) <= most else [(1, decade) for decade in _spread(within, max(most, 2))]
    elif len(finer) < _FEW:  # which would not show that the axis is logarithmic
        return linear_ticks(low, high, most, most)
    else:
        chosen = finer[:: math.ceil(len(finer) / max(most, 1))]
    values = tuple(_times_power(digit, decade) for digit, decade in chosen)
    if values and values[0] >= _PLAIN[0] and values[-1] < _PLAIN[1]:
        return Ticks(values, tuple(f"{value:g}" for value in values))
    return Ticks(values, tuple(f"{digit}e{decade}" for digit, decade in chosen))


def iteration_ticks(start: int, last: int, most: int) -> Ticks:
    """Round iterations of start … last: plain numbers up to 9999, all in thousands (k), millions (M), … above.

    Where that would take more than three decimals, they are counted from a round iteration `offset` on.
    """
    step, exponent = _round_step(max((last - start) / max(most, 1), 1))
    while True:
        spacing = max(step * 10**exponent, 1)
        values = range(-(-start // spacing) * spacing, last + 1, spacing)
        if len(values) <= max(most, 1):
            break
        step, exponent = _next_step(step, exponent)
    return _counted(values, last)


def _counted(values: range, last: int) -> Ticks:
    plain = tuple(float(value) for value in values)
    if last < _GROUPED:  # five digits and more read better as 10k
        return Ticks(plain, tuple(str(value) for value in values))
    unit, letter = next((unit, letter) for unit, letter in _UNITS if last >= unit)
    decimals = next((places for places in range(_MOST_DECIMALS + 1) if values.step * 10**places % unit == 0), None)
    if decimals is not None:
        labels = (f"{value / unit:.{decimals}f}{letter}" if value else "0" for value in values)
        return Ticks(plain, tuple(labels))
    round_to = 10 ** len(str(values.step * len(values) * 10))
    offset = values.start // round_to * round_to
    shifted = _counted(range(values.start - offset, values.stop - offset, values.step), values.stop - offset)
    return Ticks(plain, shifted.labels, offset + shifted.offset)


def _labels(multiples: Sequence[int], exponent: int) -> tuple[str, ...]:
    """Numbers multiple · 10^exponent with the same decimals, and with the same exponent if they have one."""
    largest = max(abs(multiple) for multiple in multiples) if multiples else 0
    size = largest * 10.0**exponent
    power = 0
    if largest and not (_PLAIN[0] <= size < _PLAIN[1] and -exponent <= _MOST_DECIMALS + 3):
        power = len(str(largest)) - 1 + exponent
    decimals = max(power - exponent, 0)
    suffix = f"e{power}" if power else ""
    return tuple(
        f"{multiple * 10.0 ** (exponent - power):.{decimals}f}{suffix}" if multiple else "0" for multiple in multiples
    )


def _round_step(least: float) -> tuple[int, int]:
    """The power of ten at or below `least`, from which to look for a step: its digit, 1, and its exponent."""
    return 1, math.floor(math.log10(least)) if least > 0 else 0


def _spread(decades: list[int], most: int) -> list[int]:
    """Up to `most` ≥ 2 of successive decades, at even distances."""
    # each stride is at most twice the one before, so that no step leads from too many to none
    strides = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500)
    multiples = ([decade for decade in decades if decade % stride == 0] for stride in strides)
    return next(chosen for chosen in multiples if len(chosen) <= most)


def _multiples(low: float, high: float, step: int, exponent: int) -> list[int]:
    """The multiples of a step in low … high, in units of 10^exponent."""
    unit = step * 10.0**exponent or 5e-324  # of subnormal LRs
    return [place * step for place in range(math.ceil(low / unit - 1e-9), math.floor(high / unit + 1e-9) + 1)]


def _finer_step(digit: int, exponent: int) -> tuple[int, int]:
    return {1: (5, exponent - 1), 2: (1, exponent), 5: (2, exponent)}[digit]


def _next_step(digit: int, exponent: int) -> tuple[int, int]:
    return {1: (2, exponent), 2: (5, exponent), 5: (1, exponent + 1)}[digit]


def _times_power(multiple: int, exponent: int) -> float:
    """Multiple · 10^exponent, the float nearest to it."""
    return float(f"{multiple}e{exponent}")
