"""Import of axolotl's configuration (its YAML)."""

from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.hf_schedule import BY_METRIC, SCHEDULES, hf_parts, ignored_warmup
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.importers.transformers import Lengths, check_deepspeed, scheduler_arguments, trainer_length
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_axolotl(source: Any, known: Known) -> Imported:
    """A spec from a configuration of axolotl. Raises NotImportable.

    Its own schedulers, from axolotl/utils/schedulers.py and core/trainers/mixins/scheduler.py: a cosine with a floor
    (cosine_min_lr_ratio), which may be reached early (cosine_constant_lr_ratio), after a warm-up that may be quadratic;
    rex; one_cycle. Every other name is one of transformers'.
    """
    fields, notes = Fields(source), list[NotCarried]()
    total = _length(fields, known, notes)
    warmup = _warmup(fields, total, known, notes)
    if warmup > total:
        raise NotImportable(f"warmup_steps ({warmup}) must not exceed the {total} steps of the run")
    name = fields.choice("lr_scheduler", [*SCHEDULES, "rex", "one_cycle"], "cosine", by_metric=BY_METRIC)
    lr = known.lr(fields.number("learning_rate"))
    own = scheduler_arguments(fields, {}, total - warmup)
    parts = _SCHEDULERS[name](fields, own, lr, total, warmup) if name in _SCHEDULERS else None
    if parts is None:
        parts = hf_parts(name, own, lr, total, warmup)
    for field in ("cosine_min_lr_ratio", "cosine_constant_lr_ratio", "lr_quadratic_warmup"):
        if field in fields and fields.take(field) and name not in _SCHEDULERS:
            raise NotImportable(f"{field} has no effect with lr_scheduler {name}: axolotl reads it for cosine")
    notes += ignored_warmup(name, "warmup_steps", warmup)
    fields.refuse("jagged_restart_steps", "restarts the warm-up again and again, which no import says")
    check_deepspeed(fields, "lr_scheduler", notes)
    if "optimizer" in fields:
        reason = "is not part of a learning-rate schedule"
        if "schedule_free" in str(fields.take("optimizer")):
            reason = "is schedule-free: it has a schedule of its own beside this one"
        notes.append(NotCarried("optimizer", reason))
    return Imported(known.spec(lr, total, **parts), notes + fields.left(HARMLESS["axolotl"]))


def _length(fields: Fields, known: Known, notes: list[NotCarried]) -> int:
    """max_steps, or what the epochs come to; with sample packing that depends on the lengths of the samples."""
    is_by_epochs = known.total_iterations is None and fields.limit("max_steps") is None
    if fields.flag("sample_packing") and is_by_epochs:
        raise NotImportable(
            "total_iterations is required: sample_packing makes the number of steps depend on the samples' lengths "
            "(axolotl logs it as total_num_steps)"
        )
    if is_by_epochs and "gradient_accumulation_steps" not in fields and known.accumulation is None:
        fields.refuse("batch_size", "sets gradient_accumulation_steps: give that in its place")
    fields.take("batch_size")
    return trainer_length(fields, known, notes, Lengths("micro_batch_size", 1, "num_epochs", 1.0))


def _warmup(fields: Fields, total: int, known: Known, notes: list[NotCarried]) -> int:
    """warmup_steps, else a share rounded down, else 3 % up to 100 steps; axolotl makes 1 step 2."""
    steps, ratio = fields.optional_count("warmup_steps"), fields.optional_number("warmup_ratio")
    if steps and ratio:
        raise NotImportable("warmup_ratio must not stand beside warmup_steps: axolotl refuses both")
    if steps is None and ratio is None and known.warmup_iterations is None:
        notes.append(NotCarried("warmup_steps", "is not given: axolotl's default, 3 % up to 100 steps, is taken"))
    found = int(ratio * total) if ratio is not None and steps is None else steps
    found = min(int(0.03 * total), 100) if found is None else found
    return known.warmup(2 if found == 1 else found)


def _cosine(fields: Fields, own: Fields, _lr: float, total: int, warmup: int) -> dict[str, Any] | None:
    floor, constant = _share(fields, "cosine_min_lr_ratio"), _share(fields, "cosine_constant_lr_ratio")
    if fields.flag("lr_quadratic_warmup"):
        if floor:
            raise NotImportable("cosine_min_lr_ratio is ignored by axolotl beside lr_quadratic_warmup: remove it")
        own.only((), "cosine with lr_quadratic_warmup")
        rise = {"type": "ExpressionLR", "expression": f"(s / {max(warmup, 1)}) ** 2"}
        joined = {"type": "SequentialLR", "schedulers": [rise, {"type": "CosineLR"}], "milestones": [warmup]}
        return {"after_scheduler": joined if warmup else {"type": "CosineLR"}}
    if not floor:
        if constant:
            raise NotImportable("cosine_constant_lr_ratio has no effect without cosine_min_lr_ratio")
        return None
    own.only((), "cosine with cosine_min_lr_ratio")
    after: dict[str, Any] = {"type": "CosineLR", "min_ratio": floor}
    if constant:
        # a share of the whole run with its warm-up, rounded down as axolotl does
        after["length"] = max(int(total * constant) - warmup, 1)
    return {"warmup": {"iterations": warmup}, "after_scheduler": after}


def _rex(fields: Fields, own: Fields, _lr: float, total: int, warmup: int) -> dict[str, Any]:
    """Height m + (1 − m) · z / (0.1 + 0.9 z), z the share that is left; it is one step ahead of its updates."""
    own.only((), "rex")
    # from_peak counts s from iteration W - 1, where (n+1)/W is 1; without a warm-up s is n, one behind.
    floor, left = _share(fields, "cosine_min_lr_ratio") or 0.0, max(total - warmup, 1)
    z = f"(1 - {'s' if warmup else '(s + 1)'} / {left})"
    rex = f"{floor!r} + {1 - floor!r} * max({z}, 0) / (0.1 + 0.9 * max({z}, 0))"
    return {
        "warmup": {"iterations": warmup, "convention": "(n+1)/W", "decay_clock": "from_peak"},
        "after_scheduler": {"type": "ExpressionLR", "expression": rex},
    }


def _one_cycle(_fields: Fields, own: Fields, lr: float, total: int, warmup: int) -> dict[str, Any]:
    own.only(
        ("pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase", "cycle_momentum"), "one_cycle"
    )
    after: dict[str, Any] = {
        "type": "OneCycleLR",
        "max_lr": lr,
        "total_steps": total,
        # axolotl hands the warm-up to OneCycleLR as its first phase, and adds none of its own
        "pct_start": own.number("pct_start", warmup / total),
        "anneal_strategy": own.choice("anneal_strategy", ("cos", "linear"), "cos"),
        "div_factor": own.number("div_factor", 25.0),
        "final_div_factor": own.number("final_div_factor", 1e4),
        "three_phase": own.flag("three_phase"),
        "cycle_momentum": own.flag("cycle_momentum", True),
    }
    return {"after_scheduler": after}


def _share(fields: Fields, name: str) -> float | None:
    share = fields.optional_number(name)
    if share is not None and not 0 <= share <= 1:
        raise NotImportable(f"{name} ({share:g}) must be between 0 and 1")
    return share


_SCHEDULERS = {"cosine": _cosine, "rex": _rex, "one_cycle": _one_cycle}
