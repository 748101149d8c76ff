"""A schedule's spec: what a user asks for."""

import json
import math
from collections import Counter
from typing import Annotated, Any, Self

from pydantic import Field, TypeAdapter, ValidationError

from preheat.spec.after_scheduler import SCHEDULER_TYPES, AfterScheduler
from preheat.spec.fields import LR, MAX_ITERATION, MAX_LR, MAX_PARAM_GROUPS, MIN_RATE, UNION_TAGS, Closed, Iterations
from preheat.spec.formula_check import formula_violations
from preheat.spec.param_groups import NAME_PATTERN, BatchScaling, Hyperparameter, LayerDecay, ParamGroup
from preheat.spec.recipes import with_recipe
from preheat.spec.shapes.points import Point
from preheat.spec.shapes.staged import Phase
from preheat.spec.stretch import Stretch
from preheat.spec.torch_schedulers import REFUSED_TYPES
from preheat.spec.tracks import Column, Track, columns, tracks
from preheat.spec.units import BatchSize, Clock, Units, ramp_violations
from preheat.spec.violations import InvalidSpec, Path, Violation, from_pydantic, violation
from preheat.spec.warmup import Warmup

_MAX_LOG_GROWTH = math.log(1e100)
_MAX_VIOLATIONS = 100


class Spec(Closed):
    """A learning-rate schedule: a warm-up to target_lr, then a scheduler.

    Iterations run 0 … total_iterations, both included. A duration is a whole number of iterations or a text: "10%" of
    the run, "5ep", "2000it", "4e6sp" or "375e6tok", turned into the nearest iteration by `units`.
    """

    target_lr: LR = Field(description="LR at the end of the warm-up.", examples=[0.01])
    total_iterations: Iterations = Field(description="Iterations of the run, warm-up included.", examples=[20])
    warmup: Warmup = Field(default=Warmup(), description="The warm-up.", examples=[{"iterations": 10}])
    after_scheduler: AfterScheduler | None = Field(
        None,
        description="The scheduler that follows the warm-up; without one the target LR is held.",
        examples=[{"type": "CosineAnnealingLR"}],
    )
    param_groups: (
        Annotated[tuple[ParamGroup, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True)] | None
    ) = Field(
        None,
        description="The optimizer's param groups, in its order; by default one group.",
        examples=[[{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]],
    )
    layer_decay: LayerDecay | None = Field(
        None,
        description="Param groups by layer, instead of param_groups; they are written out in the answer.",
        examples=[{"layers": 12, "factor": 0.75}],
    )
    hyperparameters: dict[Annotated[str, Field(pattern=NAME_PATTERN, max_length=50)], Hyperparameter] | None = Field(
        None,
        max_length=20,
        description="Schedules of other hyperparameters, by name: weight_decay, momentum, gradient_clip, …",
        examples=[{"weight_decay": {"value": 0.04, "after_scheduler": {"type": "CosineLR", "min_lr": 0.4}}}],
    )
    batch_scaling: BatchScaling | None = Field(
        None,
        description="Scales every target LR with the batch; the answer has the scaled ones.",
        examples=[{"rule": "linear", "reference_batch": 256, "batch": 8192}],
    )
    units: Units | None = Field(
        None, description="What epochs, samples and tokens are in iterations.", examples=[{"iterations_per_epoch": 156}]
    )
    recipe: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Name of a recipe (GET /v1/recipes) whose fields stand where the spec has none.",
        examples=["llama-3-405b"],
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
        return tuple(self._target_lr(group) for group in groups)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of an answer: the LR of each param group, then each other hyperparameter of each."""
        return columns(self)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What is stepped as one, of a normalised spec; together the tracks have every column once."""
        return tracks(self)

    @property
    def has_closed_form(self) -> bool:
        """Whether any iteration can be computed without stepping to it."""
        return all(track.after_scheduler is None or track.after_scheduler.is_closed for track in self.tracks)

    def resolve(self) -> Self:
        """The normalised spec: every default filled in, every rule between fields checked.

        Raises InvalidSpec with all violations.
        """
        violations = [*_name_violations(self), *_choice_violations(self), *_units_violations(self)]
        if violations:
            raise InvalidSpec(violations)
        targets = self._with_targets()
        violations += _target_violations(targets)
        resolved = targets._with_schedules(violations)  # noqa: SLF001 - its own
        if not violations:
            violations += _growth_violations(resolved)
        if not violations:
            violations += [
                found for track in resolved.tracks for found in formula_violations(track, resolved.total_iterations)
            ]
        if violations:
            raise InvalidSpec(violations)
        return resolved

    def _target_lr(self, group: ParamGroup) -> float:
        if group.factor is not None:
            return self.target_lr * group.factor
        return self.target_lr if group.target_lr is None else group.target_lr

    def _with_targets(self) -> Self:
        """Every param group with its own target, scaled; rules for targets are gone."""
        groups = self.layer_decay.param_groups(self.target_lr) if self.layer_decay else self.param_groups
        scale = self.batch_scaling.scale if self.batch_scaling else 1.0
        scaled = groups and tuple(
            group.model_copy(update={"target_lr": self._target_lr(group) * scale, "factor": None}) for group in groups
        )
        update = {
            "target_lr": self.target_lr * scale,
            "param_groups": scaled,
            "layer_decay": None,
            "batch_scaling": None,
        }
        return self.model_copy(update=update)

    def _with_schedules(self, violations: list[Violation]) -> Self:
        """Every warm-up and scheduler normalised."""
        clock = Clock(self.total_iterations, self.units or Units())
        groups = len(self.target_lrs)
        warmup, after = _normalised(self.warmup, self.after_scheduler, (), clock, groups, violations)
        param_groups = self.param_groups and tuple(
            _own_schedule(group, warmup, ("param_groups", index), clock, violations)
            for index, group in enumerate(self.param_groups)
        )
        hyperparameters = self.hyperparameters and {
            name: _own_schedule(schedule, None, ("hyperparameters", name), clock, violations)
            for name, schedule in sorted(self.hyperparameters.items())
        }
        update = {
            "warmup": warmup,
            "after_scheduler": after,
            "param_groups": param_groups,
            "hyperparameters": hyperparameters or None,
            "recipe": None,
        }
        return self.model_copy(update=update)


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
    return spec.resolve()


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


def _normalised(
    warmup: Warmup, after: Any, path: Path, clock: Clock, groups: int, violations: list[Violation]
) -> tuple[Warmup, Any]:
    """A warm-up and the scheduler after it, each with its defaults."""
    before = len(violations)
    resolved = warmup.resolve(clock.total or 0, (*path, "warmup"), violations)
    if after is None or len(violations) > before:
        return resolved, after
    left = (clock.total or 0) - resolved.origin
    start, length = resolved.origin, 0 if resolved.dampens else resolved.iterations
    stretch = Stretch(left, left + 1, start, length, clock, groups, (*path, "after_scheduler"), violations)
    return resolved, after.resolve(stretch)


def _own_schedule(owner: Any, shared: Any, path: Path, clock: Clock, violations: list[Violation]) -> Any:
    """A param group or hyperparameter with a schedule of its own; a group without a warm-up has the `shared` one."""
    if shared is not None and owner.warmup is None and owner.after_scheduler is None:
        return owner
    warmup, after = _normalised(owner.warmup or shared, owner.after_scheduler, path, clock, 1, violations)
    own = warmup if owner.warmup is not None else None
    return owner.model_copy(update={"warmup": own if shared is not None else warmup, "after_scheduler": after})


def _growth_violations(spec: Spec) -> list[Violation]:
    found = []
    for track in spec.tracks:
        after, left = track.after_scheduler, spec.total_iterations - track.warmup.origin
        if after is not None and after.log_growth(left) > _MAX_LOG_GROWTH:
            rule = f"makes the LR grow beyond 1e100 times target_lr in {left} steps"
            found.append(violation((*track.path, "after_scheduler"), rule))
    return found


def _target_violations(spec: Spec) -> list[Violation]:
    """Targets that are out of bounds once every factor is applied."""
    lowest = min((target for target in spec.target_lrs if target > 0), default=MIN_RATE)
    highest = max(spec.target_lr, *spec.target_lrs)
    if highest > MAX_LR:
        return [violation(("target_lr",), f"must be ≤ {MAX_LR:g} when every factor is applied", highest)]
    if lowest < MIN_RATE:
        rule = f"must be 0 or at least {MIN_RATE:g} when every factor is applied"
        return [violation(("target_lr",), rule, lowest)]
    return []


def _choice_violations(spec: Spec) -> list[Violation]:
    """Fields that exclude each other, and names that must be known."""
    found = []
    if spec.layer_decay and spec.param_groups:
        found.append(violation(("layer_decay",), "must not be given beside param_groups: it makes them"))
    for index, group in enumerate(spec.param_groups or ()):
        if group.target_lr is not None and group.factor is not None:
            found.append(
                violation(("param_groups", index, "factor"), "must not be given beside target_lr", group.factor)
            )
    for name, schedule in (spec.hyperparameters or {}).items():
        path = ("hyperparameters", name)
        if name == "lr":
            found.append(violation(path, "must not be lr: that is target_lr with warmup and after_scheduler"))
        layers = spec.layer_decay.param_groups(0.0) if spec.layer_decay else ()
        known = {group.name for group in layers} | set(spec.group_names)
        found += [
            violation(
                (*path, "param_groups", index),
                f"must be a param group (known: {', '.join(sorted(map(str, known)))})",
                group,
            )
            for index, group in enumerate(schedule.param_groups or ())
            if group not in known
        ]
        if len(set(schedule.param_groups or ())) < len(schedule.param_groups or ()):
            found.append(violation((*path, "param_groups"), "must not name a group twice", schedule.param_groups))
    cycled = {column.group for column in columns(spec) if column.hyperparameter == "momentum"}
    if "momentum" in (spec.hyperparameters or {}) and len(columns(spec)) > len(set(columns(spec))):
        rule = "must not have a schedule beside a scheduler that cycles it: set cycle_momentum to false there"
        found.append(violation(("hyperparameters", "momentum"), f"{rule} (groups: {', '.join(sorted(cycled))})"))
    return found


def _units_violations(spec: Spec) -> list[Violation]:
    return [violation(("units", *path), rule, value) for path, rule, value in ramp_violations(spec.units or Units())]


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
