"""Import of torchtitan's job configuration (its TOML)."""

from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable

_DECAYS = {"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"}


def from_torchtitan(source: Any, known: Known) -> Imported:
    """A spec from the sections optimizer, lr_scheduler and training. Raises NotImportable.

    torchtitan/components/optimizer/lr_scheduler.py: (n + 1) / W in the warm-up, then 1, then a decay over the last D
    steps whose end is one step past the last, so that at iteration n ≥ T − D it is (n − (T − D)) / D over. D is
    round(T · decay_ratio), or all that follows the warm-up; warm-up and decay that are too long are cut off.
    """
    fields, notes = Fields(source), list[NotCarried]()
    scheduler, training = fields.fields("lr_scheduler"), fields.fields("training")
    lr = fields.fields("optimizer").number("lr", 8e-4)
    steps = known.length(training.count("steps", 10_000))
    total = scheduler.count("total_steps", steps)
    if steps > total:
        raise NotImportable(f"lr_scheduler.total_steps ({total}) must not be below training.steps ({steps})")
    warmup = known.warmup(scheduler.count("warmup_steps", 200))
    if warmup > total:
        notes.append(NotCarried("lr_scheduler.warmup_steps", f"is cut off at {total} by torchtitan"))
        warmup = total
    ratio = scheduler.optional_number("decay_ratio")
    decay = total - warmup if ratio is None else round(total * ratio)
    if not 0 <= decay <= total - warmup:
        notes.append(NotCarried("lr_scheduler.decay_ratio", f"is cut off at {total - warmup} steps by torchtitan"))
        decay = total - warmup
    # Older configurations have lr_min, which is a share of lr as well, in spite of its name.
    if "min_lr_factor" in scheduler and "lr_min" in scheduler:
        raise NotImportable("lr_scheduler.lr_min must not stand beside min_lr_factor: it is its older name")
    floor = scheduler.number("min_lr_factor", scheduler.number("lr_min", 0.0))
    parts: dict[str, Any] = {"warmup": {"iterations": warmup, "convention": "(n+1)/W"}}
    shape = _DECAYS[scheduler.choice("decay_type", _DECAYS, "linear")]
    if decay:
        after = {"type": "WSDLR", "length": total - warmup, "decay_length": decay, "decay": shape, "min_ratio": floor}
        parts["after_scheduler"] = after
    return Imported(known.spec(lr, steps, **parts), notes + fields.left(HARMLESS["torchtitan"]))
