"""Two services on one database: what one has committed holds for the other."""

import threading
from collections.abc import Iterator

import httpx
import pytest

from live_runs.rest_job import RestJob
from rest import problem
from running_service import service


@pytest.fixture
def replicas(database_url: str) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Clients of both."""
    with (
        service(database_url=database_url) as one,
        service(database_url=database_url) as other,
        httpx.Client(base_url=one, timeout=60) as first,
        httpx.Client(base_url=other, timeout=60) as second,
    ):
        yield first, second


def test_a_job_may_speak_to_either(replicas: tuple[httpx.Client, httpx.Client]) -> None:
    """Attached at one, windows from both in turn, changes at the other: E ≥ H for each, and the LRs are of one run."""
    job = RestJob(replicas[0])
    job.attach()
    job.ask(1)
    used: dict[int, float] = {}
    for turn in range(8):
        job.http = replicas[turn % 2]
        window = job.ask(job.run()["horizon"])
        used |= {window["start"] + i: lr for i, lr in enumerate(window["groups"][0]["lr"])}
        job.http = replicas[turn // 2 % 2]
        assert job.change(factor=0.9)["effect"]["iteration"] == window["stop"]
    for http in replicas:
        job.http = http
        assert job.lrs(*used) == list(used.values())
        assert [event["number"] for event in job.events()] == list(range(1, job.run()["events"] + 1))


def test_a_key_is_good_at_either(replicas: tuple[httpx.Client, httpx.Client]) -> None:
    """A retry that reaches the other service is the same change, and an attempt is fenced at both."""
    first, second = replicas
    job = RestJob(first)
    job.attach()
    headers = {"if_match": job.run()["etag"], "idempotency_key": "mine"}
    made = job.try_change(factor=0.9, headers=headers).json()
    zombie = job.token
    job.http = second
    again = job.try_change(factor=0.9, headers=headers)
    assert (again.status_code, again.json()["change"]) == (200, made["change"])
    job.attach()
    job.http, job.token, job.attempt = first, zombie, 1
    problem(job.try_ask(1), 409, "superseded")


def test_who_watches_one_is_told_of_the_other(replicas: tuple[httpx.Client, httpx.Client]) -> None:
    """At once where the database notifies, within a second or so where it does not."""
    first, second = replicas
    job = RestJob(first)
    is_watching, found = threading.Event(), threading.Event()

    def watch() -> None:
        address = f"{second.base_url}{job.path}/events"
        with httpx.stream("GET", address, headers={"accept": "text/event-stream"}, timeout=30) as stream:
            for line in stream.iter_lines():
                is_watching.set()
                if line == "event: change-accepted":
                    found.set()
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    assert is_watching.wait(20)
    job.change(factor=0.9)
    assert found.wait(20)
    thread.join(20)
