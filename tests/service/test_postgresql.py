"""Schedules in a real PostgreSQL: what holds for a file of SQLite holds there, for any number of services."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from queue import Queue

import alembic.command
import alembic.config
import httpx
import psycopg
import pytest
from sqlalchemy import create_engine, text

from end_to_end.test_durability import post_until_dead
from preheat.errors import ScheduleNotFound, StoreUnavailable
from preheat.schedule import Schedule
from preheat.store import Database, ScheduleStore, Search
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service, service_process
from support.postgresql import PostgreSQL, postgresql_server

ROOT = Path(__file__).parents[2]
FORMAT_1 = ROOT / "tests/data/format_1.db"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """One server for all tests here; each has a database of its own."""
    with postgresql_server() as running:
        yield running


@pytest.fixture
def database(server: PostgreSQL) -> str:
    """The URL of an empty database."""
    return server.new_database()


@pytest.fixture
def store(database: str) -> Iterator[ScheduleStore]:
    """A store on it."""
    with closing(Database(database, 30)) as opened:
        yield ScheduleStore(opened)


def schedule(total_iterations: int = 20, label: str | None = None) -> Schedule:
    """A schedule that differs by its length."""
    return Schedule.of({"target_lr": 0.1, "total_iterations": total_iterations, "label": label})


@pytest.mark.parametrize("label", ["é 日本", "a\0b", "%"])
def test_what_was_added_is_found(store: ScheduleStore, label: str) -> None:
    """The schedule comes back equal, by id and by label, and adding it again changes nothing."""
    kept = Schedule.of({**REFERENCE_SPEC, "label": label})
    assert (store.add(kept), store.add(kept)) == (True, False)
    found = store.get(kept.id)
    assert (found, found.spec) == (kept, kept.spec)
    store.add(schedule(label="another"))
    assert [each.schedule.id for each in store.newest(9, search=Search(label=label)).schedules] == [kept.id]
    with pytest.raises(ScheduleNotFound, match="0000"):
        store.get("0" * 32)


def test_newest_come_first_page_by_page(store: ScheduleStore) -> None:
    """Limit, place in the order and label all choose; the last page has no next."""
    for n in range(1, 6):
        store.add(schedule(n, "odd" if n % 2 else "even"))
    page = store.newest(3)
    assert [each.schedule.spec.total_iterations for each in page.schedules] == [5, 4, 3]
    rest = store.newest(3, before=page.next)
    assert ([each.schedule.spec.total_iterations for each in rest.schedules], rest.next) == ([2, 1], None)
    assert [each.schedule.spec.total_iterations for each in store.newest(9, search=Search("odd")).schedules] == [
        5,
        3,
        1,
    ]


def test_labels_are_searched(store: ScheduleStore) -> None:
    """By their beginning, in which % and _ stand for themselves, and by a part, whatever the case of A to Z."""
    for n, label in enumerate(["Run 1", "run 2", "r%n", "a\0b", "日本 RUN"], start=1):
        store.add(schedule(n, label))

    def found(**search: str) -> list[str | None]:
        return [each.schedule.spec.label for each in store.newest(9, search=Search(**search)).schedules]

    assert found(prefix="r") == ["r%n", "run 2"]
    assert found(prefix="r%") == ["r%n"]
    assert found(prefix="a\0") == ["a\0b"]
    assert found(part="rUN") == ["日本 RUN", "run 2", "Run 1"]
    assert found(part="%") == ["r%n"]
    assert found(part="本") == ["日本 RUN"]


def test_many_services_make_the_tables_and_add_the_same(database: str) -> None:
    """Eight at once on an empty database: one migrates and the others wait; one is the first to add."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        stores = [ScheduleStore(stack.enter_context(closing(Database(database, 30)))) for _ in range(8)]
        added = list(pool.map(lambda store: store.add(schedule()), stores))
    assert added.count(True) == 1


