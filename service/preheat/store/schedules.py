"""Schedules in the database: what is read from their table and written."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, or_, select, update

from preheat.errors import ScheduleInUse, ScheduleNotFound, ScheduleUnreadable
from preheat.schedule import Schedule
from preheat.store.changes import announce
from preheat.store.database import Database
from preheat.store.dialects import Dialect
from preheat.store.run_tables import run_revisions
from preheat.store.tables import schedules, today

TOPIC = "schedules"
"""Of the changes that are announced: the id of a schedule that was removed."""

_MOST_CHARACTERS = 2_000_000
"""Characters of the texts on a page but for the last one: of specs as large as a body may be, a page has two."""

_AT_ONCE = 500
"""Schedules in one statement."""

_YEAR_10000 = 253_402_300_800


@dataclass(frozen=True)
class Search:
    """Which schedules to list: those whose label is `label`, begins with `prefix` and has `part` in it.

    `part` takes upper and lower case of the letters A to Z for the same.
    """

    label: str | None = None
    prefix: str | None = None
    part: str | None = None


@dataclass(frozen=True)
class KeptSchedule:
    """A schedule, and when it was stored, in seconds since 1970; None where a version before stored it."""

    schedule: Schedule
    created_at: int | None


@dataclass(frozen=True)
class Page:
    """Part of the list of schedules, newest first; what cannot be read is named apart.

    `next` is the number that the following page stays below; None on the last.
    """

    schedules: list[KeptSchedule]
    unreadable: list[ScheduleUnreadable]
    next: int | None


class ScheduleStore:
    """Schedules, each under its id, in the order in which they came.

    What `add` returned from is on the disk. Each method raises StoreUnavailable while the database is.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, schedule: Schedule) -> bool:
        """Keeps the schedule; returns whether it is new. A row with its id and other content is damaged, and mended."""
        with self._database.transaction() as connection:
            # Read first: this takes no write lock, and a schedule that is posted again needs none.
            kept = connection.execute(
                select(schedules.c.text, schedules.c.label).where(
                    schedules.c.id == schedule.id,
                    # Otherwise retention may be about to remove it.
                    or_(schedules.c.used_on.is_(None), schedules.c.used_on >= today),
                    # Otherwise it would go with a run.
                    schedules.c.of_runs.is_(None),
                )
            ).first()
        if kept is not None and tuple(kept) == (schedule.text, _label(self._database.dialect, schedule)):
            return False
        with self._database.transaction("write") as connection:
            return insert_schedule(self._database.dialect, connection, schedule, self._clock())

    def get(self, schedule_id: str) -> Schedule:
        """The schedule with this id. Raises ScheduleNotFound, ScheduleUnreadable."""
        return Schedule.stored(schedule_id, self.text(schedule_id))

    def text(self, schedule_id: str) -> str:
        """The text of the schedule with this id, which is not parsed. Raises ScheduleNotFound."""
        with self._database.transaction() as connection:
            return read_text(connection, schedule_id)

    def has(self, schedule_id: str) -> bool:
        """Whether there is a schedule with this id, readable or not."""
        with self._database.transaction() as connection:
            return connection.scalar(select(schedules.c.number).where(schedules.c.id == schedule_id)) is not None

    def count(self) -> int:
        """How many schedules there are, readable or not."""
        with self._database.transaction() as connection:
            return connection.scalar(select(func.count()).select_from(schedules)) or 0

    def delete(self, schedule_id: str) -> None:
        """Removes the schedule with this id, readable or not. Raises ScheduleNotFound, ScheduleInUse."""
        with self._database.transaction("write") as connection:
            # PostgreSQL's foreign key says the same of a run that is being made at this moment, less kindly.
            run = connection.scalar(select(run_revisions.c.run).where(run_revisions.c.schedule == schedule_id).limit(1))
            if run is not None:
                raise ScheduleInUse(schedule_id, run)
            if connection.execute(delete(schedules).where(schedules.c.id == schedule_id)).rowcount == 0:
                raise ScheduleNotFound(schedule_id)
            announce(self._database, connection, TOPIC, [schedule_id])

    def newest(self, limit: int, before: int | None = None, search: Search = Search()) -> Page:
        """Up to `limit` of the schedules that are searched for: those whose number is below `before`.

        Fewer where their texts together have more than 2 million characters.
        """
        # A database that numbers rows before they are committed may add one between two pages: that one is not listed
        # until the list is read again, and no row is listed twice.
        query = select(schedules).order_by(schedules.c.number.desc()).where(*self._conditions(search))
        if before is not None:
            query = query.where(schedules.c.number < before)
        rows: list[Row[Any]] = []
        follows, characters = False, 0
        with self._database.transaction() as connection:
            for row in connection.execute(query.limit(limit + 1)):
                # The row beyond the last only tells that there is another page.
                follows = len(rows) == limit or characters > _MOST_CHARACTERS
                if follows:
                    break
                rows.append(row)
                characters += len(_text(row.text))
        page = Page([], [], next=rows[-1].number if follows else None)
        for row in rows:
            try:
                schedule = Schedule.stored(_text(row.id), _text(row.text))
            except ScheduleUnreadable as error:
                page.unreadable.append(error)
            else:
                page.schedules.append(KeptSchedule(schedule, _time(row.created_at)))
        return page

    def _conditions(self, search: Search) -> list[ColumnElement[bool]]:
        dialect, conditions = self._database.dialect, []
        if search.label is not None:
            conditions.append(schedules.c.label == dialect.storable(search.label))
        if search.prefix is not None:
            conditions.append(dialect.begins(schedules.c.label, dialect.storable(search.prefix)))
        if search.part is not None:
            # A condition of its own, for which the index is read alone and no row with its text.
            has_part = dialect.contains(schedules.c.label, dialect.storable(search.part))
            conditions.append(schedules.c.number.in_(select(schedules.c.number).where(has_part)))
        return conditions


