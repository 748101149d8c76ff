"""Schedules at rest: kept, found, in order; and what happens when the database is not what it should be."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from preheat.errors import ScheduleNotFound, StoreUnavailable
from preheat.schedule import Schedule
from preheat.specs import parse_spec
from preheat.store import ScheduleStore
from reference import REFERENCE_SPEC
from running_service import service

NOBODY = 65534


def schedule(total_iterations: int = 20, **fields: Any) -> Schedule:
    """A schedule that differs by its length."""
    spec = {"target_lr": 0.1, "total_iterations": total_iterations, **fields}
    return Schedule(parse_spec(json.dumps(spec)))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A place for a database file."""
    return tmp_path / "preheat.db"


def store_of(database: Path, timeout_s: float = 0.2) -> ScheduleStore:
    """A store on a file."""
    return ScheduleStore(f"sqlite:///{database}", timeout_s)


@pytest.mark.parametrize("place", ["a file", "memory"])
def test_what_was_added_is_found(place: str, database: Path) -> None:
    """The schedule comes back equal, and adding it again changes nothing."""
    store = store_of(database) if place == "a file" else ScheduleStore("sqlite:///:memory:", 1)
    kept = Schedule(parse_spec(json.dumps({**REFERENCE_SPEC, "label": "é 日本"})))
    assert (store.add(kept), store.add(kept)) == (True, False)
    assert store.get(kept.id) == kept
    with pytest.raises(ScheduleNotFound, match="0000"):
        store.get("0" * 32)


def test_newest_come_first_with_their_numbers(database: Path) -> None:
    """Limit, place in the order and label all choose."""
    store = store_of(database)
    for n in range(1, 6):
        store.add(schedule(n, label="odd" if n % 2 else "even"))
    assert [s.spec.total_iterations for _, s in store.newest(3)] == [5, 4, 3]
    third = store.newest(3)[-1][0]
    assert [s.spec.total_iterations for _, s in store.newest(9, before=third)] == [2, 1]
    assert [s.spec.total_iterations for _, s in store.newest(9, label="even")] == [4, 2]


