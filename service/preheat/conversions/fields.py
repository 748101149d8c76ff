"""Fields of a source: each is read by what it must be, and none is forgotten."""

import re
from collections.abc import Container, Iterable
from typing import Any

from preheat.conversions.guess import libraries_with
from preheat.conversions.harmless import Harmless
from preheat.conversions.imported import NotCarried
from preheat.conversions.number import count, number
from preheat.errors import NotImportable
from preheat.messages import excerpt

_MOST_ENTRIES = 10_000
_TRUE, _FALSE = {"true", "yes", "on", "1"}, {"false", "no", "off", "0", "none", "null"}
# lr and eta only as words of their own: `lr_min` and `lr0`, but not `already` and not `metadata`.
_SUSPECT = re.compile(
    r"(^|[^a-z])(lrs?|lr[0-9f]|eta|wsd)([^a-z]|$)|learning.?rate|sched|warm|cycle|decay|step|epoch|gamma|cosine|anneal"
    r"|restart|milestone|iters?($|[^a-z])|plateau|cool.?down|^T_(max|0|mult)$|^power$",
    re.IGNORECASE,
)
"""Names of fields that may change a learning rate."""
_OF_A_WHOLE_FILE = {"_target_", "class_path", "class_name", "SOLVER"}
"""Names with which the files of some libraries begin: read as another's, nothing of their schedule would be left."""
_UNKNOWN = "is not known: check that it does not change the LR"


