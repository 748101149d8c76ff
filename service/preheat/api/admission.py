"""Admission: who may send a request, by API key, scope and rate limit; and the middleware that refuses the others."""

import functools
import ipaddress
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from anyio import to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from preheat.api.access import Access, access_of, path_of
from preheat.api.keyring import KeyRing
from preheat.api.problems import error_problem
from preheat.errors import (
    HostNotAllowed,
    KeyRequired,
    KeysMissing,
    PreheatError,
    RateLimited,
    ScopeMissing,
    StoreUnavailable,
)
from preheat.keys import Key, RateLimiter, Rejected, Ring
from preheat.keys.token import bearer_token
from preheat.loopback import is_loopback, is_name_of_loopback
from preheat.settings import Settings

KEY_NAME = "preheat.key_name"
"""Where a request's scope has the name of the key that it came with, one that is refused too."""

_OUTCOME = "preheat.admission"

RawHeaders = list[tuple[bytes, bytes]]


class Admitted(NamedTuple):
    """A request that may go on: its key, if keys are asked for, and what its answer says about the rate limit."""

    key: Key | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Refused(NamedTuple):
    """A request that may not: the error, its key if it is one, and what its answer says about the rate limit."""

    error: PreheatError
    key: Key | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


_ADMITTED = Admitted()
_AUTHORIZATION = b"authorization"


