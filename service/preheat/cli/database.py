"""The database that the settings name, for the commands that work in it."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from preheat.cli.arguments import valid
from preheat.cli.output import fail
from preheat.settings import Settings

if TYPE_CHECKING:  # SQLAlchemy takes a while to import; --help does not need it
    from preheat.store import Database


@contextmanager
def opened_database(*, is_made: bool) -> "Iterator[Database]":
    """The database of the settings, for one command; `is_made` is as for `database_of`.

    Ends the command where what it asks for cannot be done there.
    """
    log, silent = logging.getLogger("preheat"), logging.NullHandler()
    log.addHandler(silent)  # the command prints the error that it ends with: it need not be on stderr twice
    try:
        with closing(database_of(valid(Settings, {}), is_made=is_made)) as database:
            yield database
    except ValueError as error:
        fail(str(error), code=2)
    finally:
        log.removeHandler(silent)


def database_of(settings: Settings, *, is_made: bool = True) -> "Database":
    """The database, not opened yet; ends the command where there can never be one at its URL.

    `is_made` says whether one that is not there is made, and an older one brought forward; if not, that is an error.
    """
    from preheat.store import Database  # noqa: PLC0415

    try:
        database = Database(settings.database_url, settings.database_timeout_s, is_made=is_made)
        database.check_place()
    except ValueError as error:
        fail(str(error), code=2)
    return database
