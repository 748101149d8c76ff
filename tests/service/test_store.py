"""Schedules in the database: kept, found, in order; and what happens when the database is not what it should be."""

import hashlib
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
import numpy as np
import pytest

from preheat.curve import Curve
from preheat.errors import ScheduleNotFound, ScheduleUnreadable, StoreUnavailable
from preheat.schedule import Schedule
from preheat.specs import parse_spec
from preheat.store import Database, Page, ScheduleStore
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service
from support.corpus import CORPUS, was_right

NOBODY = 65534
ROOT = Path(__file__).parents[2]
FORMAT_1 = ROOT / "tests/data/format_1.db"
"""A database of version 0.1.0 (commit 0086bb8): 131 schedules of specs in tests/data/corpus.jsonl."""


def schedule(total_iterations: int = 20, **fields: Any) -> Schedule:
    """A schedule that differs by its length."""
    return Schedule.of({"target_lr": 0.1, "total_iterations": total_iterations, **fields})


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A place for a database file."""
    return tmp_path / "preheat.db"


@pytest.fixture
def format_1(database: Path) -> Path:
    """A copy of the database of version 0.1.0."""
    shutil.copy(FORMAT_1, database)
    return database


def store_of(database: Path, timeout_s: float = 0.2) -> ScheduleStore:
    """A store on a file."""
    return ScheduleStore(Database(f"sqlite:///{database}", timeout_s))


def listed(page: Page) -> list[Schedule]:
    """The schedules of a page."""
    return [kept.schedule for kept in page.schedules]


def change(database: Path, statement: str, *values: object) -> None:
    """Another program writes the file."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize("place", ["a file", "memory"])
def test_what_was_added_is_found(place: str, database: Path) -> None:
    """The schedule comes back equal, and adding it again changes nothing."""
    store = store_of(database) if place == "a file" else ScheduleStore(Database("sqlite:///:memory:", 1))
    kept = Schedule.of({**REFERENCE_SPEC, "label": "é 日本"})
    assert (store.add(kept), store.add(kept)) == (True, False)
    found = store.get(kept.id)
    assert (found, found.spec) == (kept, kept.spec)
    with pytest.raises(ScheduleNotFound, match="0000"):
        store.get("0" * 32)


def test_the_file_syncs_every_commit(database: Path) -> None:
    """The database is in write-ahead mode; connections sync fully."""
    kept = Database(f"sqlite:///{database}", 0.2)
    with kept.transaction() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@pytest.mark.parametrize("url", ["mysql://host/name", "nonsense", "sqlite://host/file", "sqlite+pysqlcipher:///file"])
def test_a_url_of_no_known_database_is_refused(url: str) -> None:
    """The error says which URLs there are, before anything is opened."""
    with pytest.raises(ValueError, match="sqlite://"):
        Database(url, 1)


def test_sqlite_is_named_in_its_dialect_alone() -> None:
    """Another database is one more file beside it and one entry; tables and old migrations only pass it options."""
    base = ROOT / "service/preheat/store"
    naming = {str(path.relative_to(base)) for path in base.rglob("*.py") if "sqlite" in path.read_text().lower()}
    options = {
        *("tables.py", "run_tables.py"),
        *(f"migrations/versions/{name}.py" for name in ("0001_schedules", "0005_identity_changes_use", "0006_runs")),
    }
    assert naming - options == {"dialects/__init__.py", "dialects/sqlite.py"}


