"""Bounds: how much a spec may hold, counted on its plain values before any work is done on them.

Each is a multiple of what anybody trains with, and small enough that a spec at all of them at once is checked within
seconds. What a param group takes over from the spec counts once for each group that gets a copy of its own. The bounds
of one list or text are in its model; a schedule that is stored is read whatever the bounds are now.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from preheat.specs.violations import InvalidSpec, Location, violation

MAX_CHARACTERS = 10_000_000
"""Of a text in JSON; the service takes fewer bytes unless its operator asks for more."""

MAX_YAML_CHARACTERS = 1_000_000
"""Of a text in YAML, which is parsed a hundred times as slowly as JSON."""

MAX_YAML_VALUES = 100_000
"""Values of a text in YAML, each alias counted as what it stands for: ten lines of aliases can stand for billions."""

MAX_DEPTH = 100
"""Values within values: schedulers are nested at most 20 deep, and each takes two levels."""

MAX_FIELDS = 300
"""Fields of one object: the largest model has fewer than twenty."""

MAX_VALUES = 250_000
"""Values after all copies: a TableLR alone may have 100,000."""

MAX_SCHEDULERS = 3_000
"""Schedulers after all copies: 256 param groups with ten each. A POST takes 0.2 ms for each."""

MAX_EXPRESSION_CHARACTERS = 200_000
"""Characters of all expressions after all copies: 200 of the longest. Each of those takes 5 ms to be checked."""

MAX_COLUMNS = 6_000
"""Values at one iteration: 256 param groups with LR, momentum and twenty other hyperparameters."""


@dataclass(frozen=True)
class _Size:
    """What plain values hold."""

    values: int = 0
    schedulers: int = 0
    expression_characters: int = 0

    def __add__(self, other: "_Size") -> "_Size":
        return _Size(
            self.values + other.values,
            self.schedulers + other.schedulers,
            self.expression_characters + other.expression_characters,
        )

    def times(self, copies: int) -> "_Size":
        """The size of so many copies."""
        return _Size(self.values * copies, self.schedulers * copies, self.expression_characters * copies)


def check_bounds(content: Any) -> None:
    """Raises InvalidSpec if the plain values of a spec hold more than they may, with the bound and what they hold."""
    size = _size(content)
    for spec in _specs(content):
        after, own = spec.get("after_scheduler"), _objects(spec.get("param_groups"))
        # A group with a warm-up of its own has another part of the run before it: it gets a copy of the scheduler.
        copies = sum(group.get("warmup") is not None and group.get("after_scheduler") is None for group in own)
        size += _size(after).times(copies)
        _check("columns", _columns(spec, own), MAX_COLUMNS)
    _check("schedulers", size.schedulers, MAX_SCHEDULERS)
    _check("characters of expressions", size.expression_characters, MAX_EXPRESSION_CHARACTERS)
    _check("values", size.values, MAX_VALUES)


def _specs(content: Any) -> Iterator[dict[str, Any]]:
    """The spec, and those that replace it; `_size` has bounded how deep they are."""
    if isinstance(content, dict):
        yield content
        for amendment in _objects(content.get("amendments")):
            yield from _specs(amendment.get("schedule"))


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        rule = f"must have at most {most} {what}, what each param group takes over included, and has {count}"
        raise InvalidSpec([violation((), rule)])


def _size(content: Any) -> _Size:
    """What plain values hold. Raises InvalidSpec as soon as they are too many, too deep, or an object too wide."""
    values = schedulers = characters = 0
    level: list[tuple[Location, Any]] = [((), content)]
    for _ in range(MAX_DEPTH + 1):
        below: list[tuple[Location, Any]] = []
        for location, value in level:
            values += 1 if not isinstance(value, dict | list | tuple) else len(value)
            # Asked for each object: what YAML's aliases stand for is there once, and met here as often as it is named.
            _check("values", values, MAX_VALUES)
            if isinstance(value, dict):
                if len(value) > MAX_FIELDS:
                    rule = f"must have at most {MAX_FIELDS} fields, and has {len(value)}"
                    raise InvalidSpec([violation(location, rule)])
                schedulers += isinstance(value.get("type"), str)
                expression = value.get("expression")
                characters += len(expression) if isinstance(expression, str) else 0
            below += _within(location, value)
        if not below:
            return _Size(values, schedulers, characters)
        level = below
    raise InvalidSpec([violation(level[0][0][:8], f"is nested too deeply: at most {MAX_DEPTH} values within values")])


def _within(location: Location, value: Any) -> Iterator[tuple[Location, Any]]:
    """The objects and lists directly within a value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, each in entries:
        if isinstance(each, dict | list | tuple):
            yield (*location, key if isinstance(key, int | str) else str(key)), each


def _columns(content: Mapping[str, Any], own: list[dict[str, Any]]) -> int:
    """Columns that a spec has at most: of every param group the LR, its momentum, and other hyperparameters."""
    decay, shared = content.get("layer_decay"), content.get("hyperparameters")
    layers = decay.get("layers") if isinstance(decay, dict) else None
    groups = layers + 2 if isinstance(layers, int) else max(len(own), 1)  # with embedding and head
    of_groups = sum(len(group["hyperparameters"]) for group in own if isinstance(group.get("hyperparameters"), dict))
    return groups * (2 + (len(shared) if isinstance(shared, dict) else 0)) + of_groups


def _objects(entries: Any) -> list[dict[str, Any]]:
    return [each for each in entries if isinstance(each, dict)] if isinstance(entries, list | tuple) else []
