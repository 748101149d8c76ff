"""Import of Hugging Face's TrainingArguments, and of the trainer_state.json of a run."""

import json
import math
from typing import Any

from preheat.conversions.harmless import HARMLESS
from preheat.conversions.hf_schedule import BY_METRIC, SCHEDULES, hf_parts
from preheat.conversions.source import Fields, Harmless, Imported, Known, NotCarried
from preheat.errors import NotImportable
from preheat.specs.after_schedulers.piecewise import MAX_POINTS

_DEFAULT_LR = 5e-5


def from_transformers(source: Any, known: Known) -> Imported:
    """A spec from `TrainingArguments.to_dict()`, or from a trainer_state.json with its log.

    The length is max_steps, or follows from the epochs and a known dataset_size as Trainer rounds it: batches of each
    device up, updates of an epoch up, updates of the run up. Raises NotImportable.
    """
    fields = Fields(source)
    if "log_history" in fields:
        return _from_log(fields, known)
    return from_trainer(fields, known, HARMLESS["transformers"])


def from_trainer(fields: Fields, known: Known, harmless: Harmless, defaults: dict[str, Any] | None = None) -> Imported:
    """A spec from the fields that TrainingArguments has, whoever's file they stand in; `defaults` are that file's."""
    notes: list[NotCarried] = []
    given = defaults or {}
    total = trainer_length(fields, known, notes)
    warmup = _warmup_steps(fields, total, known, notes)
    name = scheduler_name(fields, "lr_scheduler_type")
    own = scheduler_arguments(fields, given.get(name, {}), total - warmup)
    lr = known.lr(fields.number("learning_rate", given.get("learning_rate", _DEFAULT_LR)))
    spec = known.spec(lr, total, **hf_parts(name, own, lr, total, warmup))
    if name.startswith("constant") and fields.take("lr_scheduler_kwargs"):
        notes.append(NotCarried("lr_scheduler_kwargs", f"is ignored by get_scheduler for {name}"))
    _check_optimizer(fields, notes)
    return Imported(spec, notes + fields.left(harmless))


def trainer_length(fields: Fields, known: Known, notes: list[NotCarried], epochs: str = "num_train_epochs") -> int:
    """Updates of the run, as Trainer counts them."""
    max_steps = int(fields.number("max_steps", -1))
    batch = fields.count("per_device_train_batch_size", 8)
    accumulation = fields.count("gradient_accumulation_steps", 1)
    run_epochs, drop_last = fields.number(epochs, 3.0), fields.flag("dataloader_drop_last")
    # -1, Trainer's default, leaves the length to the epochs.
    if max_steps > 0:
        if epochs in fields:
            notes.append(NotCarried(fields.path(epochs), "is ignored by Trainer beside max_steps"))
        return known.length(max_steps)
    from_epochs = known.updates(run_epochs, batch, accumulation, drop_last=drop_last)
    return known.length(
        from_epochs,
        f"the source has {known.epochs or run_epochs:g} epochs and no max_steps: give total_iterations, or "
        f"dataset_size (and devices; the batch is {known.batch_size or batch}, accumulation "
        f"{known.accumulation or accumulation})",
    )


def scheduler_name(fields: Fields, field: str, default: str = "linear") -> str:
    """The name of a schedule; the text of transformers' enumeration is SchedulerType.COSINE, its value cosine."""
    text = fields.text(field, default).removeprefix("SchedulerType.").lower()
    return Fields({fields.path(field): text}).choice(fields.path(field), SCHEDULES, by_metric=BY_METRIC)


def scheduler_arguments(fields: Fields, defaults: Any, left: int) -> Fields:
    """lr_scheduler_kwargs: an object, or its JSON as the command line takes it."""
    arguments = fields.take("lr_scheduler_kwargs", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            raise NotImportable(
                'lr_scheduler_kwargs must be an object, or the JSON of one, such as {"min_lr": 0.00001}'
            ) from None
    below = defaults(left) if callable(defaults) else defaults
    return Fields(below | arguments if isinstance(arguments, dict) else arguments, "lr_scheduler_kwargs")


def _warmup_steps(fields: Fields, total: int, known: Known, notes: list[NotCarried]) -> int:
    """warmup_steps below 1 is a share, as warmup_ratio was; both are rounded up."""
    steps, ratio = fields.number("warmup_steps", 0), fields.number("warmup_ratio", 0)
    if steps and ratio:
        notes.append(NotCarried("warmup_ratio", "is ignored by Trainer beside warmup_steps"))
    if known.warmup_iterations is not None:
        return known.warmup_iterations
    share = steps if 0 < steps < 1 else 0 if steps else ratio
    return math.ceil(share * total) if share else int(steps)


def _check_optimizer(fields: Fields, notes: list[NotCarried]) -> None:
    """What replaces or bends the schedule from outside of it."""
    deepspeed = fields.take("deepspeed")
    if isinstance(deepspeed, dict) and deepspeed.get("scheduler"):
        raise NotImportable("deepspeed.scheduler replaces lr_scheduler_type: import that, from deepspeed")
    if isinstance(deepspeed, str) and deepspeed:
        notes.append(NotCarried("deepspeed", "is a file: a scheduler in it would replace this one"))
    optimizer = str(fields.take("optim", ""))
    if "schedule_free" in optimizer:
        notes.append(NotCarried("optim", "is schedule-free: the optimizer has a schedule of its own beside this one"))
    elif optimizer:
        notes.append(NotCarried("optim", "is not part of a learning-rate schedule"))
    if "lr" in str(fields.take("optim_args", "")):
        raise NotImportable("optim_args may change the LR: write its lr as learning_rate")
    if fields.flag("auto_find_batch_size"):
        notes.append(NotCarried("auto_find_batch_size", "may halve the batch, and so lengthen a run given in epochs"))
    split = fields.take("accelerator_config")
    if isinstance(split, dict) and split.get("split_batches"):
        raise NotImportable("accelerator_config.split_batches makes per_device_train_batch_size that of all devices")


def _from_log(fields: Fields, known: Known) -> Imported:
    """A spec with the LRs that a run has logged; Trainer logs, at step n, the LR of the update that follows."""
    logged: dict[int, float] = {}
    for entry in fields.take("log_history") if isinstance(fields.take("log_history"), list) else []:
        values = Fields(entry, "log_history[]")
        if "learning_rate" in values:
            # a step that is logged twice, after a resume, keeps the later LR
            logged[values.count("step")] = values.number("learning_rate")
    if len(logged) < 2:  # noqa: PLR2004 - one LR is no schedule
        raise NotImportable("log_history has no LRs: import the training arguments instead")
    steps = sorted(logged)
    if len(steps) > MAX_POINTS:
        raise NotImportable(f"log_history has more than {MAX_POINTS} LRs: import the training arguments instead")
    total = known.length(fields.optional_count("max_steps") or steps[-1])
    points = [{"at": step, "lr": logged[step]} for step in steps if step <= total]
    spec = known.spec(max(logged.values()), total, {"type": "PiecewiseLR", "points": points})
    reason = f"has the LRs of {len(steps)} iterations: between them, before and after, they are interpolated"
    for name in ("num_train_epochs", "train_batch_size"):
        fields.take(name)
    return Imported(spec, [NotCarried("log_history", reason), *fields.left(HARMLESS["transformers"])])
