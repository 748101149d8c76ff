"""Specs from the schedules of other libraries."""

from preheat.conversions.importers.importing import SOURCES, import_schedule
from preheat.conversions.source import Imported

__all__ = ["SOURCES", "Imported", "import_schedule"]
