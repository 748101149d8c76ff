"""Analyses of a curve, or of two: totals, crossing, difference, handover."""
