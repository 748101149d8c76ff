"""The toy service of live runs over HTTP, as the wire contract has it; and whatever goes wrong on the way."""

import gzip
import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from faults.fake_service import npy
from support.toy_runs import RUN, Refused, ToyRun, schedule_id

SPEC = {"target_lr": 0.1, "total_iterations": 100_000, "param_groups": [{"warmup": {"iterations": 100_000}}]}
"""A group's own warm-up is nothing that a client computes in an outage."""


class FakeRuns:
    """An ASGI application of one run; `is_away` makes it answer 503 to everything, `loses` drops answers to a path."""

    def __init__(self, toy: ToyRun) -> None:
        self.toy, self.is_away, self.spec = toy, False, SPEC
        self.loses: set[str] = set()
        self.delay_s = 0.0
        self.hidden: set[int] = set()
        """Revisions whose schedules are not answered."""
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[str, str | None, int]] = []
        """The last part of the path, Content-Encoding and length of the body, of each request."""
        self._lock = threading.Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        encoding = dict(scope["headers"]).get(b"content-encoding", b"").decode() or None
        self.sent.append((scope["path"].rsplit("/", 1)[-1], encoding, len(body)))
        body = gzip.decompress(body) if encoding == "gzip" else body
        status, content, headers = self._answer(scope, json.loads(body) if body else {})
        if scope["path"].rsplit("/", 1)[-1] in self.loses:
            return  # the connection ends without an answer
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": content})

    def asked(self, last: str) -> list[dict[str, Any]]:
        """The bodies of all requests whose path ends so."""
        return [body for path, body in self.requests if path.rsplit("/", 1)[-1] == last]

    def _answer(self, scope: Any, body: dict[str, Any]) -> tuple[int, bytes, dict[str, str]]:
        path = scope["path"]
        time.sleep(self.delay_s)
        with self._lock:
            self.requests.append((path, body))
            if self.is_away:
                return _problem(503, "store-unavailable")
            try:
                if path.startswith("/v1/schedules/"):
                    return self._schedule(path, parse_qs(scope["query_string"].decode()))
                content = self._run(path, body, parse_qs(scope["query_string"].decode()))
            except Refused as refused:
                return _problem(refused.status, refused.kind, **refused.members)
            return 200, json.dumps(content).encode(), {"content-type": "application/json"}

    def _run(self, path: str, body: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
        parts = path.split("/")[3:]
        if not parts:
            if body["label"] == "differs":
                raise Refused(409, "run-differs", run=RUN, differences={"target_lr": {"run": 0.1, "yours": 0.2}})
            return {**self.toy.describe(), "label": body["label"]}
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "attempts": self.toy.attach,
            "windows": self.toy.window,
            "reports": self.toy.report,
            "close": lambda body: self.toy.close(int(parts[-2]), body),
            "changes": lambda _: {"changes": [_change(change) for change in self.toy.changes]},
        }
        if parts[-1] in answers:
            return answers[parts[-1]](body)
        start, stop = int(query["start"][0]), int(query["stop"][0])
        attempt = self.toy.attempts[int(query["attempt"][0]) - 1]
        return {"groups": [{"name": "default", "lr": [attempt.record[n] for n in range(start, stop)]}]}

    def _schedule(self, path: str, query: dict[str, list[str]]) -> tuple[int, bytes, dict[str, str]]:
        revision = int(path.split("/")[3], 16)
        if revision in self.hidden:
            return _problem(503, "busy")
        if not 1 <= revision <= self.toy.revision:
            return _problem(404, "schedule-not-found")
        total = self.toy.total_of(revision)
        if not path.endswith("/lr"):
            content = {
                "id": schedule_id(revision),
                "spec": {**self.spec, "total_iterations": total},
                "total_iterations": total,
                "groups": [{"name": "default"}],
                "columns": [{"group": "default", "hyperparameter": "lr"}],
                "lint": [],
            }
            return 200, json.dumps(content).encode(), {"content-type": "application/json"}
        start, stop = int(query["start"][0]), int(query["stop"][0])
        place = f"{path}?start={start}&stop={stop}&step=1"
        values = [self.toy.lr(revision, n) for n in range(start, stop)]
        return 200, npy(values), {"content-type": "application/x-npy", "content-location": place}


def _change(change: Any) -> dict[str, Any]:
    revisions = sorted(change.effects)
    return {
        "id": change.id,
        "operation": {"op": "scale", "factor": change.factor},
        "why": change.why,
        "author": "ann",
        "effect": change.effects[revisions[-1]],
        "status": "scheduled",
        "placements": [{"revision": revisions[0], "attempt": 1, "effect": 1, "kind": "accepted", "stop": None}],
    }


def _problem(status: int, kind: str, **members: Any) -> tuple[int, bytes, dict[str, str]]:
    problem = {"type": f"urn:preheat:{kind}", "title": kind, "status": status, "detail": f"{members}", **members}
    headers = {"content-type": "application/problem+json"}
    if kind == "occupied":
        headers["retry-after"] = str(members["again_after_s"])
    return status, json.dumps(problem).encode(), headers
