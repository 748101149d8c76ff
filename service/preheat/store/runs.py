"""Live runs in the database: each is read, decided about and written in one transaction that holds it alone."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, insert, select, update

from preheat.cache import BoundedCache
from preheat.runs.draft import Outcome
from preheat.runs.errors import RunNotFound
from preheat.runs.events import Event
from preheat.runs.limits import DEFAULT_LIMITS, Limits
from preheat.runs.reports import Report
from preheat.runs.run import Run
from preheat.schedule import Schedule
from preheat.store.changes import announce
from preheat.store.database import Database
from preheat.store.run_history import read_reports, reports_under
from preheat.store.run_rows import insert_events, insert_run, read_run, update_run
from preheat.store.run_tables import OF_A_RUN, run_reports, run_revisions, runs
from preheat.store.schedules import delete_of_runs, insert_schedule, read_text
from preheat.store.tables import service

TOPIC = "runs"
"""Of the changes that are announced: the id of a run with new events, or that was deleted."""

_CACHE_BYTES = 64_000_000


@dataclass(frozen=True)
class _Kept:
    """A run as it was under a stamp."""

    stamp: str
    run: Run


class HeldRun:
    """A run within the transaction that holds it; what is saved is on the disk when that has ended."""

    def __init__(self, store: "RunStore", connection: Connection, run: Run, reports: int) -> None:
        self.run, self.report_count = run, reports
        self.stamp: str | None = None
        self.saved_events: list[Event] = []

        self._store, self._connection = store, connection

    def save(self, outcome: Outcome[Any], stored: Iterable[Report] = (), attempt: int = 0) -> None:
        """Writes what came of a request, and the reports of an attempt."""
        self.stamp = secrets.token_hex(8)
        store, connection, run = self._store, self._connection, outcome.run
        # Schedules first: revisions refer to them.
        store.keep_revisions(connection, run.id, outcome)
        update_run(connection, store.database.dialect, self.run, run, self.stamp, store.limits)
        insert_events(connection, run.id, outcome.events, store.limits.most_events)
        self._insert_reports(attempt, list(stored))
        self.run = run
        self.saved_events += outcome.events

    def make(self, outcome: Outcome[Any], of: Iterable[str] = ()) -> None:
        """Writes another run beside it: a fork, which needs the schedules `of` the attempts that it shares."""
        self._store.insert(self._connection, outcome, of)

    def named(self, label: str) -> str | None:
        """The id of the living run that a label names; of a run that is held to make another."""
        found = _labelled(self._connection, self._store.database, label)
        return None if found is None or found.phase == "FINISHED" else str(found.id)

    def schedule(self, schedule_id: str) -> Schedule:
        """A schedule that is stored. Raises ScheduleNotFound, ScheduleUnreadable."""
        return Schedule.stored(schedule_id, read_text(self._connection, schedule_id))

    def reports(self, metric: str, attempt: int, start: int, stop: int) -> list[tuple[int, float]]:
        """A metric's reports of iterations start … stop − 1 in an attempt, ascending."""
        return read_reports(self._connection, self.run.id, metric, attempt, start, stop)

    def known(self, attempt: int, batch: Iterable[Report]) -> dict[tuple[int, str], float]:
        """What is stored of an attempt under the iterations and names of a batch."""
        return reports_under(self._connection, self.run.id, attempt, batch)

    def _insert_reports(self, attempt: int, stored: list[Report]) -> None:
        if not stored:
            return
        rows = [
            {"run": self.run.id, "attempt": attempt, "name": each.name, "iteration": each.iteration,
             "value": repr(float(each.value))}
            for each in stored
        ]  # fmt: skip
        self._connection.execute(insert(run_reports), rows)
        self.report_count += len(rows)
        self._connection.execute(update(runs).where(runs.c.id == self.run.id).values(reports=self.report_count))


