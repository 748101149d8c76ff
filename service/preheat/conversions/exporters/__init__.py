"""Schedules as scripts and configurations of other libraries."""

from preheat.conversions.exporters.scripts import TARGETS, export

__all__ = ["TARGETS", "export"]
