"""States of torch's schedulers: read from a checkpoint of torch.save, and turned into a scheduler of a spec.

A state is what `state_dict()` gave, at whatever iteration the run was.
"""

import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from preheat.conversions.fields import Fields
from preheat.conversions.forms import plain
from preheat.conversions.imported import NotCarried
from preheat.conversions.importers.torch_arguments import Made, length_of
from preheat.conversions.number import number_or_text
from preheat.errors import NotImportable
from preheat.messages import excerpt
from preheat.specs.after_schedulers import SCHEDULER_TYPES

_POSITION = "is where the run is, or how torch computes it, not what the schedule is"
_CLOSE = 1e-6
_MAX_BYTES = 50_000_000


def from_state(source: dict[str, Any], target_lr: float | None) -> Made:
    """A scheduler from its state, with a note on each field that is only of the run. Raises NotImportable."""
    state = Fields(source)
    if "_schedulers" in state:
        return _several(state, target_lr)
    kind = next((kind for kind, names in _STATES.items() if names <= set(source)), None)
    if kind is None and ("lr_lambdas" in state or "lr_lambda" in state):
        raise NotImportable(
            "the state is of a LambdaLR, which does not save its lambdas: import the code that makes it"
        )
    if kind is None:
        raise NotImportable(
            "source makes no scheduler: it has none of the fields that tell a scheduler "
            f"({excerpt(', '.join(sorted(source)))})"
        )
    # The groups' initial LRs, not those at the iteration that was saved.
    lrs = tuple(state.numbers("base_lrs"))
    if kind == "OneCycleLR":
        after, lrs = _one_cycle(state, target_lr)
        return Made(kind, after, length=length_of(after), lrs=lrs, notes=_position(state))
    own = {"type": kind} | (_OWN[kind](state) if kind in _OWN else {})
    names = [name for name in SCHEDULER_TYPES[kind].model_fields if name in state and name not in own]
    after = {name: _value(state, name) for name in names} | own
    return Made(kind, after, length=length_of(after), lrs=lrs, notes=_position(state))


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one of torch.save's, which are ZIP archives."""
    return path.is_file() and zipfile.is_zipfile(path)


