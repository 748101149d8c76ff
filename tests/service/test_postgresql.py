"""What is PostgreSQL's own: locks, connections, restarts and failovers; the rest is tested on both databases."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import psycopg
import pytest

from preheat.errors import StoreUnavailable
from preheat.schedule import Schedule
from preheat.store import Database, ScheduleStore, Search
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service
from support.postgresql import PostgreSQL, address, successor


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


def test_connections_that_are_all_in_use_are_told_in_time(database: str) -> None:
    """Thirty requests on ten connections that all wait for a lock: each is 503, with one reason or the other."""
    with service(database_url=database, database_timeout_s=0.5) as url, httpx.Client(base_url=url, timeout=60) as http:
        http.post("/v1/schedules", json=REFERENCE_SPEC)
        with psycopg.connect(database.replace("+psycopg", "")) as other, ThreadPoolExecutor(30) as pool:
            other.execute("LOCK TABLE schedules")
            specs = [{"target_lr": 1, "total_iterations": n} for n in range(2, 32)]
            answers = list(pool.map(lambda spec: http.post("/v1/schedules", json=spec), specs))
        assert {answer.status_code for answer in answers} == {503}
        details = [answer.json()["detail"] for answer in answers]
        assert any("all connections to it are in use" in detail for detail in details)
        assert any("longer than database_timeout_s (canceling statement" in detail for detail in details)
        assert http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 5}).status_code == 201


def test_a_failover_is_survived(server: PostgreSQL, database: str) -> None:
    """The address leads to another server, which has the data of the one that was killed."""
    with (
        address(server) as leads_to,
        service(database_url=leads_to.url(database), database_timeout_s=2) as url,
        httpx.Client(base_url=url, timeout=60) as http,
    ):
        kept = http.post("/v1/schedules", json=REFERENCE_SPEC).headers["location"]
        with successor(server) as another:
            leads_to.switch(another)
            assert http.get(kept).status_code == 200
            assert http.post("/v1/schedules", json={"target_lr": 1, "total_iterations": 5}).status_code == 201
            assert http.post("/v1/schedules", json=REFERENCE_SPEC).status_code == 200
            assert http.delete(kept).status_code == 204


def test_a_database_that_may_only_be_read_is_not_ready(server: PostgreSQL, database: str) -> None:
    """As a standby is after a failover went wrong: what is there is served, and readiness says why it fell."""
    with service(database_url=database) as url, httpx.Client(base_url=url, timeout=30) as http:
        kept = http.post("/v1/schedules", json=REFERENCE_SPEC).headers["location"]
        name = database.partition("?")[0].rpartition("/")[2]
        with psycopg.connect(server.administrator_url, autocommit=True) as administrator:
            administrator.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            not_ready = http.get("/readyz")
            assert (not_ready.status_code, "it may only be read" in not_ready.json()["detail"]) == (503, True)
            assert http.get(kept).status_code == 200
            administrator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        assert http.get("/readyz").status_code == 200


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
