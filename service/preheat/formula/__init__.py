"""Formulas of learning rates: one text that is computed, shown and exported."""
