"""Commands about API keys: keys make, list, rotate and revoke."""

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
    from preheat.store import KeyStore, NewKey

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
) -> None:
    """Make a key and print it, this once; services that run know it within seconds."""
    with _store(is_made=True) as store:
        lifetime_s = None if expires is None else parse_seconds(expires, "expires")
        _show(store.make(name, parse_scopes(scopes), lifetime_s), as_json=as_json)


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
def _store(*, is_made: bool = False) -> "Iterator[KeyStore]":
    """The keys of the database of the settings; ends the command where what is asked cannot be done.

    One that is not there is made for a first key alone: elsewhere its path is mistyped.
    """
    from preheat.store import KeyStore  # noqa: PLC0415

    with opened_database(is_made=is_made) as database:
        if not database.is_shared:
            fail("database_url must not be a database in memory, which no service shares", code=2)
        yield KeyStore(database)


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
