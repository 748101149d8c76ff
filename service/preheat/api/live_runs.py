"""Live runs as routes use them: each request is decided about by `preheat.runs`, saved, and counted."""

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from preheat.api.run_curves import StoredCurves
from preheat.budget import NO_DEADLINE, Deadline, check_length
from preheat.curve import Curve
from preheat.observability.metrics import Metrics
from preheat.runs import attempts, changes, making, plateau, reports, windows
from preheat.runs.draft import Outcome
from preheat.runs.errors import ConfirmationRequired, KnowsMore, RunDiffers
from preheat.runs.events import Event
from preheat.runs.knowledge import raise_generation
from preheat.runs.limits import Limits
from preheat.runs.preview import Preview, preview
from preheat.runs.record import line
from preheat.runs.rehearsal import rehearse_rollback
from preheat.runs.run import Controller, Run
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.store import Database
from preheat.store.curves import Catalogue
from preheat.store.run_history import Extents, RunHistory
from preheat.store.run_lists import RunPage, RunSearch, list_runs
from preheat.store.runs import HeldRun, RunStore

Answer = TypeVar("Answer")

_REPORTING_S, _PAUSE_S = 0.5, 0.01
"""How long the reports of one request are taken, and the pause between two parts of them, for other writers."""

_HELD_S = 2.0
"""How long a person's request or an attach may compute while it holds its run: windows wait meanwhile."""


