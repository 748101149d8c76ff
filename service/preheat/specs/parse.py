"""From JSON to a normalised spec."""

import json
from collections import Counter
from typing import Any

from pydantic import TypeAdapter, ValidationError

from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.after_schedulers.phases import Phase
from preheat.specs.after_schedulers.points import Point
from preheat.specs.after_schedulers.torch_schedulers import REFUSED_TYPES
from preheat.specs.fields import MAX_ITERATION, UNION_TAGS, Closed
from preheat.specs.normalise import resolved
from preheat.specs.param_groups import BatchScaling, Hyperparameter, LayerDecay, ParamGroup
from preheat.specs.recipes import with_recipe
from preheat.specs.spec import Spec
from preheat.specs.units import BatchSize, Clock, Units
from preheat.specs.violations import InvalidSpec, Path, from_pydantic, violation
from preheat.specs.warmup import Warmup

_MAX_VIOLATIONS = 100


def parse_spec(text: str | bytes) -> Spec:
    """The normalised spec that a JSON text stands for.

    Raises InvalidSpec: not JSON, a repeated key, an unknown field, a value out of bounds, or fields that contradict
    each other.
    """
    raw = _raw(text)
    whole = text
    if isinstance(raw, dict) and isinstance(raw.get("recipe"), str):
        raw = with_recipe(raw)
        whole = json.dumps(raw)
    try:
        spec = _SPEC.validate_json(whole, context={"clock": _clock(raw)})
    except ValidationError as error:
        tags = {*UNION_TAGS, *SCHEDULER_TYPES}
        shown = error.errors(include_url=False)[:_MAX_VIOLATIONS]
        violations = from_pydantic(shown, tags=tags, refused_types=REFUSED_TYPES, fields_at=_fields_at)
        if error.error_count() > len(shown):
            violations.append(violation((), f"breaks {error.error_count() - len(shown)} rules more"))
        raise InvalidSpec(violations) from None
    json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    return resolved(spec)


def _raw(text: str | bytes) -> Any:
    """The JSON value, or None where there is none: pydantic says why."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _clock(raw: Any) -> Clock:
    """Length and units of a run that is not validated yet; what is wrong in them is found when it is."""
    fields = raw if isinstance(raw, dict) else {}
    try:
        units = Units.model_validate_json(json.dumps(fields.get("units") or {}))
    except (ValidationError, ValueError, RecursionError):
        units = Units()
    total = fields.get("total_iterations")
    if isinstance(total, str):
        try:
            total = Clock(None, units).iterations(total)
        except (ValueError, ArithmeticError):
            total = None
    is_count = isinstance(total, int) and not isinstance(total, bool) and 0 < total <= MAX_ITERATION
    return Clock(total if is_count else None, units)


_SPEC = TypeAdapter(Spec)


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidSpec([violation((), f"has the key {json.dumps(repeated)} more than once in one object")])
    return unique


def _fields_at(location: Path) -> tuple[str, ...]:
    """The fields known at a pydantic location, in which a scheduler's type names its model."""
    models: dict[str | int, Any] = {
        **{name: model for name, model in SCHEDULER_TYPES.items()},  # noqa: C416 - another type of key
        "warmup": Warmup,
        "param_groups": ParamGroup,
        "hyperparameters": Hyperparameter,
        "layer_decay": LayerDecay,
        "batch_scaling": BatchScaling,
        "units": Units,
        "samples_per_iteration": BatchSize,
        "tokens_per_iteration": BatchSize,
        "points": Point,
        "phases": Phase,
    }
    model: type[Closed] = next((models[part] for part in reversed(location) if part in models), Spec)
    return tuple(field.alias or name for name, field in model.model_fields.items())
