"""Answers about runs: what the service says of a run, an attempt, a window and a change, as values; no I/O."""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from preheat_client._core.curve import Window
from preheat_client.errors import ServiceUnavailable

Kind = TypeVar("Kind")


@dataclass(frozen=True)
class RunDescription:
    """A run as it was found or made; `origins` are the ids of the runs that it shares its history with."""

    id: str
    label: str
    base_id: str
    schedule_id: str
    revision: int
    generation: int
    attempt: int
    position: int
    total_iterations: int
    group_names: tuple[str, ...]
    origins: tuple[str, ...]


@dataclass(frozen=True)
class Attached:
    """The attempt that this process speaks for; `start` is its first iteration, `token` what it shows from now on."""

    attempt: int
    token: str
    start: int
    revision: int
    schedule_id: str
    generation: int
    lease_s: float
    total_iterations: int


@dataclass(frozen=True)
class Restart:
    """A restart that a person has asked for: load a checkpoint from before `position`, the next iteration to run.

    `changes`: what becomes of changes from there on, "drop" or "from-here". `why` and `author`: who asked, and why.
    """

    position: int
    changes: str
    why: str
    author: str


@dataclass(frozen=True)
class Handed:
    """A window that the service has handed out; it is empty where there is nothing more to hand out yet.

    `left_from`: the iteration from which on it had no time for the reports that came with the request.
    """

    attempt: int
    window: Window
    stop: int
    revision: int
    schedule_id: str
    generation: int
    lease_s: float
    total_iterations: int
    restart: Restart | None
    left_from: int | None = None


@dataclass(frozen=True)
class Change:
    """A change of the run: what it does, why and by whom; `effect` is its first iteration, None if it has none.

    `status`: scheduled, applied, reverted, cancelled, dropped or missed; `operation` as the service has it.
    """

    id: str
    operation: Mapping[str, Any]
    why: str
    author: str
    effect: int | None
    status: str | None
    revisions: tuple[int, ...] = ()

    def at(self, position: int) -> "Change":
        """The change as it stands where `position` is the next iteration to run: applied once its first one is used."""
        if self.effect is None or self.status not in {"scheduled", "applied"}:
            return self
        return replace(self, status="applied" if self.effect < position else "scheduled")


def run_description_of(answer: Mapping[str, Any]) -> RunDescription:
    """The run in an answer. Raises ServiceUnavailable if there is none in it."""
    groups: list[Any] = _of(answer, "groups", list)
    origins: list[Any] = _of(answer, "origins", list)
    return RunDescription(
        _of(answer, "id", str),
        _of(answer, "label", str),
        _of(answer, "base_id", str),
        _of(answer, "schedule_id", str),
        _of(answer, "revision", int),
        _of(answer, "generation", int),
        _of(answer, "attempt_number", int),
        _of(answer, "position", int),
        _of(answer, "total_iterations", int),
        tuple(_of(group, "name", str) for group in groups),
        tuple(_of(origin, "run", str) for origin in origins),
    )


def attached_of(answer: Mapping[str, Any]) -> Attached:
    """The attempt in an answer. Raises ServiceUnavailable if there is none in it."""
    return Attached(
        _of(answer, "attempt", int),
        _of(answer, "token", str),
        _of(answer, "start", int),
        _of(answer, "revision", int),
        _of(answer, "schedule_id", str),
        _of(answer, "generation", int),
        _seconds(answer, "lease_s"),
        _of(answer, "total_iterations", int),
    )


def handed_of(answer: Mapping[str, Any], columns: Sequence[tuple[str, str]]) -> Handed:
    """The window in an answer, of a run with these columns (group and hyperparameter, "lr" among them).

    Raises ServiceUnavailable unless every column has one value an iteration, each finite and not negative.
    """
    start, stop = _of(answer, "start", int), _of(answer, "stop", int)
    if not 0 <= start <= stop:
        raise ServiceUnavailable(f"the service answered a window of iterations {start} … {stop - 1}")
    restart = answer.get("restart")
    return Handed(
        _of(answer, "attempt", int),
        window_of_groups(_of(answer, "groups", list), columns, start, stop),
        stop,
        _of(answer, "revision", int),
        _of(answer, "schedule_id", str),
        _of(answer, "generation", int),
        _seconds(answer, "lease_s"),
        _of(answer, "total_iterations", int),
        None if restart is None else _restart_of(restart),
        left_from_of(answer.get("reports")),
    )


def left_from_of(counts: Any) -> int | None:
    """The iteration from which on a service had no time for reports; None if it has taken all of them."""
    left_from = counts.get("left_from") if isinstance(counts, Mapping) else None
    return None if left_from is None else _of(counts, "left_from", int)


def window_of_groups(groups: Sequence[Any], columns: Sequence[tuple[str, str]], start: int, stop: int) -> Window:
    """The window in LRs and other hyperparameters by group. Raises ServiceUnavailable for any other."""
    found: dict[tuple[str, str], list[Any]] = {}
    for group in groups:
        name = _of(group, "name", str)
        found[name, "lr"] = _of(group, "lr", list)
        found |= {(name, other): values for other, values in group.get("hyperparameters", {}).items()}
    if found.keys() != set(columns) or any(len(values) != stop - start for values in found.values()):
        raise ServiceUnavailable(f"the service answered something that is not iterations {start} … {stop - 1}")
    values = array("d", bytes(8 * len(columns) * (stop - start)))
    for index, column in enumerate(columns):
        values[index :: len(columns)] = array("d", [_value(each) for each in found[column]])
    return Window(start, values, sum(name == "lr" for _, name in columns), len(columns))


def changes_of(answer: Mapping[str, Any]) -> list[Change]:
    """The changes in an answer, in order of acceptance. Raises ServiceUnavailable if there are none in it."""
    return [
        Change(
            _of(change, "id", str),
            _of(change, "operation", dict),
            _of(change, "why", str),
            _of(change, "author", str),
            change.get("effect"),
            change.get("status"),
            tuple(_of(placement, "revision", int) for placement in _of(change, "placements", list)),
        )
        for change in _of(answer, "changes", list)
    ]


def _restart_of(answer: Any) -> Restart:
    return Restart(
        _of(answer, "position", int), _of(answer, "changes", str), _of(answer, "why", str), _of(answer, "author", str)
    )


def _seconds(answer: Mapping[str, Any], name: str) -> float:
    value = answer.get(name)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ServiceUnavailable(f"the service answered {name} ({value!r:.40}), which is not a number of seconds")
    return float(value)


def _value(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ServiceUnavailable(f"the service answered an LR ({value!r:.40}) that is negative or not finite")
    return float(value)


def _of(answer: Any, name: str, kind: type[Kind]) -> Kind:
    value = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ServiceUnavailable(f"the service answered {name} ({value!r:.80}) where {kind.__name__} was expected")
    return value
