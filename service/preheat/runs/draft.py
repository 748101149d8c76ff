"""Draft: a run on its way from one value to the next, with the events and the revision that come of it."""

from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from preheat.curve import Curve
from preheat.runs.events import Event
from preheat.runs.run import Attempt, Change, Placement, PlacementKind, Run
from preheat.schedule import Schedule

Answer = TypeVar("Answer")


class Curves(Protocol):
    """Where curves come from: kept in memory, or made. A pure function of what is asked for."""

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a schedule that is stored: every revision of a run is."""
        ...

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule."""
        ...

    def check(self) -> None:
        """Raises ComputeTimeout once it takes longer than whoever asks for curves may."""
        ...


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """The next value of a run, what happened, its new revisions, each with its schedule, and the answer.

    All of it is saved in one transaction, and only then is the answer given.
    """

    run: Run
    events: tuple[Event, ...]
    revisions: tuple[tuple[int, Schedule], ...]
    answer: Answer

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the last new revision."""
        return self.revisions[-1][1] if self.revisions else None


class Draft:
    """A run being changed; the run that it begins with is not altered."""

    def __init__(self, run: Run, now: float) -> None:
        self.run, self.now = run, now
        self.revisions: list[tuple[int, Schedule]] = []
        self.has_placed = False
        """Whether a change stands elsewhere than in the present revision."""

        self.events: list[Event] = []

    @property
    def schedule(self) -> Schedule | None:
        """The schedule of the last new revision."""
        return self.revisions[-1][1] if self.revisions else None

    def curve(self, schedule_id: str, curves: Curves) -> Curve:
        """The curve of a schedule that is stored, or that this draft has made."""
        made = next((schedule for _, schedule in self.revisions if schedule.id == schedule_id), None)
        return curves.curve(schedule_id) if made is None else curves.curve_of(made)

    def add_revision(self, schedule: Schedule) -> None:
        """Notes the schedule of the present revision, which is new."""
        self.revisions.append((self.run.revision, schedule))

    def set(self, **fields: Any) -> None:
        """Sets fields of the run."""
        self.run = replace(self.run, **fields)

    def set_attempt(self, number: int, **fields: Any) -> None:
        """Sets fields of an attempt."""
        # From the end: it is nearly always the last.
        index = next(i for i in range(len(self.run.attempts) - 1, -1, -1) if self.run.attempts[i].number == number)
        attempts = self.run.attempts
        self.set(attempts=(*attempts[:index], replace(attempts[index], **fields), *attempts[index + 1 :]))

    def add_attempt(self, attempt: Attempt) -> None:
        """Adds the next attempt."""
        self.set(attempts=(*self.run.attempts, attempt))

    def set_change(self, change: Change) -> None:
        """Sets the change of its id."""
        self.set(changes=tuple(change if each.id == change.id else each for each in self.run.changes))

    def place(
        self,
        change: Change,
        effect: int | None,
        kind: PlacementKind,
        *,
        stop: int | None = None,
        pauses: tuple[tuple[int, int], ...] = (),
        moved: tuple[int, int] | None = None,
        **why: Any,
    ) -> None:
        """Puts a change somewhere else from the next revision on, and says so in an event."""
        value = change.placement.value if effect == change.effect else None
        moved = change.placement.moved if moved is None and effect == change.effect else moved
        placement = Placement(self.run.revision + 1, self.run.attempt_number, effect, kind, stop, value, pauses, moved)
        self.set_change(replace(change, placements=(*change.placements, placement)))
        self.has_placed = True
        self.note(f"change-{kind}", change=change.id, before=change.effect, effect=effect, **why)

    def keep(self, change: Change, **fields: Any) -> None:
        """Sets fields of where a change stands, from the next revision on; earlier ones had what they had."""
        now, run = change.placement, self.run
        earlier = change.placements[:-1] if now.revision == run.revision + 1 else change.placements
        kept = replace(now, revision=run.revision + 1, attempt=run.attempt_number, **fields)
        self.set_change(replace(change, placements=(*earlier, kept)))

    def note(self, kind: str, **data: Any) -> None:
        """Adds an event."""
        number = self.run.events + 1
        self.set(events=number)
        self.events.append(Event(number, kind, self.now, data))

    def copy(self) -> "Draft":
        """The same draft, to try something on."""
        copied = Draft(self.run, self.now)
        copied.take(self)
        return copied

    def take(self, other: "Draft") -> None:
        """Takes over everything from a copy."""
        self.run, self.has_placed = other.run, other.has_placed
        self.revisions, self.events = list(other.revisions), list(other.events)

    def outcome(self, answer: Answer) -> Outcome[Answer]:
        """What came of it."""
        return Outcome(self.run, tuple(self.events), tuple(self.revisions), answer)
