"""Operations: what a request may ask for, checked, with every duration in iterations."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from preheat.runs import moves
from preheat.runs.revision import base_of
from preheat.runs.run import Run
from preheat.specs import InvalidSpec, Spec, Violation, from_pydantic, violation
from preheat.specs.amendments import AMENDMENTS
from preheat.specs.duration_text import duration
from preheat.specs.durations import Clock, Units
from preheat.specs.fields import MAX_ITERATION, UNION_TAGS
from preheat.specs.violations import unknown

NOT_ASKED = ("start", "stop", *moves.FIELDS, "change")
"""Fields of an amendment that nobody asks for: they follow from when and as what a change is accepted."""


@dataclass(frozen=True)
class Durations:
    """When a change is wanted, until when or for how long, and after when not, in iterations."""

    at: int | None
    until: int | None
    for_iterations: int | None
    not_after: int | None


def resolved(run: Run, at: Any, until: Any, for_iterations: Any, not_after: Any) -> Durations:
    """The durations of a change, by the units of the run's base. Raises InvalidSpec."""
    clock, violations = _clock(run), list[Violation]()
    given = {"at": at, "until": until, "not_after": not_after}
    points = {name: _iterations(value, 0, 0, name, clock, violations) for name, value in given.items()}
    begin = max(points["at"] or 0, run.horizon)
    length = _iterations(for_iterations, begin, 1, "for_iterations", clock, violations)
    if violations:
        raise InvalidSpec(violations)
    return Durations(points["at"], points["until"], length, points["not_after"])


def checked_operation(run: Run, operation: Mapping[str, Any], effect: int) -> dict[str, Any]:
    """An operation with durations in iterations, where they begin at `effect`. Raises InvalidSpec.

    What depends on the schedule is checked with the revision that it makes.
    """
    op = operation.get("op")
    if op is None:
        raise InvalidSpec([violation(("operation", "op"), "is required: the name of an operation")])
    if op == "revert":
        if set(operation) != {"op", "change"} or not isinstance(operation["change"], str):
            raise InvalidSpec([violation(("operation", "change"), "is required, and nothing else: the change's id")])
        return dict(operation)
    if not isinstance(op, str) or op not in AMENDMENTS:
        raise InvalidSpec([violation(("operation", "op"), unknown("operation", str(op), [*AMENDMENTS, "revert"]), op)])
    foreign = [
        violation(("operation", name), "is no field of a change", operation[name])
        for name in NOT_ASKED
        if name in operation
    ]
    if foreign:
        raise InvalidSpec(foreign)
    _check_fields(op, operation, effect)
    violations: list[Violation] = []
    found = dict(operation)
    clock = _clock(run)
    for field, start in (("iterations", effect), ("total_iterations", 0)):
        if isinstance(found.get(field), str):
            found[field] = _iterations(found[field], start, 1, field, clock, violations)
    if violations:
        raise InvalidSpec([Violation(("operation", *each.location), each.rule, each.value) for each in violations])
    return found


def _check_fields(op: str, operation: Mapping[str, Any], effect: int) -> None:
    """Raises InvalidSpec for a field that is missing, unknown or of the wrong kind, whatever the schedule is."""
    example: dict[str, Any] = {**operation, "start": effect}
    if operation.get("value") == "current":
        example["value"] = 0.0
    if isinstance(operation.get("schedule"), Mapping):  # it is checked as a spec, with the recipe in it
        example["schedule"] = Spec(target_lr=1.0, total_iterations=1)
    known = [name for name in AMENDMENTS[op].model_fields if name not in NOT_ASKED]
    try:
        AMENDMENTS[op].model_validate({name: as_tuple(value) for name, value in example.items()})
    except ValidationError as error:
        found = from_pydantic(error.errors(include_url=False), tags=UNION_TAGS, fields_at=lambda _: known)
        raise InvalidSpec([replace(each, location=("operation", *each.location)) for each in found]) from None


def as_tuple(value: Any) -> Any:
    """A list as the tuple that strict models of specs take."""
    return tuple(value) if isinstance(value, list) else value


def _clock(run: Run) -> Clock:
    spec = base_of(run).spec
    return Clock(spec.total_iterations, spec.units or Units())


def _iterations(value: Any, start: int, least: int, name: str, clock: Clock, violations: list[Violation]) -> int | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return clock.iterations(duration(value, least), start)
    except ValueError as error:
        violations.append(violation((name,), str(error), value))
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= MAX_ITERATION:
        rule = f"must be a whole number of iterations in {least} … {MAX_ITERATION}, or a duration"
        violations.append(violation((name,), rule, value))
        return None
    return value