def test_an_older_database_is_brought_forward(database: str, store: ScheduleStore) -> None:
    """The rows of version 0.1.0, put into the tables that it made, are found with ids and order as they were."""
    engine = create_engine(database)
    config = alembic.config.Config()
    config.set_main_option("script_location", str(ROOT / "service/preheat/store/migrations"))
    with closing(sqlite3.connect(FORMAT_1)) as old:
        rows = old.execute("SELECT number, id, spec, torch_version, label FROM schedules ORDER BY number").fetchall()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, "0001")
        insert = text("INSERT INTO schedules (number, id, spec, torch_version, label) VALUES (:n, :i, :s, :t, :l)")
        connection.execute(insert, [dict(zip("nistl", row, strict=True)) for row in rows])
    engine.dispose()
    page = store.newest(200)
    assert [each.schedule.id for each in page.schedules] == [row[1] for row in reversed(rows)]
    assert page.unreadable == []


def test_a_locked_table_is_waited_for_and_then_told(database: str) -> None:
    """An administrator's lock ends a request after database_timeout_s; what is in memory is still served."""
    with service(database_url=database, database_timeout_s=0.3) as url, httpx.Client(base_url=url, timeout=30) as http:
        kept = http.post("/v1/schedules", json=REFERENCE_SPEC).json()["id"]
        with psycopg.connect(database.replace("+psycopg", "")) as other:
            other.execute("LOCK TABLE schedules")
            refused = http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 5})
            assert (refused.status_code, refused.json()["type"]) == (503, "urn:preheat:store-unavailable")
            assert "timeout" in refused.json()["detail"]
            assert http.get(f"/v1/schedules/{kept}/lr/1").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[0])
        assert http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 5}).status_code == 201


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_of_the_server_is_survived(server: PostgreSQL, database: str, end: str) -> None:
    """While it is away readiness falls and points go on; when it is back, so is everything."""
    with service(database_url=database, database_timeout_s=1) as url, httpx.Client(base_url=url, timeout=30) as http:
        kept = http.post("/v1/schedules", json=REFERENCE_SPEC).json()["id"]
        getattr(server, end)()
        try:
            assert http.get("/readyz").status_code == 503
            assert http.get("/livez").status_code == 200
            assert http.get(f"/v1/schedules/{kept}/lr/20").json()["groups"][0]["lr"] == 0.0
        finally:
            server.start()
        assert http.get("/readyz").status_code == 200
        assert http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 7}).status_code == 201
        assert http.post("/v1/schedules", json=REFERENCE_SPEC).status_code == 200


def test_a_kill_of_either_loses_nothing_acknowledged(server: PostgreSQL, database: str, store: ScheduleStore) -> None:
    """SIGKILL of the service, then of the database, while four clients post: every 201 is found afterwards."""
    acknowledged: Queue[tuple[str, int]] = Queue()
    kept: list[tuple[str, int]] = []
    for first, victim in ((1, "service"), (10**7, "database")):
        with ThreadPoolExecutor(4) as pool, service_process(Path(), database_url=database) as running:
            posters = [pool.submit(post_until_dead, running, first + 10**6 * n, acknowledged) for n in range(4)]
            kept += [acknowledged.get(timeout=120) for _ in range(12)]
            (server if victim == "database" else running).kill()
            for poster in posters:
                poster.result(60)
        server.start()
    kept += [acknowledged.get_nowait() for _ in range(acknowledged.qsize())]
    assert [store.get(schedule_id).spec.total_iterations for schedule_id, _ in kept] == [number for _, number in kept]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://host/name", r"must begin with postgresql\+psycopg://"),
        ("postgresql+pg8000://host/name", r"must begin with postgresql\+psycopg://"),
    ],
)
def test_another_driver_is_refused(url: str, reason: str) -> None:
    """The error says how the URL must begin."""
    with pytest.raises(ValueError, match=reason):
        Database(url, 1)


def test_a_password_is_never_shown(server: PostgreSQL) -> None:
    """Neither in the error of a database that is not there nor in what the service calls its database."""
    missing = server.new_database().replace("postgres:@", "postgres:hunter2@").replace("/preheat_", "/missing_")
    database = Database(missing, 1)
    with pytest.raises(StoreUnavailable, match='database "missing_') as caught:
        database.check()
    assert "hunter2" not in f"{caught.value}{database.shown_url}"
