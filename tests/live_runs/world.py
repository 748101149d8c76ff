"""A world around the pure room: a disk, a network that loses and repeats, jobs that die, and a checker of histories.

Everything a rule depends on is an argument: the room's functions, the clients' habits, the disk. A faulty variant of
any of them is another argument.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from preheat.curve import Curve
from preheat.errors import PreheatError
from preheat.runs import attempts, changes, making, plateau, reports, windows
from preheat.runs.draft import Outcome
from preheat.runs.errors import (
    AttemptMoved,
    KeyReused,
    Occupied,
    PositionAhead,
    PreconditionFailed,
    RollbackPending,
    Superseded,
)
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from preheat.runs.record import entry, line
from preheat.runs.run import Lineage, Run, from_json, to_json
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


class Violation(AssertionError):
    """A promise that was broken."""


class Shelf:
    """Curves by id: what was kept with a run is stored; the others are made, and computed once."""

    def __init__(self) -> None:
        self._curves: dict[str, Curve] = {}
        self._stored: set[str] = set()

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a stored schedule."""
        if schedule_id not in self._stored:
            raise Violation(f"{schedule_id} was not stored")
        return self._curves[schedule_id]

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule, which need not be stored."""
        return self._curves.setdefault(schedule.id, Curve(schedule))

    def keep(self, outcome: Outcome[Any]) -> None:
        """Stores the revisions of an outcome, after which every attempt's schedule must be there."""
        for _, schedule in outcome.revisions:
            self.curve_of(schedule)
            self._stored.add(schedule.id)
        run = outcome.run
        lost = {run.schedule_id, *(each.schedule_id for each in run.attempts)} - self._stored
        if lost:
            raise Violation(f"schedules of {lost} are not stored")


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


@dataclass
class Job:
    """A process that speaks for its ranks (or one rank of many, alone), and what it has been told."""

    token: str
    attempt: int
    position: int
    have: int
    revision: int
    schedule_id: str
    ranks: tuple[int, ...]
    told: dict[int, float] = field(default_factory=dict)
    end: int = 0
    overrun: Overrun | None = None
    is_dead: bool = False


@dataclass(frozen=True)
class Flight:
    """An answer on its way."""

    job: Job
    window: windows.Window
    overrun: Overrun | None


