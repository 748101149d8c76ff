"""Request ids: taken from X-Request-ID or made, and known to every log line while the request is answered."""

import itertools
import re
import secrets
from contextvars import ContextVar

from preheat.masking import has_token

HEADER = b"x-request-id"

_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_PROCESS = secrets.token_hex(8).encode()
_numbers = itertools.count(1)

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""The id of the request that is being answered here; threads that work for it see it too."""

current_trace_id: ContextVar[str | None] = ContextVar("current_trace_id", default=None)
"""The trace that this request is part of, as its traceparent header or our own tracing says."""


def new_request_id() -> bytes:
    """An id that no other request has: random for the process, counted within it."""
    return b"%s-%x" % (_PROCESS, next(_numbers))


def request_id_of(given: bytes | None) -> bytes:
    """The id that a client gave, if it is up to 128 letters, digits and `._:/+=@-` and no key; else a new one."""
    is_sane = given is not None and _SANE.fullmatch(given) and not has_token(given.decode())
    return given if given is not None and is_sane else new_request_id()


def trace_id_of(traceparent: bytes | None) -> str | None:
    """The trace id of a traceparent header (W3C Trace Context §3.2), None if it is absent or malformed."""
    match = _TRACEPARENT.fullmatch(traceparent) if traceparent is not None else None
    return match[1].decode() if match else None
