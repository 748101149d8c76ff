"""Import of nanotron's configuration (its YAML)."""

from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported
from preheat.conversions.known import Known
from preheat.errors import NotImportable

_DECAYS = ("linear", "cosine", "1-sqrt")


def from_nanotron(source: Any, known: Known) -> Imported:
    """A spec from optimizer.learning_rate_scheduler and tokens.train_steps. Raises NotImportable.

    src/nanotron/helpers.py, lr_scheduler_builder: lr · n / W up to and including W, lr until lr_decay_starting_step
    (W by default), a decay over lr_decay_steps, then min_decay_lr. Without lr_decay_steps that is train_steps less the
    warm-up, and less lr_decay_starting_step too where that is given.
    """
    fields = Fields(source)
    scheduler = fields.fields("optimizer").fields("learning_rate_scheduler")
    total = known.length(fields.fields("tokens").optional_count("train_steps"))
    lr = known.lr(scheduler.optional_number("learning_rate"))
    warmup = known.warmup(scheduler.count("lr_warmup_steps", 0))
    style = scheduler.choice("lr_warmup_style", ("linear", "constant"))
    begin, given = scheduler.optional_count("lr_decay_starting_step"), scheduler.optional_count("lr_decay_steps")
    decay = total - warmup - (begin or 0) if given is None else given
    start = warmup if begin is None else begin
    if decay < 0 or start < warmup:
        raise NotImportable(
            f"lr_decay_steps ({decay}) must be ≥ 0, and lr_decay_starting_step ({start}) not below lr_warmup_steps"
        )
    after = {
        "type": "WSDLR",
        "length": max(start - warmup + decay, 1),
        "decay_length": decay,
        "decay": scheduler.choice("lr_decay_style", _DECAYS, "linear"),
        "min_lr": scheduler.number("min_decay_lr", lr),
    }
    parts: dict[str, Any] = {"warmup": {"iterations": warmup}}
    if style == "constant":
        parts, after["length"] = {}, max(start + decay, 1)
    elif not warmup:  # its linear warm-up is in force at n = 0 even so, where it is 0
        parts = {"warmup": {"iterations": 1, "decay_clock": "from_zero"}}
    if not decay:  # min_decay_lr at once, unless there is no warm-up either
        raise NotImportable("lr_decay_steps comes to 0: nanotron then jumps to min_decay_lr")
    return Imported(known.spec(lr, total, after, **parts), fields.left(HARMLESS["nanotron"]))
