"""Import of Megatron-LM's arguments, as its command line or a configuration has them."""

import math
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported
from preheat.conversions.known import Known
from preheat.errors import NotImportable

_STYLES = ("constant", "linear", "cosine", "inverse-square-root", "WSD")
# minus_sqrt is 1 - √x; exponential is 2 · 0.5^x - 1, a WSDLR's with its decay_ratio of 0.5.
_WSD_STYLES = {"exponential": "exponential", "linear": "linear", "cosine": "cosine", "minus_sqrt": "1-sqrt"}


def from_megatron(source: Any, known: Known) -> Imported:
    """A spec from the arguments by their names with underscores. Raises NotImportable.

    megatron/core/optimizer_param_scheduler.py: from lr_warmup_init to lr up to and including iteration W, then the
    style's decay up to lr_decay_iters (which count the warm-up, and are train_iters by default), then min_lr.
    lr_warmup_fraction is a share of lr_decay_iters, not of the run. Samples become iterations by global_batch_size.
    """
    fields = Fields(source)
    fields.refuse("rampup_batch_size", "makes the LR follow samples whose number per iteration changes")
    for name in ("use_checkpoint_opt_param_scheduler", "decoupled_lr", "decoupled_min_lr"):
        fields.refuse(name, "takes LRs from elsewhere, which no import says")
    unit = _unit(fields)
    total = known.length(
        _iterations(fields, "train", unit), "give train_iters, or train_samples with global_batch_size"
    )
    decay = _iterations(fields, "lr_decay", unit) or total
    warmup = _warmup(fields, unit, decay, known)
    if warmup >= decay:
        raise NotImportable(
            f"the warm-up ({warmup}) must be shorter than lr_decay_iters ({decay}), as Megatron requires"
        )
    lr, low = known.lr(fields.optional_number("lr")), fields.number("min_lr", 0.0)
    start = fields.number("lr_warmup_init", 0.0)
    if low > lr or start > lr:
        raise NotImportable(f"min_lr ({low:g}) and lr_warmup_init ({start:g}) must not exceed lr ({lr:g})")
    style = fields.choice("lr_decay_style", _STYLES, "linear")
    after = _decay(fields, style, unit, (total, decay, warmup, low, lr))
    parts: dict[str, Any] = {"warmup": {"iterations": warmup} | ({"start_lr": start} if start else {})}
    notes = fields.unused(("lr_wsd_decay_iters", "lr_wsd_decay_samples", "lr_wsd_decay_style"), style)
    return Imported(known.spec(lr, total, after, **parts), notes + fields.left(HARMLESS["megatron"]))


def _decay(fields: Fields, style: str, unit: float, run: tuple[int, int, int, float, float]) -> dict[str, Any] | None:
    total, decay, warmup, low, lr = run
    length = decay - warmup
    match style:
        case "constant":
            return None
        case "linear":
            return {"type": "PolynomialDecayLR", "length": length, "min_lr": low}
        case "cosine":
            return {"type": "CosineLR", "length": length, "min_lr": low}
        case "WSD":
            wsd_length = _iterations(fields, "lr_wsd_decay", unit)
            wsd_style = _WSD_STYLES[fields.choice("lr_wsd_decay_style", _WSD_STYLES, "exponential")]
            if wsd_length is None:
                raise NotImportable("lr_wsd_decay_iters is required with lr_decay_style WSD")
            # Without a decay the LR falls one iteration past lr_decay_iters in Megatron, and at length here.
            wsd = {"type": "WSDLR", "length": length if wsd_length else length + 1, "decay_length": wsd_length}
            return wsd | {"decay": wsd_style, "min_lr": low}
    # √W / √n, not below min_lr; min_lr one iteration past lr_decay_iters. s counts from the end of the warm-up.
    floor = low / lr if lr else 0.0
    height = f"sqrt({warmup} / (s + {warmup}))" if warmup else f"sqrt(1 / max(s * {_batch(fields)}, 1))"
    fall = f"max({floor!r}, {height})"
    whole = fall if total <= decay else f"{fall} if s <= {length} else {floor!r}"
    return {"type": "ExpressionLR", "expression": whole}


def _batch(fields: Fields) -> int:
    """Samples of an iteration, in which Megatron counts."""
    if "global_batch_size" not in fields:
        raise NotImportable(
            "global_batch_size is required with train_samples, and with lr_decay_style inverse-square-root without a "
            "warm-up, which falls by samples"
        )
    return fields.count("global_batch_size", least=1)


def _unit(fields: Fields) -> float:
    """Samples of an iteration, where the run is counted in samples."""
    by_samples = "train_samples" in fields
    if by_samples and "train_iters" in fields:
        raise NotImportable("train_samples must not stand beside train_iters, as Megatron requires")
    for name in ("lr_decay", "lr_warmup", "lr_wsd_decay"):
        other = f"{name}_iters" if by_samples else f"{name}_samples"
        fields.refuse(other, f"must be counted as train_{'samples' if by_samples else 'iters'} is")
    return _batch(fields) if by_samples else 1


def _iterations(fields: Fields, name: str, unit: float) -> int | None:
    counted = fields.optional_count(f"{name}_iters") if unit == 1 else None
    if counted is not None or f"{name}_samples" not in fields:
        return counted
    samples = fields.count(f"{name}_samples")
    # the run itself ends with its last whole batch
    return samples // int(unit) if name == "train" else _whole(samples / unit, f"{name}_samples")


def _warmup(fields: Fields, unit: float, decay: int, known: Known) -> int:
    fraction = fields.optional_number("lr_warmup_fraction")
    counted = _iterations(fields, "lr_warmup", unit)
    # An lr_warmup_iters of 0 is Megatron's default, and no conflict.
    if fraction is not None and counted:
        raise NotImportable("lr_warmup_fraction must not stand beside lr_warmup_iters, as Megatron requires")
    if fraction is not None and known.warmup_iterations is None:
        return _whole(fraction * decay, "lr_warmup_fraction")
    return known.warmup(counted or 0)


def _whole(iterations: float, name: str) -> int:
    if not math.isclose(iterations, round(iterations), rel_tol=1e-9, abs_tol=1e-9):
        raise NotImportable(
            f"{name} comes to {iterations:g} iterations, which is no whole number: Megatron counts samples"
        )
    return round(iterations)
