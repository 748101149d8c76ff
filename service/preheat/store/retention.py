"""Retention: schedules that nothing used for a number of days are removed.

Age is counted in days that a service ran, by monotonic clocks alone: every process that finds the count as it left it
adds what went by since. So the count never runs faster than time does, whatever the clocks of the machines say; it
stands still while no service runs, and an age of N days in it is at least N days.
"""

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import Connection, and_, delete, or_, select, update

from preheat.errors import StoreUnavailable
from preheat.service_thread import ServiceThread
from preheat.store.changes import announce
from preheat.store.database import Database
from preheat.store.run_tables import run_revisions
from preheat.store.schedules import TOPIC
from preheat.store.tables import schedules, service, today

_LOG = logging.getLogger("preheat")
_ROWS_AT_ONCE = 200


class Retention:
    """Writes down which schedules were used, and removes those that were not for `days`; none, if that is None.

    `used` are ids to write down; others add to it, and this alone takes from it. What is used is written every
    `write_every_s`, on a thread, at most once a day for each schedule. Of several processes one counts and removes,
    every `count_every_s`.
    """

    def __init__(
        self,
        database: Database,
        used: set[str],
        days: int | None,
        clock: Callable[[], float] = time.monotonic,
        count_every_s: float = 600.0,
        write_every_s: float = 60.0,
    ) -> None:
        self._database, self._used, self._days = database, used, days
        self._clock, self._count_every_s = clock, count_every_s
        self._counted: int | None = None
        self._counted_at = self._next_count = clock()
        self._write_every_s = write_every_s
        self._thread = ServiceThread("retention", self._run, write_every_s)

    def start(self) -> None:
        """Begins to do it, on a thread."""
        self._counted = None  # what went by since it was stopped is not counted
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, and writes down what was used."""
        self._thread.stop()
        try:
            self.write_down()
        except StoreUnavailable:
            _LOG.warning("which schedules were used in the last minute is not written down")

    def write_down(self) -> None:
        """Writes that schedules were used today, where it is not written yet. Raises StoreUnavailable."""
        while ids := _take(self._used, _ROWS_AT_ONCE):
            try:
                self._write_down(ids)
            except Exception:
                self._used.update(ids)
                raise

    def count(self) -> bool:
        """Counts the time since the last call, unless another process has; returns whether. Raises StoreUnavailable."""
        now = self._clock()
        # At most what should have gone by since the last call, and some: a clock that jumps is none to go by.
        elapsed = int(min(max(now - self._counted_at, 0), 2 * self._count_every_s))
        with self._database.transaction("write") as connection:
            longer = service.c.served_s + elapsed
            as_left = update(service).where(service.c.served_s == self._counted).values(served_s=longer)
            is_ours = connection.execute(as_left).rowcount == 1
            self._counted = connection.scalar(select(service.c.served_s))
        self._counted_at = now
        return is_ours

    def sweep(self) -> int:
        """Removes what was not used for `days`, some at a time; returns how many. Raises StoreUnavailable."""
        if self._days is None:
            return 0
        self._repeat(self._date)
        removed = self._repeat(self._remove)
        if removed:
            _LOG.warning("removed %d schedules that were not used for %d days", removed, self._days)
        return removed

    def _repeat(self, change: Callable[[Connection], int]) -> int:
        """Changes some rows after the other, each time with a pause for other writers; returns how many in all."""
        total = 0
        while True:
            with self._database.transaction("write") as connection:
                changed = change(connection)
            total += changed
            if changed < _ROWS_AT_ONCE or self._thread.stopping.wait(0.01):
                return total

    def _write_down(self, ids: list[str]) -> None:
        earlier = schedules.c.id.in_(ids), or_(schedules.c.used_on.is_(None), schedules.c.used_on < today)
        with self._database.transaction() as connection:  # takes no write lock, and once a day there is more to do
            if connection.execute(select(schedules.c.number).where(*earlier).limit(1)).first() is None:
                return
        with self._database.transaction("write") as connection:
            connection.execute(update(schedules).where(*earlier).values(used_on=today))

    def _date(self, connection: Connection) -> int:
        """Begins to count the age of schedules of which nobody knows when they were used."""
        some = select(schedules.c.number).where(schedules.c.used_on.is_(None)).limit(_ROWS_AT_ONCE)
        return connection.execute(
            update(schedules).where(schedules.c.number.in_(some), schedules.c.used_on.is_(None)).values(used_on=today)
        ).rowcount

    def _remove(self, connection: Connection) -> int:
        # The day of its use may just have ended: `days` whole days have to lie between.
        # What a run needs stays, however old: what its job used is read from there.
        is_needed = select(run_revisions.c.number).where(run_revisions.c.schedule == schedules.c.id).exists()
        is_old = and_(schedules.c.used_on < today - self._days, ~is_needed)
        some = select(schedules.c.number).where(is_old).limit(_ROWS_AT_ONCE)
        # The condition once more: where rows are locked one by one, it may have been used since it was chosen.
        removal = delete(schedules).where(schedules.c.number.in_(some), is_old).returning(schedules.c.id)
        ids = list(connection.execute(removal).scalars())
        if ids:
            announce(self._database, connection, TOPIC, ids)
        return len(ids)

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(self._write_every_s):
            try:
                self.write_down()
                if self._days is not None and self._clock() >= self._next_count:
                    self._next_count = self._clock() + self._count_every_s
                    if self.count():
                        self.sweep()
            except StoreUnavailable:  # logged by the database; done the next time
                continue


def _take(ids: set[str], most: int) -> list[str]:
    """Takes up to so many out of a set that others add to meanwhile."""
    taken: list[str] = []
    while ids and len(taken) < most:
        taken.append(ids.pop())
    return taken
