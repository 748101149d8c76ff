"""SQLite: a file that several processes share, in write-ahead mode and synced at every commit, or memory."""

import errno
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Insert, Table, and_, event, func
from sqlalchemy import create_engine as create_engine_of_url
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

BEGINNING_OF_URL = "sqlite:///"
DRIVER_ERRORS: tuple[type[Exception], ...] = (sqlite3.Error,)

_LAST_CHARACTER = "\U0010ffff"
_FIRST_SURROGATE, _FIRST_AFTER_SURROGATES = 0xD800, 0xE000
_LEAST_FREE_BYTES = 1_000_000
_KEPT, _IS_KEPT = 4, "is_kept"
_PAUSE_S = 0.01
_BEGINNING = b"SQLite format 3\0"  # sqlite.org/fileformat.html §1.3
_MAY_PASS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE}
_MEANINGS = {
    "SQLITE_FULL": "its disk is full",
    "SQLITE_IOERR": "its disk fails",
    "SQLITE_READONLY": "its file or the folder of it may not be written",
    "SQLITE_CANTOPEN": "its file, or what SQLite writes beside it, may not be opened",
    "SQLITE_PERM": "its file may not be opened",
    "SQLITE_CORRUPT": "its file is damaged",
    "SQLITE_NOTADB": "its file is damaged",
    "SQLITE_BUSY": "another process writes to it for longer than database_timeout_s",
}
"""Of SQLite's result codes (sqlite.org/rescode.html), those that an operator must do something about."""


_NOT_WRITTEN = {
    "SQLITE_FULL": "its disk is full",
    "SQLITE_IOERR_WRITE": "its disk fails, or a file may not be as large",
    "SQLITE_IOERR_FSYNC": "its disk fails",
    "SQLITE_IOERR_TRUNCATE": "its disk fails",
}
"""Of them, those of a file that is written."""


def create_engine(url: URL, timeout_s: float) -> Engine:
    """An engine whose every transaction opens the file anew, except for those that are many and small (`keeps`).

    So a database that was locked, full, read-only or corrupt is used again as soon as it is mended.
    """
    if url.drivername != "sqlite" or url.host or url.query:
        raise ValueError(f"database_url ({url}) must be sqlite:///FILE, or sqlite:///:memory:")

    file = _File(Path(str(url.database)))

    def connect() -> _FileConnection:
        state = file.state() if is_shared(url) else None  # before it is opened: it must not be a later file's
        # rw and not rwc: a file that was deleted is not made anew by whoever comes next.
        address = f"{_file(url).absolute().as_uri()}?mode=rw" if is_shared(url) else ":memory:"
        # isolation_level None: sqlite3 begins no transactions of its own, so that `_begin` chooses their kind.
        connection = sqlite3.connect(
            address, uri=True, timeout=timeout_s, check_same_thread=False, isolation_level=None, factory=_FileConnection
        )
        connection.state = state
        return connection

    if is_shared(url):
        # The first write of a connection syncs the folder too, and the last one to close copies the write-ahead log
        # into the file: a small transaction with a connection of its own would wait for five syncs, and not for one.
        engine = create_engine_of_url(
            url, creator=connect, poolclass=QueuePool, pool_size=_KEPT, max_overflow=-1, pool_use_lifo=True
        )
        event.listen(engine, "begin", _note_kept)
        event.listen(engine, "checkin", _close_others)
        event.listen(engine, "checkout", file.check)
        event.listen(engine, "handle_error", file.failed)
    else:  # a database that lives in its connection: there must be one, used by one thread at a time
        engine = create_engine_of_url(url, creator=connect, poolclass=QueuePool, pool_size=1, max_overflow=0)
    event.listen(engine, "connect", lambda connection, _record: _set_up(connection, timeout_s))
    event.listen(engine, "begin", _begin)
    return engine


class _FileConnection(sqlite3.Connection):
    """A connection that knows in which state its file was when it was opened."""

    state: object = None