class TestUnreadable:
    """A row that cannot be read is named and skipped, and nothing else suffers."""

    @pytest.mark.parametrize(
        ("statement", "value"),
        [
            ("UPDATE schedules SET text = replace(text, '0.1', ?) WHERE number = 2", "9.0"),
            ("UPDATE schedules SET text = ? WHERE number = 2", "{"),
            ("UPDATE schedules SET text = ? WHERE number = 2", b"\xff\x00\xfe"),
            ("UPDATE schedules SET text = CAST(? AS TEXT) WHERE number = 2", b"{\xff\xfe}"),
            ("UPDATE schedules SET text = ? WHERE number = 2", 17),
        ],
        ids=["another value", "cut off", "a blob", "not UTF-8", "a number"],
    )
    def test_a_damaged_row(self, database: Path, statement: str, value: object) -> None:
        """Its content is not what its id is the hash of, so it is not computed; adding the schedule again mends it."""
        store = store_of(database)
        first, damaged, last = schedule(1), schedule(2), schedule(3)
        for each in (first, damaged, last):
            store.add(each)
        change(database, statement, value)
        with pytest.raises(ScheduleUnreadable, match="not what its id is the hash of") as caught:
            store.get(damaged.id)
        assert caught.value.reason == "damaged"
        page = store.newest(3)
        assert (listed(page), [each.schedule_id for each in page.unreadable]) == ([last, first], [damaged.id])
        assert store.add(damaged) is False
        assert listed(store.newest(3)) == [last, damaged, first]

    def test_a_byte_flipped_in_the_file(self, database: Path) -> None:
        """Not by a program that writes rows, but in the file itself, behind the database's back."""
        store = store_of(database)
        kept, damaged = schedule(1), schedule(2, label="a label to find the place by")
        store.add(kept)
        store.add(damaged)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        data = bytearray(database.read_bytes())
        data[data.index(b'"label":"a label') + 10] ^= 0x80
        database.write_bytes(data)
        page = store.newest(3)
        assert (listed(page), [each.schedule_id for each in page.unreadable]) == ([kept], [damaged.id])

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ({"format": 3, "spec": REFERENCE_SPEC}, "format"),
            ({"format": 2, "spec": {**REFERENCE_SPEC, "warmup": {"iterations": 1, "knees": 2}}}, "spec/warmup/knees"),
            ({"format": 2, "spec": {**REFERENCE_SPEC, "after_scheduler": {"type": "FutureLR"}}}, "after_scheduler"),
        ],
        ids=["format", "field", "scheduler"],
    )
    def test_a_row_of_a_later_version(self, database: Path, content: dict[str, Any], reason: str) -> None:
        """What it has that this version does not know is named."""
        store = store_of(database)
        store.add(kept := schedule(1))
        text = json.dumps(content, sort_keys=True)
        later = hashlib.sha256(text.encode()).hexdigest()[:32]
        change(database, "INSERT INTO schedules (id, text) VALUES (?, ?)", later, text)
        with pytest.raises(ScheduleUnreadable, match=reason) as caught:
            store.get(later)
        assert caught.value.reason == "unknown-content"
        page = store.newest(3)
        assert (listed(page), [each.schedule_id for each in page.unreadable]) == ([kept], [later])


class TestFormat1:
    """A database file that version 0.1.0 wrote is read by this one."""

    @staticmethod
    def rows() -> dict[str, tuple[dict[str, Any], str]]:
        """Spec and label of every row, by id."""
        with closing(sqlite3.connect(f"file:{FORMAT_1}?mode=ro&immutable=1", uri=True)) as connection:
            rows = connection.execute("SELECT id, spec, label FROM schedules")
            return {schedule_id: (json.loads(spec), label) for schedule_id, spec, label in rows}

    def test_every_id_is_found_with_its_learning_rates(self, format_1: Path) -> None:
        """Id, spec and torch version are what they were, and the LRs are those that version 0.1.0 computed."""
        store, compared = store_of(format_1), 0
        answers = {json.dumps(entry["normalised"], sort_keys=True): entry for entry in CORPUS}
        for schedule_id, (spec, label) in self.rows().items():
            found = store.get(schedule_id)
            assert (found.id, found.spec_dict, found.spec.label) == (schedule_id, spec, label)
            assert (found.torch_version, found.computes) == ("2.13.0", True)
            entry = answers.get(json.dumps(spec, sort_keys=True))
            if entry is not None and was_right(found.text):
                curve = Curve(found)
                windows = [np.ascontiguousarray(curve.window(*w), "<f8").tobytes() for w in entry["windows"]]
                assert hashlib.sha256(b"".join(windows)).hexdigest() == entry["sha256"]
                compared += 1
        assert len(self.rows()) == 131
        assert compared > 100

    def test_they_stay_in_their_order(self, format_1: Path) -> None:
        """All rows are listed, the newest first, and a new one comes before them."""
        store = store_of(format_1)
        store.add(new := schedule())
        page = store.newest(200)
        assert [each.id for each in listed(page)] == [new.id, *reversed(self.rows())]
        assert not page.unreadable

    @pytest.mark.parametrize("spec", ['{"target_lr":9.0,"total_iterations":20}', "{"])
    def test_a_row_that_was_damaged_before_stays(self, format_1: Path, spec: str) -> None:
        """It is marked by its hash, its content is kept, and all others come through."""
        change(format_1, "UPDATE schedules SET spec = ? WHERE number = 7", spec)
        page = store_of(format_1).newest(200)
        assert (len(page.schedules), [each.schedule_id for each in page.unreadable]) == (130, [list(self.rows())[6]])
        with closing(sqlite3.connect(format_1)) as connection:
            assert spec in connection.execute("SELECT text FROM schedules WHERE number = 7").fetchone()[0]

    def test_several_processes_migrate_at_once(self, format_1: Path) -> None:
        """The first does it and the others wait."""
        with ThreadPoolExecutor(6) as pool:
            pages = list(pool.map(lambda _: store_of(format_1, timeout_s=30).newest(200), range(6)))
        assert [len(page.schedules) for page in pages] == [131] * 6


