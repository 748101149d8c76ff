"""Lists of live runs in the database: pages of them, and how many there are in each state."""

from dataclasses import dataclass
from typing import Any, get_args

from sqlalchemy import ColumnElement, Row, and_, func, select

from preheat.runs.states import State
from preheat.store.database import Database
from preheat.store.run_tables import runs


@dataclass(frozen=True)
class RunSearch:
    """Which runs to list: those with this label, or one that begins so, in this state."""

    label: str | None = None
    label_prefix: str | None = None
    state: State | None = None


@dataclass(frozen=True)
class RunPage:
    """Part of the list, newest first: ids, and the number below which the next page begins, if there is one."""

    ids: list[str]
    next: int | None


def in_state(state: State, now: float) -> ColumnElement[bool]:
    """Whether a run is in a state at a time, as `preheat.runs.states.state_of` says."""
    is_attached = runs.c.phase == "ATTACHED"
    is_silent, is_stalled = runs.c.silent_at < now, runs.c.stalled_at < now
    match state:
        case "SILENT":
            return and_(is_attached, is_silent)
        case "STALLED":
            return and_(is_attached, ~is_silent, is_stalled)
        case "RUNNING":
            return and_(is_attached, ~is_silent, ~is_stalled)
        case _:
            return runs.c.phase == state


def list_runs(database: Database, search: RunSearch, limit: int, before: int | None, now: float) -> RunPage:
    """Up to `limit` of the runs that are searched for, of which the number is below `before`."""
    conditions = []
    if search.label is not None:
        conditions.append(runs.c.label == database.dialect.storable(search.label))
    if search.label_prefix is not None:
        conditions.append(database.dialect.begins(runs.c.label, database.dialect.storable(search.label_prefix)))
    if search.state is not None:
        conditions.append(in_state(search.state, now))
    if before is not None:
        conditions.append(runs.c.number < before)
    query = select(runs.c.number, runs.c.id).where(*conditions).order_by(runs.c.number.desc())
    with database.transaction() as connection:
        rows: list[Row[Any]] = list(connection.execute(query.limit(limit + 1)))
    shown = rows[:limit]
    return RunPage([row.id for row in shown], shown[-1].number if len(rows) > limit else None)


def count_by_state(database: Database, now: float) -> dict[State, int]:
    """How many runs there are in each state."""
    states: tuple[State, ...] = get_args(State)
    counts = [func.count().filter(in_state(state, now)) for state in states]
    with database.transaction() as connection:
        row = connection.execute(select(*counts).select_from(runs)).one()
    return dict(zip(states, map(int, row), strict=True))
