"""Recipes: schedules that the field knows by name."""

from typing import Any


def with_recipe(raw: dict[str, Any]) -> dict[str, Any]:
    return raw
