"""A database that is deleted, replaced, full or forbidden while a service runs on it: 503 with the reason."""

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from preheat.cli import app
from preheat.errors import StoreUnavailable
from preheat.store import Database
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service
from support.disks import disk, fill
from support.postgresql import PostgreSQL

Running = tuple[httpx.Client, Path]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A service with one schedule in a file, in a folder of its own."""
    file = tmp_path / "disk" / "preheat.db"
    with (
        service(database_url=f"sqlite:///{file}", database_timeout_s=0.3) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        assert post(http, 1) == 201
        yield http, file


def post(http: httpx.Client, total_iterations: int) -> int:
    """The status of posting a schedule."""
    return http.post("/v1/schedules", json={"target_lr": 0.1, "total_iterations": total_iterations}).status_code


def assert_unavailable(http: httpx.Client, reason: str) -> None:
    """Schedules, lists and readiness are refused with the reason; liveness stays."""
    for answer in (
        http.post("/v1/schedules", json={"target_lr": 0.1, "total_iterations": 2}),
        http.get("/v1/schedules"),
        http.get("/readyz"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:preheat:store-unavailable")
        assert reason in answer.json()["detail"]
    assert http.get("/livez").status_code == 200


def assert_recovered(http: httpx.Client) -> None:
    """What was there is there, and new schedules are taken."""
    assert http.get("/readyz").status_code == 200
    assert post(http, 3) == 201
    assert [each["total_iterations"] for each in http.get("/v1/schedules").json()["schedules"]] == [3, 1]


def test_a_file_that_was_deleted_is_no_new_one(running: Running) -> None:
    """Nothing is made in its place; when it is back, with all that belongs to it, so is everything."""
    http, file = running
    kept = file.with_name("kept")
    for part in file.parent.glob("preheat.db*"):
        part.rename(part.with_name(part.name.replace("preheat.db", "kept")))
    assert_unavailable(http, "its file is gone")
    assert not file.exists()
    for part in kept.parent.glob("kept*"):
        part.rename(part.with_name(part.name.replace("kept", "preheat.db")))
    assert_recovered(http)


def test_a_folder_that_was_removed_is_not_made(running: Running) -> None:
    """As when a disk is unmounted: nothing is written where it was."""
    http, file = running
    file.parent.rename(file.parent.with_name("unmounted"))
    assert_unavailable(http, "its file is gone")
    file.parent.mkdir()  # the place where the disk is mounted
    assert_unavailable(http, "its file is gone")
    assert list(file.parent.iterdir()) == []
    file.parent.rmdir()
    file.parent.with_name("unmounted").rename(file.parent)
    assert_recovered(http)


def test_an_empty_file_in_its_place_is_refused(running: Running) -> None:
    """It gets no tables, so that a restored backup is not taken for one with schedules."""
    http, file = running
    file.parent.rename(file.parent.with_name("kept"))
    file.parent.mkdir()
    file.touch()
    assert_unavailable(http, "its tables are gone")
    shutil.rmtree(file.parent)
    file.parent.with_name("kept").rename(file.parent)
    assert_recovered(http)


def test_another_database_in_its_place_is_refused(running: Running, tmp_path: Path) -> None:
    """Even one with the same schedule; a service that starts anew takes it."""
    http, file = running
    other = tmp_path / "other" / "preheat.db"
    with service(database_url=f"sqlite:///{other}") as url, httpx.Client(base_url=url, timeout=60) as another:
        post(another, 1)
    file.parent.rename(file.parent.with_name("kept"))
    other.parent.rename(file.parent)
    assert_unavailable(http, "another database")
    with service(database_url=f"sqlite:///{file}") as url, httpx.Client(base_url=url, timeout=60) as another:
        assert another.get("/readyz").status_code == 200
    file.parent.rename(other.parent)
    file.parent.with_name("kept").rename(file.parent)
    assert_recovered(http)


def test_a_backup_is_restored_beside_a_running_service(running: Running, tmp_path: Path) -> None:
    """No error at all; what came after the backup is gone, from memory too, and what it has is there."""
    http, file = running
    environment = {"PREHEAT_DATABASE_URL": f"sqlite:///{file}"}

    def store(*arguments: str) -> int:
        return CliRunner().invoke(app, ["store", *arguments], env=environment).exit_code

    assert store("backup", str(tmp_path / "copy.db")) == 0
    later = http.post("/v1/schedules", json=REFERENCE_SPEC).headers["location"]
    assert http.get(f"{later}/lr/10").status_code == 200
    assert store("restore", str(tmp_path / "copy.db"), "--replace") == 0
    assert http.get("/readyz").status_code == 200
    assert http.get(later).status_code == 404
    assert_recovered(http)


def test_an_older_backup_is_restored_beside_a_running_service(running: Running) -> None:
    """Brought to the newest form before it is in its place."""
    http, file = running
    old = Path(__file__).parents[2] / "data/format_1.db"
    environment = {"PREHEAT_DATABASE_URL": f"sqlite:///{file}"}
    assert CliRunner().invoke(app, ["store", "restore", str(old), "--replace"], env=environment).exit_code == 0
    assert http.get("/readyz").status_code == 200
    assert len(http.get("/v1/schedules?limit=200").json()["schedules"]) == 131


def test_an_outage_is_logged_once(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """However many requests meet it; and its end."""
    http, file = running
    caplog.set_level(logging.WARNING, logger="preheat")
    file.parent.rename(file.parent.with_name("unmounted"))
    for _ in range(5):
        assert_unavailable(http, "its file is gone")
    file.parent.with_name("unmounted").rename(file.parent)
    assert_recovered(http)
    said = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "preheat"]
    assert [level for level, _ in said] == ["ERROR", "WARNING"]
    assert "its file is gone" in said[0][1]
    assert "available again" in said[1][1]
    assert all("preheat.db" in message for _, message in said)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_a_full_disk_is_not_ready(tmp_path: Path) -> None:
    """A disk of 12 MB that somebody fills: 503 with what is left, until there is room again; points go on."""
    with (
        disk(tmp_path / "disk", "12m") as folder,
        service(database_url=f"sqlite:///{folder}/preheat.db") as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        location = http.post("/v1/schedules", json=REFERENCE_SPEC).headers["location"]
        assert http.get("/readyz").status_code == 200
        fill(folder / "full")
        not_ready = http.get("/readyz")
        assert (not_ready.status_code, "its disk is full: less than 8,000,000 bytes" in not_ready.json()["detail"]) == (
            503,
            True,
        )
        large = {"target_lr": 0.1, "total_iterations": 50_000}
        factors = {"type": "MultiplicativeLR", "lr_lambda": [0.5 + n / 3e5 for n in range(50_000)]}
        refused = http.post("/v1/schedules?stop=0", json={**large, "after_scheduler": factors})
        assert (refused.status_code, "its disk is full" in refused.json()["detail"]) == (503, True)
        assert http.get(f"{location}/lr/11").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[10])
        (folder / "full").unlink()
        assert http.get("/readyz").status_code == 200
        assert http.post("/v1/schedules?stop=0", json={**large, "after_scheduler": factors}).status_code == 201


def drop_tables(url: str) -> None:
    """All of them."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def put_another(url: str) -> None:
    """A database of another service in the place of the one there was."""
    drop_tables(url)
    with service(database_url=url):
        pass


