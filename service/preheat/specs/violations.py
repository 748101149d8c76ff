"""What is wrong with a spec: one violation per value, each naming field, value and rule."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

_NO_VALUE = object()
_SHOWN_CHARACTERS = 60

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Violation:
    """One value that breaks one rule.

    `path` leads to the value, `rule` says what it must be, `value` is its JSON text (None where it is missing), `kind`
    names the mistake where it has a name of its own.
    """

    path: Path
    rule: str
    value: str | None = None
    kind: str = "invalid"

    @property
    def pointer(self) -> str:
        """The RFC 6901 JSON pointer to the value; the whole document's is the empty string."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)

    @property
    def detail(self) -> str:
        """One sentence: field, value and rule."""
        field = _dotted(self.path) or "the document"
        return f"{field} {self.rule}" if self.value is None else f"{field} ({self.value}) {self.rule}"


class InvalidSpec(ValueError):
    """A spec that breaks rules; `violations` says which, one entry per value."""

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        super().__init__("; ".join(violation.detail for violation in violations))


def violation(path: Path, rule: str, value: Any = _NO_VALUE, kind: str = "invalid") -> Violation:
    """A violation whose value is shown as short, plain-ASCII JSON."""
    return Violation(_printable(path), _ascii(rule), None if value is _NO_VALUE else _shown(value), kind)


def from_pydantic(
    errors: Iterable[ErrorDetails],
    *,
    tags: Iterable[str] = (),
    refused_types: Mapping[str, str] | None = None,
    fields_at: Callable[[Path], Iterable[str]] = lambda _: (),
) -> list[Violation]:
    """Translates pydantic's errors.

    `tags` are names of union members, which are no part of a pointer; `refused_types` maps a scheduler type that
    is known but not served to the reason; `fields_at(location)` lists the names known where an unknown one stood.
    """
    known_tags = frozenset(tags)
    return [_translate(error, known_tags, refused_types or {}, fields_at) for error in _without_echoes(list(errors))]


def _without_echoes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because pydantic did not count the entries it refused."""
    parents = {error["loc"][:length] for error in errors for length in range(len(error["loc"]))}
    return [error for error in errors if error["type"] != "too_short" or error["loc"] not in parents]


def _translate(
    error: ErrorDetails,
    tags: frozenset[str],
    refused_types: Mapping[str, str],
    fields_at: Callable[[Path], Iterable[str]],
) -> Violation:
    location, context, value = error["loc"], error.get("ctx", {}), error["input"]
    path = tuple(part for part in location[:-1] if part not in tags) + location[-1:]
    match error["type"]:
        case "extra_forbidden":
            value, rule = _NO_VALUE, unknown("field", str(location[-1]), fields_at(location[:-1]))
        case "union_tag_invalid":
            path, value, rule = (*path, "type"), context["tag"], _type_rule(context, refused_types)
        case "union_tag_not_found":
            path, value, rule = (*path, "type"), _NO_VALUE, "is required: the name of a scheduler"
        case "missing":
            value, rule = _NO_VALUE, "is required"
        case "json_invalid":
            value, rule = _NO_VALUE, f"is not valid JSON: {context['error']}"
        case kind:
            path = path[:-1] if location and location[-1] in tags else path
            rule = _RULES[kind].format(**context) if kind in _RULES else f"is refused: {error['msg']}"
    return violation(path, rule, value)


_RULES = {
    "bool_type": "must be true or false",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be ≥ {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number (written without a decimal point)",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be ≤ {le}",
    "dict_type": "must be an object",
    "literal_error": "must be one of {expected}",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
    "string_pattern_mismatch": "must match {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} character(s)",
    "string_type": "must be a string",
    "string_unicode": "must be valid Unicode",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} item(s)",
    "tuple_type": "must be a list",
    "value_error": "{error}",
    "list_type": "must be a list",
}


def _type_rule(context: Mapping[str, Any], refused_types: Mapping[str, str]) -> str:
    tag = str(context["tag"])
    if tag in refused_types:
        return refused_types[tag]
    return unknown("scheduler", tag, [name.strip("' ") for name in str(context["expected_tags"]).split(",")])


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The rule that a name breaks which is none of the known ones, with the nearest of them."""
    names = sorted(known)
    if not names:
        return f"is not a known {kind}: there are none here"
    return f"is not a known {kind}{_did_you_mean(name, names)} (known: {', '.join(names)})"


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    close += [candidate for candidate in by_lower if len(name) > 1 and name.lower() in candidate]
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _shown(value: Any) -> str:
    text = json.dumps(value, default=lambda other: type(other).__name__)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _printable(path: Path) -> Path:
    return tuple(_ascii(part)[:_SHOWN_CHARACTERS] if isinstance(part, str) else part for part in path)


def _ascii(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
