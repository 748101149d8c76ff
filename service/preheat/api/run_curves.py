"""Curves for live runs: from memory, or from wherever the caller may read schedules."""

from collections.abc import Callable

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.store.curves import Catalogue


class StoredCurves:
    """Curves of schedules that are stored, from memory or by `read`, and of others; `check` is that of a deadline."""

    def __init__(self, catalogue: Catalogue, read: Callable[[str], Schedule], deadline: Deadline = NO_DEADLINE) -> None:
        self._catalogue, self._read = catalogue, read
        self.check = deadline.check

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a schedule that is stored."""
        return self._catalogue.curve_of_id(schedule_id) or self.curve_of(self._read(schedule_id))

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule. Raises TorchVersionMismatch."""
        return self._catalogue.curve_of(schedule)
