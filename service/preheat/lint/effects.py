"""Lint rules about values that do nothing: a param group's target, a field, a target LR beside a max_lr.

Each rule is a function from a track to findings; a new one is a function and an entry in RULES.
"""

import math
from collections.abc import Callable, Iterator

from preheat.lint.track import Finding, LintedTrack
from preheat.specs.after_schedulers.torch_cycles import CyclicLR, OneCycleLR
from preheat.specs.after_schedulers.torch_decays import of_group
from preheat.specs.violations import Location

_MOST_NAMED = 4
"""Param groups that a detail names: layers may be hundreds."""


def group_target_ignored(track: LintedTrack) -> Iterator[Finding]:
    """Param groups whose targets differ run at the same LR: those of the scheduler are absolute."""
    if track.after is None or not track.reaches_the_end or track.is_constant:
        return
    by_top: dict[float, dict[float, str]] = {}
    for (name, target), top in zip(track.targets, track.tops, strict=True):
        by_top.setdefault(top, {}).setdefault(target, name)
    for top, names in by_top.items():
        if len(names) > 1 and top > 0:
            targets = ", ".join(f"{name} ({target:g})" for target, name in list(names.items())[:_MOST_NAMED])
            detail = (
                f"param groups with different targets, {targets}, have the same highest LR after the warm-up, {top:g}"
            )
            remedy = "give each group a scheduler of its own, or its LRs as factors of the target where there are some"
            yield track.finding("warning", "group-target-ignored", ("after_scheduler",), None, detail, remedy)


def max_lr_beside_target(track: LintedTrack) -> Iterator[Finding]:
    """A OneCycleLR or CyclicLR has LRs of its own, and target_lr says another."""
    for part in track.parts:
        scheduler = part.scheduler
        if not isinstance(scheduler, OneCycleLR | CyclicLR):
            continue
        for group, (name, target) in enumerate(track.targets):
            own = {of_group(scheduler.max_lr, group)}
            if isinstance(scheduler, CyclicLR):
                own.add(of_group(scheduler.base_lr, group))
            if not any(math.isclose(lr, target) for lr in own):
                detail = (
                    f"{scheduler.type} goes up to max_lr ({of_group(scheduler.max_lr, group):g}), "
                    f"whatever the target of param group {name} ({target:g}) says"
                )
                remedy = "let both say the same LR, one per param group where targets differ"
                location = (*part.location, "max_lr")
                yield track.finding("warning", "max-lr-beside-target", location, None, detail, remedy)
                break  # one finding for the field


def value_without_effect(track: LintedTrack) -> Iterator[Finding]:
    """A field that is given and changes nothing, such as the power of a linear decay."""
    remedy = "leave it out, or choose the shape or the mode that it is for"
    for part in track.parts:
        for below in part.scheduler.idle_fields():
            detail = f"{below[-1]} changes no LR of this {part.scheduler.type}"
            yield track.finding("warning", "value-without-effect", (*part.location, *below), None, detail, remedy)
    warmup = track.warmup
    if warmup.iterations == 0:
        given = {"start_lr": warmup.start_lr, "start_factor": warmup.start_factor, "hold": warmup.hold - 1}
        fields = [name for name, value in given.items() if value] or (["shape"] if warmup.shape != "linear" else [])
        for name in fields:
            detail = f"{name} changes no LR: there is no warm-up, of which it says something"
            location: Location = ("warmup", name)
            give = "give warmup.iterations, or leave it out"
            yield track.finding("info", "value-without-effect", location, None, detail, give)


RULES: tuple[Callable[[LintedTrack], Iterator[Finding]], ...] = (
    group_target_ignored,
    max_lr_beside_target,
    value_without_effect,
)