class World:
    """One run, its disk, its jobs and a network, driven by whoever calls its methods."""

    def __init__(self, room: Room, habits: Habits, *, speakers: Any = "one", with_plateau: bool = False) -> None:
        self.room, self.habits, self.speakers = room, habits, speakers
        self.shelf, self.now, self.ids = Shelf(), 0.0, 0
        self.pending: Run | None = None
        self.run = Run("none", "", "", "", 0, 0.0)
        self.events: list[int] = []
        self.jobs: list[Job] = []
        self.flights: list[Flight] = []
        self.checkpoints: list[attempts.Checkpoint] = []
        self.used: dict[tuple[int, int], dict[int, float]] = {}
        self.stored: dict[tuple[int, int, str], float] = {}
        self.keys: dict[str, tuple[changes.ChangeRequest, str]] = {}
        self.traffic: dict[str, int] = {}
        base = Schedule.of(BASE)
        self._save(making.make("run", "llama", base, self.now))
        if with_plateau:
            parameters = plateau.PlateauParameters(factor=0.5, patience=1, min_lr=0.002)
            self._save(plateau.control(self.run, "loss", "loss", parameters, "ann", self.now))

    # the service

    def _save(self, outcome: Outcome[Any]) -> None:
        if outcome.run.events % 8 == 0 and from_json(to_json(outcome.run)) != outcome.run:
            raise Violation("a run is not what is read back from disk")
        self.events += [event.number for event in outcome.events]
        if self.events != list(range(1, outcome.run.events + 1)):
            raise Violation(f"events have a gap, or come twice: {self.events[-5:]}, {outcome.run.events}")
        self.shelf.keep(outcome)
        self.run = outcome.run

    def count(self, kind: str) -> None:
        """Counts traffic: a history of nothing proves nothing."""
        self.traffic[kind] = self.traffic.get(kind, 0) + 1

    def reports_of(self, metric: str, attempt: int, start: int, stop: int) -> Iterable[tuple[int, float]]:
        """What is stored of a metric, in order."""
        found = sorted((n, value) for (a, n, name), value in self.stored.items() if (a, name) == (attempt, metric))
        return [(n, value) for n, value in found if start <= n < stop]

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
        before, curve = self.run, self.shelf.curve(self.run.schedule_id)
        try:
            outcome = self.room.attach(self.run, request, self.now, self.shelf, self.reports_of, LIMITS)
        except (AttemptMoved, Occupied, PositionAhead):  # the last one: the run ends before that checkpoint now
            self.count("refused")
            return
        self._save(outcome)
        self.count("attached")
        for job in self.jobs:
            job.is_dead = job.is_dead or random.Random(self.ids).random() < 0.5
        answer = outcome.answer
        if not any(event.kind.startswith(("change-", "rolled")) for event in outcome.events):
            self._check_replay(before, curve, k)
        groups = [(0, 1, 2)] if self.speakers == "one" else [(0,), (1,), (2,)]
        for ranks in groups:
            self.jobs.append(
                Job(request.token, answer.attempt, k, k, answer.revision, answer.schedule_id, ranks, end=k)
            )
        self._again(request, answer)

    def _again(self, request: attempts.AttachRequest, answer: attempts.Attached) -> None:
        """The same attach again, as after a lost answer, opens nothing."""
        again = self.room.attach(self.run, request, self.now, self.shelf, self.reports_of, LIMITS)
        if again.answer.attempt != answer.attempt or again.run != self.run:
            raise Violation("an attach that came twice opened two attempts")

    def _check_replay(self, before: Run, was: Curve, k: int) -> None:
        curve = self.shelf.curve(self.run.schedule_id)
        for n in range(k, before.horizon):
            old, new = (each.lr(min(n, each.total_iterations)) for each in (was, curve))
            if old != new:
                raise Violation(f"replay of {n} has {new}, not {old}")

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
            self.count("fenced")
            if job.attempt == self.run.attempt_number:
                raise Violation("the present attempt was fenced") from None
            job.is_dead = True
            return
        except PreheatError as error:
            raise Violation(f"a job that does everything right is refused: {error}") from None
        self._check_present(job)
        flight = Flight(job, outcome.answer, job.overrun)
        if fate == "lost" and not self.habits.commits_first:  # the process dies between answer and commit
            self.shelf.keep(outcome)
            self.deliver(flight)
            return
        self._save(outcome)
        self.count(f"window-{fate}")
        if fate in {"ok", "twice"}:
            self.deliver(flight)
        if fate in {"late", "twice"}:
            self.flights.append(flight)

    def _check_present(self, job: Job) -> None:
        if job.attempt != self.run.attempt_number:
            raise Violation(f"attempt {job.attempt} got a window, and {self.run.attempt_number} is the present one")

    def deliver(self, flight: Flight) -> None:
        """An answer arrives: adopted if it begins where the ranks have been told to, else thrown away."""
        job, window = flight.job, flight.window
        if job.is_dead or window.attempt != job.attempt:
            return
        if self.habits.throws_away and window.start < job.end:
            self.count("thrown-away")
            return
        curve = self.shelf.curve(window.schedule_id)
        for n in range(window.start, window.stop):
            job.told[n] = self._lr(curve, window, n)
        if not self.habits.throws_away:
            job.end, job.have = max(job.end, window.stop), max(job.have, window.stop)
        else:
            job.end = job.have = window.stop
        job.revision, job.schedule_id = window.revision, window.schedule_id
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
        self.count("overrun")
        start = job.overrun.start if job.overrun else job.end
        job.overrun = Overrun(start, job.end + iterations, job.overrun.revision if job.overrun else job.revision)
        curve = self.shelf.curve(job.schedule_id)
        for n in range(job.end, job.end + iterations):
            job.told[n] = curve.lr(min(n, curve.total_iterations))[0]
        job.end += iterations

    def run_on(self, job: Job, iterations: int) -> None:
        """Every rank of a job runs on, as far as it has been told."""
        for n in range(job.position, min(job.position + iterations, job.end)):
            if job.is_dead or n not in job.told:
                return
            self.count("used")
            ranks = self.used.setdefault((job.attempt, n), {})
            for rank in job.ranks:
                # a rank that runs an iteration again has its own last word, as in a log
                if ranks.setdefault(rank, job.told[n]) != job.told[n] or len({*ranks.values(), job.told[n]}) > 1:
                    raise Violation(f"attempt {job.attempt} has two LRs at {n}: {ranks}, {job.told[n]}")
            job.position = n + 1

    def save_checkpoint(self, job: Job) -> None:
        """A checkpoint of where a job is, if it is alive."""
        if not job.is_dead:
            known = attempts.Checkpoint("run", job.attempt, job.revision, job.position, job.have, job.overrun)
            self.checkpoints.append(known)

    # people and programs

    def change(self, author: str, operation: dict[str, Any], fate: str, **when: Any) -> None:
        """A change by an author who has just looked; with a fate its answer gets lost, and the author asks again."""
        self.ids += 1
        request = changes.ChangeRequest(operation, "why not", author, confirm=True, **when)
        precondition = changes.Precondition(self.run.etag, f"key-{self.ids}")
        change_id = f"c{self.ids}"
        before = self.run
        try:
            outcome = self.room.change(self.run, request, precondition, change_id, self.now, self.shelf, LIMITS)
        except (PreheatError, InvalidSpec) as error:
            self.count(f"change-refused-{type(error).__name__}")
            return
        self._save(outcome)
        self.count("change")
        effect = outcome.answer.effect
        if effect is None or effect < before.horizon:
            raise Violation(f"a change is in force from {effect} on, and {before.horizon} has been handed out")
        if fate == "lost":
            self._retry(request, precondition, change_id)
        stale = changes.Precondition(before.etag, f"stale-{self.ids}")
        try:
            self.room.change(self.run, request, stale, "stale", self.now, self.shelf, LIMITS)
        except PreconditionFailed:
            return
        except (PreheatError, InvalidSpec):
            return
        raise Violation("a change was accepted on what its author had not seen")

    def _retry(self, request: changes.ChangeRequest, precondition: changes.Precondition, change_id: str) -> None:
        self.count("retry")
        count = len(self.run.changes)
        try:
            outcome = self.room.change(self.run, request, precondition, "again", self.now, self.shelf, LIMITS)
        except PreconditionFailed:
            # whoever gets a 412 looks, and sends it once more
            raise Violation("a retry of an accepted change was refused: people scale twice") from None
        if len(outcome.run.changes) != count or outcome.answer.change.id != change_id:
            raise Violation("a change was made twice")
        try:
            other = replace(request, why="another")
            self.room.change(self.run, other, precondition, "other", self.now, self.shelf, LIMITS)
        except KeyReused:
            return
        raise Violation("a key took another request")

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
        self.count("rollback")

    def report(self, job: Job, value: float, fate: str) -> None:
        """A job reports its loss; with a fate twice, or from every rank."""
        if job.is_dead or job.position == 0:
            return
        n = job.position - 1
        for batch in [((n, value),), ((n, value),)][: 2 if fate == "twice" else 1]:
            made = tuple(reports.Report(n, "loss", value) for n, value in batch)
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
            self.count("report")
            self.stored |= {(job.attempt, each.iteration, each.name): each.value for each in outcome.answer}

    # the checker

    def check(self) -> None:
        """Holds the record against what every rank has used."""
        for (attempt, n), ranks in self.used.items():
            found = entry(self.run, attempt, n)
            if found is None:
                raise Violation(f"attempt {attempt} is not in the record")
            owner = self.run.attempt_of(found.attempt)
            if owner is None or found.certainty == "unknown" or n >= owner.acknowledged:
                continue
            curve = self.shelf.curve(found.schedule_id)
            recorded = curve.lr(min(n, curve.total_iterations))[0]
            if {*ranks.values()} != {recorded} and found.attempt == attempt:
                raise Violation(f"attempt {attempt} used {ranks} at {n}, and the record says {recorded}")
        self._check_horizon()
        self._check_plateau()

    def _check_horizon(self) -> None:
        attempt = self.run.attempt
        if attempt is None:
            return
        is_free = not attempt.overruns
        if is_free and attempt.handed - max(attempt.position, attempt.start) > LIMITS.window_cap:
            raise Violation(f"{attempt.handed} is handed out, and the position is {attempt.position}")
        for job in self.jobs:
            if job.attempt == attempt.number and not job.is_dead and job.overrun is None and job.end > attempt.handed:
                raise Violation(f"ranks were told up to {job.end}, and {attempt.handed} is on disk")

    def _check_plateau(self) -> None:
        """Torch's class, fed by hand with what is on the line to the root, is where the controller is."""
        for controller in self.run.controllers:
            expected: dict[str, Any] = {}
            ways = line(self.run, self.run.attempt_number)
            for attempt, stop in reversed(ways):
                for _, value in self.reports_of("loss", attempt.number, 0, 1 << 60 if stop is None else stop):
                    expected, _ = plateau.stepped(
                        controller.parameters, controller.param_groups, expected, value, [1.0]
                    )
            if expected != controller.state:
                raise Violation(f"the controller is at {controller.state}, torch's at {expected}")
