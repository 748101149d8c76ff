"""Run: a training job's live schedule as one frozen value, with its changes, its attempts and its horizon.

Iterations count as everywhere: H (`handed`) is the end of what has been handed out, C (`acknowledged`) the end of what
the speaker has, `position` the next iteration to run; each is exclusive, so that iteration H − 1 has been handed out.
Times are seconds of UTC; no rule reads them for correctness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

Speakers = Literal["one", "all"]
"""Who talks to the service: one process, which tells the others, or each for itself."""

PlacementKind = Literal["accepted", "moved", "cancelled", "dropped", "from-here", "missed", "used"]


@dataclass(frozen=True)
class Placement:
    """Where a change stands from a revision of the run on; `effect` is E, None if it is out of the fold.

    `stop` ends it earlier than it was asked to; `value` is what a hold of the current LR holds, by param group. In
    `pauses` (start, stop) it is out of force: a job had used it, and then went on out of reach along an older revision.
    Of an extend `moved` is the last iteration before the phase that it moves, and by how many, or before what it holds.
    """

    revision: int
    attempt: int
    effect: int | None
    kind: PlacementKind
    stop: int | None = None
    value: dict[str, float] | None = None
    pauses: tuple[tuple[int, int], ...] = ()
    moved: tuple[int, int] | None = None


@dataclass(frozen=True)
class Cause:
    """The report for which a controller made a change."""

    controller: str
    attempt: int
    iteration: int


@dataclass(frozen=True)
class Change:
    """A change that was accepted: what was asked for, by whom and why, and where it has stood since, the latest last.

    `operation` is an amendment without start and stop, or {"op": "revert", "change": id}; all durations are iterations.
    """

    id: str
    operation: Mapping[str, Any]
    why: str
    author: str
    accepted_at: float
    placements: tuple[Placement, ...]
    at: int | None = None
    until: int | None = None
    for_iterations: int | None = None
    not_after: int | None = None
    is_automated: bool = False
    cause: Cause | None = None

    @property
    def placement(self) -> Placement:
        """Where it stands now."""
        return self.placements[-1]

    @property
    def effect(self) -> int | None:
        """E, None if it is out of the fold."""
        return self.placement.effect

    def placed_at(self, revision: int) -> Placement | None:
        """Where it stood in a revision; None before it was accepted."""
        return next((each for each in reversed(self.placements) if each.revision <= revision), None)

    def placed_in(self, attempt: int) -> Placement | None:
        """Where it stood at the end of an attempt; None if it was accepted later."""
        return next((each for each in reversed(self.placements) if each.attempt <= attempt), None)

    def stop_of(self, placement: Placement) -> int | None:
        """The first iteration at which it is no longer in force, by what was asked for and by the placement."""
        ends = [self.until, placement.stop]
        if self.for_iterations is not None and placement.effect is not None:
            ends.append(placement.effect + self.for_iterations)
        return min((end for end in ends if end is not None), default=None)


@dataclass(frozen=True)
class Lineage:
    """A job as its launcher knows it (a torchelastic or SLURM id), and how often it has been restarted."""

    job: str
    restarts: int


@dataclass(frozen=True)
class Attempt:
    """One life of the job, from iteration `start` on; child of `parent` at that iteration.

    `schedule_id` is the last revision's, by which it ran; `overruns` are the last windows that it went on through while
    the service was out of reach. It `is_closed` by its goodbye, or, then `is_fenced`, by a loss of the database.
    """

    number: int
    parent: int | None
    start: int
    token: str
    handed: int
    acknowledged: int
    position: int
    schedule_id: str
    attached_at: float
    heard_at: float
    moved_at: float
    lease_s: float
    speakers: Speakers = "one"
    iteration_s: float | None = None
    lineage: Lineage | None = None
    world_size: int | None = None
    is_closed: bool = False
    is_fenced: bool = False
    is_asked: bool = False
    overruns: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Rollback:
    """A restart that a person has asked for, at iteration `position`, and what becomes of changes from there on."""

    position: int
    changes: Literal["drop", "from-here"]
    why: str
    author: str


@dataclass(frozen=True)
class Snapshot:
    """A controller's state after the report of an iteration in an attempt."""

    attempt: int
    iteration: int
    state: Mapping[str, Any]


