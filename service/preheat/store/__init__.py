"""The database: what is kept when the process ends."""

from preheat.store.changes import Changes
from preheat.store.database import Database
from preheat.store.schedules import KeptSchedule, Page, ScheduleStore, Search

__all__ = ["Changes", "Database", "KeptSchedule", "Page", "ScheduleStore", "Search"]
