"""Commands about the database: store backup, restore and check."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from preheat.cli.arguments import failing
from preheat.cli.database import opened_database
from preheat.cli.output import OUT, fail, print_error, summary

if TYPE_CHECKING:  # SQLAlchemy takes a while to import; --help does not need it
    from preheat.store import Database
    from preheat.store.schedules import Page

store = typer.Typer(help="Back up, restore and check the database of schedules.", no_args_is_help=True)

_ROWS_AT_ONCE = 500


@failing
def backup(file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; must not exist.")]) -> None:
    """Write a copy of the database to a file, while services go on using it."""
    if file.exists():
        fail(f"FILE ({file}) must not exist: a backup is not written over", code=2)
    with opened_database(is_made=False) as database:
        database.backup(file)
    OUT.print(f"{escape(str(file))}: {file.stat().st_size:,} bytes", soft_wrap=True)


@failing
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    replace: Annotated[bool, typer.Option("--replace", help="Even if the database has schedules or keys.")] = False,
) -> None:
    """Make the database what it was when the backup was written; services may go on using it.

    Keys come back as they were that day too: those made since are revoked, and those revoked since work again.
    """
    from preheat.store.changes import restore_backup  # noqa: PLC0415

    if not file.is_file():
        fail(f"FILE ({file}) is no file", code=2)
    with opened_database(is_made=True) as database:
        if not replace and any(counts := _counts(database)):
            fail(
                f"{database.shown_url} has {_text(*counts)}: --replace puts the backup in their place, and revokes "
                "keys that the backup lacks",
                code=2,
            )
        restore_backup(database, file)
        OUT.print(f"restored {escape(database.shown_url)}: {_text(*_counts(database))}", soft_wrap=True)


@failing
def check() -> None:
    """Read everything in the database; exit code 1 if anything of it is damaged or cannot be read."""
    with opened_database(is_made=False) as database:
        problems = database.problems()
        count = 0
        for page in _pages(database):
            count += len(page.schedules)
            problems += [f"schedule {each.schedule_id}: {each}" for each in page.unreadable]
        for problem in problems:
            print_error(problem)
        OUT.print(f"{count:,} schedules read in {escape(database.shown_url)}", soft_wrap=True)
    raise typer.Exit(1 if problems else 0)


for _command in (backup, restore, check):
    store.command(short_help=summary(_command))(_command)


def _pages(database: "Database") -> "Iterator[Page]":
    from preheat.store import ScheduleStore  # noqa: PLC0415

    store_of_database, before = ScheduleStore(database), None
    while True:
        page = store_of_database.newest(_ROWS_AT_ONCE, before)
        yield page
        if (before := page.next) is None:
            return


def _counts(database: "Database") -> tuple[int, int]:
    """How many schedules and keys there are."""
    from preheat.store import KeyStore, ScheduleStore  # noqa: PLC0415

    return ScheduleStore(database).count(), KeyStore(database).count()


def _text(schedules: int, keys: int) -> str:
    return f"{schedules:,} schedule{'s' * (schedules != 1)} and {keys:,} key{'s' * (keys != 1)}"
