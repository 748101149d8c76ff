"""Ring: the keys that a process knows, and what becomes of a token that is shown to it."""

import hmac
from collections.abc import Iterable
from typing import NamedTuple

from preheat.errors import KeyRefused
from preheat.keys.key import Key
from preheat.keys.token import has_form, token_hash


class Rejected(NamedTuple):
    """A token that is refused: why, and the key that it is of, if there is one, for the log."""

    refusal: KeyRefused
    key: Key | None = None


class Ring:
    """Keys by the hash of their token; of two with the same token the first.

    `asks` says whether a key is needed: as soon as there is one, revoked and expired ones too, so that a service does
    not open itself when its last key expires; and where the ring before it has `asked`, whatever became of its keys.
    """

    def __init__(self, keys: Iterable[Key], *, asked: bool = False) -> None:
        self._keys = {key.hash: key for key in reversed(tuple(keys))}
        self._seen: dict[bytes, Key] = {}
        self.asks = bool(self._keys) or asked

    def judge(self, token: bytes, now: float) -> Key | Rejected:
        """The key of a token, or why it is refused: a revoked one as one that never was.

        What is looked up is a hash, whose digits nobody can choose, and what is found is compared in constant time. A
        token that was found is remembered, no other: a dict compares it with what was sent only where both have the
        same hash, which is keyed by a number that each process draws, so that its time tells nothing either.
        """
        key = self._seen.get(token) or self._found(token)
        if key is None:
            return Rejected(KeyRefused("unknown" if has_form(token) else "malformed"))
        if key.revoked_at is not None:
            return Rejected(KeyRefused("unknown"), key)
        return Rejected(KeyRefused("expired"), key) if key.is_expired(now) else key

    def has(self, key: Key, now: float) -> bool:
        """Whether a key that was good is so still: neither revoked, expired, nor gone."""
        known = self._keys.get(key.hash)
        return known is not None and known.state(now) == "active"

    def _found(self, token: bytes) -> Key | None:
        digest = token_hash(token)
        key = self._keys.get(digest)
        if key is None or not hmac.compare_digest(key.hash, digest):
            return None
        self._seen[token] = key
        return key
