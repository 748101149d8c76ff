"""Database dialects: what one kind of database does its own way, one file and one entry in `DIALECTS` each."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Insert, Table

from preheat.store.dialects import postgresql, sqlite

Purpose = Literal["read", "write", "migrate"]
"""What a transaction is for; it stands in its connection's execution option `purpose`."""


class Listener(Protocol):
    """Waits for changes that other processes announce."""

    def wait(self, stopping: threading.Event, timeout_s: float) -> None:
        """Returns when there may be one, or after the time; raises nothing."""
        ...


class Dialect(Protocol):
    """A kind of database; a module can be one."""

    BEGINNING_OF_URL: str
    """What its URLs begin with, as an operator must write it."""

    DRIVER_ERRORS: tuple[type[Exception], ...]
    """What the driver raises where SQLAlchemy does not translate it."""

    def create_engine(self, url: URL, timeout_s: float) -> Engine:
        """An engine that waits up to `timeout_s` for other writers; nothing is opened yet.

        Its transactions see only what was committed, are on the disk when they return, and begin as their purpose
        needs it: two that migrate must not run at the same time. The execution option `keeps` is set for those that are
        many and small, for which a connection had better stay open. Raises ValueError if the URL is not one.
        """
        ...

    def prepare(self, url: URL) -> None:
        """Makes what must be there before a connection is opened, which makes nothing. Raises OSError."""
        ...

    def check_place(self, url: URL, *, is_made: bool) -> None:
        """Raises ValueError where somebody must change the URL, or what is there.

        Where a file is all that a database needs, one that is not there is made; without `is_made` it raises that too.
        """
        ...

    def is_shared(self, url: URL) -> bool:
        """Whether several processes see the same database."""
        ...

    def insert_or_ignore(self, table: Table) -> Insert:
        """An INSERT whose rows are left out, and not counted, where a unique key is there already."""
        ...

    def storable(self, text: str) -> str:
        """A text as a column can hold it, to be looked for as it was stored."""
        ...

    def begins(self, column: Column[str], prefix: str) -> ColumnElement[bool]:
        """Whether a text begins with another."""
        ...

    def contains(self, column: Column[str], part: str) -> ColumnElement[bool]:
        """Whether a text has another in it; upper and lower case of the letters A to Z are the same."""
        ...

    def backup(self, url: URL, file: Path) -> None:
        """Writes a copy of everything committed to a new file, whole or not at all.

        Raises ValueError if there is another way to do it, or if the file cannot be written.
        """
        ...

    def restore(self, url: URL, file: Path, bring_forward: Callable[[URL], None]) -> None:
        """Replaces everything with what a backup has, once `bring_forward` has changed a copy of it, in one step.

        Raises ValueError if there is another way to do it, or if the file is no backup.
        """
        ...

    def free_bytes(self, url: URL) -> int | None:
        """What is left of the disk, None where that cannot be known. Raises OSError."""
        ...

    def reason(self, url: URL, error: BaseException) -> str:
        """What an error of the driver means to an operator."""
        ...

    def notify(self, connection: Connection) -> None:
        """Wakes every listener when the transaction is committed, and lets one transaction at a time come here."""
        ...

    def listener(self, engine: Engine) -> AbstractContextManager[Listener]:
        """What `notify` wakes; it opens a connection of its own, and another one when that is lost."""
        ...

    def problems(self, connection: Connection) -> list[str]:
        """What the database itself finds damaged."""
        ...


DIALECTS: dict[str, Dialect] = {"sqlite": sqlite, "postgresql": postgresql}
"""Every dialect by the name that a URL begins with."""
