"""The way to the service: proxies, sockets, certificates, headers, deadlines; and how all of it is configured."""

import asyncio
import email.utils
import gc
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import uvicorn

from faults.control import BUSY_S, waited_s
from faults.fake_service import npy
from faults.fault_proxy import Fault, proxied, proxy_loop
from preheat.api import create_app
from preheat.settings import Settings
from preheat_client import Preheat, RequestRefused, ServiceUnavailable
from preheat_client._core.configuration import configured
from preheat_client._http import Transport
from reference import REFERENCE_SPEC, SERVED_ALONE
from running_service import START_TIMEOUT_S, free_port, serving, wait_until


@contextmanager
def serving_on(listener: socket.socket, app: Any = None, **options: Any) -> Iterator[None]:
    """A service, or any application, on a socket of any kind, with uvicorn's options."""
    app = app or create_app(Settings(database_url="sqlite:///:memory:"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", **options))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), START_TIMEOUT_S)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def reads(**arguments: Any) -> bool:
    """Whether a client that is configured so reads the reference table's fifth LR."""
    with Preheat(**{"start_timeout_s": 0.5, **arguments}) as preheat:
        return preheat.create(SERVED_ALONE).lr(5) == 0.005


class Recorder:
    """An application that keeps the headers of requests, and refuses them."""

    def __init__(self) -> None:
        self.requests: list[dict[str, str]] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            query = scope["query_string"].decode()
            self.requests.append({**headers, "path": scope["path"], "query": query})
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body", "body": b""})


def test_a_unix_socket(tmp_path: Path) -> None:
    """A client connects to a socket file instead of the url's host."""
    path = str(tmp_path / "preheat.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with serving_on(listener):
            assert reads(url="http://preheat", unix_socket=path)


def test_a_proxy_of_the_environment_does_not_win_over_a_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP_PROXY is for whatever has no other way to its host."""
    path = str(tmp_path / "preheat.sock")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        with serving_on(listener):
            assert reads(url="http://preheat", unix_socket=path)


# httpcore leaves the socket of a failed connection to the garbage collector, which says so
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    """A missing socket file is a service that is away."""
    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        reads(url="http://preheat", unix_socket=str(tmp_path / "none.sock"))
    gc.collect()


def test_a_certificate_authority_of_ones_own(tmp_path: Path) -> None:
    """An authority is trusted when it is named, and not otherwise."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    name = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with serving_on(listener, ssl_keyfile=key, ssl_certfile=certificate):
            assert reads(url=url, ca_file=certificate)
            with pytest.raises(ServiceUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                reads(url=url)


@pytest.mark.parametrize("is_said", [True, False])
def test_a_proxy(monkeypatch: pytest.MonkeyPatch, is_said: bool) -> None:
    """A proxy is an argument or comes from the environment, where NO_PROXY is heeded."""
    recorder = Recorder()
    with serving(recorder) as proxy:
        if not is_said:
            monkeypatch.setenv("HTTP_PROXY", proxy)
        with pytest.raises(Exception, match="403"):
            reads(url="http://preheat.invalid", **({"proxy": proxy} if is_said else {}))
        assert recorder.requests[0]["host"] == "preheat.invalid"
        if not is_said:
            monkeypatch.setenv("NO_PROXY", "preheat.invalid")
            with pytest.raises(ServiceUnavailable):
                reads(url="http://preheat.invalid")
            assert len(recorder.requests) == 1


@pytest.mark.parametrize(("headers", "name"), [({}, None), ({"Host": "preheat"}, "preheat")])
def test_the_host_of_an_ipv6_address_has_brackets(headers: dict[str, str], name: str | None) -> None:
    """Host is `[::1]:port` (RFC 9110 §7.2, RFC 3986 §3.2.2), unless another one is given."""
    recorder = Recorder()
    with socket.socket(socket.AF_INET6) as listener:
        listener.bind(("::1", 0))
        host = f"[::1]:{listener.getsockname()[1]}"
        with serving_on(listener, recorder), pytest.raises(RequestRefused):
            reads(url=f"http://me@{host}", headers=headers)
    assert recorder.requests[0]["host"] == (name or host)


def test_the_path_of_an_address_is_escaped() -> None:
    """What a URL cannot hold goes out escaped (RFC 3986 §2.1)."""
    recorder = Recorder()
    with serving(recorder) as url, Preheat(f"{url}/a b/ü", start_timeout_s=5) as preheat, pytest.raises(RequestRefused):
        preheat.schedule("f" * 32)
    assert recorder.requests[0]["path"].startswith("/a b/ü/v1/schedules/")
    assert recorder.requests[0]["query"] == "lint=false"


def test_opening_by_id_asks_for_no_lint() -> None:
    """The service need not compute the whole curve for a trainer that reads one window."""
    recorder = Recorder()
    with serving(recorder) as url, Preheat(url, start_timeout_s=5) as preheat, pytest.raises(RequestRefused):
        preheat.schedule("f" * 32)
    assert (recorder.requests[0]["path"], recorder.requests[0]["query"]) == (f"/v1/schedules/{'f' * 32}", "lint=false")


def test_token_and_headers_are_sent() -> None:
    """Each request has the token and the headers, and asks for nothing compressed."""
    recorder = Recorder()
    with serving(recorder) as url:
        with pytest.raises(Exception, match="403"):
            reads(url=url, token="sesame", headers={"X-Team": "vision"})  # noqa: S106 - opens nothing
        sent = recorder.requests[0]
    assert (sent["authorization"], sent["x-team"], sent["accept-encoding"]) == ("Bearer sesame", "vision", "identity")


@pytest.mark.parametrize("bytes_per_s", [20, 400])
def test_a_dribble_ends_with_the_deadline(url: str, bytes_per_s: int) -> None:
    """Headers and bodies of which each byte is in time, but not all are, end with the deadline."""
    with proxy_loop() as loop, proxied(loop, url) as proxy:
        proxy.set(Fault(bytes_per_s=bytes_per_s))
        with Preheat(proxy.url, timeout_s=0.5, start_timeout_s=5):
            started = time.monotonic()
            with pytest.raises(ServiceUnavailable, match=r"took too long|ReadTimeout"):
                Transport(configured({"url": proxy.url, "timeout_s": 0.5})).request("GET", "/openapi.json", "*/*")
            assert 0.4 < time.monotonic() - started < waited_s(0.5) + BUSY_S


class Endless:
    """An application whose answers have no end; `sent` counts their bytes."""

    def __init__(self, **headers: str) -> None:
        self._headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await receive()
        gone = asyncio.ensure_future(receive())
        while not gone.done() and self.sent < 200_000_000:
            await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
            self.sent += 65_536
            await asyncio.sleep(0)
        gone.cancel()


@pytest.mark.parametrize(
    ("headers", "message", "most"),
    [
        ({}, "more than the 16000000 bytes that were expected", 40_000_000),
        ({"content_encoding": "gzip"}, "gzip-compressed, which was not asked for", 20_000_000),
    ],
)
def test_an_answer_without_end_is_not_read_to_its_end(headers: dict[str, str], message: str, most: int) -> None:
    """An endless or a compressed answer is left after what sockets hold beyond the bound."""
    endless = Endless(**headers)
    with serving(endless) as url, Preheat(url, start_timeout_s=2, timeout_s=20) as preheat:
        schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
        wait_until(lambda: schedule.status.last_error is not None, 30)
        assert message in str(schedule.status.last_error)
        per_request = endless.sent / schedule.status.counters.requests
        assert per_request < most


class Busy:
    """An application that says when to come again, and notes when it was asked."""

    def __init__(self, retry_after: Callable[[float], str], clock_s: float) -> None:
        self._retry_after, self._clock_s = retry_after, clock_s
        self.asked: list[float] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            self.asked.append(time.monotonic())
            now = time.time() + self._clock_s
            texts = {"date": email.utils.formatdate(now, usegmt=True), "retry-after": self._retry_after(now)}
            headers = [(name.encode(), text.encode()) for name, text in texts.items()]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("clock_s", [0.0, 3.2e7, -3.2e7])
@pytest.mark.parametrize(
    "retry_after", [lambda _: "3", lambda now: email.utils.formatdate(now + 3, usegmt=True)], ids=["seconds", "date"]
)
def test_retry_after_is_waited_for_in_both_forms(retry_after: Callable[[float], str], clock_s: float) -> None:
    """Seconds and dates are kept, also by a clock a year off; without them a second is the longest."""
    busy = Busy(retry_after, clock_s)
    with serving(busy, date_header=False) as url, Preheat(url, start_timeout_s=0.1) as preheat:
        preheat.create(REFERENCE_SPEC, fallback=0.5)
        wait_until(lambda: len(busy.asked) == 2, 30)
    assert 2.9 < busy.asked[1] - busy.asked[0] < waited_s(3) + BUSY_S


def test_a_name_and_a_password_in_an_address_are_sent() -> None:
    """They are the service's Authorization or the proxy's Proxy-Authorization, and the address's path comes first."""
    recorder = Recorder()
    with serving(recorder) as url:
        for options in (
            {"url": url.replace("//", "//me:open%20sesame@") + "/under/"},
            {"url": "http://preheat.invalid", "proxy": url.replace("//", "//me:open%20sesame@")},
        ):
            with pytest.raises(RequestRefused):
                reads(**options)
    basic = "Basic bWU6b3BlbiBzZXNhbWU="
    direct, proxied_request = recorder.requests
    assert (direct["authorization"], direct["path"]) == (basic, "/under/v1/schedules")
    assert proxied_request["proxy-authorization"] == basic


class Forgetful:
    """A service that has one schedule, until it forgets it; `posts` counts the specs that it was given."""

    def __init__(self) -> None:
        self.known, self.next_id, self.status = "", "a" * 32, 404
        self.posts, self.total_iterations = 0, 10**6
        self.problem: dict[str, Any] = {"type": "urn:preheat:lost", "title": "lost"}
        self._spec: dict[str, Any] = {}

    def forget(self, status: int, next_id: str) -> None:
        """Refuses what it had from now on; the spec, posted again, has this id."""
        self.known, self.status, self.next_id = "", status, next_id

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] == "http":
            status, headers, body = self._answer(scope, await receive())
            pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": status, "headers": pairs})
            await send({"type": "http.response.body", "body": body})

    def _answer(self, scope: Any, message: Any) -> tuple[int, dict[str, str], bytes]:
        if scope["method"] == "POST":
            self.posts += 1
            self.known, self._spec = self.next_id, json.loads(message["body"])
            return self._schedule()
        _, _, _, schedule_id, *rest = scope["path"].split("/")
        if schedule_id != self.known:
            return self.status, {"content-type": "application/problem+json"}, json.dumps(self.problem).encode()
        if rest == ["lr"]:
            query = parse_qs(scope["query_string"].decode())
            start, stop = int(query["start"][0]), int(query["stop"][0])
            headers = {"content-location": f"{scope['path']}?start={start}&stop={stop}&step=1"}
            return 200, headers, npy([n / 10**9 for n in range(start, stop)])
        return (200, {"content-type": "image/png"}, b"a picture") if rest else self._schedule()

    def _schedule(self) -> tuple[int, dict[str, str], bytes]:
        content = {
            "id": self.known,
            "spec": self._spec,
            "total_iterations": self.total_iterations,
            "groups": [{"name": "default"}],
            "columns": [{"group": "default", "hyperparameter": "lr"}],
        }
        return 200, {}, json.dumps(content).encode()


LOST = pytest.mark.parametrize(("status", "next_id"), [(404, "a" * 32), (409, "a" * 32), (409, "b" * 32)])
MILLION = {"target_lr": 0.1, "total_iterations": 10**6}


class TestLost:
    """A service that has lost a schedule (404), or whose torch is another (409), is given its spec again."""

    @LOST
    @pytest.mark.parametrize("by_id", [False, True])
    def test_windows_and_pictures_of_a_lost_schedule(
        self, tmp_path: Path, status: int, next_id: str, by_id: bool
    ) -> None:
        """The spec is posted once for a loss, whether the schedule was opened by spec or by id."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, window=20, on_outage="raise", timeout_s=30) as preheat:
            schedule = preheat.create(MILLION)
            if by_id:
                schedule = preheat.schedule(schedule.id)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(status, next_id)
            posts = app.posts
            assert schedule.lr(500_000) == 500_000 / 10**9
            schedule.plot(tmp_path / "plot.png")
            assert schedule.lr(900_000) == 900_000 / 10**9
            assert app.posts == posts + 1
            app.forget(status, next_id)
            schedule.plot(tmp_path / "plot.png")
            assert app.posts == posts + 2
        assert (tmp_path / "plot.png").read_bytes() == b"a picture"

    @LOST
    def test_a_lost_schedule_that_is_opened_by_id(self, tmp_path: Path, status: int, next_id: str) -> None:
        """Its spec is known from the snapshot, which is in use until the service has it again."""
        app = Forgetful()
        with serving(app) as url:
            with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
                known = preheat.schedule(preheat.create(MILLION).id)
                wait_until(lambda: known.status.counters.snapshots == 1, 30)
            app.forget(status, next_id)
            with Preheat(url, snapshot_dir=str(tmp_path)) as preheat:
                schedule = preheat.schedule("a" * 32)
                assert schedule.lr(7) == 7 / 10**9
                wait_until(lambda: schedule.status.state == "READY", 30)
                assert (schedule.id, schedule.lr(900_000)) == (next_id, 900_000 / 10**9)

    @pytest.mark.parametrize("status", [404, 409])
    def test_a_refusal_that_is_not_the_services_is_no_loss(self, tmp_path: Path, status: int) -> None:
        """A proxy's error page has no problem document: nothing is posted."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, timeout_s=30) as preheat:
            schedule = preheat.create(MILLION)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(status, "a" * 32)
            app.problem = {"title": "from a proxy"}
            with pytest.raises(RequestRefused, match=f"from a proxy .{status}"):
                schedule.plot(tmp_path / "plot.png")
            assert app.posts == 1

    def test_a_spec_that_has_become_another_schedule_is_refused(self) -> None:
        """A service that makes a schedule of another length of the same spec must not be read from."""
        app = Forgetful()
        with serving(app) as url, Preheat(url, window=20, on_outage="raise", timeout_s=0.5) as preheat:
            schedule = preheat.create(MILLION)
            wait_until(lambda: schedule.status.counters.windows == 16, 30)
            app.forget(409, "b" * 32)
            app.total_iterations = 500_000
            with pytest.raises(ServiceUnavailable, match=r"made schedule b+ of the spec of a+"):
                schedule.lr(400_000)
