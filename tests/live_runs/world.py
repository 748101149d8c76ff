"""A world around the pure room: a disk, a network that loses and repeats, jobs that die, people; it keeps a journal.

Everything a rule depends on is an argument: the room's functions, the clients' habits, the disk. A faulty variant of
any of them is another argument.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from live_runs.job import Flight, Job, Told
from live_runs.journal import Changed, Controlled, Happened, Intent, Journal, Lane, Placed, Recorded, Used
from live_runs.promises import EVENTS, FENCING, ONCE, findings
from live_runs.shelf import Shelf, Violation
from preheat.curve import Curve
from preheat.errors import PreheatError
from preheat.runs import attempts, changes, making, plateau, reports, windows
from preheat.runs.draft import Outcome
from preheat.runs.errors import (
    AttemptMoved,
    KeyReused,
    KnowsMore,
    Occupied,
    PositionAhead,
    RollbackPending,
    Superseded,
)
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.record import entry
from preheat.runs.run import Change, Lineage, Run, from_json, to_json
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec

LIMITS = Limits(window_cap=12, first_window=6, most_changes=200)
TOTAL = 300
BASE = {
    "target_lr": 0.1,
    "total_iterations": TOTAL,
    "warmup": 10,
    "after_scheduler": {"type": "PolynomialDecayLR", "min_lr": 0.01},
}


@dataclass(frozen=True)
class Room:
    """The functions of the room that the world goes through."""

    hand_out: Callable[..., Outcome[windows.Window]] = windows.hand_out
    attach: Callable[..., Outcome[attempts.Attached]] = attempts.attach
    change: Callable[..., Outcome[changes.Accepted]] = changes.change
    report: Callable[..., Outcome[tuple[reports.Report, ...]]] = reports.report


@dataclass(frozen=True)
class Habits:
    """What clients and the disk do right; each may be taken away."""

    commits_first: bool = True
    throws_away: bool = True
    takes_at_by_value: bool = True


class World:
    """One run, its disk, its jobs and a network, driven by whoever calls its methods."""

    def __init__(self, room: Room, habits: Habits, *, speakers: Any = "one", with_plateau: bool = False) -> None:
        self.room, self.habits, self.speakers = room, habits, speakers
        self.shelf, self.now, self.ids = Shelf(), 0.0, 0
        self.run = Run("none", "", "", "", 0, 0.0)
        self.jobs: list[Job] = []
        self.flights: list[Flight] = []
        self.checkpoints: list[attempts.Checkpoint] = []
        self.stored: dict[tuple[int, int, str], float] = {}
        self.journal = Journal(record=self.recorded)
        base = Schedule.of(BASE)
        self._save(making.make("run", "llama", base, self.now))
        if with_plateau:
            parameters = plateau.PlateauParameters(factor=0.5, patience=1, min_lr=0.002)
            self._save(plateau.control(self.run, "loss", "loss", parameters, "ann", self.now))

    @property
    def traffic(self) -> Counter[str]:
        """How often what has happened: a history of nothing proves nothing."""
        return self.journal.traffic

    # the service

    def _save(self, outcome: Outcome[Any]) -> None:
        if outcome.run.events % 8 == 0 and from_json(to_json(outcome.run)) != outcome.run:
            raise Violation("a run is not what is read back from disk")
        self.journal.events += [Happened(each.number, each.kind, each.data) for each in outcome.events]
        if len(self.journal.events) != outcome.run.events:
            self._note(EVENTS, f"there are {len(self.journal.events)} events, and the run has {outcome.run.events}")
        self.shelf.keep(outcome)
        self.run = outcome.run
        look = tuple(
            Lane(each.number, each.parent, each.start, each.handed, each.acknowledged, each.position)
            for each in self.run.attempts
        )
        if not self.journal.looks or look != self.journal.looks[-1]:
            self.journal.looks.append(look)

    def _note(self, promise: str, text: str) -> None:
        self.journal.wrongs.append((promise, text))

    def reports_of(self, metric: str, attempt: int, start: int, stop: int) -> Iterable[tuple[int, float]]:
        """What is stored of a metric, in order."""
        found = sorted((n, value) for (a, n, name), value in self.stored.items() if (a, name) == (attempt, metric))
        return [(n, value) for n, value in found if start <= n < stop]

    def recorded(self, attempt: int, iteration: int) -> Recorded | None:
        """What the record says of an iteration in an attempt's own lane."""
        found = entry(self.run, attempt, iteration)
        if found is None or found.attempt != attempt:
            return None
        curve = self.shelf.curve(found.schedule_id)
        return Recorded(curve.lr(min(iteration, curve.total_iterations))[0], found.certainty)

    # jobs

    def start_job(self, checkpoint: attempts.Checkpoint | None, *, take_over: bool = True, lag: int = 0) -> None:
        """A new process looks, loads a checkpoint or none, and attaches with its first update."""
        self.ids += 1
        k = 1 if checkpoint is None else checkpoint.position
        request = attempts.AttachRequest(
            token=f"token-{self.ids}",
            seen_attempt=max(self.run.attempt_number - lag, 0),
            position=k,
            speakers=self.speakers,
            lineage=None if self.speakers == "one" else Lineage("job", self.ids),
            take_over=take_over,
            checkpoint=checkpoint,
        )
        try:
            outcome = self.room.attach(self.run, request, self.now, self.shelf, self.reports_of, LIMITS)
        except (AttemptMoved, Occupied, PositionAhead):  # the last one: the run ends before that checkpoint now
            self.traffic["refused"] += 1
            return
        except KnowsMore as error:
            self.journal.lost.append(f"a job that attaches at {k} is told: {error}")
            return
        self._save(outcome)
        self.traffic["attached"] += 1
        for job in self.jobs:
            job.is_dead = job.is_dead or random.Random(self.ids).random() < 0.5
        answer = outcome.answer
        groups = [(0, 1, 2)] if self.speakers == "one" else [(0,), (1,), (2,)]
        for ranks in groups:
            self.jobs.append(
                Job(request.token, answer.attempt, k, k, answer.revision, answer.schedule_id, ranks, k, end=k)
            )
        again = self.room.attach(self.run, request, self.now, self.shelf, self.reports_of, LIMITS)
        if again.answer.attempt != answer.attempt or again.run != self.run:
            self._note(ONCE, "an attach that came twice, as after a lost answer, opened two attempts")

    def ask(self, job: Job, fate: str) -> None:
        """A speaker asks; its answer arrives, gets lost, comes later, or comes twice."""
        if job.is_dead:
            return
        request = windows.WindowRequest(
            attempt=job.attempt,
            token=job.token,
            position=job.position,
            acknowledged=job.have,
            revision=job.revision,
            overrun=job.overrun,
        )
        try:
            outcome = self.room.hand_out(self.run, request, self.now, self.shelf, LIMITS)
        except Superseded:
            self.traffic["fenced"] += 1
            if job.attempt == self.run.attempt_number:
                self._note(FENCING, f"attempt {job.attempt}, the newest, was told that it is not")
            job.is_dead = True
            return
        except (KnowsMore, PositionAhead) as error:
            self.journal.lost.append(f"attempt {job.attempt} is told: {error}")
            job.is_dead = True
            return
        flight = Flight(job, outcome.answer, job.overrun)
        if fate == "lost" and not self.habits.commits_first:  # the process dies between answer and commit
            self.shelf.keep(outcome)
            self.deliver(flight)
            return
        self._save(outcome)
        self.traffic[f"window-{fate}"] += 1
        if fate in {"ok", "twice"}:
            self.deliver(flight)
        if fate in {"late", "twice"}:
            self.flights.append(flight)

    def deliver(self, flight: Flight) -> None:
        """An answer arrives: adopted if it begins where the ranks have been told to, else thrown away."""
        job, window = flight.job, flight.window
        if job.is_dead or window.attempt != job.attempt:
            return
        if self.habits.throws_away and window.start < job.end:
            self.traffic["thrown-away"] += 1
            return
        curve = self.shelf.curve(window.schedule_id)
        for n in range(window.start, window.stop):
            job.told[n] = Told(self._lr(curve, window, n), window.revision, is_overrun=False)
        if not self.habits.throws_away:
            job.end, job.have = max(job.end, window.stop), max(job.have, window.stop)
        else:
            job.end = job.have = window.stop
        job.revision, job.schedule_id = window.revision, window.schedule_id
        if flight.overrun == job.overrun:
            job.overrun = None

    def _lr(self, curve: Curve, window: windows.Window, n: int) -> float:
        if self.habits.takes_at_by_value:
            return curve.lr(n)[0]
        # "at" tested with ==: a change is only seen if a window begins with it
        missed = [
            change.effect
            for change in self.run.changes
            if change.effect is not None and window.start < change.effect < window.stop
        ]
        return curve.lr(min(n, min(missed) - 1) if missed else n)[0]

    def overrun(self, job: Job, iterations: int) -> None:
        """Out of reach: one speaker goes on along what it knows, and notes the end before it tells any rank."""
        iterations = min(iterations, job.position + LIMITS.window_cap - job.end)
        if job.is_dead or self.speakers == "all" or iterations < 1:
            return
        self.traffic["overrun"] += 1
        start = job.overrun.start if job.overrun else job.end
        job.overrun = Overrun(start, job.end + iterations, job.overrun.revision if job.overrun else job.revision)
        curve = self.shelf.curve(job.schedule_id)
        for n in range(job.end, job.end + iterations):
            lr = curve.lr(min(n, curve.total_iterations))[0]
            job.told[n] = Told(lr, job.overrun.revision, is_overrun=True)
        job.end += iterations

    def run_on(self, job: Job, iterations: int) -> None:
        """A job runs on, as far as its ranks have been told; the others come to where the first one was."""
        if job.is_dead:
            return
        came_from = job.position
        for n in range(job.others_at, came_from):
            for rank in job.ranks[1:]:
                self._use(job, n, rank)
        for n in range(came_from, min(came_from + iterations, job.end)):
            if n not in job.told:
                break
            self.traffic["used"] += 1
            self._use(job, n, job.ranks[0])
            job.position = n + 1
        job.others_at = came_from

    def _use(self, job: Job, n: int, rank: int) -> None:
        told = job.told[n]
        self.journal.used.append(Used(job.attempt, n, rank, told.lr, told.revision, told.is_overrun))

    def save_checkpoint(self, job: Job) -> None:
        """A checkpoint of where a job is, if it is alive."""
        if not job.is_dead:
            known = attempts.Checkpoint("run", job.attempt, job.revision, job.position, job.have, job.overrun)
            self.checkpoints.append(known)

    # people and programs

    def change(self, author: str, operation: dict[str, Any], fate: str, **when: Any) -> None:
        """A change by an author who has just looked; with a fate its answer gets lost, and the author asks again."""
        self.ids += 1
        request = changes.ChangeRequest(operation, f"wish {self.ids}", author, confirm=True, **when)
        precondition = changes.Precondition(self.run.etag, f"key-{self.ids}")
        change_id = f"c{self.ids}"
        intent, before = Intent(request.why, self.run.horizon), self.run
        if not self._send(intent, request, precondition, change_id):
            return
        self.traffic["change"] += 1
        if fate == "lost":
            self._retry(intent, request, precondition)
        stale = changes.Precondition(before.etag, f"stale-{self.ids}")
        try:
            self.room.change(self.run, request, stale, "stale", self.now, self.shelf, LIMITS)
        except (PreheatError, InvalidSpec):
            return
        self._note(ONCE, "a change was accepted on what its author had not seen")

    def _send(
        self, intent: Intent, request: changes.ChangeRequest, precondition: changes.Precondition, change_id: str
    ) -> bool:
        try:
            outcome = self.room.change(self.run, request, precondition, change_id, self.now, self.shelf, LIMITS)
        except (PreheatError, InvalidSpec) as error:
            self.traffic[f"change-refused-{type(error).__name__}"] += 1
            return False
        self._save(outcome)
        if not intent.answers:
            self.journal.intents.append(intent)
        intent.answers.add(outcome.answer.change.id)
        return True

    def _retry(self, intent: Intent, request: changes.ChangeRequest, precondition: changes.Precondition) -> None:
        self.traffic["retry"] += 1
        if not self._send(intent, request, precondition, "again"):
            # Who gets a 412 looks, and sends it once more, as new.
            again = changes.Precondition(self.run.etag, f"another-{self.ids}")
            self._send(intent, request, again, f"c{self.ids}-again")
        try:
            other = replace(request, why="another")
            self.room.change(self.run, other, precondition, "other", self.now, self.shelf, LIMITS)
        except KeyReused:
            return
        except PreheatError as error:
            self._note(ONCE, f"a key with another request was answered: {error}")
        else:
            self._note(ONCE, "a key took another request")

    def cancel(self, index: int) -> None:
        """Somebody cancels or reverts one of the changes."""
        if not self.run.changes:
            return
        found = self.run.changes[index % len(self.run.changes)]
        self.ids += 1
        precondition = changes.Precondition(self.run.etag, f"key-{self.ids}")
        try:
            self._save(changes.cancel(self.run, found.id, "bob", precondition, self.now, self.shelf, LIMITS))
        except PreheatError:
            self.change("bob", {"op": "revert", "change": found.id}, "ok")

    def roll_back(self, after: int, policy: Any) -> None:
        """Somebody asks for a restart."""
        self.ids += 1
        request = making.RollbackRequest(after, policy, "spike", "ann")
        try:
            precondition = changes.Precondition(self.run.etag, f"key-{self.ids}")
            self._save(making.roll_back(self.run, request, precondition, self.now, LIMITS))
        except (RollbackPending, InvalidSpec):
            return
        self.traffic["rollback"] += 1

    def report(self, job: Job, value: float, fate: str) -> None:
        """A job reports its loss; with a fate twice, or from every rank."""
        if job.is_dead or job.position == 0:
            return
        made = (reports.Report(job.position - 1, "loss", value),)
        for _ in range(2 if fate == "twice" else 1):
            known = {
                (each.iteration, each.name): self.stored[job.attempt, each.iteration, each.name]
                for each in made
                if (job.attempt, each.iteration, each.name) in self.stored
            }
            try:
                outcome = self.room.report(self.run, job.attempt, job.token, made, known, self.now, self.shelf, LIMITS)
            except Superseded:
                job.is_dead = True
                return
            self._save(outcome)
            self.traffic["report"] += 1
            self.stored |= {(job.attempt, each.iteration, each.name): each.value for each in outcome.answer}

    # the checker

    def findings(self) -> dict[str, list[str]]:
        """What breaks a promise, by its name."""
        journal = self.journal
        journal.changes = [_changed(each) for each in self.run.changes]
        journal.controllers = [
            Controlled(
                each.parameters,
                each.first,
                each.state,
                {(attempt, n): value for (attempt, n, name), value in self.stored.items() if name == each.metric},
            )
            for each in self.run.controllers
        ]
        return findings(journal)

    def check(self) -> None:
        """Holds what everybody wrote down against every promise."""
        found = self.findings()
        if found:
            raise Violation(found)
        for each in self.run.changes:
            if each.effect is None or each.placement.kind == "used":
                continue
            is_over = each.until is not None and each.effect >= each.until
            if is_over or (each.not_after is not None and each.effect > each.not_after):
                raise Violation(f"{each} is in force past its own bound")
        attempt = self.run.attempt
        if attempt is not None and not attempt.overruns:
            ahead = attempt.handed - max(attempt.position, attempt.start)
            if ahead > LIMITS.window_cap:
                raise Violation(f"{attempt.handed} is handed out, and the position is {attempt.position}")


def _changed(change: Change) -> Changed:
    cause = None if change.cause is None else (change.cause.attempt, change.cause.iteration)
    placements = tuple(Placed(each.revision, each.attempt, each.effect) for each in change.placements)
    return Changed(change.id, change.why, change.author, cause, placements)
