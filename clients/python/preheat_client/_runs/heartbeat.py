"""Heartbeat: the job of the client's thread that asks for a run's next window, every half lease or sooner."""

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, get_args

from preheat_client._core.prefetch import Backoff
from preheat_client._core.worker import Result, Worker
from preheat_client._runs.answers import Attached, RunDescription
from preheat_client._runs.differences import Differences
from preheat_client._runs.pace import Pace
from preheat_client._runs.place import Place
from preheat_client._runs.processes import Lineage, Processes
from preheat_client._runs.reports import Reports, is_about_reports
from preheat_client._runs.revisions import Revisions
from preheat_client._runs.speaker import Asked, Speaker
from preheat_client.errors import KnowsMore, PreheatError, RequestRefused, RunFinished, RunSuperseded
from preheat_client.run_status import RunHealth

if TYPE_CHECKING:
    from preheat_client._runs.api import Columns, RunApi  # brings httpcore

_LOG = logging.getLogger("preheat_client")
_CONFLICT, _NOT_TAKEN = 409, {413, 422}
_SOONEST_S = _FIRST_LOOK_S = 0.02

Speakers = Literal["one", "all"]


@dataclass(frozen=True)
class Options:
    """How a job speaks for its run; `reports`: whether this process does, since of many speakers only one is to."""

    speakers: Speakers
    lineage: Lineage | None
    take_over: bool
    patience_s: float
    timeout_s: float
    reports: bool


def options_of(
    speakers: Speakers,
    take_over: bool,
    patience_s: float,
    timeout_s: float,
    processes: Processes,
) -> Options:
    """Options that were checked. Raises TypeError or ValueError, with name, value and rule."""
    if not isinstance(take_over, bool):
        raise TypeError(f"take_over ({take_over!r:.80}) must be True or False")
    if isinstance(patience_s, bool) or not isinstance(patience_s, Real):
        raise TypeError(f"patience_s ({patience_s!r:.80}) must be a number of seconds")
    if speakers not in get_args(Speakers):
        raise ValueError(f"speakers ({speakers!r:.40}) must be one of {', '.join(get_args(Speakers))}")
    if not 0 < patience_s < math.inf:
        raise ValueError(f"patience_s ({patience_s}) must be > 0 and finite")
    if speakers == "all" and processes.lineage is None:
        raise ValueError(
            'speakers="all" needs to know which processes are one job: by TORCHELASTIC_RUN_ID (torchrun --rdzv-id) or '
            "SLURM_JOB_ID"
        )
    reports = speakers == "one" or processes.rank == 0
    return Options(speakers, processes.lineage, take_over, float(patience_s), timeout_s, reports)


@dataclass(frozen=True)
class Link:
    """What leads from one run to the service and back."""

    run: RunDescription
    columns: "Columns"
    options: Options
    address: str
    api: "RunApi"
    worker: Worker
    revisions: Revisions
    health: RunHealth
    place: Place


