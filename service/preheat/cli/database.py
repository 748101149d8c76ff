"""The database that the settings name, for the commands that work in it."""

from typing import TYPE_CHECKING

from preheat.cli.output import fail

if TYPE_CHECKING:  # SQLAlchemy takes a while to import; --help does not need it
    from preheat.settings import Settings
    from preheat.store import Database


def database_of(settings: "Settings") -> "Database":
    """The database, not opened yet; ends the command where there can never be one at its URL."""
    from preheat.store import Database  # noqa: PLC0415

    try:
        database = Database(settings.database_url, settings.database_timeout_s)
        database.check_place()
    except ValueError as error:
        fail(str(error), code=2)
    return database
