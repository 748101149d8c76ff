"""Schedules in the database: their table, as SQLAlchemy Core sees it, and what is read from it and written."""

from dataclasses import dataclass

from sqlalchemy import Column, Index, Integer, MetaData, String, Table, Text, select, update

from preheat.errors import ScheduleNotFound, ScheduleUnreadable
from preheat.schedule import Schedule
from preheat.store.database import Database

metadata = MetaData()

schedules = Table(
    "schedules",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True, doc="Order of arrival."),
    Column("id", String(32), nullable=False, unique=True, doc="Hash of the text."),
    Column("text", Text, nullable=False, doc="What `Schedule.text` was when the schedule was made."),
    Column("label", Text, nullable=True, doc="The spec's, as `_searchable` writes it."),
    Index("schedules_by_label", "label", "number"),
    # Otherwise SQLite gives the number of a deleted last row to the next one.
    sqlite_autoincrement=True,
)
"""Every schedule that was ever posted."""


@dataclass(frozen=True)
class Page:
    """Part of the list of schedules, newest first; what cannot be read is named apart.

    `next` is the number that the following page stays below; None on the last.
    """

    schedules: list[Schedule]
    unreadable: list[ScheduleUnreadable]
    next: int | None


class ScheduleStore:
    """Schedules, each under its id, in the order in which they came.

    What `add` returned from is on the disk. Each method raises StoreUnavailable while the database is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, schedule: Schedule) -> bool:
        """Keeps the schedule; returns whether it is new. A row with its id and other content is damaged, and mended."""
        with self._database.transaction() as connection:
            # Read first: this takes no write lock, and a schedule that is posted again needs none.
            kept = connection.execute(
                select(schedules.c.text, schedules.c.label).where(schedules.c.id == schedule.id)
            ).first()
        row = {"id": schedule.id, "text": schedule.text, "label": _searchable(schedule.spec.label)}
        if kept is not None and tuple(kept) == (row["text"], row["label"]):
            return False
        with self._database.transaction("write") as connection:
            insert = self._database.insert_or_ignore(schedules).values(row).returning(schedules.c.number)
            if connection.scalar(insert) is not None:
                return True
            # Either damaged, or added by another process since the read: then this changes nothing.
            connection.execute(update(schedules).where(schedules.c.id == schedule.id).values(row))
            return False

    def get(self, schedule_id: str) -> Schedule:
        """The schedule with this id. Raises ScheduleNotFound, ScheduleUnreadable."""
        with self._database.transaction() as connection:
            text = connection.scalar(select(schedules.c.text).where(schedules.c.id == schedule_id))
        if text is None:
            raise ScheduleNotFound(schedule_id)
        return Schedule.stored(schedule_id, _text(text))

    def newest(self, limit: int, before: int | None = None, label: str | None = None) -> Page:
        """Up to `limit` schedules: those whose number is below `before`, those with `label`."""
        # A database that numbers rows before they are committed may add one between two pages: that one is not listed
        # until the list is read again, and no row is listed twice.
        query = select(schedules).order_by(schedules.c.number.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(schedules.c.number < before)
        if label is not None:
            query = query.where(schedules.c.label == _searchable(label))
        with self._database.transaction() as connection:
            rows = connection.execute(query).all()
        # The row beyond `limit` only tells that there is another page.
        page = Page([], [], next=rows[limit - 1].number if len(rows) > limit else None)
        for row in rows[:limit]:
            try:
                page.schedules.append(Schedule.stored(_text(row.id), _text(row.text)))
            except ScheduleUnreadable as error:
                page.unreadable.append(error)
        return page


def _searchable(label: str | None) -> str | None:
    # PostgreSQL's texts have no NUL, which a label may have; the schedule's own text has it as an escape.
    return label and label.replace("\0", "\N{SYMBOL FOR NULL}")


def _text(value: object) -> str:
    """A column as text, whatever damage has left there: some databases keep any type in any column."""
    return value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else str(value)
