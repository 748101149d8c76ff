"""Analyses of a curve, or of two: sums, crossings, differences, handovers."""
