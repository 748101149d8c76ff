"""Curves for live runs: read once, then from memory."""

from preheat.api.run_curves import StoredCurves
from preheat.schedule import Schedule
from preheat.store.curves import Catalogue
from preheat.store.schedules import ScheduleStore


def test_the_schedule_of_a_run_is_read_once(store: ScheduleStore) -> None:
    """By which curve it was asked for first does not matter; while it is not kept, nobody else finds it by its id."""
    schedule = Schedule.of({"target_lr": 0.1, "total_iterations": 10})
    catalogue = Catalogue(store, 10**6)
    read: list[str] = []

    def reading(schedule_id: str) -> Schedule:
        read.append(schedule_id)
        return schedule

    curves = StoredCurves(catalogue, reading)
    first = curves.curve(schedule.id)
    assert [curves.curve(schedule.id) is first for _ in range(3)] == [True] * 3
    assert curves.curve_of(schedule) is first
    assert read == [schedule.id]
    assert catalogue.curve_at_hand(schedule.id) is None