class LiveRuns:
    """Every run of a database, for requests of jobs and people.

    `watch` is told of runs that have new events. A method that a process may repeat raises what `preheat.runs` does,
    RunNotFound and StoreUnavailable; what it returns is on the disk.
    """

    def __init__(
        self,
        database: Database,
        catalogue: Catalogue,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = _limits(settings)
        self.store, self.history = RunStore(database, self.limits), RunHistory(database)
        self.clock = clock
        self.watch: Callable[[str], None] = lambda _: None
        self._database, self._catalogue = database, catalogue
        self._settings, self._metrics = settings, metrics

    # Making and ending

    def make(self, label: str, base: Schedule, *, is_unique: bool) -> tuple[Run, bool]:
        """The run of a label, found or new, and whether it is new. Raises RunDiffers."""

        def will_do(found: Run) -> bool:
            if is_unique:
                making.check_same(found, base)
            return is_unique

        made = making.make(_new_id(16), label, base, self.clock())
        run, is_new = self.store.make(made, will_do)
        if is_new:
            self._tell(run.id, made.events)
        return run, is_new

    def fork(self, run_id: str, request: making.ForkRequest, author: str, key: str | None) -> tuple[Run, bool]:
        """The forked run, and whether it is new. Raises RunDiffers if a living run has the label."""
        digest = changes.digest_of("fork", request)
        with self.store.held(run_id, makes_another=True) as held:
            known = changes.kept_answer(held.run, author, key, digest)
            if known is None:
                found = held.named(request.label)
                if found is not None:
                    raise RunDiffers(request.label, found, "it is not finished", {})
                within = Deadline(_HELD_S)
                made = making.fork(held.run, request, _new_id(16), self.clock(), self._curves(held, within))
                held.make(made, [held.run.schedule_id, *(each.schedule_id for each in made.run.attempts)])
                held.save(making.keep_fork(held.run, author, key or "", digest, made.run.id, self.clock(), self.limits))
        if known is not None:
            return self.store.get(known.change), False
        self._tell(made.run.id, made.events)
        return made.run, True

    def finish(self, run_id: str, author: str) -> Run:
        """The run, which takes nothing more."""
        return self._decided(run_id, lambda held: making.finish(held.run, author, self.clock())).run

    def lock(self, run_id: str, author: str, *, is_locked: bool) -> Run:
        """The run, which takes changes or not."""
        return self._decided(run_id, lambda held: making.lock(held.run, author, self.clock(), is_locked=is_locked)).run

    def delete(self, run_id: str) -> None:
        """Removes a run, with the schedules that it alone needs. Raises RunAlive."""
        for schedule_id in self.store.delete(run_id, lambda run: making.check_deletable(run, self.clock())):
            self._catalogue.forget(schedule_id)
        self.watch(run_id)

    def page(self, search: RunSearch, limit: int, before: int | None) -> tuple[list[Run], int | None]:
        """A page of the list, and the number below which the next one begins."""
        page: RunPage = list_runs(self._database, search, limit, before, self.clock())
        return self.store.several(page.ids), page.next

    def events(self, run_id: str, after: int | None, limit: int) -> tuple[list[Event], int]:
        """Events after a number, none without one, and the number of the last. Raises EventsTrimmed."""
        events = [] if after is None else self.history.events(run_id, after, limit)
        return events, self.history.last_event(run_id)

    def reported(self, run: Run, name: str, window: range, most: int) -> Extents:
        """What was reported under a name in a window on the line of the last attempt, in about `most` parts."""
        found = Extents([], [])
        for lane, stop in reversed(line(run, run.attempt_number)):
            end = window.stop if stop is None else min(stop, window.stop)
            own = range(max(lane.start, window.start), min(end, run.shared_until(lane.number) or end))
            if own:
                extents = self.reported_in(run, lane.number, name, own, window, most)
                found.numbers.extend(extents.numbers)
                found.others.extend(extents.others)
        return found

    def reported_in(self, run: Run, attempt: int, name: str, own: range, window: range, most: int) -> Extents:
        """What an attempt reported under a name in its `own` part of a window that has at most about `most` parts."""
        parts = -(-most * len(own) // len(window))
        return self.history.extents(run.owner_of(attempt), attempt, name, own, parts)

    def reported_names(self, run: Run) -> list[str]:
        """The names under which something was reported on the line of the last attempt."""
        found = set[str]()
        for lane, _ in line(run, run.attempt_number):
            found.update(self.history.names(run.owner_of(lane.number), lane.number))
        return sorted(found)

    # Jobs

    def attach(self, run_id: str, request: attempts.AttachRequest) -> tuple[Run, attempts.Attached, bool]:
        """The run, the attempt that was opened or joined, and whether it is new."""

        def decide(held: HeldRun) -> Outcome[attempts.Attached]:
            now, curves = self.clock(), self._curves(held, Deadline(_HELD_S))
            return attempts.attach(held.run, request, now, curves, held.reports, self.limits)

        outcome = self._decided(run_id, decide)
        return outcome.run, outcome.answer, any(event.kind == "attached" for event in outcome.events)

    def close(self, run_id: str, attempt: int, token: str, position: int) -> Run:
        """The run, whose speaker has said goodbye."""
        return self._decided(run_id, lambda held: attempts.close(held.run, attempt, token, position, self.clock())).run

    def window(
        self,
        run_id: str,
        request: windows.WindowRequest,
        batch: tuple[reports.Report, ...],
        told: tuple[reports.Told, ...],
    ) -> tuple[Run, windows.Window, reports.Taken]:
        """The run, its next window, and what became of the reports."""

        def decide(held: HeldRun) -> tuple[windows.Window, reports.Taken]:
            outcome = windows.hand_out(held.run, request, self.clock(), self._curves(held), self.limits)
            held.save(outcome)
            # Afterwards: what follows from a report cannot touch what is being handed out.
            return outcome.answer, self._report_first(held, request.attempt, request.token, batch, told)

        run, (window, taken) = self._held(run_id, decide)
        if taken.left:
            run, taken = self._report_more(run, request.attempt, request.token, taken)
        self._metrics.count_window()
        return run, window, taken

    def report(
        self,
        run_id: str,
        attempt: int,
        token: str,
        batch: tuple[reports.Report, ...],
        told: tuple[reports.Told, ...],
    ) -> tuple[Run, reports.Taken]:
        """The run, and what became of the reports."""

        def act(held: HeldRun) -> reports.Taken:
            windows.present(held.run, attempt, token)  # who has nothing to tell is told that it is superseded, too
            return self._report_first(held, attempt, token, batch, told)

        run, taken = self._held(run_id, act)
        return self._report_more(run, attempt, token, taken) if taken.left else (run, taken)

    def _report_first(
        self,
        held: HeldRun,
        attempt: int,
        token: str,
        batch: tuple[reports.Report, ...],
        told: tuple[reports.Told, ...],
    ) -> reports.Taken:
        """Takes all of a batch, or nothing yet of one that is long; and what ranks say that they had."""
        in_order = sorted(batch, key=lambda each: each.iteration)
        is_short = len(reports.part_of(held.run, in_order, self.limits)) == len(batch)
        stored = self._report(held, attempt, token, batch) if is_short else 0
        alarms = 0
        if told:
            found = reports.alarms(held.run, attempt, token, told, self.clock(), self._curves(held))
            held.save(found)
            alarms = found.answer
        return reports.Taken(stored, alarms, () if is_short else tuple(in_order))

    def _report_more(self, run: Run, attempt: int, token: str, before: reports.Taken) -> tuple[Run, reports.Taken]:
        """Takes what was left, in parts that hold the run, and the whole of SQLite, for a moment each.

        After `_REPORTING_S` the rest stays left: who waits for the answer must have it before it gives up, or it would
        send the same again for ever. What is stored already is passed over at once.
        """
        known = self.history.known(run.id, attempt, before.left)
        left = tuple(each for each in before.left if not reports.is_same(known.get((each.iteration, each.name)), each))
        stored, until = before.stored, time.monotonic() + _REPORTING_S

        def act(held: HeldRun) -> tuple[int, int]:
            part = reports.part_of(held.run, left, self.limits)
            return len(part), self._report(held, attempt, token, part)

        while left:
            run, (taken, count) = self._held(run.id, act)
            left, stored = left[taken:], stored + count
            if not left or time.monotonic() > until:
                break
            time.sleep(_PAUSE_S)
        return run, reports.Taken(stored, before.alarms, left)

    def _report(self, held: HeldRun, attempt: int, token: str, batch: tuple[reports.Report, ...]) -> int:
        """How many of some reports were stored."""
        if not batch:
            return 0
        known, room = held.known(attempt, batch), self.limits.most_reports - held.report_count
        outcome = reports.report(
            held.run, attempt, token, batch, known, self.clock(), self._curves(held), self.limits, room
        )
        held.save(outcome, outcome.answer, attempt)
        return len(outcome.answer)

    # Changes

    def change(
        self,
        run_id: str,
        request: changes.ChangeRequest,
        precondition: changes.Precondition,
        deadline: Deadline,
    ) -> tuple[Run, changes.Accepted]:
        """The run with a change."""
        change_id = _new_id(8)

        def decide(run: Run, curves: StoredCurves, within: Deadline) -> Outcome[changes.Accepted]:
            outcome = changes.change(run, request, precondition, change_id, self.clock(), curves, self.limits, within)
            self._check_lengths(outcome)
            return outcome

        # Rehearsed on what is there now, without holding it: a spec that is wrong never keeps a window waiting, and
        # what is computed for it is in memory when it is done.
        decide(self.store.get(run_id), self.free_curves(deadline), deadline)

        def decide_held(held: HeldRun) -> Outcome[changes.Accepted]:
            within = Deadline(_HELD_S)
            return decide(held.run, self._curves(held, within), within)

        outcome = self._decided(run_id, decide_held)
        return outcome.run, outcome.answer

    def dry_run(
        self, run_id: str, request: changes.ChangeRequest, if_match: str | None, deadline: Deadline
    ) -> tuple[Run, Preview, list[str], tuple[Curve, Curve]]:
        """What a change would do now, why it would have to be confirmed, and the curves before and after it."""
        run, curves, now = self.store.get(run_id), self.free_curves(deadline), self.clock()
        precondition = _of_a_trial(run, if_match)

        def decide(*, confirm: bool) -> Outcome[changes.Accepted]:
            asked = changes.ChangeRequest(**{**request.__dict__, "confirm": confirm})
            return changes.change(run, asked, precondition, "dry-run", now, curves, self.limits, deadline)

        reasons: list[str] = []
        try:
            outcome = decide(confirm=False)
        except ConfirmationRequired as error:
            reasons = error.members["reasons"]
            outcome = decide(confirm=True)
        before, after = self._sides(run, outcome, curves)
        return run, preview(outcome.answer.effect or 0, before, after, deadline), reasons, (before, after)

    def cancel(
        self, run_id: str, change_id: str, author: str, precondition: changes.Precondition
    ) -> tuple[Run, changes.Accepted]:
        """The run without a change that was not handed out."""

        def decide(held: HeldRun) -> Outcome[changes.Accepted]:
            now, curves = self.clock(), self._curves(held, Deadline(_HELD_S))
            return changes.cancel(held.run, change_id, author, precondition, now, curves, self.limits)

        outcome = self._decided(run_id, decide)
        return outcome.run, outcome.answer

    def roll_back(self, run_id: str, request: making.RollbackRequest, precondition: changes.Precondition) -> Run:
        """The run, whose job is asked to restart."""
        return self._decided(
            run_id, lambda held: making.roll_back(held.run, request, precondition, self.clock(), self.limits)
        ).run

    def rehearse_rollback(
        self, run_id: str, request: making.RollbackRequest, if_match: str | None, deadline: Deadline
    ) -> tuple[Run, Outcome[attempts.Attached], Preview, tuple[Curve, Curve]]:
        """The run, what would come of a restart, and that as a preview with the curves before and after it."""
        run, curves = self.store.get(run_id), self.free_curves(deadline)
        precondition = _of_a_trial(run, if_match)
        outcome = rehearse_rollback(run, request, precondition, self.clock(), curves, self.limits)
        before, after = self._sides(run, outcome, curves)
        return run, outcome, preview(outcome.answer.start, before, after, deadline), (before, after)

    def withdraw_rollback(self, run_id: str, author: str, precondition: changes.Precondition) -> Run:
        """The run, whose job need not restart."""
        return self._decided(
            run_id, lambda held: making.withdraw_rollback(held.run, author, precondition, self.clock())
        ).run

    def control(
        self, run_id: str, metric: str, parameters: plateau.PlateauParameters, author: str
    ) -> tuple[Run, Controller, bool]:
        """The run with a controller, the one that was asked for, and whether it is new."""
        controller_id = _new_id(8)
        outcome = self._decided(
            run_id,
            lambda held: plateau.control(
                held.run, controller_id, metric, parameters, author, self.clock(), self.limits
            ),
        )
        return outcome.run, outcome.answer, bool(outcome.events)

    def release(self, run_id: str, controller_id: str, author: str) -> Run:
        """The run without a controller."""
        return self._decided(run_id, lambda held: plateau.release(held.run, controller_id, author, self.clock())).run

    # What they have in common

    def _decided(self, run_id: str, decide: Callable[[HeldRun], Outcome[Answer]]) -> Outcome[Answer]:
        def saved(held: HeldRun) -> Outcome[Answer]:
            outcome = decide(held)
            held.save(outcome)
            return outcome

        return self._held(run_id, saved)[1]

    def _held(self, run_id: str, act: Callable[[HeldRun], Answer]) -> tuple[Run, Answer]:
        """The run after what was done to it while it was held, and the answer."""
        try:
            with self.store.held(run_id) as held:
                answer = act(held)
        except KnowsMore as error:
            # Said only when it is on the disk that nobody of before gets anything more.
            with self.store.held(run_id) as held:
                held.save(raise_generation(held.run, error.members["generation"], self.clock()))
            self._tell(run_id, held.saved_events)
            raise
        self._tell(run_id, held.saved_events)
        return held.run, answer

    def _tell(self, run_id: str, events: Iterable[Event]) -> None:
        for event in events:
            self._metrics.count_run_event(event.kind)
        if events:
            self.watch(run_id)

    def _curves(self, held: HeldRun, within: Deadline = NO_DEADLINE) -> StoredCurves:
        # By the connection that holds the run: another one might have to wait for this one.
        return StoredCurves(self._catalogue, held.schedule, within)

    def free_curves(self, within: Deadline = NO_DEADLINE) -> StoredCurves:
        """Curves for who holds no run."""
        return StoredCurves(self._catalogue, self._catalogue.store.get, within)

    def _sides(self, run: Run, outcome: Outcome[Any], curves: StoredCurves) -> tuple[Curve, Curve]:
        """A run before and after what is only tried. Raises LimitExceeded."""
        self._check_lengths(outcome)
        before = curves.curve(run.schedule_id)
        return before, before if outcome.schedule is None else curves.curve_of(outcome.schedule)

    def _check_lengths(self, outcome: Outcome[Any]) -> None:
        """Raises LimitExceeded for a revision that is longer than runs may be."""
        for _, schedule in outcome.revisions:
            check_length(schedule.spec, self._settings)


def _of_a_trial(run: Run, if_match: str | None) -> changes.Precondition:
    """Without If-Match what is tried is tried on what is there."""
    return changes.Precondition(run.etag if if_match is None else if_match, _new_id(8))


def _new_id(size: int) -> str:
    return secrets.token_hex(size)


def _limits(settings: Settings) -> Limits:
    return Limits(
        window_cap=settings.max_window_iterations,
        lease_s=settings.run_lease_s,
        lease_all_s=settings.run_lease_all_s,
        stalled_after_s=settings.run_stalled_after_s,
        most_changes=settings.max_changes_per_run,
        most_attempts=settings.max_attempts_per_run,
        most_controllers=settings.max_controllers_per_run,
        most_events=settings.max_events_per_run,
        most_reports=settings.max_reports_per_run,
        more_followed=settings.max_followed_reports_per_run,
        automated_changes_per_thousand=settings.automated_changes_per_thousand,
    )
