"""Random formulas for tests of the formula language, with Python's own eval as the reference."""

import math
from typing import Any

from hypothesis import strategies as st

_ATOMS = st.sampled_from(["s", "b", "pi", "e"]) | st.floats(0, 100).map(lambda value: f"{value:.3f}")
_ARITHMETIC = st.sampled_from(["+", "-", "*", "/", "//", "%"])
_COMPARISONS = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_FUNCTIONS = st.sampled_from(["abs", "ceil", "cos", "exp", "floor", "log", "sin", "sqrt", "tanh"])


def _larger(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Formulas of smaller ones, mostly without parentheses, so that precedence is put to the test."""
    return st.one_of(
        st.builds("{} {} {}".format, parts, _ARITHMETIC, parts),
        st.builds("({} {} {})".format, parts, _ARITHMETIC, parts),
        st.builds("({} {} {} {} {})".format, parts, _COMPARISONS, parts, _COMPARISONS, parts),
        st.builds("({} {} {})".format, parts, st.sampled_from(["and", "or"]), parts),
        st.builds("(not {})".format, parts),
        st.builds("-{}".format, parts),
        st.builds("({} if {} else {})".format, parts, parts, parts),
        st.builds("{}({})".format, _FUNCTIONS, parts),
        # Of bases ≥ 0: a power of a negative one may be complex in Python, and is an error here.
        st.builds("(abs({}) ** ({}))".format, parts, parts),
        st.builds("pow({}, {})".format, parts, parts),
        st.builds(
            "{}({})".format,
            st.sampled_from(["min", "max"]),
            st.lists(parts, min_size=2, max_size=4).map(", ".join),
        ),
    )


FORMULAS = st.recursive(_ATOMS, _larger, max_leaves=12).filter(lambda text: len(text) < 600)
"""Formulas in `s` and `b`."""

ERRORS = (ArithmeticError, ValueError)


def evaluated(text: str, **names: Any) -> Any:
    """What Python itself makes of a text, with the functions of `math`; None where it has no value."""
    functions = {name: getattr(math, name) for name in ("ceil", "cos", "exp", "floor", "log", "sin", "sqrt", "tanh")}
    scope = {**functions, "abs": abs, "min": min, "max": max, "pow": math.pow, "pi": math.pi, "e": math.e}
    try:
        return eval(text, {"__builtins__": {}}, {**scope, **names})  # noqa: S307 - drawn above
    except ERRORS:
        return None


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal to the last bit, a NaN to a NaN."""
    return bool(first == second or (first != first and second != second))  # noqa: PLR0124
