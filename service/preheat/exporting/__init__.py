"""Schedules as scripts and configurations of other libraries."""

from preheat.exporting.export import TARGETS, export

__all__ = ["TARGETS", "export"]
