"""Request: which schedule is meant, by a spec in plain JSON values or by an id."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Request:
    """Which schedule is meant: that of a spec, or the one with an id."""

    spec: str | None = None
    """The spec as canonical JSON."""
    schedule_id: str | None = None

    @property
    def key(self) -> str:
        """The request as one text, the same wherever it is made."""
        return f"id {self.schedule_id}" if self.spec is None else f"spec {self.spec}"

    @property
    def name(self) -> str:
        """What logs call the schedule before its id is known."""
        return f"schedule {self.schedule_id}" if self.schedule_id else "the schedule of the spec"

    @staticmethod
    def of_spec(spec: Mapping[str, Any]) -> "Request":
        """The request for a spec. Raises TypeError, which names the field, for what is no JSON value."""
        if not isinstance(spec, Mapping):
            rule = "must be a dict, as JSON objects are in Python"
            is_id = isinstance(spec, str) and _ID.fullmatch(spec)
            raise TypeError(f"spec ({spec!r:.40}) {rule}{': an id is for Preheat.schedule' if is_id else ''}")
        try:
            return Request(spec=json.dumps(plain(spec, ""), sort_keys=True))
        except RecursionError:
            raise ValueError("spec must not be nested so deeply, or contain itself") from None

    @staticmethod
    def of_id(schedule_id: str) -> "Request":
        """The request for an id. Raises TypeError or ValueError for what never is one."""
        rule = "must be a schedule's id, a text of 32 hexadecimal digits"
        if not isinstance(schedule_id, str):
            hint = ": a spec is for Preheat.create" if isinstance(schedule_id, Mapping) else ""
            raise TypeError(f"schedule_id ({schedule_id!r:.80}) {rule}{hint}")
        if not _ID.fullmatch(schedule_id):
            raise ValueError(f"schedule_id ({schedule_id!r:.80}) {rule}, such as 630e8304e0352e14c20ae59b8f487901")
        return Request(schedule_id=schedule_id)

    @property
    def spec_dict(self) -> dict[str, Any]:
        """The spec, empty if there is only an id."""
        spec: dict[str, Any] = json.loads(self.spec or "{}")
        return spec


def plain(value: Any, name: str) -> Any:
    """A value as JSON has it: numbers, texts, dicts and lists; arrays and their scalars as the numbers in them.

    A float32 of 0.1 is the number that it is, 0.10000000149011612. Raises TypeError, with name and value, for anything
    else, such as a Decimal, which no float may be equal to.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {_key(key, name): plain(each, f"{name}.{key}" if name else f"{key}") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{name}[{index}]") for index, each in enumerate(value)]
    # numpy's, torch's and JAX's scalars and arrays, none of which is imported here.
    as_list = getattr(value, "tolist", None)
    if callable(as_list):
        try:
            return plain(as_list(), name)
        except Exception as error:
            raise TypeError(f"{name} ({type(value).__name__}) has no values: {error}") from error
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise TypeError(f"{name or 'spec'} ({value!r:.80}) must be a number, text, bool, None, list or dict, not {kind}")


def _key(key: Any, name: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key ({key!r:.80}) of {name or 'spec'} must be a text")
    return key
