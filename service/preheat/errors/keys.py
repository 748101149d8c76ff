"""Errors of keys and their limits: who may send a request, and how often."""

from http import HTTPStatus
from typing import Literal

from preheat.errors.root import PreheatError, shown

_CHALLENGE = 'Bearer realm="preheat"'
_REFUSALS = {
    "malformed": "the key is malformed: one header is needed, Authorization: Bearer KEY, with the key as it was made",
    "unknown": "the key is not known here, or was revoked",
    "expired": "the key has expired",
}


class KeyRequired(PreheatError):
    """A request without a key, where the service asks for one."""

    status, kind, title = HTTPStatus.UNAUTHORIZED, "key-required", "A key is required"

    def __init__(self) -> None:
        super().__init__("this service asks for a key: Authorization: Bearer KEY (in the client: token, PREHEAT_TOKEN)")

    @property
    def headers(self) -> dict[str, str]:
        """The challenge without an error, since no attempt was made (RFC 6750 §3.1)."""
        return {"www-authenticate": _CHALLENGE}


class KeyRefused(PreheatError):
    """A key that is malformed, unknown (as a revoked one is) or expired; `reason` is one of these words."""

    status, kind, title = HTTPStatus.UNAUTHORIZED, "key-refused", "The key is refused"

    def __init__(self, reason: Literal["malformed", "unknown", "expired"]) -> None:
        self.reason = reason
        super().__init__(_REFUSALS[reason], reason=reason)

    @property
    def headers(self) -> dict[str, str]:
        """The challenge with the error that RFC 6750 has for all of these."""
        return {"www-authenticate": f'{_CHALLENGE}, error="invalid_token", error_description="{self}"'}


class ScopeMissing(PreheatError):
    """A key without the scope that the route needs; `scope` names it."""

    status, kind, title = HTTPStatus.FORBIDDEN, "scope-missing", "The key lacks a scope"

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"this needs a key with the scope {scope}, which this key has not", scope=scope)

    @property
    def headers(self) -> dict[str, str]:
        """The challenge with the scope."""
        return {"www-authenticate": f'{_CHALLENGE}, error="insufficient_scope", scope="{self.scope}"'}


class KeysMissing(PreheatError):
    """A request that came from elsewhere to a service that has no keys: it answers on the loopback address alone."""

    status, kind, title = HTTPStatus.FORBIDDEN, "keys-missing", "This service has no keys"

    def __init__(self) -> None:
        super().__init__(
            "without any key this service answers on its loopback address alone: its operator makes a key "
            "(preheat keys make), or starts it --without-keys"
        )


class HostNotAllowed(PreheatError):
    """A request to a service without keys under a name that is none of its loopback address."""

    status, kind, title = HTTPStatus.MISDIRECTED_REQUEST, "host-not-allowed", "Not a name of this service"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Host ({shown(host)}) is no name of the loopback address, on which a service without keys answers: a web "
            "page may be behind the request. Where a proxy sends it, put the name into allowed_hosts "
            "(PREHEAT_ALLOWED_HOSTS), or make a key (preheat keys make)",
            setting="allowed_hosts",
        )


class RateLimited(PreheatError):
    """More requests of one key, or without keys of one address, than rate_limit_per_s allows."""

    status, kind, title = HTTPStatus.TOO_MANY_REQUESTS, "rate-limited", "Too many requests"

    def __init__(self, per_s: float, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(
            f"requests must not exceed rate_limit_per_s ({per_s:g}): ask again in {wait_s} s, or for windows of many "
            "iterations at once",
            setting="rate_limit_per_s",
            limit=per_s,
        )

    @property
    def headers(self) -> dict[str, str]:
        """When to ask again."""
        return {"retry-after": str(self.wait_s)}
