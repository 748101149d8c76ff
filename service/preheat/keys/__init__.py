"""API keys: what they admit, how they are made, recognised and limited. No I/O, no clock."""

from preheat.keys.key import Key, new_key, own_key
from preheat.keys.rate_limit import RateLimiter
from preheat.keys.ring import Rejected, Ring
from preheat.keys.scopes import SCOPES, Scope, parse_scopes
from preheat.keys.token import make_token

__all__ = [
    "SCOPES",
    "Key",
    "RateLimiter",
    "Rejected",
    "Ring",
    "Scope",
    "make_token",
    "new_key",
    "own_key",
    "parse_scopes",
]