class Admission:
    """Decides about each request by what is in memory: a few microseconds, nothing to wait for."""

    def __init__(
        self,
        settings: Settings,
        keyring: KeyRing,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.keyring = keyring
        self._asks = not settings.without_keys
        self._allowed_hosts = frozenset(settings.allowed_hosts)
        self._of_metrics: Access = "read" if settings.metrics_need_key else "anybody"
        self._per_s = settings.rate_limit_per_s
        self._limiter = RateLimiter(self._per_s, settings.rate_limit_burst) if self._per_s else None
        self._policy = (b"ratelimit-policy", self._limiter.policy.encode() if self._limiter else b"")
        self._clock, self._ticks = clock, ticks

    @property
    def is_ready(self) -> bool:
        """Whether enough is known to decide; if not, whoever asks waits for `keyring.begin`."""
        return not self._asks or self.keyring.is_running

    def access_of(self, method: str, path: str) -> Access:
        """Who may send a request, by the table and the settings."""
        return access_of(method, path, self._of_metrics)

    def admit(self, scope: Mapping[str, Any], access: Access) -> Admitted | Refused:
        """Whether a request may use what has this access."""
        if access == "anybody":
            return _ADMITTED
        outcome = self._by_key(scope, access) if self._asks else _ADMITTED
        if self._limiter is None or isinstance(outcome, Refused):
            return outcome
        caller = _address(scope) if outcome.key is None else outcome.key.prefix
        standing = self._limiter.take(caller, self._ticks())
        headers = (
            self._policy,
            (b"ratelimit", b'"requests";r=%d;t=%d' % (standing.remaining, standing.more_in_s)),
        )
        if not standing.is_within:
            return Refused(RateLimited(self._per_s, standing.more_in_s), outcome.key, headers)
        return Admitted(outcome.key, headers)

    def admit_once(self, scope: Scope, access: Access) -> Admitted | Refused:
        """As `admit`; the outcome stays in the scope, with the key's name, for whoever asks about the request again."""
        outcome: Admitted | Refused | None = scope.get(_OUTCOME)
        if outcome is None:
            outcome = scope[_OUTCOME] = self.admit(scope, access)
            if outcome.key is not None:
                scope[KEY_NAME] = outcome.key.name
        return outcome

    def admits_still(self, key: Key | None) -> bool:
        """Whether who was admitted with a key, or without one, may go on: of an answer that does not end by itself."""
        ring = self.keyring.ring
        if not self._asks or ring is None:
            return True
        return not ring.asks if key is None else ring.has(key, self._clock())

    def _by_key(self, scope: Mapping[str, Any], access: Access) -> Admitted | Refused:
        """Whether the key of a request lets it in; without one where the service has no keys."""
        ring = self.keyring.ring
        if ring is None:
            return Refused(self.keyring.error or StoreUnavailable("its keys were not read yet"))
        if not ring.asks:
            refusal = self._refusal_without_keys(scope)
            return _ADMITTED if refusal is None else Refused(refusal)
        token = bearer_token(scope["headers"])
        return Refused(KeyRequired()) if token is None else self._by_token(ring, token, access)

    def _by_token(self, ring: Ring, token: bytes, access: Access) -> Admitted | Refused:
        """Whether this token lets a request in."""
        now = self._clock()
        key = ring.judge(token, now)
        if isinstance(key, Rejected):
            if key.refusal.reason == "unknown" and not self.keyring.is_current:  # it may have been made meanwhile
                return Refused(StoreUnavailable("a key that is not known yet cannot be looked up"))
            return Refused(key.refusal, key.key)
        if access != "any key" and access not in key.granted:
            return Refused(ScopeMissing(access), key)
        self.keyring.note(key, now)
        return Admitted(key)

    def _refusal_without_keys(self, scope: Mapping[str, Any]) -> PreheatError | None:
        """Why a service that has no keys refuses a request, if it does.

        Any web page can reach the loopback address by a name of its own that resolves to it (DNS rebinding), and its
        browser takes both for one origin. It cannot reach a Unix socket, whose server has no port.
        """
        server: Any = scope.get("server")
        if not _is_local(server):
            return KeysMissing()
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        if host is None or server[1] is None or is_name_of_loopback(host, self._allowed_hosts):
            return None
        return HostNotAllowed(host.decode("latin-1"))


def key_of(scope: Mapping[str, Any]) -> Key | None:
    """The key with which a request was admitted, if it had to have one."""
    outcome: Admitted | None = scope.get(_OUTCOME)
    return None if outcome is None else outcome.key


class AdmissionMiddleware:
    """Refuses requests that `Admission` does not admit, by a problem document, and marks answers that a key got."""

    def __init__(self, app: ASGIApp, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a request or passes it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        access = self._admission.access_of(scope["method"], path_of(scope))
        if not self._admission.is_ready and access != "anybody":
            await to_thread.run_sync(self._admission.keyring.begin)
        outcome = self._admission.admit_once(scope, access)
        if isinstance(outcome, Refused):
            await error_problem(outcome.error)(scope, receive, _completing(send, scope, outcome))
        elif outcome is _ADMITTED:
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, _completing(send, scope, outcome))


def make_private(headers: RawHeaders) -> None:
    """Says that an answer is for the holder of a key.

    No cache that several share may keep it, and one of a browser asks with the key.
    """
    varies = _AUTHORIZATION
    for place, (name, value) in enumerate(headers):
        if name == b"cache-control":
            headers[place] = (name, _private(value))
        elif name == b"vary":
            varies = value + b", " + _AUTHORIZATION
    if varies is not _AUTHORIZATION:  # one line, as it was before
        headers[:] = [header for header in headers if header[0] != b"vary"]
    headers.append((b"vary", varies))


def _completing(send: Send, scope: Scope, outcome: Admitted | Refused) -> Send:
    async def send_completed(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = headers = list(message["headers"])
            headers.extend(outcome.headers)
            if isinstance(outcome, Admitted) and outcome.key is not None:
                make_private(headers)
        elif isinstance(outcome, Refused) and scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await send(message)

    return send_completed


@functools.lru_cache(16)
def _private(policy: bytes) -> bytes:
    """A Cache-Control for one reader alone."""
    if policy.startswith(b"public"):
        return b"private" + policy.removeprefix(b"public")
    return policy if policy == b"no-store" else b"private, " + policy


def _is_local(server: Any) -> bool:
    """Whether a connection came in at the loopback address or a Unix socket, as the server says (ASGI: `server`).

    That is what a service without keys goes by, whichever server runs it and however that was told to listen.
    """
    return server is not None and (server[1] is None or is_loopback(server[0]))


def _address(scope: Mapping[str, Any]) -> str:
    """Whom a limit without keys is for: an address, of IPv6 the network that one customer has (/64)."""
    client = scope.get("client")
    host = str(client[0]) if client else ""
    return host if ":" not in host else _network(host)


@functools.lru_cache(1024)
def _network(host: str) -> str:
    try:
        return str(ipaddress.ip_network((host.partition("%")[0], 64), strict=False))
    except ValueError:
        return host
