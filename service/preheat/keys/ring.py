"""Ring: the keys that a process knows, and what becomes of a token that is shown to it."""

import hmac
from collections.abc import Iterable

from preheat.errors import KeyRefused
from preheat.keys.key import Key
from preheat.keys.token import has_form, token_hash


class Ring:
    """Keys by the hash of their token.

    `asks` says whether a key is needed: as soon as there is one, revoked and expired ones too, so that a service does
    not open itself when its last key expires.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        every = tuple(keys)
        self.asks = bool(every)
        self._keys = {key.hash: key for key in every if key.revoked_at is None}

    def find(self, token: bytes) -> Key | None:
        """The key of a token, expired or not; None if there is none.

        What is looked up is a hash, whose digits nobody can choose, and what is found is compared in constant time.
        """
        digest = token_hash(token)
        key = self._keys.get(digest)
        return key if key is not None and hmac.compare_digest(key.hash, digest) else None

    def judge(self, token: bytes, now: float) -> Key | KeyRefused:
        """The key of a token, or why it is refused."""
        key = self.find(token)
        if key is None:
            return KeyRefused("unknown" if has_form(token) else "malformed")
        return KeyRefused("expired") if key.is_expired(now) else key