def test_a_database_of_a_later_version_is_left_alone(database: Path) -> None:
    """The error says so, and nothing is changed."""
    store_of(database).add(schedule())
    change(database, "UPDATE alembic_version SET version_num = '9999'")
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

    def test_forbidden(self, http: httpx.Client, database: Path) -> None:
        """The rights on the file are lost."""
        with read_only(database, rights=0):
            self.assert_unavailable(http, "may not be opened")
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
        """A schedule of a torch that is not known to agree can be read, and 409 for its LRs says what to do."""
        other = Schedule(parse_spec(json.dumps(REFERENCE_SPEC)), torch_version="2.12.0")
        store_of(database).add(other)
        document = http.get(f"/v1/schedules/{other.id}").json()
        assert (document["torch_version"], document["computes"], document["lint"]) == ("2.12.0", False, None)
        for path in ("/lr/7", "/lr", "/plot.png", "/at?epoch=1"):
            answer = http.get(f"/v1/schedules/{other.id}{path}")
            problem = answer.json()
            assert (answer.status_code, problem["type"]) == (409, "urn:preheat:torch-version-mismatch")
            assert (problem["stored"], problem["running"], problem["agreeing"]) == ("2.12.0", "2.13.0", [])
            assert "POST its spec again" in problem["detail"]
        again = http.post("/v1/schedules", json=document["spec"])
        assert (again.status_code, again.json()["computes"], again.json()["id"] != other.id) == (201, True, True)

    def test_another_torch_that_agrees(self, http: httpx.Client, database: Path) -> None:
        """A schedule of a torch that is known to compute the same is computed, under its own id."""
        other = Schedule(parse_spec(json.dumps(REFERENCE_SPEC)), torch_version="2.14.1")
        store_of(database).add(other)
        document = http.get(f"/v1/schedules/{other.id}").json()
        assert (document["torch_version"], document["computes"]) == ("2.14.1", True)
        assert http.get(f"/v1/schedules/{other.id}/lr/11").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[10])

    def test_a_damaged_id_is_named_and_the_rest_is_listed(self, http: httpx.Client, database: Path) -> None:
        """An id that is not even text is one of the unreadable rows of its page."""
        store_of(database).add(schedule(2))
        change(database, "UPDATE schedules SET id = ? WHERE number = 2", b"\xff\x00")
        listed = http.get("/v1/schedules").json()
        assert [entry["total_iterations"] for entry in listed["schedules"]] == [1]
        assert [entry["reason"] for entry in listed["unreadable"]] == ["damaged"]

    def test_a_damaged_label_is_mended_by_adding_the_schedule_again(self, http: httpx.Client, database: Path) -> None:
        """A list by label finds a schedule by its own label, whatever its row said in between."""
        labelled = Schedule.of({"target_lr": 0.1, "total_iterations": 2, "label": "mine"})
        store_of(database).add(labelled)
        change(database, "UPDATE schedules SET label = 'other' WHERE id = ?", labelled.id)
        assert store_of(database).add(labelled) is False
        assert [entry["id"] for entry in http.get("/v1/schedules?label=mine").json()["schedules"]] == [labelled.id]

    def test_a_damaged_row(self, http: httpx.Client, database: Path) -> None:
        """It is 500 of its own kind, not 503: waiting does not help. The list names it and has the rest."""
        damaged = schedule(2)
        store_of(database).add(damaged)
        change(database, "UPDATE schedules SET text = '{' WHERE id = ?", damaged.id)
        for path in ("", "/lr", "/lr/1", "/plot.svg"):
            answer = http.get(f"/v1/schedules/{damaged.id}{path}")
            problem = answer.json()
            assert (answer.status_code, problem["type"]) == (500, "urn:preheat:schedule-unreadable")
            assert (problem["id"], problem["reason"]) == (damaged.id, "damaged")
        listed = http.get("/v1/schedules").json()
        assert [entry["total_iterations"] for entry in listed["schedules"]] == [1]
        assert [(entry["id"], entry["reason"]) for entry in listed["unreadable"]] == [(damaged.id, "damaged")]
        assert http.get("/readyz").status_code == 200


@contextmanager
def read_only(database: Path, rights: int = 0o444) -> Iterator[None]:
    """Nobody may write the file or its folder; root, whom that does not stop, becomes nobody for the time."""
    is_root = os.geteuid() == 0
    parents = [parent for parent in database.parents if is_root and parent.stat().st_uid == 0 and parent != Path("/")]
    modes = {path: path.stat().st_mode for path in (*parents, database)}
    for parent in parents:
        parent.chmod(0o755 if parent != Path("/tmp") else 0o1777)  # noqa: S108 - a folder is left as it was
    database.parent.chmod(0o555)
    database.chmod(rights)
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
from support.corpus import CORPUS, was_right

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
database = sys.argv[1]

def post(http, n):
    spec = {"target_lr": 0.1, "total_iterations": n, "label": "x" * 190}
    return http.post("/v1/schedules?stop=0", json=spec)

with service(database_url=f"sqlite:///{database}") as url, httpx.Client(base_url=url, timeout=60) as http:
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