def read_checkpoint(path: Path) -> Any:
    """The state in a scheduler.pt, or in the checkpoint of a trainer that keeps it beside others.

    No code in it is run: torch loads weights only. Raises NotImportable.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise NotImportable(f"SOURCE must have at most {_MAX_BYTES} bytes: save the scheduler's state_dict alone")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise NotImportable(f"SOURCE is no checkpoint that torch loads without running code: {error!s:.200}") from None
    # Lightning has a list under lr_schedulers; others have one state under either of the other names.
    for name in ("lr_schedulers", "lr_scheduler", "scheduler"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return plain(content[0] if isinstance(content, list) and content else content)


def _value(state: Fields, name: str) -> Any:
    """A value of a state; numbers may be text there."""
    value = state.take(name)
    is_text = name in {"mode", "anneal_strategy", "_anneal_func_type"}
    return value if is_text or isinstance(value, list | dict) else number_or_text(name, value)


def _position(state: Fields) -> list[NotCarried]:
    return [NotCarried(excerpt(name), _POSITION) for name in state.unread]


def _several(state: Fields, target_lr: float | None) -> Made:
    """A SequentialLR has milestones, a ChainedScheduler has none."""
    states = state.take("_schedulers")
    if not isinstance(states, list) or not states or not all(isinstance(each, dict) for each in states):
        raise NotImportable("_schedulers must be a list of the states of one scheduler or more")
    children = [from_state(each, target_lr) for each in states]
    after: dict[str, Any] = {"type": "ChainedScheduler", "schedulers": [child.alone for child in children]}
    if "_milestones" in state:
        after |= {"type": "SequentialLR", "milestones": state.counts("_milestones")}
    lrs = children[0].lrs
    return Made(str(after["type"]), after, length=length_of(after), lrs=lrs, notes=_position(state))


def _milestones(state: Fields) -> dict[str, Any]:
    """Milestones of a state are a Counter: in JSON an object of texts, with how often each is there."""
    counter = state.take("milestones")
    if not isinstance(counter, dict):
        return {"milestones": state.counts("milestones")}
    times = Fields(counter, "milestones")
    try:
        # a milestone that is there very often is as invalid as one that is there twice
        found = sorted(int(name) for name in counter for _ in range(min(times.count(name), 2)))
    except ValueError:
        raise NotImportable(f"milestones ({excerpt(repr(counter))}) must be counted by iteration") from None
    return {"milestones": found}


def _cycle(state: Fields) -> dict[str, Any]:
    """The arguments of a CyclicLR, which saves what it has made of them."""
    # total_size is step_size_up + step_size_down, and step_ratio the share of the first.
    size, ratio = state.number("total_size"), state.number("step_ratio")
    if not 0 <= ratio <= 1:
        raise NotImportable(f"step_ratio ({ratio:g}) must be between 0 and 1")
    total, up = round(size), round(size * ratio)
    return {
        "base_lr": _one(state.numbers("base_lrs")),
        "max_lr": _one(state.numbers("max_lrs")),
        "step_size_up": up,
        "step_size_down": total - up,
        "base_momentum": _one(state.numbers("base_momentums", [0.8])),
        "max_momentum": _one(state.numbers("max_momentums", [0.9])),
    }


def _one_cycle(state: Fields, target_lr: float | None) -> tuple[dict[str, Any], tuple[float, ...]]:
    """The arguments of a OneCycleLR, whose peak torch keeps in the optimizer's param groups and not in the state.

    It is the target LR, or 25 times the first LR, as torch's default has it; the last LR that the state has must be the
    one that this gives, unless it is the first.
    """
    total, phases = state.count("total_steps"), state.each("_schedule_phases")
    ends = [phase.number("end_step") for phase in phases]
    firsts, last, at = state.numbers("base_lrs"), state.numbers("_last_lr"), state.count("last_epoch", 0)
    if len(ends) not in {2, 3} or not total or not firsts or len(firsts) != len(last) or min(firsts) <= 0:
        raise NotImportable("_schedule_phases, total_steps, base_lrs and _last_lr must be those of a OneCycleLR")
    if len(set(firsts)) > 1 and target_lr is not None:
        raise NotImportable("the state has several param groups: its peaks cannot all be target_lr")
    shape = state.choice("_anneal_func_type", ("cos", "linear"), "cos")
    peaks = [target_lr if target_lr is not None else first * 25.0 for first in firsts]
    expected = [_anneal(shape, ends, first, peak, at) for first, peak in zip(firsts, peaks, strict=True)]
    is_told = target_lr is not None or at > 0
    if not is_told or any(not math.isclose(a, b, rel_tol=_CLOSE) for a, b in zip(expected, last, strict=True)):
        raise NotImportable(
            "target_lr is required: a OneCycleLR's state has no max_lr, and its _last_lr is not that of torch's "
            "default div_factor and final_div_factor"
        )
    after = {
        "type": "OneCycleLR",
        "max_lr": _one(peaks),
        "total_steps": total,
        # torch ends its first phase at pct_start · total_steps - 1
        "pct_start": (ends[0] + 1) / total,
        "anneal_strategy": shape,
        "div_factor": peaks[0] / firsts[0],
        "three_phase": len(ends) == 3,  # noqa: PLR2004 - phases
    }
    return after | {"cycle_momentum": state.flag("cycle_momentum")}, tuple(peaks)


def _anneal(shape: str, ends: list[float], first: float, peak: float, step: int) -> float:
    """The LR of a OneCycleLR at a step, with torch's default final_div_factor."""
    # With three_phase the LR returns to its first value before it falls to the last.
    lows = [peak, first, first / 1e4] if len(ends) == 3 else [peak, first / 1e4]  # noqa: PLR2004 - phases
    begin, low = 0.0, first
    for end, high in zip(ends, lows, strict=True):
        if step <= end or end == ends[-1]:
            share = min((step - begin) / (end - begin), 1.0) if end > begin else 1.0
            rise = (1 - math.cos(math.pi * share)) / 2 if shape == "cos" else share
            return low + (high - low) * rise
        begin, low = end, high
    return low


_OWN: dict[str, Callable[[Fields], dict[str, Any]]] = {"MultiStepLR": _milestones, "CyclicLR": _cycle}

_STATES: dict[str, set[str]] = {
    "OneCycleLR": {"_schedule_phases", "total_steps"},
    "CosineAnnealingWarmRestarts": {"T_0", "T_mult", "eta_min"},
    "CosineAnnealingLR": {"T_max", "eta_min"},
    "StepLR": {"step_size", "gamma"},
    "MultiStepLR": {"milestones", "gamma", "base_lrs"},
    "LinearLR": {"start_factor", "end_factor", "total_iters"},
    "ConstantLR": {"factor", "total_iters"},
    "PolynomialLR": {"total_iters", "power"},
    "CyclicLR": {"total_size", "step_ratio", "max_lrs", "mode", "gamma"},
    "ExponentialLR": {"gamma", "base_lrs"},
}
"""Fields that tell which scheduler a state is of; where several fit, the first."""


def _one(values: list[float]) -> float | list[float]:
    """The value that all param groups have, or one for each."""
    return values[0] if len(set(values)) == 1 else values
