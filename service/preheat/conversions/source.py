"""Source of an import: reads the fields of another library's schedule, so that none is forgotten."""

from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from preheat.errors import NotImportable

_SHOWN_CHARACTERS = 60
_LARGEST = 1e100
"""Numbers up to this one can be multiplied by each other without an overflow."""


@dataclass(frozen=True)
class NotCarried:
    """A field of the source that is not in the spec, and why."""

    field: str
    reason: str


@dataclass(frozen=True)
class Imported:
    """A spec, as a user would write it, and what of the source is not in it."""

    spec: dict[str, Any]
    not_carried: list[NotCarried] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """What the caller knows of the run besides the source: its target LR and its length, if at all."""

    target_lr: float | None = None
    total_iterations: int | None = None

    def spec(
        self, lr: float | None, length: int | None, after_scheduler: dict[str, Any] | None, **others: Any
    ) -> dict[str, Any]:
        """A spec with the known target LR and length, else with the source's. Raises NotImportable."""
        spec = {"target_lr": self.lr(lr), "total_iterations": self.length(length), **others}
        return spec if after_scheduler is None else {**spec, "after_scheduler": after_scheduler}

    def lr(self, of_source: float | None) -> float:
        """The known target LR, else the source's. Raises NotImportable."""
        lr = of_source if self.target_lr is None else self.target_lr
        if lr is None:
            raise NotImportable("target_lr is required: the source does not contain it")
        return lr

    def length(self, of_source: int | None) -> int:
        """The known length of the run, else the source's. Raises NotImportable."""
        length = of_source if self.total_iterations is None else self.total_iterations
        if length is None:
            raise NotImportable("total_iterations is required: the source does not contain it")
        return length


class Fields:
    """The fields of a source that must be an object; those that were never read are listed at the end.

    Every method that reads a field raises NotImportable, with the field's path, if its value is not what is expected.
    """

    def __init__(self, source: Any, path: str = "") -> None:
        if not isinstance(source, dict):
            raise NotImportable(f"{path or 'source'} must be an object with named fields")
        self._fields: Mapping[str, Any] = source
        self._path = path
        self._read: set[str] = set()

    def path(self, name: str) -> str:
        """Where a field is in the source."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a field, or the default; a null in the source counts as absent."""
        self._read.add(name)
        value = self._fields.get(name)
        return default if value is None else value

    def fields(self, name: str) -> "Fields":
        """The fields of an object within this one; none if it is absent."""
        return Fields(self.take(name, {}), self.path(name))

    def number(self, name: str, default: float | None = None) -> float:
        """The value of a field that must be a finite number, or the text of one."""
        return self._number(self.path(name), self.take(name, default))

    def numbers(self, name: str, default: Iterable[float] = ()) -> list[float]:
        """The values of a field that must be a list of numbers."""
        values = self.take(name, list(default))
        if not isinstance(values, list):
            raise NotImportable(f"{self.path(name)} ({shown(repr(values))}) must be a list of numbers")
        return [self._number(f"{self.path(name)}[{index}]", value) for index, value in enumerate(values)]

    def optional_number(self, name: str) -> float | None:
        """The value of a field that must be a number where it is present."""
        return None if self.take(name) is None else self.number(name)

    def count(self, name: str, default: int | None = None) -> int:
        """The value of a field that must be a whole number ≥ 0."""
        value = self.number(name, default)
        if value != int(value) or value < 0:
            raise NotImportable(f"{self.path(name)} ({value:g}) must be a whole number ≥ 0")
        return int(value)

    def choice(
        self, name: str, known: Iterable[str], default: str | None = None, by_metric: Container[str] = ()
    ) -> str:
        """The value of a field that must be one of the known names; those `by_metric` are refused with that reason."""
        names, value = list(known), self.take(name, default)
        if value in names:
            return str(value)
        reason = f"is not one of {', '.join(names)}"
        if isinstance(value, str) and value in by_metric:
            reason = f"follows a metric: its LR is not a function of the iteration; importable are {', '.join(names)}"
        raise NotImportable(f"{self.path(name)} ({shown(str(value))}) {reason}")

    def not_carried(self, reason: str) -> list[NotCarried]:
        """The fields that were never read, each with the reason."""
        names = [name for name, value in self._fields.items() if name not in self._read and value is not None]
        return [NotCarried(self.path(name), reason) for name in names]

    @staticmethod
    def _number(path: str, value: Any) -> float:
        if isinstance(value, str):
            with suppress(ValueError):
                value = float(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= _LARGEST:  # NaN is not ≤ anything
            raise NotImportable(f"{path} ({shown(repr(value))}) must be a number")
        number: float = value
        return number


def shown(text: str) -> str:
    """The text as a message shows it, at most 60 characters long."""
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
