"""Mixed load: clients that ask a service for every kind of answer, make mistakes, hang up, and make and revoke keys."""

import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from after_schedulers import COMPOSITIONS, EXAMPLES, SHAPES, TOTAL, WARMUP
from preheat.keys import make_token
from preheat.store import Database, KeyStore
from support.keys import bearer
from support.sources import VALID

_LONG = {"type": "MultiplicativeLR", "lr_lambda": [0.9, 1.1] * 200}
_OF_ANY_LENGTH: list[Any] = [
    {"type": "CosineAnnealingLR"},
    {"type": "StepLR", "step_size": 7},
    {"type": "WSDLR"},
    _LONG,
]
_OF_FIFTY: list[Any] = [*EXAMPLES, *SHAPES, *COMPOSITIONS]
_SOURCES = [source for sources in VALID.values() for source in sources]
_FORMATS = ("application/json", "text/csv", "application/x-npy")
_PICTURES = ("svg", "png", "png?width_px=480&height_px=240", "png?width_px=1200&height_px=900")
"""Of few sizes: the largest comes early, and what it takes is kept by allocators for the next."""

_TARGETS = ("torch", "transformers", "optax", "keras", "deepspeed")
_HEAVY = {"target_lr": 0.1, "total_iterations": 10**7, "after_scheduler": _LONG}
"""A spec of which a sum takes longer than anybody waits for here."""

_KEY_EVERY_S, _HANG_UP_EVERY_S, _PATIENCE_S = 2.0, 0.1, 0.5


class Load:
    """What clients asked, by status and kind, and the answers that there should not have been.

    While `kills` is set they also hang up on work that is under way, which ends its process.
    """

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.asked = Counter[str]()
        self.wrong: list[str] = []
        self.kills = threading.Event()
        self.stopping = threading.Event()

    def note(self, kind: str, status: int, expected: tuple[int, ...], detail: str) -> None:
        """Counts an answer."""
        self.asked[f"{status} {kind}"] += 1
        if status not in expected:
            self.wrong.append(f"{kind}: {status} {detail[:300]}")