def test_many_threads_add_the_same_and_one_is_first(database: Path) -> None:
    """Exactly one of them hears that the schedule is new."""
    stores = [store_of(database, timeout_s=20) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        news = list(pool.map(lambda store: store.add(schedule()), stores))
    assert sorted(news) == [False] * 7 + [True]
    assert len(stores[0].newest(10)) == 1


def test_the_file_syncs_every_commit(database: Path) -> None:
    """The database is in write-ahead mode; connections sync fully."""
    store = store_of(database)
    store.check()
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with store._engine.connect() as own:
        assert own.exec_driver_sql("PRAGMA synchronous").scalar() == 2


def test_a_damaged_row_is_reported_and_not_computed(database: Path) -> None:
    """A row whose content is not what its id is the hash of is never served."""
    store = store_of(database)
    store.add(kept := schedule())
    for damaged in ('{"target_lr":9.0,"total_iterations":20}', "{"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE schedules SET spec = ?", (damaged,))
        with pytest.raises(StoreUnavailable, match=f"row of schedule {kept.id} is damaged"):
            store.get(kept.id)


def test_a_database_of_a_later_version_is_left_alone(database: Path) -> None:
    """The error says so, and nothing is changed."""
    store_of(database).add(schedule())
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreUnavailable, match="another version of Preheat"):
        store_of(database).newest(1)


class TestThroughTheService:
    """The service lives through a broken database, and recovers when it is mended."""

    @pytest.fixture
    def http(self, database: Path) -> Iterator[httpx.Client]:
        """A service with one schedule in its file."""
        with (
            service(database_url=f"sqlite:///{database}", database_timeout_s=0.2) as url,
            httpx.Client(base_url=url, timeout=30) as client,
        ):
            assert self.post(client, 1).status_code == 201
            yield client

    @staticmethod
    def post(http: httpx.Client, total_iterations: int) -> httpx.Response:
        """Posts a schedule."""
        return http.post("/v1/schedules", json={"target_lr": 0.1, "total_iterations": total_iterations})

    def assert_unavailable(self, http: httpx.Client, reason: str) -> None:
        """A new schedule is refused with 503, readiness too, while liveness stays."""
        for answer in (self.post(http, 2), http.get("/readyz")):
            document = answer.json()
            assert (answer.status_code, document["type"]) == (503, "urn:preheat:store-unavailable")
            assert reason in document["detail"]
            assert answer.headers["retry-after"]
        assert http.get("/livez").status_code == 200

    def assert_recovered(self, http: httpx.Client, *kept: int) -> None:
        """What was there is there, and new schedules are taken."""
        assert http.get("/readyz").status_code == 200
        assert self.post(http, 3).status_code == 201
        listed = http.get("/v1/schedules").json()["schedules"]
        assert [entry["total_iterations"] for entry in listed] == [3, *kept]

    def test_locked(self, http: httpx.Client, database: Path) -> None:
        """Another program holds the write lock."""
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            self.assert_unavailable(http, "locked")
            assert self.post(http, 1).status_code == 200  # what is there already needs no write
            other.execute("ROLLBACK")
        self.assert_recovered(http, 1)

    def test_corrupt(self, http: httpx.Client, database: Path, tmp_path: Path) -> None:
        """The file is overwritten with garbage, and put back from a copy."""
        shutil.copy(database, tmp_path / "copy")
        database.write_bytes(b"garbage" * 4096)
        self.assert_unavailable(http, "not a database")
        shutil.copy(tmp_path / "copy", database)
        self.assert_recovered(http, 1)

    def test_truncated(self, http: httpx.Client, database: Path, tmp_path: Path) -> None:
        """The file lost its second half."""
        shutil.copy(database, tmp_path / "copy")
        os.truncate(database, 8192)
        self.assert_unavailable(http, "malformed")
        shutil.copy(tmp_path / "copy", database)
        self.assert_recovered(http, 1)

    def test_read_only(self, http: httpx.Client, database: Path) -> None:
        """The file may be read and not written; what is there is still served."""
        with read_only(database):
            self.assert_unavailable(http, "readonly")
        self.assert_recovered(http, 1)

    def test_gone_with_its_folder(self, tmp_path: Path) -> None:
        """A folder that cannot be made is reported at each request until it can."""
        obstacle = tmp_path / "folder"
        obstacle.write_text("a file where the folder should be")
        with (
            service(database_url=f"sqlite:///{obstacle}/preheat.db") as url,
            httpx.Client(base_url=url, timeout=30) as http,
        ):
            self.assert_unavailable(http, "folder")
            obstacle.unlink()
            self.assert_recovered(http)

    def test_another_torch(self, http: httpx.Client, database: Path) -> None:
        """A schedule that another torch computes is 409, and says what to do."""
        other = Schedule(parse_spec(json.dumps(REFERENCE_SPEC)), torch_version="2.12.0")
        store_of(database).add(other)
        answer = http.get(f"/v1/schedules/{other.id}/lr/7")
        document = answer.json()
        assert (answer.status_code, document["stored"], document["running"]) == (409, "2.12.0", "2.13.0")
        assert "POST its spec again" in document["detail"]


@contextmanager
def read_only(database: Path) -> Iterator[None]:
    """Nobody may write the file or its folder; root, whom that does not stop, becomes nobody for the time."""
    is_root = os.geteuid() == 0
    parents = [parent for parent in database.parents if is_root and parent.stat().st_uid == 0 and parent != Path("/")]
    modes = {path: path.stat().st_mode for path in (*parents, database)}
    for parent in parents:
        parent.chmod(0o755 if parent != Path("/tmp") else 0o1777)  # noqa: S108 - a folder is left as it was
    database.parent.chmod(0o555)
    database.chmod(0o444)
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, mode in {database.parent: 0o755, **modes}.items():
            path.chmod(mode)


def test_a_full_disk_is_503_and_loses_nothing(tmp_path: Path) -> None:
    """A process whose files may not grow any more answers 503 until they may, and what was 201 is there."""
    script = tmp_path / "full.py"
    script.write_text(FULL_DISK)
    run = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "preheat.db")],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    assert report["while_full"] == 503
    assert "disk" in report["detail"]
    assert report["after"] == 201
    assert report["kept"] == report["acknowledged"]


FULL_DISK = """
import json, resource, signal, sys
import httpx
from running_service import service

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = sys.argv[1]

def post(http, n):
    spec = {"target_lr": 0.1, "total_iterations": n, "label": "x" * 190}
    return http.post("/v1/schedules?stop=0", json=spec)

with service(database_url=f"sqlite:///{database}") as url, httpx.Client(base_url=url) as http:
    acknowledged = [n for n in range(1, 6) if post(http, n).status_code == 201]
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    full = post(http, 100)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    after = post(http, 200)
    listed = http.get("/v1/schedules").json()["schedules"]
    print(json.dumps({
        "while_full": full.status_code, "detail": full.json().get("detail", ""), "after": after.status_code,
        "acknowledged": [200, *acknowledged[::-1]], "kept": [entry["total_iterations"] for entry in listed],
    }))
"""
