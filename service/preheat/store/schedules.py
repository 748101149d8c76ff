"""Schedules at rest."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import Connection, Engine, Select, create_engine, event, select
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from preheat.errors import ScheduleNotFound, StoreUnavailable
from preheat.schedule import Schedule
from preheat.specs import Spec
from preheat.store.tables import schedules

_MIGRATIONS = Path(__file__).parent / "migrations"


class ScheduleStore:
    """Schedules in SQLite, each under its id, in the order in which they came.

    What `add` returned from is on the disk: write-ahead log, synced at every commit. Every call opens the file anew,
    so that a database that was locked, full, read-only or corrupt is used again as soon as it is mended. Each method
    raises StoreUnavailable while it is not. Several processes may share one file.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._file = make_url(url).database
        self._is_in_memory = self._file in {None, "", ":memory:"}
        self._engine = _engine(url, timeout_s, is_in_memory=self._is_in_memory)
        self._migrating = threading.Lock()
        self._is_migrated = False

    def add(self, schedule: Schedule) -> bool:
        """Keeps the schedule; returns whether it is new."""
        with self._connection() as connection:
            if connection.execute(select(schedules.c.number).where(schedules.c.id == schedule.id)).first():
                return False
        with self._connection(writes=True) as connection:
            row = {
                "id": schedule.id,
                "spec": schedule.spec.model_dump_json(exclude_none=True),
                "torch_version": schedule.torch_version,
                "label": schedule.spec.label,
            }
            return connection.execute(insert(schedules).values(row).on_conflict_do_nothing()).rowcount == 1

    def get(self, schedule_id: str) -> Schedule:
        """The schedule with this id. Raises ScheduleNotFound."""
        rows = self._read(select(schedules).where(schedules.c.id == schedule_id))
        if not rows:
            raise ScheduleNotFound(schedule_id)
        return _schedule(rows[0])

    def newest(self, limit: int, before: int | None = None, label: str | None = None) -> list[tuple[int, Schedule]]:
        """Up to `limit` schedules, newest first, each with its number; those below `before`, those with `label`."""
        query = select(schedules).order_by(schedules.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(schedules.c.number < before)
        if label is not None:
            query = query.where(schedules.c.label == label)
        return [(row.number, _schedule(row)) for row in self._read(query)]

    def check(self) -> None:
        """Returns if schedules can be read and written at this moment."""
        with self._connection(writes=True) as connection:
            connection.execute(select(schedules.c.number).limit(1))

    def _read(self, query: Select[Any]) -> Sequence[Any]:
        with self._connection() as connection:
            return connection.execute(query).all()

    @contextmanager
    def _connection(self, *, writes: bool = False) -> Iterator[Connection]:
        try:
            self._migrate()
            with self._engine.execution_options(writes=writes).begin() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            self._is_migrated = False
            raise StoreUnavailable(str(getattr(error, "orig", None) or error)) from error
        except CommandError as error:
            raise StoreUnavailable(f"it was written by another version of Preheat ({error})") from error

    def _migrate(self) -> None:
        """Brings the tables to their newest form; a database that has it already is only read."""
        with self._migrating:
            if self._is_migrated:
                return
            if self._file and not self._is_in_memory:
                Path(self._file).parent.mkdir(parents=True, exist_ok=True)
            config = alembic.config.Config()
            config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
            with self._engine.begin() as connection:
                revision = MigrationContext.configure(connection).get_current_revision()
            if revision != ScriptDirectory.from_config(config).get_current_head():
                with self._engine.execution_options(writes=True).begin() as connection:
                    config.attributes["connection"] = connection
                    alembic.command.upgrade(config, "head")
            self._is_migrated = True


def _schedule(row: Any) -> Schedule:
    """The schedule of a row, whose content must be what its id is the hash of."""
    try:
        schedule = Schedule(Spec.model_validate_json(row.spec), row.torch_version)
    except ValidationError as error:
        raise StoreUnavailable(f"the row of schedule {row.id} is damaged") from error
    if schedule.id != row.id:
        raise StoreUnavailable(f"the row of schedule {row.id} is damaged: its content has the id {schedule.id}")
    return schedule


def _engine(url: str, timeout_s: float, *, is_in_memory: bool) -> Engine:
    arguments = {"timeout": timeout_s, "check_same_thread": False, "isolation_level": None}
    if is_in_memory:  # a database that lives in its connection: there must be one, used by one thread at a time
        engine = create_engine(url, connect_args=arguments, poolclass=QueuePool, pool_size=1, max_overflow=0)
    else:
        engine = create_engine(url, connect_args=arguments, poolclass=NullPool)
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    """Takes the write lock at the start: a transaction that turns from reading to writing could not wait for it."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
