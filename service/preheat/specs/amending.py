"""Amending: how long an amended schedule is, in which phases it goes, and what its amendments must not be."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from preheat.messages import listed
from preheat.specs.amendments import (
    CooldownAmendment,
    ExtendAmendment,
    HoldAmendment,
    ReplaceAmendment,
    RewarmAmendment,
    ScaleAmendment,
)
from preheat.specs.durations import Clock
from preheat.specs.tracks import LR_NAME, Column, Phase, Track
from preheat.specs.violations import InvalidSpec, Location, Violation, violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from preheat.specs.spec import Spec

_MAX_LOG_GROWTH = math.log(1e100)

_MAX_NESTED = 10
"""Schedules within amendments within schedules."""


def amended_columns(columns: Sequence[Column], amendment: Any) -> tuple[int, ...]:
    """Indices of the columns that an amendment is for; none of one that it names is missing, once checked."""
    if isinstance(amendment, ExtendAmendment):
        return ()
    own = set(amendment.schedule.columns) if isinstance(amendment, ReplaceAmendment) else None
    return tuple(
        index
        for index, column in enumerate(columns)
        if amendment.param_groups is None or column.group in amendment.param_groups
        if amendment.hyperparameter in {None, column.hyperparameter}
        if own is None or column in own
    )


def lengths(spec: "Spec") -> list[int]:
    """The last iteration of a normalised spec without its amendments, with the first, with the first two, and so on."""
    found, columns = [spec.total_iterations], spec.columns
    for amendment in spec.amendments or ():
        found.append(_length(columns, amendment, found[-1]))
    return found


def length_setter(spec: "Spec") -> int:
    """Index of the amendment that says how long a normalised spec is; −1 if none does."""
    columns, amendments = spec.columns, spec.amendments or ()
    found = (i for i in range(len(amendments) - 1, -1, -1) if _sets_length(columns, amendments[i]))
    return next(found, -1)


def _sets_length(columns: Sequence[Column], amendment: Any) -> bool:
    if amendment.stop is not None:
        return False
    if isinstance(amendment, CooldownAmendment | ReplaceAmendment):
        return _has_all_lrs(columns, amendment)
    return isinstance(amendment, ExtendAmendment)


def _length(columns: Sequence[Column], amendment: Any, before: int) -> int:
    if not _sets_length(columns, amendment):
        return before
    if isinstance(amendment, ExtendAmendment):
        return int(amendment.total_iterations)
    if isinstance(amendment, CooldownAmendment):
        return amendment.start + amendment.iterations - 1
    return int(amendment.schedule.amended_total_iterations) + origin(amendment)


def origin(amendment: ReplaceAmendment) -> int:
    """The iteration of the run at which the replacing schedule is at its own 0."""
    return amendment.start - 1 if amendment.clock == "here" else 0


def _has_all_lrs(columns: Sequence[Column], amendment: Any) -> bool:
    lrs = {index for index, column in enumerate(columns) if column.hyperparameter == LR_NAME}
    return lrs <= {*amended_columns(columns, amendment)}


def amended_phases(spec: "Spec", phases: list[Phase]) -> list[Phase]:
    """The phases of an amended spec, of which `phases` are those without the amendments."""
    if spec.amendments is None:
        return phases
    columns = spec.columns
    for amendment, (before, total) in zip(spec.amendments, pairwise(lengths(spec)), strict=True):
        phases = _with_phases(columns, amendment, phases, before, total)
    return phases


def _with_phases(
    columns: Sequence[Column], amendment: Any, phases: list[Phase], before: int, total: int
) -> list[Phase]:
    if isinstance(amendment, ExtendAmendment):
        return _cut(_moved(phases, amendment, before), total) if amendment.stop is None else phases
    if not _has_all_lrs(columns, amendment):
        return phases
    start, stop = amendment.start, (total + 1 if amendment.stop is None else min(amendment.stop, total + 1))
    match amendment:
        case HoldAmendment():
            own = [Phase("hold", start, stop)]
        case RewarmAmendment():
            own = [Phase("warm-up", start, min(start + amendment.iterations, stop))]
        case CooldownAmendment():
            own = [Phase("cool-down", start, stop)]
        case ReplaceAmendment():
            by = origin(amendment)
            theirs = [Phase(each.name, each.start + by, each.stop + by) for each in amendment.schedule.phases]
            theirs[-1] = Phase(theirs[-1].name, theirs[-1].start, max(theirs[-1].stop, stop))
            own = [Phase(each.name, max(each.start, start), min(each.stop, stop)) for each in theirs]
        case _:
            return phases
    own = [phase for phase in own if phase.start < phase.stop]
    if not own:
        return phases
    first, last = own[0].start, own[-1].stop
    before_own = [Phase(each.name, each.start, min(each.stop, first)) for each in phases]
    after_own = [Phase(each.name, max(each.start, last), each.stop) for each in phases]
    return _cut([each for each in [*before_own, *own, *after_own] if each.start < each.stop], total)


def moved_by(amendment: ExtendAmendment, before: int) -> int:
    """How much later the last phase of a schedule comes, of which `before` is the last iteration until then."""
    return amendment.total_iterations - before if amendment.moved_by is None else amendment.moved_by


def held_from(amendment: ExtendAmendment, before: int) -> int:
    """The iteration whose value those until the start have of an extend that keeps; `before` is the end until then."""
    return before if amendment.held_from is None else amendment.held_from


def _moved(phases: list[Phase], amendment: ExtendAmendment, before: int) -> list[Phase]:
    if amendment.moved_from is None:
        return phases
    last, by = amendment.moved_from, moved_by(amendment, before)

    def later(n: int) -> int:
        return n + by if n > last else n

    return [Phase(each.name, later(each.start), later(each.stop)) for each in phases]


def _cut(phases: list[Phase], total: int) -> list[Phase]:
    """The phases until `total`; the last one lasts until then."""
    kept = [Phase(each.name, each.start, min(each.stop, total + 1)) for each in phases if each.start <= total]
    return [*kept[:-1], Phase(kept[-1].name, kept[-1].start, total + 1)]


def with_amendments(
    spec: "Spec", clock: Clock, normalised: "Callable[[Spec], Spec]", check: "Callable[[], None]"
) -> "Spec":
    """A spec, normalised but for its amendments, with these too; `check` is called before each. Raises InvalidSpec."""
    if spec.amendments is None:
        return spec
    whole: list[Any] = []
    columns = spec.columns
    for index, amendment in enumerate(spec.amendments):
        check()
        so_far = spec.model_copy(update={"amendments": tuple(whole) or None})
        violations: list[Violation] = []
        whole.append(_normal(so_far, columns, amendment, ("amendments", index), clock, normalised, violations))
        if violations:
            raise InvalidSpec(violations)
    growth = sum(math.log(max(each.factor, 1.0)) for each in whole if isinstance(each, ScaleAmendment))
    if growth > _MAX_LOG_GROWTH:
        raise InvalidSpec([violation(("amendments",), "must not make values grow beyond 1e100 times, all together")])
    # A list without entries and none at all are the same schedule.
    return spec.model_copy(update={"amendments": tuple(whole) or None})


def _normal(
    spec: "Spec",
    columns: Sequence[Column],
    amendment: Any,
    location: Location,
    clock: Clock,
    normalised: "Callable[[Spec], Spec]",
    violations: list[Violation],
) -> Any:
    """An amendment of a spec, with every duration in iterations; what breaks a rule goes to `violations`."""
    update: dict[str, Any] = {}
    start = _resolved(amendment.start, 0, (*location, "start"), clock, violations)
    for field in ("start", "stop", "iterations", "total_iterations"):
        value = getattr(amendment, field, None)
        begins = start if field == "iterations" else 0
        if value is not None:
            update[field] = _resolved(value, begins, (*location, field), clock, violations)
    if isinstance(amendment, ReplaceAmendment):
        update["schedule"] = _replacing(columns, amendment, location, normalised, violations)
    if violations:
        return amendment
    whole = amendment.model_copy(update=update)
    violations += _violations(columns, whole, location)
    if isinstance(whole, ExtendAmendment) and not violations:
        return _with_move(spec, whole, location, violations)
    return whole


def _resolved(value: Any, start: int, location: Location, clock: Clock, violations: list[Violation]) -> int:
    try:
        return clock.iterations(value, start)
    except ValueError as error:
        violations.append(violation(location, str(error), value.text))
        return 0


def _replacing(
    columns: Sequence[Column],
    amendment: ReplaceAmendment,
    location: Location,
    normalised: "Callable[[Spec], Spec]",
    violations: list[Violation],
) -> "Spec":
    own = (*location, "schedule")
    if _depth(amendment.schedule) > _MAX_NESTED:
        violations.append(violation(own, f"must not have schedules in it more than {_MAX_NESTED} deep"))
        return amendment.schedule
    try:
        replacing = normalised(amendment.schedule)
    except InvalidSpec as error:
        violations += [Violation((*own, *each.location), each.rule, each.value, each.kind) for each in error.violations]
        return amendment.schedule
    theirs = replacing.columns
    lacking = [each for each in columns if each.hyperparameter == LR_NAME and each not in theirs]
    if lacking or not {*theirs} <= {*columns}:
        rule = f"must have the columns {listed(column.name for column in columns)}, and no other"
        violations.append(violation(own, rule, [column.name for column in theirs]))
    return replacing


def _depth(spec: "Spec") -> int:
    inner = [each.schedule for each in spec.amendments or () if isinstance(each, ReplaceAmendment)]
    return 1 + max(map(_depth, inner), default=0)


def _violations(columns: Sequence[Column], amendment: Any, location: Location) -> Iterator[Violation]:
    if amendment.stop is not None and amendment.stop <= amendment.start:
        rule = f"must be greater than start ({amendment.start})"
        yield violation((*location, "stop"), rule, amendment.stop)
    if isinstance(amendment, ExtendAmendment):
        return
    known = [column.group for column in columns if amendment.hyperparameter in {None, column.hyperparameter}]
    if not known:
        names = sorted({column.hyperparameter for column in columns})
        rule = f"must be one of {listed(names)}: the schedule has no other"
        yield violation((*location, "hyperparameter"), rule, amendment.hyperparameter)
        return
    yield from _name_violations((*location, "param_groups"), amendment.param_groups or (), known)
    if isinstance(amendment, ScaleAmendment) and amendment.floor is not None:
        if amendment.factor > 1:
            yield violation((*location, "floor"), f"must not be given beside a factor ({amendment.factor:g}) above 1")
        yield from _value_violations(columns, amendment, amendment.floor, (*location, "floor"))
    if isinstance(amendment, HoldAmendment):
        yield from _value_violations(columns, amendment, amendment.value, (*location, "value"))


def _value_violations(columns: Sequence[Column], amendment: Any, value: Any, location: Location) -> Iterator[Violation]:
    """Of an object with one value per group: exactly the groups that are amended."""
    if not isinstance(value, dict):
        return
    groups = [columns[index].group for index in amended_columns(columns, amendment)]
    yield from _name_violations(location, tuple(value), groups, are_keys=True)
    for name in groups:
        if name not in value:
            yield violation((*location, name), "is required: every param group that is amended has its own")


def _name_violations(
    location: Location, names: Sequence[str], known: Sequence[str], *, are_keys: bool = False
) -> Iterator[Violation]:
    rule = f"must be a param group of this amendment (known: {listed(sorted(known))})"
    for index, name in enumerate(names):
        if name not in known:
            yield violation((*location, name if are_keys else index), rule, name)
    if len(set(names)) < len(names):
        yield violation(location, "must not name a group twice", names)


def _with_move(spec: "Spec", amendment: ExtendAmendment, location: Location, violations: list[Violation]) -> Any:
    if amendment.policy == "keep":
        rule = "must not be given where nothing is moved"
        given = [field for field in ("moved_from", "moved_by") if getattr(amendment, field) is not None]
        violations += [violation((*location, field), rule) for field in given]
        return amendment
    if amendment.held_from is not None:
        violations.append(violation((*location, "held_from"), "must not be given where the last phase is moved"))
    if amendment.moved_by is not None:
        if amendment.moved_from is None:
            violations.append(violation((*location, "moved_from"), "is required beside moved_by"))
        return amendment
    total = spec.amended_total_iterations
    if amendment.total_iterations <= total:
        rule = f"must be greater than that of the schedule so far ({total})"
        violations.append(violation((*location, "total_iterations"), rule, amendment.total_iterations))
    starts = {track.phases(spec.total_iterations)[-1].start for track in spec.tracks if _is_lr(spec, track)}
    if len(starts) > 1 and not spec.amendments:
        rule = "must be keep: the param groups have their last phases at different iterations"
        violations.append(violation((*location, "policy"), rule, amendment.policy))
    moved_from = max(spec.phases[-1].start - 1, 0)
    if amendment.moved_from not in {None, moved_from}:
        rule = f"must be {moved_from} here, or left out"
        violations.append(violation((*location, "moved_from"), rule, amendment.moved_from))
    return amendment.model_copy(update={"moved_from": moved_from})


def _is_lr(spec: "Spec", track: Track) -> bool:
    return spec.columns[track.columns[0]].hyperparameter == LR_NAME
