"""The database: what is kept when the process ends."""

from preheat.store.changes import Changes
from preheat.store.database import Database
from preheat.store.keys import KeyStore, NewKey
from preheat.store.schedules import KeptSchedule, Page, ScheduleStore, Search

__all__ = ["Changes", "Database", "KeptSchedule", "KeyStore", "NewKey", "Page", "ScheduleStore", "Search"]
