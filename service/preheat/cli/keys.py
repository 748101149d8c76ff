"""Commands about API keys: keys make, list, rotate and revoke."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from preheat.cli.arguments import failing
from preheat.cli.database import opened_database
from preheat.cli.output import fail, print_table, remark, say, summary, write_data
from preheat.keys import SCOPES, Key, parse_scopes
from preheat.keys.lifetime import parse_seconds

if TYPE_CHECKING:  # SQLAlchemy takes a while to import; --help does not need it
    from preheat.store import Database, KeyStore, NewKey

keys = typer.Typer(help="Make, list, rotate and revoke the keys that clients need.", no_args_is_help=True)

_JSON = Annotated[bool, typer.Option("--json", help="As JSON.")]
_NAME = typer.Argument(metavar="NAME", help="Whose key it is: of a team, a cluster or a program.")
_SCOPES = typer.Option(
    "--scopes",
    metavar="SCOPES",
    help="What it may do, separated by commas: "
    + "; ".join(f"{scope}, {what.admits}" for scope, what in SCOPES.items()),
)
_EXPIRES = typer.Option(
    "--expires", metavar="TIME", help="How long it works: 90d, 12h. Without it, a new key works until it is revoked."
)
_OVERLAP = typer.Option("--overlap", metavar="TIME", help="How long the old key goes on working beside it: 24h, 7d.")
_REVOKED = typer.Argument(metavar="NAME", help="The name of a key, or the prefix of one of those with that name.")


@failing
def make(
    name: Annotated[str, _NAME],
    scopes: Annotated[str, _SCOPES],
    expires: Annotated[str | None, _EXPIRES] = None,
    as_json: _JSON = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, if it is the first key and jobs train.")
    ] = False,
) -> None:
    """Make a key and print it, this once; services that run know it within seconds.

    The first key closes them to everybody who has none: it says so, and asks at a terminal if live runs have jobs.
    """
    with _database(is_made=True) as database:
        from preheat.store import KeyStore  # noqa: PLC0415

        store = KeyStore(database)
        lifetime_s = None if expires is None else parse_seconds(expires, "expires")
        parsed = parse_scopes(scopes)
        if not store.all():
            _warn_of_first(database, is_yes=yes)
        _show(store.make(name, parsed, lifetime_s), as_json=as_json)


@failing
def list_keys(as_json: _JSON = False) -> None:
    """List all keys, those that are revoked or expired too; keys themselves are nowhere to be shown."""
    now = time.time()
    with _store() as store:
        found = store.all()
    if as_json:
        write_data(orjson.dumps([_content(key, now) for key in found], option=orjson.OPT_INDENT_2) + b"\n")
        return
    headings = ("name", "prefix", "scopes", "state", "made", "expires", "last used")
    print_table(headings, (_row(key, now) for key in found))


@failing
def rotate(
    name: Annotated[str, _NAME],
    overlap: Annotated[str, _OVERLAP] = "24h",
    expires: Annotated[str | None, _EXPIRES] = None,
    as_json: _JSON = False,
) -> None:
    """Make a new key of the same name and scopes, and print it; the old one works for a while longer."""
    with _store() as store:
        lifetime_s = None if expires is None else parse_seconds(expires, "expires")
        _show(store.rotate(name, parse_seconds(overlap, "overlap"), lifetime_s), as_json=as_json)


@failing
def revoke(name: Annotated[str, _REVOKED], as_json: _JSON = False) -> None:
    """End the keys of a name, or one by its prefix; services refuse it within seconds."""
    with _store() as store:
        ended = store.revoke(name)
    if as_json:
        write_data(orjson.dumps([_content(key, time.time()) for key in ended], option=orjson.OPT_INDENT_2) + b"\n")
    else:
        for key in ended:
            say(f"revoked {key.prefix} ({key.name})")


for _name, _command in (("make", make), ("list", list_keys), ("rotate", rotate), ("revoke", revoke)):
    keys.command(_name, short_help=summary(_command))(_command)


@contextmanager
def _store() -> "Iterator[KeyStore]":
    """The keys of the database of the settings; ends the command where what is asked cannot be done there."""
    from preheat.store import KeyStore  # noqa: PLC0415

    with _database() as database:
        yield KeyStore(database)


@contextmanager
def _database(*, is_made: bool = False) -> "Iterator[Database]":
    """One that is not there is made for a first key alone: elsewhere its path is mistyped."""
    with opened_database(is_made=is_made) as database:
        if not database.is_shared:
            fail("database_url must not be a database in memory, which no service shares", code=2)
        yield database


def _warn_of_first(database: "Database", *, is_yes: bool) -> None:
    """Says what the first key does to those who have none, and asks where jobs are among them."""
    from preheat.store.run_lists import count_by_state  # noqa: PLC0415

    counts = count_by_state(database, time.time())
    jobs = counts["RUNNING"] + counts["STALLED"]
    remark(
        "This is the first key: from now on the services on this database refuse whoever has none, on the loopback "
        "address too, and a service that has had a key never opens again."
    )
    if not jobs:
        return
    remark(
        f"Live runs with a job at work: {jobs}. A job without a key is refused too: one speaker goes on along what it "
        "knows and no change reaches it, several speakers stop. Restart them with PREHEAT_TOKEN."
    )
    if not is_yes and sys.stdin.isatty() and not typer.confirm("Make it all the same?", err=True):
        fail("no key was made")


def _show(new: "NewKey", *, as_json: bool) -> None:
    """The key alone on stdout, so that a script can take it; the rest on stderr."""
    if as_json:
        content = {**_content(new.key, new.key.created_at), "token": new.token}
        write_data(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
        return
    write_data(f"{new.token}\n")
    until = f"until {_text(new.key.expires_at)}" if new.key.expires_at else "until it is revoked"
    remark(
        f"It works {until}. This is the only time that it is shown. Clients send it as Authorization: Bearer KEY, or "
        f"with PREHEAT_TOKEN=KEY; in lists it is {new.key.prefix}."
    )


def _row(key: Key, now: float) -> tuple[str, ...]:
    scopes = ",".join(scope for scope in SCOPES if scope in key.scopes)
    times = (key.created_at, key.expires_at, key.last_used_at)
    return (key.name, key.prefix, scopes, key.state(now), *(_text(when) or "never" for when in times))


def _content(key: Key, now: float) -> dict[str, Any]:
    return {
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "state": key.state(now),
        "created_at": _text(key.created_at),
        "expires_at": _text(key.expires_at),
        "revoked_at": _text(key.revoked_at),
        "last_used_at": _text(key.last_used_at),
    }


def _text(when: int | None) -> str | None:
    """A time in UTC (RFC 3339)."""
    return None if when is None else datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")
