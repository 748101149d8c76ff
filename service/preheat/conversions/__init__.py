"""Conversions: schedules of other libraries read as specs (import), and schedules written for them (export)."""
