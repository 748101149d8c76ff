"""The database: what is kept when the process ends."""

from preheat.store.database import Database
from preheat.store.schedules import Page, ScheduleStore

__all__ = ["Database", "Page", "ScheduleStore"]
