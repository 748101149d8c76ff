"""The database: its engine, transactions, migrations, and what its errors mean to us."""

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path

import alembic.command
import alembic.config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from preheat.errors import PreheatError, StoreUnavailable
from preheat.store.dialects import DIALECTS, Dialect, Listener, Purpose
from preheat.store.tables import metadata, service

_LOG = logging.getLogger("preheat")
_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATING = threading.Lock()
"""Of the whole process: Alembic's context is one for all threads, and so for all databases."""

_LEAST_FREE_BYTES = 8_000_000
"""Of a disk: some of the largest specs, and what is written beside them."""

_EMPTY = "its tables are gone: it was deleted or replaced by an empty one; restore a backup, or restart to begin anew"
_NOT_OURS = "it has no tables of Preheat: no service has used it yet, or it is somebody else's"
_EARLIER = "its tables are of an earlier version of Preheat, in form {}: start the service, which brings them forward"
_ANOTHER = "it is another database than the one that was there when this service started; restart the service to use it"

Watch = Callable[[Purpose], AbstractContextManager[None]]


class Database:
    """Transactions on a database whose tables are brought to their newest form before the first.

    What a transaction wrote is on the disk when it returns. Several processes may share one database. Once it was seen
    it is known by an identity that is stored in it: one that was emptied, deleted or replaced meanwhile is an error.
    `watch` gives a context for each transaction, by its purpose: to time it, and to see its StoreUnavailable.
    `is_made` says whether one that is not there is made, and older tables are brought forward; else both are errors.
    """

    def __init__(
        self, url: str, timeout_s: float, watch: Watch = lambda _: nullcontext(), *, is_made: bool = True
    ) -> None:
        self._watch, self._is_made = watch, is_made
        self._url, self.dialect = _resolve(url)
        self._timeout_s = timeout_s
        self._engine = self.dialect.create_engine(self._url, timeout_s)
        self._errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *self.dialect.DRIVER_ERRORS)
        self._is_migrated = False
        self._identity: str | None = None
        self._failing: set[Purpose] = set()
        self._logged: set[str] = set()

    @property
    def is_shared(self) -> bool:
        """Whether several processes see the same database."""
        return self.dialect.is_shared(self._url)

    @property
    def shown_url(self) -> str:
        """Where it is, without a password."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def transaction(self, purpose: Purpose = "read", *, keeps: bool = False) -> Iterator[Connection]:
        """A connection that commits at the end, and rolls back if there is an error.

        `keeps` says that many more like it are to follow, for which the connection had better stay.

        Raises StoreUnavailable if the database is locked, read-only, full, corrupt, gone, another one or of another
        version; the first time of an outage it is logged, and its end.
        """
        with self._watch(purpose), self._translated(purpose):
            self._migrate()
            with self._begin(purpose, keeps=keeps) as connection:
                self._recognise(connection)
                yield connection

    def check_place(self) -> None:
        """Raises ValueError where somebody must change the URL, or what is there: no waiting would help.

        A database that is only away at the moment, or full, raises nothing here. A file that is not there is made, if
        nothing but a file is needed and the database may be made; otherwise that raises ValueError too.
        """
        self.dialect.check_place(self._url, is_made=self._is_made)

    def check(self) -> None:
        """Returns if the database can be written at this moment, and each table read. Raises StoreUnavailable."""
        with self._translated("write"):
            free = self.dialect.free_bytes(self._url)
            if free is not None and free < _LEAST_FREE_BYTES:
                raise StoreUnavailable(f"its disk is full: less than {_LEAST_FREE_BYTES:,} bytes are left")
        with self.transaction("write") as connection:
            for table in metadata.tables.values():  # one may be gone, or damaged, while the others are there
                connection.execute(select(*table.primary_key).limit(1)).first()
            # Neither the lock alone nor a row that stays as it is would need a byte of the disk.
            connection.execute(update(service).values(probe=1 - service.c.probe))

    def backup(self, file: Path) -> None:
        """Writes a copy of everything committed to a new file, whole or not at all; older tables stay as they are.

        Raises StoreUnavailable; ValueError with another way, or if the file cannot be written.
        """
        with self._translated():
            if self.is_shared and self._revision() is None:
                raise StoreUnavailable(_NOT_OURS)
            self.dialect.backup(self._url, file)

    def restore(self, file: Path, finish: Callable[[Connection], None]) -> None:
        """Replaces everything with what a backup has, brought to the newest form; the identity stays.

        `finish` may change what the backup has before it is there for others. Services may run meanwhile: they see
        the one or the other. Raises StoreUnavailable; ValueError with another way.
        """

        def bring_forward(url: URL) -> None:
            opened = Database(url.render_as_string(hide_password=False), self._timeout_s)
            with closing(opened) as copy, copy.transaction("write") as connection:
                if self._identity is not None:
                    connection.execute(update(service).values(identity=self._identity))
                finish(connection)

        with suppress(StoreUnavailable), self._translated():
            self._migrate()  # one that is damaged has no identity to keep: the backup's is its own from before
        with self._translated():
            self.dialect.restore(self._url, file, bring_forward)

    def listener(self) -> AbstractContextManager[Listener]:
        """What waits for changes that other processes announce."""
        return self.dialect.listener(self._engine)

    def problems(self) -> list[str]:
        """What the database itself finds damaged. Raises StoreUnavailable."""
        with self.transaction() as connection:
            return self.dialect.problems(connection)

    def close(self) -> None:
        """Closes the connections that are not in use; the next transaction opens others, of whatever is there then."""
        self._engine.dispose()
        self._is_migrated, self._identity = False, None

    @contextmanager
    def _translated(self, purpose: Purpose = "read") -> Iterator[None]:
        """Turns what SQLAlchemy, drivers, Alembic and the file system raise into StoreUnavailable."""
        try:
            yield
        except StoreUnavailable as error:
            self._failed(purpose, error)
            raise
        except self._errors as error:
            original = getattr(error, "orig", None) or error
            unavailable = StoreUnavailable(self.dialect.reason(self._url, original))
            self._failed(purpose, unavailable)
            raise unavailable from error
        except PreheatError:  # the database answered; what it says is for the one who asked
            self._succeeded(purpose)
            raise
        else:
            self._succeeded(purpose)

    def _failed(self, purpose: Purpose, error: StoreUnavailable) -> None:
        self._is_migrated = False  # what comes back may be another file, an empty one or a backup
        # A disk that is full fails what writes while reading goes on: each has its own beginning and end.
        self._failing.add(purpose)
        if str(error) not in self._logged:
            self._logged.add(str(error))
            _LOG.error("%s (%s)", error, self.shown_url)

    def _succeeded(self, purpose: Purpose) -> None:
        if purpose in self._failing:
            self._failing.discard(purpose)
            if not self._failing:
                self._logged.clear()
                _LOG.warning("the schedule database is available again (%s)", self.shown_url)

    def _begin(self, purpose: Purpose, *, keeps: bool = False) -> AbstractContextManager[Connection]:
        return self._engine.execution_options(purpose=purpose, keeps=keeps).begin()

    def _recognise(self, connection: Connection) -> None:
        """Fails if a connection that was opened since leads to another database than before."""
        if connection.info.get("identity") != self._identity:
            if connection.scalar(select(service.c.identity)) != self._identity:
                raise StoreUnavailable(_ANOTHER)
            connection.info["identity"] = self._identity

    def _migrate(self) -> None:
        """Brings the tables to their newest form; a database that has it already is only read."""
        if self._is_migrated:
            return
        if self._is_made and self._identity is None:
            self.dialect.prepare(self._url)  # only one that was never seen is made: it may be somewhere else
        revision = self._revision()
        if revision != _revisions()[0]:
            if self._identity is not None:
                raise StoreUnavailable(_ANOTHER if revision else _EMPTY)
            if not self._is_made:
                raise StoreUnavailable(_EARLIER.format(revision) if revision else _NOT_OURS)
            config = _alembic_config()
            # Of several processes that come here, the first migrates; the others find it done when they may begin.
            with _MIGRATING, self._begin("migrate") as connection:
                config.attributes["connection"] = connection
                alembic.command.upgrade(config, "head")
        if self._identity is None:
            self._identity = self._read_identity()
        self._is_migrated = True

    def _revision(self) -> str | None:
        """The form that the tables are in; None if there are none."""
        # Without a lock: requests that wait for a locked database wait beside each other, not one after the other.
        with self._begin("read") as connection:
            revision = MigrationContext.configure(connection).get_current_revision()
        if revision is not None and revision not in _revisions():
            raise StoreUnavailable(
                f"its tables are of another version of Preheat, in form {revision}, and this version knows forms up to "
                f"{_revisions()[0]}: upgrade Preheat, or restore a backup from before"
            )
        return revision

    def _read_identity(self) -> str:
        with self._begin("read") as connection:
            identity: str | None = connection.scalar(select(service.c.identity))
        if identity is None:
            raise StoreUnavailable("it is damaged: the table `service` has lost its row")
        return identity


@functools.cache
def _revisions() -> list[str]:
    """The forms that tables of this version and earlier ones have, newest first."""
    return [each.revision for each in ScriptDirectory.from_config(_alembic_config()).walk_revisions()]


def _alembic_config() -> alembic.config.Config:
    config = alembic.config.Config()
    # Alembic's configuration is a ConfigParser, in which % begins an interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def _resolve(text: str) -> tuple[URL, Dialect]:
    known = " or ".join(dialect.BEGINNING_OF_URL for dialect in DIALECTS.values())
    if not text:
        raise ValueError(f"database_url must not be empty: it must begin with {known}")
    try:
        url = make_url(text)
    except ArgumentError:
        # Not shown: what cannot be parsed may have a password anywhere.
        raise ValueError(f"database_url must be a URL that begins with {known}") from None
    if url.get_backend_name() not in DIALECTS:
        raise ValueError(f"database_url ({url.render_as_string()}) must begin with {known}")
    return url, DIALECTS[url.get_backend_name()]
