"""Specs from the schedules of other libraries."""

from preheat.importing.importing import SOURCES, import_schedule
from preheat.importing.reader import Imported

__all__ = ["SOURCES", "Imported", "import_schedule"]
