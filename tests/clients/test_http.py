"""The way to the service: proxies, sockets, certificates, headers, deadlines; and how all of it is configured."""

import asyncio
import email.utils
import gc
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from faults.control import BUSY_S, waited_s
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
        schedule = preheat.create(REFERENCE_SPEC, fallback=0.5)
        wait_until(lambda: len(busy.asked) == 2, 30)
        assert "503" in str(schedule.status.last_error)  # kept until here: a schedule that is dropped asks no more
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
