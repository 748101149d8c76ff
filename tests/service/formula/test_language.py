"""The formula language: what it lets through, what it refuses, and that its value is Python's."""

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preheat.formula.language import CONSTANTS, FUNCTIONS, checked, compiled, parsed, substituted
from support.formulas import ERRORS, FORMULAS, evaluated, same

NAMES = ("s", "b")


def value(formula: str, s: float = 0.0, b: float = 1.0) -> float:
    """The formula's value at one iteration, for one base LR."""
    return compiled(formula)((s,), (b,))[0]


@settings(max_examples=500)
@given(text=FORMULAS, s=st.floats(0, 1000), b=st.floats(0, 10))
def test_a_formula_has_the_value_that_python_gives_it(text: str, s: float, b: float) -> None:
    """Checked and compiled, a formula gives to the last bit what Python's eval of its text gives, or fails with it."""
    expected = evaluated(text, s=s, b=b)
    formula = checked(text, NAMES)
    if expected is None:
        with pytest.raises(ERRORS):
            value(formula, s, b)
    else:
        assert same(value(formula, s, b), expected)


@given(text=FORMULAS)
def test_the_canonical_notation_is_its_own(text: str) -> None:
    """What has been checked once comes out of a second check unchanged, so that a stored formula keeps its id."""
    once = checked(text, NAMES)
    assert checked(once, NAMES) == once


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        (" 1+s ", "1.0 + s"),
        ("2 ** s", "pow(2.0, s)"),
        ("-s ** 2", "-pow(s, 2.0)"),
        ("2 ** 3 ** s", "pow(2.0, pow(3.0, s))"),
        ("((s))", "s"),
        ("1_000", "1000.0"),
        ("0x10", "16.0"),
        ("1e3", "1000.0"),
        ("1e-320", "1e-320"),
        ("s if s<3 else(b)", "s if s < 3.0 else b"),
        ("0 < s <= 9 and not b", "0.0 < s <= 9.0 and (not b)"),
        ("max(s,pi)", "max(s, pi)"),
        ("cos(2 ** s)", "cos(pow(2.0, s))"),
        ("\N{MATHEMATICAL BOLD SMALL S} + 1", "s + 1.0"),
    ],
)
def test_a_formula_is_written_down_in_one_way(text: str, canonical: str) -> None:
    """Every number becomes a float, every power a call of pow, and blanks and parentheses those that are needed."""
    assert checked(text, NAMES) == canonical


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("s.real", "must not contain s.real"),
        ("(1).__class__", "must not contain"),
        ("cos.__self__", "must not contain cos.__self__"),
        ("s[0]", "must not contain s[0]"),
        ("[s]", "must not contain [s]"),
        ("(s, b)", "must not contain (s, b)"),
        ("{s}", "must not contain {s}"),
        ("{s: b}", "must not contain {s: b}"),
        ("[s for s in b]", "must not contain [s for s in b]"),
        ("sum(s for s in b)", "must not call sum"),
        ("max(s for s in b)", "must give max 2 to 8 arguments"),
        ("(lambda: s)", "must not contain lambda: s"),
        ("(s := 3)", "must not contain (s := 3)"),
        ("f'{s}'", "must not contain f'{s}'"),
        ("'s'", "must not contain 's': numbers only"),
        ("b's'", "must not contain b's': numbers only"),
        ("...", "must not contain ...: numbers only"),
        ("None", "must not contain None: numbers only"),
        ("True", "must not contain True: numbers only"),
        ("1j", "must not contain 1j: numbers only"),
        ("1e999", "must not contain a number that is not finite"),
        ("-1e999", "must not contain a number that is not finite"),
        ("9" * 400, "must not contain a number that is not finite"),
        ("max(*s, b)", "must not contain *s"),
        ("max(s, **b)", "must give max 2 to 8 arguments"),
        ("max(s, b, key=abs)", "must give max 2 to 8 arguments"),
        ("max(s)", "must give max 2 to 8 arguments"),
        ("max(s,s,s,s,s,s,s,s,s)", "must give max 2 to 8 arguments"),
        ("cos()", "must give cos 1 argument"),
        ("pow(s)", "must give pow 2 arguments"),
        ("cos(s)(s)", "must not call cos(s)"),
        ("abs", "must not name abs"),
        ("pi(s)", "must not call pi"),
        ("x", "must not name x (known: b, e, pi, s; functions: abs, ceil"),
        ("__builtins__", "must not name __builtins__"),
        ("print(s)", "must not call print (known: abs, ceil"),
        ("s & b", "must not contain"),
        ("s << 2", "must not contain"),
        ("s @ b", "must not contain"),
        ("~s", "must not contain"),
        ("s is b", "must not contain"),
        ("s in b", "must not contain"),
        ("s = 3", "is not a formula"),
        ("s\nb", "is not a formula"),
        ("s; b", "is not a formula"),
        ("import os", "is not a formula"),
        ("s +", "is not a formula"),
        ("", "is not a formula"),
        ("   ", "is not a formula"),
        ("s\0", "is not a formula"),
        ("\ud800", "is not a formula: it has a character"),
        ("(" * 400 + "s" + ")" * 400, "is not a formula: too"),
    ],
)
def test_what_is_no_arithmetic_is_refused(text: str, rule: str) -> None:
    """Attributes, containers, code, texts, other calls and other operators are refused, and named in the message."""
    with pytest.raises(ValueError, match=r"must not|must give|is not a formula") as refused:
        checked(text, NAMES)
    assert str(refused.value).startswith(rule)


