"""Names that other libraries have for fields of a spec, and what each is called here."""

from pydantic import BaseModel

from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.spec import ParamGroup, Spec
from preheat.specs.warmup import Warmup

_LENGTH = "max_steps total_steps num_steps num_iterations iterations max_iters train_steps num_training_steps"
_EPOCHS = "epochs num_epochs max_epochs num_train_epochs total_epochs"
_SCHEDULER = "scheduler lr_scheduler lr_scheduler_type schedule decay after"
_LOW = "min_lr eta_min end_lr lr_min final_lr"
_RATIO = "min_ratio min_lr_ratio min_lr_rate lr_min_ratio alpha"
_WARMUP_LENGTH = "warmup_steps warmup_iterations warmup_iters num_warmup_steps warmup_epochs warmup_num_steps W"
_START = "warmup_start_lr warmup_init_lr warmup_lr warmup_lr_init init_lr"

_OF_SPEC = {
    "target_lr": "lr learning_rate max_lr peak_lr base_lr lr0",
    "total_iterations": f"{_LENGTH} steps T",
    'total_iterations (as "90ep", with units.iterations_per_epoch)': _EPOCHS,
    "warmup.iterations": _WARMUP_LENGTH,
    'warmup.iterations (as "10%")': "warmup_ratio warmup_fraction warmup_proportion",
    "warmup.start_lr": _START,
    "warmup.start_factor": "warmup_factor",
    "warmup.shape": "warmup_method warmup_type warmup_strategy",
    "after_scheduler": _SCHEDULER,
    "after_scheduler.type": "type",
    "after_scheduler.min_lr": _LOW,
    "after_scheduler.min_ratio": _RATIO,
    "after_scheduler.T_max": "T_max",
    "hyperparameters.weight_decay": "weight_decay wd",
    "hyperparameters.momentum": "momentum",
    "param_groups": "groups params",
    "units.dataset_size": "dataset_size num_samples",
    "units.batch_size": "batch_size",
    "units.accumulation": "accumulation gradient_accumulation_steps",
    "units.iterations_per_epoch": "iterations_per_epoch steps_per_epoch",
    "label": "name",
}
_OF_WARMUP = {
    "iterations": f"{_WARMUP_LENGTH} {_LENGTH} steps length duration",
    'iterations (as "5ep")': _EPOCHS,
    'iterations (as "10%")': "ratio share fraction warmup_ratio",
    "start_lr": f"{_START} start lr from min_lr",
    "start_factor": "factor warmup_factor start_ratio ratio_start",
    "shape": "type method mode curve strategy",
}
_OF_GROUP = {
    "target_lr": "lr learning_rate max_lr base_lr",
    "factor": "lr_mult lr_scale lr_multiplier multiplier scale",
    "hyperparameters.weight_decay": "weight_decay wd",
    "hyperparameters.momentum": "momentum",
    "after_scheduler": _SCHEDULER,
}
_OF_SCHEDULER = {
    "length": f"{_LENGTH} steps T_max decay_steps total_iters duration",
    "T_max": "length",
    "total_iters": "length",
    "min_lr": _LOW,
    "eta_min": _LOW,
    "min_ratio": _RATIO,
    "milestones": "steps boundaries",
    "step_size": "step step_length",
    "num_cycles": "cycles",
    "scheduler": "after_scheduler",
    "schedulers": "after_schedulers",
}


def meant(model: type[BaseModel], name: str) -> str | None:
    """What a model calls the field that another library calls `name`, if it has one."""
    table = next((own for kind, own in _TABLES if issubclass(model, kind)), {})
    known = {field.alias or own for own, field in model.model_fields.items()}
    # Of a scheduler's names only those that this type has.
    found = (ours for ours, theirs in table.items() if name.lower() in theirs.lower().split())
    return next((ours for ours in found if table is not _OF_SCHEDULER or ours in known), None)


_TABLES: list[tuple[type[BaseModel], dict[str, str]]] = [
    (Spec, _OF_SPEC),
    (Warmup, _OF_WARMUP),
    (ParamGroup, _OF_GROUP),
    (Scheduler, _OF_SCHEDULER),
]
