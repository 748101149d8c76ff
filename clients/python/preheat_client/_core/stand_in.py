"""Stand-ins: what takes the place of an LR that has not arrived: computed, the fallback's, or the nearest known one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preheat_client._core.curve import Curve, FetchedCurve, Metadata, Row
from preheat_client._core.fields import NotComputed
from preheat_client._core.local_curve import LocalCurve, curve_of_fallback, curve_of_file, curve_of_spec
from preheat_client._core.request import Request
from preheat_client.status import Source, State


@dataclass(frozen=True)
class StandIn:
    """LR and other hyperparameters that stand in for those of an iteration, and what is said of them."""

    row: tuple[Row, list[float]]
    state: State
    source: Source
    reason: str


class StandIns:
    """The stand-ins of one schedule, the best first: computed from its spec, its fallback's, the nearest known LR."""

    def __init__(self, request: Request, fallback: Any) -> None:
        """Raises InvalidFallback for a fallback that is given and gives no LRs."""
        self._request = request
        self.fallback = None if fallback is None else self.of_value(fallback)
        self._computed_for: Metadata | None = None
        self._computed: LocalCurve | None = None

    def of_value(self, value: Any) -> LocalCurve:
        """The curve of a number, a list, a plain spec, or any of these by group. Raises InvalidFallback."""
        return curve_of_fallback(value, "fallback", self._request)

    def of_file(self, path: Path) -> LocalCurve:
        """The curve that a file has, as an override. Raises InvalidFallback, OSError."""
        return curve_of_file(path, self._request)

    def of_request(self) -> LocalCurve | None:
        """The curve of the spec that was asked for; None if there is no spec, or one that only the service computes."""
        return _curve_of(self._request.spec_dict, self._request.schedule_id) if self._request.spec else None

    def of_schedule(self, metadata: Metadata) -> LocalCurve | None:
        """The curve of a schedule that the service has described; None if only the service computes it."""
        if self._computed_for is not metadata:
            computed = _curve_of(metadata.spec, metadata.id)
            is_alike = computed is not None and (
                computed.metadata.group_names == metadata.group_names
                and computed.metadata.hyperparameter_columns == metadata.hyperparameter_columns
                and computed.metadata.total_iterations == metadata.total_iterations
            )
            self._computed, self._computed_for = computed if is_alike else None, metadata
        return self._computed

    def find(self, curve: Curve, iteration: int) -> StandIn | None:
        """What stands in for an iteration that a curve does not know; None if it knows none at all."""
        return (
            self._found_computed(curve, iteration) or self._found_fallback(curve, iteration) or _held(curve, iteration)
        )

    def _found_computed(self, curve: Curve, iteration: int) -> StandIn | None:
        computed = self.of_schedule(curve.metadata)
        row = None if computed is None else computed.row(iteration)
        return row and StandIn(
            row, State.STALE, "computed", f"the LR of iteration {iteration} is computed from the spec"
        )

    def _found_fallback(self, curve: Curve, iteration: int) -> StandIn | None:
        fallback, metadata = self.fallback, curve.metadata
        # A fallback has no other hyperparameters: where there are some, LR and they are held together.
        if fallback is None or metadata.hyperparameter_columns or not metadata.has_shape_of(fallback.metadata):
            return None
        row = fallback.row(min(iteration, fallback.metadata.total_iterations))
        return row and StandIn(row, State.FALLBACK, "fallback", f"the LR of iteration {iteration} is the fallback's")


def _held(curve: Curve, iteration: int) -> StandIn | None:
    known = curve.nearest(iteration) if isinstance(curve, FetchedCurve) else None
    row = None if known is None else curve.row(known)
    if known is None or row is None:
        return None
    reason = f"no LR for iteration {iteration}: holding that of iteration {known}, {abs(iteration - known)} away"
    return StandIn(row, State.FALLBACK, "held", reason)


def _curve_of(spec: Mapping[str, object], schedule_id: str | None) -> LocalCurve | None:
    try:
        return curve_of_spec(spec, schedule_id)
    except NotComputed:
        return None
