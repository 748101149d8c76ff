"""Flags of a run's picture: where its changes begin, which of them have a text together, and what it says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from preheat.messages import listed, shortened
from preheat.plot.ticks import count, short
from preheat.runs.run import Change, Run

_MOST_WHAT, _MOST_AUTHOR, _MOST_WHY = 30, 16, 34
_MOST_SAID, _MOST_LISTED = 3, 5
_BEADS = 3
"""How many rings of crowded changes have room where one of a lone change has."""


@dataclass(frozen=True)
class Flag:
    """Changes that stand at one place, the first of them at iteration `place`; `text` is empty where others have it.

    `brief` is the text without the reason, `told` everything there is to say, for those who point at it. Those of one
    text have one number of a `crowd`; a small one has no room for more.
    """

    place: int
    changes: tuple[Change, ...]
    text: str
    brief: str
    told: str
    crowd: int
    is_small: bool


def flags_of(run: Run, window: range, apart: float) -> list[Flag]:
    """The flags of a window, by place. What is nearer than `apart` iterations to another has no room beside it.

    Changes of a crowd, and those that a program repeats, have one text, at the first of them.
    """
    shown = sorted((each for each in run.changes if each.effect is not None and each.effect in window), key=_effect)
    found: list[Flag] = []
    for crowd, together in enumerate(_together(shown, apart)):
        text, brief = _texts(run, together)
        places = list(_places(together, apart))
        for index, (place, here) in enumerate(places):
            beside = [other for other, _ in places[max(index - 1, 0) : index + 2] if other != place]
            is_small = any(abs(other - place) < apart for other in beside)
            found.append(Flag(place, here, text, brief, _told(run, here), crowd, is_small))
            text = brief = ""
    return found


def _effect(change: Change) -> int:
    return change.effect or 0


def _together(changes: Sequence[Change], apart: float) -> Iterator[list[Change]]:
    """Changes in groups: neighbours that are near each other, or that a program made alike."""
    group: list[Change] = list(changes[:1])
    for last, change in pairwise(changes):
        is_alike = change.is_automated and last.is_automated and _kind(change) == _kind(last)
        if _effect(change) - _effect(last) >= apart and not is_alike:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _kind(change: Change) -> tuple[str, Any]:
    return change.author, dict(change.operation)


def _places(changes: list[Change], apart: float) -> Iterator[tuple[int, tuple[Change, ...]]]:
    """Where there are rings: as many as have room."""
    place, here = _effect(changes[0]), [changes[0]]
    for change in changes[1:]:
        if _effect(change) - place < apart / _BEADS:
            here.append(change)
        else:
            yield place, tuple(here)
            place, here = _effect(change), [change]
    yield place, tuple(here)


def _texts(run: Run, changes: Sequence[Change]) -> tuple[str, str]:
    """What is done, by whom and why, and the same without the reason; of several the last one's."""
    whats = list(dict.fromkeys(what_of(run, each) for each in changes))
    authors = listed(dict.fromkeys(shortened(each.author, _MOST_AUTHOR) for each in changes), _MOST_SAID)
    if len(whats) == 1 < len(changes):
        said = f"{whats[0]} {authors}, {len(changes)} times"
    elif len(changes) <= _MOST_SAID:
        said = f"{', '.join(whats)} {authors}"
    else:
        said = f"{len(changes)} changes by {authors}"
    return f"{said}: {shortened(changes[-1].why, _MOST_WHY)}", f"{said}: …"


def _told(run: Run, changes: Sequence[Change]) -> str:
    said = [f"at {count(_effect(each))}: {what_of(run, each)} {each.author}: {each.why}" for each in changes]
    more = f" · {len(said) - _MOST_LISTED} more" if len(said) > _MOST_LISTED else ""
    return " · ".join(said[:_MOST_LISTED]) + more


def what_of(run: Run, change: Change) -> str:
    """What a change does, in a few letters; what is not about LRs says so."""
    operation = change.operation
    of = str(operation.get("hyperparameter", "lr"))
    said = _operation(run, operation) if of == "lr" else f"{of} {_operation(run, operation)}"
    return shortened(said, _MOST_WHAT)


def _operation(run: Run, operation: Mapping[str, Any]) -> str:
    said = str(operation["op"])
    match operation:
        case {"op": "scale", "factor": factor}:
            said = f"×{factor:g}"
        case {"op": "hold", "value": float() | int() as value}:
            said = f"hold {short(value)}"
        case {"op": "hold", "value": "current"}:
            said = "hold current"
        case {"op": "rewarm" | "cooldown", "iterations": int() as iterations}:
            said = f"{said} {count(iterations)}"
        case {"op": "extend", "total_iterations": int() as total}:
            said = f"extend to {count(total)}"
        case {"op": "revert", "change": str() as other} if (reverted := run.change_of(other)) is not None:
            said = f"revert {what_of(run, reverted)}"
    return said
