"""Backup, restore and check of the database, by the command line, as an operator does it."""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from preheat.cli import app
from preheat.schedule import Schedule
from preheat.store import Database, KeyStore, ScheduleStore
from running_service import service
from support.disks import disk
from support.postgresql import PostgreSQL, postgresql_server

FORMAT_1 = Path(__file__).parents[1] / "data/format_1.db"


def store(database: Path | str, *arguments: object) -> Result:
    """Runs `preheat store` on a database."""
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    return CliRunner().invoke(app, ["store", *map(str, arguments)], env={"PREHEAT_DATABASE_URL": url})


def fill(database: Path, *lengths: int) -> None:
    """Adds schedules, each of another length."""
    for length in lengths:
        schedule = Schedule.of({"target_lr": 0.1, "total_iterations": length})
        ScheduleStore(Database(f"sqlite:///{database}", 5)).add(schedule)


def lengths(database: Path) -> list[int]:
    """Those of all schedules, newest first."""
    page = ScheduleStore(Database(f"sqlite:///{database}", 5)).newest(200)
    return [each.schedule.spec.total_iterations for each in page.schedules]


def test_a_backup_is_what_was_there(tmp_path: Path) -> None:
    """Written beside a running service, it brings a lost database back, and an older state over a newer one."""
    database, copy = tmp_path / "preheat.db", tmp_path / "copy.db"
    with service(database_url=f"sqlite:///{database}"):
        fill(database, 1, 2)
        assert (store(database, "backup", copy).exit_code, lengths(copy)) == (0, [2, 1])
    fill(database, 3)
    refused = store(database, "restore", copy)
    assert (refused.exit_code, lengths(database)) == (2, [3, 2, 1])
    assert f"sqlite:///{database} has 3 schedules and 0 keys: --replace puts the backup in" in refused.stderr
    assert (store(database, "restore", copy, "--replace").exit_code, lengths(database)) == (0, [2, 1])
    elsewhere = tmp_path / "new folder" / "preheat.db"
    assert (store(elsewhere, "restore", copy).exit_code, lengths(elsewhere)) == (0, [2, 1])


