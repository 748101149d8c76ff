"""Speaker: what one process has been handed of a run, and has told its ranks; no I/O, no clock, no lock.

Iterations are told once, in order, and each at one LR: from windows that the service has handed out, or, while it is
out of reach, along the last revision that is known (an overrun). An answer that does not begin where the last telling
ended is thrown away.
"""

from dataclasses import asdict, dataclass
from typing import Any

from preheat_client._core.curve import Window
from preheat_client._runs.answers import Attached, Handed, Restart
from preheat_client.errors import ServiceUnavailable


@dataclass(frozen=True)
class Overrun:
    """Iterations start … end − 1, told while the service was out of reach, at the LRs of a revision."""

    start: int
    end: int
    revision: int


@dataclass(frozen=True)
class Part:
    """Successive iterations that are told to every rank at once, and what holds for them.

    `acknowledged` and `overrun` are the speaker's when it told them: what a checkpoint says of the run.
    """

    window: Window
    start: int
    stop: int
    attempt: int
    revision: int
    total_iterations: int
    acknowledged: int
    overrun: Overrun | None
    restart: Restart | None

    @property
    def is_overrun(self) -> bool:
        """Whether its LRs were not handed out by the service."""
        return self.overrun is not None and self.overrun.end >= self.stop


@dataclass(frozen=True)
class Asked:
    """What a request for a window said: the end of what this process has, and what it did out of reach."""

    position: int
    acknowledged: int
    overrun: Overrun | None


class Speaker:
    """One attempt as its speaker knows it.

    `acknowledged` is C, the end of what was handed out and has arrived; `told` the end of what any rank was told.
    """

    def __init__(self, attached: Attached) -> None:
        self.attempt, self.token, self.start = attached.attempt, attached.token, attached.start
        self.revision, self.generation, self.lease_s = attached.revision, attached.generation, attached.lease_s
        self.schedule_id, self.total_iterations = attached.schedule_id, attached.total_iterations
        self.acknowledged = self.told = attached.start
        self.longest = 2
        """The longest window so far: the service allows no overrun that is longer than its windows may be."""
        self.overrun: Overrun | None = None
        self.restart: Restart | None = None
        self._untold: list[Handed] = []

    @property
    def end(self) -> int:
        """Where the next window must begin: behind all that was handed out, and all that was told."""
        return max(self.acknowledged, self.told)

    @property
    def has_more(self) -> bool:
        """Whether a window has arrived that was not told yet."""
        return bool(self._untold)

    def ask(self, position: int) -> Asked:
        """The next request, by a job whose next iteration to run is `position`; it acknowledges what has arrived."""
        return Asked(min(max(position, self.start), self.end), self.acknowledged, self.overrun)

    def body(self, asked: Asked) -> dict[str, Any]:
        """The request as the service takes it."""
        return {
            "attempt": self.attempt,
            "token": self.token,
            "position": asked.position,
            "acknowledged": asked.acknowledged,
            "revision": self.revision,
            "generation": self.generation,
            "schedule_id": self.schedule_id,
            "overrun": None if asked.overrun is None else asdict(asked.overrun),
        }

    def adopt(self, handed: Handed) -> bool:
        """Takes the answer to the last request; False if it is thrown away, and the service is to be asked again.

        It is if ranks were told on meanwhile: its LRs, which are not those, would be second ones for these iterations.
        Raises ServiceUnavailable for an answer to something else.
        """
        start = handed.window.start
        if handed.attempt != self.attempt or start > self.end:
            raise ServiceUnavailable(
                f"the service answered attempt {handed.attempt} from iteration {start} on, not attempt {self.attempt} "
                f"from {self.end} on"
            )
        if start < self.end:
            return False
        self.revision, self.generation, self.lease_s = handed.revision, handed.generation, handed.lease_s
        self.schedule_id, self.total_iterations = handed.schedule_id, handed.total_iterations
        self.restart = handed.restart or self.restart
        self.overrun = None
        self.acknowledged = handed.stop
        self.longest = max(self.longest, handed.stop - start)
        if handed.stop > start:
            self._untold.append(handed)
        return True

    def tell(self) -> Part | None:
        """What is told next of what was handed out; None if all of it was."""
        if not self._untold:
            return None
        handed = self._untold.pop(0)
        self.told = handed.stop
        return self._part(handed.window, handed.stop, handed.attempt, handed.revision, handed.total_iterations)

    def go_on(self, window: Window, stop: int, revision: int) -> Part:
        """Tells iterations of a revision that the service has not handed out: it is out of reach.

        Only where all that was handed out was told, and in one overrun always of one revision.
        """
        start = self.overrun.start if self.overrun else self.acknowledged
        assert not self._untold  # noqa: S101 - a bug of ours
        assert window.start == self.end  # noqa: S101 - as above
        self.overrun = Overrun(start, stop, revision)
        self.told = stop
        return self._part(window, stop, self.attempt, revision, self.total_iterations)

    def renewed(self, attached: Attached) -> "Speaker":
        """The speaker of another attempt that goes on from what this one has told, or has to tell.

        For a service that has lost this attempt, and was told the end of it; what ranks were told on meanwhile is an
        overrun of the new one.
        """
        new = Speaker(attached)
        new._untold, new.told, new.restart = self._untold, self.told, self.restart
        if self.told > new.start:
            revision = self.overrun.revision if self.overrun else self.revision
            new.overrun = Overrun(new.start, self.told, revision)
        return new

    def _part(self, window: Window, stop: int, attempt: int, revision: int, total_iterations: int) -> Part:
        return Part(
            window,
            window.start,
            stop,
            attempt,
            revision,
            total_iterations,
            self.acknowledged,
            self.overrun,
            self.restart,
        )
