"""Curves of stored schedules, those used last in memory."""

from contextlib import suppress

from preheat.cache import BoundedCache
from preheat.curve import Curve, is_light
from preheat.errors import ScheduleNotFound, StoreUnavailable, TorchVersionMismatch
from preheat.schedule import TORCH_VERSION, Schedule
from preheat.store.schedules import ScheduleStore


class Catalogue:
    """The curve of every schedule in a store, within a number of bytes of memory."""

    def __init__(self, store: ScheduleStore, max_bytes: int) -> None:
        self.store = store
        self.cache: BoundedCache[Curve] = BoundedCache(max_bytes, lambda curve: curve.nbytes)
        self.used: set[str] = set()
        """Ids of schedules that were used since `Retention` took them out and wrote them down."""

    def keep(self, curve: Curve) -> bool:
        """Stores the curve's schedule; returns whether it is new. Raises StoreUnavailable."""
        schedule_id = curve.schedule.id
        # Under both keys its bytes would count twice.
        self.cache.drop(_unsaved(schedule_id))
        # Put first: what another process deletes once it is stored is announced after this, and leaves memory again.
        self._put(schedule_id, curve)
        try:
            return self.store.add(curve.schedule)
        except StoreUnavailable:
            self.cache.drop(schedule_id)
            raise

    def curve(self, schedule_id: str) -> Curve:
        """The curve of a schedule.

        Raises ScheduleNotFound, ScheduleUnreadable, StoreUnavailable, TorchVersionMismatch.
        """
        # What is in memory is not looked for in the database: LRs follow from the id, and a deletion is announced.
        curve = self.cache.get(schedule_id) or self.curve_of_stored(self.store.get(schedule_id))
        self.used.add(schedule_id)
        return curve

    def curve_of_stored(self, schedule: Schedule) -> Curve:
        """The curve of a schedule that is in the store. Raises TorchVersionMismatch."""
        return self.cache.get(schedule.id) or self._curve_in_store(schedule)

    def light_curve(self, schedule_id: str) -> Curve | None:
        """The curve of a schedule if it is in memory or light to make; None if it is heavy or does not compute here.

        Raises ScheduleNotFound, ScheduleUnreadable, StoreUnavailable.
        """
        curve = self.curve_at_hand(schedule_id)
        if curve is not None:
            return curve
        text = self.store.text(schedule_id)
        if not is_light(text):
            return None
        schedule = Schedule.stored(schedule_id, text)
        return self._curve_in_store(schedule) if schedule.computes else None

    def schedule(self, schedule_id: str) -> Schedule:
        """A schedule, whether it computes here or not; what is in memory, if the database does not say otherwise.

        Raises ScheduleNotFound, ScheduleUnreadable, StoreUnavailable.
        """
        curve = self.cache.get(schedule_id)
        if curve is None:
            return self.store.get(schedule_id)
        with suppress(StoreUnavailable):  # no reason not to answer what is known
            if not self.store.has(schedule_id):
                self.cache.drop(schedule_id)
                raise ScheduleNotFound(schedule_id)
        return curve.schedule

    def delete(self, schedule_id: str) -> None:
        """Removes a schedule from the store and from memory. Raises ScheduleNotFound, StoreUnavailable."""
        self.store.delete(schedule_id)
        self.cache.drop(schedule_id)

    def curve_of(self, schedule: Schedule) -> Curve:
        """The curve of a schedule that need not be stored; asking for its id does not find it before `keep`."""
        return self.curve_of_id(schedule.id) or self._curve(_unsaved(schedule.id), schedule)

    def curve_at_hand(self, schedule_id: str) -> Curve | None:
        """The curve if it is in memory; takes no lock."""
        curve = self.cache.get(schedule_id)
        if curve is not None:
            self.used.add(schedule_id)
        return curve

    def curve_of_id(self, schedule_id: str) -> Curve | None:
        """The curve if it is in memory, for who knows that its schedule is stored, be it by another way than `keep`."""
        return self.cache.get(schedule_id) or self.cache.get(_unsaved(schedule_id))

    def forget(self, schedule_id: str | None) -> None:
        """Takes a schedule that another process deleted out of memory; None: every schedule."""
        if schedule_id is None:
            self.cache.clear()
        else:
            self.cache.drop(schedule_id)

    def _curve_in_store(self, schedule: Schedule) -> Curve:
        curve = self._curve(schedule.id, schedule)
        try:
            is_there = self.store.has(schedule.id)
        except StoreUnavailable:
            is_there = False
        if not is_there:  # deleted between reading it and putting it: its announcement may have come before
            self.cache.drop(schedule.id)
        return curve

    def _curve(self, key: str, schedule: Schedule) -> Curve:
        if not schedule.computes:
            raise TorchVersionMismatch(schedule.id, schedule.torch_version, TORCH_VERSION, schedule.agreeing)
        curve = Curve(schedule)
        self._put(key, curve)
        return curve

    def _put(self, key: str, curve: Curve) -> None:
        curve.on_growth = lambda: self.cache.grew(key)
        self.cache.put(key, curve)


def _unsaved(schedule_id: str) -> str:
    """The key of a curve whose schedule need not be in the store."""
    return f"unsaved {schedule_id}"
