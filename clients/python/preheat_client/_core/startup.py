"""Startup: how a schedule gets its first curve: from override file, service, snapshot, spec or fallback."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from preheat_client._core.curve import FetchedCurve
from preheat_client._core.prefetch import Prefetch
from preheat_client._core.session import Session
from preheat_client._core.worker import Result, run_in_thread
from preheat_client.errors import (
    InvalidFallback,
    InvalidSpec,
    PreheatError,
    RequestRefused,
    ServiceUnavailable,
    VersionMismatch,
)
from preheat_client.status import State

if TYPE_CHECKING:
    from preheat_client._core.local_curve import LocalCurve
    from preheat_client._core.stand_in import StandIns

_LOG = logging.getLogger("preheat_client")
_QUIET_S = 2.0
_WAYS_OUT = (
    "Start the service (`preheat serve`) or name it (PREHEAT_URL); "
    "a job with a snapshot of the schedule (snapshot_dir) or a fallback can start without it."
)


@dataclass(frozen=True)
class Startup:
    """One start of a schedule; every step is bounded in time, whatever disk and network do."""

    session: Session
    prefetch: Prefetch
    stand_ins: "StandIns"

    def run(self) -> None:
        """Goes through the steps until one gives a curve.

        Raises InvalidFallback for an override file without LRs, InvalidSpec for a spec that the service
        refuses, RequestRefused or ServiceUnavailable if no step gives anything.
        """
        configuration, adopt = self.session.configuration, self.prefetch.adopt
        fallback = self.stand_ins.fallback
        if configuration.mode == "disabled":
            adopt(fallback or self._constant(), State.FALLBACK, "the client is disabled")
        elif (override := self._override()) is not None:
            adopt(override, State.FALLBACK, f"{configuration.override_file} is there")
        elif configuration.mode == "offline" or not self.from_service():
            error = self.error()
            reason = "mode is offline" if configuration.mode == "offline" else str(error)
            if (saved := self._snapshot()) is not None:
                adopt(saved, State.STALE, reason)
            elif (computed := self._computed(error)) is not None:
                adopt(computed, State.STALE, f"{reason}; the client computes the spec")
            elif fallback is not None:
                adopt(fallback, State.FALLBACK, reason)
            else:
                if isinstance(error, ServiceUnavailable) and not isinstance(error, VersionMismatch):
                    error.add_note(_WAYS_OUT)
                raise error

    def _computed(self, error: PreheatError) -> "LocalCurve | None":
        # Not where the service refuses: that is no outage, but something to be put right.
        is_outage = isinstance(error, ServiceUnavailable) and self.session.configuration.on_outage == "hold"
        return self.stand_ins.of_request() if is_outage else None

    def _constant(self) -> "LocalCurve":
        """The constant that a disabled client passes through: the spec's target LR."""
        target_lr = self.prefetch.request.spec_dict.get("target_lr")
        if target_lr is None:
            raise InvalidFallback("a disabled client needs a spec with target_lr, or a fallback, for its constant")
        return self.stand_ins.of_value(target_lr)

    def _override(self) -> "LocalCurve | None":
        name = self.session.configuration.override_file
        if not name:
            return None
        try:
            return self._from_disk(lambda: self.stand_ins.of_file(Path(name)))
        except FileNotFoundError:
            return None
        except (OSError, ServiceUnavailable) as error:
            raise InvalidFallback(f"{name} cannot be read: {error}") from error

    def from_service(self) -> bool:
        """Whether a curve has arrived; waits for one as long as waiting may help."""
        prefetch, configuration = self.prefetch, self.session.configuration

        def has_come() -> bool:
            return prefetch.curve is not None or isinstance(prefetch.error, RequestRefused | VersionMismatch)

        prefetch.start()
        quiet_s = min(_QUIET_S, configuration.start_timeout_s)
        prefetch.wait(has_come, quiet_s)
        more_s = configuration.start_timeout_s - quiet_s
        if more_s and not has_come():
            why = prefetch.error or "no answer yet"
            _LOG.warning("%s: waiting %g s more for %s: %s", prefetch.request.name, more_s, configuration.address, why)
            prefetch.wait(has_come, more_s)
        if isinstance(prefetch.error, InvalidSpec):
            raise prefetch.error
        return prefetch.curve is not None

    def error(self) -> PreheatError:
        if self.prefetch.error is not None:
            return self.prefetch.error
        configuration, name = self.session.configuration, self.prefetch.request.name
        if configuration.mode == "offline":
            place = f"in {configuration.snapshot_dir}" if configuration.snapshot_dir else "without a snapshot_dir"
            return ServiceUnavailable(f"mode is offline, and there is no snapshot of {name} {place}")
        return ServiceUnavailable(f"no answer from {configuration.address} in {configuration.start_timeout_s:g} s")

    def _snapshot(self) -> FetchedCurve | None:
        snapshots, prefetch = self.session.snapshots, self.prefetch
        if snapshots is None:
            return None
        try:
            saved = self._from_disk(lambda: snapshots.read(prefetch.request))
        except ServiceUnavailable:  # the disk takes its time
            return None
        if saved is None or not saved[0].windows():
            return None
        curve, saved_at = saved
        prefetch.health.saved_at(saved_at)
        prefetch.reuse(curve)
        if isinstance(prefetch.error, RequestRefused) and prefetch.request.spec is None:
            prefetch.ask_now()  # a service that has lost the schedule can be given it, now that its spec is known
        return curve

    def _from_disk(self, question: Callable[[], Result]) -> Result:
        """Not on the client's thread: it may be waiting for a name to be looked up, which nothing bounds."""
        return run_in_thread(question, self.session.configuration.timeout_s)
