"""Every shape that torch lacks has the LRs of its source, written out in plain math."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import support.specs
from after_schedulers import COMPOSITIONS, EXAMPLES, LEFT, SHAPES, TOTAL, WARMUP, example_id
from preheat.curve import Curve
from preheat.errors import UndefinedLR
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, parse_spec
from preheat.specs.after_schedulers import SHAPES as ALL_SHAPES
from preheat.specs.after_schedulers.piecewise import ExpressionLR
from shape_reference import reference

TARGETS = (0.02, 1.5)


def curve(after_scheduler: dict[str, Any], warmup: int = WARMUP, left: int = LEFT, targets: Any = TARGETS) -> Curve:
    """The curve of a scheduler, one param group per target."""
    groups = [{"target_lr": lr} for lr in targets]
    warmup_field, total = {"iterations": warmup}, warmup + left
    return support.specs.curve_after(after_scheduler, total_iterations=total, warmup=warmup_field, param_groups=groups)


def lrs(after_scheduler: dict[str, Any], left: int = LEFT, target: float = 1.0) -> list[float]:
    """LRs of a scheduler's own iterations 0 … left, without a warm-up."""
    column: list[float] = curve(after_scheduler, 0, left, (target,)).window(0, left + 1)[:, 0].tolist()
    return column


def refusal(after_scheduler: dict[str, Any]) -> str:
    """What is said about a spec with this scheduler."""
    with pytest.raises(InvalidSpec) as caught:
        curve(after_scheduler)
    return str(caught.value)


def test_every_shape_has_an_example() -> None:
    """A new shape is not done before it is in the list that all tests of shapes go through."""
    assert {example["type"] for example in SHAPES} == set(ALL_SHAPES) - {"ExpressionLR"}


