"""Limits of a connection, each provoked on a real socket, while a second client goes on being answered."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from running_service import wait_until
from support.raw_client import (
    CHUNKED,
    GET,
    PATIENCE_S,
    Application,
    RawClient,
    document,
    is_answered,
    limited,
    statuses,
)

SMALL: dict[str, Any] = {
    "max_head_bytes": 4096,
    "max_target_bytes": 512,
    "max_headers": 20,
    "max_pipelined_requests": 4,
    "head_timeout_s": 0.4,
    "body_timeout_s": 0.4,
    "keep_alive_timeout_s": 0.6,
    "send_timeout_s": 0.6,
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with small limits."""
    with limited(Application(), **SMALL) as url:
        yield url


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def url_of_each_loop(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server with small limits on either event loop: uvloop is not there on every platform."""
    with limited(Application(), loop=request.param, **SMALL) as url:
        yield url


@pytest.mark.parametrize(
    ("request_bytes", "status", "named"),
    [
        (b"GET /" + b"x" * 600 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "max_target_bytes (512)"),
        (b"GET /" + b"x" * 1_000_000, 414, "max_target_bytes (512)"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 5000 + b"\r\n\r\n", 431, "max_head_bytes (4096)"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x" * 500_000, 431, "max_head_bytes (4096)"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30 + b"\r\n", 431, "max_headers (20)"),
        (b"\r\n" * 500_000, 431, "max_head_bytes (4096)"),
        (CHUNKED + b"1;" + b"x" * 500_000, 431, "max_head_bytes (4096)"),
        (CHUNKED + b"0\r\nA: " + b"x" * 500_000, 431, "max_head_bytes (4096)"),
        (CHUNKED + b"0\r\n" + b"A: b\r\n" * 100_000, 431, "max_head_bytes (4096)"),
    ],
    ids=[
        "target",
        "endless target",
        "header",
        "endless header",
        "headers",
        "endless empty lines",
        "endless chunk extension",
        "endless trailer",
        "endless trailers",
    ],
)
def test_what_is_too_large_is_refused_and_the_connection_closed(
    url: str, request_bytes: bytes, status: int, named: str
) -> None:
    """The answer names the setting, and nothing that follows is read as another request."""
    with RawClient(url) as client:
        received = client.send(request_bytes, GET).until_closed()
        assert statuses(received) == [status]
        assert named in document(received)["detail"]
        assert b"preheat-version: " in received
        assert is_answered(url)


def test_an_endless_header_line_costs_nobody_time() -> None:
    """Its first bytes are kept, and not copied again with each part that comes: 40 MB are not even taken."""
    with limited(Application()) as url, RawClient(url) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        longest_s = 0.0
        for _ in range(40):
            client.send(b"x" * 1_000_000)
            started = time.monotonic()
            assert is_answered(url)
            longest_s = max(longest_s, time.monotonic() - started)
        assert longest_s < 2.0  # the last of 40 such parts took the loop a quarter of a second, and two a second
        assert statuses(client.until_closed()) == [431]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /read HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"1\nx\n0\n\n",
        CHUNKED + b"1\r\nxy\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 28\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /ü HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(url: str, request_bytes: bytes) -> None:
    """400, and what follows on the connection is never read as a request (RFC 9112 §11.2)."""
    with RawClient(url) as client:
        received = client.send(request_bytes, GET).until_closed()
        assert statuses(received) == [400]
        assert document(received)["type"] == "urn:preheat:bad-request"


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"http://elsewhere/scope?a=1", "/scope"), (b"/scope/%00%ff", "/scope/\x00\ufffd"), (b"/scope//x", "/scope//x")],
)
def test_targets_that_are_allowed(url: str, target: bytes, path: str) -> None:
    """An absolute form has its path (RFC 9112 §3.2.2), and escapes are the application's affair."""
    with RawClient(url) as client:
        received = client.send(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").until_closed()
        assert json.loads(received.partition(b"\r\n\r\n")[2])["path"] == path


def test_trailers_are_no_headers(url: str) -> None:
    """A trailer cannot pretend to be a header that a proxy has checked."""
    with RawClient(url) as client:
        client.send(CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: me\r\n\r\n", b"GET /scope HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"authorization" not in client.until(b'"host"').lower()


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        (b"GET /", "head_timeout_s (0.4 s)"),
        (GET + b"GET /", "head_timeout_s (0.4 s)"),
        (b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{", "body_timeout_s (0.4 s)"),
        (CHUNKED + b"1;", "body_timeout_s (0.4 s)"),
    ],
    ids=["head", "second head", "body", "chunks"],
)
def test_a_request_that_trickles_is_ended(url: str, sent: bytes, named: str) -> None:
    """A byte now and then is no progress: head and body have a time within which they must be whole."""
    with RawClient(url) as client:
        client.send(sent)
        give_up = time.monotonic() + PATIENCE_S
        while not client.has_received(b" 408 "):
            assert time.monotonic() < give_up
            client.send(b"1")
        received = client.until_closed()
        assert statuses(received)[-1] == 408
        assert named in document(received)["detail"]
        assert is_answered(url)


@pytest.mark.parametrize("sent", [b"", GET])
def test_a_silent_connection_is_closed(url_of_each_loop: str, sent: bytes) -> None:
    """Without a word, whether it never had a request or has none any more."""
    with RawClient(url_of_each_loop) as client:
        assert len(statuses(client.send(sent).until_closed())) == (1 if sent else 0)


def test_a_connection_is_kept_between_requests(url: str) -> None:
    """The time for the head begins with its first byte, and not with the answer before it."""
    with RawClient(url) as client:
        for _ in range(4):
            client.received = b""
            client.send(GET).until(b"hello")
            time.sleep(0.2)
        assert client.is_open()


def test_requests_that_wait_for_an_answer_are_counted(url_of_each_loop: str) -> None:
    """The last one that is allowed says that it is the last; those that follow are not answered."""
    with RawClient(url_of_each_loop) as client:
        received = client.send(GET * 10_000).until_closed()
        assert statuses(received) == [200] * 5  # the one at work and the four that wait
        assert received.count(b"connection: close") == 1


def test_a_broken_request_does_not_break_into_the_answer_before_it(url_of_each_loop: str) -> None:
    """The answers to the requests before are whole, and its own is the last."""
    with RawClient(url_of_each_loop) as client:
        received = client.send(b"GET /bytes/300000 HTTP/1.1\r\nHost: x\r\n\r\n" + b"BROKEN\r\n\r\n").until_closed()
        assert statuses(received) == [200, 400]
        assert received.partition(b"\r\n\r\n")[2].startswith(bytes(300_000) + b"HTTP/1.1 400 ")
        assert document(received)["type"] == "urn:preheat:bad-request"


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (CHUNKED + b"1\r\nxy\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /" + b"x" * 600 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 5000 + b"\r\n\r\n", 431),
    ],
    ids=["body", "head", "target", "header"],
)
def test_a_broken_request_is_answered_after_those_before_it(url_of_each_loop: str, broken: bytes, status: int) -> None:
    """Whichever part of it is at fault; what follows it is thrown away."""
    with RawClient(url_of_each_loop) as client:
        received = client.send(b"GET /bytes/9 HTTP/1.1\r\nHost: x\r\n\r\n" + GET + broken, GET).until_closed()
        assert statuses(received) == [200, 200, status]


def test_nothing_follows_the_last_answer_that_a_client_wants(url_of_each_loop: str) -> None:
    """A broken request behind one with Connection: close is not answered (RFC 9112 §9.6)."""
    with RawClient(url_of_each_loop) as client:
        last = b"GET /bytes/9 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert statuses(client.send(last + b"BROKEN\r\n\r\n").until_closed()) == [200]


@pytest.mark.parametrize("length", [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"])
def test_a_body_after_a_refusal_is_not_read_as_a_request(url_of_each_loop: str, length: bytes) -> None:
    """The application answers without the body: the answer arrives, and the connection is closed soon after."""
    with RawClient(url_of_each_loop) as client:
        client.send(b"POST /refused HTTP/1.1\r\nHost: x\r\n" + length + b"\r\n\r\n")
        client.until(b"hello")
        received = client.send(GET, GET).until_closed()
        assert statuses(received) == [200]
        assert b"connection: close" in received


def test_a_client_that_does_not_read_is_cut() -> None:
    """Its connection is cut once it has read nothing for send_timeout_s, and the memory is free."""
    app = Application()
    with limited(app, **SMALL) as url, RawClient(url) as client:
        client.send(b"GET /bytes/50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.6)
        assert is_answered(url)
        assert len(client.until_closed()) < 50_000_000


def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    """As long as it reads at the least pace, whatever the size of the answer."""
    with limited(Application(), **SMALL) as url, RawClient(url) as client:
        client.send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        length = 0
        while more := client.socket.recv(500_000):
            length += len(more)
            time.sleep(0.03)
        assert length > 20_000_000


def test_answers_that_wait_for_clients_have_a_limit_together() -> None:
    """The clients that have read nothing for longest are cut, and the last one has its answer."""
    with limited(Application(), **{**SMALL, "send_timeout_s": 60}, max_unsent_bytes=30_000_000) as url:
        clients = []
        for _ in range(4):
            clients.append(RawClient(url).send(b"GET /bytes/20000000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
            clients[-1].socket.recv(1)
            time.sleep(0.3)
        lengths = [len(client.until_closed()) for client in clients]
        assert lengths[-1] > 20_000_000 - 10
        assert all(length < 20_000_000 for length in lengths[:2])
        for client in clients:
            client.socket.close()


def test_connections_that_are_silent_keep_nobody_out() -> None:
    """However many there are: the one that has been silent longest makes room."""
    with limited(Application(), max_connections=5) as url:
        silent = [RawClient(url).send(b"GET / H" if number % 2 else b"") for number in range(20)]
        assert is_answered(url)
        assert sum(client.is_open() for client in silent) <= 5
        for client in silent:
            client.socket.close()


def test_beyond_the_limit_of_connections_at_work_probes_alone_are_answered() -> None:
    """503 with Retry-After for others, and the connection is closed."""
    app = Application()
    with limited(app, max_connections=3) as url:
        at_work = [RawClient(url).send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
        while len(app.paths) < 3:
            time.sleep(0.01)
        answer = httpx.get(f"{url}/v1/schedules", timeout=60)
        assert (answer.status_code, answer.headers["retry-after"], answer.headers["connection"]) == (503, "1", "close")
        assert "max_connections (3)" in answer.json()["detail"]
        assert is_answered(url)
        assert httpx.get(f"{url}/readyz", timeout=60).status_code == 200
        for client in at_work:
            client.socket.close()
        assert httpx.get(f"{url}/v1/schedules", timeout=60).status_code in {
            200,
            503,
        }  # as soon as the server has noticed


def test_bodies_that_stop_in_the_middle_keep_nobody_out() -> None:
    """Together they have a limit: what has held most for longest is refused, and neither an honest body nor a slow one.

    A body alone is not refused for it.
    """
    app = Application()
    with limited(app, max_arriving_bytes=2_000_000) as url:
        slow = RawClient(url).send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n1")
        stalled = []
        for _ in range(20):
            head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n"
            stalled.append(RawClient(url).send(head, b"x" * 600_000))
            assert httpx.post(f"{url}/read", content=b"x" * 500_000, timeout=PATIENCE_S).text == "500000"
        received = stalled[0].until_closed()
        assert statuses(received) == [503]
        assert b"retry-after: 1\r\n" in received
        assert "max_arriving_bytes (2000000)" in document(received)["detail"]
        assert sum(client.has_received(b" 503 ") for client in stalled) >= 17
        assert app.disconnected >= 17
        assert b"200 OK" in slow.send(b"23").until(b"3")
        for client in (slow, *stalled):
            client.socket.close()
        assert httpx.post(f"{url}/read", content=b"x" * 5_000_000, timeout=PATIENCE_S).text == "5000000"


def test_a_body_behind_a_request_at_work_keeps_nobody_out() -> None:
    """Nobody reads on until that request is answered, and so the rest of the body may never come."""
    app = Application()
    with limited(app, max_arriving_bytes=1000) as url, RawClient(url) as waiting:
        body = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + b"x" * 5000
        waiting.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + body)
        wait_until(lambda: app.paths, PATIENCE_S)
        for _ in range(2):
            assert httpx.post(f"{url}/read", content=b"x" * 500, timeout=PATIENCE_S).text == "500"
        assert waiting.is_open()  # until its first request has its answer


@pytest.mark.parametrize("behind", [b"", GET, b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"])
def test_a_request_at_work_is_told_that_its_client_has_left(behind: bytes) -> None:
    """Whatever has come behind it, of which nothing is answered then."""
    app = Application()
    with limited(app) as url:
        with RawClient(url) as leaving:
            leaving.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + behind)
            wait_until(lambda: app.paths, PATIENCE_S)
        wait_until(lambda: app.disconnected == 1, PATIENCE_S)
        assert app.paths == ["/wait"]


@pytest.mark.parametrize("behind", [GET, GET * 3, b"BROKEN\r\n\r\n"])
def test_a_client_is_seen_to_leave_behind_what_it_has_sent_since(behind: bytes) -> None:
    """A request that is queued, or refused, while another is at work does not hide that nobody waits any more."""
    app = Application()
    with limited(app) as url:
        with RawClient(url) as leaving:
            leaving.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: app.paths, PATIENCE_S)
            leaving.send(behind)
            assert is_answered(url)
        wait_until(lambda: app.disconnected == 1, PATIENCE_S)
        assert "/" not in app.paths


def test_what_waits_behind_a_request_at_work_has_a_limit() -> None:
    """A connection's queue is not filled up with large bodies meanwhile: what is not read waits with the client."""
    app = Application()
    with limited(app, shutdown_timeout_s=1) as url, RawClient(url) as client:
        client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: app.paths, PATIENCE_S)
        body = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
        client.socket.settimeout(1.0)
        taken = 0
        with suppress(TimeoutError):
            for _ in range(1000):
                taken += client.socket.send(body * 10)
        assert taken < 30_000_000  # what the system keeps for both sides


def test_bodies_that_are_over_have_left_room() -> None:
    """However they ended: whole, with the client gone, or answered before they were there."""
    with limited(Application(), max_arriving_bytes=1_000_000) as url:
        for _ in range(5):
            assert httpx.post(f"{url}/read", content=b"x" * 600_000, timeout=PATIENCE_S).status_code == 200
            with RawClient(url) as leaving:
                leaving.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n" + b"x" * 600_000)
            with RawClient(url) as refused:
                refused.send(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 999999\r\n\r\n" + b"x" * 600_000)
                assert statuses(refused.until_closed()) == [200]
        with RawClient(url) as first, RawClient(url) as second:  # a MB between them, and nothing left from before
            for client in (first, second):
                client.send(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 490000\r\n\r\n" + b"x" * 480_000)
            for client in (first, second):
                assert b"490000" in client.send(b"x" * 10_000).until(b"490000")
