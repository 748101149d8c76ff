"""A schedule's spec: what a user asks for."""

import json
import math
from collections import Counter
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError

from preheat.spec.fields import LR, MAX_ITERATION, MAX_PARAM_GROUPS, UNION_TAGS, Closed
from preheat.spec.stretch import Stretch
from preheat.spec.torch_schedulers import REFUSED_TYPES, SCHEDULER_TYPES, AfterScheduler
from preheat.spec.violations import Path, Violation, from_pydantic, violation

_MAX_LOG_GROWTH = math.log(1e100)
_MAX_VIOLATIONS = 100


class InvalidSpec(ValueError):
    """A spec that breaks rules; `violations` says which, one entry per value."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        super().__init__("; ".join(violation.detail for violation in violations))


class Warmup(Closed):
    """A linear warm-up: target_lr · n / iterations at iteration n, for n ≤ iterations."""

    iterations: int = Field(
        0, ge=0, le=MAX_ITERATION, description="Iterations until the target LR; 0 for none.", examples=[10]
    )


class ParamGroup(Closed):
    """One param group of the optimizer."""

    name: str | None = Field(
        None, min_length=1, max_length=100, description="Name of the group; all have one, or none.", examples=["head"]
    )
    target_lr: LR | None = Field(
        None, description="LR at the end of the warm-up; by default the spec's target_lr.", examples=[0.001]
    )


class Spec(Closed):
    """A learning-rate schedule: a warm-up to target_lr, then a torch scheduler.

    Iterations run 0 … total_iterations, both included.
    """

    target_lr: LR = Field(description="LR at the end of the warm-up.", examples=[0.01])
    total_iterations: int = Field(
        ge=1, le=MAX_ITERATION, description="Iterations of the run, warm-up included.", examples=[20]
    )
    warmup: Warmup = Field(default=Warmup(), description="The warm-up.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None,
        description="The torch scheduler that follows the warm-up; without one the target LR is held.",
        examples=[{"type": "CosineAnnealingLR"}],
    )
    param_groups: (
        Annotated[tuple[ParamGroup, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True)] | None
    ) = Field(
        None,
        description="The optimizer's param groups, in its order; by default one group.",
        examples=[[{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]],
    )
    label: str | None = Field(
        None, min_length=1, max_length=200, description="A name to find the schedule by.", examples=["resnet-50"]
    )

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups: `default` for one without a name, `group_0`, `group_1`, … for several."""
        groups = self.param_groups or (ParamGroup(),)
        if len(groups) == 1:
            return (groups[0].name or "default",)
        return tuple(group.name or f"group_{index}" for index, group in enumerate(groups))

    @property
    def target_lrs(self) -> tuple[float, ...]:
        """Target LR of each param group."""
        groups = self.param_groups or (ParamGroup(),)
        return tuple(self.target_lr if group.target_lr is None else group.target_lr for group in groups)

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration can be computed without stepping to it."""
        return self.after_scheduler is None or self.after_scheduler.is_closed

    def resolve(self) -> Self:
        """The normalised spec: every default filled in, every rule between fields checked.

        Raises InvalidSpec with all violations.
        """
        violations = [*_warmup_violations(self), *_name_violations(self)]
        if violations:
            raise InvalidSpec(violations)
        left = self.total_iterations - self.warmup.iterations
        stretch = Stretch(left, left + 1, len(self.target_lrs), ("after_scheduler",), violations)
        after_scheduler = None if self.after_scheduler is None else self.after_scheduler.resolve(stretch)
        if after_scheduler and not violations and after_scheduler.log_growth(left) > _MAX_LOG_GROWTH:
            violations.append(
                violation(stretch.path, f"makes the LR grow beyond 1e100 times target_lr in {left} steps")
            )
        if violations:
            raise InvalidSpec(violations)
        groups = self.param_groups and tuple(
            ParamGroup(name=group.name, target_lr=target_lr)
            for group, target_lr in zip(self.param_groups, self.target_lrs, strict=True)
        )
        return self.model_copy(update={"after_scheduler": after_scheduler, "param_groups": groups})


def parse_spec(text: str | bytes) -> Spec:
    """The normalised spec that a JSON text stands for.

    Raises InvalidSpec: not JSON, a repeated key, an unknown field, a value out of bounds, or fields that contradict
    each other.
    """
    try:
        spec = _SPEC.validate_json(text)
    except ValidationError as error:
        tags = {*UNION_TAGS, *SCHEDULER_TYPES}
        shown = error.errors(include_url=False)[:_MAX_VIOLATIONS]
        violations = from_pydantic(shown, tags=tags, refused_types=REFUSED_TYPES, fields_at=_fields_at)
        if error.error_count() > len(shown):
            violations.append(violation((), f"breaks {error.error_count() - len(shown)} rules more"))
        raise InvalidSpec(violations) from None
    json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    return spec.resolve()


_SPEC = TypeAdapter(Spec)


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InvalidSpec([violation((), f"has the key {json.dumps(repeated)} more than once in one object")])
    return unique


def _fields_at(location: Path) -> tuple[str, ...]:
    """The fields known at a pydantic location, in which a scheduler's type names its model."""
    models: dict[str | int, type[Closed]] = {"warmup": Warmup, "param_groups": ParamGroup}
    models.update(SCHEDULER_TYPES)
    model = next((models[part] for part in reversed(location) if part in models), Spec)
    return tuple(model.model_fields)


def _warmup_violations(spec: Spec) -> list[Violation]:
    if spec.warmup.iterations <= spec.total_iterations:
        return []
    rule = f"must not exceed total_iterations ({spec.total_iterations})"
    return [violation(("warmup", "iterations"), rule, spec.warmup.iterations)]


def _name_violations(spec: Spec) -> list[Violation]:
    names = [group.name for group in spec.param_groups or ()]
    if any(names) and not all(names):
        index = names.index(None)
        return [violation(("param_groups", index, "name"), "is required: other groups have one")]
    return [
        violation(("param_groups", index, "name"), f"must not repeat param_groups[{names.index(name)}].name", name)
        for index, name in enumerate(names)
        if name is not None and names.index(name) < index
    ]