@pytest.mark.parametrize(("replace", "reason"), [(drop_tables, "tables are gone"), (put_another, "another database")])
def test_a_postgresql_that_was_replaced_is_no_new_one(
    server: PostgreSQL, replace: Callable[[str], None], reason: str
) -> None:
    """Without tables, or with those of another: nothing is made; when it is back, so is everything."""
    database_url = server.new_database()
    name, administrator = database_url.partition("?")[0].rpartition("/")[2], server.administrator_url
    with service(database_url=database_url) as url, httpx.Client(base_url=url, timeout=30) as http:
        assert post(http, 1) == 201
        with psycopg.connect(administrator, autocommit=True) as connection:
            take_away(connection, name, f"{name}_kept")
            assert_unavailable(http, "does not exist")
            connection.execute(f"CREATE DATABASE {name}")
            replace(database_url)
            assert_unavailable(http, reason)
            assert_unavailable(http, reason)  # nothing was made by those who asked
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.execute(f"ALTER DATABASE {name}_kept RENAME TO {name}")
        assert_recovered(http)


def test_tables_that_are_dropped_under_a_service_are_an_error(database_url: str) -> None:
    """On connections that were open before as on new ones."""
    with service(database_url=database_url) as url, httpx.Client(base_url=url, timeout=30) as http:
        assert post(http, 1) == 201
        if database_url.startswith("sqlite"):
            with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection, connection:
                for table in ("schedules", "service", "changes", "alembic_version"):
                    connection.execute(f"DROP TABLE {table}")
        else:
            drop_tables(database_url)
        for _ in range(3):
            for answer in (http.get("/v1/schedules"), http.get("/readyz")):
                assert answer.status_code == 503
        assert "tables are gone" in http.get("/readyz").json()["detail"]


@pytest.mark.parametrize("table", ["schedules", "keys", "changes", "service"])
def test_a_service_that_lost_a_table_is_not_ready(database: Database, table: str) -> None:
    """Whichever it is: some requests would fail, and others not."""
    database.check()
    with database.transaction("write") as connection:
        # What refers to it on PostgreSQL goes with it, as with an administrator who means it.
        cascade = " CASCADE" if connection.dialect.name == "postgresql" else ""
        connection.execute(text(f"DROP TABLE {table}{cascade}"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=rf"its tables are gone(.|\n)*{table}"):
            database.check()


def take_away(connection: "psycopg.Connection[object]", name: str, new_name: str) -> None:
    """Renames a database, whoever is connected to it."""
    connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
    connection.execute(f"ALTER DATABASE {name} RENAME TO {new_name}")
    connection.execute(f"ALTER DATABASE {new_name} ALLOW_CONNECTIONS true")
