"""torch schedulers: the warm-up, what torch lacks, and the way from a spec to them."""

from preheat.schedulers.build import build
from preheat.schedulers.closed_forms import CycledMomentum
from preheat.schedulers.compositions import stand_in_optimizer
from preheat.schedulers.warmup import LearningRateWarmUP

__all__ = ["CycledMomentum", "LearningRateWarmUP", "build", "stand_in_optimizer"]
