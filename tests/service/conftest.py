"""Fixtures of tests that need a database."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from preheat.store import Database, ScheduleStore
from support.postgresql import PostgreSQL, postgresql_server


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests; each has a database of its own, and one that stops it starts it again."""
    with postgresql_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once for each kind: what is said of one holds for the other."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/preheat.db"
    server: PostgreSQL = request.getfixturevalue("server")
    return server.new_database()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """It, opened."""
    with closing(Database(database_url, 30)) as opened:
        yield opened


@pytest.fixture
def store(database: Database) -> ScheduleStore:
    """The schedules in it."""
    return ScheduleStore(database)
