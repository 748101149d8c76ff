"""Changes reach every process on a database: at once where it notifies, and by reading each second anyway."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text

from preheat.errors import ScheduleNotFound
from preheat.store import Changes, Database
from preheat.store.changes import announce
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import post
from running_service import service, wait_until

HOURS = 1e5


def tell(database: Database, *keys: str, topic: str = "things") -> None:
    """Announces changes in a transaction of their own."""
    with database.transaction("write") as connection:
        announce(database, connection, topic, keys)


@contextmanager
def reader(url: str, poll_s: float) -> Iterator[list[str | None]]:
    """What another process is told of `things`, from when it has begun to read."""
    told: list[str | None] = []
    with closing(Database(url, 5)) as database:
        changes = Changes(database, poll_s)
        changes.subscribe("things", told.append)
        changes.start()
        wait_until(lambda: told == [None], 30)
        told.clear()
        yield told
        changes.stop()


def test_a_change_is_read_by_polling(database_url: str, database: Database) -> None:
    """In order, once each, and nothing of other topics or of a transaction that was rolled back."""
    told: list[str | None] = []
    changes = Changes(database)
    changes.subscribe("things", told.append)
    changes.read()
    with closing(Database(database_url, 5)) as other:
        tell(other, "1", "2")
        tell(other, "x", topic="others")
        with suppress(ScheduleNotFound), other.transaction("write") as connection:
            announce(other, connection, "things", ["3"])
            raise ScheduleNotFound("3")
        changes.read()
        tell(other, "4")
    changes.read()
    changes.read()
    assert told == [None, "1", "2", "4"]


def test_who_missed_too_much_takes_everything_for_changed(database: Database) -> None:
    """The log keeps ten thousand changes; a reader that is further behind is told None."""
    told: list[str | None] = []
    changes = Changes(database)
    changes.subscribe("things", told.append)
    changes.read()
    for _ in range(3):
        tell(database, *map(str, range(4_000)))
    changes.read()
    tell(database, "last")
    changes.read()
    assert told == [None, None, "last"]
    with database.transaction() as connection:
        assert connection.scalar(text("SELECT count(*) FROM changes")) == 10_000


def test_a_poll_is_the_safety_net(database_url: str, database: Database) -> None:
    """A row that nobody notified of, as if the notification were lost, is read within the interval."""
    with reader(database_url, poll_s=0.2) as told:
        with database.transaction("write") as connection:
            connection.execute(text("INSERT INTO changes (topic, key) VALUES ('things', 'silent')"))
        wait_until(lambda: told == ["silent"], 20)


def test_damage_does_not_end_the_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A log of changes with nonsense in it: said once, and what is announced after it was mended is read."""
    url = f"sqlite:///{tmp_path}/preheat.db"
    with closing(Database(url, 5)) as database, reader(url, poll_s=0.02) as told:
        with closing(sqlite3.connect(tmp_path / "preheat.db")) as damage:
            damage.executescript("ALTER TABLE changes RENAME TO kept; CREATE TABLE changes (number, topic, key)")
            damage.executescript("INSERT INTO changes VALUES ('nonsense', 'things', '')")
            wait_until(lambda: "the thread changes failed" in caplog.text, 30)
            time.sleep(0.5)  # many looks
            damage.executescript("DROP TABLE changes; ALTER TABLE kept RENAME TO changes")
        tell(database, "after")
        wait_until(lambda: told[-1:] == ["after"], 30)
    assert caplog.text.count("the thread changes failed") == 1


def test_it_can_be_started_again(database_url: str, database: Database) -> None:
    """What was announced meanwhile is read then."""
    told: list[str | None] = []
    changes = Changes(database, 0.05)
    changes.subscribe("things", told.append)
    for name in ("first", "second"):
        changes.start()
        wait_until(lambda: told, 30)
        with closing(Database(database_url, 5)) as other:
            tell(other, name)
            wait_until(lambda name=name: told[-1] == name, 30)
            changes.stop()
            tell(other, f"after {name}")
    changes.start()
    wait_until(lambda: told[-1] == "after second", 30)
    changes.stop()
    assert told == [None, "first", "after first", "second", "after second"]


def test_a_change_that_comes_while_others_are_read_is_told_once(server_url: str) -> None:
    """PostgreSQL shows each query what was committed before it: the second may see a row that the first did not."""
    with closing(Database(server_url, 5)) as database, reader(server_url, 0) as told:
        expected = [str(n) for n in range(300)]
        for each in expected:
            tell(database, each)
        wait_until(lambda: told[-1:] == expected[-1:], 30)
    assert told == expected


def test_postgresql_notifies_at_once(server_url: str) -> None:
    """Long before the next poll would come."""
    with closing(Database(server_url, 5)) as database, reader(server_url, poll_s=HOURS) as told:
        wait_until(lambda: listeners(server_url) == 1, 30)
        tell(database, "1")
        wait_until(lambda: told[-1:] == ["1"], 20)
        end(server_url)  # nobody waits hours for its thread


def test_a_lost_listener_listens_again(server_url: str) -> None:
    """An administrator ends its connection: it opens another one, and what it missed is read."""
    with closing(Database(server_url, 5)) as database, reader(server_url, poll_s=2) as told:
        wait_until(lambda: listeners(server_url) == 1, 30)
        end(server_url)
        tell(database, "1")
        wait_until(lambda: told[-1:] == ["1"], 30)
        wait_until(lambda: listeners(server_url) == 1, 30)


def test_a_deletion_leaves_the_memory_of_other_replicas(database_url: str) -> None:
    """Two services, one database: what one deletes the other answers within about a second with 404, points too."""
    with (
        service(database_url=database_url) as first,
        service(database_url=database_url) as second,
        httpx.Client(base_url=first, timeout=30) as one,
        httpx.Client(base_url=second, timeout=30) as other,
    ):
        path = post(one, REFERENCE_SPEC).headers["location"]
        assert other.get(f"{path}/lr/11").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[10])
        assert one.delete(path).status_code == 204
        assert one.get(f"{path}/lr/11").status_code == 404
        wait_until(lambda: other.get(f"{path}/lr/11").status_code == 404, 20)
        assert other.get(path).status_code == 404
        assert post(other, REFERENCE_SPEC).status_code == 201
        time.sleep(1.2)  # the announcement of the deletion has passed everywhere, and takes nothing away
        assert [http.get(f"{path}/lr/11").status_code for http in (one, other)] == [200, 200]


@pytest.fixture
def server_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty PostgreSQL."""
    make: Callable[[], str] = request.getfixturevalue("server").new_database
    return make()


def listeners(url: str) -> int:
    """How many connections LISTEN."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def end(url: str) -> None:
    """Ends every connection that LISTENs."""
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
