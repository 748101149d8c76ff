"""HTTP: requests to one service, bounded in time and size, and what becomes of failures."""

import contextlib
import email.utils
import json
import math
import socket
import ssl
import time
import urllib.request
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlencode, urlsplit

import httpcore

from preheat_client._core.configuration import Configuration
from preheat_client._core.version import HEADER, check_version
from preheat_client.errors import (
    REFUSALS,
    InvalidSpec,
    PreheatError,
    RequestRefused,
    RunOccupied,
    ServiceUnavailable,
)

_MAX_BYTES = 16_000_000
_PACKED_FROM_BYTES = 2_000  # below that a packet is not saved
_KEEPALIVE_S = 2.0  # less than servers do, so that no request goes out on a connection that is being closed
_SUCCESS, _UNPROCESSABLE, _SERVER_ERROR = range(200, 300), 422, 500
_RETRYABLE = {408, 425, 429}
_PAGE = "a page of HTML, which Preheat never sends: is the address right, and is a proxy before it?"
_IN_PATHS = "/%:@!$&'()*+,;="  # stands for itself in a path (RFC 3986 §3.3), and what is escaped already


@dataclass(frozen=True)
class Answer:
    """An answer's headers and its whole body."""

    headers: dict[str, str]
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ServiceUnavailable if it is not one."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "nothing")
            raise ServiceUnavailable(f"the service answered {kind} where JSON was expected") from error
        if not isinstance(content, dict):
            raise ServiceUnavailable(f"the service answered {type(content).__name__} where an object was expected")
        return content


class Transport:
    """Requests to one service. Used by the client's thread alone, but for `close`.

    A request is over after `timeout_s`, but for the time that looking up the name takes, which nothing bounds, and for
    connecting, where each address of the name may take that long. An answer that is compressed, though that was not
    asked for, or longer than was expected is not read to its end.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._url = urlsplit(configuration.address)
        self._headers = configuration.request_headers
        if self._url.netloc.startswith("["):  # httpcore would write the Host of an IPv6 address without its brackets
            self._headers = {"host": self._url.netloc} | self._headers
        self._backend = DeadlineBackend()
        self._pool: httpcore.ConnectionPool | None = None

    def request(
        self,
        method: str,
        path: str,
        accept: str = "application/json",
        parameters: Mapping[str, int | str] | None = None,
        max_bytes: int = _MAX_BYTES,
        *,
        content: object = None,
        may_pack: bool = False,
    ) -> Answer:
        """The answer to a request. Raises ServiceUnavailable or RequestRefused, nothing else.

        `may_pack`: a long body is compressed with gzip, which the service takes of reports alone.
        """
        headers, body = self._headers | {"accept": accept}, None
        if content is not None:
            headers["content-type"], body = "application/json", json.dumps(content).encode()
        if may_pack and body is not None and len(body) >= _PACKED_FROM_BYTES:
            headers["content-encoding"], body = "gzip", zlib.compress(body, 1, wbits=zlib.MAX_WBITS | 16)
        try:
            if self._pool is None:  # before the deadline begins: reading certificates takes its time
                self._pool = _pool(self._configuration, self._url, self._backend)
            self._backend.begin(self._configuration.timeout_s)
            raw = [(name.encode(), value.encode()) for name, value in headers.items()]
            with self._pool.stream(method, self._target(path, parameters), headers=raw, content=body) as response:
                names = {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in response.headers}
                answer = Answer(names, _body(response, names.get("content-encoding", "identity"), max_bytes))
        except PreheatError:
            raise
        except Exception as error:  # httpcore's, OSError, h11's, idna's: all of them are no answer
            address = self._configuration.address
            raise ServiceUnavailable(f"no answer from {address}: {type(error).__name__}: {error}") from error
        check_version(answer.headers.get(HEADER))
        if response.status not in _SUCCESS:
            reason = response.extensions.get("reason_phrase", b"").decode("latin-1")
            raise _refusal(response.status, reason, answer)
        return answer

    def disconnect(self) -> None:
        """Closes all connections; the next request opens one."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def forget(self) -> None:
        """Leaves all connections to the process that this one was forked from."""
        self._pool = None  # not closed: TLS would end the parent's connections, whose sockets these are
        self._backend = DeadlineBackend()

    def close(self) -> None:
        """Makes a request that is under way fail at once, from any thread."""
        self._backend.cut()

    def _target(self, path: str, parameters: Mapping[str, int | str] | None) -> httpcore.URL:
        url = self._url
        target = quote(url.path.rstrip("/") + path, _IN_PATHS) + (f"?{urlencode(parameters)}" if parameters else "")
        host = str(url.hostname).encode("ascii" if str(url.hostname).isascii() else "idna")
        return httpcore.URL(scheme=url.scheme.encode(), host=host, port=url.port, target=target.encode())