class Heartbeat:
    """The speaker of the present attempt, and the requests that keep it supplied.

    The loop reads and tells, the client's thread asks and adopts: what both touch is `speaker`, under `lock`, which is
    never held while anything is waited for. After each request `changed` is notified.
    """

    speaker: Speaker | None
    error: PreheatError | None
    """Why the last request failed; None once one has not."""
    ended: PreheatError | None
    """Why there will be no more LRs: another process has taken over, or the run is finished."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.seen_attempt = link.run.attempt
        self.is_closed = False
        self.on_window: Callable[[int, int], object] = lambda _before, _now: None
        """Called on the client's thread after each window, with the revisions before it and now."""
        self.on_end: Callable[[], object] = lambda: None
        """Called on the client's thread when there will be no more."""
        self.told: Callable[[int], Mapping[str, Any] | None] = lambda _position: None
        """What this process was handed for the iteration before a position."""
        self._job = partial(_beat, weakref.ref(self))  # the thread must not keep a run that is dropped
        self.renew()

    def renew(self) -> None:
        """Begins anew, also in the child of a fork: that is another process, and has not attached."""
        self.lock, self.changed, self.reports = threading.Lock(), threading.Condition(), Reports()
        self._start(None, 0)

    def start(self, speaker: Speaker, position: int) -> None:
        """Begins to ask for an attempt that has just been opened."""
        self._start(speaker, position)
        self.seen_attempt = speaker.attempt
        self.link.revisions.see(speaker.revision, speaker.schedule_id, position)
        self.ask_now()

    def _start(self, speaker: Speaker | None, position: int) -> None:
        self.pace, self._backoff, self.differences = Pace(position, time.monotonic()), Backoff(), Differences()
        self.answers, self._ask_at, self._look_s, self._wait_s = 0, 0.0, _FIRST_LOOK_S, _SOONEST_S / 2
        self.error = self.ended = None
        self._unanswered: dict[str, Any] | None = None
        """The attach, told what this process knows, whose answer has not come: it may have opened an attempt."""
        with self.lock:
            self.speaker = speaker

    def ask_now(self) -> None:
        """Asks without a pause, unless the service asked for one by Retry-After."""
        self._ask_at = 0.0
        self.link.worker.enqueue(self._job)

    def is_over(self, speaker: Speaker | None) -> bool:
        """Whether a speaker gets no more windows; None never does."""
        return speaker is None or self.speaker is not speaker or self.ended is not None or self.is_closed

    def notify(self) -> None:
        """Wakes whoever waits for a window."""
        with self.changed:
            self.changed.notify_all()

    def attach_body(self, position: int, token: str, **more: object) -> dict[str, Any]:
        """A request to attach; None where `more` says nothing else."""
        options = self.link.options
        return {
            "token": token,
            "seen_attempt": self.seen_attempt,
            "position": position,
            "speakers": options.speakers,
            "lineage": None if options.lineage is None else asdict(options.lineage),
            "take_over": options.take_over,
            "world_size": None,
            "checkpoint": None,
            "knowledge": None,
            **more,
        }

    def confirm(self, speaker: Speaker, position: int) -> None:
        """Tells the service where a loop has left, and what it had and did, with the reports that are left.

        Raises ServiceUnavailable, RequestRefused.
        """
        self._ask(speaker, position)
        body = {"attempt": speaker.attempt, "token": speaker.token, "told": []}
        while self.link.options.reports and not self.reports.is_empty:
            self._with_reports(
                lambda reports: self.link.api.report(self.link.run.id, {**body, "reports": reports}),
                lambda left_from: left_from,
            )

    def beat(self) -> float | None:
        """Makes one request, if it is time to; seconds until the next call, None if there will be none."""
        speaker = self.speaker
        if speaker is None or self.is_over(speaker):
            return None
        if self._backoff.retry_after_s > 0:
            return self._backoff.retry_after_s
        now, position = time.monotonic(), self.link.place.position
        self.pace.note(position, now)
        if self.pace.iteration_s is None and now < self._ask_at:
            self._look_s *= 2  # at the loop, to know soon how long an iteration takes
            return min(self._look_s, self._ask_at - now)
        again_after_s: float | None
        try:
            again_after_s = self._ask(speaker, position) if self._unanswered is None else self._go_on_as(speaker)
        except PreheatError as error:
            again_after_s = self._failed(speaker, error)
        self.notify()
        return again_after_s

    def _ask(self, speaker: Speaker, position: int) -> float:
        link = self.link
        with self.lock:
            asked = speaker.ask(position)
            body = speaker.body(asked)
        differences = self.differences
        differing = [] if asked.overrun else differences.waiting()  # of an overrun the service has yet to learn
        body |= {"iteration_s": self.pace.iteration_s, "told": differing or self._told_now(asked)}
        handed = self._with_reports(
            lambda reports: link.api.window(link.run.id, {**body, "reports": reports}, link.columns),
            lambda handed: handed.left_from,
        )
        differences.sent(len(differing))
        self.error = None
        self.answers += 1
        self._backoff.succeeded()
        link.health.answered()
        link.revisions.see(handed.revision, handed.schedule_id, handed.stop)
        # Not before the loop could go on along its revision: one that went back to the revision before, when the
        # service is lost just now, would unmake a change that it had used.
        if link.options.speakers == "one" and not link.revisions.has(handed.revision, handed.stop):
            self._wait_s = min(2 * self._wait_s, speaker.lease_s / 4)
            return self._wait_s
        self._wait_s = _SOONEST_S / 2
        before = speaker.revision
        with self.lock:
            is_adopted = speaker.adopt(handed)
        if not is_adopted:
            return 0.0
        self.on_window(before, speaker.revision)
        return self._next_s(speaker, position) if handed.left_from is None else _SOONEST_S

    def _with_reports(
        self, ask: Callable[[list[dict[str, Any]]], Result], left_from: Callable[[Result], int | None]
    ) -> Result:
        """The answer to a request with the reports that wait, but for those that the service refuses.

        `left_from` says of an answer from which iteration on they are left for the next one.
        """
        reports = self.reports
        while True:
            try:
                answer = ask(reports.batch() if self.link.options.reports else [])
            except RequestRefused as error:
                if error.status not in _NOT_TAKEN or reports.is_empty or not is_about_reports(error.problem):
                    raise
                if dropped := reports.refused(error.problem):
                    _LOG.error("%s: %d reports are dropped, as refused: %s", self.link.health.name, dropped, error)
            else:
                reports.sent(left_from(answer))
                return answer

    def _told_now(self, asked: Asked) -> list[Mapping[str, Any]]:
        # Where an update has run at another LR, what was handed out is not what was used.
        told = self.told(asked.position) if asked.overrun is None and not self.differences.count else None
        return [] if told is None else [told]

    def _next_s(self, speaker: Speaker, position: int) -> float:
        half_s, iteration_s = speaker.lease_s / 2, self.pace.iteration_s
        self._ask_at = time.monotonic() + half_s
        if iteration_s is None:
            return self._look_s
        if speaker.acknowledged > speaker.total_iterations:  # there is nothing more to hand out
            return half_s
        return min(half_s, max((speaker.end - position) * iteration_s / 2, _SOONEST_S))

    def _failed(self, speaker: Speaker, error: PreheatError) -> float | None:
        health = self.link.health
        if self.is_over(speaker):  # closing is what made it fail
            return None
        if isinstance(error, KnowsMore):
            try:
                self._unanswered = self._facts(speaker)
                return self._go_on_as(speaker)
            except PreheatError as refusal:
                error = refusal
        if isinstance(error, RunSuperseded | RunFinished):
            self.ended = error
            health.ended(error)
            self.on_end()
            return None
        self.error = error
        health.failed(error)
        if getattr(error, "status", None) == _CONFLICT:
            return speaker.lease_s / 2
        pause_s: float = min(self._backoff.failed(error), 2 * speaker.lease_s)
        return max(pause_s, self._backoff.retry_after_s)

    def settle(self) -> Attached | None:
        """Asks again for the attempt that an attach may have opened whose answer got lost; None if there was no such.

        With the same token, since with another one it would be refused, as a window of the attempt before it would be.
        Raises ServiceUnavailable, RunSuperseded, KnowsMore, RequestRefused.
        """
        if self._unanswered is None:
            return None
        try:
            attached = self.link.api.attach(self.link.run.id, self._unanswered)
        except RequestRefused:
            self._unanswered = None
            raise
        self._unanswered, self.seen_attempt = None, attached.attempt
        _LOG.warning(
            "%s: the service had lost this attempt, which is attempt %d now", self.link.health.name, attached.attempt
        )
        return attached

    def _go_on_as(self, speaker: Speaker) -> float:
        """Goes on as the attempt that a service has opened which had lost this one, or more."""
        attached = self.settle()
        with self.lock:
            if attached is not None and self.speaker is speaker:
                self.speaker = speaker.renewed(attached)
        return 0.0

    def _facts(self, speaker: Speaker) -> dict[str, Any]:
        """An attach by which a service that has lost an attempt takes what this process knows as facts."""
        link, end = self.link, speaker.end
        revision = speaker.overrun.revision if speaker.overrun else speaker.revision
        spec = link.revisions.spec(revision)
        if spec is None:
            _LOG.error("%s: the service has lost revision %d, and its LRs are not here", link.health.name, revision)
        knowledge = {
            "attempt": speaker.attempt, "revision": revision, "bound": end, "spec": spec, "start": speaker.start,
        }  # fmt: skip
        return self.attach_body(end, os.urandom(16).hex(), knowledge=knowledge)


def _beat(reference: "weakref.ref[Heartbeat]") -> float | None:
    heartbeat = reference()
    return None if heartbeat is None else heartbeat.beat()
