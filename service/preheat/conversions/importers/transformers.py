"""Import of Hugging Face's TrainingArguments, and of the trainer_state.json of a run."""

import math
from dataclasses import dataclass
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.forms import read_text
from preheat.conversions.harmless import HARMLESS, Harmless
from preheat.conversions.hf_schedule import BY_METRIC, SCHEDULES, hf_parts, ignored_warmup
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
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
    total = trainer_length(fields, known, notes, Lengths())
    warmup = _warmup_steps(fields, total, known, notes)
    name = _scheduler_name(fields)
    own = scheduler_arguments(fields, given.get(name, {}), total - warmup)
    lr = known.lr(fields.number("learning_rate", _DEFAULT_LR))
    spec = known.spec(lr, total, **hf_parts(name, own, lr, total, warmup))
    if name.startswith("constant") and fields.take("lr_scheduler_kwargs"):
        notes.append(NotCarried("lr_scheduler_kwargs", f"is ignored by get_scheduler for {name}"))
    notes += ignored_warmup(name, "warmup_steps", warmup)
    _check_optimizer(fields, notes)
    return Imported(spec, notes + fields.left(harmless))


@dataclass(frozen=True)
class Lengths:
    """The names that a file has for the batch and the epochs of a run, and the defaults of both."""

    batch: str = "per_device_train_batch_size"
    default_batch: int = 8
    epochs: str = "num_train_epochs"
    default_epochs: float = 3.0


def trainer_length(fields: Fields, known: Known, notes: list[NotCarried], names: Lengths) -> int:
    """Updates of the run, as Trainer counts them."""
    max_steps = fields.limit("max_steps")
    batch = fields.count(names.batch, names.default_batch, least=1)
    accumulation = fields.count("gradient_accumulation_steps", 1, least=1)
    run_epochs, drop_last = fields.number(names.epochs, names.default_epochs), fields.flag("dataloader_drop_last")
    # -1, Trainer's default, leaves the length to the epochs.
    if max_steps is not None:
        if names.epochs in fields:
            notes.append(NotCarried(fields.path(names.epochs), "is ignored by Trainer beside max_steps"))
        return known.length(max_steps)
    from_epochs = known.updates(run_epochs, batch, accumulation, drop_last=drop_last)
    return known.length(
        from_epochs,
        f"the source has {known.epochs or run_epochs:g} epochs and no max_steps: give total_iterations, or "
        f"dataset_size (and devices; the batch is {known.batch_size or batch}, accumulation "
        f"{known.accumulation or accumulation})",
    )


def _scheduler_name(fields: Fields) -> str:
    """The name of a schedule; the text of transformers' enumeration is SchedulerType.COSINE, its value cosine."""
    text = fields.text("lr_scheduler_type", "linear").removeprefix("SchedulerType.").lower()
    return Fields({"lr_scheduler_type": text}).choice("lr_scheduler_type", SCHEDULES, by_metric=BY_METRIC)


def scheduler_arguments(fields: Fields, defaults: Any, left: int) -> Fields:
    """lr_scheduler_kwargs: an object, or its JSON as the command line takes it."""
    arguments = fields.take("lr_scheduler_kwargs", {})
    if isinstance(arguments, str):
        rule = 'lr_scheduler_kwargs must be an object, or the JSON of one, such as {"min_lr": 0.00001}'
        # read_text takes min_lr=0.1 for TOML, which Trainer does not.
        if not arguments.lstrip().startswith("{"):
            raise NotImportable(rule)
        try:
            arguments = read_text(arguments)
        except NotImportable as error:
            raise NotImportable(f"{rule} ({error})") from None
    below = defaults(left) if callable(defaults) else defaults
    return Fields(below | arguments if isinstance(arguments, dict) else arguments, "lr_scheduler_kwargs")


def _warmup_steps(fields: Fields, total: int, known: Known, notes: list[NotCarried]) -> int:
    """warmup_steps below 1 is a share, as warmup_ratio was; both are rounded up."""
    steps, ratio = fields.number("warmup_steps", 0), fields.number("warmup_ratio", 0)
    if steps and ratio:
        notes.append(NotCarried("warmup_ratio", "is ignored by Trainer beside warmup_steps"))
    share = steps if 0 < steps < 1 else 0 if steps else ratio
    return known.warmup(math.ceil(share * total) if share else fields.count("warmup_steps", 0))


def check_deepspeed(fields: Fields, instead_of: str, notes: list[NotCarried]) -> None:
    """A DeepSpeed configuration, or the file of one: its scheduler runs instead of the one that the field names."""
    deepspeed = fields.take("deepspeed")
    if isinstance(deepspeed, dict) and deepspeed.get("scheduler"):
        raise NotImportable(f"deepspeed.scheduler replaces {instead_of}: import that, from deepspeed")
    if isinstance(deepspeed, str) and deepspeed:
        notes.append(NotCarried("deepspeed", "is a file: a scheduler in it would replace this one"))
    elif deepspeed:
        notes.append(NotCarried("deepspeed", "has no scheduler, and is not part of a learning-rate schedule"))


def _check_optimizer(fields: Fields, notes: list[NotCarried]) -> None:
    """What replaces or bends the schedule from outside of it."""
    check_deepspeed(fields, "lr_scheduler_type", notes)
    optimizer = str(fields.take("optim", ""))
    if "schedule_free" in optimizer:
        notes.append(NotCarried("optim", "is schedule-free: the optimizer has a schedule of its own beside this one"))
    elif optimizer:
        notes.append(NotCarried("optim", "is not part of a learning-rate schedule"))
    arguments = str(fields.take("optim_args", ""))
    if "lr" in arguments:
        raise NotImportable("optim_args may change the LR: write its lr as learning_rate")
    if arguments:
        notes.append(NotCarried("optim_args", "are the optimizer's, and say no LR"))
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
