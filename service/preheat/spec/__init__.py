"""What a user may ask for: pydantic only, no torch."""

from preheat.spec.after_scheduler import AfterScheduler
from preheat.spec.param_groups import ParamGroup
from preheat.spec.parse import parse_spec
from preheat.spec.scheduler import Scheduler
from preheat.spec.spec import Spec
from preheat.spec.tracks import Column, Track
from preheat.spec.violations import InvalidSpec, Violation, from_pydantic, violation
from preheat.spec.warmup import Warmup

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
