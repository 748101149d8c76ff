"""Upgrades: a database of every schema that there ever was is brought to the newest, whatever happens meanwhile."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from preheat.curve import Curve
from preheat.errors import StoreUnavailable
from preheat.schedule import Schedule
from preheat.store import Database, KeyStore, ScheduleStore
from preheat.store.run_lists import RunSearch, list_runs
from preheat.store.runs import RunStore
from running_service import service

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "tests/data/schemas"
_SCRIPTS = ScriptDirectory(str(ROOT / "service/preheat/store/migrations"))
REVISIONS = sorted(each.revision for each in _SCRIPTS.walk_revisions())
OLD = [revision for revision in REVISIONS if revision != _SCRIPTS.get_current_head()]

KILLED_AFTER_A_CHANGE = """
import os, signal, sys
from itertools import count
from sqlalchemy import Engine, event
from preheat.store import Database

changes = count(1)
def note(_connection, _cursor, statement, *_):
    is_change = statement.lstrip().startswith(("ALTER", "CREATE", "INSERT", "UPDATE"))
    if is_change and next(changes) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

event.listen(Engine, "after_cursor_execute", note)
Database(sys.argv[1], 30).check()
"""


def made(database_url: str, revision: str) -> dict[str, Any]:
    """Makes the empty database what a version of this revision left; returns the LRs of its schedules."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            connection.executescript((SCHEMAS / f"{revision}.sqlite.sql").read_text(encoding="utf-8"))
    else:
        with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as postgresql:
            postgresql.execute((SCHEMAS / f"{revision}.postgresql.sql").read_bytes())
    expected: dict[str, Any] = json.loads((SCHEMAS / f"{revision}.json").read_text(encoding="utf-8"))
    return expected


def assert_whole(database: Database, expected: dict[str, Any]) -> None:
    """Every schedule is found with its LRs, in its order, and every key and run; the damaged row is named."""
    store = ScheduleStore(database)
    page = store.newest(200)
    assert [kept.schedule.id for kept in page.schedules] == list(expected["lrs"])[::-1]
    assert [each.schedule_id for each in page.unreadable] == [expected["damaged"]]
    for schedule_id, lrs in expected["lrs"].items():
        found = store.get(schedule_id)
        assert Curve(found).window(0, len(lrs)).tolist() == lrs
    new = Schedule.of({"target_lr": 0.2, "total_iterations": 77})
    assert (store.add(new), store.get(new.id)) == (True, new)
    store.delete(new.id)
    assert [key.name for key in KeyStore(database).all()] == expected.get("keys", [])
    ids = list_runs(database, RunSearch(), 200, None, 0).ids
    assert [RunStore(database).get(run_id).label for run_id in ids] == expected.get("runs", [])
    assert database.problems() == []
    with database.transaction() as connection:
        found_revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    assert found_revision == _SCRIPTS.get_current_head()


def test_every_migration_has_its_database() -> None:
    """Who adds a migration writes down a database of it: tests/released_schema.py."""
    assert {path.name for path in SCHEMAS.iterdir()} == {
        f"{revision}.{kind}" for revision in REVISIONS for kind in ("sqlite.sql", "postgresql.sql", "json")
    }


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_every_schema_is_brought_forward(database_url: str, database: Database, revision: str) -> None:
    """By opening it; all ids answer the LRs that they had."""
    assert_whole(database, made(database_url, revision))


@pytest.mark.parametrize("revision", OLD)
def test_several_services_start_on_an_old_one_at_once(database_url: str, database: Database, revision: str) -> None:
    """The first migrates and the others wait."""
    expected = made(database_url, revision)
    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        others = [stack.enter_context(closing(Database(database_url, 30))) for _ in range(4)]
        pages = list(pool.map(lambda each: ScheduleStore(each).newest(200), others))
    assert [len(page.schedules) for page in pages] == [len(expected["lrs"])] * 4
    assert_whole(database, expected)


@pytest.mark.parametrize("changes", [1, 4, 8])
def test_an_upgrade_that_is_killed_goes_on(database_url: str, database: Database, tmp_path: Path, changes: int) -> None:
    """SIGKILL after some of its changes leaves the old database or the new one, and nothing in between."""
    expected = made(database_url, "0001")
    script = tmp_path / "killed.py"
    script.write_text(KILLED_AFTER_A_CHANGE)
    ended = subprocess.run(
        [sys.executable, str(script), database_url, str(changes)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (ended.returncode, ended.stderr) == (-signal.SIGKILL, "")
    assert_whole(database, expected)


def test_a_newer_schema_is_refused_by_name(database_url: str, database: Database) -> None:
    """Nothing of it is changed; the error, and the service's answer, say which it is and what to do."""
    with closing(Database(database_url, 30)) as later, later.transaction("write") as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(
        StoreUnavailable, match=f"in form 9999, .* up to {_SCRIPTS.get_current_head()}: upgrade Preheat"
    ):
        database.check()
    with service(database_url=database_url) as url, httpx.Client(base_url=url, timeout=30) as http:
        for answer in (http.get("/readyz"), http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 5})):
            assert (answer.status_code, "in form 9999" in answer.json()["detail"]) == (503, True)
