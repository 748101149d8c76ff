"""Every schedule the service knows, ready to be computed."""

from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.errors import TorchVersionMismatch
from preheat.schedule import TORCH_VERSION, Schedule
from preheat.settings import Settings
from preheat.store import ScheduleStore


class Catalogue:
    """Schedules in the store, and the curves of those used last in memory."""

    def __init__(self, settings: Settings) -> None:
        self.store = ScheduleStore(settings.database_url, settings.database_timeout_s)
        self._curves: BoundedCache[Curve] = BoundedCache(settings.curve_cache_bytes, lambda curve: curve.nbytes)

    def keep(self, curve: Curve) -> bool:
        """Stores the curve's schedule; returns whether it is new. Raises StoreUnavailable."""
        is_new = self.store.add(curve.schedule)
        self._curves.put(curve.schedule.id, curve)
        return is_new

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a schedule. Raises ScheduleNotFound, StoreUnavailable, TorchVersionMismatch."""
        return self._curves.get(schedule_id) or self._curve(schedule_id, self.store.get(schedule_id))

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule that need not be stored; asking for its id does not find it before `keep`."""
        return self._curves.get(schedule.id) or self._curve(f"unsaved {schedule.id}", schedule)

    def curve_at_hand(self, schedule_id: str) -> Curve | None:
        """The curve if it is in memory."""
        return self._curves.get(schedule_id)

    def _curve(self, key: str, schedule: Schedule) -> Curve:
        curve = self._curves.get(key)
        if curve is None:
            if schedule.torch_version != TORCH_VERSION:
                raise TorchVersionMismatch(schedule.id, schedule.torch_version, TORCH_VERSION)
            curve = Curve(schedule)
            self._curves.put(key, curve)
        return curve
