"""Attachment: what a loop asks of its run's speaker: to attach, for what comes next, to leave; it waits, bounded."""

import logging
import os
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from preheat_client._core.worker import Result
from preheat_client._runs.answers import Change
from preheat_client._runs.heartbeat import Heartbeat, Link
from preheat_client._runs.pace import iterations_ahead
from preheat_client._runs.patience import patiently
from preheat_client._runs.speaker import Part, Speaker
from preheat_client.errors import IterationOutOfRange, KnowsMore, PreheatError, ServiceUnavailable
from preheat_client.run_status import RunState

if TYPE_CHECKING:
    from preheat_client._runs.api import RunApi  # brings httpcore

_LOG = logging.getLogger("preheat_client")
_MOST_IN_OVERRUN = 256
_FURTHEST = 65_536
_GOODBYE_S, _RECHECK_S = 1.0, 0.05


class Attachment:
    """The conversation of one process with the service about one run, as its loop has it."""

    def __init__(self, link: Link) -> None:
        self.heartbeat = Heartbeat(link)
        self._link, self._options, self._health = link, link.options, link.health

    def attach(self, position: int, checkpoint: Mapping[str, Any] | None, world_size: int | None) -> None:
        """Opens an attempt whose first iteration is `position`, in the place of one of its own.

        Waits while another process's is alive, or the service away. Raises RunOccupied or ServiceUnavailable after
        `patience_s`, RunSuperseded, CheckpointMismatch, KnowsMore, RunFinished, RequestRefused; RuntimeError at once
        if it is this process that trains the run, through another Run.
        """
        self._check_only()
        heartbeat, run = self.heartbeat, self._link.run.id
        more = {"world_size": world_size, "checkpoint": checkpoint}
        if self.leave():
            more["take_over"] = True  # of this process's own attempt, if the goodbye got lost
            heartbeat.reports.discard()  # what it could not say then, the next attempt must not say as its own
            with suppress(KnowsMore):  # then the attach says it
                self.patiently(lambda _: heartbeat.settle())
        elif self._is_own_and_dropped():
            more["take_over"] = True
        body = heartbeat.attach_body(position, os.urandom(16).hex(), **more)
        try:
            attached = self.patiently(lambda api: api.attach(run, body))
        except KnowsMore as error:
            known = self._knowledge(checkpoint, error)
            body = heartbeat.attach_body(position, os.urandom(16).hex(), **more, knowledge=known)
            attached = self.patiently(lambda api: api.attach(run, body))
        self._health.become(RunState.READY, f"attempt {attached.attempt} begins at iteration {position}")
        heartbeat.start(Speaker(attached), position)
        _SPEAKING[self._link.address, run] = self
        _OPENED[self._link.address, run] = (os.getpid(), attached.attempt)

    def next_part(self, iteration: int) -> Part:
        """What is told next, so that `iteration` comes into reach; waits for it, or goes on along what is known.

        Raises RunSuperseded, RunFinished; ServiceUnavailable where going on alone is not possible; IterationOutOfRange
        far ahead of what was told or handed out, and, with many speakers, past the end.
        """
        heartbeat = self.heartbeat
        give_up = time.monotonic() + self._options.patience_s
        while True:
            if heartbeat.ended is not None:
                raise heartbeat.ended
            speaker = heartbeat.speaker
            if speaker is None:
                raise ServiceUnavailable("this process has said goodbye to the run")
            if iteration - speaker.end > _FURTHEST:
                raise IterationOutOfRange(iteration, speaker.end + _FURTHEST, _IN_ORDER)
            part = self._told(speaker) or self._awaited(speaker) or self._gone_on(speaker, iteration)
            if part is not None:
                self._link.revisions.focus(part.stop)
                if not part.is_overrun and heartbeat.error is None:
                    self._health.become(RunState.READY, "the service answers again")
                return part
            if iteration > speaker.total_iterations and heartbeat.error is None and self._options.speakers == "all":
                raise IterationOutOfRange(iteration, speaker.total_iterations)
            if time.monotonic() >= give_up:
                raise heartbeat.error or ServiceUnavailable(f"no LR for iteration {iteration}")
            with heartbeat.changed:
                heartbeat.changed.wait(_RECHECK_S)

    def check_open(self, *, ends: bool) -> None:
        """Raises ServiceUnavailable after a goodbye; RunSuperseded or RunFinished once one of them `ends` the run."""
        if self.heartbeat.is_closed:
            raise ServiceUnavailable("this process has said goodbye to the run")
        if ends and self.heartbeat.ended is not None:
            raise self.heartbeat.ended

    def leave(self) -> bool:
        """Says goodbye, and before it what is left; whether there was an attempt. An outage is not waited for."""
        heartbeat = self.heartbeat
        with heartbeat.lock:
            speaker, heartbeat.speaker = heartbeat.speaker, None
        if speaker is None:
            return False
        if heartbeat.ended is None:
            position = min(max(self._link.place.position, speaker.start), speaker.end)
            try:
                self._link.worker.ask(lambda: self._say_goodbye(speaker, position), _GOODBYE_S)
            except PreheatError as error:
                _LOG.debug("%s: no goodbye: %s", self._health.name, error)
        return True

    def close(self) -> None:
        """Says goodbye for good."""
        heartbeat = self.heartbeat
        if not heartbeat.is_closed:
            if self.leave() and heartbeat.ended is None:
                self._health.become(RunState.CLOSED, "this process has said goodbye")
            heartbeat.is_closed = True
            heartbeat.notify()

    def patiently(self, question: "Callable[[RunApi], Result]") -> Result:
        """The answer to a question, asked again for `patience_s` as long as that may help."""
        link = self._link
        name, is_closed = link.health.name, lambda: self.heartbeat.is_closed
        return patiently(link.worker, lambda: question(link.api), link.options.patience_s, name, is_closed)

    def look_for_changes(self, revision: int, tell: Callable[[Change], object]) -> None:
        """Tells what has changed since a revision, on the client's thread, soon."""

        def look() -> None:
            try:
                changes = self._link.api.changes(self._link.run.id)
            except PreheatError as error:  # nothing depends on it
                _LOG.debug("%s: no changes: %s", self._health.name, error)
                return
            for change in changes:
                if max(change.revisions, default=0) > revision:
                    tell(change)

        self._link.worker.enqueue(look)

    def _check_only(self) -> None:
        other = _SPEAKING.get((self._link.address, self._link.run.id))
        may_join = self._options.speakers == "all" or self._options.take_over
        if other is None or other is self or may_join or other.heartbeat.is_over(other.heartbeat.speaker):
            return
        raise RuntimeError(
            f"this process trains {self._health.name} already, through another Run, and would wait for itself: call "
            "Preheat.run once, and give the same Run to every optimizer. To begin anew, close() the other one first"
        )

    def _is_own_and_dropped(self) -> bool:
        """Whether the attempt to be seen is this process's own, through a Run that is gone and said no goodbye.

        It would be waited for as if another process were alive. Of many speakers, the others go on with it.
        """
        opened = _OPENED.get((self._link.address, self._link.run.id))
        return self._options.speakers == "one" and opened == (os.getpid(), self.heartbeat.seen_attempt)

    def _knowledge(self, checkpoint: Mapping[str, Any] | None, error: KnowsMore) -> dict[str, Any]:
        """What a checkpoint knows that the service has lost. Raises the error where LRs would be missing from it."""
        spec = None if checkpoint is None else self._link.revisions.spec(checkpoint["revision"])
        if checkpoint is None or (spec is None and "revision" in error.problem.get("lost", {})):
            raise error
        overrun = checkpoint["overrun"] or {"end": 0}
        bound = max(checkpoint["acknowledged"], overrun["end"])
        return {"attempt": checkpoint["attempt"], "revision": checkpoint["revision"], "bound": bound, "spec": spec}

    def _say_goodbye(self, speaker: Speaker, position: int) -> None:
        attached = self.heartbeat.settle()
        if attached is not None:
            speaker = speaker.renewed(attached)
            position = max(position, speaker.start)
        self.heartbeat.confirm(speaker, position)
        if self._options.speakers == "one":  # of many, the others go on
            self._link.api.close(self._link.run.id, speaker.attempt, speaker.token, position)

    def _told(self, speaker: Speaker) -> Part | None:
        with self.heartbeat.lock:
            return speaker.tell() if self.heartbeat.speaker is speaker else None

    def _awaited(self, speaker: Speaker) -> Part | None:
        """The next part, if the service answers and gives one in time."""
        heartbeat, is_one = self.heartbeat, self._options.speakers == "one"
        if heartbeat.error is not None and is_one:
            return None  # an outage is not waited for
        seen = heartbeat.answers
        heartbeat.ask_now()

        def has_come() -> bool:
            is_last = heartbeat.answers > seen and speaker.acknowledged > speaker.total_iterations
            is_away = heartbeat.error is not None and is_one
            return speaker.has_more or is_last or is_away or heartbeat.is_over(speaker)

        with heartbeat.changed:
            heartbeat.changed.wait_for(has_come, self._options.timeout_s)
        return self._told(speaker)

    def _gone_on(self, speaker: Speaker, iteration: int) -> Part | None:
        """The next part of an overrun; None if there is no need for one any more, or where there must be none."""
        heartbeat = self.heartbeat
        is_last = iteration > speaker.total_iterations
        if self._options.speakers == "all":
            return None
        overrun, start = speaker.overrun, speaker.end
        most = min(speaker.longest, _MOST_IN_OVERRUN)
        count = iterations_ahead(heartbeat.pace.iteration_s, speaker.lease_s / 2, most)
        found = self._link.revisions.rows(start, count, None if overrun is None else overrun.revision)
        # Not along an older one than that of the attach: what this moved had another clock there.
        if found is None or found[0] < speaker.revision:
            return None
        revision, window = found
        with heartbeat.lock:
            if heartbeat.is_over(speaker) or speaker.has_more or (speaker.overrun, speaker.end) != (overrun, start):
                return None
            part = speaker.go_on(window, start + count, revision)
        reason = "the run is over, and its last LR is held" if is_last else f"{heartbeat.error or 'no answer in time'}"
        self._health.become(RunState.OVERRUN, f"{reason}; the loop goes on along revision {revision} from {start} on")
        return part


_IN_ORDER = (
    f": a run's LRs are used in order, at most {_FURTHEST:,} iterations ahead of what was handed out. plan(n) only "
    "looks, and a loop that goes on from a checkpoint loads its state first"
)
_SPEAKING: "weakref.WeakValueDictionary[tuple[str, str], Attachment]" = weakref.WeakValueDictionary()
"""By address and run, which attachment of this process has attached last."""

_OPENED: dict[tuple[str, str], tuple[int, int]] = {}
"""By address and run, which process has opened an attempt last, and its number; a child of a fork has opened none."""