def test_keys_are_not_replaced_unasked(tmp_path: Path) -> None:
    """A database with keys alone is in use too; those that the backup lacks stay, revoked: services ask due to them."""
    database, copy = tmp_path / "preheat.db", tmp_path / "copy.db"
    fill(copy, 1, 2)
    keys = KeyStore(Database(f"sqlite:///{database}", 5))
    keys.make("first", {"admin"})
    keys.revoke("first")
    keys.make("second", {"read"})
    refused = store(database, "restore", copy)
    assert (refused.exit_code, [each.revoked_at is None for each in keys.all()]) == (2, [False, True])
    assert "has 0 schedules and 2 keys: --replace puts the backup in their place, and revokes keys" in refused.stderr
    restored = store(database, "restore", copy, "--replace")
    assert (restored.exit_code, restored.stdout) == (0, f"restored sqlite:///{database}: 2 schedules and 2 keys\n")
    now = time.time()
    assert [(each.name, each.state(now)) for each in keys.all()] == [("first", "revoked"), ("second", "revoked")]
    assert store(database, "backup", tmp_path / "later.db").exit_code == 0
    keys.make("third", {"read"})
    assert store(database, "restore", tmp_path / "later.db", "--replace").exit_code == 0
    assert [each.name for each in keys.all()] == ["first", "second", "third"]


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Where there is no folder, and where the disk is too small: FILE is named, and can be tried again."""
    database = tmp_path / "preheat.db"
    fill(database, 1)
    label = "x" * 200_000
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE schedules SET label = ?", (label,))
    nowhere = tmp_path / "nowhere" / "copy.db"
    refused = store(database, "backup", nowhere)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert refused.stderr == f"error: FILE ({nowhere}) cannot be written: No such file or directory\n"
    with disk(tmp_path / "disk", "128k") as folder:
        refused = store(database, "backup", folder / "copy.db")
        assert (refused.exit_code, list(folder.iterdir())) == (2, [])
        assert f"FILE ({folder / 'copy.db'}) cannot be written: its disk is full" in refused.stderr
        assert "schedule database" not in refused.stderr


def test_a_backup_of_an_older_version_is_brought_forward(tmp_path: Path) -> None:
    """The database of version 0.1.0 is restored with all its schedules, and checks as sound."""
    database = tmp_path / "preheat.db"
    assert store(database, "restore", FORMAT_1).exit_code == 0
    checked = store(database, "check")
    assert (checked.exit_code, checked.stdout.split(" in ")[0]) == (0, "131 schedules read")


def test_a_damaged_database_is_replaced(tmp_path: Path) -> None:
    """By its backup, once what is left of its file is moved away: SQLite does not write over that."""
    database, copy = tmp_path / "preheat.db", tmp_path / "copy.db"
    fill(database, 1, 2)
    assert store(database, "backup", copy).exit_code == 0
    os.truncate(database, 8192)
    refused = store(database, "restore", copy, "--replace")
    assert (refused.exit_code, "its file is damaged" in refused.stderr) == (1, True)
    for part in tmp_path.glob("preheat.db*"):
        part.unlink()
    assert (store(database, "restore", copy).exit_code, lengths(database)) == (0, [2, 1])


def test_what_is_no_backup_changes_nothing(tmp_path: Path) -> None:
    """A damaged file, a database of somebody else, and no file at all are refused by name."""
    database, other, damaged = tmp_path / "preheat.db", tmp_path / "other.db", tmp_path / "damaged.db"
    fill(database, 1)
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE mine (a)")
    shutil.copy(FORMAT_1, damaged)
    with damaged.open("r+b") as opened:
        opened.seek(20_000)
        opened.write(b"\xff" * 2_000)
    for file, reason in (
        (other, "alembic_version"),
        (damaged, "no sound database of Preheat"),
        (tmp_path / "none", "is no file"),
    ):
        refused = store(database, "restore", file, "--replace")
        assert refused.exit_code != 0
        assert reason in refused.stderr
    assert lengths(database) == [1]
    assert "must not exist" in store(database, "backup", other).stderr


def test_check_names_what_cannot_be_read(tmp_path: Path) -> None:
    """A changed row is named by its id, a page that lost its bytes by SQLite; both leave exit code 1."""
    database = tmp_path / "preheat.db"
    fill(database, 1, 2)
    assert store(database, "check").exit_code == 0
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE schedules SET text = '{}' WHERE number = 2")
        (schedule_id,) = connection.execute("SELECT id FROM schedules WHERE number = 2").fetchone()
    checked = store(database, "check")
    assert (checked.exit_code, checked.stdout.split(" in ")[0]) == (1, "1 schedules read")
    assert f"schedule {schedule_id}: " in checked.stderr


def test_memory_has_nothing_to_copy(tmp_path: Path) -> None:
    """The error says why."""
    refused = store("sqlite:///:memory:", "backup", tmp_path / "copy.db")
    assert (refused.exit_code, "gone with its process" in refused.stderr) == (2, True)


@pytest.mark.parametrize(("command", "program"), [("backup", "pg_dump"), ("restore", "pg_restore")])
def test_postgresql_has_programs_of_its_own(tmp_path: Path, command: str, program: str) -> None:
    """They are named with what to type; `check` reads as everywhere."""
    file = tmp_path / "copy.dump"
    with postgresql_server() as server:
        url = server.new_database()
        with closing(Database(url, 30)) as database:
            database.check()
        assert store(url, "check").stdout.startswith("0 schedules read in postgresql+psycopg://")
        if command == "restore":
            file.touch()
        refused = store(url, command, file)
    assert (refused.exit_code, f"{program} --" in refused.stderr) == (2, True)


def test_postgresql_is_brought_back_as_the_page_says(server: PostgreSQL) -> None:
    """By pg_dump, and by pg_restore over a database that has changed since."""
    url = server.new_database()
    libpq = url.replace("+psycopg", "")

    def fill_with(length: int) -> None:
        with closing(Database(url, 30)) as database:
            ScheduleStore(database).add(Schedule.of({"target_lr": 0.1, "total_iterations": length}))

    fill_with(1)
    dump = subprocess.run(
        [str(server.programs / "pg_dump"), "--format=custom", libpq], capture_output=True, check=True, timeout=120
    )
    fill_with(2)
    restore = [
        str(server.programs / "pg_restore"),
        "--clean",
        "--if-exists",
        "--single-transaction",
        f"--dbname={libpq}",
    ]
    subprocess.run(restore, input=dump.stdout, check=True, timeout=120)
    with closing(Database(url, 30)) as database:
        assert [each.schedule.spec.total_iterations for each in ScheduleStore(database).newest(9).schedules] == [1]
    assert store(url, "check").stdout.startswith("1 schedules read in ")
