"""Parsing: from JSON, YAML or plain values to a normalised spec."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from preheat.messages import excerpt, shortened
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.after_schedulers.phases import Segment
from preheat.specs.after_schedulers.piecewise import Point
from preheat.specs.after_schedulers.torch_decays import REFUSED_TYPES
from preheat.specs.amendments import AMENDMENTS
from preheat.specs.bounds import MAX_CHARACTERS, MAX_YAML_CHARACTERS, MAX_YAML_VALUES, check_bounds
from preheat.specs.durations import BatchSize, Units
from preheat.specs.fields import UNION_TAGS, Closed
from preheat.specs.hyperparameters import GroupHyperparameter, Hyperparameter
from preheat.specs.normalise import normalised
from preheat.specs.other_names import meant
from preheat.specs.recipes import with_recipe
from preheat.specs.spec import BatchScaling, LayerDecay, ParamGroup, Spec
from preheat.specs.violations import MOST_VIOLATIONS, InvalidSpec, Location, from_pydantic, violation
from preheat.specs.warmup import Warmup
from preheat.specs.yaml_text import TooManyValues, yaml_values

_SPEC = TypeAdapter(Spec)


def parse_spec(text: str | bytes, check: Callable[[], None] = lambda: None) -> Spec:
    """The normalised spec that a JSON text stands for; `check` is called between its parts, and may end it by raising.

    Raises InvalidSpec: not JSON, a repeated key, more than `preheat.specs.bounds` allows, an unknown field, a value out
    of bounds, or fields that contradict each other.
    """
    return spec_of(content_of(text), check)


def content_of(text: str | bytes) -> Any:
    """The plain values of a JSON text. Raises InvalidSpec if it is none, or has a key twice."""
    _check_characters(text, MAX_CHARACTERS)
    try:
        # One parse, which also finds repeated keys; NaN and 1e999 pass it and are refused by the models.
        whole = text.decode() if isinstance(text, bytes) else text
        return json.loads(whole, object_pairs_hook=_without_repeated_keys)
    except RecursionError:
        raise InvalidSpec([violation((), "is nested too deeply")]) from None
    # Before ValueError, its base; JSONDecodeError and UnicodeDecodeError are ValueErrors too.
    except InvalidSpec:
        raise
    except ValueError as error:
        raise InvalidSpec([violation((), f"is not valid JSON: {error}")]) from None


def content_of_file(text: str) -> Any:
    """The plain values of a JSON or YAML text; what starts with a brace is JSON.

    Raises InvalidSpec.
    """
    if text.lstrip().startswith("{"):
        return content_of(text)
    _check_characters(text, MAX_YAML_CHARACTERS)
    try:
        return yaml_values(text, MAX_YAML_VALUES)
    except TooManyValues as error:
        raise InvalidSpec([violation((), str(error))]) from None
    except RecursionError:
        raise InvalidSpec([violation((), "is not valid YAML: nested too deeply")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidSpec([violation((), f"is not valid YAML: {excerpt(' '.join(str(error).split()), 400)}")]) from None


def spec_of(content: Any, check: Callable[[], None] = lambda: None) -> Spec:
    """The normalised spec that plain values (dicts, lists, texts, numbers) stand for. Raises as `parse_spec`."""
    check_bounds(content)
    whole = _with_recipes(content)
    if whole is not content:
        content = whole
        check_bounds(content)
    check()
    try:
        # Strict models take no list for a tuple, and a strict model is what keeps "5" from being 5.
        spec = _SPEC.validate_python(_with_tuples(content))
    except ValidationError as error:
        tags = {*UNION_TAGS, *SCHEDULER_TYPES}
        violations = from_pydantic(
            error.errors(include_url=False)[:MOST_VIOLATIONS],
            tags=tags,
            refused_types=REFUSED_TYPES,
            fields_at=lambda location: _field_names(_model_at(location)),
            meant_at=lambda location, name: meant(_model_at(location), name),
        )
        raise InvalidSpec(violations, error.error_count()) from None
    except RecursionError:
        raise InvalidSpec([violation((), "is nested too deeply")]) from None
    return normalised(spec, check)


def _check_characters(text: str | bytes, most: int) -> None:
    if len(text) > most:
        raise InvalidSpec([violation((), f"must have at most {most} characters, and has {len(text)}")])


def _with_recipes(content: Any) -> Any:
    """The spec with the fields of its recipe, and those of the schedules that replace it, too."""
    if not isinstance(content, dict):
        return content
    if isinstance(content.get("recipe"), str):
        content = with_recipe(content)
    amendments = content.get("amendments")
    if not isinstance(amendments, list | tuple) or not any(
        "schedule" in each for each in amendments if isinstance(each, dict)
    ):
        return content
    return content | {"amendments": [_with_its_recipe(each, index) for index, each in enumerate(amendments)]}


def _with_its_recipe(amendment: Any, index: int) -> Any:
    """An amendment whose schedule has the fields of its recipe. Raises InvalidSpec, with pointers into the spec."""
    if not isinstance(amendment, dict) or "schedule" not in amendment:
        return amendment
    try:
        return amendment | {"schedule": _with_recipes(amendment["schedule"])}
    except InvalidSpec as error:
        place = ("amendments", index, "schedule")
        raise InvalidSpec([replace(each, location=(*place, *each.location)) for each in error.violations]) from None


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json.loads itself keeps the last of two equal keys, and says nothing.
    unique = dict(pairs)
    if len(unique) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidSpec(
            [violation((), f"has the key {json.dumps(shortened(repeated))} more than once in one object")]
        )
    return unique


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_tuples(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_with_tuples, value))
    return value


_MODELS: dict[str | int, type[Closed]] = {
    **{name: model for name, model in SCHEDULER_TYPES.items()},  # noqa: C416 - with another type of key
    **{name: model for name, model in AMENDMENTS.items()},  # noqa: C416
    "schedule": Spec,
    "warmup": Warmup,
    "param_groups": ParamGroup,
    "hyperparameters": Hyperparameter,
    "layer_decay": LayerDecay,
    "batch_scaling": BatchScaling,
    "units": Units,
    "samples_per_iteration": BatchSize,
    "tokens_per_iteration": BatchSize,
    "points": Point,
    "phases": Segment,
}
"""Models by the part of a pydantic location that leads to them."""


def _model_at(location: Location) -> type[Closed]:
    """The model at a pydantic location, in which a scheduler's type names its own."""
    # From the end: the innermost model is the one in which the field was unknown.
    model = next((_MODELS[part] for part in reversed(location) if part in _MODELS), Spec)
    if model is Hyperparameter and location[0] == "param_groups":
        model = GroupHyperparameter
    return model


def _field_names(model: type[Closed]) -> tuple[str, ...]:
    return tuple(field.alias or name for name, field in model.model_fields.items())
