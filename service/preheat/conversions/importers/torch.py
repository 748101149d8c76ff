"""Import of torch's schedulers: the Python text that makes them, the state_dict that they save, or a configuration."""

from dataclasses import replace
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.importers.torch_arguments import CLASSES, Made, check_class, check_parameter, made, peaks
from preheat.conversions.importers.torch_script import made_by
from preheat.conversions.importers.torch_state import from_state
from preheat.conversions.known import Known
from preheat.conversions.number import number_or_text
from preheat.errors import NotImportable
from preheat.messages import excerpt

_TARGETS = ("_target_", "class_path")


def from_torch(source: Any, known: Known) -> Imported:
    """A spec from Python text such as `CosineAnnealingLR(optimizer, T_max=90)`, a state_dict, or a configuration.

    The text may have several lines and names above; nothing of it is run. A configuration is that of Hydra (`_target_`)
    or of Lightning (`class_path`, `init_args`), of the scheduler alone or with the optimizer beside it. Raises
    NotImportable.
    """
    known.without_warmup("torch's schedulers")
    if isinstance(source, str):
        return _imported(made_by(source), known)
    if not isinstance(source, dict):
        raise NotImportable("source must be Python text with a torch scheduler, or a state_dict, or a configuration")
    return _imported(_configured(source) or from_state(source, known.target_lr), known)


def _imported(found: Made, known: Known) -> Imported:
    """The spec of a scheduler, with a param group for each LR that it or the optimizer has."""
    own, lrs, notes = peaks(found.after), found.lrs, list(found.notes)
    if own and lrs and found.after is not None and set(own) != set(lrs):
        listed = ", ".join(f"{lr:g}" for lr in lrs)
        notes.append(NotCarried("optimizer.lr", f"({listed}) is ignored by {found.kind}, which sets LRs of its own"))
    targets = own or list(lrs)
    spec = known.spec(max(targets) if targets else None, found.length, found.after)
    if found.warmup is not None:
        spec["warmup"] = found.warmup
    groups = len(found.by_group or targets)
    if groups > 1 and known.target_lr is not None and len(set(targets)) > 1:
        notes.append(NotCarried("param_groups", "have LRs of their own: target_lr takes the place of all"))
    if groups > 1:
        each = targets if len(targets) == groups and known.target_lr is None else [spec["target_lr"]] * groups
        if targets and len(targets) not in {1, groups}:
            raise NotImportable(f"{found.kind} has {groups} entries, and the optimizer {len(targets)} param groups")
        spec["param_groups"] = [{"target_lr": lr} for lr in each]
        for group, after in zip(spec["param_groups"], found.by_group or (), strict=False):
            group["after_scheduler"] = after
    return Imported(spec, notes)


def _configured(source: dict[str, Any]) -> Made | None:
    """The scheduler of a configuration; None where there is no class in it."""
    if any(target in source for target in _TARGETS):
        return _made(source, "", ())
    for name in ("lr_scheduler", "scheduler"):
        section = source.get(name)
        if isinstance(section, dict) and any(target in section for target in _TARGETS):
            return _beside(source, name, section)
    return None


def _beside(source: dict[str, Any], name: str, section: dict[str, Any]) -> Made:
    """A scheduler with what stands beside it: the optimizer's LR, and Lightning's epochs as the length of the run."""
    fields = Fields(source)
    fields.take(name)
    options = fields.fields("optimizer")
    for target in _TARGETS:
        options.take(target)
    lr = (options.fields("init_args") if "init_args" in options else options).optional_number("lr")
    found = _made(section, name, () if lr is None else (lr,))
    trainer, notes = fields.fields("trainer"), list(found.notes)
    # Lightning's own default for both is -1, no limit, and it steps the scheduler once an epoch.
    epochs, steps = trainer.limit("max_epochs"), trainer.limit("max_steps")
    if steps is not None:
        notes.append(NotCarried("trainer.max_steps", "counts updates, and Lightning steps the scheduler by epoch"))
    length = found.length if epochs is None else epochs
    return replace(found, length=length, notes=notes + fields.left(HARMLESS["torch"]))


def _made(source: Any, path: str, lrs: tuple[float, ...]) -> Made:
    """The scheduler of an object with a class's name; its arguments stand beside it, or in init_args."""
    fields = Fields(source, path)
    target = fields.text("_target_") or fields.text("class_path")
    kind = target.rpartition(".")[2]
    check_class(kind, excerpt(target or path or "source"))
    if kind not in CLASSES or kind == "LambdaLR":
        raise NotImportable(f"{excerpt(target)} is made of code: import the code that makes it")
    if "class_path" in fields:
        fields.only(("class_path", "init_args"), f"a {kind} with class_path")
    options = fields.take("init_args", {}) if "class_path" in fields else source
    values: dict[str, Any] = {}
    for name, value in Fields(options, fields.path("init_args")).items():
        # Hydra's own names, _target_, _partial_ and _convert_, are no arguments of the class
        if name.startswith("_") or name in {"optimizer", "class_path"}:
            continue
        check_parameter(kind, name)
        where = fields.path(name)
        is_list = name == "schedulers" and isinstance(value, list)
        values[name] = [_made(child, where, ()) for child in value] if is_list else number_or_text(where, value)
    return made(kind, values, lrs)
