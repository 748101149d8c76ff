"""Those who change a run and those who watch it: over REST, through whatever is wrong, each with a seed of its own."""

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from live_runs.journal import Happened, Intent, Journal
from live_runs.promises import ONCE

_PATIENCE_S = 90.0


class Caller:
    """Somebody who asks again, with the same headers, until there is an answer."""

    def __init__(self, url: str, token: str, journal: Journal) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=1.5)
        self.journal = journal

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """The answer that is one: no 503, and none that got lost."""
        waiting = threading.Event()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        for _ in range(int(_PATIENCE_S / 0.1)):
            try:
                answer = self._http.request(method, path, json=body, headers=named)
            except (httpx.TransportError, httpx.DecodingError):
                self.journal.traffic["lost"] += 1
            else:
                if answer.status_code < 500:
                    return answer
                self.journal.traffic[f"answer-{answer.status_code}"] += 1
                assert answer.status_code in {502, 503, 504}, f"{method} {path}: {answer.text}"
            waiting.wait(0.1)
        raise AssertionError(f"no answer to {method} {path} in {_PATIENCE_S:g} s")


class Author:
    """A person who changes a run every now and then."""

    def __init__(self, name: str, caller: Caller, path: str, seed: str) -> None:
        self.forks: dict[str, tuple[int, int]] = {}
        """The runs that were forked, with attempt and last iteration that they share."""
        self.name, self._caller, self._path = name, caller, path
        self._chance, self._count = random.Random(seed), 0

    def act(self) -> None:
        """One deed, and now and then the same request again as after an answer that got lost."""
        run = self._caller.call("GET", self._path).raise_for_status().json()
        self._count += 1
        deed = self._chance.choices([self._change, self._revert, self._cancel, self._fork], [8, 2, 2, 1])[0]
        deed(run)

    def _change(self, run: dict[str, Any]) -> None:
        operation = self._chance.choice(_operations(run))
        when: dict[str, Any] = {}
        if self._chance.random() < 0.5:
            when["at"] = run["position"] + self._chance.randint(0, 300)
        if operation["op"] not in {"cooldown", "extend"} and self._chance.random() < 0.5:
            when["for_iterations"] = self._chance.randint(1, 200)
        self._send(run, operation, when)

    def _revert(self, run: dict[str, Any]) -> None:
        if found := self._known():
            self._send(run, {"op": "revert", "change": self._chance.choice(found)}, {})

    def _cancel(self, run: dict[str, Any]) -> None:
        if found := self._known():
            path = f"{self._path}/changes/{self._chance.choice(found)}/cancel"
            key = f"{self.name}-{self._count}"
            if self._caller.call("POST", path, if_match=run["etag"], idempotency_key=key).is_success:
                self._caller.journal.traffic["cancel"] += 1

    def _fork(self, run: dict[str, Any]) -> None:
        attempt, iteration = run["attempt_number"], run["acknowledged"] - 1
        if run["attempt"] is None or iteration < run["attempt"]["start"]:
            return
        label = f"{run['label']}-{self.name}-{self._count}"
        body = {"attempt": attempt, "iteration": iteration, "label": label, "changes": "keep"}
        made = {self._post(f"{self._path}/fork", body, None)["id"] for _ in range(2)}
        if len(made) > 1:
            self._caller.journal.wrongs.append((ONCE, f"one fork was made as {', '.join(sorted(made))}"))
        self.forks[made.pop()] = (attempt, iteration)
        self._caller.journal.traffic["fork"] += 1

    def _post(self, path: str, body: Any, etag: str | None) -> dict[str, Any]:
        matched = {} if etag is None else {"if_match": etag}
        answer = self._caller.call("POST", path, body, idempotency_key=f"{self.name}-{self._count}", **matched)
        content: dict[str, Any] = answer.json()
        return content if answer.is_success else {"refused": content.get("type")}

    def _send(self, run: dict[str, Any], operation: dict[str, Any], when: dict[str, Any]) -> None:
        traffic = self._caller.journal.traffic
        intent = Intent(f"{self.name} {self._count}: {operation['op']}", run["horizon"])
        self._caller.journal.intents.append(intent)
        body = {"operation": operation, "why": intent.why, "confirm": True, **when}
        for _ in range(2 if self._chance.random() < 0.3 else 1):
            content = self._post(f"{self._path}/changes", body, run["etag"])
            if "change" not in content:
                traffic[f"refused-{content['refused']}"] += 1
                return
            intent.answers.add(content["change"]["id"])
            traffic["repeated" if content["is_repeated"] else "change"] += 1

    def _known(self) -> list[str]:
        found = self._caller.call("GET", f"{self._path}/changes").raise_for_status().json()["changes"]
        return [each["id"] for each in found if each["effect"] is not None]


def _operations(run: dict[str, Any]) -> list[dict[str, Any]]:
    total = run["total_iterations"]
    return [
        {"op": "scale", "factor": 0.5},
        {"op": "scale", "factor": 0.9},
        {"op": "scale", "factor": 1.5},
        {"op": "hold", "value": 0.02},
        {"op": "hold", "value": "current"},
        {"op": "rewarm", "iterations": 40},
        {"op": "cooldown", "iterations": 4000, "to": 0.001},
        {"op": "extend", "total_iterations": total + 500},
        {"op": "replace", "schedule": {"target_lr": 0.05, "total_iterations": total}, "clock": "run"},
    ]


@contextmanager
def acting(author: Author, pause_s: float, seed: str, errors: list[BaseException]) -> Iterator[None]:
    """An author at work on a thread of his own, until the end."""
    is_over, chance = threading.Event(), random.Random(seed)

    def act() -> None:
        try:
            while not is_over.wait(pause_s * 2 * chance.random()):
                author.act()
        except BaseException as error:  # noqa: BLE001 - told where somebody sees it
            errors.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(_PATIENCE_S + 30)


@contextmanager
def watching(urls: list[str], token: str, path: str, seen: list[Happened]) -> Iterator[None]:
    """A watcher of the events of a run, who comes back to another replica whenever a connection ends."""
    is_over = threading.Event()
    thread = threading.Thread(target=_watch, args=(urls, token, path, seen, is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(60)


def _watch(urls: list[str], token: str, path: str, seen: list[Happened], is_over: threading.Event) -> None:
    turn = 0
    while not is_over.is_set():
        turn += 1
        last = str(seen[-1].number if seen else 0)
        headers = {"accept": "text/event-stream", "last-event-id": last, "authorization": f"Bearer {token}"}
        address = f"{urls[turn % len(urls)]}{path}/events"
        try:
            with httpx.stream("GET", address, headers=headers, timeout=2) as stream:
                for line in stream.iter_lines():
                    if line.startswith("data: "):
                        content = json.loads(line.removeprefix("data: "))
                        seen.append(Happened(content["number"], content["kind"], content["data"]))
                    if is_over.is_set():
                        return
        except httpx.TransportError:
            is_over.wait(0.1)
