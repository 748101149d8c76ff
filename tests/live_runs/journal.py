"""Journal: what ranks, authors and watchers of a run wrote down, and what the service has on record of it.

A world around the pure room and real processes write the same kind; `promises` holds what is promised against it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Used:
    """A rank's line: the LR that it used at an iteration, the revision that it had it by, and whether in an overrun."""

    attempt: int
    iteration: int
    rank: int
    lr: float
    revision: int
    is_overrun: bool = False


@dataclass(frozen=True)
class Lane:
    """An attempt, as somebody saw it."""

    number: int
    parent: int | None
    start: int
    handed: int
    acknowledged: int
    position: int


@dataclass
class Intent:
    """What an author wanted once, however often it was sent: its `why` is its own.

    `horizon` is H as the author saw it under the ETag that was sent; `answers` are the ids of the change by the answers
    that arrived.
    """

    why: str
    horizon: int
    answers: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Placed:
    """Where a change stood from a revision on."""

    revision: int
    attempt: int
    effect: int | None


@dataclass(frozen=True)
class Changed:
    """A change on record; `cause` is attempt and iteration of the report that a controller made it for."""

    id: str
    why: str
    author: str
    cause: tuple[int, int] | None
    placements: tuple[Placed, ...]


@dataclass(frozen=True)
class Recorded:
    """What the record says of an iteration of an attempt."""

    lr: float
    certainty: str


@dataclass(frozen=True)
class Happened:
    """An event."""

    number: int
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Controlled:
    """A controller: torch's arguments, the first iteration that counts, its state where that is known, its reports.

    `reports` has those on record, by attempt and iteration.
    """

    parameters: Mapping[str, Any]
    first: int
    state: Mapping[str, Any] | None
    reports: Mapping[tuple[int, int], float]


@dataclass
class Journal:
    """What happened, in the words of all who took part.

    `looks` are all attempts as somebody saw them, one look after another; the last one is of the end. `watched` are the
    events that each watcher was told. `lost` are answers to those who do everything right that say that the service has
    forgotten something. `wrongs` are promises that were seen broken where it happened.
    """

    used: list[Used] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    looks: list[tuple[Lane, ...]] = field(default_factory=list)
    watched: dict[str, list[Happened]] = field(default_factory=dict)
    events: list[Happened] = field(default_factory=list)
    changes: list[Changed] = field(default_factory=list)
    record: Callable[[int, int], Recorded | None] = lambda _attempt, _iteration: None
    controllers: list[Controlled] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrongs: list[tuple[str, str]] = field(default_factory=list)
    traffic: Counter[str] = field(default_factory=Counter)

    def lane(self, number: int) -> Lane | None:
        """An attempt as it was in the end."""
        return next((each for each in reversed(self.looks[-1]) if each.number == number), None) if self.looks else None

    def line(self) -> list[tuple[Lane, int | None]]:
        """The attempts from the last one to the root, each with the iteration at which it was left."""
        found: list[tuple[Lane, int | None]] = []
        at, stop = (self.looks[-1][-1] if self.looks and self.looks[-1] else None), None
        while at is not None:
            found.append((at, stop))
            stop = at.start if stop is None else min(stop, at.start)
            at = None if at.parent is None else self.lane(at.parent)
        return found
