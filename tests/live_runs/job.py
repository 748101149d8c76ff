"""Jobs of a world: what a process that speaks for its ranks knows, and what is on its way to it."""

from dataclasses import dataclass, field

from preheat.runs import windows
from preheat.runs.facts import Overrun


@dataclass(frozen=True)
class Told:
    """What ranks were told to use at an iteration."""

    lr: float
    revision: int
    is_overrun: bool


@dataclass
class Job:
    """A process that speaks for its ranks (or one rank of many, alone), and what it has told them.

    The first rank is at `position`; the others lag behind.
    """

    token: str
    attempt: int
    position: int
    have: int
    revision: int
    schedule_id: str
    ranks: tuple[int, ...]
    others_at: int
    told: dict[int, Told] = field(default_factory=dict)
    end: int = 0
    overrun: Overrun | None = None
    is_dead: bool = False


@dataclass(frozen=True)
class Flight:
    """An answer on its way."""

    job: Job
    window: windows.Window
    overrun: Overrun | None
