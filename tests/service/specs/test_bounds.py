"""Bounds: what a spec may hold, counted before any work is done."""

from pathlib import Path
from typing import Any

import pytest

from preheat.specs import InvalidSpec, bounds, parse_spec, spec_of
from preheat.specs.bounds import (
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_EXPRESSION_CHARACTERS,
    MAX_FIELDS,
    MAX_SCHEDULERS,
    MAX_VALUES,
    MAX_YAML_CHARACTERS,
    MAX_YAML_VALUES,
    check_bounds,
)
from preheat.specs.parse import content_of_file
from preheat.specs.recipes import recipes
from support.bounded import calls

STEP = {"type": "StepLR", "step_size": 3}


def spec(after_scheduler: Any = None, **fields: Any) -> dict[str, Any]:
    """A spec with these fields."""
    return {"target_lr": 0.1, "total_iterations": 1000, "after_scheduler": after_scheduler, **fields}


def many(count: int, child: Any = STEP) -> dict[str, Any]:
    """So many schedulers, two compositions among them at the least."""
    children = count - 1 - -(-(count - 1) // 101)
    groups = [children // 100 * [100], [children % 100] if children % 100 else []]
    inner = [{"type": "MaxLR", "schedulers": [child] * size} for group in groups for size in group]
    return {"type": "MaxLR", "schedulers": inner}


def own_warmups(count: int) -> list[dict[str, Any]]:
    """Param groups each with a warm-up of its own."""
    return [{"warmup": 1 + index % 9} for index in range(count)]


def refusal(content: Any) -> str:
    """The one rule that a spec breaks."""
    with pytest.raises(InvalidSpec) as refused:
        spec_of(content)
    (violation,) = refused.value.violations
    return violation.detail


def test_the_bounds_themselves_are_allowed() -> None:
    """As many as there may be are no violation; one more is, and the message has the bound and the count."""
    check_bounds(spec(many(MAX_SCHEDULERS)))
    assert refusal(spec(many(MAX_SCHEDULERS + 1))) == (
        f"the document must have at most {MAX_SCHEDULERS} schedulers, what each param group takes over included, and "
        f"has {MAX_SCHEDULERS + 1}"
    )


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (spec({"type": "TableLR", "values": [0.1] * MAX_VALUES}), "values"),
        (spec({"type": "MaxLR", "schedulers": [STEP] * 100}, param_groups=own_warmups(31)), "schedulers"),
        (spec({"type": "TableLR", "values": [0.1] * 10_000}, param_groups=own_warmups(30)), "values"),
        (
            spec({"type": "ExpressionLR", "expression": "1" * 1000}, param_groups=own_warmups(200)),
            "characters of expressions",
        ),
        (
            spec(
                param_groups=[{"hyperparameters": {f"a{n}_{k}": 1 for k in range(20)}} for n in range(256)],
                hyperparameters={f"h{k}": 1 for k in range(20)},
            ),
            "columns",
        ),
        (spec(layer_decay={"layers": 1_000_000_000, "factor": 0.9}), "columns"),
    ],
    ids=["values", "copied schedulers", "copied values", "copied expressions", "columns", "layers"],
)
def test_copies_count(content: Any, what: str) -> None:
    """A param group with a warm-up of its own gets a copy of the scheduler, and its columns are its own."""
    assert f" {what}, what each param group takes over included, and has " in refusal(content)


def test_an_object_has_few_fields_and_a_document_is_not_deep() -> None:
    """Both are said with the place."""
    wide = spec({"type": "CosineLR", **{f"x{n}": 1 for n in range(MAX_FIELDS)}})
    assert refusal(wide) == f"after_scheduler must have at most {MAX_FIELDS} fields, and has {MAX_FIELDS + 1}"
    deep: Any = 1
    for _ in range(MAX_DEPTH + 2):
        deep = [deep]
    assert f"is nested too deeply: at most {MAX_DEPTH} values within values" in refusal(spec(deep))


def test_texts_have_bounds_of_their_own() -> None:
    """JSON, YAML, and what YAML's aliases stand for."""
    with pytest.raises(InvalidSpec, match=f"at most {MAX_CHARACTERS} characters"):
        parse_spec(" " * (MAX_CHARACTERS + 1))
    with pytest.raises(InvalidSpec, match=f"at most {MAX_YAML_CHARACTERS} characters"):
        content_of_file("a" * (MAX_YAML_CHARACTERS + 1))
    lines = ["a0: &a0 [x, x, x]", *(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}, *a{n}]" for n in range(20))]
    with pytest.raises(InvalidSpec, match=f"at most {MAX_YAML_VALUES} values"):
        content_of_file("\n".join(lines))
    assert content_of_file("a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    "text", ["target_lr: 1" + ":1" * 1000, "target_lr: 0x" + "f" * 1000, "target_lr: " + "1" * 5000]
)
def test_a_number_of_a_thousand_digits_is_no_yaml(text: str) -> None:
    """PyYAML takes the square of its length, or fails at it."""
    with pytest.raises(InvalidSpec, match="is not valid YAML: found a number of more than 400 characters"):
        content_of_file(text)


def test_shared_values_are_counted_as_often_as_they_stand_there() -> None:
    """Python values may be shared, as YAML's aliases make them: the count stops at the bound."""
    shared: Any = [1.0]
    for _ in range(60):
        shared = [shared, shared]
    assert calls(lambda: refusal(spec(shared))) < 50 * MAX_VALUES
    assert f"at most {MAX_VALUES} values" in refusal(spec(shared))


def test_recipes_are_far_below_the_bounds() -> None:
    """Ten copies of the largest would be allowed still."""
    for name in recipes():
        assert len(str(spec_of({"recipe": name}))) < MAX_EXPRESSION_CHARACTERS / 10


def test_the_reference_has_every_bound() -> None:
    """The page about specs names each number as the code has it."""
    page = (Path(__file__).parents[3] / "docs/reference/spec.md").read_text(encoding="utf-8")
    for name, value in vars(bounds).items():
        if name.startswith("MAX_"):
            assert f"{value:,}" in page, name


def test_formulas_are_tried_within_a_budget() -> None:
    """A spec of 200 formulas is tried at fewer iterations of each; a failure at the first is found all the same."""
    fine = {"type": "ExpressionLR", "expression": " + ".join(["0.1234567890123456"] * 45)}
    short, long = ({**spec(many(200, fine)), "total_iterations": total} for total in (1000, 10_000))
    assert calls(spec_of, long) < 2 * calls(spec_of, short)
    bad = {"type": "ExpressionLR", "expression": "1 / n"}
    with pytest.raises(InvalidSpec, match="must have a value at every iteration, but at s = 0"):
        spec_of(spec({"type": "MaxLR", "schedulers": [fine] * 50 + [bad]}))
