"""A toy service of live runs, written from the rules alone: one run, kept in memory, without a network or a clock."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FIRST_WINDOW = 16
RUN = "a" * 32


class Refused(Exception):
    """The service says no: status, kind and members of the problem document."""

    def __init__(self, status: int, kind: str, **members: Any) -> None:
        self.status, self.kind, self.members = status, kind, members
        super().__init__(f"{kind} {members}")


@dataclass
class Attempt:
    """One life of the job: H, C, the position, and what is on record: revision and certainty by iteration."""

    number: int
    token: str
    start: int
    speakers: str
    lineage: Any
    handed: int
    acknowledged: int
    position: int
    is_closed: bool = False
    record: dict[int, float] = field(default_factory=dict)


@dataclass
class Change:
    """Multiplies the LR from an iteration on; in force from `effects[revision]` on in each revision that has it."""

    id: str
    factor: float
    why: str
    effects: dict[int, int]


@dataclass
class ToyRun:
    """The service's side of the rules; `is_alive` says whether its present attempt is (a clock's business)."""

    base: Callable[[int], float]
    total: int
    generation: int = 1
    revision: int = 1
    lease_s: float = 5.0
    cap: int = 4096
    is_alive: bool = True
    is_finished: bool = False
    restart: Any = None
    attempts: list[Attempt] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    totals: dict[int, int] = field(default_factory=dict)
    reports: dict[tuple[int, int, str], Any] = field(default_factory=dict)
    again_after_s: int = 1
    """Retry-After of a run that is occupied."""
    most_reports: int = 10_000
    """Taken of one request; the rest is left."""
    told: list[dict[str, Any]] = field(default_factory=list)

    def lr(self, revision: int, iteration: int) -> float:
        """The LR of an iteration in a revision; its last one past the end."""
        value = self.base(min(iteration, self.total_of(revision)))
        for change in self.changes:
            if change.effects.get(revision, 10**18) <= iteration:
                value *= change.factor
        return value

    def total_of(self, revision: int) -> int:
        """Iterations of a revision."""
        return max((r, total) for r, total in {0: self.total, **self.totals}.items() if r <= revision)[1]

    @property
    def present(self) -> Attempt | None:
        """The newest attempt."""
        return self.attempts[-1] if self.attempts else None

    def change(self, factor: float, at: int = 0) -> int:
        """Accepts a change; its first iteration, E = max(the one wanted, H)."""
        effect = max(at, self.present.handed if self.present else 0)
        self._revise({**{change.id: change.effects.get(self.revision) for change in self.changes}, "new": effect})
        self.changes.append(Change(f"{len(self.changes):016x}", factor, "spike", {self.revision: effect}))
        return effect

    def extend(self, total: int) -> None:
        """Another end."""
        self._revise({change.id: change.effects.get(self.revision) for change in self.changes})
        self.totals[self.revision] = total

    def _revise(self, effects: dict[str, int | None]) -> None:
        self.revision += 1
        for change in self.changes:
            effect = effects.get(change.id)
            if effect is not None:
                change.effects[self.revision] = effect

    def attach(self, body: dict[str, Any]) -> dict[str, Any]:
        """Opens an attempt, or the same one again."""
        if self.is_finished:
            raise Refused(409, "run-finished")
        present = self.present
        for attempt in self.attempts:
            if attempt.token == body["token"] and (attempt is not present or attempt.is_closed):
                raise Refused(409, "superseded")
        if present is not None and not present.is_closed:
            is_joined = present.speakers == body["speakers"] == "all" and present.lineage == body["lineage"]
            if present.token == body["token"] or is_joined:
                return self._attached(present, body["position"])
        number = present.number if present else 0
        knowledge = body["knowledge"]
        if body["seen_attempt"] != number and knowledge is None:
            raise Refused(409, "attempt-moved", seen=body["seen_attempt"], present=number)
        if present is not None and not present.is_closed and self.is_alive and not body["take_over"]:
            raise Refused(409, "occupied", attempt=number, again_after_s=self.again_after_s)
        self._check_checkpoint(body)
        if knowledge is not None:
            number = max(number, knowledge["attempt"])
            self.revision = max(self.revision, knowledge["revision"])
        k = body["position"]
        opened = Attempt(number + 1, body["token"], k, body["speakers"], body["lineage"], k, k, k)
        if present is not None:
            opened.record = {n: lr for n, lr in present.record.items() if n < k}
        self.attempts.append(opened)
        self.restart = None
        return self._attached(opened, k)

    def _check_checkpoint(self, body: dict[str, Any]) -> None:
        checkpoint = body["checkpoint"]
        if checkpoint is None or body["knowledge"] is not None:
            return
        if checkpoint["run"] != RUN:
            raise Refused(409, "checkpoint-mismatch", field="run", checkpoint=checkpoint["run"], run=RUN)
        if checkpoint["position"] != body["position"]:
            mine = body["position"]
            raise Refused(409, "checkpoint-mismatch", field="position", checkpoint=checkpoint["position"], run=mine)
        present = self.present
        number = present.number if present else 0
        pairs = {"attempt": (checkpoint["attempt"], number), "revision": (checkpoint["revision"], self.revision)}
        lost = {name: pair for name, pair in pairs.items() if pair[0] > pair[1]}
        if lost or present is None:
            raise Refused(409, "knows-more", generation=self.generation + 1, lost=lost)
        if checkpoint["attempt"] == present.number and checkpoint["overrun"]:
            self._take_facts(present, checkpoint["overrun"], body["position"])

    def _attached(self, attempt: Attempt, position: int) -> dict[str, Any]:
        return {
            "attempt": attempt.number,
            "token": attempt.token,
            "start": position,
            "revision": self.revision,
            "schedule_id": schedule_id(self.revision),
            "generation": self.generation,
            "lease_s": self.lease_s,
            "speakers": attempt.speakers,
            "total_iterations": self.total_of(self.revision),
            "when": {},
        }

    def window(self, body: dict[str, Any]) -> dict[str, Any]:
        """The next window; H and what is on record are moved before it is answered."""
        present = self.present
        is_lost = present is None or body["attempt"] > present.number or body["revision"] > self.revision
        if body["generation"] > self.generation or is_lost:
            raise Refused(409, "knows-more", generation=body["generation"] + 1, lost={})
        assert present is not None
        if present.is_closed or (present.number, present.token) != (body["attempt"], body["token"]):
            raise Refused(409, "superseded")
        if self.is_finished:
            raise Refused(409, "run-finished")
        overrun = body["overrun"]
        if overrun is not None:
            if present.speakers == "all":
                raise Refused(409, "no-overrun")
            furthest = max(max(body["position"], present.position) + self.cap, present.handed)
            if overrun["end"] > furthest:
                raise Refused(409, "position-ahead", value=overrun["end"], handed=furthest)
            self._take_facts(present, overrun, overrun["end"])
        if body["position"] > present.handed:
            raise Refused(409, "position-ahead", value=body["position"], handed=present.handed)
        present.position = max(present.position, body["position"])
        present.acknowledged = max(present.acknowledged, body["acknowledged"])
        left_from = self._take_reports(present, body)
        self.told += body.get("told", [])
        return {**self._handed(present, body), "reports": {"stored": 0, "ignored": 0, "left_from": left_from}}

    def _handed(self, present: Attempt, body: dict[str, Any]) -> dict[str, Any]:
        iteration_s = body["iteration_s"]
        count = FIRST_WINDOW if iteration_s is None else max(int(min(self.lease_s / iteration_s, self.cap)), 2)
        start = max(body["acknowledged"], body["overrun"]["end"] if body["overrun"] else 0)
        stop = min(body["position"] + count, present.position + self.cap, self.total_of(self.revision) + 1)
        stop = max(start, stop)
        lrs = [self.lr(self.revision, n) for n in range(start, stop)]
        for n, lr in zip(range(start, stop), lrs, strict=True):
            present.record[n] = lr
        present.handed = max(present.handed, stop)
        return {
            **self._attached(present, present.start),
            "start": start,
            "stop": stop,
            "groups": [{"name": "default", "lr": lrs}],
            "state": "RUNNING",
            "position": present.position,
            "acknowledged": present.acknowledged,
            "horizon": present.handed,
            "next_change": {},
            "restart": self.restart,
            "alarms": 0,
            "events": 1,
        }

    def _take_facts(self, attempt: Attempt, overrun: dict[str, Any], end: int) -> None:
        """What the job did replaces everything from the start on; what it did not know comes after the end."""
        for n in range(overrun["start"], end):
            attempt.record[n] = self.lr(overrun["revision"], n)
        for n in [n for n in attempt.record if n >= end]:
            del attempt.record[n]
        moved = {
            change.id: end
            for change in self.changes
            if change.effects.get(self.revision, 10**18) < end
            and change.effects.get(overrun["revision"], 10**18) >= end
        }
        if moved:
            effects = {change.id: change.effects.get(self.revision) for change in self.changes}
            self._revise({**effects, **moved})
        attempt.handed = max(attempt.handed, end)
        attempt.acknowledged = max(attempt.acknowledged, end)

    def _take_reports(self, attempt: Attempt, body: dict[str, Any]) -> int | None:
        found = [place for place, report in enumerate(body["reports"]) if "poison" in report["values"]]
        if found:
            raise Refused(422, "invalid-spec", errors=[{"pointer": f"/reports/{place}/values"} for place in found])
        for report in body["reports"][: self.most_reports]:
            for name, value in report["values"].items():
                self.reports.setdefault((attempt.number, report["iteration"], name), value)
        left = body["reports"][self.most_reports :]
        return left[0]["iteration"] if left else None

    def report(self, body: dict[str, Any]) -> dict[str, Any]:
        """Reports outside of a window."""
        present = self.present
        if present is None or present.is_closed or present.token != body["token"]:
            raise Refused(409, "superseded")
        left_from = self._take_reports(present, body)
        return {"stored": 1, "ignored": 0, "left_from": left_from, "alarms": 0, "revision": self.revision, "events": 1}

    def close(self, number: int, body: dict[str, Any]) -> dict[str, Any]:
        """The goodbye of a speaker."""
        present = self.present
        if present is None or (present.number, present.token) != (number, body["token"]):
            raise Refused(409, "superseded")
        present.is_closed = True
        present.position = max(present.position, min(body["position"], present.handed))
        return self.describe()

    def describe(self) -> dict[str, Any]:
        """The run as it is told to who opens it."""
        present = self.present
        return {
            "id": RUN,
            "label": "llama",
            "base_id": schedule_id(1),
            "schedule_id": schedule_id(self.revision),
            "revision": self.revision,
            "generation": self.generation,
            "attempt_number": present.number if present else 0,
            "position": present.position if present else 0,
            "total_iterations": self.total_of(self.revision),
            "groups": [{"name": "default"}],
            "origins": [],
        }


def schedule_id(revision: int) -> str:
    """The id of a revision's schedule."""
    return f"{revision:032x}"
