"""Analyses of a curve, or of two: sums, crossings, differences, handovers; names that are known without torch."""

from typing import Literal

PlainPolicy = Literal["keep", "rescale", "refuse"]
"""What becomes of the LR where another schedule takes over, as far as both schedules say all that is needed."""

Policy = Literal[PlainPolicy, "rewarm"]
"""Every policy: to rewarm takes the new spec as it was written, too."""
