"""Reading another library's fields, so that none is forgotten."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from preheat.errors import NotImportable


@dataclass(frozen=True)
class NotCarried:
    """A field of the source that the spec does not say, and why."""

    field: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """A spec, as a user would write it, and what of the source is not in it."""

    spec: dict[str, Any]
    not_carried: list[NotCarried] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """What the caller knows of the run besides the source: its length and its target LR, if at all."""

    target_lr: float | None = None
    total_iterations: int | None = None


class Fields:
    """The fields of a source; those that nobody asked for are named at the end."""

    def __init__(self, fields: Mapping[str, Any], where: str) -> None:
        self._fields, self._where = fields, where
        self._taken: set[str] = set()

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a field, or the default; None in the source is as good as absent."""
        self._taken.add(name)
        value = self._fields.get(name)
        return default if value is None else value

    def number(self, name: str, default: float | None = None) -> float:
        """The value of a field that must be a number. Raises NotImportable if it is none, or missing."""
        value = self.take(name, default)
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise NotImportable(f"{self._where}.{name} ({_shown(value)}) must be a number")
        return value

    def count(self, name: str, default: int | None = None) -> int:
        """The value of a field that must be a whole number ≥ 0. Raises NotImportable."""
        value = self.number(name, default)
        if value != int(value) or value < 0:
            raise NotImportable(f"{self._where}.{name} ({value:g}) must be a whole number ≥ 0")
        return int(value)

    def left(self, reason: str) -> list[NotCarried]:
        """The fields that nobody asked for."""
        names = [name for name, value in self._fields.items() if name not in self._taken and value is not None]
        return [NotCarried(f"{self._where}.{name}" if self._where else name, reason) for name in names]


def fields_of(source: Any, where: str) -> Fields:
    """The fields of a source that must be an object. Raises NotImportable."""
    if not isinstance(source, dict):
        raise NotImportable(f"{where or 'source'} must be an object with named fields")
    return Fields(source, where)


def target_lr(known: Known, otherwise: float | None) -> float:
    """The target LR that the caller knows, else the source's. Raises NotImportable if neither does."""
    found = known.target_lr if known.target_lr is not None else otherwise
    if found is None:
        raise NotImportable("target_lr is required: the source does not say it")
    return found


def total_iterations(known: Known, otherwise: int | None) -> int:
    """The length of the run, likewise."""
    found = known.total_iterations if known.total_iterations is not None else otherwise
    if found is None:
        raise NotImportable("total_iterations is required: the source does not say it")
    return found


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004
