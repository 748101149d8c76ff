"""A scripted run: one speaker, whose requests all arrive, step by step."""

from collections.abc import Mapping
from itertools import count
from typing import Any

from live_runs.shelf import Shelf
from preheat.runs import attempts, changes, making, plateau, reports, windows
from preheat.runs.draft import Outcome
from preheat.runs.events import Event
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.record import entry
from preheat.runs.run import Run, from_json, to_json
from preheat.schedule import Schedule

CONSTANT: dict[str, Any] = {"target_lr": 0.1, "total_iterations": 1000}
LIMITS = Limits(window_cap=64, first_window=10)


class Script:
    """A run and what happened to it; every outcome is saved as JSON and read back."""

    def __init__(self, spec: Mapping[str, Any] = CONSTANT, limits: Limits = LIMITS) -> None:
        self.shelf, self.limits, self.now = Shelf(), limits, 1000.0
        self.events: list[Event] = []
        self.stored: dict[tuple[int, int, str], float] = {}
        self.token, self.numbers = "", count(1)
        self.known_from = 1
        """The revision that the last attach or window was answered with: the process goes back to none before."""

        base = Schedule.of(spec)
        self.run: Run
        self.save(making.make("run-1", "llama", base, self.now))

    def save(self, outcome: Outcome[Any]) -> Outcome[Any]:
        """Commits what came of a request."""
        self.run = from_json(to_json(outcome.run))
        self.events += outcome.events
        self.shelf.keep(outcome)
        return outcome

    def kinds(self) -> list[str]:
        """The kinds of all events."""
        return [event.kind for event in self.events]

    def reports_of(self, metric: str, attempt: int, start: int, stop: int) -> list[tuple[int, float]]:
        """What is stored of a metric."""
        found = sorted((n, value) for (a, n, name), value in self.stored.items() if (a, name) == (attempt, metric))
        return [(n, value) for n, value in found if start <= n < stop]

    def attach(self, position: int = 1, **fields: Any) -> attempts.Attached:
        """A new process takes over; `checkpoint=True` is one of the present attempt at that position."""
        token = f"token-{next(self.numbers)}"
        if isinstance(fields.get("checkpoint"), bool):
            fields["checkpoint"] = self.checkpoint(position) if fields["checkpoint"] else None
        asked: dict[str, Any] = {"token": token, "seen_attempt": self.run.attempt_number, "take_over": True} | fields
        request = attempts.AttachRequest(position=position, **asked)
        answer: attempts.Attached = self.save(
            attempts.attach(self.run, request, self.now, self.shelf, self.reports_of, self.limits)
        ).answer
        self.token, self.known_from = request.token, answer.revision
        return answer

    def checkpoint(self, position: int, overrun: Overrun | None = None) -> attempts.Checkpoint:
        """What a checkpoint of the present attempt says."""
        run = self.run
        acknowledged = min(run.horizon, max(position, run.attempts[-1].acknowledged))
        return attempts.Checkpoint(run.id, run.attempt_number, run.revision, position, acknowledged, overrun)

    def ask(self, position: int, acknowledged: int | None = None, **fields: Any) -> windows.Window:
        """The speaker asks for its next window; by default it has all that was handed out."""
        asked: dict[str, Any] = {"attempt": self.run.attempt_number, "token": self.token, "revision": self.run.revision,
                 "acknowledged": self.run.horizon if acknowledged is None else acknowledged,
                 "position": position, "generation": self.run.generation}  # fmt: skip
        request = windows.WindowRequest(**(asked | fields))
        answer: windows.Window = self.save(
            windows.hand_out(self.run, request, self.now, self.shelf, self.limits)
        ).answer
        self.known_from = answer.revision
        return answer

    def run_to(self, position: int) -> None:
        """The job runs on until `position` is the next iteration to run, by windows."""
        while self.run.attempts[-1].position < position:
            window = self.ask(min(self.run.horizon, position))
            if window.stop <= window.start and self.run.horizon < position:
                raise AssertionError(f"nothing is handed out at {self.run.horizon}")

    def change(self, op: str = "scale", author: str = "ann", key: str | None = None, **fields: Any) -> changes.Accepted:
        """A change by somebody who has just looked."""
        answer: changes.Accepted = self.save(self.tried(op, author, key, **fields)).answer
        return answer

    def tried(self, op: str = "scale", author: str = "ann", key: str | None = None, **fields: Any) -> Outcome[Any]:
        """The same, not saved: a dry run."""
        when = {name: fields.pop(name) for name in _WHEN if name in fields}
        why = when.pop("why", "loss spike")
        number = next(self.numbers)
        if_match = fields.pop("if_match", self.run.etag)
        request = changes.ChangeRequest({"op": op, **fields}, why, author, **when)
        precondition = changes.Precondition(if_match, key or f"key-{number}")
        return changes.change(self.run, request, precondition, f"c{number}", self.now, self.shelf, self.limits)

    def cancel(self, change_id: str) -> None:
        """Somebody cancels a change."""
        precondition = changes.Precondition(self.run.etag, f"key-{next(self.numbers)}")
        self.save(changes.cancel(self.run, change_id, "ann", precondition, self.now, self.shelf, self.limits))

    def roll_back(self, after: int, policy: Any) -> None:
        """Somebody asks for a restart after an iteration."""
        precondition = changes.Precondition(self.run.etag, f"key-{next(self.numbers)}")
        request = making.RollbackRequest(after, policy, "diverged", "ann")
        self.save(making.roll_back(self.run, request, precondition, self.now, self.limits))

    def control(self, **parameters: Any) -> None:
        """Adds a plateau controller of the loss."""
        made = plateau.PlateauParameters(**parameters)
        self.save(plateau.control(self.run, f"p{next(self.numbers)}", "loss", made, "ann", self.now, self.limits))

    def report(self, iteration: int, value: float, name: str = "loss") -> None:
        """The speaker reports."""
        attempt, key = self.run.attempt_number, (iteration, name)
        known = {key: self.stored[attempt, *key]} if (attempt, *key) in self.stored else {}
        batch, room = (reports.Report(iteration, name, value),), self.limits.most_reports - len(self.stored)
        answer = self.save(
            reports.report(self.run, attempt, self.token, batch, known, self.now, self.shelf, self.limits, room)
        ).answer
        self.stored |= {(attempt, each.iteration, each.name): each.value for each in answer}

    def lr(self, iteration: int, attempt: int | None = None) -> float:
        """The first group's LR by the record of an attempt, by default the present one."""
        found = entry(self.run, self.run.attempt_number if attempt is None else attempt, iteration)
        schedule_id = self.run.schedule_id if found is None else found.schedule_id
        curve = self.shelf.curve(schedule_id)
        return curve.lr(min(iteration, curve.total_iterations))[0]


_WHEN = ("at", "until", "for_iterations", "not_after", "confirm", "is_automated", "why")
