"""PostgreSQL, through psycopg: any number of services on one database, each with a pool of connections."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Insert, Table, collate, event, func, literal
from sqlalchemy import create_engine as create_engine_of_url
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

BEGINNING_OF_URL = "postgresql+psycopg://"
DRIVER_ERRORS: tuple[type[Exception], ...] = ()
_MIGRATING = 0x70726568656174  # "preheat": locks are numbers, and share them with whatever else is in the database
_ANNOUNCING = _MIGRATING + 1
_CHANNEL = "preheat"
_MOST_CONNECTIONS = 10
_MEANINGS = {
    "42P01": "its tables are gone: it was deleted or replaced by an empty one",
    "57014": "a statement took longer than database_timeout_s",
    "55P03": "another process has locked it for longer than database_timeout_s",
    "53100": "its disk is full",
    "25006": "it may only be read: a standby, or set to be so",
    "42501": "the user of database_url lacks a right",
}
"""Of PostgreSQL's error codes, those that do not say by themselves what an operator must do."""


def create_engine(url: URL, timeout_s: float) -> Engine:
    """An engine with up to ten connections, each tried before it is used.

    So a database that was restarted, or failed over, is used again as soon as it answers. `timeout_s` is how long a
    statement, a lock, a free connection of the pool and a new one are waited for, each. Nothing is asked of a session,
    so that there may be a pooler in between that gives each transaction another one (PgBouncer).
    """
    if f"{url.drivername}://" != BEGINNING_OF_URL:
        raise ValueError(f"database_url must begin with {BEGINNING_OF_URL}, not with {url.drivername}://")
    timeout_ms = max(round(timeout_s * 1000), 1)
    arguments = {
        # libpq waits whole seconds, and less than two it rounds up.
        "connect_timeout": max(round(timeout_s), 2),
        "application_name": "preheat",
        # A statement that was prepared is known to one session alone.
        "prepare_threshold": None,
        # A server that vanished without a word is given up; for those on the same machine these say nothing.
        "keepalives_idle": max(round(timeout_s), 1),
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": timeout_ms,
    }
    try:
        engine = create_engine_of_url(
            url,
            connect_args=arguments,
            pool_size=_MOST_CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout_s,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise ValueError(f"database_url ({BEGINNING_OF_URL}…) needs psycopg: pip install '.[postgresql]'") from error
    event.listen(engine, "begin", partial(_begin, timeout_ms))
    return engine


def prepare(_url: URL) -> None:
    """Nothing: a database is made by its administrator."""


def check_place(_url: URL, *, is_made: bool) -> None:
    """Nothing: a server that does not answer yet may do so later."""


def is_shared(_url: URL) -> bool:
    """Whether several processes see it: they always do."""
    return True


def insert_or_ignore(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    return postgresql.insert(table).on_conflict_do_nothing()


def storable(text: str) -> str:
    """A text without NUL, which PostgreSQL's have not."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def begins(column: Column[str], prefix: str) -> ColumnElement[bool]:
    """With LIKE: where an index is of use for it, PostgreSQL knows."""
    return column.startswith(prefix, autoescape=True)


def contains(column: Column[str], part: str) -> ColumnElement[bool]:
    """By the letters of the collation C: those of others may change their number, İ among them."""
    return func.strpos(func.lower(column.collate("C")), func.lower(collate(literal(part), "C"))) > 0


def backup(_url: URL, file: Path) -> None:
    """PostgreSQL's own programs do it."""
    raise ValueError(f"pg_dump writes a backup of PostgreSQL: pg_dump --format=custom --file={file} NAME")


def restore(_url: URL, file: Path, _bring_forward: Callable[[URL], None]) -> None:
    """PostgreSQL's own programs do it."""
    raise ValueError(f"pg_restore restores PostgreSQL: pg_restore --clean --if-exists --dbname=NAME {file}")


def free_bytes(_url: URL) -> None:
    """Not known: the disk is the server's."""


def reason(_url: URL, error: BaseException) -> str:
    """By PostgreSQL's error code, which psycopg calls sqlstate."""
    if isinstance(error, PoolTimeoutError):
        return "all connections to it are in use for longer than database_timeout_s"
    meaning = _MEANINGS.get(getattr(error, "sqlstate", None) or "")
    return f"{meaning} ({error})" if meaning else str(error)


def notify(connection: Connection) -> None:
    """NOTIFY, which is sent with the commit."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ANNOUNCING}), pg_notify('{_CHANNEL}', '')")


class _Listener:
    """LISTEN on a connection that the pool knows nothing of."""

    def __init__(self, engine: Engine) -> None:
        import psycopg  # noqa: PLC0415 - an extra, which there is where an engine could be made

        self._engine = engine
        self._connection: Any = None
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)

    def wait(self, stopping: threading.Event, timeout_s: float) -> None:
        """Returns at a notification, after the time, and once it listens anew: something may have been missed."""
        try:
            if self._connection is None:
                self._connection = self._listening()
                return
            for _ in self._connection.notifies(timeout=timeout_s, stop_after=1):
                return
        except self._errors:
            self.close()
            stopping.wait(timeout_s)

    def close(self) -> None:
        """Gives the connection back to nobody."""
        if self._connection is not None:
            with suppress(*self._errors):
                self._connection.close()
            self._connection = None

    def _listening(self) -> Any:
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        connection.rollback()
        connection.autocommit = True
        connection.execute(f"LISTEN {_CHANNEL}")
        return connection


@contextmanager
def listener(engine: Engine) -> Iterator[_Listener]:
    """What LISTEN wakes."""
    listening = _Listener(engine)
    try:
        yield listening
    finally:
        listening.close()


def problems(_connection: Connection) -> list[str]:
    """Nothing: a page that is damaged fails the reading of its rows, where checksums are on."""
    return []


def _begin(timeout_ms: int, connection: Connection) -> None:
    """Sets the transaction's timeouts; lets one service at a time migrate, by a lock that ends with the transaction."""
    is_migration = connection.get_execution_options().get("purpose") == "migrate"
    timeout = 0 if is_migration else timeout_ms
    connection.exec_driver_sql(
        f"SELECT set_config('statement_timeout', '{timeout}', true), set_config('lock_timeout', '{timeout}', true)"
    )
    if is_migration:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
