"""Torch LRSchedulers: the warm-up, what torch lacks, and the way from a spec to them."""

from preheat.schedulers.build import build
from preheat.schedulers.composite import bench_optimizer
from preheat.schedulers.momentum import CycledMomentum
from preheat.schedulers.warmup import LearningRateWarmUP

__all__ = ["CycledMomentum", "LearningRateWarmUP", "bench_optimizer", "build"]