class _File:
    """A file, and whether a connection to it is as good as one that is opened now."""

    def __init__(self, path: Path) -> None:
        self._path, self._failures = path, 0

    def state(self) -> object:
        """What is another one after an error, and once the file is replaced or written to past its log."""
        try:
            found = self._path.stat()
        except OSError:  # which opening it will say
            return None
        return self._failures, found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns

    def check(self, connection: _FileConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        """Has a connection that was kept opened anew, if it is no longer as good."""
        if record.info.get(_IS_KEPT) and connection.state != self.state():
            raise DisconnectionError

    def failed(self, _context: ExceptionContext) -> None:
        """Notes an error: what it was may be mended by the next transaction."""
        self._failures += 1


def _note_kept(connection: Connection) -> None:
    if connection.get_execution_options().get("keeps"):
        connection.info[_IS_KEPT] = True


def _close_others(_connection: object, record: ConnectionPoolEntry) -> None:
    if not record.info.get(_IS_KEPT):
        record.invalidate()


def prepare(url: URL) -> None:
    """Makes the file, and its folder."""
    if is_shared(url) and not _file(url).exists():
        _file(url).parent.mkdir(parents=True, exist_ok=True)
        _file(url).touch()


def check_place(url: URL, *, is_made: bool) -> None:
    """It must be memory, or a file that is or can be a database, in a folder that is there or can be made.

    Without `is_made` it must be a database already, and an empty file is none. What may pass by itself, such as a full
    disk, is for the service to say for as long as it lasts.
    """
    if not is_shared(url):
        return
    file = _file(url)
    try:
        if is_made:
            prepare(url)
        else:
            file.stat()
        if not file.is_file():
            raise ValueError(f"database_url ({url}) must name a file, and {file} is another thing, such as a folder")
        with file.open("rb") as opened:
            beginning = opened.read(len(_BEGINNING))
    except OSError as error:
        if error.errno in _MAY_PASS:
            return
        rule = f"must name a file that is there{' or can be made' * is_made}, and that may be read"
        is_below_a_file = is_made and isinstance(error, FileExistsError | NotADirectoryError)
        reason = "it is no folder" if is_below_a_file else error.strerror
        raise ValueError(f"database_url ({url}) {rule}; {error.filename}: {reason}") from error
    if not beginning and not is_made:
        raise ValueError(f"database_url ({url}) must name a database that is there, and {file} is empty")
    if beginning not in {b"", _BEGINNING}:
        raise ValueError(f"database_url ({url}) must name a database of SQLite, and {file} is another file, or damaged")


def is_shared(url: URL) -> bool:
    """Whether it is a file."""
    return url.database not in {None, "", ":memory:"}


def insert_or_ignore(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    return sqlite.insert(table).on_conflict_do_nothing()


def storable(text: str) -> str:
    """Any text."""
    return text


def begins(column: Column[str], prefix: str) -> ColumnElement[bool]:
    """As a range and not LIKE, which would read every text: the order of an index is that of code points."""
    end = _after(prefix)
    return and_(column >= prefix, column < end) if end else column >= prefix


def contains(column: Column[str], part: str) -> ColumnElement[bool]:
    """INSTR and not LIKE, which ends at a NUL."""
    return func.instr(func.lower(column), func.lower(part)) > 0


def backup(url: URL, file: Path) -> None:
    """Through SQLite's online backup, beside whoever uses the file; it has its name once it is whole."""
    source = _file(url)
    try:
        with TemporaryDirectory(prefix=".backup-", dir=file.parent) as folder:
            copy = Path(folder) / "copy.db"
            _copy(source, copy)
            copy.rename(file)
    except OSError as error:
        raise ValueError(f"FILE ({file}) cannot be written: {error.strerror}") from error
    except sqlite3.Error as error:
        # A source is only read: what fails as only writing can is the copy.
        meanings = [meaning for name, meaning in _NOT_WRITTEN.items() if _code(error).startswith(name)]
        if meanings:
            raise ValueError(f"FILE ({file}) cannot be written: {meanings[0]} ({error})") from error
        raise


def restore(url: URL, file: Path, bring_forward: Callable[[URL], None]) -> None:
    """The same way back, from a copy of the backup."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as source:
            found = source.execute("PRAGMA integrity_check").fetchone()[0]
            source.execute("SELECT version_num FROM alembic_version")  # fails if it is somebody else's database
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise ValueError(f"{file} is no sound database of Preheat: {found}")
    with TemporaryDirectory(prefix=".restore-", dir=_file(url).parent) as folder:
        copy = Path(folder) / "copy.db"
        _copy(file, copy)
        bring_forward(URL.create("sqlite", database=str(copy)))
        _copy(copy, _file(url))


def free_bytes(url: URL) -> int | None:
    """What is left of the disk that the file is on."""
    if not is_shared(url) or not _file(url).parent.exists():
        return None
    disk = os.statvfs(_file(url).parent)
    return disk.f_bavail * disk.f_frsize


def reason(url: URL, error: BaseException) -> str:
    """By SQLite's result code."""
    code = _code(error)
    if code.startswith("SQLITE_CANTOPEN") and not _file(url).exists():
        return f"its file is gone: it was deleted, or its disk is not mounted ({error})"
    if code.startswith("SQLITE_IOERR") and (free_bytes(url) or 0) < _LEAST_FREE_BYTES:
        return f"{_MEANINGS['SQLITE_FULL']} ({error})"
    if str(error).startswith("no such table"):
        return f"its tables are gone: it was deleted or replaced by an empty one ({error})"
    meanings = [meaning for name, meaning in _MEANINGS.items() if code.startswith(name)]
    return f"{meanings[0]} ({error})" if meanings else str(error)


def notify(_connection: Connection) -> None:
    """Nothing: SQLite has no notifications, and one transaction at a time writes."""


class _Sleeper:
    """Waits for the time."""

    def wait(self, stopping: threading.Event, timeout_s: float) -> None:
        """Returns after the time, or when `stopping` is set."""
        stopping.wait(timeout_s)


@contextmanager
def listener(_engine: Engine) -> Iterator[_Sleeper]:
    """What sleeps between two readings."""
    yield _Sleeper()


def problems(connection: Connection) -> list[str]:
    """What SQLite's own check finds."""
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalars()
    return [str(each) for each in found if each != "ok"]


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing)


def _file(url: URL) -> Path:
    if not is_shared(url):
        raise ValueError("a database in memory is gone with its process: there is nothing to copy")
    return Path(str(url.database))


def _code(error: BaseException) -> str:
    """SQLite's name of an error, empty for one of another kind."""
    return getattr(error, "sqlite_errorname", "")


def _after(prefix: str) -> str:
    """The first text that is after all that begin with the prefix, by code points; empty if there is none."""
    shortened = prefix.rstrip(_LAST_CHARACTER)
    if not shortened:
        return ""
    following = ord(shortened[-1]) + 1
    return shortened[:-1] + chr(_FIRST_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


def _set_up(connection: sqlite3.Connection, timeout_s: float) -> None:
    # By default one damaged byte that is not UTF-8 would fail the query, and with it every sound row of a list.
    connection.text_factory = lambda data: data.decode(errors="replace")
    # With WAL readers and the writer do not wait for each other; without FULL it does not sync every commit.
    _write_ahead(connection, timeout_s)
    connection.execute("PRAGMA synchronous = FULL")


def _write_ahead(connection: sqlite3.Connection, timeout_s: float) -> None:
    """Sets the mode; of several that set it at the same moment SQLite refuses all but one at once, without waiting."""
    give_up = time.monotonic() + timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _begin(connection: Connection) -> None:
    """Takes the write lock at the start: a transaction that turns from reading to writing could not wait for it."""
    reads = connection.get_execution_options().get("purpose", "read") == "read"
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