class RunStore:
    """Runs, each under its id.

    Each method raises StoreUnavailable while the database is. A run that was read is kept in memory, and used as long
    as the database has it under the same stamp.
    """

    def __init__(self, database: Database, limits: Limits = DEFAULT_LIMITS) -> None:
        self.database, self.limits = database, limits
        self._cache: BoundedCache[_Kept] = BoundedCache(_CACHE_BYTES, _weight)

    def get(self, run_id: str) -> Run:
        """The run with this id, as it was at some moment of the call. Raises RunNotFound."""
        stamp = select(runs.c.stamp).where(runs.c.id == run_id)
        with self.database.transaction() as connection:
            found = connection.scalar(stamp)
            kept = self._cache.get(run_id)
            if kept is None or kept.stamp != found:
                # Held, where another one may write between two statements: its rows must be of one moment.
                found = connection.scalar(stamp.with_for_update(read=True))
                if found is None:
                    raise RunNotFound(run_id)
                kept = _Kept(found, read_run(connection, run_id))
                self._cache.put(run_id, kept)
        return kept.run

    def several(self, run_ids: Iterable[str]) -> list[Run]:
        """The runs with these ids, without those that are no longer there."""
        found = []
        for run_id in run_ids:
            with suppress(RunNotFound):
                found.append(self.get(run_id))
        return found

    @contextmanager
    def held(self, run_id: str, *, makes_another: bool = False) -> Iterator[HeldRun]:
        """Holds a run; whatever was saved is committed at the end, or nothing if there is an error.

        Raises RunNotFound.
        """
        with self.database.transaction("write", keeps=True) as connection:
            if makes_another:
                _make_alone(connection)
            row = connection.execute(
                select(runs.c.stamp, runs.c.reports).where(runs.c.id == run_id).with_for_update()
            ).first()
            if row is None:
                raise RunNotFound(run_id)
            kept = self._cache.get(run_id)
            if kept is None or kept.stamp != row.stamp:
                kept = _Kept(row.stamp, read_run(connection, run_id))
            held = HeldRun(self, connection, kept.run, row.reports)
            yield held
            if held.saved_events:
                announce(self.database, connection, TOPIC, [run_id])
        # Only now: what was not committed never was. Of two that come here the other way round the stamps tell.
        self._cache.put(run_id, kept if held.stamp is None else _Kept(held.stamp, held.run))

    def make(self, outcome: Outcome[Any], will_do: Callable[[Run], bool]) -> tuple[Run, bool]:
        """A new run, or the one of its label if `will_do` says so of it; and whether it is new.

        `will_do` is told the newest run of the label that is not finished, or else the newest that is, and may raise.
        """
        with self.database.transaction("write") as connection:
            _make_alone(connection)
            row = _labelled(connection, self.database, outcome.run.label)
            if row is not None:
                connection.execute(select(runs.c.stamp).where(runs.c.id == row.id).with_for_update(read=True))
                found = read_run(connection, row.id)
                if will_do(found):
                    return found, False
            self.insert(connection, outcome)
        return outcome.run, True

    def delete(self, run_id: str, check: Callable[[Run], None]) -> list[str]:
        """Removes a run with all that is of it, if `check` raises nothing. Raises RunNotFound.

        Returns the ids of the schedules that went with it: those of its revisions that nothing else needs.
        """
        with self.database.transaction("write") as connection:
            stamp = select(runs.c.stamp).where(runs.c.id == run_id).with_for_update()
            if connection.scalar(stamp) is None:
                raise RunNotFound(run_id)
            check(read_run(connection, run_id))
            revisions = select(run_revisions.c.schedule).where(run_revisions.c.run == run_id).distinct()
            needed = sorted(connection.execute(revisions).scalars())
            for table in OF_A_RUN:
                connection.execute(delete(table).where(table.c.run == run_id))
            connection.execute(delete(runs).where(runs.c.id == run_id))
            removed = delete_of_runs(self.database, connection, needed)
            announce(self.database, connection, TOPIC, [run_id])
        self._cache.drop(run_id)
        return removed

    def insert(self, connection: Connection, outcome: Outcome[Any], of: Iterable[str] = ()) -> None:
        """Writes a new run, which needs schedules that are stored, too."""
        run = outcome.run
        insert_run(connection, self.database.dialect, run, secrets.token_hex(8), self.limits)
        for schedule_id in dict.fromkeys(of):
            connection.execute(insert(run_revisions).values(run=run.id, revision=None, schedule=schedule_id))
        self.keep_revisions(connection, run.id, outcome)
        insert_events(connection, run.id, outcome.events, self.limits.most_events)

    def keep_revisions(self, connection: Connection, run_id: str, outcome: Outcome[Any]) -> None:
        """Stores the schedules of new revisions."""
        for revision, schedule in outcome.revisions:
            insert_schedule(self.database.dialect, connection, schedule, outcome.events[-1].at, is_of_run=True)
            row = {"run": run_id, "revision": revision, "schedule": schedule.id}
            connection.execute(insert(run_revisions).values(row))


def _make_alone(connection: Connection) -> None:
    """Lets one transaction after the other make runs: of two that look for a label one makes its run.

    Before any run is held: held the other way round, two could wait for each other.
    """
    connection.execute(select(service.c.identity).with_for_update())


def _labelled(connection: Connection, database: Database, label: str) -> Any:
    """Id and phase of the newest run of a label that is not finished, or else of the newest that is."""
    query = select(runs.c.id, runs.c.phase).where(runs.c.label == database.dialect.storable(label))
    is_finished = case((runs.c.phase == "FINISHED", 1), else_=0)
    return connection.execute(query.order_by(is_finished, runs.c.number.desc()).limit(1)).first()


def _weight(kept: _Kept) -> int:
    """Bytes of a run in memory, roughly."""
    run = kept.run
    snapshots = sum(len(each.snapshots) for each in run.controllers)
    return 2_000 + len(run.base) + 1_500 * (len(run.attempts) + len(run.changes) + snapshots) + 400 * len(run.keys)
