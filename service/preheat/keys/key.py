"""Keys: name, scopes and times of one API key, without its token."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from preheat.keys.scopes import granted
from preheat.keys.token import check_token, prefix_of, token_hash
from preheat.masking import BEGINNING

State = Literal["active", "expired", "revoked"]
OWN = "first"
"""The name of the key that the operator gives by a setting."""

_MOST_CHARACTERS = 60


@dataclass(frozen=True)
class Key:
    """One API key. Times are seconds since 1970; the token itself is nowhere, only its hash."""

    name: str
    prefix: str
    hash: str = field(repr=False)
    scopes: frozenset[str]
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None

    @functools.cached_property
    def granted(self) -> frozenset[str]:
        """The scopes with all that they include."""
        return granted(self.scopes)

    def is_expired(self, now: float) -> bool:
        """Whether its time is over: from `expires_at` on."""
        return self.expires_at is not None and now >= self.expires_at

    def state(self, now: float) -> State:
        """What has become of it."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.is_expired(now) else "active"


def new_key(token: str, name: str, scopes: Iterable[str], now: int, lifetime_s: int | None) -> Key:
    """The key of a new token. Raises ValueError where the name cannot be one."""
    if not (name.isprintable() and name == name.strip() and 1 <= len(name) <= _MOST_CHARACTERS):
        raise ValueError(f"name must have 1 to {_MOST_CHARACTERS} characters that can be printed, no space around them")
    if name.startswith(BEGINNING):
        raise ValueError(f"name ({name}) must not begin with {BEGINNING}, as tokens do")
    expires_at = None if lifetime_s is None else now + lifetime_s
    return Key(name, prefix_of(token), token_hash(token.encode()), frozenset(scopes), now, expires_at)


def own_key(token: str) -> Key:
    """The key of a token that the operator chose: it has every scope.

    Raises ValueError, which does not show the token.
    """
    check_token(token)
    return Key(OWN, OWN, token_hash(token.encode()), frozenset({"admin"}), 0)