@pytest.mark.parametrize("example", SHAPES, ids=example_id)
def test_a_shape_is_its_source(example: dict[str, Any]) -> None:
    """At iterations 1 … N of its own clock, and for two targets, a shape has its source's LRs to rel 1e-12."""
    expected = reference(example, LEFT, WARMUP)
    actual = curve(example).window(WARMUP + 1, TOTAL + 1)
    rows = [[expected(s, b) for b in TARGETS] for s in range(1, LEFT + 1)]
    np.testing.assert_allclose(actual, rows, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("example", SHAPES, ids=example_id)
def test_a_shape_without_a_warmup_starts_at_its_own_0(example: dict[str, Any]) -> None:
    """Without a warm-up iteration 0 has the shape's first value."""
    expected = reference(example, LEFT, 0)
    actual = curve(example, warmup=0).window(0, 2)
    np.testing.assert_allclose(actual, [[expected(s, b) for b in TARGETS] for s in (0, 1)], rtol=1e-12)


def test_a_cosine_ends_at_its_floor_to_the_last_bit() -> None:
    """A cosine is b at 0, half-way in the middle, and exactly min_lr at its end and after it."""
    values = lrs({"type": "CosineLR", "length": 40, "min_lr": 0.1})
    assert (values[0], values[40], values[50]) == (1.0, 0.1, 0.1)
    assert values[20] == pytest.approx(0.55, rel=1e-15)


def test_restarts_with_shrinking_cycles_end_with_the_last_whole_one() -> None:
    """With T_0 8 and T_mult ½ there are cycles of 8, 4, 2 and 1 iterations, and then min_lr."""
    values = lrs({"type": "CosineRestartsLR", "T_0": 8, "T_mult": 0.5, "min_lr": 0.01}, 30)
    assert [n for n, lr in enumerate(values) if lr == 1.0] == [0, 8, 12, 14]
    assert set(values[15:]) == {0.01}


@given(
    first=st.integers(1, 10**6),
    growth=st.integers(2, 9),
    cycle=st.integers(0, 39),
    before=st.sampled_from([0, 1, 2, 17]),
)
@example(first=10, growth=3, cycle=17, before=1)  # iteration 1,937,102,439
def test_restarts_are_at_their_iteration_in_a_long_run(first: int, growth: int, cycle: int, before: int) -> None:
    """Up to 10¹² iterations a cycle begins at T_0 · (T_mult^k − 1) / (T_mult − 1), and not one earlier."""
    length = first * growth**cycle
    n = first * (growth ** (cycle + 1) - 1) // (growth - 1) - before
    assume(n <= 10**12 and before <= length)
    x = 1 - before / length if before else 0.0
    asked = curve({"type": "CosineRestartsLR", "T_0": first, "T_mult": float(growth)}, 0, 10**12, (1.0,))
    assert asked.lr(n) == pytest.approx([math.cos(math.pi * x / 2) ** 2], rel=1e-6, abs=1e-9)


def test_deepseek_v3_hands_over_continuously() -> None:
    """Each phase goes on where the one before ended, and only the step that is asked for is a jump."""
    values = lrs(
        {
            "type": "PhasesLR",
            "phases": [
                {"length": 30},
                {"shape": "cosine", "length": 12, "to": 0.1},
                {"length": 5},
                {"from": 0.033},
            ],
        }
    )
    assert values[30] == 1.0
    assert values[36] == pytest.approx(0.55)
    assert values[42:47] == [0.1] * 5
    assert values[47:] == [0.033] * 4


EXPRESSIONS: list[tuple[str, Callable[[int], float]]] = [
    ("0.95 ** n", lambda n: 0.95**n),
    ("1 if n < T / 2 else 0.1", lambda n: 1 if n < TOTAL / 2 else 0.1),
    ("min(1, sqrt(W / max(n, 1)))", lambda n: min(1, math.sqrt(WARMUP / n))),
    ("(1 + cos(pi * s / N)) / 2", lambda n: (1 + math.cos(math.pi * (n - WARMUP) / LEFT)) / 2),
    ("abs(floor(n / 3) - ceil(n / 3)) + exp(-n) + log(e) + pow(2, -1)", lambda n: (n % 3 > 0) + math.exp(-n) + 1.5),
    (
        "tanh(s) * sin(1) if 2 < s <= 9 and not s == 4 else 0.5",
        lambda n: math.tanh(n - 10) * math.sin(1) if n - 10 in {3, 5, 6, 7, 8, 9} else 0.5,
    ),
    ("s // 7 + s % 3", lambda n: (n - 10) // 7 + (n - 10) % 3),
]


@pytest.mark.parametrize(("text", "expected"), EXPRESSIONS, ids=[text for text, _ in EXPRESSIONS])
def test_an_expression_is_a_factor_of_the_target(text: str, expected: Callable[[int], float]) -> None:
    """The LR is b times the expression, in which n, T, W, s and N have their values."""
    actual = curve({"type": "ExpressionLR", "expression": text}).window(WARMUP + 1, TOTAL + 1)
    rows = [[b * expected(n) for b in TARGETS] for n in range(WARMUP + 1, TOTAL + 1)]
    np.testing.assert_allclose(actual, rows, rtol=1e-12)


def test_an_expression_inside_a_sequence_counts_the_runs_iterations() -> None:
    """Inside a sequence n stays the iteration of the run, and s starts again with the child's turn."""
    turns = [{"type": "ConstantLR", "factor": 1.0}, {"type": "ExpressionLR", "expression": "n + s / 1000"}]
    values = curve({"type": "SequentialLR", "schedulers": turns, "milestones": [20]}, targets=(1.0,))
    assert values.lr(WARMUP + 25) == [pytest.approx(WARMUP + 25 + 0.005)]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("9 ** 9 ** 9", "math range error"),
        ("9**9**9**9**9**9", "math range error"),
        ("n.__class__", "must not contain n.__class__"),
        ("().__class__", "must not contain"),
        ("__import__('os')", "must not call __import__"),
        ("open(1)", "must not call open"),
        ("(lambda: 1)()", "must not call lambda: 1"),
        ("[1][0]", "must not contain [1][0]"),
        ("'a' * 9", "must not contain 'a'"),
        ("x + 1", "must not name x (known: N, T, W, e, n, pi, s; functions: abs"),
        ("cos", "must not name cos"),
        ("1 +", "is not a formula"),
        ("n; n", "is not a formula"),
        ("n := 3", "is not a formula"),
        ("(" * 300 + "n" + ")" * 300, "is not a formula"),
        ("+".join(["n"] * 450), "must have at most 400 parts"),
        ("-" * 100 + "n", "must be nested at most 60 deep"),
        ("n" * 1001, "must have at most 1000 characters"),
        ("cos(n, n)", "must give cos 1 argument"),
        ("min(n)", "must give min 2 to 8 arguments"),
        ("max(n, key=n)", "must give max"),
        ("1 / abs(n - 30)", "at s = 20: float division by zero"),
        ("1 - n / 30", "at s = 21 the LR is -"),
        ("sqrt(20 - n)", "at s = 11"),
        ("1e999", "a number that is not finite"),
        ("1" * 400, "a number that is not finite"),
        ("True", "must not contain True"),
        ("n if n > 3", "is not a formula"),
        ("n @ n", "must not contain"),
        ("n ** n ** n", "math range error"),
    ],
)
def test_an_expression_that_is_not_one_is_refused(text: str, rule: str) -> None:
    """Nothing but bounded arithmetic gets in, and it must have a value at every iteration."""
    message = refusal({"type": "ExpressionLR", "expression": text})
    assert message.startswith("after_scheduler.expression")
    assert rule in message


