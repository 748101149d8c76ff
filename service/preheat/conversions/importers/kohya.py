"""Import of training arguments for diffusion models: kohya's sd-scripts, and the scripts of diffusers."""

import math
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.hf_schedule import BY_METRIC, SCHEDULES, hf_parts, ignored_warmup
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.conversions.number import number
from preheat.conversions.python_values import NotAValue, PythonValues, parsed
from preheat.errors import NotImportable

_OTHER_LRS = ("unet_lr", "text_encoder_lr", "block_lr", "learning_rate_te", "learning_rate_te1", "learning_rate_te2")


def from_kohya(source: Any, known: Known) -> Imported:
    """A spec from the arguments of kohya's sd-scripts, flat or in sections, which it flattens. Raises NotImportable.

    library/train_util.py, get_scheduler_fix: a warm-up or decay below 1 written with a point is a share of the run,
    rounded down; num_cycles are whole waves for cosine_with_restarts and half waves for cosine_with_min_lr; defaults
    are a constant LR of 2e-6 over 1600 steps.
    """
    fields, notes = Fields(_flat(source)), list[NotCarried]()
    if fields.take("lr_scheduler_type"):
        raise NotImportable("lr_scheduler_type names a class of another module: import that, as torch code")
    total = _kohya_length(fields, known, notes)
    name = fields.text("lr_scheduler", "constant")
    # "adafactor:1e-3" is a proxy for the LR that the Adafactor optimizer computes by itself.
    if name == "piecewise_constant" or name.startswith("adafactor"):
        raise NotImportable(f"lr_scheduler ({name}) is not one of {', '.join(SCHEDULES)}")
    name = fields.choice("lr_scheduler", SCHEDULES, "constant", by_metric=BY_METRIC)
    warmup = known.warmup(_part(fields, "lr_warmup_steps", total))
    if name == "constant" and warmup:
        raise NotImportable("lr_warmup_steps must be 0 with lr_scheduler constant: kohya refuses it")
    lr = _kohya_lr(fields, known)
    own = _extra(fields) | _kohya_arguments(fields, name, total, warmup)
    parts = hf_parts(name, Fields(own, "lr_scheduler_args"), lr, total, warmup)
    _check_optimizer(fields, "optimizer_type", notes)
    for unused in ("lr_scheduler_num_cycles", "lr_scheduler_power", "lr_scheduler_timescale", "lr_decay_steps"):
        if unused in fields and fields.take(unused) and unused not in _USED.get(name, ()):
            notes.append(NotCarried(unused, f"is ignored by kohya's scripts for {name}"))
    if fields.take("lr_scheduler_min_lr_ratio") and "lr_scheduler_min_lr_ratio" not in _USED.get(name, ()):
        raise NotImportable(f"lr_scheduler_min_lr_ratio is ignored by kohya's scripts for {name}: remove it")
    return Imported(known.spec(lr, total, **parts), notes + fields.left(HARMLESS["kohya"]))


def from_diffusers(source: Any, known: Known) -> Imported:
    """A spec from the arguments of a training script of diffusers (examples/*/train_*.py). Raises NotImportable.

    diffusers/optimization.py; its defaults are a constant LR, lr_warmup_steps 500, lr_num_cycles 1, lr_power 1.
    Without max_train_steps the updates of an epoch are rounded up, batches of each device before that.
    """
    fields, notes = Fields(source), list[NotCarried]()
    batch = fields.count("train_batch_size", 16, least=1)
    accumulation = fields.count("gradient_accumulation_steps", 1, least=1)
    steps, epochs = fields.optional_count("max_train_steps"), fields.number("num_train_epochs", 100)
    if steps and "num_train_epochs" in fields:
        notes.append(NotCarried("num_train_epochs", "is ignored by diffusers' scripts beside max_train_steps"))
    by_epochs = known.updates(epochs, batch, accumulation)
    total = known.length(steps or by_epochs, "give total_iterations, or dataset_size for the number of epochs")
    name = fields.choice("lr_scheduler", ("piecewise_constant", *_DIFFUSERS), "constant")
    if name == "piecewise_constant":
        raise NotImportable("lr_scheduler piecewise_constant takes step_rules, which the scripts do not pass on")
    # The scripts multiply it by the number of processes, and accelerate steps once for each: both cancel out.
    warmup = known.warmup(fields.count("lr_warmup_steps", 500))
    lr = _scaled(fields, known, batch, accumulation)
    cycles, power = fields.count("lr_num_cycles", 1), fields.number("lr_power", 1.0)
    # diffusers' get_scheduler passes num_cycles and power to these two alone, not to cosine.
    own = {"cosine_with_restarts": {"num_cycles": cycles}, "polynomial": {"power": power}}.get(name, {})
    for field, of in (("lr_num_cycles", "cosine_with_restarts"), ("lr_power", "polynomial")):
        if field in fields and name != of:
            notes.append(NotCarried(field, f"is not used by diffusers for {name}"))
    parts = hf_parts(name, Fields(own, "lr_scheduler"), lr, total, warmup)
    if "lr_warmup_steps" in fields:
        notes += ignored_warmup(name, "lr_warmup_steps", warmup)
    _check_optimizer(fields, "optimizer", notes)
    fields.flag("use_8bit_adam")
    return Imported(known.spec(lr, total, **parts), notes + fields.left(HARMLESS["diffusers"]))


def _flat(source: Any) -> Any:
    """Fields without the sections that they stand in, as kohya's --config_file has them."""
    if not isinstance(source, dict):
        return source
    sections = {name: value for name, value in source.items() if isinstance(value, dict)}
    flat = {name: value for name, value in source.items() if name not in sections}
    for section in sections.values():
        for name, value in section.items():
            if name in flat:
                raise NotImportable(f"source has {name} twice, in two sections")
            flat[name] = value
    return flat


