"""What keeps a schedule's curve filled from the service."""

import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, Protocol

from preheat_client.backoff import Backoff
from preheat_client.document import Document, Request
from preheat_client.errors import PreheatError
from preheat_client.service import Service
from preheat_client.snapshot import Snapshots
from preheat_client.status import Health, Source
from preheat_client.windows import Layout, Window
from preheat_client.worker import Worker

_LOG = logging.getLogger("preheat_client")


class Curve(Protocol):
    """A schedule as far as it is known."""

    document: Document
    layout: Layout

    @property
    def source(self) -> Source:
        """Where it comes from."""

    def window(self, index: int) -> Window | None:
        """A window, None if it is not known."""


class FetchedCurve:
    """A curve of windows that the service gave, now or before a snapshot was saved.

    Windows are added and dropped by the client's thread, and read by any, without a lock.
    """

    def __init__(
        self,
        document: Document,
        size: int,
        source: Literal["service", "snapshot"],
        windows: Iterable[Window] = (),
    ) -> None:
        self.document, self.source = document, source
        self.layout = Layout(document.total_iterations + 1, size)
        self._windows = {self.layout.index(window.start): window for window in windows}

    def window(self, index: int) -> Window | None:
        """A window, None if it is not known."""
        return self._windows.get(index)

    def windows(self) -> list[Window]:
        """All windows that are known, in order."""
        return [self._windows[index] for index in sorted(self._windows)]

    def missing(self, focus: int) -> int | None:
        """The first window to fetch while the loop is in window `focus`, None if all that are wanted are known."""
        return next((index for index in self.layout.wanted(focus) if index not in self._windows), None)

    def keep(self, window: Window, focus: int) -> None:
        """Adds a window, and drops those that are not wanted any more."""
        kept = {*self.layout.wanted(focus), self.layout.index(window.start)}
        windows = {index: each for index, each in self._windows.items() if index in kept}
        windows[self.layout.index(window.start)] = window
        self._windows = windows


class Feed:
    """Fetches the schedule of a request, and then window after window around the loop's place.

    A job of the client's thread, as long as somebody holds it: each run makes one request. A curve is handed to
    `adopt` once the window that the loop is in has arrived; until then, whatever was adopted before goes on.
    """

    def __init__(
        self,
        service: Service,
        worker: Worker,
        request: Request,
        window: int,
        snapshots: Snapshots | None,
        health: Health,
        adopt: Callable[[FetchedCurve], None],
    ) -> None:
        self._service, self._worker, self._request = service, worker, request
        self._window = window
        self._snapshots, self._health, self._adopt = snapshots, health, adopt
        self._backoff = Backoff()
        self._job = partial(_run, weakref.ref(self))
        self._curve: FetchedCurve | None = None
        self._saved: FetchedCurve | None = None
        self._is_adopted = False
        self._is_on = self._is_closed = False
        self._focus_iteration = 0
        self._news = threading.Condition()
        self.error: PreheatError | None = None
        """Why the last request failed; None once one has not."""

    def reuse(self, saved: FetchedCurve) -> None:
        """Windows that need not be fetched if the service confirms that the schedule is still this one."""
        self._saved = saved

    def start(self) -> None:
        """Begins to ask."""
        self.allow()
        self._worker.run(self._job)

    def allow(self) -> None:
        """Lets it ask as soon as something is missing; before, nothing is asked."""
        self._is_on = True

    @property
    def is_answering(self) -> bool:
        """Whether a window that is missing may be on its way."""
        return self._is_on and self.error is None and not self._is_closed

    def focus(self, iteration: int) -> None:
        """The loop is at an iteration: what is missing there is fetched, after the pause if there is one."""
        self._focus_iteration = iteration
        if self.is_answering and (self._curve is None or self._missing(self._curve) is not None):
            self._worker.run(self._job)

    def hurry(self) -> None:
        """What is missing is needed now: it is asked for at once, unless the service asked for patience."""
        if self._is_on:
            self.error = None
            self._worker.run(self._job)

    def close(self) -> None:
        """Lets those who wait go."""
        self._is_closed = True
        self._tell_waiters()

    def wait(self, has_come: Callable[[], bool], timeout_s: float) -> bool:
        """Waits until something holds, which is looked at after each request; False if it never did."""
        with self._news:
            return self._news.wait_for(lambda: has_come() or self._is_closed, timeout_s) and has_come()

    def renew(self) -> None:
        """Begins anew in the child of a fork, where the lock may be held for ever."""
        self._news = threading.Condition()
        self.error = None

    def __call__(self) -> float | None:
        """One request, if something is missing; seconds until the next, None if nothing is."""
        if self._is_closed:
            return None
        if self._backoff.forbidden_s > 0:
            return self._backoff.forbidden_s
        try:
            again_after_s = self._ask()
        except PreheatError as error:
            if self._is_closed:  # closing is what made it fail
                return None
            self.error = error
            self._health.failed(error)
            again_after_s = self._backoff.failed(error)
        self._tell_waiters()
        return again_after_s

    def _ask(self) -> float | None:
        curve = self._curve
        if curve is None:
            document = self._service.document(self._request)
            self._note_answer()
            self._curve = curve = self._confirmed(document)
        elif (index := self._missing(curve)) is not None:
            window = self._service.window(curve.document, *curve.layout.bounds(index))
            self._note_answer()
            self._health.count("windows")
            curve.keep(window, self._focus(curve))
        else:
            return None
        if not self._is_adopted and curve.window(self._focus(curve)) is not None:
            self._adopt(curve)
            self._is_adopted = True
        if self._missing(curve) is not None:
            return 0.0
        self._save(curve)
        return None

    def _note_answer(self) -> None:
        """Before the loop can read what came: it is not to be told that the service is away."""
        self.error = None
        self._backoff.succeeded()
        self._health.answered()

    def _confirmed(self, document: Document) -> FetchedCurve:
        size = max(self._window // document.columns, 1)
        saved, self._saved = self._saved, None
        is_known = saved is not None and (saved.document, saved.layout.size) == (document, size)
        return FetchedCurve(document, size, "service", saved.windows() if saved and is_known else ())

    def _focus(self, curve: FetchedCurve) -> int:
        return curve.layout.index(min(self._focus_iteration, curve.document.total_iterations))

    def _missing(self, curve: FetchedCurve) -> int | None:
        return curve.missing(self._focus(curve))

    def _save(self, curve: FetchedCurve) -> None:
        if self._snapshots is None:
            return
        try:
            self._snapshots.save(self._request, curve.document, curve.layout.size, curve.windows())
        except OSError as error:
            _LOG.warning("%s: no snapshot was written: %s", self._health.name, error)
            self._health.count("snapshot_failures")
        else:
            self._health.count("snapshots")

    def _tell_waiters(self) -> None:
        """Lets those who wait look again."""
        with self._news:
            self._news.notify_all()


def _run(reference: "weakref.ref[Feed]") -> float | None:
    """Runs a feed; one that nobody holds any more is over."""
    feed = reference()
    return None if feed is None else feed()
