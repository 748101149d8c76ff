"""Normalisation: from a spec as a user wrote it to one whose every default is filled in and every rule is checked."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from preheat.formula.language import compiled
from preheat.messages import listed
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.amending import with_amendments
from preheat.specs.duration_text import Duration
from preheat.specs.durations import Clock, Units, dataset_violations, ramp_violations, with_epochs
from preheat.specs.fields import MAX_LR, MIN_RATE, Closed
from preheat.specs.hyperparameters import GroupHyperparameter
from preheat.specs.span import Span
from preheat.specs.spec import ParamGroup, Spec
from preheat.specs.tracks import LR_NAME, Column
from preheat.specs.violations import InvalidSpec, Location, Violation, violation
from preheat.specs.warmup import Warmup

# A logarithm, because the growth itself may be more than a float can hold.
_MAX_LOG_GROWTH = math.log(1e100)
_MAX_GROWN_LR = MAX_LR * 1e6


_MOST_TRIED = 100_000_000
"""Characters of formulas that are computed for a spec to be accepted, in half a second: each at each iteration."""


def normalised(spec: Spec, check: Callable[[], None] = lambda: None) -> Spec:
    """The spec with every duration in iterations, every default filled in, every rule between fields checked.

    `check` is called between any two param groups and formulas. Raises InvalidSpec with all violations of the first
    stage that finds any: each stage needs what the one before it has checked.
    """
    _raise_if_any([*_name_violations(spec), *_choice_violations(spec), *_units_violations(spec)])
    spec = spec.model_copy(update={"units": spec.units and with_epochs(spec.units)})
    clock = _clock(spec)
    _raise_if_any(list(_unit_violations(spec, (), clock)))
    targets = _with_targets(spec).model_copy(update={"total_iterations": clock.total})
    violations = _target_violations(targets)
    whole = _with_schedules(targets, clock, violations, check)
    _raise_if_any(violations)
    _raise_if_any(_growth_violations(whole))
    _raise_if_any(list(_formula_violations(whole, check)))
    return with_amendments(whole, clock, lambda within: normalised(within, check), check)


def _raise_if_any(violations: list[Violation]) -> None:
    if violations:
        raise InvalidSpec(violations)


def _clock(spec: Spec) -> Clock:
    """The length and the units of the run. Raises InvalidSpec if the length cannot be told."""
    units = spec.units or Units()
    total: Duration | int = spec.total_iterations
    if isinstance(total, int):
        return Clock(total, units)
    try:
        # The length itself may be in epochs or tokens, but not a share: the clock that resolves it has no total.
        return Clock(Clock(None, units).iterations(total), units)
    except ValueError as error:
        raise InvalidSpec([violation(("total_iterations",), str(error), total.text)]) from None


def _unit_violations(value: Any, location: Location, clock: Clock) -> Iterator[Violation]:
    """Every duration in a unit whose length is not known, wherever it stands: told at once, before any is resolved."""
    if isinstance(value, Duration):
        try:
            # Only whether the unit is known is asked: how many iterations it takes depends on where it begins.
            clock.iterations(replace(value, least=0))
        except ValueError as error:
            yield violation(location, str(error), value.text)
    elif isinstance(value, Closed) and not (location and isinstance(value, Spec)):  # one within has its own units
        for name, info in type(value).model_fields.items():
            # By its alias: in the document two fields of a phase are `from` and `to`.
            yield from _unit_violations(getattr(value, name), (*location, info.alias or name), clock)
    elif isinstance(value, dict):
        for name, entry in value.items():
            yield from _unit_violations(entry, (*location, name), clock)
    elif isinstance(value, tuple) and any(isinstance(each, Duration | Closed) for each in value):
        for index, each in enumerate(value):
            yield from _unit_violations(each, (*location, index), clock)


def _with_targets(spec: Spec) -> Spec:
    """Every param group with its own target, scaled; rules for targets are gone."""
    groups = spec.layer_decay.param_groups(spec.target_lr) if spec.layer_decay else spec.param_groups
    scale = spec.batch_scaling.scale if spec.batch_scaling else 1.0
    # The factor has gone into target_lr; left in place it would be applied once more.
    scaled = groups and tuple(
        group.model_copy(update={"target_lr": spec.target_lr_of(group) * scale, "factor": None}) for group in groups
    )
    update = {"target_lr": spec.target_lr * scale, "param_groups": scaled, "layer_decay": None, "batch_scaling": None}
    return spec.model_copy(update=update)


def _with_schedules(spec: Spec, clock: Clock, violations: list[Violation], check: Callable[[], None]) -> Spec:
    """Every warm-up and scheduler normalised."""
    # Of the groups that a layer_decay has made, too: lists with one entry per group are held against it.
    groups = len(spec.target_lrs)
    warmup, after = _schedule(spec.warmup, spec.after_scheduler, (), clock, groups, violations)
    param_groups = []
    for index, group in enumerate(spec.param_groups or ()):
        check()
        param_groups.append(_group_with_schedule(group, spec, ("param_groups", index), clock, violations))
    update = {
        "warmup": warmup,
        "after_scheduler": after,
        "param_groups": tuple(param_groups) or None,
        "hyperparameters": _hyperparameters(spec.hyperparameters, ("hyperparameters",), clock, violations),
        "recipe": None,
    }
    return spec.model_copy(update=update)


def _hyperparameters(
    schedules: Mapping[str, GroupHyperparameter] | None, location: Location, clock: Clock, violations: list[Violation]
) -> dict[str, GroupHyperparameter] | None:
    whole = {}
    for name, schedule in sorted((schedules or {}).items()):
        own = (*location, name)
        warmup, after = _schedule(schedule.warmup, schedule.after_scheduler, own, clock, 1, violations)
        whole[name] = schedule.model_copy(update={"warmup": warmup, "after_scheduler": after})
    return whole or None


def _group_with_schedule(
    group: ParamGroup, spec: Spec, location: Location, clock: Clock, violations: list[Violation]
) -> ParamGroup:
    """A group that has a warm-up of its own has a scheduler of its own too: other durations are left for it."""
    own = _hyperparameters(group.hyperparameters, (*location, "hyperparameters"), clock, violations)
    group = group.model_copy(update={"hyperparameters": own})
    if group.warmup is None and group.after_scheduler is None:
        return group
    # The shared scheduler is normalised again for it, with what its own warm-up leaves of the run.
    after = group.after_scheduler or spec.after_scheduler
    warmup, own_after = _schedule(group.warmup or spec.warmup, after, location, clock, 1, violations)
    own_warmup = warmup if group.warmup is not None else None
    return group.model_copy(update={"warmup": own_warmup, "after_scheduler": own_after})


def _schedule(
    warmup: Warmup, after: Any, location: Location, clock: Clock, groups: int, violations: list[Violation]
) -> tuple[Warmup, Any]:
    """A warm-up and the scheduler after it, each normalised."""
    before = len(violations)
    whole = warmup.normalised(clock, (*location, "warmup"), violations)
    # A warm-up that broke a rule has no origin from which the rest could be measured.
    if after is None or len(violations) > before:
        return whole, after
    # From the origin and not from the end of the warm-up: with from_zero or dampened the decay has all of the run.
    rest = (clock.total or 0) - whole.origin
    length = 0 if whole.dampens else whole.iterations
    depth = int("hyperparameters" in location)  # momentum is not cycled by another hyperparameter
    location = (*location, "after_scheduler")
    # One value more than iterations are left: iteration total_iterations itself is read.
    span = Span(rest, rest + 1, whole.origin, length, clock, groups, location, violations, depth)
    following = after.normalised(span)
    if whole.meets_decay and not following.is_closed:
        rule = "must not be meets_decay here: after_scheduler has no closed form, and its LR at W is known only there"
        violations.append(violation((*location[:-1], "warmup", "decay_clock"), rule))
    return whole, following


def _growth_violations(spec: Spec) -> list[Violation]:
    violations = []
    for track in spec.tracks:
        after, rest = track.after_scheduler, spec.total_iterations - track.warmup.origin
        if after is not None and after.log_growth(rest) > _MAX_LOG_GROWTH:
            rule = f"makes the LR grow beyond 1e100 times target_lr in {rest} steps"
            violations.append(violation((*track.location, "after_scheduler"), rule))
    return violations


def _formula_violations(spec: Spec, check: Callable[[], None]) -> Iterator[Violation]:
    """The first iteration, of each formula that may fail, at which it does."""
    suspected = [
        (location, scheduler, suspects, targets)
        for track in spec.tracks
        if track.after_scheduler is not None
        # The LR of such a formula grows with b: what holds for the lowest and the highest b holds between.
        for targets in [sorted({min(track.targets), max(track.targets)})]
        for location, scheduler in _walk(track.after_scheduler, (*track.location, "after_scheduler"))
        if (suspects := scheduler.suspects(spec.total_iterations - track.warmup.origin))
    ]
    # Of very many formulas each is tried at fewer iterations.
    characters = sum(len(scheduler.formula()) * len(targets) for _, scheduler, _, targets in suspected)
    most = max(_MOST_TRIED // max(characters, 1), 2)
    for location, scheduler, suspects, targets in suspected:
        check()
        rule = _failure(scheduler, targets, suspects[:: -(-len(suspects) // most)])
        if rule is not None:
            yield violation(location, rule)


def _walk(scheduler: Scheduler, location: Location) -> Iterator[tuple[Location, Scheduler]]:
    yield (*location, *scheduler.formula_field), scheduler
    for below, child in scheduler.children.items():
        yield from _walk(child, (*location, *below))


def _failure(scheduler: Scheduler, targets: Sequence[float], suspects: Sequence[int]) -> str | None:
    # Of the first group alone: formulas that may fail have no parameters by group.
    evaluate = compiled(scheduler.formula())
    for s in suspects:
        try:
            lrs = evaluate((s,), targets)
        except (ArithmeticError, ValueError, TypeError) as error:
            return f"must have a value at every iteration, but at s = {s}: {error}"
        for lr in lrs:
            if not 0 <= lr <= _MAX_GROWN_LR:  # of a NaN every comparison is false
                return f"must be finite and ≥ 0 at every iteration, but at s = {s} the LR is {lr!r}"
    return None


def _target_violations(spec: Spec) -> list[Violation]:
    """Targets that are out of bounds once every factor is applied."""
    # A target of 0 may be meant; the bound is for those above it.
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
    violations = []
    if spec.layer_decay and spec.param_groups:
        violations.append(violation(("layer_decay",), "must not be given beside param_groups: it makes them"))
    violations += [
        violation(("param_groups", index, "factor"), "must not be given beside target_lr", group.factor)
        for index, group in enumerate(spec.param_groups or ())
        if group.target_lr is not None and group.factor is not None
    ]
    return violations + list(_hyperparameter_violations(spec))


def _hyperparameter_violations(spec: Spec) -> Iterator[Violation]:
    # Only the names of its groups are needed here: 0.0 stands in for the target.
    layers = spec.layer_decay.param_groups(0.0) if spec.layer_decay else ()
    known = {str(group.name) for group in layers} | set(spec.group_names)
    for name, schedule in (spec.hyperparameters or {}).items():
        named, location = schedule.param_groups or (), ("hyperparameters", name, "param_groups")
        yield from _named_groups_violations(location, named, known)
        for index, (group_name, group) in enumerate(zip(spec.group_names, spec.param_groups or (), strict=False)):
            if group_name in named and name in (group.hyperparameters or {}):
                rule = f"must not be given: hyperparameters.{name}.param_groups names the group"
                yield violation(("param_groups", index, "hyperparameters", name), rule)
    repeated = {column for column, count in Counter(spec.columns).items() if count > 1}
    for each in spec.assignments:
        if each.name == LR_NAME:
            yield violation(each.location, "must not be lr: that is target_lr with warmup and after_scheduler")
        if not each.groups:
            yield violation(each.location, "has no param group left: each has its own")
        cycled = sorted({group for group in each.groups if Column(group, each.name) in repeated})
        if cycled and each.name == "momentum":
            rule = "must not have a schedule beside a scheduler that cycles it: set cycle_momentum to false there"
            yield violation(each.location, f"{rule} (groups: {listed(cycled)})")


def _named_groups_violations(location: Location, groups: tuple[str, ...], known: set[str]) -> Iterator[Violation]:
    rule = f"must be a param group (known: {listed(sorted(known))})"
    yield from (violation((*location, index), rule, group) for index, group in enumerate(groups) if group not in known)
    if len(set(groups)) < len(groups):
        yield violation(location, "must not name a group twice", groups)


def _units_violations(spec: Spec) -> list[Violation]:
    units = spec.units or Units()
    found = [*ramp_violations(units), *dataset_violations(units)]
    # A field that is missing has no value to show.
    return [
        violation(("units", *location), rule, *([] if value is None else [value])) for location, rule, value in found
    ]


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
