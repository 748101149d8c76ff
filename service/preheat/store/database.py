"""The database: its engine, transactions, migrations, and what its errors mean to us."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import URL, Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from preheat.errors import StoreUnavailable
from preheat.store.dialects import DIALECTS, Dialect, Purpose

_MIGRATIONS = Path(__file__).parent / "migrations"

Watch = Callable[[Purpose], AbstractContextManager[None]]


class Database:
    """Transactions on a database whose tables are brought to their newest form before the first.

    `watch` gives a context for each transaction, by its purpose: to time it, and to see its StoreUnavailable.

    What a transaction wrote is on the disk when it returns. Several processes may share one database.
    """

    def __init__(self, url: str, timeout_s: float, watch: Watch = lambda _: nullcontext()) -> None:
        self._watch = watch
        self._url, self.dialect = _resolve(url)
        self._engine = self.dialect.create_engine(self._url, timeout_s)
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *self.dialect.DRIVER_ERRORS)
        self._migrating = threading.Lock()
        self._is_migrated = False

    @property
    def is_shared(self) -> bool:
        """Whether several processes see the same database."""
        return self.dialect.is_shared(self._url)

    @property
    def shown_url(self) -> str:
        """Where it is, without a password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def transaction(self, purpose: Purpose = "read") -> Iterator[Connection]:
        """A connection that commits at the end, and rolls back if there is an error.

        Raises StoreUnavailable if the database is locked, read-only, full, corrupt, gone or of another version.
        """
        with self._watch(purpose), self._translated():
            self._migrate()
            with self._begin(purpose) as connection:
                yield connection

    def check(self) -> None:
        """Returns if the database can be read and written at this moment. Raises StoreUnavailable."""
        with self.transaction("write") as connection:
            connection.execute(select(1))

    def backup(self, file: Path) -> None:
        """Writes a copy of everything committed to a new file. Raises StoreUnavailable; ValueError with another way."""
        with self._translated():
            self._migrate()
            self.dialect.backup(self._url, file)

    def restore(self, file: Path) -> None:
        """Replaces everything with what a backup has. Raises StoreUnavailable; ValueError with another way."""
        with self._translated():
            self.dialect.prepare(self._url)
            self.dialect.restore(self._url, file)
            self._is_migrated = False  # it may be of an earlier version

    def problems(self) -> list[str]:
        """What the database itself finds damaged. Raises StoreUnavailable."""
        with self.transaction() as connection:
            return self.dialect.problems(connection)

    def close(self) -> None:
        """Closes the connections that are not in use; the next transaction opens others."""
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turns what SQLAlchemy, drivers, Alembic and the file system raise into StoreUnavailable."""
        try:
            yield
        except self._errors as error:
            self._is_migrated = False  # what comes back may be another file, an empty one or a backup
            raise StoreUnavailable(str(getattr(error, "orig", None) or error)) from error
        except CommandError as error:
            raise StoreUnavailable(f"it was written by another version of Preheat ({error})") from error

    def _begin(self, purpose: Purpose) -> AbstractContextManager[Connection]:
        return self._engine.execution_options(purpose=purpose).begin()

    def _migrate(self) -> None:
        """Brings the tables to their newest form; a database that has it already is only read."""
        if self._is_migrated:
            return
        self.dialect.prepare(self._url)
        config = alembic.config.Config()
        # Alembic's configuration is a ConfigParser, in which % begins an interpolation.
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        # Without a lock: requests that wait for a locked database wait beside each other, not one after the other.
        with self._begin("read") as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        if revision != ScriptDirectory.from_config(config).get_current_head():
            # Of several processes that come here, the first migrates; the others find it done when they may begin.
            with self._migrating, self._begin("migrate") as connection:  # Alembic's context is one for all threads
                config.attributes["connection"] = connection
                alembic.command.upgrade(config, "head")
        self._is_migrated = True


def _resolve(text: str) -> tuple[URL, Dialect]:
    known = " or ".join(f"{name}://" for name in DIALECTS)
    try:
        url = make_url(text)
    except ArgumentError:
        # Not shown: what cannot be parsed may have a password anywhere.
        raise ValueError(f"database_url must be a URL that starts with {known}") from None
    if url.get_backend_name() not in DIALECTS:
        raise ValueError(f"database_url ({url.render_as_string()}) must start with {known}")
    return url, DIALECTS[url.get_backend_name()]
