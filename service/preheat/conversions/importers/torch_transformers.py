"""Functions of transformers in torch code: get_scheduler, and that of one schedule, as fields of a spec."""

from typing import Any

from preheat.conversions.hf_schedule import SCHEDULES, hf_parts
from preheat.conversions.importers.torch_arguments import Made
from preheat.conversions.source import Fields
from preheat.errors import NotImportable

FUNCTIONS = {
    "get_constant_schedule": "constant",
    "get_constant_schedule_with_warmup": "constant_with_warmup",
    "get_linear_schedule_with_warmup": "linear",
    "get_cosine_schedule_with_warmup": "cosine",
    "get_cosine_with_hard_restarts_schedule_with_warmup": "cosine_with_restarts",
    "get_cosine_with_min_lr_schedule_with_warmup": "cosine_with_min_lr",
    "get_polynomial_decay_schedule_with_warmup": "polynomial",
    "get_inverse_sqrt_schedule": "inverse_sqrt",
    "get_wsd_schedule": "warmup_stable_decay",
}
"""Functions of transformers, by the name that get_scheduler has for each."""

_WITHOUT_LENGTH = {"constant", "constant_with_warmup", "inverse_sqrt"}


def parameters_of(name: str) -> tuple[str, ...]:
    """The parameters that a function takes by position."""
    if name == "get_scheduler":
        return ("name", "optimizer", "num_warmup_steps", "num_training_steps", "scheduler_specific_kwargs")
    if name == "get_inverse_sqrt_schedule":
        return ("optimizer", "num_warmup_steps", "timescale")
    if name == "get_wsd_schedule":
        return ("optimizer", "num_warmup_steps", "num_decay_steps", "num_training_steps", "num_stable_steps")
    return ("optimizer", "num_warmup_steps", "num_training_steps")


def of_transformers(name: str, values: dict[str, Any], lrs: tuple[float, ...]) -> Made:
    """What a function makes of values by name. Raises NotImportable."""
    given = Fields({key: value for key, value in values.items() if key not in {"name", "last_epoch"}}, name)
    kind = FUNCTIONS.get(name) or str(values.get("name", "")).removeprefix("SchedulerType.").lower()
    kind = Fields({"name": kind}).choice("name", SCHEDULES)
    total, warmup = given.optional_count("num_training_steps"), given.count("num_warmup_steps", 0)
    if total is None and kind not in _WITHOUT_LENGTH:
        raise NotImportable(f"{name}.num_training_steps is required")
    if kind == "polynomial" and not lrs:
        raise NotImportable(f"{name} needs the optimizer's lr: write the optimizer above it")
    own = dict(given.fields("scheduler_specific_kwargs").items()) | {key: given.take(key) for key in given.unread}
    parts = hf_parts(kind, Fields(own, name), lrs[0] if lrs else 1.0, total or 0, warmup)
    return Made(name, parts.get("after_scheduler"), parts.get("warmup"), length=total, lrs=lrs)
