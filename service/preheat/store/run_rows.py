"""Rows of live runs: how a run is read from its tables, and what of it is written where it has changed."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import TypeAdapter
from sqlalchemy import Connection, Table, delete, insert, select, update

from preheat.runs.events import Event
from preheat.runs.limits import Limits
from preheat.runs.reports import as_json
from preheat.runs.run import Attempt, Change, KeptAnswer, Run, from_json, to_json
from preheat.runs.states import silent_at
from preheat.store.dialects import Dialect
from preheat.store.run_tables import run_attempts, run_changes, run_events, run_keys, runs

_LISTS = ("attempts", "changes", "keys")
"""Fields of a run whose entries have rows of their own."""

_ELSEWHERE = {*_LISTS, "base"}
_ATTEMPT, _CHANGE, _KEY = TypeAdapter(Attempt), TypeAdapter(Change), TypeAdapter(KeptAnswer)


def read_run(connection: Connection, run_id: str) -> Run:
    """The run with this id, which is there and held, so that its rows are of one moment."""
    row = connection.execute(select(runs.c.base, runs.c.content).where(runs.c.id == run_id)).one()
    lists = {
        "attempts": _contents(connection, run_attempts, run_attempts.c.position, run_id),
        "changes": _contents(connection, run_changes, run_changes.c.position, run_id),
        "keys": _contents(connection, run_keys, run_keys.c.number, run_id),
    }
    return from_json({**json.loads(row.content), "base": row.base, **lists})


def insert_run(connection: Connection, dialect: Dialect, run: Run, stamp: str, limits: Limits) -> None:
    """Writes a new run, without its events."""
    label = dialect.storable(run.label)
    fixed = {"id": run.id, "label": label, "base": run.base, "content": _content(run), "reports": 0}
    connection.execute(insert(runs).values(**fixed, **_moving(run, stamp, limits)))
    _write_lists(connection, dialect, None, run)


def update_run(connection: Connection, dialect: Dialect, before: Run, run: Run, stamp: str, limits: Limits) -> None:
    """Writes what is new of a run: of most windows that is one attempt."""
    values = _moving(run, stamp, limits)
    if _has_changed(before, run):
        values["content"] = _content(run)
    connection.execute(update(runs).where(runs.c.id == run.id).values(values))
    _write_lists(connection, dialect, before, run)


def insert_events(connection: Connection, run_id: str, events: Sequence[Event], most: int) -> None:
    """Writes events; of all there are the newest are kept."""
    if not events:
        return
    rows = [
        {"run": run_id, "number": each.number, "kind": each.kind, "at": each.at, "data": _text(each.data)}
        for each in events
    ]
    connection.execute(insert(run_events), rows)
    is_old = run_events.c.number <= events[-1].number - most
    connection.execute(delete(run_events).where(run_events.c.run == run_id, is_old))


def _content(run: Run) -> str:
    return _text({name: value for name, value in to_json(_without_lists(run)).items() if name not in _ELSEWHERE})


def _without_lists(run: Run) -> Run:
    return Run(**{**run.__dict__, **dict.fromkeys(_LISTS, ())})


def _has_changed(before: Run, run: Run) -> bool:
    return any(value != before.__dict__[name] for name, value in run.__dict__.items() if name not in _ELSEWHERE)


def _moving(run: Run, stamp: str, limits: Limits) -> dict[str, Any]:
    """What lists are filtered by: a state at any time follows from it (`run_lists.in_state`)."""
    attempt = run.attempt
    if attempt is None:
        return {"stamp": stamp, "phase": "FINISHED" if run.is_finished else "WAITING", "silent_at": 0, "stalled_at": 0}
    phase = "FINISHED" if run.is_finished else "CLOSED" if attempt.is_closed else "ATTACHED"
    stalled_at = attempt.moved_at + limits.stalled_after_s
    return {"stamp": stamp, "phase": phase, "silent_at": silent_at(attempt), "stalled_at": stalled_at}


def _write_lists(connection: Connection, dialect: Dialect, before: Run | None, run: Run) -> None:
    attempts, changes = ((), ()) if before is None else (before.attempts, before.changes)
    _write_list(connection, run_attempts, run.id, attempts, run.attempts, _ATTEMPT)
    _write_list(connection, run_changes, run.id, changes, run.changes, _CHANGE)
    _write_keys(connection, dialect, run.id, () if before is None else before.keys, run.keys)


def _write_list(
    connection: Connection, table: Table, run_id: str, before: Sequence[Any], entries: Sequence[Any], kind: Any
) -> None:
    """Entries are added at the end and replaced, and never removed."""
    for position, entry in enumerate(entries):
        if position >= len(before):
            row = {"run": run_id, "position": position, "content": kind.dump_json(entry).decode()}
            connection.execute(insert(table).values(row))
        elif entry is not before[position] and entry != before[position]:
            place = (table.c.run == run_id, table.c.position == position)
            connection.execute(update(table).where(*place).values(content=kind.dump_json(entry).decode()))


def _write_keys(
    connection: Connection, dialect: Dialect, run_id: str, before: Sequence[KeptAnswer], kept: Sequence[KeptAnswer]
) -> None:
    """Keys are added at the end, and the oldest are forgotten."""
    if kept == before:
        return
    known, still = set(before), set(kept)
    for each in before:
        if each not in still:
            connection.execute(delete(run_keys).where(*_named(dialect, run_id, each)))
    for each in kept:
        if each not in known:
            row = {"run": run_id, "author": dialect.storable(each.author), "key": dialect.storable(each.key)}
            connection.execute(insert(run_keys).values(**row, content=_KEY.dump_json(each).decode()))


def _named(dialect: Dialect, run_id: str, kept: KeptAnswer) -> tuple[Any, ...]:
    author, key = dialect.storable(kept.author), dialect.storable(kept.key)
    return run_keys.c.run == run_id, run_keys.c.author == author, run_keys.c.key == key


def _contents(connection: Connection, table: Table, order: Any, run_id: str) -> list[Any]:
    rows = connection.execute(select(table.c.content).where(table.c.run == run_id).order_by(order)).scalars()
    return [json.loads(content) for content in rows]


def _text(data: Mapping[str, Any]) -> str:
    # By what reads it: a text that it could not read is not written.
    return orjson.dumps(_finite(data)).decode()


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as texts."""
    if isinstance(value, float) and not math.isfinite(value):
        return as_json(value)
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_finite(each) for each in value]
    return value
