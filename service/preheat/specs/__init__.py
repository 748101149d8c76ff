"""Specs: what a user may ask for, and the schedulers that may stand in one; pydantic only, no torch."""

from preheat.specs.after_schedulers import SCHEDULER_TYPES, AfterScheduler
from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.parse import parse_spec, spec_of
from preheat.specs.spec import ParamGroup, Spec
from preheat.specs.tracks import Column, Phase, Track
from preheat.specs.violations import InvalidSpec, Violation, from_pydantic, violation
from preheat.specs.warmup import Warmup

__all__ = [
    "SCHEDULER_TYPES",
    "AfterScheduler",
    "Column",
    "InvalidSpec",
    "ParamGroup",
    "Phase",
    "Scheduler",
    "Spec",
    "Track",
    "Violation",
    "Warmup",
    "from_pydantic",
    "parse_spec",
    "spec_of",
    "violation",
]
