"""SQLite: a file that several processes share, in write-ahead mode and synced at every commit, or memory."""

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Insert, Table, event
from sqlalchemy import create_engine as create_engine_of_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.pool import NullPool, QueuePool

DRIVER_ERRORS: tuple[type[Exception], ...] = (sqlite3.Error,)


def create_engine(url: URL, timeout_s: float) -> Engine:
    """An engine whose every transaction opens the file anew.

    So a database that was locked, full, read-only or corrupt is used again as soon as it is mended.
    """
    if url.drivername != "sqlite" or url.host:
        raise ValueError(f"database_url ({url}) must be sqlite:///FILE, or sqlite:///:memory:")
    # isolation_level None: sqlite3 begins no transactions of its own, so that `_begin` chooses their kind.
    arguments = {"timeout": timeout_s, "check_same_thread": False, "isolation_level": None}
    if is_shared(url):
        engine = create_engine_of_url(url, connect_args=arguments, poolclass=NullPool)
    else:  # a database that lives in its connection: there must be one, used by one thread at a time
        engine = create_engine_of_url(url, connect_args=arguments, poolclass=QueuePool, pool_size=1, max_overflow=0)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def prepare(url: URL) -> None:
    """Makes the file's folder."""
    if url.database and is_shared(url):
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)


def is_shared(url: URL) -> bool:
    """Whether it is a file."""
    return url.database not in {None, "", ":memory:"}


def insert_or_ignore(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    return sqlite.insert(table).on_conflict_do_nothing()


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    # By default one damaged byte that is not UTF-8 would fail the query, and with it every sound row of a list.
    connection.text_factory = lambda data: data.decode(errors="replace")
    # With WAL readers and the writer do not wait for each other; without FULL it does not sync every commit.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    """Takes the write lock at the start: a transaction that turns from reading to writing could not wait for it."""
    reads = connection.get_execution_options().get("purpose", "read") == "read"
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
