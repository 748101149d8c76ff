"""Schedules of other libraries: read as specs, and written from schedules."""
