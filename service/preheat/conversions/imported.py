"""Imported: what an import gives, a spec and what of the source is not in it."""

from dataclasses import dataclass, field
from typing import Any

from preheat.conversions import Source


@dataclass(frozen=True)
class NotCarried:
    """A field of the source that is not in the spec, and why."""

    field: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """A spec, as a user would write it, what of the source is not in it, and whose source it was."""

    spec: dict[str, Any]
    not_carried: list[NotCarried] = field(default_factory=list)
    library: Source | None = None
