"""Import of Hugging Face's TrainingArguments, as JSON."""

import json
import math
from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known
from preheat.errors import NotImportable

_DEFAULT_LR = 5e-5

_After = dict[str, Any] | None


def from_transformers(source: Any, known: Known) -> Imported:
    """A spec from `TrainingArguments.to_dict()`; the length is max_steps, or must be known where epochs say it.

    Raises NotImportable.
    """
    fields = Fields(source)
    max_steps = int(fields.number("max_steps", -1))
    fields.take("num_train_epochs")
    total = known.length(max_steps if max_steps > 0 else None)
    warmup = _warmup_steps(fields, total)
    # the text of the enumeration is SchedulerType.COSINE, its value cosine
    kind = str(fields.take("lr_scheduler_type", "linear")).removeprefix("SchedulerType.").lower()
    name = Fields({"lr_scheduler_type": kind}).choice(
        "lr_scheduler_type", _SCHEDULERS, by_metric={"reduce_lr_on_plateau", "greedy"}
    )
    own = _scheduler_arguments(fields)
    warmup = 0 if name == "constant" else warmup  # get_scheduler ignores warmup_steps there
    spec = known.spec(fields.number("learning_rate", _DEFAULT_LR), total, None, warmup={"iterations": warmup})
    after = _SCHEDULERS[name](own, spec, total - warmup)
    if after is not None:
        spec["after_scheduler"] = after
    not_carried = own.not_carried("is not a parameter of this scheduler")
    return Imported(spec, not_carried + fields.not_carried("is not part of a learning-rate schedule"))


def _scheduler_arguments(fields: Fields) -> Fields:
    """lr_scheduler_kwargs: an object, or its JSON as the command line takes it."""
    arguments = fields.take("lr_scheduler_kwargs", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise NotImportable("lr_scheduler_kwargs must be an object, or the JSON of one") from None
    return Fields(arguments, "lr_scheduler_kwargs")


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
    min_lr, rate = own.optional_number("min_lr"), own.optional_number("min_lr_rate")
    if (min_lr is None) == (rate is None):
        raise NotImportable("cosine_with_min_lr needs min_lr or min_lr_rate, and not both")
    return after | ({"min_ratio": rate} if min_lr is None else {"min_lr": min_lr})


def _cosine_with_restarts(own: Fields, _spec: dict[str, Any], left: int) -> _After:
    cycles = own.count("num_cycles", 1)
    if cycles < 1 or left % cycles:
        raise NotImportable(f"num_cycles ({cycles}) must divide the {left} iterations after the warm-up evenly")
    return {"type": "CosineRestartsLR", "T_0": left // cycles, "cycles": cycles}


def _polynomial(own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    return {"type": "PolynomialDecayLR", "power": own.number("power", 1.0), "min_lr": own.number("lr_end", 1e-7)}


def _inverse_sqrt(own: Fields, _spec: dict[str, Any], _left: int) -> _After:
    after = {"type": "InverseSqrtLR"}
    return after if own.take("timescale") is None else {**after, "timescale": own.count("timescale")}


def _wsd(own: Fields, spec: dict[str, Any], left: int) -> _After:
    ratio = own.number("min_lr_ratio", 0.0)
    if ratio:
        spec["warmup"]["start_factor"] = ratio
    spec["warmup"]["shape"] = own.take("warmup_type", "linear")
    decay, decay_length = own.take("decay_type", "cosine"), own.count("num_decay_steps")
    _check_one_fall(own, "warmup_stable_decay")
    return {
        "type": "WSDLR",
        "length": own.count("num_stable_steps", left - decay_length) + decay_length,
        "decay_length": decay_length,
        "decay": decay,
        "min_ratio": ratio,
    }


def _cosine_warmup_with_min_lr(own: Fields, spec: dict[str, Any], left: int) -> _After:
    """Its warm-up is (n+1)/W, and its decay counts from the peak and rises again at the end."""
    if own.take("warmup_lr_rate") is not None:
        raise NotImportable("warmup_lr_rate changes the warm-up's convention to one that no spec has")
    spec["warmup"] |= {"convention": "(n+1)/W", "decay_clock": "from_peak"}
    _check_one_fall(own, "cosine_warmup_with_min_lr")
    min_lr = own.optional_number("min_lr")
    if min_lr is None:
        min_lr = own.number("min_lr_rate") * spec["target_lr"]
    return {"type": "CosineAnnealingLR", "T_max": left, "eta_min": min_lr}


def _check_one_fall(own: Fields, name: str) -> None:
    half_a_wave = 0.5
    if own.number("num_cycles", half_a_wave) != half_a_wave:
        raise NotImportable(f"lr_scheduler_kwargs.num_cycles must be 0.5 in a {name}")


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
