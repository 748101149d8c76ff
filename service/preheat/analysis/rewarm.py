"""Rewarm: the spec of a run that warms up again, from the LR of now to a new peak, and decays from there."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any

from preheat.errors import NotComparable
from preheat.specs import ParamGroup, Scheduler, Spec, Warmup, spec_of
from preheat.specs.after_schedulers.sequences import SequentialLR
from preheat.specs.fields import MIN_RATE
from preheat.specs.recipes import with_recipe

_SHAPES = ("linear", "cosine")


def rewarmed(written: Mapping[str, Any], normal: Spec, done: int, lrs: Sequence[float]) -> Spec:
    """The spec that goes on after iteration `done` from `lrs`, one LR per param group.

    With W = warmup.iterations of the new spec, which is `written` by a user and `normal` once normalised: lrs at n =
    done, on the way to the target until n = done + W, where its after_scheduler is at its own s = 0 (as a rule at the
    target), and goes on over what is left until total_iterations, which counts what is done. Until n = done the LR is
    that of now: those iterations are over.

    Raises NotComparable if the new peak is below the LR of now, or a field asks for another warm-up than that.
    """
    content = with_recipe(dict(written)) if "recipe" in written else dict(written)
    names, targets = normal.group_names, normal.target_lrs
    afters = []
    for name, target, lr, (group, own) in zip(names, targets, lrs, _groups(content, normal), strict=True):
        warmup = group.warmup or normal.warmup
        _check(name, warmup, lr, target, done, normal.total_iterations)
        _check_start(group.after_scheduler or normal.after_scheduler)
        afters.append(_after(own.get("after_scheduler") or content.get("after_scheduler"), warmup, done, lr))
    # One for all where it is the same: a scheduler with one LR per group goes with all of them.
    is_shared = all(after == afters[0] for after in afters)
    whole = {
        **content,
        "target_lr": normal.target_lr,
        "total_iterations": normal.total_iterations,
        "warmup": {},
        "after_scheduler": afters[0] if is_shared else None,
        "param_groups": None
        if normal.param_groups is None
        else [
            _with_target(group, own, None if is_shared else after)
            for (group, own), after in zip(_groups(content, normal), afters, strict=True)
        ],
    }
    return spec_of({name: value for name, value in whole.items() if name not in _WRITTEN_OUT and value is not None})


_WRITTEN_OUT = {"recipe", "layer_decay", "batch_scaling"}
"""Fields that are in the targets by now."""


def _groups(content: Mapping[str, Any], normal: Spec) -> Iterator[tuple[ParamGroup, Mapping[str, Any]]]:
    """Every param group, normalised and as it was written; nothing is written of one that layer_decay makes."""
    return zip(normal.param_groups or (ParamGroup(),), content.get("param_groups") or repeat({}), strict=False)


def _with_target(group: ParamGroup, own: Mapping[str, Any], after: dict[str, Any] | None) -> dict[str, Any]:
    kept = {name: value for name, value in own.items() if name not in {"factor", "warmup", "after_scheduler"}}
    stated = {"name": group.name, "target_lr": group.target_lr, "after_scheduler": after}
    return {**kept, **{name: value for name, value in stated.items() if value is not None}}


def _after(after: dict[str, Any] | None, warmup: Warmup, done: int, lr: float) -> dict[str, Any]:
    peak = done + warmup.iterations
    # Before its first point a PiecewiseLR is at that point's LR, after its last one at the target.
    points = [{"at": done, "lr": lr if lr >= MIN_RATE else 0.0}, {"at": peak, "factor": 1.0}]
    rise = {"type": "PiecewiseLR", "points": points, "interpolation": warmup.shape}
    if after is None:
        return rise
    return {"type": "SequentialLR", "schedulers": [rise, _moved(after, warmup)], "milestones": [peak]}


def _moved(value: Any, warmup: Warmup) -> Any:
    """What stands after the warm-up, where it no longer has the warm-up before it."""
    if isinstance(value, list):
        return [_moved(each, warmup) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("type") == "ExpressionLR" and re.search(r"\b[nW]\b", str(value.get("expression"))):
        raise NotComparable(
            "rewarm cannot move an expression in n or W: write it in s and N, which count from its start"
        )
    moved = {name: _moved(each, warmup) for name, each in value.items()}
    if value.get("type") == "InverseSqrtLR" and value.get("timescale") is None:
        moved["timescale"] = warmup.iterations  # its default, as long as a warm-up goes before it
    return moved


def _check(name: str, warmup: Warmup, lr: float, target: float, done: int, total_iterations: int) -> None:
    """Raises NotComparable."""
    if target < lr:
        raise NotComparable(
            f"rewarm goes up to a new peak: target_lr of param group {name} ({target:g}) must not be below the LR of "
            f"now ({lr:g}); choose rescale to go on from there"
        )
    if not 0 < warmup.iterations < total_iterations - done:
        raise NotComparable(
            f"rewarm needs a warm-up that fits: warmup.iterations ({warmup.iterations}) must be > 0 and end before "
            f"total_iterations ({total_iterations}), which counts the {done} iterations that are done"
        )
    # The whole model and not its fields one by one: one that comes later asks for something else, too.
    if warmup.shape not in _SHAPES or warmup != Warmup(iterations=warmup.iterations, shape=warmup.shape):
        raise NotComparable(
            "rewarm starts from the LR of now: beside iterations, a warm-up may have a shape alone "
            f"({', '.join(_SHAPES)})"
        )


def _check_start(after: Scheduler | None) -> None:
    """Raises NotComparable if the scheduler goes on from the LR before it, which is not yet the peak."""
    while isinstance(after, SequentialLR):
        after = after.schedulers[0]
    if after is not None and after.has_no_start:
        raise NotComparable(
            f"rewarm cannot place a {after.type} after a rise: torch's goes on from the LR before the peak; use "
            "ExponentialLR, which is MultiplicativeLR by one factor, or a CosineLR to the LR of an SWALR"
        )
