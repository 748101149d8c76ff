"""What a user may ask for: pydantic only, no torch."""

from preheat.spec.spec import InvalidSpec, ParamGroup, Spec, Warmup, parse_spec
from preheat.spec.torch_schedulers import AfterScheduler, TorchScheduler
from preheat.spec.violations import Violation, from_pydantic, violation

__all__ = [
    "AfterScheduler",
    "InvalidSpec",
    "ParamGroup",
    "Spec",
    "TorchScheduler",
    "Violation",
    "Warmup",
    "from_pydantic",
    "parse_spec",
    "violation",
]
