"""Work: what a spec, a source or a file of any kind may cost, in a child process with so much memory and time."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preheat.budget import Deadline
from preheat.conversions.exporters import export
from preheat.curve import Curve
from preheat.errors import NotExpressible
from preheat.lint import lint
from preheat.schedule import Schedule
from support.bounded import calls, in_child
from support.hostile import everything, imported, read_file

Fields = dict[str, Any]

SECONDS, MEGABYTES = 120.0, 600
"""What each case may take: of time, twenty times what it takes on a quiet machine."""

LEAF: Fields = {"type": "CosineLR"}
SUM = "(" + " + ".join(["n"] * 45) + ")"
LONG = {"type": "ExpressionLR", "expression": f"({SUM} + {SUM}) / 1e9"}
WRAPPERS: dict[str, Fields] = {
    "ClampLR": {"min_lr": 1e-9, "max_ratio": 1.0},
    "WindowLR": {"begin": 1},
    "CooldownLR": {"length": 10},
    "StaircaseLR": {"hold": 2},
}


def spec(after_scheduler: Any = None, **fields: Any) -> Fields:
    """A spec of 1000 iterations."""
    return {"target_lr": 0.01, "total_iterations": 1000, "after_scheduler": after_scheduler, **fields}


def nested(kind: str, depth: int) -> Fields:
    """A scheduler in so many of a kind."""
    found = LEAF
    for _ in range(depth):
        alone = {"scheduler": found} if kind in WRAPPERS else {"schedulers": [found]}
        found = {
            "type": kind,
            **WRAPPERS.get(kind, {}),
            **alone,
            **({"milestones": []} if kind == "SequentialLR" else {}),
        }
    return found


def stairs(depth: int) -> Fields:
    """Stairs in stairs, no two of a length."""
    found: Fields = {"type": "CosineRestartsLR", "T_0": 3, "T_mult": 1.5}
    for hold in range(depth):
        found = {"type": "StaircaseLR", "hold": 2 * hold + 3, "scheduler": found}
    return found


def operands(depth: int, form: str) -> Fields:
    """An expression within an expression, each of which is read twice where conditions are arrays."""
    text = "n"
    for _ in range(depth):
        text = form.format(text)
    return {"type": "ExpressionLR", "expression": f"1 + 0 * {text}"}


POINTS = {"type": "PiecewiseLR", "points": [{"at": n, "factor": 0.5 + n % 7 / 20} for n in range(400)]}
LAYERS = {"layers": 250, "factor": 0.99}
WIDE = {name: {"value": 0.1, "after_scheduler": LEAF} for name in (f"h{n}" for n in range(20))}

SPECS: dict[str, Fields] = {
    "layers of a long expression": spec(LONG, layer_decay=LAYERS, total_iterations=100_000),
    "layers and hyperparameters": spec(LEAF, layer_decay=LAYERS, hyperparameters=WIDE, total_iterations=100_000),
    "layers that are stepped": spec(
        {"type": "MultiplicativeLR", "lr_lambda": 0.999999}, layer_decay=LAYERS, total_iterations=10**7
    ),
    "layers of points": spec(POINTS, layer_decay=LAYERS),
    "groups of long expressions": spec(param_groups=[{"after_scheduler": LONG}] * 256, total_iterations=100_000),
    "teeth closer than pixels": spec(
        {"type": "CosineRestartsLR", "T_0": 3}, layer_decay=LAYERS, total_iterations=10**12
    ),
    "stairs of many lengths": spec(stairs(19), total_iterations=10**12),
    "a hundred at once": spec({"type": "MaxLR", "schedulers": [LEAF] * 100}),
    "and in and": spec(operands(28, "({} and 1)")),
    "comparisons in comparisons": spec(operands(28, "(-1 <= {} < 9)")),
    **{f"nested {kind}": spec(nested(kind, 19)) for kind in (*WRAPPERS, "SequentialLR", "MaxLR", "ProductLR")},
}


@pytest.mark.parametrize("case", SPECS)
def test_nothing_that_is_asked_of_a_spec_escapes_its_deadline(case: str) -> None:
    """Parse, lint, sum, difference, crossing, exports and pictures end within the memory, and soon after a second."""
    slowest = in_child(everything, SPECS[case], 0.3, seconds=SECONDS, megabytes=MEGABYTES)
    assert slowest < SECONDS / 4


DOUBLED = "o = SGD(p, lr=0.1)\na0 = StepLR(o, 3)\n"
IMPORTS: dict[str, tuple[str, Any, str]] = {
    "a sequence of sequences": (
        "torch",
        DOUBLED + "\n".join(f"a{n + 1} = SequentialLR(o, [a{n}, a{n}], [1])" for n in range(22)),
        "at most 50000 values",
    ),
    "int of int": (
        "torch",
        f"s = LambdaLR(o, lambda x: {'int(' * 14}x{')' * 14})",
        "must have at most 1000 characters",
    ),
    "a hexadecimal number": ("torch", f"s = StepLR(o, 0x{'f' * 10_000})", "no whole number of more than 300 digits"),
    "a list of many": ("torch", "s = MultiStepLR(o, [5] * 10**9)", "at most 50000 values"),
    "lambdas": ("torch", f"f = lambda x: 0.5\ns = LambdaLR(o, [{'f,' * 2000}])", "at most 256 entries"),
    "a milestone counted often": (
        "torch",
        {"milestones": {"30": 10**9}, "gamma": 0.1, "base_lrs": [0.1]},
        "must not repeat",
    ),
    "a share above 1": (
        "torch",
        {"total_size": 9, "step_ratio": 3e9, "max_lrs": [1], "base_lrs": [0.1], "mode": "triangular", "gamma": 1},
        "step_ratio (3e+09) must be between 0 and 1",
    ),
    "many cycles": (
        "transformers",
        {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 10**9}},
        "imported",
    ),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_an_import_costs_no_more_than_its_text(case: str) -> None:
    """Whatever numbers and names stand in a source, nothing of their size is made."""
    library, source, answer = IMPORTS[case]
    known = {"target_lr": 0.1, "total_iterations": 100}
    assert answer in in_child(imported, library, source, known, seconds=SECONDS, megabytes=200)


ALIASES = [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(30)]
MERGES = [f"a{n + 1}: &a{n + 1}\n  <<: [{', '.join([f'*a{n}'] * 9)}]" for n in range(12)]
FILES = {
    "aliases": "a0: &a0 [x]\n" + "\n".join(ALIASES),
    "merges": "a0: &a0 {x: 1}\n" + "\n".join(MERGES),
    "brackets": "a: " + "[" * 3000,
    "braces": '{"a":' * 50_000,
    "many keys": "\n".join(f"k{n}: 1" for n in range(8000)),
    "a long number": "a: 1" + ":1" * 100_000,
    "digits": '{"target_lr": ' + "9" * 1_000_000 + "}",
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_costs_no_more_than_its_text(case: str) -> None:
    """YAML's aliases and merges, brackets without an end and numbers without an end are refused."""
    assert in_child(read_file, FILES[case], seconds=SECONDS, megabytes=200) != "read"


