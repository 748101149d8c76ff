"""Lint rules about LRs: the first and the last, the peak, jumps, and LRs that are too small or stay where they are.

Each rule is a function from a track to findings; a new one is a function and an entry in RULES.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

from preheat.lint.track import Finding, LintedTrack
from preheat.specs import parse_spec
from preheat.specs.after_schedulers.torch_decays import SWALR, ConstantLR
from preheat.specs.recipes import recipes

_JUMP = 0.1
"""Share of the target that counts as a jump, if the LR changes by less than a third of that next to it."""

_RESOLUTION = 1e-9
"""Below this an update of a float32 weight of 0.01 rounds to nothing."""

_MOST_AT_ZERO = 0.05
"""Share of the run that may be at LR 0: such updates are wasted, and a twentieth is more than rounding leaves."""

_MOST_AT_FLOOR = 1 / 3
"""Share of the run that may be at a decay's end LR: of the recipes GPT-3's is the longest, with 13%."""

_NEARLY = 0.95
"""Share of the target that is a peak: where warm-up and decay overlap, as in BERT, some of it is lost on purpose."""

# A difference in the last bits is no rise.
_EQUAL = 1 + 1e-9
_SCHEDULER = ("after_scheduler",)


def first_update_at_zero(track: LintedTrack) -> Iterator[Finding]:
    """Update 1 at LR 0 changes nothing; at iteration 0 that is so for loops that count from 0."""
    name = "first-update-at-zero"
    if track.target == 0 or track.last < 1 or track.first > 1:
        return
    if track.lr(1) == 0:
        detail = "the first update runs at LR 0 and changes nothing but the optimizer's moments"
        remedy = 'start the warm-up above 0 with start_lr, or with convention "(n+1)/W"'
        yield track.finding("warning", name, ("warmup",), 1, detail, remedy)
    elif track.lr(0) == 0:
        detail = "a loop that counts its updates from 0 runs the first one at LR 0"
        remedy = 'count updates from 1, as the clients do, or use convention "(n+1)/W"'
        yield track.finding("info", name, ("warmup",), 0, detail, remedy)


def jump_at_boundary(track: LintedTrack) -> Iterator[Finding]:
    """Where one phase hands over to the next the LR leaps."""
    for before, phase in pairwise(track.phases):
        n = phase.start
        # There must be a step on either side, and what a run has behind it is no news.
        if n + 1 > track.last or n < max(2, track.first):
            continue
        # A steep fall is no jump: the steps before and after it tell.
        steps = [track.lr(i + 1) - track.lr(i) for i in (n - 2, n - 1, n)]
        beside = max(abs(steps[0]), abs(steps[2]))
        if abs(steps[1]) > max(_JUMP * track.target, 3 * beside):
            detail = f"from {before.name} to {phase.name} the LR jumps from {track.lr(n - 1):g} to {track.lr(n):g}"
            remedy = "let the second phase begin where the first ends: a PhasesLR does so, and decay_clock after_warmup"
            yield track.finding("warning", "jump-at-boundary", _SCHEDULER, n, detail, remedy)


def peak_never_reached(track: LintedTrack) -> Iterator[Finding]:
    """The highest LR of the run stays more than a twentieth below the target."""
    # Schedulers with LRs of their own (CyclicLR, OneCycleLR, tables) take no notice of the target.
    if not track.reaches_the_end or not track.every_part("peaks_at_target"):
        return
    for (name, target), peak in zip(track.targets, track.peaks, strict=True):
        if peak < target * _NEARLY:
            detail = f"the LR of param group {name} never exceeds {peak:g}, below its target of {target:g}"
            remedy = "let the decay begin after the warm-up (decay_clock after_warmup), or lower the target"
            yield track.finding("warning", "peak-never-reached", ("warmup",), None, detail, remedy)


def rising_at_end(track: LintedTrack) -> Iterator[Finding]:
    """The last iteration has a higher LR than the one before."""
    last = track.last
    if not track.reaches_the_end or last - 1 <= track.warmup.last:
        return
    if any(part.scheduler.may_rise for part in track.parts):
        return
    before, end = track.lr(last - 1), track.lr(last)
    if end > before * _EQUAL:
        detail = f"the LR rises at the end of the run, from {before:g} to {end:g}"
        remedy = "end the decay with the run: leave T_max out, or use CosineLR, which holds its end"
        yield track.finding("warning", "rising-at-end", _SCHEDULER, last, detail, remedy)


def last_update_at_zero(track: LintedTrack) -> Iterator[Finding]:
    """The last update has no effect."""
    if track.reaches_the_end and track.target > 0 and track.lr(track.last) == 0:
        detail = "the last update runs at LR 0 and changes nothing"
        remedy = "give the decay an end LR, or a run that is one iteration shorter"
        yield track.finding("info", "last-update-at-zero", _SCHEDULER, track.last, detail, remedy)


def stays_at_zero(track: LintedTrack) -> Iterator[Finding]:
    """The LR is 0 for more than a twentieth of the run, at its end."""
    if not track.reaches_the_end or track.target == 0 or track.lr(track.last) > 0:
        return
    if track.tail_share > _MOST_AT_ZERO:
        begin = max(track.tail, track.first)
        detail = f"the LR is 0 from iteration {begin} to the end: {track.tail_share:.0%} of the updates change nothing"
        remedy = "let the decay end with the run (leave its length out), give it an end LR, or shorten the run"
        yield track.finding("warning", "stays-at-zero", _SCHEDULER, begin, detail, remedy)


def stays_at_floor(track: LintedTrack) -> Iterator[Finding]:
    """A decay is over, and the LR stays at its end for more than a third of the run."""
    # An SWALR holds its LR for averaging, however long; what an amendment holds is meant, too: a plateau's reduction to
    # its least LR is no decay that ends too soon.
    if not track.reaches_the_end or any(isinstance(part.scheduler, SWALR) for part in track.parts):
        return
    begin, end = track.tail, track.lr(track.last)
    if track.tail_share <= _MOST_AT_FLOOR or not 0 < end < track.target or begin - 2 < max(track.warmup.last, 0):
        return
    # Before the last of a stair's steps the LR stays, too; a decay comes down to its end.
    if track.lr(begin - 2) > track.lr(begin - 1) > end and not track.is_tail_amended:
        share = f"{track.tail_share:.0%} of the run"
        detail = f"the decay is over at iteration {begin}, and the LR stays at {end:g} to the end: {share}"
        remedy = "let the decay end with the run: leave its length out"
        yield track.finding("warning", "stays-at-floor", _SCHEDULER, begin, detail, remedy)


def under_resolution(track: LintedTrack) -> Iterator[Finding]:
    """For more than a hundredth of the run updates round to nothing."""
    # 0 is left out: an LR of 0 is meant, and has rules of its own.
    tiny = [n for n, lr in track.samples if 0 < lr < _RESOLUTION]
    if len(tiny) * 100 > len(track.samples):
        detail = f"the LR is below {_RESOLUTION:g}: an update of a float32 weight of 0.01 rounds to nothing"
        remedy = "give the decay an end LR, or end the run earlier"
        yield track.finding("warning", "under-resolution", _SCHEDULER, tiny[0], detail, remedy)


def decay_never_starts(track: LintedTrack) -> Iterator[Finding]:
    """There is a scheduler, and yet the LR stays at its first value to the end."""
    after = track.after
    if after is None or (isinstance(after, ConstantLR) and after.factor == 1) or not track.reaches_the_end:
        return
    if track.is_constant and track.lr(track.last) == track.target and track.target > 0 and track.length > 0:
        detail = f"after the warm-up the LR is {track.target:g} to the end: {after.type} changes nothing in this run"
        remedy = "shorten step_size, milestones or lengths, or leave after_scheduler out"
        yield track.finding("warning", "decay-never-starts", _SCHEDULER, None, detail, remedy)


def unusual_peak(track: LintedTrack) -> Iterator[Finding]:
    """The target is ten times above or below what any recipe uses."""
    low, high = _usual_peaks()
    for name, target in track.targets:
        if target > 0 and not low <= target <= high and track.every_part("peaks_at_target"):
            usual = f"{low:g} … {high:g}"
            detail = f"the target of param group {name} ({target:g}) is far outside what recipes use ({usual})"
            yield track.finding("warning", "unusual-peak", ("target_lr",), None, detail, "check the exponent")


@cache
def _usual_peaks() -> tuple[float, float]:
    """A tenth of the lowest target of all recipes, and ten times the highest; without those that are multipliers."""
    targets = [parse_spec(json.dumps({"recipe": name})).target_lr for name in recipes()]
    # A target of 1 is a multiplier of a NoamLR or of a table, not an LR.
    known = [target for target in targets if target != 1]
    return min(known) / 10, max(known) * 10


RULES: tuple[Callable[[LintedTrack], Iterator[Finding]], ...] = (
    first_update_at_zero,
    jump_at_boundary,
    peak_never_reached,
    rising_at_end,
    last_update_at_zero,
    stays_at_zero,
    stays_at_floor,
    under_resolution,
    decay_never_starts,
    unusual_peak,
)
