"""Plots: what a picture shows of curves, how it is drawn, and pictures kept in memory."""
