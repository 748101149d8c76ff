"""Prefetch: fetches a schedule's windows around the loop's place, ahead of it, and pauses after failures."""

import logging
import random
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from preheat_client._core.configuration import Configuration
from preheat_client._core.curve import Curve, FetchedCurve, Known, Metadata, View
from preheat_client._core.findings import Finding
from preheat_client._core.request import Request
from preheat_client._core.worker import Result, Worker
from preheat_client.errors import PreheatError, ScheduleMismatch, ServiceUnavailable
from preheat_client.status import ScheduleHealth, State

if TYPE_CHECKING:
    # They wait until a client is made that needs them: Api imports httpcore, Snapshots a cryptographic library.
    from preheat_client._core.api import Api
    from preheat_client._core.snapshots import Snapshots

_LOG = logging.getLogger("preheat_client")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
REFUSED_PAUSE_S = 300.0
HEALTHY_AFTER_S = 60.0
LONGEST_RETRY_AFTER_S = 3600.0

NO_VIEW: View = (0, (), ())


class Backoff:
    """Pauses of 1 s, doubling up to 30 s; each is cut by up to a half at random, so that clients do not march in step.

    A refusal (401, 403, 404 …) is tried again after minutes: 2.5 to 5. What Retry-After asks for, up to an hour, is the
    least. Pauses begin at 1 s again once the service has answered for 60 s without a failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, share: Callable[[], float] = random.random) -> None:
        self._clock, self._share = clock, share
        self._failures = 0
        self._healthy_since: float | None = None
        self._retry_at = 0.0

    def failed(self, error: PreheatError) -> float:
        """Seconds until the next attempt."""
        if self._healthy_since is not None and self._clock() - self._healthy_since >= HEALTHY_AFTER_S:
            self._failures = 0
        self._healthy_since = None
        self._failures += 1
        pause_s: float = min(FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE_S)
        retry_after_s = 0.0
        if isinstance(error, ServiceUnavailable):
            retry_after_s = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
        else:
            pause_s = REFUSED_PAUSE_S
        self._retry_at = self._clock() + retry_after_s
        return max(pause_s * (1 - self._share() / 2), retry_after_s)

    def succeeded(self) -> None:
        """Notes that the service answered."""
        if self._healthy_since is None:
            self._healthy_since = self._clock()

    @property
    def retry_after_s(self) -> float:
        """Seconds for which the service asked to be left alone, however urgent it is."""
        return max(self._retry_at - self._clock(), 0.0)


class Prefetch(Known):
    """The curve that a schedule is read from, fetched window after window around the loop's place.

    A job of the client's thread until its schedule is dropped: each run makes one request. A curve that is fetched is
    adopted once the window that the loop is in has arrived; until then, whatever was adopted before goes on.
    """

    def __init__(
        self,
        request: Request,
        configuration: Configuration,
        api: "Api | None",
        worker: Worker,
        snapshots: "Snapshots | None",
    ) -> None:
        super().__init__(Metadata(request.schedule_id))
        self.request, self.health = request, ScheduleHealth(request.name, worker.enqueue)
        self.curve: Curve | None = None
        """What is read at present."""
        self.view: View = NO_VIEW
        """The part of it that the loop is in."""
        self.error: PreheatError | None = None
        """Why the last request failed; None once one has not."""
        self._configuration, self._api, self._worker, self._snapshots = configuration, api, worker, snapshots
        self._backoff = Backoff()
        weak = weakref.ref(self)  # the thread must not keep a schedule that is dropped
        self._job = partial(_run, weak, Prefetch.run)
        self._lint_job = partial(_run, weak, Prefetch.log_findings)
        self._fetched: FetchedCurve | None = None
        self._saved: FetchedCurve | None = None
        self.findings: tuple[Finding, ...] | None = None
        """What lint says; None as long as nobody has asked for it."""
        self._is_on = self._is_closed = self._has_linted = False
        self._focus_iteration = 0
        self._changed = threading.Condition()

    def adopt(self, curve: Curve, state: State, reason: str) -> None:
        """Reads from this curve from now on. Raises ScheduleMismatch if it has other param groups than the last one."""
        before = self.curve
        if before is not None and before is self._fetched:
            return  # the service's has arrived while a snapshot or a fallback was looked for
        if before is not None and not curve.metadata.has_shape_of(before.metadata):
            raise ScheduleMismatch(
                f"the schedule has the param groups {', '.join(curve.metadata.group_names)}, the {before.source} in "
                f"use has {', '.join(before.metadata.group_names)}: it stays in use"
            )
        if before is not None:
            self._log_difference(before, curve)
        self.curve, self.metadata = curve, curve.metadata
        self.view = NO_VIEW  # the next read goes the long way, and sees the new curve
        if curve.metadata.id is not None:
            self.health.name = f"schedule {curve.metadata.id}"
        self.health.become(state, curve.source, reason)

    def reuse(self, saved: FetchedCurve) -> None:
        """Takes windows that need not be fetched if the service confirms that the schedule is still this one."""
        self._saved = saved

    def start(self) -> None:
        """Begins to ask."""
        self.allow()
        self._worker.enqueue(self._job)

    def allow(self) -> None:
        """Lets it ask as soon as something is missing, if there is a service; before, nothing is asked."""
        # Offline there is no service: a schedule that was unpickled is read from memory alone.
        self._is_on = self._api is not None

    @property
    def is_answering(self) -> bool:
        """Whether a window that is missing may be on its way."""
        return self._is_on and self.error is None and not self._is_closed

    @property
    def why_missing(self) -> str:
        """Why an LR has not arrived."""
        return str(self.error or ("the client is closed" if self._is_closed else "it has not arrived"))

    def focus(self, iteration: int) -> None:
        """Notes where the loop is: what is missing there is fetched, after the pause if there is one."""
        self._focus_iteration = iteration
        if self.is_answering and (self._fetched is None or self._missing(self._fetched) is not None):
            self._worker.enqueue(self._job)

    def ask_now(self) -> None:
        """Asks for what is missing without a pause, unless the service asked for one by Retry-After."""
        if self._is_on:
            self.error = None  # so that a wait does not give up for a failure of before
            self._worker.enqueue(self._job)

    def ask(self, question: Callable[["Api"], Result]) -> Result:
        """The answer to a question that is asked now, again and again within `timeout_s` as long as that may help.

        Raises ServiceUnavailable, RequestRefused.
        """
        api, timeout_s = self._api, self._configuration.timeout_s
        if api is None:
            raise ServiceUnavailable(f"the service is not asked: mode is {self._configuration.mode}")
        give_up = time.monotonic() + timeout_s
        backoff = Backoff()
        while True:
            try:
                return self._worker.ask(lambda: question(api), max(give_up - time.monotonic(), 0.0))
            except ServiceUnavailable as error:
                pause_s = backoff.failed(error)
                if time.monotonic() + pause_s >= give_up:  # an answer would come too late
                    raise
                time.sleep(pause_s)

    def close(self) -> None:
        """Ends asking, and every wait."""
        self._is_closed = True
        self._notify()

    def wait(self, has_come: Callable[[], bool], timeout_s: float) -> None:
        """Waits until a condition holds, which is looked at after each request; no longer than `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: has_come() or self._is_closed, timeout_s)

    def renew(self) -> None:
        """Begins anew in the child of a fork, where locks may be held by threads that are missing."""
        self._changed = threading.Condition()
        self.health.renew()
        self.error = None

    def run(self) -> float | None:
        """Makes one request, if something is missing; seconds until the next, None if nothing is."""
        if self._is_closed:
            return None
        if self._backoff.retry_after_s > 0:  # even if `ask_now` enqueued it
            return self._backoff.retry_after_s
        try:
            again_after_s = self._ask()
        except PreheatError as error:
            if self._is_closed:  # closing is what made it fail
                return None
            self.error = error
            self.health.failed(error)
            again_after_s = self._backoff.failed(error)
        self._notify()
        return again_after_s

    def _ask(self) -> float | None:
        assert self._api is not None  # noqa: S101 - nothing is enqueued without one
        curve = self._fetched
        if curve is None:
            metadata = self._api.metadata(self.request, self._saved.metadata if self._saved else None)
            self._note_answer(is_in_use=False)  # what is read may be another schedule's until this one is adopted
            self._fetched = curve = self._confirmed(metadata)
        elif (index := self._missing(curve)) is not None:
            window = self._api.window(curve.metadata, *curve.bounds(index))
            self._note_answer(is_in_use=self.curve is curve)
            self.health.count("windows")
            curve.keep(window, self._focus(curve))
        else:
            return None
        if self.curve is not curve and curve.window(self._focus(curve)) is not None:
            self.adopt(curve, State.READY, "it has arrived")
        if self._missing(curve) is not None:
            return 0.0  # through the queue: the loop may have moved on, and other schedules have their turn
        self._save(curve)
        self._worker.enqueue(self._lint_job)  # by itself: who waits for the LRs does not wait for lint
        return None

    def _note_answer(self, *, is_in_use: bool) -> None:
        """Before the loop can read what came: it is not to be told that the service is away."""
        self.error = None
        self._backoff.succeeded()
        self.health.answered(is_in_use=is_in_use)

    def _confirmed(self, metadata: Metadata) -> FetchedCurve:
        # A window is so many values, however many columns there are: memory is bounded by it.
        size = max(self._configuration.window // metadata.columns, 1)
        saved, self._saved = self._saved, None
        is_known = saved is not None and (saved.metadata, saved.size) == (metadata, size)
        return FetchedCurve(metadata, size, "service", saved.windows() if saved and is_known else ())

    def _focus(self, curve: FetchedCurve) -> int:
        return curve.index(min(self._focus_iteration, curve.metadata.total_iterations))

    def _missing(self, curve: FetchedCurve) -> int | None:
        return curve.missing(self._focus(curve))

    def _save(self, curve: FetchedCurve) -> None:
        if self._snapshots is None:
            return
        try:
            self._snapshots.save(self.request, curve)
        except OSError as error:
            _LOG.warning("%s: no snapshot was written: %s", self.health.name, error)
            self.health.count("snapshot_failures")
        else:
            self.health.count("snapshots")

    def _log_difference(self, before: Curve, curve: Curve) -> None:
        """Says what another LR the loop has had where it is, if it was another."""
        iteration = min(self._focus_iteration, curve.metadata.total_iterations)
        was, now = before.row(iteration), curve.row(iteration)
        if was is not None and now is not None and was[0] != now[0]:
            message = "%s: the LR of iteration %d is %s, and was %s (%s)"
            _LOG.warning(message, self.health.name, iteration, now[0], was[0], before.source)

    def log_findings(self) -> None:
        """Says once what lint warns of; a job for after all that the loop needs has arrived."""
        if self._has_linted or self._is_closed or self._api is None or self._fetched is None:
            return
        self._has_linted = True  # even if it fails: asking again could take as long at every window
        try:
            self.findings = self._api.findings(self._fetched.metadata)
        except PreheatError as error:  # nothing depends on it
            _LOG.debug("%s: no lint: %s", self.health.name, error)
            return
        for finding in self.findings:
            if finding.severity != "info":
                _LOG.warning("%s: lint: %s", self.health.name, finding)

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


def _run(reference: "weakref.ref[Prefetch]", job: Callable[[Prefetch], float | None]) -> float | None:
    """Runs a job of a prefetch, unless its schedule was dropped: then it does not run again."""
    prefetch = reference()
    return None if prefetch is None else job(prefetch)
