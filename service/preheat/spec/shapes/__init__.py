"""Schedules that torch lacks: each a formula with its fields."""
