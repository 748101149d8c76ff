"""PostgreSQL, through psycopg: any number of services on one database, each with a pool of connections."""

from pathlib import Path

from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, Insert, Table, collate, event, func, literal
from sqlalchemy import create_engine as create_engine_of_url
from sqlalchemy.dialects import postgresql

DRIVER_ERRORS: tuple[type[Exception], ...] = ()
_DRIVER = "postgresql+psycopg"
_MIGRATING = 0x70726568656174  # "preheat": locks are numbers, and share them with whatever else is in the database
_MOST_CONNECTIONS = 10


def create_engine(url: URL, timeout_s: float) -> Engine:
    """An engine with up to ten connections, each tried before it is used.

    So a database that was restarted, or failed over, is used again as soon as it answers. `timeout_s` is how long a
    statement, a lock, a free connection of the pool and a new one are waited for, each.
    """
    if url.drivername != _DRIVER:
        raise ValueError(f"database_url must begin with {_DRIVER}://, not with {url.drivername}://")
    timeout_ms = max(round(timeout_s * 1000), 1)
    arguments = {
        # libpq waits whole seconds, and less than two it rounds up.
        "connect_timeout": max(round(timeout_s), 2),
        "application_name": "preheat",
        "options": f"-c statement_timeout={timeout_ms} -c lock_timeout={timeout_ms}",
    }
    try:
        engine = create_engine_of_url(
            url,
            connect_args=arguments,
            pool_size=_MOST_CONNECTIONS,
            max_overflow=0,
            pool_timeout=timeout_s,
            pool_pre_ping=True,
        )
    except ModuleNotFoundError as error:
        raise ValueError(f"database_url ({_DRIVER}://…) needs psycopg: pip install 'preheat[postgresql]'") from error
    event.listen(engine, "begin", _begin)
    return engine


def prepare(_url: URL) -> None:
    """Nothing: a database is made by its administrator."""


def is_shared(_url: URL) -> bool:
    """Whether several processes see it: they always do."""
    return True


def insert_or_ignore(table: Table) -> Insert:
    """INSERT … ON CONFLICT DO NOTHING."""
    return postgresql.insert(table).on_conflict_do_nothing()


def storable(text: str) -> str:
    """A text without NUL, which PostgreSQL's have not."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")


def begins(column: Column[str], prefix: str) -> ColumnElement[bool]:
    """With LIKE: where an index is of use for it, PostgreSQL knows."""
    return column.startswith(prefix, autoescape=True)


def contains(column: Column[str], part: str) -> ColumnElement[bool]:
    """By the letters of the collation C: those of others may change their number, İ among them."""
    return func.strpos(func.lower(column.collate("C")), func.lower(collate(literal(part), "C"))) > 0


def backup(_url: URL, file: Path) -> None:
    """PostgreSQL's own programs do it."""
    raise ValueError(f"pg_dump writes a backup of PostgreSQL: pg_dump --format=custom --file={file} NAME")


def restore(_url: URL, file: Path) -> None:
    """PostgreSQL's own programs do it."""
    raise ValueError(f"pg_restore restores PostgreSQL: pg_restore --clean --if-exists --dbname=NAME {file}")


def problems(_connection: Connection) -> list[str]:
    """Nothing: a page that is damaged fails the reading of its rows, where checksums are on."""
    return []


def _begin(connection: Connection) -> None:
    """Lets one service at a time migrate; the lock is released with the transaction, however it ends."""
    if connection.get_execution_options().get("purpose") == "migrate":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