class DeadlineBackend(httpcore.NetworkBackend):
    """Connections that keep the deadline of the whole request under way, however slowly the bytes trickle in."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._at = 0.0
        self._is_cut = False
        self._waiting: httpcore.NetworkStream | None = None

    def begin(self, timeout_s: float) -> None:
        """Begins a request; after `cut` it fails at once."""
        self._at = time.monotonic() + timeout_s
        if self._is_cut:  # looked at last: `cut` sets it first, so one of the two wins
            self._at = 0.0

    def left(
        self, timeout_s: float | None, error: type[Exception], waiting: httpcore.NetworkStream | None = None
    ) -> float:
        """Seconds that one wait, on a stream, may take. Raises `error` if there are none."""
        self._waiting = waiting  # before the time is looked at: `cut` sets the time, and then wakes the stream
        left = self._at - time.monotonic()
        if left <= 0:
            raise error("the request took too long")
        return left if timeout_s is None else min(timeout_s, left)

    def cut(self) -> None:
        """Wakes whatever waits on a connection, from another thread: it fails at once."""
        self._is_cut = True
        self._at = 0.0
        connection = self._waiting and self._waiting.get_extra_info("socket")
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        """A TCP connection."""
        timeout = self.left(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._backend.connect_tcp(host, port, timeout, *args, **options), self)

    def connect_unix_socket(self, path: str, timeout: float | None = None, *args: Any, **options: Any) -> Any:
        """A connection to a socket file."""
        timeout = self.left(timeout, httpcore.ConnectTimeout)
        return _BoundedStream(self._backend.connect_unix_socket(path, timeout, *args, **options), self)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, backend: DeadlineBackend) -> None:
        self._stream, self._backend = stream, backend

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._backend.left(timeout, httpcore.ReadTimeout, self._stream))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._backend.left(timeout, httpcore.WriteTimeout, self._stream))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        timeout = self._backend.left(timeout, httpcore.ConnectTimeout, self._stream)
        return _BoundedStream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._backend)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _pool(configuration: Configuration, url: SplitResult, backend: DeadlineBackend) -> httpcore.ConnectionPool:
    options: dict[str, Any] = {
        "ssl_context": _ssl_context(configuration),
        "keepalive_expiry": _KEEPALIVE_S,
        "network_backend": backend,
    }
    proxy = configuration.proxy
    if proxy is None and configuration.unix_socket is None:  # a socket is named for this client, HTTP_PROXY for all
        proxy = _proxy_of_environment(url)
    if proxy is None:
        return httpcore.ConnectionPool(uds=configuration.unix_socket, **options)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.username or parts.password:
        options["proxy_auth"] = (unquote(parts.username or "").encode(), unquote(parts.password or "").encode())
    kind = httpcore.SOCKSProxy if parts.scheme.startswith("socks5") else httpcore.HTTPProxy
    return kind(parts.geturl(), **options)


def _ssl_context(configuration: Configuration) -> ssl.SSLContext | None:
    """None where there is no TLS: reading all authorities takes longer than a request."""
    if configuration.ssl_context is not None:
        return configuration.ssl_context
    if configuration.ca_file:
        return ssl.create_default_context(cafile=configuration.ca_file)
    if not configuration.url.lower().startswith("https:"):
        return None
    import httpx  # noqa: PLC0415 - takes longer than all else here, and only TLS needs to know whom httpx trusts

    return httpx.create_ssl_context()


def _proxy_of_environment(url: SplitResult) -> str | None:
    """HTTP_PROXY, HTTPS_PROXY or ALL_PROXY, unless NO_PROXY names the host."""
    if urllib.request.proxy_bypass(url.netloc):
        return None
    proxies = urllib.request.getproxies()  # what httpx asks, so that all tools of a job agree
    return proxies.get(url.scheme) or proxies.get("all")


def _body(response: httpcore.Response, encoding: str, max_bytes: int) -> bytes:
    if encoding != "identity":
        raise ServiceUnavailable(f"the service answered {encoding}-compressed, which was not asked for")
    body = bytearray()
    for part in response.iter_stream():  # raw: nothing is unpacked
        body += part
        if len(body) > max_bytes:
            raise ServiceUnavailable(f"the service answered more than the {max_bytes} bytes that were expected")
    return bytes(body)


def _refusal(status: int, reason: str, answer: Answer) -> PreheatError:
    """Tells what may pass (408, 425, 429, 5xx) from what will not (any other refusal)."""
    try:
        problem = answer.json_object()
    except ServiceUnavailable:
        is_page = answer.headers.get("content-type", "").startswith("text/html")
        problem = {"title": reason, "detail": _PAGE if is_page else answer.body[:200].decode(errors="replace")}
    if status in _RETRYABLE or status >= _SERVER_ERROR:
        detail = problem.get("detail", reason)
        return ServiceUnavailable(f"the service answered {status}: {detail}", _retry_after_s(answer))
    known = REFUSALS.get(str(problem.get("type")))
    if known is None:
        known = InvalidSpec if status == _UNPROCESSABLE and "type" in problem else RequestRefused
    refusal = known(status, problem)
    if isinstance(refusal, RunOccupied):
        refusal.retry_after_s = _retry_after_s(answer)
    return refusal


def _retry_after_s(answer: Answer) -> float | None:
    """Retry-After in seconds, from either of its forms (RFC 9110 §10.2.3); a date counts from the service's Date."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        then, now = _timestamp(text), _timestamp(answer.headers.get("date", ""))
        # Two clocks of which one is wrong differ by anything; two texts of one clock do not.
        seconds = math.nan if then is None else then - (time.time() if now is None else now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _timestamp(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
