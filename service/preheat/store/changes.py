"""Changes that the processes on one database tell each other: by a log that each reads, at once where it can be told.

A change is a row that is written in the transaction which makes it. Every process reads the rows that are new to it:
each second, and at once where the database notifies of them (LISTEN and NOTIFY of PostgreSQL). So a notification that
is lost costs a second.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, delete, func, insert, select

from preheat.errors import StoreUnavailable
from preheat.service_thread import ServiceThread
from preheat.store.database import Database
from preheat.store.tables import changes, keys

_LOG = logging.getLogger("preheat")
_EVERYTHING = "*"
_MOST_KEPT = 10_000

Receive = Callable[[str | None], None]
"""What is told of a change: the key of what changed, or None if it may be everything of its topic."""


def announce(database: Database, connection: Connection, topic: str, keys: Iterable[str]) -> None:
    """Tells every process on the database of changes, once the transaction is committed.

    Until the transaction ends, others that announce something wait: it is called last, or first by who needs that.
    """
    # Numbers are given before transactions are committed: without this a reader could see 8, and never 7.
    database.dialect.notify(connection)
    rows = [{"topic": topic, "key": key} for key in keys]
    connection.execute(insert(changes), rows)
    newest = select(func.max(changes.c.number)).scalar_subquery()
    connection.execute(delete(changes).where(changes.c.number <= newest - _MOST_KEPT))


def restore_backup(database: Database, file: Path) -> None:
    """Replaces a database with a backup, and tells every process on it that everything may have changed.

    Keys that the backup lacks stay as revoked ones: a service that finds no key at all asks for none.
    Raises StoreUnavailable; ValueError where there is another way to do it, or if the file is no backup.
    """
    newest = select(func.max(changes.c.number))
    read, known = 0, []
    with suppress(StoreUnavailable), database.transaction() as connection:
        read = connection.scalar(newest) or 0
        known = [dict(row) for row in connection.execute(select(keys)).mappings()]

    def finish(connection: Connection) -> None:
        # Above all that anybody has read, or they would take what the backup has for known.
        number = max(connection.scalar(newest) or 0, read) + 1
        connection.execute(insert(changes).values(number=number, topic=_EVERYTHING, key=""))
        there, now = set(connection.scalars(select(keys.c.hash))), int(time.time())
        for row in known:
            if row["hash"] not in there:
                row["revoked_at"] = row["revoked_at"] or now
                connection.execute(insert(keys).values({name: row[name] for name in row if name != "number"}))

    database.restore(file, finish)


class Changes:
    """Reads what other processes announce, on a thread with a connection of its own, and passes it on.

    `poll_s` is how long a change stays unknown at most where it is not notified, while the database answers.
    """

    def __init__(self, database: Database, poll_s: float = 1.0) -> None:
        self._database, self._poll_s = database, poll_s
        self._receivers: defaultdict[str, list[Receive]] = defaultdict(list)
        self._thread = ServiceThread("changes", self._run, poll_s)
        self._last: int | None = None

    def subscribe(self, topic: str, receive: Receive) -> None:
        """Passes changes of a topic to `receive`, on the thread; before `start`."""
        self._receivers[topic].append(receive)

    def start(self) -> None:
        """Begins to read, if others can see the database; where that is away, once it is back.

        The first time everything in memory is dropped, so that it has to be before there is something.
        """
        if self._database.is_shared:
            with suppress(StoreUnavailable):
                self.read()
            self._thread.start()

    def stop(self) -> None:
        """Ends the thread, within `poll_s`."""
        self._thread.stop()

    def read(self) -> None:
        """Passes on what is new. Raises StoreUnavailable."""
        with self._database.transaction() as connection:
            newest = connection.scalar(select(func.max(changes.c.number))) or 0
            # Before the first time, after a backup was restored, and where rows were removed unread.
            is_lost = self._last is None or not 0 <= newest - self._last <= _MOST_KEPT
            # Up to the newest: what PostgreSQL commits between the two queries would be read again the next time.
            query = select(changes.c.topic, changes.c.key).order_by(changes.c.number).where(changes.c.number <= newest)
            rows = [] if is_lost else connection.execute(query.where(changes.c.number > self._last)).all()
        self._last = newest
        if is_lost or any(row.topic == _EVERYTHING for row in rows):
            for topic in self._receivers:
                self._pass_on(topic, None)
        for row in rows:
            self._pass_on(row.topic, row.key)

    def _pass_on(self, topic: str, key: str | None) -> None:
        for receive in self._receivers.get(topic, ()):
            try:
                receive(key)
            except Exception:  # noqa: BLE001 - the thread must live; what it does not pass on stays unknown for good
                _LOG.exception("a change of %s was not taken in", topic)

    def _run(self, stopping: threading.Event) -> None:
        with self._database.listener() as listener:
            while not stopping.is_set():
                try:
                    self.read()
                except StoreUnavailable:  # logged by the database; what is missed meanwhile is read afterwards
                    stopping.wait(self._poll_s)
                else:
                    listener.wait(stopping, self._poll_s)
