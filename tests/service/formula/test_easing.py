"""Easings: curve forms are exact at their ends, and plain math in between."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.formula.easing import FALLING, RISING, between, falling, number, power, rising
from support.formulas import evaluated

HEIGHTS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: x,
    "cosine": lambda x: math.sin(math.pi * x / 2) ** 2,
    "1-sqrt": lambda x: 1 - math.sqrt(1 - x),
}
"""Heights that rise from 0 to 1, written in another way than the formulas."""

ENDS = st.floats(1e-6, 1e3)


def at(formula: str, x: float) -> float:
    """The value of a formula of x."""
    return float(evaluated(formula, x=x))


@given(x=st.floats(0, 1))
def test_a_rise_is_its_form(x: float) -> None:
    """Every form goes up by its own curve; the cosine is written as the square of a sine here."""
    assert set(HEIGHTS) == set(RISING)
    for form, height in HEIGHTS.items():
        assert at(rising(form, "x"), x) == pytest.approx(height(x), rel=1e-12, abs=1e-15)


@given(x=st.floats(0, 1))
def test_a_fall_is_its_form(x: float) -> None:
    """Linear and cosine fall as they rise; 1-sqrt falls steeply first, by 1 − √x."""
    heights = {**{form: 1 - HEIGHTS[form](x) for form in ("linear", "cosine")}, "1-sqrt": 1 - math.sqrt(x)}
    assert set(heights) == set(FALLING)
    for form, height in heights.items():
        assert at(falling(form, "x"), x) == pytest.approx(height, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("form", RISING)
def test_the_ends_of_every_form_are_exact(form: str) -> None:
    """A rise is 0 at x = 0 and 1 at x = 1, a fall the other way round, to the last bit."""
    assert (at(rising(form, "x"), 0.0), at(rising(form, "x"), 1.0)) == (0.0, 1.0)
    assert (at(falling(form, "x"), 0.0), at(falling(form, "x"), 1.0)) == (1.0, 0.0)


@given(first=ENDS, last=ENDS, x=st.floats(0, 1))
def test_between_two_lrs_is_each_form_in_plain_math(first: float, last: float, x: float) -> None:
    """Linear, cosine and 1-sqrt go by their height, exponential by powers of the ratio of the ends."""
    ends = (number(first), number(last), "x")
    expected = {
        "linear": first * (1 - x) + last * x,
        "cosine": first * math.cos(math.pi * x / 2) ** 2 + last * math.sin(math.pi * x / 2) ** 2,
        "1-sqrt": first * (1 - math.sqrt(x)) + last * math.sqrt(x),
        "exponential": math.exp(math.log(first) * (1 - x) + math.log(last) * x),
    }
    for form, lr in expected.items():
        assert at(between(form, *ends), x) == pytest.approx(lr, rel=1e-9)


@pytest.mark.parametrize("form", ["linear", "cosine", "1-sqrt", "exponential"])
@given(first=ENDS, last=ENDS)
def test_between_two_lrs_begins_at_the_first(form: str, first: float, last: float) -> None:
    """At x = 0 the LR is the first end: of the linear and exponential form to the last bit."""
    formula = between(form, number(first), number(last), "x")
    is_exact = form in {"linear", "exponential"}
    assert at(formula, 0.0) == (first if is_exact else pytest.approx(first, rel=1e-9))


@pytest.mark.parametrize("form", ["cosine", "1-sqrt"])
@given(first=ENDS, last=ENDS)
def test_between_two_lrs_ends_at_the_last(form: str, first: float, last: float) -> None:
    """At x = 1 the LR of a form that is measured from its end is that end, to the last bit."""
    assert at(between(form, number(first), number(last), "x"), 1.0) == last


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (3, "3"), (-0.5, "(-0.5)"), (0.0, "0.0"), (1e-7, "1e-07"), (0.1 + 0.2, "0.30000000000000004")],
)
def test_a_number_keeps_every_digit_and_its_sign(value: float, text: str) -> None:
    """A number is written so that reading it gives it back; a negative one can stand after an operator."""
    assert number(value) == text
    assert evaluated(f"2 - {number(value)}") == 2 - value


def test_a_power_of_1_is_left_out() -> None:
    """The exponent 1 changes nothing, and the formula does not have it; a sum as base keeps its parentheses."""
    assert power("1 - x", 1.0) == "(1 - x)"
    assert at(power("1 - x", 2.0), 0.25) == 0.75**2
    assert at(power("1 - x", -1.0), 0.25) == pytest.approx(1 / 0.75)
