"""Plots: what a picture shows of curves, how it is drawn, and the cache of pictures."""