SIZES = st.sampled_from([1, 3, 20])
KINDS = st.sampled_from([*WRAPPERS, "SequentialLR", "MaxLR", "MinLR", "ProductLR"])
LEAVES = st.sampled_from(
    [LEAF, LONG, POINTS, {"type": "CosineRestartsLR", "T_0": 7}, {"type": "StepLR", "step_size": 3}]
)


@st.composite
def specs_at_the_bounds(draw: st.DrawFn) -> Fields:
    """The widest, the deepest, the longest."""
    after = draw(LEAVES)
    for _ in range(draw(st.sampled_from([0, 2, 15]))):
        kind = draw(KINDS)
        children = [after] * (draw(SIZES) if len(str(after)) < 10_000 else 1)
        several: Fields = {"schedulers": children}
        if kind == "SequentialLR":
            several["milestones"] = list(range(1, len(children)))
        after = {"type": kind, **WRAPPERS.get(kind, {}), **({"scheduler": after} if kind in WRAPPERS else several)}
    wide: Fields = draw(
        st.sampled_from([{}, {"layer_decay": LAYERS}, {"param_groups": [{"warmup": n % 9} for n in range(256)]}])
    )
    others: Fields = draw(st.sampled_from([{}, {"hyperparameters": WIDE}]))
    return spec(after, **wide, **others, total_iterations=draw(st.sampled_from([1000, 10**6, 10**12])))


@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(content=specs_at_the_bounds())
def test_specs_at_the_bounds_are_answered_in_time(content: Fields) -> None:
    """Any mixture of the widest, the deepest and the longest, in a child process of its own."""
    assert in_child(everything, content, 0.3, seconds=SECONDS, megabytes=MEGABYTES) < SECONDS / 4


FAMILIES: dict[str, Callable[[int], Fields]] = {
    "clamps in clamps": lambda n: spec(nested("ClampLR", n)),
    "windows in windows": lambda n: spec(nested("WindowLR", n)),
    "stairs in stairs": lambda n: spec(nested("StaircaseLR", n)),
    "sequences in sequences": lambda n: spec(nested("SequentialLR", n)),
    "products in products": lambda n: spec(nested("ProductLR", n)),
    "children": lambda n: spec({"type": "MaxLR", "schedulers": [LEAF] * n}),
    "one after the other": lambda n: spec(
        {"type": "SequentialLR", "schedulers": [LEAF] * n, "milestones": list(range(1, n))}
    ),
    "groups": lambda n: spec(param_groups=[{"after_scheduler": LEAF}] * n),
    "groups with hyperparameters": lambda n: spec(
        param_groups=[{"hyperparameters": {"a": 1, "b": {"value": 1, "after_scheduler": LEAF}}}] * n
    ),
    "hyperparameters": lambda n: spec(
        hyperparameters={f"h{k}": {"value": 1, "after_scheduler": LEAF} for k in range(n)}
    ),
    "layers": lambda n: spec(LEAF, layer_decay={"layers": n, "factor": 0.9}),
    "points": lambda n: spec({"type": "PiecewiseLR", "points": POINTS["points"][:n]}),
    "milestones": lambda n: spec({"type": "MultiStepLR", "milestones": list(range(1, n + 1))}),
    "phases": lambda n: spec({"type": "PhasesLR", "phases": [{"length": 5, "shape": "cosine", "to": 0.001}] * n}),
    "conditions": lambda n: spec(operands(n, "({} and 1)")),
}


def work(content: Fields) -> None:
    """What a POST with lint, and three exports, cost."""
    curve = Curve(Schedule.of(content))
    lint(curve, Deadline(SECONDS))
    curve.window(0, 100)
    for target in ("torch", "optax", "keras"):
        with suppress(NotExpressible):  # of groups with other hyperparameters, or with LRs of their own
            export(curve.schedule, target)


@pytest.mark.parametrize("family", FAMILIES)
def test_work_grows_with_the_size_and_not_faster(family: str) -> None:
    """Four times as large takes at most four times as many calls, with a tolerance of half as many again."""
    make = FAMILIES[family]
    work(make(4))  # what is made once for all
    small, large = calls(work, make(5)), calls(work, make(20))
    assert large < 6 * small