def test_an_expression_that_fails_between_the_places_looked_at_says_where() -> None:
    """In a long run not every iteration is looked at beforehand; asking for one without a value is an error."""
    asked = curve({"type": "ExpressionLR", "expression": "1 / abs(n - 1234567)"}, 0, 10**7 + 7, (1.0,))
    assert asked.lr(1234566) == [1.0]
    with pytest.raises(UndefinedLR, match=r"ExpressionLR has no LR at its iteration s = 1234567: .*division by zero"):
        asked.lr(1234567)
    with pytest.raises(UndefinedLR, match="s = 1234567"):
        asked.window(1234560, 1234570)


@pytest.mark.parametrize(
    ("after_scheduler", "message"),
    [
        (
            {"type": "CosineLR", "min_lr": 0.1, "min_ratio": 0.1},
            "after_scheduler.min_ratio (0.1) must not be given beside",
        ),
        ({"type": "WSDLR", "decay_length": 60}, "after_scheduler.decay_length (60) must not exceed length (50)"),
        ({"type": "FlatCosineLR", "flat_length": 50}, "after_scheduler.flat_length (50) must be less than length (50)"),
        ({"type": "CosineRestartsLR"}, "after_scheduler.T_0 (null) is required, or periods"),
        ({"type": "CosineRestartsLR", "T_0": 3, "periods": [3]}, "after_scheduler.T_0 (3) is required, or periods"),
        ({"type": "CosineRestartsLR", "T_0": 3, "weights": [3]}, "after_scheduler.weights ([3.0]) must stand beside"),
        ({"type": "CosineRestartsLR", "T_0": 3, "T_mult": 1.00009}, "T_mult (1.00009) must be 1, or differ from it by"),
        ({"type": "CosineRestartsLR", "periods": [3, 4], "weights": [3]}, "must have one entry per period: 2, not 1"),
        ({"type": "CosineRestartsLR", "periods": [3], "cycles": 3}, "cycles (3) must not be given beside periods"),
        ({"type": "CosineRestartsLR", "T_0": 1, "decay": 1e6}, "makes the LR grow beyond 1e100"),
        ({"type": "ExponentialDecayLR", "decay_rate": 1e6, "decay_length": 1}, "makes the LR grow beyond 1e100"),
        ({"type": "PhasesLR", "phases": [{}, {}]}, "phases[0].length (null) is required in every phase but the last"),
        ({"type": "PhasesLR", "phases": [{"length": 50}, {}]}, "phases[1].length (null) has no default here"),
        ({"type": "PhasesLR", "phases": [{"shape": "linear"}]}, "phases[0].to (null) is required in a linear phase"),
        ({"type": "PhasesLR", "phases": [{"shape": "exponential", "to": 0.0}]}, "phases[0].to (0.0) must be > 0"),
        ({"type": "PhasesLR", "phases": [{"form": 3}]}, "phases[0].form is not a known field; did you mean from?"),
        (
            {"type": "PiecewiseLR", "points": [{"at": 3, "lr": 1.0}, {"at": 3, "lr": 1.0}]},
            "points[1].at (3) must be greater",
        ),
        ({"type": "PiecewiseLR", "points": [{"at": 3}]}, "points[0].lr (null) is required, or factor"),
        ({"type": "PiecewiseLR", "points": [{"at": 3, "lr": 0.0}], "interpolation": "exponential"}, "must be > 0"),
        ({"type": "ExpressionLR", "expression": "n", "length": 3}, "after_scheduler.length (3) must be 50 here"),
        ({"type": "ClampLR", "scheduler": {"type": "CosineLR"}}, "there is nothing to clamp to"),
        (
            {"type": "ClampLR", "scheduler": {"type": "CosineLR"}, "min_lr": 1.0, "min_ratio": 1.0},
            "must not be given beside",
        ),
        (
            {"type": "ClampLR", "scheduler": {"type": "CosineLR"}, "min_lr": 1.0, "max_lr": 0.5},
            "must not exceed max_lr",
        ),
        (
            {"type": "WindowLR", "scheduler": {"type": "CosineLR"}, "begin": 60},
            "end (50) must be greater than begin (60)",
        ),
        ({"type": "CooldownLR", "scheduler": {"type": "CosineLR"}, "length": 60}, "length (60) must not exceed the 50"),
    ],
)
def test_what_contradicts_itself_is_refused(after_scheduler: dict[str, Any], message: str) -> None:
    """A shape whose fields exclude each other is refused by field, value and rule."""
    assert message in refusal(after_scheduler)


