"""A service that answers what no service should: storms of statuses, garbage, and clocks that jump."""

import email.utils
import gzip
import io
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import numpy as np

ID = "f" * 32


@dataclass(frozen=True)
class Reply:
    """Status, body and headers."""

    status: int
    body: bytes
    headers: dict[str, str]


Trick = Callable[[Reply], Reply]


class FakeService:
    """An ASGI application that knows one schedule, said to be of `spec`; `trick` spoils the answers about its LRs."""

    def __init__(self, total_iterations: int, lr: Callable[[int], float]) -> None:
        self._total, self._lr = total_iterations, lr
        # A group's own warm-up is nothing that a client computes in an outage.
        group = {"warmup": {"iterations": total_iterations}}
        spec = {"target_lr": lr(total_iterations), "total_iterations": total_iterations, "param_groups": [group]}
        self.trick: Trick = unspoilt
        self.version: str | None = None
        """What it says of its version in each answer; None if it says nothing."""
        self.document: dict[str, Any] = {
            "id": ID,
            "spec": spec,
            "total_iterations": self._total,
            "groups": [{"name": "default"}],
            "columns": [{"group": "default", "hyperparameter": "lr"}],
        }
        """What it says of the schedule."""

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        reply = self.trick(self._window(scope)) if scope["path"].endswith("/lr") else self._document()
        headers = {"date": email.utils.formatdate(usegmt=True), **reply.headers}
        if self.version is not None:
            headers["preheat-version"] = self.version
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": reply.body})

    def _document(self) -> Reply:
        return Reply(200, json.dumps(self.document).encode(), {"content-type": "application/json"})

    def _window(self, scope: Any) -> Reply:
        query = parse_qs(scope["query_string"].decode())
        start, stop = int(query["start"][0]), int(query["stop"][0])
        place = f"{scope['path']}?start={start}&stop={stop}&step=1"
        values = [self._lr(n) for n in range(start, stop)]
        return Reply(200, npy(values), {"content-type": "application/x-npy", "content-location": place})


def npy(values: list[float]) -> bytes:
    """One column."""
    data = io.BytesIO()
    np.save(data, np.reshape(values, (-1, 1)))
    return data.getvalue()


def unspoilt(reply: Reply) -> Reply:
    """As it is."""
    return reply


def status(code: int, **headers: str) -> Trick:
    """Another status, with a problem document."""
    problem = json.dumps({"type": "urn:preheat:trouble", "title": "trouble", "status": code, "detail": "try later"})
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Reply(code, problem.encode(), {"content-type": "application/problem+json", **named})


def busy_until(seconds: float, clock_s: float = 0.0) -> Trick:
    """503 with a Retry-After that is a date, by a clock that is wrong by so many seconds."""

    def trick(_: Reply) -> Reply:
        now = time.time() + clock_s
        date, then = email.utils.formatdate(now, usegmt=True), email.utils.formatdate(now + seconds, usegmt=True)
        return Reply(503, b"", {"date": date, "retry-after": then})

    return trick


def with_body(change: Callable[[bytes], bytes], **headers: str) -> Trick:
    """Status and headers as they are, another body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda reply: Reply(reply.status, change(reply.body), {**reply.headers, **named})


def with_value(value: float) -> Trick:
    """One LR is another."""
    return with_body(lambda body: body[:-8] + struct.pack("<d", value))


def elsewhere(reply: Reply) -> Reply:
    """The right bytes, said to be those of another schedule."""
    return Reply(reply.status, reply.body, {**reply.headers, "content-location": "/v1/schedules/other/lr"})


GARBAGE: dict[str, Trick] = {
    "html": with_body(lambda _: b"<!doctype html><title>Sign in</title>", content_type="text/html"),
    "nothing": with_body(lambda _: b""),
    "nan": with_value(float("nan")),
    "infinity": with_value(float("inf")),
    "negative": with_value(-0.001),
    "one too few": with_body(lambda body: body[:-8]),
    "one too many": with_body(lambda body: body + body[-8:]),
    "float32": with_body(lambda body: body.replace(b"<f8", b"<f4")),
    "another schedule": elsewhere,
    "another window": with_body(lambda _: npy([0.5] * 3)),
    "gigantic": with_body(lambda body: body + bytes(5_000_000)),
    "bomb": with_body(lambda _: gzip.compress(bytes(50_000_000)), content_encoding="gzip"),
    "not compressed though it says so": with_body(lambda body: body, content_encoding="br"),
    "json": with_body(lambda _: b"[" * 100_000, content_type="application/json"),
    "redirect": lambda _: Reply(302, b"", {"location": "/login"}),
    "no content": lambda _: Reply(204, b"", {}),
}
"""Answers that cannot be used, by name."""
