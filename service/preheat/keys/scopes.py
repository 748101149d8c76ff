"""Scopes of API keys: what each admits, and which others it includes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal["read", "write", "run", "steer", "admin"]


@dataclass(frozen=True)
class Meaning:
    """What a scope admits, in words, and the scopes that a key with it has as well."""

    admits: str
    includes: frozenset[Scope] = frozenset()


SCOPES: dict[Scope, Meaning] = {
    "read": Meaning("read schedules, learning rates, pictures and runs; lint, import and compare what is not stored"),
    "write": Meaning("make and delete schedules", frozenset({"read"})),
    "run": Meaning("attach a job to a run, read its windows and report its progress", frozenset({"read"})),
    "steer": Meaning("change a run while it is going on", frozenset({"read"})),
    "admin": Meaning("everything", frozenset(get_args(Scope)) - {"admin"}),
}
"""Every scope. A route needs one; which one, its entry in the OpenAPI document says."""


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with all that they include; a name that is no scope, of a later version say, grants nothing."""
    known = {scope: meaning for scope, meaning in SCOPES.items() if scope in set(scopes)}
    return frozenset(known).union(*(meaning.includes for meaning in known.values()))


def parse_scopes(text: str) -> frozenset[Scope]:
    """The scopes in a text such as `write,run`. Raises ValueError."""
    names = [name.strip() for name in text.split(",")]
    found = frozenset(scope for scope in SCOPES if scope in names)
    unknown = [name for name in names if name not in SCOPES]
    if unknown:
        raise ValueError(f"scopes ({text}) must be names separated by commas, of {', '.join(SCOPES)}")
    return found
