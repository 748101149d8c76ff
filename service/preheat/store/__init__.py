"""Schedules at rest."""

from preheat.store.schedules import ScheduleStore

__all__ = ["ScheduleStore"]
