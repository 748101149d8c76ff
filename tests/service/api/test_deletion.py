"""Deleted schedules: gone from every process's answers about them, and made again under the same id."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from preheat_client import Preheat
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import post, posted_id, problem
from running_service import service


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two services that share one database, as the worker processes of one do."""
    database_url = f"sqlite:///{tmp_path}/preheat.db"
    with (
        service(database_url=database_url) as first,
        service(database_url=database_url) as second,
        httpx.Client(base_url=first, timeout=30) as one,
        httpx.Client(base_url=second, timeout=30) as other,
    ):
        yield one, other


def test_a_deleted_schedule_is_gone(http: httpx.Client) -> None:
    """204 without a body, then 404 for all that is asked of it, by GET, by a conditional GET and by DELETE."""
    answer = post(http, {**REFERENCE_SPEC, "label": "to be deleted"})
    path, tag = answer.headers["location"], http.get(answer.headers["location"]).headers["etag"]
    assert http.get(f"{path}/lr/7").status_code == 200
    deleted = http.delete(path)
    assert (deleted.status_code, deleted.content, deleted.headers["cache-control"]) == (204, b"", "no-store")
    for suffix in ("", "/lr", "/lr/7", "/plot.svg", "/sum", "/export?to=torch"):
        problem(http.get(f"{path}{suffix}", headers={"if-none-match": tag}), 404, "schedule-not-found")
    problem(http.delete(path), 404, "schedule-not-found")
    assert http.get("/v1/schedules", params={"label": "to be deleted"}).json()["schedules"] == []


def test_posting_it_again_makes_it_again(http: httpx.Client) -> None:
    """New, under the same id, and the first of the list."""
    spec = {**REFERENCE_SPEC, "label": "to be made again"}
    first = post(http, spec)
    http.delete(first.headers["location"])
    again = post(http, spec)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert http.get("/v1/schedules", params={"limit": 1}).json()["schedules"][0]["id"] == first.json()["id"]


def test_nothing_else_is_deleted(http: httpx.Client) -> None:
    """An id that is only like another one, and a query that nobody knows, delete nothing."""
    path = f"/v1/schedules/{posted_id(http, {**REFERENCE_SPEC, 'label': 'to stay'})}"
    problem(http.delete(path[:-1]), 404, "schedule-not-found")
    problem(http.delete(path.upper().replace("/V1/SCHEDULES", "/v1/schedules")), 404, "schedule-not-found")
    problem(http.delete(f"{path}?force=true"), 422, "invalid-parameter")
    assert http.get(path).status_code == 200


def test_another_worker_does_not_describe_it(workers: tuple[httpx.Client, httpx.Client]) -> None:
    """It may give LRs while it has them in memory, since they can never be others, until it finds the schedule gone."""
    one, other = workers
    path = post(one, REFERENCE_SPEC).headers["location"]
    before = other.get(path)
    assert other.get(f"{path}/lr/11").json()["groups"][0]["lr"] == float(REFERENCE_ROWS[10])
    assert one.delete(path).status_code == 204
    assert other.get(f"{path}/lr/11").status_code == 200
    problem(other.get(path, headers={"if-none-match": before.headers["etag"]}), 404, "schedule-not-found")
    problem(other.get(f"{path}/lr/11"), 404, "schedule-not-found")
    assert post(other, REFERENCE_SPEC).status_code == 201
    assert one.get(f"{path}/lr/11").status_code == 200


def test_a_job_that_uses_it_makes_it_again(tmp_path: Path) -> None:
    """The client posts the spec that it knows, and the job reads the LRs that it always had."""
    with service() as url, httpx.Client(base_url=url, timeout=60) as http, Preheat(url, window=5) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "label": "in use"})
        assert http.delete(f"/v1/schedules/{schedule.id}").status_code == 204
        schedule.plot(tmp_path / "plot.png")
        assert http.get(f"/v1/schedules/{schedule.id}").status_code == 200
        assert [str(schedule.lr(n)) for n in range(1, 21)] == list(REFERENCE_ROWS)


def test_what_is_in_memory_is_described_while_the_database_is_away(tmp_path: Path) -> None:
    """A job can start from a worker that knows its schedule, though nobody can look whether it was deleted."""
    database = tmp_path / "preheat.db"
    with service(database_url=f"sqlite:///{database}") as url, httpx.Client(base_url=url, timeout=30) as http:
        path = post(http, REFERENCE_SPEC).headers["location"]
        database.write_bytes(b"garbage" * 4096)
        assert http.get("/readyz").status_code == 503
        assert http.get(path).json()["id"] == path.rpartition("/")[2]
        assert http.delete(path).status_code == 503


def test_a_damaged_schedule_can_be_deleted(tmp_path: Path) -> None:
    """That is what an operator does with it."""
    database = tmp_path / "preheat.db"
    with service(database_url=f"sqlite:///{database}") as url, httpx.Client(base_url=url, timeout=30) as http:
        path = post(http, REFERENCE_SPEC).headers["location"]
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE schedules SET text = '{'")
    connection.close()
    with service(database_url=f"sqlite:///{database}") as url, httpx.Client(base_url=url, timeout=30) as http:
        assert http.get(path).status_code == 500
        assert http.delete(path).status_code == 204
        assert http.get("/v1/schedules").json() == {"schedules": [], "unreadable": [], "next": None}
