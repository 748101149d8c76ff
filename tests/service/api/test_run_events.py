"""Events of runs as they reach who watches: from the channel of a run, and over HTTP with and without streams."""

import asyncio
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from live_runs.rest_job import RestJob
from preheat.api import create_app
from preheat.api.app import served_app
from preheat.api.run_events import Channel
from preheat.runs.events import Event
from preheat.server import server_options
from preheat.settings import Settings
from preheat.store import Database, KeyStore
from preheat.store.changes import restore_backup
from rest import problem
from running_service import serving, wait_until


class Listener:
    """A sink that keeps what it was told."""

    def __init__(self) -> None:
        self.is_open, self.is_slow = True, False
        self.told: list[bytes] = []

    def write(self, chunk: bytes) -> None:
        """Keeps it."""
        self.told.append(chunk)

    def end(self) -> None:
        """Is closed."""
        self.is_open = False

    @property
    def numbers(self) -> list[int]:
        """The numbers of the events that it was told."""
        lines = b"".join(self.told).splitlines()
        return [int(line.removeprefix(b"id: ")) for line in lines if line.startswith(b"id: ")]


def events(first: int, last: int) -> list[Event]:
    """Events of successive numbers."""
    return [Event(number, "revision", 0.0, {}) for number in range(first, last + 1)]


@pytest.fixture
def channel() -> Channel:
    """A channel that has read up to event 10."""
    channel = Channel()
    channel.last = 10
    return channel


class TestChannel:
    """Who is told what."""

    def test_everybody_is_told_what_they_do_not_have(self, channel: Channel) -> None:
        """Whenever they come, each event once and in order; the beat only where there is nothing to tell."""
        early, late = Listener(), Listener()
        channel.add(early, 10)
        channel.take(events(11, 12))
        channel.add(late, 11)
        asyncio.run(channel.tell(b"beat"))
        asyncio.run(channel.tell(b"beat"))
        assert (early.numbers, late.numbers) == ([11, 12], [12])
        assert (early.told[1:], late.told[1:]) == ([b"beat"], [b"beat", b"beat"])

    def test_a_slow_reader_is_told_later(self, channel: Channel) -> None:
        """Nothing is written while there is much to read, and nothing is left out."""
        slow = Listener()
        channel.add(slow, 10)
        slow.is_slow = True
        for number in (11, 12):
            channel.take(events(number, number))
            asyncio.run(channel.tell(b"beat"))
        assert not slow.told
        slow.is_slow = False
        asyncio.run(channel.tell(b"beat"))
        assert slow.numbers == [11, 12]

    def test_who_has_missed_too_much_has_to_ask_again(self, channel: Channel) -> None:
        """A gap is never passed over: its stream ends."""
        slow = Listener()
        channel.add(slow, 10)
        slow.is_slow = True
        channel.take(events(11, 1500))
        asyncio.run(channel.tell())
        assert (slow.told, slow.is_open, channel.is_watched) == ([], False, False)

    def test_who_has_left_is_forgotten(self, channel: Channel) -> None:
        """At the next event, and everybody at the end."""
        left, stays = Listener(), Listener()
        channel.add(left, 10)
        channel.add(stays, 10)
        left.is_open = False
        channel.take(events(11, 11))
        asyncio.run(channel.tell())
        assert (left.told, stays.numbers) == ([], [11])
        channel.end()
        assert (stays.is_open, channel.is_watched) == (False, False)

    def test_who_may_no_longer_watch_is_told_nothing_more(self, channel: Channel) -> None:
        """Its stream ends at the next event, or at the next beat where nothing happens."""
        may, ended, expired = Listener(), Listener(), Listener()
        keys = {"ended", "expired"}
        channel.add(may, 10)
        channel.add(ended, 10, lambda: "ended" in keys)
        channel.add(expired, 10, lambda: "expired" in keys)
        keys.discard("ended")
        channel.take(events(11, 11))
        asyncio.run(channel.tell())
        keys.discard("expired")
        asyncio.run(channel.tell(b"beat"))
        assert [(each.numbers, each.is_open) for each in (may, ended, expired)] == [
            ([11], True),
            ([], False),
            ([11], False),
        ]


