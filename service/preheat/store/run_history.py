"""History of live runs in the database: their events, and what their jobs reported."""

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from sqlalchemy import Connection, Double, case, cast, func, select

from preheat.runs.errors import RunNotFound
from preheat.runs.events import Event, check_kept
from preheat.runs.reports import Report
from preheat.store.database import Database
from preheat.store.run_tables import run_events, run_reports

_AT_ONCE = 100
"""Places in one statement, which looks for each of their names at each of their iterations."""


@dataclass(frozen=True)
class Extents:
    """What was reported in the parts of a window that have anything, ascending.

    `numbers` has the first and the last iteration of the finite values of a part, and the lowest and highest of these;
    `others` the first and the last iteration of those that are NaN or infinite, and how many there are.
    """

    numbers: list[tuple[int, int, float, float]]
    others: list[tuple[int, int, int]]


_NO_NUMBERS = ("nan", "inf", "-inf")


@dataclass(frozen=True)
class Series:
    """What was reported under a name: iterations, ascending, and values; the names that there are; what follows."""

    iterations: list[int]
    values: list[float]
    names: list[str]
    next: int | None


class RunHistory:
    """Events and reports of runs. Each method raises StoreUnavailable while the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(self, run_id: str, after: int, limit: int) -> list[Event]:
        """The next events after a number, up to `limit`.

        Raises RunNotFound, and EventsTrimmed where what followed that number is not there any more.
        """
        own = run_events.c.run == run_id
        with self._database.transaction() as connection:
            query = select(run_events).where(own, run_events.c.number > after).order_by(run_events.c.number)
            rows = connection.execute(query.limit(limit)).all()
            if not rows or rows[0].number > after + 1:
                # None, or a gap: they are trimmed or lost, or there is no such run.
                first = connection.scalar(select(func.min(run_events.c.number)).where(own))
                if first is None:  # as in `last_event`
                    raise RunNotFound(run_id)
                last = rows[-1].number if rows else connection.scalar(select(func.max(run_events.c.number)).where(own))
                check_kept(after, first, last)
        return [Event(row.number, row.kind, row.at, orjson.loads(row.data)) for row in rows]

    def last_event(self, run_id: str) -> int:
        """The number of the last event. Raises RunNotFound."""
        with self._database.transaction() as connection:
            last = connection.scalar(select(func.max(run_events.c.number)).where(run_events.c.run == run_id))
        if last is None:  # every run has been made, which is an event, and the last one is never trimmed
            raise RunNotFound(run_id)
        return int(last)

    def series(self, run_id: str, attempt: int, name: str, start: int, stop: int, limit: int) -> Series:
        """What an attempt reported under a name of iterations start … stop − 1, the first `limit`."""
        with self._database.transaction() as connection:
            found = read_reports(connection, run_id, name, attempt, start, stop, limit + 1)
            names = reported_names(connection, run_id, attempt)
        kept = found[:limit]
        following = found[limit][0] if len(found) > limit else None
        return Series([n for n, _ in kept], [value for _, value in kept], sorted(names), following)

    def names(self, run_id: str, attempt: int) -> list[str]:
        """The names under which an attempt has reported."""
        with self._database.transaction() as connection:
            return reported_names(connection, run_id, attempt)

    def known(self, run_id: str, attempt: int, batch: Iterable[Report]) -> dict[tuple[int, str], float]:
        """What is stored of an attempt under the iterations and names of a batch."""
        with self._database.transaction() as connection:
            return reports_under(connection, run_id, attempt, batch)

    def extents(self, run_id: str, attempt: int, name: str, window: range, most: int) -> Extents:
        """What an attempt reported under a name in a window, all of it in at most `most` parts of the same length."""
        reports = run_reports.c
        own = (reports.run == run_id, reports.attempt == attempt, reports.name == name)
        inside = (reports.iteration >= window.start, reports.iteration < window.stop)
        is_other = reports.value.in_(_NO_NUMBERS)
        number = case((is_other, None), else_=cast(reports.value, Double))
        of_number, of_other = case((is_other, None), else_=reports.iteration), case((is_other, reports.iteration))
        extremes = [
            most_or_least(each) for each in (of_number, number, of_other) for most_or_least in (func.min, func.max)
        ]
        query = select(*extremes, func.count(of_other)).where(*own, *inside)
        # Whole columns of a picture, so that a spike or the newest value is never what is left out.
        part = (reports.iteration - window.start) // -(-len(window) // most)
        with self._database.transaction() as connection:
            rows = connection.execute(query.group_by(part).order_by(func.min(reports.iteration))).all()
        return Extents(
            [(int(row[0]), int(row[1]), float(row[2]), float(row[3])) for row in rows if row[0] is not None],
            [(int(row[4]), int(row[5]), int(row[6])) for row in rows if row[6]],
        )


def reported_names(connection: Connection, run_id: str, attempt: int) -> list[str]:
    """The names under which an attempt has reported."""
    own = (run_reports.c.run == run_id, run_reports.c.attempt == attempt)
    first = select(func.min(run_reports.c.name)).where(*own)
    names: list[str] = []
    # One after the other, from the index: a DISTINCT reads every report that there is.
    name = connection.scalar(first)
    while name is not None:
        names.append(name)
        name = connection.scalar(first.where(run_reports.c.name > name))
    return names


def read_reports(
    connection: Connection, run_id: str, name: str, attempt: int, start: int, stop: int, limit: int | None = None
) -> list[tuple[int, float]]:
    """A metric's reports of iterations start … stop − 1 in an attempt, ascending."""
    place = (run_reports.c.run == run_id, run_reports.c.attempt == attempt, run_reports.c.name == name)
    window = (run_reports.c.iteration >= start, run_reports.c.iteration < stop)
    query = select(run_reports.c.iteration, run_reports.c.value).where(*place, *window)
    rows = connection.execute(query.order_by(run_reports.c.iteration).limit(limit))
    return [(row.iteration, float(row.value)) for row in rows]


def reports_under(
    connection: Connection, run_id: str, attempt: int, batch: Iterable[Report]
) -> dict[tuple[int, str], float]:
    """What is stored of an attempt under the iterations and names of a batch."""
    found: dict[tuple[int, str], float] = {}
    places = sorted({(each.iteration, each.name) for each in batch})
    for begin in range(0, len(places), _AT_ONCE):
        iterations, names = map(set, zip(*places[begin : begin + _AT_ONCE], strict=True))
        # Not a term for each place: for that a database may read all that the attempt has, while nobody else may write.
        near = (run_reports.c.name.in_(sorted(names)), run_reports.c.iteration.in_(sorted(iterations)))
        query = select(run_reports.c.iteration, run_reports.c.name, run_reports.c.value)
        rows = connection.execute(query.where(run_reports.c.run == run_id, run_reports.c.attempt == attempt, *near))
        found |= {(row.iteration, row.name): float(row.value) for row in rows}
    return {place: found[place] for place in places if place in found}