def _kohya_length(fields: Fields, known: Known, notes: list[NotCarried]) -> int:
    batch = fields.count("train_batch_size", 1, least=1)
    accumulation = fields.count("gradient_accumulation_steps", 1, least=1)
    epochs, steps = fields.optional_number("max_train_epochs"), fields.count("max_train_steps", 1600)
    if epochs is None and known.epochs is None:
        return known.length(steps)
    if "max_train_steps" in fields:
        notes.append(NotCarried("max_train_steps", "is replaced by max_train_epochs in kohya's scripts"))
    return known.length(
        known.updates(epochs, batch, accumulation),
        "max_train_epochs counts the images with their repeats: give total_iterations, or that number as dataset_size",
    )


def _part(fields: Fields, name: str, total: int) -> int:
    """Steps, or a share of the run below 1, which kohya rounds down."""
    value = fields.number(name, 0)
    if value != int(value) and value >= 1:
        raise NotImportable(f"{fields.path(name)} ({value:g}) must be a whole number, or a share below 1")
    return int(value * total) if 0 < value < 1 else fields.count(name, 0)


def _kohya_lr(fields: Fields, known: Known) -> float:
    """learning_rate; a model's part with another one would be a param group that the source does not describe."""
    lr = fields.number("learning_rate", 2e-6)
    for name in _OTHER_LRS:
        own = fields.take(name)
        values = own if isinstance(own, list) else [] if own in (None, "") else [own]
        # a part with an LR of 0 is not trained, and needs no param group
        if any(number(name, value) not in (lr, 0) for value in values):
            raise NotImportable(f"{name} is another LR than learning_rate: write them as param groups, or import each")
    return known.lr(lr)


def _kohya_arguments(fields: Fields, name: str, total: int, warmup: int) -> dict[str, Any]:
    cycles = fields.count("lr_scheduler_num_cycles", 1)
    floor = fields.optional_number("lr_scheduler_min_lr_ratio")
    if name == "cosine_with_restarts":
        return {"num_cycles": cycles}
    if name == "polynomial":
        return {"power": fields.number("lr_scheduler_power", 1.0)}
    if name == "inverse_sqrt":
        return {"timescale": fields.take("lr_scheduler_timescale")}
    if name == "cosine_with_min_lr":
        # kohya's scripts count half waves here, transformers whole ones
        return {"num_cycles": cycles / 2, "min_lr_rate": floor}
    if name == "warmup_stable_decay":
        decay = _part(fields, "lr_decay_steps", total)
        stable = total - warmup - decay
        if stable < 0:
            raise NotImportable(f"lr_warmup_steps ({warmup}) + lr_decay_steps ({decay}) must not exceed {total} steps")
        own = {"num_decay_steps": decay, "num_stable_steps": stable, "num_cycles": cycles / 2}
        return own | {"min_lr_ratio": floor or 0.0}
    return {}


def _extra(fields: Fields) -> dict[str, Any]:
    """lr_scheduler_args: texts such as num_cycles=3."""
    given = fields.take("lr_scheduler_args", [])
    values = PythonValues()
    extra: dict[str, Any] = {}
    for text in given if isinstance(given, list) else str(given).split():
        name, has_value, value = str(text).partition("=")
        statements = parsed(f"x = {value}") if has_value else []
        # the value is a Python literal, as kohya's scripts use ast.literal_eval on it
        try:
            extra[name.strip()] = values.value(statements[0].value)  # type: ignore[attr-defined]
        except (NotAValue, IndexError, AttributeError):
            raise NotImportable("lr_scheduler_args must be texts such as num_cycles=3") from None
    return extra


def _scaled(fields: Fields, known: Known, batch: int, accumulation: int) -> float:
    """learning_rate, times batch, accumulation and devices with scale_lr."""
    lr = fields.number("learning_rate", 1e-4)
    if not fields.flag("scale_lr"):
        return known.lr(lr)
    if known.target_lr is None and known.devices is None:
        raise NotImportable("scale_lr multiplies the LR by the number of devices: give devices, or target_lr")
    sizes = (known.accumulation or accumulation, known.batch_size or batch, known.devices or 1)
    return known.lr(lr * math.prod(sizes))


def _check_optimizer(fields: Fields, name: str, notes: list[NotCarried]) -> None:
    kind = str(fields.take(name, "")).lower()
    if "schedulefree" in kind or "schedule_free" in kind:
        raise NotImportable(f"{name} is schedule-free: it takes no scheduler, and has a warm-up of its own")
    if kind.startswith(("prodigy", "dadapt", "dadaptation")):
        notes.append(NotCarried(name, "adapts the LR: what is imported is the factor of it"))
    elif kind:
        notes.append(NotCarried(name, "is not part of a learning-rate schedule"))
    options = fields.take("optimizer_args", [])
    words = options if isinstance(options, list) else str(options).split()
    # With relative_step Adafactor computes an LR of its own, and with warmup_init a warm-up.
    if any(str(word).partition("=")[0].strip() in {"lr", "relative_step", "warmup_init"} for word in words):
        raise NotImportable("optimizer_args has an LR, or a schedule, of the optimizer's own: remove it")


_USED = {
    "cosine_with_restarts": ("lr_scheduler_num_cycles",),
    "polynomial": ("lr_scheduler_power",),
    "inverse_sqrt": ("lr_scheduler_timescale",),
    "cosine_with_min_lr": ("lr_scheduler_num_cycles", "lr_scheduler_min_lr_ratio"),
    "warmup_stable_decay": ("lr_scheduler_num_cycles", "lr_decay_steps", "lr_scheduler_min_lr_ratio"),
}
_DIFFUSERS = ("linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup")
