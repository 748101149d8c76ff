"""Lifetimes of keys as people write them: `90d`, `12h`, `never`."""

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LIFETIME = re.compile(r"([1-9][0-9]{0,4})([smhdw])")


def parse_seconds(text: str, field: str) -> int:
    """Seconds of a text such as `90d`. Raises ValueError, which names the field."""
    found = _LIFETIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{field} ({text}) must be a number and a unit, such as 90d: s, m, h, d or w")
    return int(found[1]) * _SECONDS[found[2]]
