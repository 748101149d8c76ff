"""Violations: what is wrong with a spec, one per value, each naming field, value and rule."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import ErrorDetails

from preheat.messages import beginning, encodable, listed, shown

_NO_VALUE = object()

Location = tuple[str | int, ...]
"""Where a value stands in a JSON document: names of fields and indices of lists."""

Kind = Literal["invalid", "length-mismatch", "milestone-beyond-end", "non-recursive-in-chain"]
"""A mistake by its name; `invalid` is every one that has none of its own."""


@dataclass(frozen=True)
class Violation:
    """One value that breaks one rule.

    `location` leads to the value, `rule` says what it must be, `value` is its JSON text (None where it is missing),
    `kind` names the mistake.
    """

    location: Location
    rule: str
    value: str | None = None
    kind: Kind = "invalid"

    @property
    def pointer(self) -> str:
        """The RFC 6901 JSON pointer to the value; the whole document's is the empty string."""
        return pointer(self.location)

    @property
    def detail(self) -> str:
        """One sentence: field, value and rule."""
        field = _dotted(self.location) or "the document"
        return f"{field} {self.rule}" if self.value is None else f"{field} ({self.value}) {self.rule}"


MOST_VIOLATIONS = 100
"""Violations that are told one by one: more than anybody reads."""


class InvalidSpec(ValueError):
    """A spec that breaks rules; `violations` says which, one entry per value, and of very many how many there are more.

    With `count` the given ones are the first of so many.
    """

    def __init__(self, violations: list[Violation], count: int | None = None) -> None:
        more = (count or len(violations)) - MOST_VIOLATIONS
        rest = [Violation((), f"breaks {more} rules more")] if more > 0 else []
        self.violations = [*violations[:MOST_VIOLATIONS], *rest]
        super().__init__("; ".join(violation.detail for violation in self.violations))


def violation(location: Location, rule: str, value: Any = _NO_VALUE, kind: Kind = "invalid") -> Violation:
    """A violation whose value is shown as short JSON."""
    # A key may be a megabyte of lone surrogates: what is sent back is short, and UTF-8 can hold it.
    parts = tuple(beginning(encodable(part)) if isinstance(part, str) else part for part in location)
    return Violation(parts, encodable(rule), None if value is _NO_VALUE else shown(value), kind)


def pointer(location: Location) -> str:
    """The RFC 6901 JSON pointer to a location."""
    # ~ before /: the other way round the ~ in ~1 would be escaped again.
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def from_pydantic(
    errors: Iterable[ErrorDetails],
    *,
    tags: Iterable[str] = (),
    refused_types: Mapping[str, str] | None = None,
    fields_at: Callable[[Location], Iterable[str]] = lambda _: (),
    meant_at: Callable[[Location, str], str | None] = lambda _location, _name: None,
) -> list[Violation]:
    """Translates pydantic's errors.

    `tags` are names of union members, which are no part of a pointer; `refused_types` maps a scheduler type that
    is known but not served to the reason; `fields_at(location)` lists the names known where an unknown one stood, and
    `meant_at(location, name)` gives the one that an unknown name means in other libraries.
    """
    known_tags, rest = frozenset(tags), _without_echoes(list(errors))
    return [_translate(error, known_tags, refused_types or {}, fields_at, meant_at) for error in rest]


def unknown(kind: str, name: str, known: Iterable[str], meant: str | None = None) -> str:
    """The rule that a name breaks which is not one of the known ones, with what is meant, or the nearest of them."""
    names = sorted(known)
    if not names:
        return f"is not a known {kind}: there are none here"
    suggestion = f"; did you mean {meant}?" if meant else _did_you_mean(name, names)
    return f"is not a known {kind}{suggestion} (known: {listed(names)})"


def _without_echoes(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without lists that are too short only because pydantic did not count the entries it refused."""
    # A parent of another error: a list that is really too short has no error inside.
    parents = {error["loc"][:length] for error in errors for length in range(len(error["loc"]))}
    return [error for error in errors if error["type"] != "too_short" or error["loc"] not in parents]


def _translate(
    error: ErrorDetails,
    tags: frozenset[str],
    refused_types: Mapping[str, str],
    fields_at: Callable[[Location], Iterable[str]],
    meant_at: Callable[[Location, str], str | None],
) -> Violation:
    location, context, value = _without_operations(error["loc"]), error.get("ctx", {}), error["input"]
    if location[-2:] == (value, "[key]"):  # pydantic's step from an entry to its own key
        location = location[:-1]
    # The last part stays for now: an unknown field may have the name of a tag.
    path = tuple(part for part in location[:-1] if part not in tags) + location[-1:]
    match error["type"]:
        case "extra_forbidden":
            where, name = error["loc"][:-1], str(location[-1])
            value, rule = _NO_VALUE, unknown("field", name, fields_at(where), meant_at(where, name))
        case "union_tag_invalid":
            # The context has the tag as a text, whatever it was.
            field = _discriminator(context)
            path, value, rule = (*path, field), value[field], _tag_rule(field, context, refused_types)
        case "union_tag_not_found":
            field = _discriminator(context)
            path, value, rule = (*path, field), _NO_VALUE, f"is required: the name of {_TAGGED[field]}"
        case "missing":
            # pydantic's input of a missing field is the object that lacks it.
            value, rule = _NO_VALUE, "is required"
        case "float_type" if type(value) is int:  # of more digits than a float can have
            rule = _RULES["finite_number"]
        case kind:
            path = path[:-1] if location and location[-1] in tags else path
            rule = _RULES[kind].format(**context) if kind in _RULES else f"is refused: {error['msg']}"
    return violation(path, rule, value)


_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be ≥ {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "int_type": "must be a whole number",
    "invalid_key": "must have names as keys",
    "json_invalid": "is not valid JSON: {error}",
    "less_than": "must be < {lt}",
    "less_than_equal": "must be ≤ {le}",
    "list_type": "must be a list",
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
}


_TAGGED = {"type": "a scheduler", "op": "an operation"}
"""What a field names by which the members of a union are told apart."""


def _discriminator(context: Mapping[str, Any]) -> str:
    return str(context["discriminator"]).strip("'")


def _without_operations(location: Location) -> Location:
    """Without the name of an operation, which pydantic puts after the index of an amendment."""
    before = zip(("", *location), ("", "", *location), strict=False)
    return tuple(
        part
        for part, (one, two) in zip(location, before, strict=False)
        if not (isinstance(one, int) and two == "amendments")
    )


def _tag_rule(field: str, context: Mapping[str, Any], refused_types: Mapping[str, str]) -> str:
    tag = str(context["tag"])
    if tag in refused_types:
        return refused_types[tag]
    # pydantic gives the tags as one text of quoted names.
    return unknown(
        _TAGGED[field].split()[-1], tag, [name.strip("' ") for name in str(context["expected_tags"]).split(",")]
    )


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    by_lower = {candidate.lower(): candidate for candidate in known}
    # Cosine is too far from CosineAnnealingLR for difflib: a name within a name counts too.
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    close += [candidate for candidate in by_lower if len(name) > 1 and name.lower() in candidate]
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
