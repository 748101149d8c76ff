"""Guess: which library a source is of, by the names that only that library has."""

from typing import Any

from preheat.conversions import Source
from preheat.errors import NotImportable


def guessed(source: Any) -> Source:
    """The library of a source. Raises NotImportable, with the candidates, where none or several may be meant."""
    if isinstance(source, str):
        # Every other form has become values by now: a text is Python, which only these two libraries take.
        return "mmengine" if "param_scheduler" in source else "torch"
    found = _with_marks(OWN, source)
    found = [library for library in found if not any(_EXTENDS.get(other) == library for other in found)]
    if not found:
        found = _with_marks(_SHARED, source)
    if len(found) == 1:
        return found[0]
    if found:
        raise NotImportable(f"library is required: the source may be one of {', '.join(found)}")
    raise NotImportable(f"library is required: the source has no mark of one (known: {', '.join(OWN)})")


def libraries_with(name: str) -> list[Source]:
    """The libraries whose own or shared names have this one."""
    tables = (OWN, _SHARED)
    return [library for library in OWN if any(name in table.get(library, "").split() for table in tables)]


def _with_marks(names: dict[Source, str], source: Any) -> list[Source]:
    """The libraries of which a source has one of the names."""
    return [library for library, marks in names.items() if any(_has(source, mark) for mark in marks.split())]


def _has(source: Any, mark: str) -> bool:
    """Whether an object has a field by its path; * stands for any section."""
    name, _, rest = mark.partition(".")
    if not isinstance(source, dict):
        return False
    if name == "*":
        return any(_has(section, rest) for section in source.values())
    return _has(source.get(name), rest) if rest else source.get(name) is not None


OWN: dict[Source, str] = {
    "torch": "_target_ class_path base_lrs _schedulers lr_scheduler._target_ lr_scheduler.class_path"
    " scheduler._target_ scheduler.class_path",
    "transformers": "lr_scheduler_type per_device_train_batch_size log_history",
    "timm": "sched warmup_lr lr_base decay_epochs sched_on_updates lr_cycle_limit lr_k_decay",
    "deepspeed": "scheduler.params zero_optimization train_micro_batch_size_per_gpu",
    "keras": "class_name config.initial_learning_rate",
    "axolotl": "base_model cosine_min_lr_ratio sample_packing lr_quadratic_warmup sequence_len",
    "llama-factory": "finetuning_type cutoff_len template",
    # its --config_file may group the same names into sections of any name
    "kohya": "lr_scheduler_num_cycles lr_scheduler_power lr_scheduler_min_lr_ratio lr_scheduler_args lr_decay_steps"
    " max_train_epochs network_module *.max_train_epochs *.network_module *.lr_scheduler_num_cycles",
    "diffusers": "lr_num_cycles lr_power",
    "torchtitan": "lr_scheduler.decay_ratio lr_scheduler.decay_type lr_scheduler.min_lr_factor"
    " training.steps training.local_batch_size job.dump_folder",
    "megatron": "lr_decay_style lr_warmup_fraction lr_decay_iters lr_warmup_iters lr_decay_samples train_iters",
    "detectron2": "SOLVER _BASE_",
    # lr_config is that of MMCV 1: the importer refuses it, and says how to write it
    "mmengine": "param_scheduler optim_wrapper lr_config",
    "nanotron": "optimizer.learning_rate_scheduler",
    "nemo": "model.optim optim.sched",
    "fairseq": "lr_scheduler._name optimization.max_update",
}
"""Names that only this library has, by their paths."""

_EXTENDS: dict[Source, Source] = {"llama-factory": "transformers"}
"""Libraries that have the names of another besides their own."""

_SHARED: dict[Source, str] = {
    "transformers": "num_train_epochs max_steps warmup_steps warmup_ratio",
    "timm": "epochs warmup_epochs",
    "axolotl": "lr_scheduler num_epochs warmup_steps warmup_ratio",
    "kohya": "lr_scheduler lr_warmup_steps max_train_steps",
    "diffusers": "lr_scheduler lr_warmup_steps max_train_steps num_train_epochs",
}
"""Names that several libraries have: where a source has nothing else, it is of the one that has them alone."""
