"""torch schedulers: the warm-up, what torch lacks, and the way from a spec to them."""

from preheat.schedulers.build import build
from preheat.schedulers.closed_forms import CycledMomentum
from preheat.schedulers.stand_in import StandInOptimizer
from preheat.schedulers.warmup import LearningRateWarmUP

__all__ = ["CycledMomentum", "LearningRateWarmUP", "StandInOptimizer", "build"]
