"""Hugging Face TrainingArguments, as JSON."""

import json
import math
from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known, fields_of, target_lr, total_iterations
from preheat.errors import NotImportable

_DEFAULT_LR = 5e-5

_After = dict[str, Any] | None


def from_transformers(source: Any, known: Known) -> Imported:
    """A spec from `TrainingArguments.to_dict()`; the length is max_steps, or must be known where epochs say it."""
    fields = fields_of(source, "")
    max_steps = fields.take("max_steps", -1)
    fields.take("num_train_epochs")
    total = total_iterations(known, max_steps if isinstance(max_steps, int) and max_steps > 0 else None)
    warmup = _warmup_steps(fields, total)
    name = str(fields.take("lr_scheduler_type", "linear")).removeprefix("SchedulerType.").lower()
    arguments = fields.take("lr_scheduler_kwargs", {})
    own = fields_of(json.loads(arguments) if isinstance(arguments, str) else arguments, "lr_scheduler_kwargs")
    if name not in _SCHEDULERS:
        reason = "follows a metric" if name in {"reduce_lr_on_plateau", "greedy"} else "is not known"
        raise NotImportable(f"lr_scheduler_type ({name}) {reason}; known are {', '.join(_SCHEDULERS)}")
    if name == "constant":
        warmup = 0
    spec: dict[str, Any] = {
        "target_lr": target_lr(known, fields.number("learning_rate", _DEFAULT_LR)),
        "total_iterations": total,
        "warmup": {"iterations": warmup},
    }
    after = _SCHEDULERS[name](own, spec, total - warmup)
    if after is not None:
        spec["after_scheduler"] = after
    not_carried = own.left("is no parameter of this scheduler")
    return Imported(spec, not_carried + fields.left("is no part of a learning-rate schedule"))


def _warmup_steps(fields: Fields, total: int) -> int:
    """warmup_steps below 1 is a share, as warmup_ratio was; both are rounded up."""
    steps, ratio = fields.number("warmup_steps", 0), fields.number("warmup_ratio", 0)
    if steps:
        return math.ceil(steps * total) if steps < 1 else int(steps)
    return math.ceil(ratio * total)


def _linear(_own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    return {"type": "PolynomialDecayLR"}


def _constant(_own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    return None


def _cosine(own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    return {"type": "CosineLR", "num_cycles": own.number("num_cycles", 0.5)}


def _cosine_with_min_lr(own: Fields, spec: dict[str, Any], left: int) -> _After:
    after = _cosine(own, spec, left) or {}
    min_lr, rate = own.take("min_lr"), own.take("min_lr_rate")
    if (min_lr is None) == (rate is None):
        raise NotImportable("cosine_with_min_lr needs min_lr or min_lr_rate, and not both")
    return after | ({"min_ratio": float(rate)} if min_lr is None else {"min_lr": float(min_lr)})


def _cosine_with_restarts(own: Fields, _spec: dict[str, Any], left: int) -> _After:
    cycles = own.count("num_cycles", 1)
    if cycles < 1 or left % cycles:
        raise NotImportable(f"num_cycles ({cycles}) must divide the {left} iterations after the warm-up evenly")
    return {"type": "CosineRestartsLR", "T_0": left // cycles, "cycles": cycles}


def _polynomial(own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    return {"type": "PolynomialDecayLR", "power": own.number("power", 1.0), "min_lr": own.number("lr_end", 1e-7)}


def _inverse_sqrt(own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    timescale = own.take("timescale")
    return {"type": "InverseSqrtLR", **({} if timescale is None else {"timescale": int(timescale)})}


def _wsd(own: Fields, spec: dict[str, Any], left: int) -> _After:
    ratio = own.number("min_lr_ratio", 0.0)
    if ratio:
        spec["warmup"]["start_factor"] = ratio
    spec["warmup"]["shape"] = own.take("warmup_type", "linear")
    decay, decay_length = own.take("decay_type", "cosine"), own.count("num_decay_steps")
    stable = own.count("num_stable_steps", left - decay_length)
    if own.number("num_cycles", 0.5) != 0.5:  # noqa: PLR2004 - one fall
        raise NotImportable("lr_scheduler_kwargs.num_cycles must be 0.5 in a warmup_stable_decay")
    return {
        "type": "WSDLR",
        "length": stable + decay_length,
        "decay_length": decay_length,
        "decay": decay,
        "min_ratio": ratio,
    }


def _cosine_warmup_with_min_lr(own: Fields, spec: dict[str, Any], left: int) -> _After:
    """Its warm-up is (n+1)/W, and its decay counts from the peak and rises again at the end."""
    if own.take("warmup_lr_rate") is not None:
        raise NotImportable("warmup_lr_rate changes the warm-up's convention to one that no spec has")
    spec["warmup"] |= {"convention": "(n+1)/W", "decay_clock": "from_peak"}
    if own.number("num_cycles", 0.5) != 0.5:  # noqa: PLR2004 - one fall
        raise NotImportable("lr_scheduler_kwargs.num_cycles must be 0.5 in a cosine_warmup_with_min_lr")
    min_lr = own.take("min_lr")
    floor = float(min_lr) if min_lr is not None else own.number("min_lr_rate") * spec["target_lr"]
    return {"type": "CosineAnnealingLR", "T_max": left, "eta_min": floor}


_SCHEDULERS: dict[str, Callable[[Fields, dict[str, Any], int], _After]] = {
    "linear": _linear,
    "constant": _constant,
    "constant_with_warmup": _constant,
    "cosine": _cosine,
    "cosine_with_min_lr": _cosine_with_min_lr,
    "cosine_with_restarts": _cosine_with_restarts,
    "cosine_warmup_with_min_lr": _cosine_warmup_with_min_lr,
    "polynomial": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "warmup_stable_decay": _wsd,
}
