"""Ticks: round places within the axis, and labels of one form that are the values they stand at."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.plot.ticks import Ticks, count, iteration_ticks, linear_ticks, log_ticks, short

_UNITS = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def form(label: str) -> str:
    """A label with its digits before the point left out: what the labels of an axis have in common."""
    return re.sub(r"^-?\d+", "", label)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 0.0123, ("0", "0.002", "0.004", "0.006", "0.008", "0.010", "0.012")),
        (0.0, 1.6e-4, ("0", "0.5e-4", "1.0e-4", "1.5e-4")),
        (0.0, 3e-5, ("0", "0.5e-5", "1.0e-5", "1.5e-5", "2.0e-5", "2.5e-5", "3.0e-5")),
        (-0.002, 0.003, ("-0.002", "-0.001", "0", "0.001", "0.002", "0.003")),
        (0.0, 250_000.0, ("0", "0.5e5", "1.0e5", "1.5e5", "2.0e5", "2.5e5")),
    ],
)
def test_values_have_one_number_form(low: float, high: float, labels: tuple[str, ...]) -> None:
    """The same decimals and the same exponent: never 5e-5 beside 0.0001."""
    assert linear_ticks(low, high, 7, 7).labels == labels


@given(st.floats(-1e6, 1e6), st.floats(1e-9, 1e7), st.integers(2, 12))
def test_linear_ticks_are_what_they_say(low: float, span: float, wanted: int) -> None:
    """Within the axis, up to as many as fit, evenly spaced, and of one form."""
    if span < abs(low) * 1e-6:
        return  # no axis is narrower
    ticks = linear_ticks(low, low + span, wanted, wanted)
    assert 1 <= len(ticks.values) <= max(wanted, 5)
    assert all(low - span * 1e-6 <= value <= low + span * (1 + 1e-6) for value in ticks.values)
    steps = {round((b - a) / span, 6) for a, b in zip(ticks.values, ticks.values[1:], strict=False)}
    assert not steps or max(steps) - min(steps) <= 2e-6
    for label, value in zip(ticks.labels, ticks.values, strict=True):
        assert float(label) == pytest.approx(value, abs=span * 1e-6)
    assert len({form(label)[1:].partition("e")[2] for label in ticks.labels if label != "0"}) <= 1
    assert len({len(form(label).partition("e")[0]) for label in ticks.labels if label != "0"}) <= 1


@given(st.floats(-300, 300), st.floats(0.05, 320), st.integers(2, 12))
def test_logarithmic_ticks_are_what_they_say(low_log: float, decades: float, most: int) -> None:
    """Within the axis, up to as many as fit, and either all with an exponent or none."""
    low, high = 10.0**low_log, 10.0 ** min(low_log + decades, 307.0)
    if high < low * 1.1:
        return
    ticks = log_ticks(low, high, most)
    assert 1 <= len(ticks.values) <= max(most, 5)
    for label, value in zip(ticks.labels, ticks.values, strict=True):
        assert low * (1 - 1e-9) <= value <= high * (1 + 1e-9)
        assert math.isclose(float(label), value, rel_tol=1e-2)
    assert len({"e" in label for label in ticks.labels}) == 1


@pytest.mark.parametrize(
    ("low", "high", "most", "labels"),
    [
        (1e-5, 0.1, 6, ("1e-5", "1e-4", "1e-3", "1e-2", "1e-1")),
        (0.003, 0.1, 9, ("0.005", "0.01", "0.02", "0.05", "0.1")),
        (1e-300, 1.0, 7, ("1e-300", "1e-250", "1e-200", "1e-150", "1e-100", "1e-50", "1e0")),
        (0.0099, 0.0101, 5, ("0.00990", "0.00995", "0.01000", "0.01005", "0.01010")),
    ],
)
def test_logarithmic_ticks_of_any_range(low: float, high: float, most: int, labels: tuple[str, ...]) -> None:
    """Powers of ten, finer where there is room, and plain multiples where the range is narrow."""
    assert log_ticks(low, high, most).labels == labels


@pytest.mark.parametrize(
    ("start", "last", "labels", "offset"),
    [
        (0, 20, ("0", "5", "10", "15", "20"), 0),
        (0, 9999, ("0", "2000", "4000", "6000", "8000"), 0),
        (0, 25_000, ("0", "5k", "10k", "15k", "20k", "25k"), 0),
        (800_000, 1_200_000, ("0.8M", "0.9M", "1.0M", "1.1M", "1.2M"), 0),
        (0, 10**12, ("0", "0.2T", "0.4T", "0.6T", "0.8T", "1.0T"), 0),
        (10**12 - 20, 10**12, ("980", "985", "990", "995", "1000"), 999_999_999_000),
    ],
)
def test_iterations_have_one_number_form(start: int, last: int, labels: tuple[str, ...], offset: int) -> None:
    """All in the same unit, or counted from a round iteration on: never 500k beside 1M."""
    ticks = iteration_ticks(start, last, 6)
    assert (ticks.labels, ticks.offset) == (labels, offset)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 14))
def test_iteration_ticks_are_what_they_say(start: int, span: int, most: int) -> None:
    """Whole iterations of the window, up to as many as fit; labels and offset are their sum."""
    ticks = iteration_ticks(start, start + span, most)
    assert len(ticks.values) <= most
    for label, value in zip(ticks.labels, ticks.values, strict=True):
        assert start <= value <= start + span
        assert _iteration(label) + ticks.offset == value


def _iteration(label: str) -> int:
    unit = _UNITS.get(label[-1], 1)
    return round(float(label.rstrip("kMGT")) * unit)


@pytest.mark.parametrize(
    ("iterations", "text"),
    [
        (0, "0"),
        (9999, "9999"),
        (10_000, "10\u202f000"),
        (12_000, "12\u202f000"),
        (9_999_999, "9\u202f999\u202f999"),
        (10**7, "10M"),
        (25 * 10**8, "2.5G"),
        (15 * 10**11, "1.5T"),
        (10**12 - 20, "999\u202f999\u202f999\u202f980"),
    ],
)
def test_iterations_as_text_lose_no_digit(iterations: int, text: str) -> None:
    """A letter stands for the zeros at the end, and for nothing else."""
    assert count(iterations) == text


def test_values_as_text_have_six_digits_and_short_exponents() -> None:
    """As people write them."""
    assert [short(value) for value in (0.0, 0.01, 2e-5, 0.000123456789, 1e6)] == [
        "0",
        "0.01",
        "2e-5",
        "0.000123457",
        "1e6",
    ]
    assert isinstance(linear_ticks(0, 1, 3, 3), Ticks)