class Fields:
    """The fields of a source that must be an object; those that were never read are sorted out at the end.

    Every method that reads a field raises NotImportable, with the field's path, if its value is not what is expected.
    A null counts as absent.
    """

    def __init__(self, source: Any, path: str = "") -> None:
        if not isinstance(source, dict):
            raise NotImportable(f"{path or 'source'} must be an object with named fields")
        self._fields: dict[str, Any] = source
        self._path = path
        self._read: set[str] = set()
        self._children: dict[str, list[Fields]] = {}

    def __contains__(self, name: str) -> bool:
        return self._fields.get(name) is not None

    @property
    def names(self) -> list[str]:
        """The names of the fields that are present."""
        return [name for name in self._fields if name in self]

    @property
    def unread(self) -> list[str]:
        """The names of the fields that are present and were never read."""
        return [name for name in self.names if name not in self._read]

    @property
    def is_used(self) -> bool:
        """Whether a value was read, here or within: to open an object is not yet to read anything."""
        values = any(name in self._read and name not in self._children for name in self.names)
        return values or any(child.is_used for child in self._opened)

    def items(self) -> Iterable[tuple[str, Any]]:
        """The fields that are present, with their values."""
        return [(name, self.take(name)) for name in self.names]

    def path(self, name: str) -> str:
        """Where a field is in the source."""
        return f"{self._path}.{name}" if self._path else name

    def take(self, name: str, default: Any = None) -> Any:
        """The value of a field, or the default."""
        self._read.add(name)
        value = self._fields.get(name)
        return default if value is None else value

    def fields(self, name: str) -> "Fields":
        """The fields of an object within this one; none if it is absent."""
        child = Fields(self.take(name, {}), self.path(name))
        self._children.setdefault(name, []).append(child)
        return child

    def each(self, name: str) -> "list[Fields]":
        """The fields of every object of a list."""
        entries = self.take(name, [])
        if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
            raise NotImportable(f"{self.path(name)} must be a list of objects, at most {_MOST_ENTRIES}")
        children = [Fields(entry, f"{self.path(name)}[{index}]") for index, entry in enumerate(entries)]
        self._children.setdefault(name, []).extend(children)
        return children

    def number(self, name: str, default: float | None = None) -> float:
        """The value of a field that must be a finite number, or the text of one."""
        return number(self.path(name), self.take(name, default))

    def numbers(self, name: str, default: Iterable[float] = ()) -> list[float]:
        """The values of a field that must be a list of numbers."""
        values = self.take(name, list(default))
        values = list(values) if isinstance(values, tuple) else values
        if not isinstance(values, list) or len(values) > _MOST_ENTRIES:
            raise NotImportable(
                f"{self.path(name)} ({excerpt(repr(values))}) must be a list of numbers, at most {_MOST_ENTRIES}"
            )
        return [number(f"{self.path(name)}[{index}]", value) for index, value in enumerate(values)]

    def optional_number(self, name: str) -> float | None:
        """The value of a field that must be a number where it is present."""
        return None if self.take(name) is None else self.number(name)

    def count(self, name: str, default: int | None = None, least: int = 0) -> int:
        """The value of a field that must be a whole number of at least `least`."""
        return count(self.path(name), self.take(name, default), least)

    def optional_count(self, name: str) -> int | None:
        """The value of a field that must be a whole number ≥ 0 where it is present."""
        return None if self.take(name) is None else self.count(name)

    def limit(self, name: str) -> int | None:
        """The value of a field that must be a whole number; None where it is absent, or not above 0: no limit."""
        value = self.number(name, -1)
        return self.count(name) if value > 0 else None

    def counts(self, name: str, default: Iterable[int] = ()) -> list[int]:
        """The values of a field that must be a list of whole numbers ≥ 0."""
        return [count(f"{self.path(name)}[{index}]", each) for index, each in enumerate(self.numbers(name, default))]

    def flag(self, name: str, default: bool = False) -> bool:
        """The value of a field that must be true or false."""
        value = self.take(name, default)
        # A bool is an int in Python, so that True, 1, "1" and "True" all go this way.
        text = str(value).lower() if isinstance(value, str | int) else ""
        if text not in _TRUE | _FALSE:
            raise NotImportable(f"{self.path(name)} ({excerpt(repr(value))}) must be true or false")
        return text in _TRUE

    def text(self, name: str, default: str = "") -> str:
        """The value of a field that must be a text."""
        value = self.take(name, default)
        if not isinstance(value, str):
            raise NotImportable(f"{self.path(name)} ({excerpt(repr(value))}) must be a text")
        return value

    def choice(self, name: str, known: Iterable[str], default: str = "", by_metric: Container[str] = ()) -> str:
        """The value of a field that must be one of the known names; those `by_metric` are refused with that reason."""
        names, value = list(known), self.take(name, default or None)
        if isinstance(value, str) and value in names:
            return value
        reason = f"is not one of {', '.join(names)}"
        if isinstance(value, str) and value in by_metric:
            reason = f"follows a metric: its LR is not a function of the iteration; importable are {', '.join(names)}"
        raise NotImportable(f"{self.path(name)} ({excerpt(str(value))}) {reason}")

    def only(self, known: Iterable[str], of: str) -> None:
        """Refuses a field that is not a parameter of `of`, which would not take it."""
        names = set(known)
        for name in self.names:
            if name not in names:
                listed = f"it has {', '.join(sorted(names))}" if names else "it has none"
                raise NotImportable(f"{excerpt(self.path(name))} is not a parameter of {of} ({listed})")

    def refuse(self, name: str, rule: str) -> None:
        """Refuses a field, for the reason given, where it is present and not off."""
        if self.take(name) not in (None, False, 0, "", [], {}):
            raise NotImportable(f"{self.path(name)} {rule}")

    def unused(self, names: Iterable[str], by: str) -> list[NotCarried]:
        """Notes on fields that the library knows and does not use here, as nobody has read them."""
        present = [name for name in names if name in self.unread]
        return [NotCarried(self.path(name), f"is not used by {by}") for name in present if self.take(name) is not None]

    def left(self, harmless: "Harmless") -> list[NotCarried]:
        """The fields that were never read, each with the reason. Raises NotImportable for one that may change the LR.

        The one rule of every source: what is on its list of harmless fields is no part of a schedule; what may change
        the LR by its name, or has something within that may, is refused; the rest is named, to be looked at. Where that
        is all there is, the source is refused too: it is of something else, and the defaults are not its schedule.
        """
        # An object that was opened with `fields` or `each` sorts out its own fields; only its name was read here.
        found = [note for child in self._opened for note in child.left(harmless)]
        for name in self.unread:
            path = excerpt(self.path(name))
            if harmless.has(name):
                found.append(NotCarried(path, "is not part of a learning-rate schedule"))
                continue
            suspect = _suspect_within(name, self._fields[name])
            if not self._path and name in _OF_A_WHOLE_FILE:
                suspect = name
            if suspect:
                others = ", ".join(libraries_with(suspect))
                known = f" (it is a field of {others})" if others else ""
                raise NotImportable(
                    f"{excerpt(self.path(suspect))} may change the LR, and an import from {harmless.library} does not "
                    f"know it{known}: remove it if it does not, or import without it and write its effect into the spec"
                )
            found.append(NotCarried(path, _UNKNOWN))
        unknown = [note.field for note in found if note.reason == _UNKNOWN]
        if unknown and not self._path and not self.is_used:
            raise NotImportable(
                f"source has no field that an import from {harmless.library} reads ({excerpt(', '.join(unknown))}): it "
                "would become that library's default schedule. Say whose it is, or, if that is meant, leave these out"
            )
        return found

    @property
    def _opened(self) -> "list[Fields]":
        """The objects within this one that were opened."""
        return [child for children in self._children.values() for child in children]


def _suspect_within(name: str, value: Any) -> str | None:
    """The path of a field that may change the LR by its name, here or within; what is off changes nothing."""
    if value in (None, False, "", [], {}):
        return None
    if _SUSPECT.search(name):
        return name
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        if isinstance(key, str) or isinstance(entry, dict | list):
            within = _suspect_within(key if isinstance(key, str) else "", entry)
            if within is not None:
                return f"{name}.{within}" if isinstance(key, str) else f"{name}[{key}]{within}"
    return None
