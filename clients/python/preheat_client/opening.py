"""Where the first LRs of a schedule come from: override file, service, snapshot, fallback, in this order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from preheat_client.connection import Connection
from preheat_client.document import UNKNOWN, Request
from preheat_client.errors import InvalidFallback, InvalidSpec, PreheatError, RequestRefused, ServiceUnavailable
from preheat_client.feed import Curve, Feed, FetchedCurve
from preheat_client.local_curve import LocalCurve, curve_of_file
from preheat_client.status import Health, State
from preheat_client.worker import Result, aside


class Opened(Protocol):
    """What is being opened: a schedule."""

    request: Request
    health: Health
    feed: Feed

    def adopt(self, curve: Curve, state: State, reason: str) -> None:
        """Reads from this curve from now on."""

    @property
    def is_known(self) -> bool:
        """Whether a curve was adopted."""


@dataclass(frozen=True)
class Opening:
    """One opening of a schedule; every step is bounded in time, whatever disk and network do."""

    connection: Connection
    schedule: Opened
    fallback: Any = None

    def run(self) -> None:
        """Goes through the steps until one gives a curve.

        Raises InvalidFallback for a fallback or an override file that is none, InvalidSpec for a spec that the service
        refuses, RequestRefused or ServiceUnavailable if no step gives anything.
        """
        mode = self.connection.configuration.mode
        fallback = self._fallback()
        if mode == "disabled":
            self.schedule.adopt(fallback or self._constant(), State.FALLBACK, "the client is disabled")
        elif (override := self._override()) is not None:
            reason = f"{self.connection.configuration.override_file} is there"
            self.schedule.adopt(override, State.FALLBACK, reason)
        elif mode == "offline":
            self._without_service(fallback, "mode is offline")
        elif not self._from_service():
            self._without_service(fallback, str(self._error()))

    def _fallback(self) -> LocalCurve | None:
        if self.fallback is None:
            return None
        return LocalCurve(self.fallback, "fallback", self._asked_iterations())

    def _constant(self) -> LocalCurve:
        """The constant that a disabled client passes through: the spec's target LR."""
        target_lr = self.schedule.request.spec_dict.get("target_lr")
        if target_lr is None:
            raise InvalidFallback("a disabled client needs a spec with target_lr, or a fallback, for its constant")
        return LocalCurve(target_lr, "fallback", self._asked_iterations())

    def _asked_iterations(self) -> int:
        asked = self.schedule.request.spec_dict.get("total_iterations")
        return asked if isinstance(asked, int) and asked > 0 else UNKNOWN

    def _override(self) -> LocalCurve | None:
        name = self.connection.configuration.override_file
        if not name:
            return None
        try:
            return self._from_disk(lambda: curve_of_file(Path(name)))
        except FileNotFoundError:
            return None
        except (OSError, ServiceUnavailable) as error:
            raise InvalidFallback(f"{name} cannot be read: {error}") from error

    def _from_service(self) -> bool:
        """Whether a curve has arrived; waits for one as long as waiting may help."""
        schedule = self.schedule
        schedule.feed.start()
        schedule.feed.wait(
            lambda: schedule.is_known or isinstance(schedule.feed.error, RequestRefused),
            self.connection.configuration.start_timeout_s,
        )
        if isinstance(schedule.feed.error, InvalidSpec):
            raise schedule.feed.error
        return schedule.is_known

    def _without_service(self, fallback: LocalCurve | None, reason: str) -> None:
        saved = self._snapshot()
        if saved is not None:
            self.schedule.adopt(saved, State.STALE, reason)
        elif fallback is not None:
            self.schedule.adopt(fallback, State.FALLBACK, reason)
        else:
            raise self._error()

    def _error(self) -> PreheatError:
        if self.schedule.feed.error is not None:
            return self.schedule.feed.error
        configuration, name = self.connection.configuration, self.schedule.request.name
        if configuration.mode == "offline":
            place = f"in {configuration.snapshot_dir}" if configuration.snapshot_dir else "without a snapshot_dir"
            return ServiceUnavailable(f"mode is offline, and there is no snapshot of {name} {place}")
        return ServiceUnavailable(f"no answer from {configuration.address} in {configuration.start_timeout_s:g} s")

    def _snapshot(self) -> FetchedCurve | None:
        snapshots, schedule = self.connection.snapshots, self.schedule
        if snapshots is None:
            return None
        try:
            snapshot = self._from_disk(lambda: snapshots.read(schedule.request))
        except ServiceUnavailable:  # the disk takes its time
            return None
        if snapshot is None or not snapshot.windows:
            return None
        curve = FetchedCurve(snapshot.document, snapshot.size, "snapshot", snapshot.windows)
        schedule.feed.reuse(curve)
        schedule.health.saved_at(snapshot.saved_at)
        return curve

    def _from_disk(self, question: Callable[[], Result]) -> Result:
        """Not on the client's thread: it may be waiting for a name to be looked up, which nothing bounds."""
        return aside(question, self.connection.configuration.timeout_s)
