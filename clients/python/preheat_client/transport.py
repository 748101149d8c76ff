"""Requests to the service, bounded in time and size, and what becomes of their failures."""

import email.utils
import json
import math
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from preheat_client.bounded_stream import BoundedTransport, Deadline
from preheat_client.configuration import Configuration
from preheat_client.errors import InvalidSpec, PreheatError, RequestRefused, ScheduleNotFound, ServiceUnavailable

MAX_BYTES = 16_000_000
_KEEPALIVE_S = 2.0  # less than servers do, so that no request goes out on a connection that is being closed
_TOO_MANY_REQUESTS, _SERVER_ERROR, _NOT_FOUND, _UNPROCESSABLE = 429, 500, 404, 422
_TIME_OVER, _EARLY = 408, 425
_MAY_PASS = {_TIME_OVER, _EARLY, _TOO_MANY_REQUESTS}


@dataclass(frozen=True)
class Answer:
    """A success: its headers and its whole body."""

    headers: httpx.Headers
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises ServiceUnavailable if it is none."""
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "nothing")
            raise ServiceUnavailable(f"the service answered {kind} where JSON was expected") from error
        if not isinstance(content, dict):
            raise ServiceUnavailable(f"the service answered {type(content).__name__} where an object was expected")
        return content


class Transport:
    """HTTP to one service. Used by the client's thread alone, but for `close`.

    A request is over after `timeout_s`, from looking up the name to the last byte. An answer that is compressed, though
    that was not asked for, or longer than was expected is not read to its end.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._deadline = Deadline()
        self._http: httpx.Client | None = None

    def request(
        self,
        method: str,
        path: str,
        accept: str,
        parameters: Mapping[str, int | str] | None = None,
        *,
        content: object = None,
        max_bytes: int = MAX_BYTES,
    ) -> Answer:
        """The answer to a request. Raises ServiceUnavailable or RequestRefused, nothing else."""
        self._deadline.at = time.monotonic() + self._configuration.timeout_s
        headers = {"accept": accept} | ({} if content is None else {"content-type": "application/json"})
        body = None if content is None else json.dumps(content)
        try:
            with self._client().stream(method, path, params=parameters, headers=headers, content=body) as response:
                answer = Answer(response.headers, _body(response, max_bytes))
        except PreheatError:
            raise
        except Exception as error:
            address = self._configuration.address
            raise ServiceUnavailable(f"no answer from {address}: {type(error).__name__}: {error}") from error
        if not response.is_success:
            raise _refusal(response.status_code, response.reason_phrase, answer)
        return answer

    def disconnect(self) -> None:
        """Closes all connections; the next request opens one."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def forget(self) -> None:
        """Leaves all connections to the process that this one was forked from."""
        self._http = None
        self._deadline = Deadline()

    def close(self) -> None:
        """Makes a request that is under way fail at once, from any thread."""
        self._deadline.cut()

    def _client(self) -> httpx.Client:
        if self._http is None:
            self._http = _http_client(self._configuration, self._deadline)
        return self._http


def _http_client(configuration: Configuration, deadline: Deadline) -> httpx.Client:
    headers = {"accept-encoding": "identity", **configuration.headers}
    if configuration.token:
        headers["authorization"] = f"Bearer {configuration.token}"
    transport = BoundedTransport(
        deadline,
        verify=_verify(configuration),
        proxy=configuration.proxy or _proxy_of_environment(configuration.url),
        uds=configuration.unix_socket,
        limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_S),
    )
    return httpx.Client(
        base_url=configuration.url, timeout=configuration.timeout_s, headers=headers, transport=transport
    )


def _verify(configuration: Configuration) -> ssl.SSLContext | bool:
    if configuration.ssl_context is not None:
        return configuration.ssl_context
    if configuration.ca_file:
        return ssl.create_default_context(cafile=configuration.ca_file)
    return configuration.url.startswith("https")  # reading all authorities takes longer than a request


def _proxy_of_environment(url: str) -> str | None:
    """What httpx takes from the environment if it is not given a transport."""
    parts = urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _body(response: httpx.Response, max_bytes: int) -> bytes:
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise ServiceUnavailable(f"the service answered {encoding}-compressed, which was not asked for")
    body = bytearray()
    for part in response.iter_raw():
        body += part
        if len(body) > max_bytes:
            raise ServiceUnavailable(f"the service answered more than the {max_bytes} bytes that were expected")
    return bytes(body)


def _refusal(status: int, reason: str, answer: Answer) -> PreheatError:
    """Tells what may pass (408, 425, 429, 5xx) from what will not (any other refusal)."""
    problem = _problem(reason, answer)
    if status in _MAY_PASS or status >= _SERVER_ERROR:
        return ServiceUnavailable(f"the service answered {status}: {problem.get('detail', reason)}", _wish_s(answer))
    kinds = {_NOT_FOUND: ScheduleNotFound, _UNPROCESSABLE: InvalidSpec}
    kind = kinds.get(status, RequestRefused) if "type" in problem else RequestRefused
    return kind(status, problem)


def _problem(reason: str, answer: Answer) -> dict[str, Any]:
    try:
        return answer.json_object()
    except ServiceUnavailable:
        return {"title": reason, "detail": answer.body[:200].decode(errors="replace")}


def _wish_s(answer: Answer) -> float | None:
    """Retry-After in seconds, from either of its forms (RFC 9110 §10.2.3); a date counts from the service's Date."""
    text = answer.headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        then, now = _timestamp(text), _timestamp(answer.headers.get("date", ""))
        seconds = math.nan if then is None else then - (time.time() if now is None else now)
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _timestamp(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None
