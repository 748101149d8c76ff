"""API keys in the database: how they are made, listed, rotated and revoked."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from preheat.keys import Key, Scope, make_token, new_key
from preheat.store.changes import announce
from preheat.store.database import Database
from preheat.store.tables import keys

TOPIC = "keys"
"""Of the changes that are announced: the name of a key that was made, rotated or revoked."""

_USED_AGAIN_S = 60
_LONG_AGO = 0


@dataclass(frozen=True)
class NewKey:
    """A key that was just made; this is the one time that its token is there to be shown."""

    key: Key
    token: str = field(repr=False)


class KeyStore:
    """Keys, in the order in which they were made.

    What a method returned from is on the disk. Each raises StoreUnavailable while the database is, and ValueError for
    what cannot be done.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def make(self, name: str, scopes: Iterable[Scope], lifetime_s: int | None = None) -> NewKey:
        """A new key; no other that is active may have its name."""
        token, now = make_token(), self._now()
        key = new_key(token, name, scopes, now, lifetime_s)
        with self._change(name) as connection:
            if any(_is_active(each, now) for each in _rows(connection, keys.c.name == name)):
                raise ValueError(f"name ({name}) is that of an active key: rotate it, revoke it, or choose another")
            _add(connection, key)
        return NewKey(key, token)

    def rotate(self, name: str, overlap_s: int, lifetime_s: int | None = None) -> NewKey:
        """A new key in the place of the active ones of a name, which expire after `overlap_s`, if not sooner.

        It has the scopes of the last one, and lives as long as the newest key of the name was to live, active or not,
        unless `lifetime_s` says otherwise.
        """
        token, now = make_token(), self._now()
        with self._change(name) as connection:
            known = _rows(connection, keys.c.name == name)
            active = [each for each in known if _is_active(each, now)]
            if not active:
                raise ValueError(f"name ({name}) must be that of an active key")
            # The newest is the one whose life no overlap has cut, even if it is revoked.
            newest = known[-1]
            if lifetime_s is None and newest.expires_at is not None:
                lifetime_s = newest.expires_at - newest.created_at
            key = replace(new_key(token, name, (), now, lifetime_s), scopes=active[-1].scopes)
            end = now + overlap_s
            old = keys.c.prefix.in_([each.prefix for each in active])
            is_longer = or_(keys.c.expires_at.is_(None), keys.c.expires_at > end)
            connection.execute(update(keys).where(old, is_longer).values(expires_at=end))
            _add(connection, key)
        return NewKey(key, token)

    def revoke(self, name: str) -> list[Key]:
        """Ends the active keys of a name, or the one of a prefix, from now on; returns them as they are then."""
        now = self._now()
        with self._change(name) as connection:
            found = _rows(connection, or_(keys.c.name == name, keys.c.prefix == name))
            active = [each for each in found if _is_active(each, now)]
            if not active:
                raise ValueError(f"{name} must be the name or the prefix of an active key")
            prefixes = [each.prefix for each in active]
            connection.execute(update(keys).where(keys.c.prefix.in_(prefixes)).values(revoked_at=now))
        return [replace(each, revoked_at=now) for each in active]

    def all(self) -> list[Key]:
        """Every key, oldest first."""
        with self._database.transaction() as connection:
            return _rows(connection)

    def count(self) -> int:
        """How many keys there are, revoked and expired ones too."""
        with self._database.transaction() as connection:
            return connection.scalar(select(func.count()).select_from(keys)) or 0

    def note_used(self, used_at: Mapping[str, float]) -> None:
        """Notes when keys, by their prefixes, were used last; of two notes within a minute the first counts."""
        with self._database.transaction("write") as connection:
            for prefix, when in used_at.items():
                is_older = or_(keys.c.last_used_at.is_(None), keys.c.last_used_at <= int(when) - _USED_AGAIN_S)
                connection.execute(update(keys).where(keys.c.prefix == prefix, is_older).values(last_used_at=int(when)))

    @contextmanager
    def _change(self, name: str) -> Iterator[Connection]:
        """A transaction that is announced first: others wait for it, and then see what this one wrote."""
        with self._database.transaction("write") as connection:
            announce(self._database, connection, TOPIC, [name])
            yield connection

    def _now(self) -> int:
        return int(self._clock())


def _rows(connection: Connection, *conditions: Any) -> list[Key]:
    return [_key(row) for row in connection.execute(select(keys).where(*conditions).order_by(keys.c.number))]


def _key(row: Row[Any]) -> Key:
    """A key; where damage has left something else than a time, it is one long ago, so that the key does not work."""
    return Key(
        str(row.name),
        str(row.prefix),
        str(row.hash),
        frozenset(str(row.scopes).split()),
        _time(row.created_at) or _LONG_AGO,
        _time(row.expires_at),
        _time(row.revoked_at),
        _time(row.last_used_at),
    )


def _time(value: object) -> int | None:
    return value if value is None or isinstance(value, int) else _LONG_AGO


def _is_active(key: Key, now: int) -> bool:
    return key.state(now) == "active"


def _add(connection: Connection, key: Key) -> None:
    row = {
        "name": key.name,
        "prefix": key.prefix,
        "hash": key.hash,
        "scopes": " ".join(sorted(key.scopes)),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }
    connection.execute(insert(keys).values(row))
