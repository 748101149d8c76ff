"""Printers: a formula has the same value in the notation of a library as in ours."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from preheat.formula.language import checked, substituted
from preheat.formula.printers import in_arrays, in_python
from support.formulas import FORMULAS, evaluated, same


def _of_arrays(function: Callable[..., float]) -> Callable[..., Any]:
    """A function of math for each value of an array, NaN where it has none: all branches of a choice are computed."""

    def of_values(*values: float) -> float:
        try:
            return function(*values)
        except (ArithmeticError, ValueError):
            return math.nan

    return np.vectorize(of_values, otypes=[float])


ARRAYS = SimpleNamespace(
    where=np.where,
    logical_and=np.logical_and,
    logical_or=np.logical_or,
    logical_not=np.logical_not,
    power=_of_arrays(math.pow),
    abs=np.abs,
    **{name: _of_arrays(getattr(math, name)) for name in ("cos", "exp", "log", "sin", "sqrt", "tanh")},
)
"""What a printed formula uses of a library of arrays, with the functions of math: numpy's differ in the last bit."""


def in_arrays_of(formula: str, n: list[float], b: float = 1.0) -> Any:
    """The values of a formula, as it is printed for arrays, at each n."""

    def pick(values: tuple[float, ...], index: Any) -> Any:
        return np.array(values)[index.astype(int)]

    scope = {"arrays": ARRAYS, "math": math, "pick": pick, "n": np.array(n), "b": np.float64(b)}
    assignments, value = in_arrays(formula, "arrays")
    with np.errstate(all="ignore"):
        exec("\n".join(assignments), scope)  # noqa: S102 - drawn, or below
        return np.broadcast_to(eval(value, scope), (len(n),))  # noqa: S307


@settings(max_examples=300)
@given(text=FORMULAS, s=st.floats(0, 100), b=st.floats(0.1, 2))
def test_in_python_a_formula_keeps_its_value(text: str, s: float, b: float) -> None:
    """Printed for Python's math module, a formula gives to the last bit what it gives here."""
    formula = checked(text, ("s", "b"))
    printed = in_python(formula)
    expected = evaluated(formula, s=s, b=b)
    if expected is not None:
        assert same(eval(printed, {"math": math, "s": s, "b": b}), expected)  # noqa: S307


@settings(max_examples=500)
@given(text=FORMULAS, points=st.lists(st.floats(0, 100), min_size=3, max_size=3), b=st.floats(0.1, 2))
def test_in_arrays_a_formula_keeps_its_value(text: str, points: list[float], b: float) -> None:
    """Printed for whole arrays, a formula has at each of their places the value it has here, where it has one.

    All branches are computed there, which is no error; a value that is not finite may be another one.
    """
    formula = checked(substituted(text, {"s": "n"}), ("n", "b"))
    floats = {"floor": lambda x: float(math.floor(x)), "ceil": lambda x: float(math.ceil(x))}
    try:
        values = in_arrays_of(formula, points, b)
    except ZeroDivisionError:  # of two constants, which are Python's own numbers in a script too
        reject()
    for n, value in zip(points, values, strict=True):
        expected = evaluated(formula, n=n, b=b, **floats)
        if expected is not None and math.isfinite(expected):
            assert float(value) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(n > 1.0) + (n > 2.0)", [0, 1, 2]),
        ("-(n > 1.0)", [0, -1, -1]),
        ("1.0 - (not n > 1.0)", [0, 1, 1]),
        ("n and 5.0", [5, 5, 5]),
        ("(n - 1.0) and 5.0", [0, 5, 5]),
        ("(n - 1.0) or 7.0", [7, 1, 2]),
        ("(n - 1.0) and (n - 2.0) and 9.0", [0, 0, 9]),
        ("n == 2.0 or n == 3.0", [0, 1, 1]),
        ("1.0 < n < 3.0", [0, 1, 0]),
        ("max(n > 1.0, 0.5)", [0.5, 1, 1]),
        ("1.0 if n > 1.0 and n < 3.0 else 0.0", [0, 1, 0]),
        ("floor(n / 2.0) + ceil(n / 2.0)", [1, 2, 3]),
        ("(0.5, 0.25, 0.125,)[min(n - 1.0, 2.0)]", [0.5, 0.25, 0.125]),
    ],
)
def test_conditions_count_as_numbers_in_arrays_as_in_python(formula: str, expected: list[float]) -> None:
    """A comparison is 1 or 0, `and` and `or` give one of their operands: at n = 1, 2 and 3 as Python has it."""
    assert in_arrays_of(formula, [1.0, 2.0, 3.0]).tolist() == expected
    if "[" not in formula:
        assert [evaluated(formula, n=n) for n in (1.0, 2.0, 3.0)] == expected