A, B = {"type": "CosineLR", "min_ratio": 0.1}, {"type": "ExponentialLR", "gamma": 0.97}
LR_A = [0.1 + 0.9 * (1 + math.cos(math.pi * s / LEFT)) / 2 for s in range(LEFT + 1)]
LR_B = [0.97**s for s in range(LEFT + 1)]


@pytest.mark.parametrize(
    ("after_scheduler", "expected"),
    [
        ({"type": "ProductLR", "schedulers": [A, B]}, [a * b for a, b in zip(LR_A, LR_B, strict=True)]),
        ({"type": "MaxLR", "schedulers": [A, B]}, [max(pair) for pair in zip(LR_A, LR_B, strict=True)]),
        ({"type": "MinLR", "schedulers": [A, B]}, [min(pair) for pair in zip(LR_A, LR_B, strict=True)]),
        ({"type": "ClampLR", "scheduler": B, "min_lr": 0.3, "max_ratio": 0.9}, [min(max(b, 0.3), 0.9) for b in LR_B]),
        (
            {"type": "WindowLR", "scheduler": B, "begin": 10, "end": 30},
            [LR_B[min(max(s - 10, 0), 20)] for s in range(51)],
        ),
        (
            {"type": "CooldownLR", "scheduler": B, "length": 10, "min_lr": 0.01},
            [*LR_B[:41], *(0.01 + (LR_B[40] - 0.01) * (1 - x / 10) for x in range(1, 11))],
        ),
        (
            {"type": "CooldownLR", "scheduler": B, "length": 10, "shape": "1-sqrt"},
            [*LR_B[:41], *(LR_B[40] * (1 - math.sqrt(x / 10)) for x in range(1, 11))],
        ),
        (
            {"type": "CooldownLR", "scheduler": B, "length": 10, "shape": "cosine"},
            [*LR_B[:41], *(LR_B[40] * (1 + math.cos(math.pi * x / 10)) / 2 for x in range(1, 11))],
        ),
        (
            {"type": "ProductLR", "schedulers": [{"type": "MultiplicativeLR", "lr_lambda": 0.97}, A]},
            [a * b for a, b in zip(LR_A, LR_B, strict=True)],
        ),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_compositions_combine_their_schedulers(after_scheduler: dict[str, Any], expected: list[float]) -> None:
    """At each iteration a composition has the LR of its formula, applied to plain math for its parts."""
    np.testing.assert_allclose(lrs(after_scheduler), expected, rtol=1e-12, atol=1e-17)


def test_a_product_scales_with_every_groups_target() -> None:
    """The LR is b · Π (lr / b) and not the product of LRs, and 0 for a target of 0."""
    values = curve({"type": "ProductLR", "schedulers": [A, B]}, 0, LEFT, (0.5, 0.0)).lr(20)
    assert values == [pytest.approx(0.5 * LR_A[20] * LR_B[20], rel=1e-12), 0.0]


def test_schedulers_are_nested_only_so_deep() -> None:
    """Twenty schedulers within each other work, one more is refused, and so are many more."""

    def nested(depth: int) -> dict[str, Any]:
        spec: dict[str, Any] = {"type": "CosineLR"}
        for _ in range(depth):
            spec = {"type": "ClampLR", "scheduler": spec, "min_lr": 0.001}
        return spec

    assert lrs(nested(20))[LEFT] == 0.001
    for depth in (21, 80):
        assert 'scheduler ("ClampLR") must not be nested more than 20 deep' in refusal(nested(depth)) or (
            'scheduler ("CosineLR") must not be nested more than 20 deep' in refusal(nested(depth))
        )


def test_a_stored_expression_is_checked_again() -> None:
    """A spec that did not come through the parser cannot smuggle code into a formula."""
    smuggled = ExpressionLR.model_construct(
        type="ExpressionLR",
        expression="open('/etc/passwd')",
        start=0,
        total_iterations=9,
        warmup_iterations=0,
        length=9,
    )
    with pytest.raises(ValueError, match="must not call open"):
        smuggled.formula()


@pytest.mark.parametrize("example", [*EXAMPLES, *SHAPES, *COMPOSITIONS], ids=example_id)
def test_a_normalised_spec_keeps_its_id(example: dict[str, Any]) -> None:
    """What the service answers can be posted again, and is the same schedule."""
    once = curve(example).schedule
    assert Schedule(parse_spec(json.dumps(once.spec_dict))).id == once.id
