"""From what a user wrote to a spec whose every default is filled in."""

import math
from typing import Any

from preheat.specs.fields import MAX_LR, MIN_RATE
from preheat.specs.formula_check import formula_violations
from preheat.specs.param_groups import ParamGroup
from preheat.specs.span import Stretch
from preheat.specs.spec import Spec
from preheat.specs.tracks import columns
from preheat.specs.units import Clock, Units, ramp_violations
from preheat.specs.violations import InvalidSpec, Path, Violation, violation
from preheat.specs.warmup import Warmup

_MAX_LOG_GROWTH = math.log(1e100)


def resolved(spec: Spec) -> Spec:
    """The normalised spec: every default filled in, every rule between fields checked.

    Raises InvalidSpec with all violations.
    """
    _raise_if_any([*_name_violations(spec), *_choice_violations(spec), *_units_violations(spec)])
    targets = _with_targets(spec)
    violations = _target_violations(targets)
    normalised = _with_schedules(targets, violations)
    _raise_if_any(violations)
    _raise_if_any(_growth_violations(normalised))
    total = normalised.total_iterations
    _raise_if_any([found for track in normalised.tracks for found in formula_violations(track, total)])
    return normalised


def _raise_if_any(violations: list[Violation]) -> None:
    if violations:
        raise InvalidSpec(violations)


def _with_targets(spec: Spec) -> Spec:
    """Every param group with its own target, scaled; rules for targets are gone."""
    groups = spec.layer_decay.param_groups(spec.target_lr) if spec.layer_decay else spec.param_groups
    scale = spec.batch_scaling.scale if spec.batch_scaling else 1.0
    scaled = groups and tuple(
        group.model_copy(update={"target_lr": spec.target_lr_of(group) * scale, "factor": None}) for group in groups
    )
    update = {
        "target_lr": spec.target_lr * scale,
        "param_groups": scaled,
        "layer_decay": None,
        "batch_scaling": None,
    }
    return spec.model_copy(update=update)


def _with_schedules(spec: Spec, violations: list[Violation]) -> Spec:
    """Every warm-up and scheduler normalised."""
    clock = Clock(spec.total_iterations, spec.units or Units())
    groups = len(spec.target_lrs)
    warmup, after = _normalised(spec.warmup, spec.after_scheduler, (), clock, groups, violations)
    param_groups = spec.param_groups and tuple(
        _group_with_schedule(group, spec, ("param_groups", index), clock, violations)
        for index, group in enumerate(spec.param_groups)
    )
    hyperparameters = {}
    for name, schedule in sorted((spec.hyperparameters or {}).items()):
        path = ("hyperparameters", name)
        own_warmup, own_after = _normalised(schedule.warmup, schedule.after_scheduler, path, clock, 1, violations)
        update = {"warmup": own_warmup, "after_scheduler": own_after}
        hyperparameters[name] = schedule.model_copy(update=update)
    update = {
        "warmup": warmup,
        "after_scheduler": after,
        "param_groups": param_groups,
        "hyperparameters": hyperparameters or None,
        "recipe": None,
    }
    return spec.model_copy(update=update)


def _group_with_schedule(
    group: ParamGroup, spec: Spec, path: Path, clock: Clock, violations: list[Violation]
) -> ParamGroup:
    """A group that has a warm-up of its own has a scheduler of its own too: other durations are left for it."""
    if group.warmup is None and group.after_scheduler is None:
        return group
    after = group.after_scheduler or spec.after_scheduler
    warmup, own_after = _normalised(group.warmup or spec.warmup, after, path, clock, 1, violations)
    own_warmup = warmup if group.warmup is not None else None
    return group.model_copy(update={"warmup": own_warmup, "after_scheduler": own_after})


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
    depth = int(path[:1] == ("hyperparameters",))  # momentum is not cycled by another hyperparameter
    stretch = Stretch(left, left + 1, start, length, clock, groups, (*path, "after_scheduler"), violations, depth)
    return resolved, after.resolve(stretch)


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
