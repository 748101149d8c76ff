"""Hyperparameters by param group: the spec's own, or a group's instead of it."""

import math
from typing import Any

import pytest

import support.specs
from preheat.curve import Curve
from preheat.formats import point_json, window_csv
from preheat.specs import InvalidSpec

COSINE = {"value": 0.04, "after_scheduler": {"type": "CosineLR", "min_lr": 0.4}}
GROUPS = [{"name": "decay"}, {"name": "no_decay"}, {"name": "head"}]


def curve(hyperparameters: Any = None, **own: Any) -> Curve:
    """The curve of 100 iterations for three groups, of which those named have hyperparameters of their own."""
    groups = [group | ({"hyperparameters": own[group["name"]]} if group["name"] in own else {}) for group in GROUPS]
    return support.specs.curve_after(
        None, total_iterations=100, warmup=None, param_groups=groups, hyperparameters=hyperparameters
    )


def columns(asked: Curve, iteration: int) -> dict[str, float]:
    """Every value but the LRs, by the column's name."""
    names = [column.name for column in asked.columns]
    return dict(list(zip(names, asked.lr(iteration), strict=True))[3:])


def refusals(*args: Any, **own: Any) -> dict[str, str]:
    """Pointer and message of everything that is refused."""
    with pytest.raises(InvalidSpec) as refused:
        curve(*args, **own)
    return {violation.pointer: violation.detail for violation in refused.value.violations}


@pytest.mark.parametrize("n", [0, 1, 50, 99, 100])
def test_a_groups_own_value_stands_in_place_of_the_specs(n: int) -> None:
    """A constant is the same at every iteration, in its group alone; the others have the spec's schedule."""
    asked = curve({"weight_decay": COSINE}, no_decay={"weight_decay": 0}, head={"weight_decay": 0.1})
    shared = 0.4 + (0.04 - 0.4) * (1 + math.cos(math.pi * n / 100)) / 2
    assert columns(asked, n) == pytest.approx(
        {"decay.weight_decay": shared, "no_decay.weight_decay": 0.0, "head.weight_decay": 0.1}, rel=1e-12
    )


def test_a_group_may_have_a_schedule_of_its_own() -> None:
    """With a warm-up and a scheduler that count what is left of the run; the spec needs none of that name."""
    own = {"value": 0.9, "warmup": 10, "after_scheduler": {"type": "PolynomialDecayLR"}}
    asked = curve(head={"momentum": own})
    assert [columns(asked, n) for n in (0, 5, 10, 55, 100)] == [
        {"head.momentum": pytest.approx(value)} for value in (0.0, 0.45, 0.9, 0.45, 0.0)
    ]


def test_a_number_and_a_value_are_the_same_schedule() -> None:
    """A hyperparameter that is a number is constant: the id is that of the object with this value."""
    number = curve({"gradient_clip": 1}, no_decay={"weight_decay": 0.0})
    fields = curve({"gradient_clip": {"value": 1.0}}, no_decay={"weight_decay": {"value": 0}})
    assert number.schedule.id == fields.schedule.id


def test_every_answer_has_the_columns_by_group() -> None:
    """JSON nests them in their group, CSV names them by it, in the order of names and then of groups."""
    asked = curve({"weight_decay": COSINE, "eps": 1e-8}, no_decay={"weight_decay": 0})
    header = window_csv(asked, range(1), asked.window(0, 1)).decode().splitlines()[0].split(",")
    assert header[4:] == [
        f"{group}.{name}" for name in ("eps", "weight_decay") for group in ("decay", "no_decay", "head")
    ]
    assert b'{"name":"no_decay","lr":0.1,"hyperparameters":{"eps":1e-8,"weight_decay":0.0}}' in point_json(
        asked, 3, asked.lr(3)
    )


def test_the_columns_of_a_schedule_that_names_its_groups_keep_their_order() -> None:
    """Ids and columns of specs without hyperparameters by group are as they were: in the order of the list."""
    asked = curve({"weight_decay": {**COSINE, "param_groups": ["head", "decay"]}})
    assert [column.name for column in asked.columns][3:] == ["head.weight_decay", "decay.weight_decay"]


@pytest.mark.parametrize(
    ("shared", "own", "pointer", "rule"),
    [
        (
            {"weight_decay": {"value": 1.0, "param_groups": ["decay", "no_decay"]}},
            {"no_decay": {"weight_decay": 0}},
            "/param_groups/1/hyperparameters/weight_decay",
            "must not be given: hyperparameters.weight_decay.param_groups names the group",
        ),
        (
            {"weight_decay": {"value": 1.0, "param_groups": ["nobody"]}},
            {"no_decay": {"weight_decay": 0}},
            "/hyperparameters/weight_decay/param_groups/0",
            '("nobody") must be a param group (known: decay, head, no_decay)',
        ),
        (
            {"weight_decay": 0.1},
            {name: {"weight_decay": 0} for name in ("decay", "no_decay", "head")},
            "/hyperparameters/weight_decay",
            "has no param group left: each has its own",
        ),
        (None, {"head": {"lr": 0.1}}, "/param_groups/2/hyperparameters/lr", "must not be lr: that is target_lr"),
        (None, {"head": {"eps": "x"}}, "/param_groups/2/hyperparameters/eps", '("x") must be an object'),
        (None, {"head": {"eps": True}}, "/param_groups/2/hyperparameters/eps", "(true) must be an object"),
        (None, {"head": {"eps": -1}}, "/param_groups/2/hyperparameters/eps", "(-1) must be ≥ 0"),
        ({"eps": 1e9}, {}, "/hyperparameters/eps", "must be ≤ 1000000"),
        (
            None,
            {"head": {"eps": {"value": 1, "param_groups": ["head"]}}},
            "/param_groups/2/hyperparameters/eps/param_groups",
            "is not a known field (known: after_scheduler, value, warmup)",
        ),
        (
            None,
            {"head": {"eps": {"value": 1, "warmup": 200}}},
            "/param_groups/2/hyperparameters/eps/warmup/iterations",
            "(200) must not exceed total_iterations (100)",
        ),
    ],
)
def test_what_contradicts_itself_is_refused_by_field_value_and_rule(
    shared: Any, own: dict[str, Any], pointer: str, rule: str
) -> None:
    """A group that is named and has its own, a schedule that no group is left for, and what is out of bounds."""
    found = refusals(shared, **own)
    assert list(found) == [pointer]
    assert rule in found[pointer]


def test_momentum_by_group_beside_a_scheduler_that_cycles_it_is_refused() -> None:
    """OneCycleLR sets the momentum of every group; a group's own would be a second value."""
    with pytest.raises(InvalidSpec) as refused:
        support.specs.curve_after(
            {"type": "OneCycleLR", "max_lr": 1.0},
            param_groups=[{"name": "a"}, {"name": "b", "hyperparameters": {"momentum": 0.9}}],
        )
    [violation] = refused.value.violations
    assert violation.pointer == "/param_groups/1/hyperparameters/momentum"
    assert "beside a scheduler that cycles it" in violation.rule
