"""Schedules at rest."""

from preheat.store.schedule_store import ScheduleStore

__all__ = ["ScheduleStore"]
