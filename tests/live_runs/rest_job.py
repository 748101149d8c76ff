"""A live run over REST: a job that does everything right, and people who change it, step by step."""

import gzip
import json
from itertools import count
from typing import Any

import httpx

SPEC: dict[str, Any] = {"target_lr": 0.1, "total_iterations": 1000}

_NUMBERS = count(1)


class RestJob:
    """A run of its own, its speaker, and whoever changes it; `headers` are a key's."""

    def __init__(self, http: httpx.Client, spec: dict[str, Any] | None = None, **fields: Any) -> None:
        self.http = http
        asked = {"label": f"job-{next(_NUMBERS)}", "spec": spec or SPEC, **fields}
        self.made = http.post("/v1/runs", json=asked)
        assert self.made.is_success, self.made.text
        self.path = f"/v1/runs/{self.made.json()['id']}"
        self.token, self.attempt = "", 0
        self.revision, self.generation = 1, 1

    def run(self) -> dict[str, Any]:
        """The run, as anybody sees it."""
        content: dict[str, Any] = self.http.get(self.path).raise_for_status().json()
        return content

    def try_attach(self, position: int = 1, **fields: Any) -> httpx.Response:
        """The answer to a new process."""
        token = f"token-of-process-{next(_NUMBERS)}"
        asked = {"token": token, "seen_attempt": self.run()["attempt_number"], "position": position} | fields
        return self.http.post(f"{self.path}/attempts", json=asked)

    def attach(self, position: int = 1, **fields: Any) -> dict[str, Any]:
        """A new process takes over, and speaks from now on."""
        answer = self.try_attach(position, **{"take_over": True} | fields)
        assert answer.is_success, answer.text
        content: dict[str, Any] = answer.json()
        self.token, self.attempt = content["token"], content["attempt"]
        self.revision, self.generation = content["revision"], content["generation"]
        return content

    def try_ask(self, position: int, acknowledged: int | None = None, **fields: Any) -> httpx.Response:
        """The answer to the speaker; by default it has everything that was handed out."""
        have = self.run()["horizon"] if acknowledged is None else acknowledged
        asked = {
            "attempt": self.attempt, "token": self.token, "position": position, "acknowledged": have,
            "revision": self.revision, "generation": self.generation,
        } | fields  # fmt: skip
        # As the client sends it, which tells many reports at once.
        body = gzip.compress(json.dumps(asked).encode())
        headers = {"content-type": "application/json", "content-encoding": "gzip"}
        return self.http.post(f"{self.path}/windows", content=body, headers=headers)

    def ask(self, position: int, acknowledged: int | None = None, **fields: Any) -> dict[str, Any]:
        """The speaker's next window."""
        answer = self.try_ask(position, acknowledged, **fields)
        assert answer.is_success, answer.text
        content: dict[str, Any] = answer.json()
        self.revision, self.generation = content["revision"], content["generation"]
        return content

    def run_to(self, position: int) -> None:
        """The job runs on until `position` is the next iteration to run."""
        run = self.run()
        while run["position"] < position:
            self.ask(min(run["horizon"], position))
            run = self.run()

    def checkpoint(self, position: int, **fields: Any) -> dict[str, Any]:
        """What a checkpoint of the present attempt says."""
        run = self.run()
        have = min(run["horizon"], max(position, run["acknowledged"]))
        return {"run": run["id"], "attempt": run["attempt_number"], "revision": run["revision"],
                "position": position, "acknowledged": have} | fields  # fmt: skip

    def send(self, path: str, body: Any = None, method: str = "POST", **headers: str | None) -> httpx.Response:
        """A change of some kind by somebody who has just looked, or with other headers."""
        given = {"if-match": self.run()["etag"], "idempotency-key": f"key-{next(_NUMBERS)}"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {name: value for name, value in given.items() if value is not None}
        return self.http.request(method, f"{self.path}/{path}", json=body, headers=kept)

    def try_change(
        self, op: str = "scale", why: str = "spike", headers: dict[str, Any] | None = None, **fields: Any
    ) -> httpx.Response:
        """The answer to a change."""
        return self.send("changes", _asked(op, why, fields), **headers or {})

    def change(self, op: str = "scale", **fields: Any) -> dict[str, Any]:
        """A change that is accepted."""
        answer = self.try_change(op, **fields)
        assert answer.status_code == 201, answer.text
        content: dict[str, Any] = answer.json()
        return content

    def dry_run(self, op: str = "scale", **fields: Any) -> httpx.Response:
        """What a change would do."""
        accept = fields.pop("accept", "application/json")
        body = _asked(op, "spike", fields)
        return self.http.post(f"{self.path}/changes?dry_run=true", json=body, headers={"accept": accept})

    def lrs(self, *iterations: int, attempt: int | None = None) -> list[float]:
        """The first group's LR at some iterations, by the record."""
        window = self._record(iterations, attempt)
        return [window["groups"][0]["lr"][n - window["start"]] for n in iterations]

    def certainties(self, *iterations: int, attempt: int | None = None) -> list[str]:
        """What is known of some iterations."""
        parts = self._record(iterations, attempt)["parts"]
        return [next(each["certainty"] for each in parts if each["start"] <= n < each["stop"]) for n in iterations]

    def _record(self, iterations: tuple[int, ...], attempt: int | None) -> dict[str, Any]:
        query = f"start={min(iterations)}&stop={max(iterations) + 1}" + (
            "" if attempt is None else f"&attempt={attempt}"
        )
        content: dict[str, Any] = self.http.get(f"{self.path}/lr?{query}").raise_for_status().json()
        return content

    def statuses(self, attempt: int | None = None) -> list[str | None]:
        """Every change's, in order."""
        query = "" if attempt is None else f"?attempt={attempt}"
        found = self.http.get(f"{self.path}/changes{query}").raise_for_status().json()["changes"]
        return [each["status"] for each in found]

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """What happened."""
        content: list[dict[str, Any]] = self.http.get(f"{self.path}/events?after={after}").json()["events"]
        return content

    def kinds(self) -> list[str]:
        """The kinds of all events."""
        return [each["kind"] for each in self.events()]

    def report(self, iteration: int, value: float | str, name: str = "loss") -> dict[str, Any]:
        """The speaker reports."""
        asked = {"attempt": self.attempt, "token": self.token}
        reports = [{"iteration": iteration, "values": {name: value}}]
        answer = self.http.post(f"{self.path}/reports", json={**asked, "reports": reports})
        content: dict[str, Any] = answer.raise_for_status().json()
        return content

    def report_all(self, reports: list[dict[str, Any]]) -> int:
        """How many values were stored of many reports, of which a request may leave some for the next."""
        stored, left = 0, reports
        while left:
            counts = self.ask(1, reports=left)["reports"]
            stored, left_from = stored + counts["stored"], counts["left_from"]
            left = [] if left_from is None else [each for each in left if each["iteration"] >= left_from]
        return stored


def _asked(op: str, why: str, fields: dict[str, Any]) -> dict[str, Any]:
    when = {name: fields.pop(name) for name in _WHEN if name in fields}
    fields = {"factor": 0.5} | fields if op == "scale" else fields
    return {"operation": {"op": op, **fields}, "why": why, **when}


_WHEN = ("at", "until", "for_iterations", "not_after", "confirm", "is_automated")
