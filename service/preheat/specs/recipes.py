"""Recipes: schedules that the field knows by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from preheat.specs.violations import InvalidSpec, unknown, violation
from preheat.specs.warmup import warmup_fields

_FILE = Path(__file__).with_name("recipes.yaml")


@dataclass(frozen=True)
class Recipe:
    """A schedule with a name. `source` says where it is from, `notes` what its units are and what was left open."""

    name: str
    title: str
    source: str
    notes: str
    spec: dict[str, Any]
    """The spec as a user would write it."""


@cache
def recipes() -> dict[str, Recipe]:
    """Every recipe by name."""
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {name: Recipe(name, **{"notes": "", **entry}) for name, entry in content.items()}


def with_recipe(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec whose `recipe` stands where it has no fields of its own.

    Objects are merged field by field, but for one whose `type` is another than the recipe's; lists and values replace.
    A warm-up that is a number is its iterations, and merged as the object that it stands for.
    Its label is the recipe's name. Raises InvalidSpec if there is no such recipe.
    """
    name = spec["recipe"]
    if name not in recipes():
        raise InvalidSpec([violation(("recipe",), unknown("recipe", name, recipes()), name)])
    own = {field: value for field, value in spec.items() if field != "recipe"}
    return _merged({"label": name, **recipes()[name].spec}, own)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**below, **above}
    for field, value in above.items():
        under = below.get(field)
        if field == "warmup" and isinstance(under, dict):
            value = warmup_fields(value)  # noqa: PLW2901 - the same value, written out
        if not isinstance(value, dict) or not isinstance(under, dict):
            continue
        kind = value.get("type")  # not yet validated: it may be anything
        # Another type of scheduler has other fields: it replaces the one of the recipe.
        if kind is None or kind == under.get("type"):
            merged[field] = _merged(under, value)
    return merged