def read_text(connection: Connection, schedule_id: str) -> str:
    """The text of a schedule, within a transaction. Raises ScheduleNotFound."""
    text = connection.scalar(select(schedules.c.text).where(schedules.c.id == schedule_id))
    if text is None:
        raise ScheduleNotFound(schedule_id)
    return _text(text)


def insert_schedule(
    dialect: Dialect, connection: Connection, schedule: Schedule, now: float, *, is_of_run: bool = False
) -> bool:
    """Keeps a schedule within a transaction; returns whether it is new. One that was there is mended, and used now.

    One `is_of_run` that is a revision of a run, and that nobody has posted.
    """
    row = {"id": schedule.id, "text": schedule.text, "label": _label(dialect, schedule)}
    new = {**row, "created_at": int(now), "of_runs": 1 if is_of_run else None}
    insert = dialect.insert_or_ignore(schedules).values(new).returning(schedules.c.number)
    # Damaged, not used since yesterday, or added by another process since it was looked for.
    mended = {**row, "used_on": today} if is_of_run else {**row, "used_on": today, "of_runs": None}
    mend = update(schedules).where(schedules.c.id == schedule.id).values(mended)
    while True:
        if connection.scalar(insert) is not None:
            return True
        if connection.execute(mend).rowcount:
            return False
        # Where rows are locked one by one, another process has removed it since: it is inserted after all.


def delete_of_runs(database: Database, connection: Connection, ids: Sequence[str]) -> list[str]:
    """Removes those of some schedules that no run needs any more, and nobody has posted; returns which."""
    removed: list[str] = []
    for begin in range(0, len(ids), _AT_ONCE):
        some = schedules.c.id.in_(ids[begin : begin + _AT_ONCE]) & schedules.c.of_runs.is_not(None)
        # Held first: a run that is being made with one of them is seen by the next statement, or waits.
        connection.execute(select(schedules.c.number).where(some).order_by(schedules.c.id).with_for_update())
        is_needed = select(run_revisions.c.number).where(run_revisions.c.schedule == schedules.c.id).exists()
        removal = delete(schedules).where(some, ~is_needed).returning(schedules.c.id)
        removed += connection.execute(removal).scalars()
    if removed:
        announce(database, connection, TOPIC, removed)
    return removed


def _label(dialect: Dialect, schedule: Schedule) -> str | None:
    return schedule.spec.label and dialect.storable(schedule.spec.label)


def _time(value: object) -> int | None:
    """A column as seconds since 1970, None if damage has left something else there."""
    return value if isinstance(value, int) and 0 <= value < _YEAR_10000 else None


def _text(value: object) -> str:
    """A column as text, whatever damage has left there: some databases keep any type in any column."""
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