@dataclass(frozen=True)
class Controller:
    """A rule that follows a reported number: torch's ReduceLROnPlateau, with `parameters` and `state` as plain data.

    Reports of iterations from `first` on count; `folded` is the last that has been.
    """

    id: str
    metric: str
    parameters: Mapping[str, Any]
    param_groups: tuple[str, ...]
    state: Mapping[str, Any]
    first: int = 0
    folded: int = -1
    snapshots: tuple[Snapshot, ...] = ()


@dataclass(frozen=True)
class KeptAnswer:
    """What was answered to an Idempotency-Key of an author; `digest` is that of the request."""

    author: str
    key: str
    digest: str
    change: str


@dataclass(frozen=True)
class Origin:
    """Where a run was forked: the run, its attempt, and the last iteration that both share."""

    run: str
    attempt: int
    iteration: int


@dataclass(frozen=True)
class Run:
    """A run. `base` is the text of its base schedule; `events` counts its events.

    `schedule_id` and `total_iterations`, its last iteration, are the present revision's; `recent` has the last
    revisions, each with its schedule's id.
    """

    id: str
    label: str
    base: str
    schedule_id: str
    total_iterations: int
    created_at: float
    revision: int = 1
    generation: int = 1
    changes: tuple[Change, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    rollback: Rollback | None = None
    controllers: tuple[Controller, ...] = ()
    keys: tuple[KeptAnswer, ...] = ()
    origins: tuple[Origin, ...] = ()
    is_locked: bool = False
    is_finished: bool = False
    events: int = 0
    recent: tuple[tuple[int, str], ...] = ()

    @property
    def attempt(self) -> Attempt | None:
        """The present attempt, None before the first."""
        return self.attempts[-1] if self.attempts and self.attempts[-1].number > self.first_attempt else None

    @property
    def first_attempt(self) -> int:
        """The number before that of this run's first attempt: those up to it are of the run that it was forked from."""
        return self.origins[-1].attempt if self.origins else 0

    @property
    def attempt_number(self) -> int:
        """The number of the last attempt, 0 before the first; a fork counts on from the attempt that it shares."""
        return self.attempts[-1].number if self.attempts else 0

    @property
    def horizon(self) -> int:
        """H: the end of what has been handed out. Before the first attempt the end of what a fork shares, or 0."""
        if self.attempt is not None:
            return self.attempt.handed
        return self.origins[-1].iteration + 1 if self.origins else 0

    @property
    def etag(self) -> str:
        """The entity tag: revision and attempt."""
        return f'"{self.generation}.{self.revision}.{self.attempt_number}"'

    def attempt_of(self, number: int) -> Attempt | None:
        """The attempt of a number."""
        return next((each for each in reversed(self.attempts) if each.number == number), None)

    def schedule_of(self, revision: int) -> str | None:
        """The id of the schedule of the present revision, or of one that is not long ago; None for others."""
        return self.schedule_id if revision == self.revision else dict(self.recent).get(revision)

    def owner_of(self, attempt: int) -> str:
        """The id of the run in which an attempt was: this one, or one that it was forked from."""
        return next((origin.run for origin in self.origins if attempt <= origin.attempt), self.id)

    def shared_until(self, attempt: int) -> int | None:
        """The end of what this run shares of an attempt of one that it was forked from; None for its own."""
        return min((origin.iteration + 1 for origin in self.origins if attempt <= origin.attempt), default=None)

    def change_of(self, change_id: str) -> Change | None:
        """The change of an id."""
        return next((each for each in self.changes if each.id == change_id), None)


_RUN = TypeAdapter(Run)


def to_json(run: Run) -> dict[str, Any]:
    """The run as JSON values."""
    content: dict[str, Any] = _RUN.dump_python(run, mode="json")
    return content


def from_json(content: Mapping[str, Any]) -> Run:
    """The run that JSON values stand for, as `to_json` gives them."""
    return _RUN.validate_python(content)