@pytest.fixture(params=[create_app, served_app], ids=["without streams", "with streams"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RestJob]:
    """A job at a service on a file, which other processes could watch as well."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'preheat.db'}", compute_workers=0)
    make_app: Callable[[Settings], object] = request.param
    with (
        serving(make_app(settings), **server_options(settings)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        yield RestJob(http)


def lines_of(job: RestJob, client: httpx.Client, heard: Callable[[str], object]) -> None:
    """Reads a stream to its end."""
    headers = {"accept": "text/event-stream", "last-event-id": "0"}
    with client.stream("GET", f"{job.path}/events", headers=headers) as stream:
        assert stream.headers["x-request-id"]
        for line in stream.iter_lines():
            heard(line)


def test_a_request_behind_a_stream_is_answered_after_it(job: RestJob) -> None:
    """The stream tells what was, and what happens; it ends whole with its run, and the connection goes on."""
    url = job.http.base_url
    watch = (
        f"GET {job.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        connection.sendall(watch.encode())
        told = until(connection, b"event: made")
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        job.http.post(f"{job.path}/finish").raise_for_status()
        assert job.http.delete(job.path).status_code == 204
        told += until(connection, b'"alive"')
    stream, _, answer = told.partition(b"\r\n0\r\n\r\n")
    assert b"event: finished" in stream
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_client_of_http_1_0_has_the_bare_stream_up_to_the_end_of_the_connection(job: RestJob) -> None:
    """It knows no chunks: their sizes would be lines among those of the events."""
    url = job.http.base_url
    watch = (
        f"GET {job.path}/events HTTP/1.0\r\nAccept: text/event-stream\r\nLast-Event-ID: 0\r\nHost: 127.0.0.1\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        connection.sendall(watch.encode())
        told = until(connection, b"event: made")
        job.http.post(f"{job.path}/finish").raise_for_status()
        assert job.http.delete(job.path).status_code == 204
        while received := connection.recv(65536):
            told += received
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"\r\nconnection: close" in head
    assert [line for line in body.splitlines() if line.startswith(b"event: ")] == [b"event: made", b"event: finished"]
    assert [line for line in body.splitlines() if not re.match(rb"(retry|id|event|data): |:|$", line)] == []
    assert body.endswith(b"\n\n")


def until(connection: socket.socket, end: bytes) -> bytes:
    """What comes, up to something that it must have."""
    told = b""
    while end not in told:
        received = connection.recv(65536)
        assert received, told
        told += received
    return told


def test_a_stream_ends_with_its_key(tmp_path: Path) -> None:
    """What happens after a key was revoked is not told to who watches with it."""
    url = f"sqlite:///{tmp_path / 'preheat.db'}"
    settings = Settings(database_url=url, compute_workers=0)
    with closing(Database(url, 30)) as database:
        store = KeyStore(database)
        worker, watcher = store.make("job", {"admin"}), store.make("page", {"read"})
        as_worker, as_watcher = ({"authorization": f"Bearer {made.token}"} for made in (worker, watcher))
        with (
            serving(served_app(settings), **server_options(settings)) as address,
            httpx.Client(base_url=address, timeout=30, headers=as_worker) as http,
            httpx.Client(base_url=address, timeout=30, headers=as_watcher) as reader,
        ):
            job = RestJob(http)
            headers = {"accept": "text/event-stream", "last-event-id": "0"}
            with reader.stream("GET", f"{job.path}/events", headers=headers) as stream:
                lines = stream.iter_lines()
                assert next(line for line in lines if line.startswith("event: ")) == "event: made"
                store.revoke("page")
                wait_until(lambda: reader.get(job.path).status_code == 401, 20)
                job.attach()
                assert not [line for line in lines if line.startswith("event: ")]


def test_jobs_have_connections_that_watchers_cannot_take(tmp_path: Path) -> None:
    """Beyond max_watchers a stream is refused, and a page is not; who has left makes room."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'preheat.db'}", compute_workers=0, max_watchers=1)
    with (
        serving(served_app(settings), **server_options(settings)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        job, other = RestJob(http), RestJob(http)
        headers = {"accept": "text/event-stream", "last-event-id": "0"}
        with httpx.stream("GET", f"{url}{job.path}/events", headers=headers, timeout=30) as stream:
            lines = stream.iter_lines()  # kept: without it the stream would be closed
            assert "event: made" in lines
            with http.stream("GET", f"{other.path}/events", headers=headers) as answer:
                assert not answer.is_success
                answer.read()
            assert problem(answer, 503, "too-many-watchers")["limit"] == 1
            assert answer.headers["retry-after"] == "5"
            assert other.kinds() == ["made"]
            assert "preheat_run_watchers 1.0" in http.get("/metrics").text

        def is_admitted() -> bool:
            with http.stream("GET", f"{other.path}/events", headers=headers) as stream:
                return stream.is_success

        wait_until(is_admitted, 20)


def test_a_head_says_what_its_stream_would_be(job: RestJob) -> None:
    """And ends; so does one of a page."""
    for accept in ("text/event-stream", "application/json"):
        answer = job.http.head(f"{job.path}/events", headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, accept)
        assert answer.headers["cache-control"] == "no-store"
    problem(job.http.get(f"{job.path}/events?after=99", headers={"accept": "text/event-stream"}), 410, "events-trimmed")


def test_who_knows_more_than_the_database_is_told_so(job: RestJob, tmp_path: Path) -> None:
    """Where a backup has lost events: open streams end, and what comes after the lost ones is 410, not silence."""
    with closing(Database(f"sqlite:///{tmp_path / 'preheat.db'}", 5)) as database:
        database.backup(tmp_path / "backup.db")
        job.attach()
        last = job.events()[-1]["number"]
        has_begun, has_ended = threading.Event(), threading.Event()

        def watch() -> None:
            with httpx.Client(base_url=job.http.base_url, timeout=30) as client:
                lines_of(job, client, lambda _: has_begun.set())
            has_ended.set()

        watching = threading.Thread(target=watch)
        watching.start()
        assert has_begun.wait(20)
        restore_backup(database, tmp_path / "backup.db")
    assert has_ended.wait(20)
    watching.join(20)
    for accept in ("application/json", "text/event-stream"):
        for query, asked in (f"?after={last}", {}), ("", {"last-event-id": str(last)}):
            answer = job.http.get(f"{job.path}/events{query}", headers={"accept": accept, **asked})
            assert problem(answer, 410, "events-trimmed")["first"] == 1
    assert [event["number"] for event in job.events()] == [1]


def test_those_who_watch_do_not_keep_a_service_that_stops(tmp_path: Path) -> None:
    """Their streams end whole, and at once."""
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'preheat.db'}", compute_workers=0)
    has_begun, has_ended = threading.Event(), threading.Event()

    def watch(job: RestJob) -> None:
        with httpx.Client(base_url=job.http.base_url, timeout=30) as client:
            lines_of(job, client, lambda _: has_begun.set())
        has_ended.set()

    with (
        serving(served_app(settings), **server_options(settings)) as url,
        httpx.Client(base_url=url, timeout=30) as http,
    ):
        watching = threading.Thread(target=watch, args=(RestJob(http),))
        watching.start()
        assert has_begun.wait(20)
    watching.join(20)
    assert has_ended.is_set()