@contextmanager
def loaded(url: str, token: str, database_url: str, seed: int) -> Iterator[Load]:
    """Clients at work on a service; `token` is that of a key with every scope."""
    load = Load(url, token)
    works: list[Callable[[], None]] = [_Reader(load, seed + n).run for n in range(3)]
    works += [lambda: _hang_up(load, seed), lambda: _make_keys(load, database_url)]
    threads = [threading.Thread(target=_noted, args=(load, work)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        for thread in threads:
            thread.join()


def _noted(load: Load, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - told by whoever waits for the load, where somebody sees it
        load.wrong.append(repr(error))


class _Reader:
    """A client that makes a schedule, asks everything about it, and mostly deletes it."""

    def __init__(self, load: Load, seed: int) -> None:
        self._load, self._choice = load, random.Random(seed)
        self._http = httpx.Client(base_url=load.url, timeout=60, headers=bearer(load.token))

    def run(self) -> None:
        """Goes on until the load is to stop."""
        with self._http:
            other = None
            while not self._load.stopping.is_set():
                place, length = self._post()
                self._ask_about(place, length, other)
                self._ask_what_is_refused(place)
                self._ask_without_schedule()
                if self._choice.random() < 0.8:  # the others stay, as they do in a database that grows
                    self._ask("DELETE", place, "delete", expected=(204,))
                else:
                    other = place

    def _spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"target_lr": 0.1 + self._choice.random(), "label": f"soak {self._choice.random()}"}
        if self._choice.random() < 0.5:
            length, warmup, after = self._choice.randrange(500, 5_000), 100, _OF_ANY_LENGTH
        else:
            length, warmup, after = TOTAL, WARMUP, _OF_FIFTY
        spec |= {"total_iterations": length, "warmup": {"iterations": warmup}}
        return spec | {"after_scheduler": self._choice.choice(after)}

    def _post(self) -> tuple[str, int]:
        spec = self._spec()
        answer = self._ask("POST", "/v1/schedules", "post", body=spec, expected=(201,), accept=self._format())
        return answer.headers["location"], spec["total_iterations"]

    def _ask_about(self, place: str, length: int, other: str | None) -> None:
        for _ in range(20):
            self._ask("GET", f"{place}/lr/{self._choice.randrange(length)}", "point", expected=(200, 409))
        self._ask("GET", f"{place}?lint=false", "get")
        self._ask("GET", place, "lint")
        window = self._ask("GET", f"{place}/lr?step={self._choice.randrange(1, 5)}", "window", accept=self._format())
        tag = {"if-none-match": window.headers["etag"]}
        self._ask("GET", place + f"/lr?{window.url.query.decode()}", "again", headers=tag, expected=(200, 304))
        self._ask("GET", f"{place}/export?to={self._choice.choice(_TARGETS)}", "export", expected=(200, 422))
        self._ask("GET", f"{place}/sum", "sum")
        self._ask("GET", f"{place}/crossing?value={self._choice.random()}", "crossing")
        resumed = f"{place}/resume?iteration={self._choice.randrange(TOTAL)}&policy="
        policy = self._choice.choice(("keep", "rescale", "rewarm"))
        self._ask("POST", resumed + policy, "resume", body=self._spec(), expected=(200, 409, 422))
        if other is not None:
            self._ask("GET", f"/v1/diff?a={place[-32:]}&b={other[-32:]}", "diff")
        if self._choice.random() < 0.3:
            self._ask("GET", f"{place}/plot.{self._choice.choice(_PICTURES)}", "picture")

    def _ask_what_is_refused(self, place: str) -> None:
        self._ask("POST", "/v1/schedules", "refused", body={"target_lr": -1}, expected=(422,))
        self._ask("GET", f"{place}/lr?start={10**9}", "refused", expected=(422,))
        self._ask("GET", f"/{self._choice.random()}", "refused", expected=(404,))
        self._ask("GET", f"/v1/schedules/{self._choice.getrandbits(128):032x}", "refused", expected=(404,))
        self._ask("PUT", place, "refused", expected=(405,))
        self._ask("GET", place, "refused", headers=bearer(make_token()), expected=(401,))

    def _ask_without_schedule(self) -> None:
        for body in (self._spec(), {"target_lr": -1}):
            self._ask("POST", "/v1/lint", "lint", body=body)
        source = {"source": self._choice.choice(_SOURCES), "total_iterations": self._choice.randrange(100, 10**6)}
        self._ask("POST", "/v1/import", "import", body=source, expected=(200, 422))
        self._ask("GET", f"/v1/schedules?limit=20&label_contains={self._choice.randrange(100)}", "list")
        for path in ("/readyz", "/metrics", "/v1/recipes"):
            self._ask("GET", path, path)
        if self._choice.random() < 0.1:
            self._ask("GET", f"/v1/plot.svg?spec={quote(json.dumps(self._spec()))}", "picture")

    def _format(self) -> str:
        return self._choice.choice(_FORMATS)

    def _ask(
        self,
        method: str,
        path: str,
        kind: str,
        *,
        body: object = None,
        expected: tuple[int, ...] = (200,),
        accept: str = "*/*",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        answer = self._http.request(method, path, json=body, headers={"accept": accept, **(headers or {})})
        self._load.note(kind, answer.status_code, expected, f"{method} {path} {answer.text}")
        return answer


def _hang_up(load: Load, seed: int) -> None:
    """Leaves in the middle of a head, of a body and of an answer, and where kills are wanted, of work."""
    choice = random.Random(seed)
    with httpx.Client(base_url=load.url, timeout=60, headers=bearer(load.token)) as http:
        heavy = http.post("/v1/schedules?stop=0", json=_HEAVY).headers["location"]
    authorized = f"Host: x\r\nAuthorization: Bearer {load.token}\r\n"
    head = f"POST /v1/schedules HTTP/1.1\r\n{authorized}Content-Type: application/json\r\nContent-Length: 100000\r\n"
    cheap = [("head", head), ("body", f"{head}\r\n{{"), ("answer", f"GET /openapi.json HTTP/1.1\r\n{authorized}\r\n")]
    work = [("work", f"GET {heavy}/sum HTTP/1.1\r\n{authorized}\r\n")]
    while not load.stopping.wait(_HANG_UP_EVERY_S):
        what, request = choice.choice(work if load.kills.is_set() and choice.random() < 0.2 else cheap)
        with closing(socket.create_connection((urlsplit(load.url).hostname, urlsplit(load.url).port))) as connection:
            connection.sendall(request.encode())
            load.stopping.wait(_PATIENCE_S if what == "work" else choice.random() / 100)
        load.asked[f"left {what}"] += 1


def _make_keys(load: Load, database_url: str) -> None:
    """Makes a key, uses it and revokes it."""
    with closing(Database(database_url, 5.0)) as database, httpx.Client(base_url=load.url, timeout=60) as http:
        keys, number = KeyStore(database), 0
        while not load.stopping.wait(_KEY_EVERY_S):
            number += 1
            token = keys.make(f"soak {number}", ("read",)).token
            # A process may not know of it, or of its end, for a second.
            answer = http.get("/v1/schedules", headers=bearer(token))
            load.note("key", answer.status_code, (200, 401, 503), answer.text)
            keys.revoke(f"soak {number}")
