"""Import of torch's schedulers: the Python text that makes them, the state_dict that they save, or a configuration."""

from dataclasses import replace
from typing import Any

from preheat.conversions.forms import read_text
from preheat.conversions.guess import has_mark
from preheat.conversions.importers.torch_arguments import CLASSES, Made, check_class, check_parameter, made, peaks
from preheat.conversions.importers.torch_script import Script
from preheat.conversions.importers.torch_state import from_state
from preheat.conversions.source import Fields, Imported, Known, NotCarried, shown
from preheat.errors import NotImportable

_TARGETS = ("_target_", "class_path")


def from_torch(source: Any, known: Known) -> Imported:
    """A spec from Python text such as `CosineAnnealingLR(optimizer, T_max=90)`, a state_dict, or a configuration.

    The text may have several lines and names above; nothing of it is run. A configuration is that of Hydra (`_target_`)
    or of Lightning (`class_path`, `init_args`), of the scheduler alone or with the optimizer beside it. Raises
    NotImportable.
    """
    values = read_text(source) if isinstance(source, str) else source
    # A state_dict or a configuration may come as text too, and has a name that only torch's have.
    if isinstance(source, str) and not has_mark(values, "torch"):
        script = Script(source)
        return _imported(script.schedule, script.lrs, known, script.not_carried)
    if not isinstance(values, dict):
        raise NotImportable("source must be Python text with a torch scheduler, or a state_dict, or a configuration")
    found = _configured(values)
    if found is not None:
        return _imported(found, found.lrs, known, found.notes)
    state, notes = from_state(values, known.target_lr)
    return _imported(state, state.lrs, known, notes)


def _imported(found: Made, lrs: tuple[float, ...], known: Known, notes: list[NotCarried]) -> Imported:
    """The spec of a scheduler, with a param group for each LR that it or the optimizer has."""
    own = peaks(found.after)
    notes = list(notes)
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
    fields = Fields(source)
    lrs = _optimizer_lr(fields)
    for name in ("lr_scheduler", "scheduler"):
        section = source.get(name)
        if isinstance(section, dict) and any(target in section for target in _TARGETS):
            fields.take(name)
            found = _made(section, name, lrs)
            unread = [NotCarried(shown(other), "is no part of the scheduler") for other in fields.unread]
            return replace(found, notes=found.notes + unread)
    return _made(source, "", lrs) if any(target in source for target in _TARGETS) else None


def _optimizer_lr(fields: Fields) -> tuple[float, ...]:
    section = fields.take("optimizer")
    if not isinstance(section, dict):
        return ()
    options = section.get("init_args", section)
    lr = Fields(options, "optimizer").optional_number("lr") if isinstance(options, dict) else None
    return () if lr is None else (lr,)


def _made(source: Any, path: str, lrs: tuple[float, ...]) -> Made:
    """The scheduler of an object with a class's name; its arguments stand beside it, or in init_args."""
    fields = Fields(source, path)
    target = fields.text("_target_") or fields.text("class_path")
    kind = target.rpartition(".")[2]
    check_class(kind, shown(target or path or "source"))
    if kind not in CLASSES or kind == "LambdaLR":
        raise NotImportable(f"{shown(target)} is made of code: import the code that makes it")
    options = fields.take("init_args", {}) if "class_path" in fields else source
    values: dict[str, Any] = {}
    for name, value in Fields(options, fields.path("init_args")).items():
        # Hydra's own names, _target_, _partial_ and _convert_, are no arguments of the class
        if name.startswith("_") or name in {"optimizer", "class_path"}:
            continue
        check_parameter(kind, name)
        is_list = name == "schedulers" and isinstance(value, list)
        values[name] = [_made(child, fields.path(name), ()) for child in value] if is_list else _number(value)
    return made(kind, values, lrs)


def _number(value: Any) -> Any:
    """The number that a text stands for, if it is one."""
    try:
        # YAML 1.1 takes 1e-3, which has no point, for a text.
        return float(value) if isinstance(value, str) and len(value) < 40 else value  # noqa: PLR2004 - digits
    except ValueError:
        return value