_CHAIN = "+".join(["s"] * 50)


@pytest.mark.parametrize(
    ("longest", "too_long", "rule"),
    [
        ("s" + " " * 999, "s" + " " * 1000, "must have at most 1000 characters"),
        (f"-({_CHAIN})+({_CHAIN[:-1]}1)", f"-({_CHAIN})+({_CHAIN})", "must have at most 400 parts"),
        ("-" * 57 + "s", "-" * 58 + "s", "must be nested at most 60 deep"),
    ],
)
def test_a_formula_is_bounded_in_length_parts_and_depth(longest: str, too_long: str, rule: str) -> None:
    """The longest formula of each kind is let through, and one more character, part or level is refused."""
    assert checked(longest, NAMES)
    with pytest.raises(ValueError, match=rule):
        checked(too_long, NAMES)


def test_every_function_and_constant_has_the_value_of_math() -> None:
    """Each name that the language has stands for Python's function or constant of that name."""
    for name, (_, arity) in FUNCTIONS.items():
        arguments = ", ".join(["0.7", "0.3"][: arity.start])
        assert value(checked(f"{name}({arguments})", ())) == evaluated(f"{name}({arguments})")
    assert {name: value(name) for name in CONSTANTS} == {"pi": math.pi, "e": math.e}


def test_a_compiled_formula_goes_through_iterations_and_within_each_through_bases() -> None:
    """The values are those of every base LR at the first iteration, then at the second, and so on."""
    assert compiled("b * 10 + s")(range(3), (1.0, 2.0)) == [10.0, 20.0, 11.0, 21.0, 12.0, 22.0]


def test_a_compiled_formula_reaches_no_builtin() -> None:
    """Even a text that nobody checked finds no function of Python's but those of the language."""
    with pytest.raises(NameError, match="open"):
        value("open('x')")


@pytest.mark.parametrize(
    ("formula", "replacements", "expected"),
    [
        ("2 * s", {"s": "n - 3"}, "2 * (n - 3)"),
        ("s ** 2", {"s": "-n"}, "(-n) ** 2"),
        ("s - b", {"s": "b", "b": "s"}, "b - s"),
        ("s + s", {"s": "s + 1"}, "s + 1 + (s + 1)"),
        ("max(s, 0)", {"s": "1 if n else 2"}, "max(1 if n else 2, 0)"),
        ("b", {"s": "n"}, "b"),
    ],
)
def test_a_formula_takes_the_place_of_a_name(formula: str, replacements: dict[str, str], expected: str) -> None:
    """Names are replaced all at once, each by a formula that keeps its own precedence."""
    assert substituted(formula, replacements) == expected


@settings(max_examples=200)
@example(outer="(s if s else s) if s else s", inner="s if s else s", s=1.0, b=1.0)
@given(outer=FORMULAS, inner=FORMULAS, s=st.floats(0, 50), b=st.floats(0.1, 2))
def test_substitution_is_composition(outer: str, inner: str, s: float, b: float) -> None:
    """The formula with another in the place of s has the value of the one at the value of the other."""
    at = evaluated(inner, s=s, b=b)
    expected = None if at is None else evaluated(outer, s=at, b=b)
    if expected is not None:
        assert same(value(substituted(outer, {"s": inner}), s, b), expected)


def test_a_parsed_formula_is_its_expression() -> None:
    """The tree of a formula is that of the expression itself, not of a module around it."""
    assert type(parsed("s + 1")).__name__ == "BinOp"
