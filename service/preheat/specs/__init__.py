"""What a user may ask for: pydantic only, no torch."""

from preheat.specs.after_schedulers import AfterScheduler
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.param_groups import ParamGroup
from preheat.specs.parse import parse_spec
from preheat.specs.spec import Spec
from preheat.specs.tracks import Column, Track
from preheat.specs.violations import InvalidSpec, Violation, from_pydantic, violation
from preheat.specs.warmup import Warmup

__all__ = [
    "AfterScheduler",
    "Column",
    "InvalidSpec",
    "ParamGroup",
    "Scheduler",
    "Spec",
    "Track",
    "Violation",
    "Warmup",
    "from_pydantic",
    "parse_spec",
    "violation",
]
