"""Lint rules about lengths: of decays, warm-ups, cycles and milestones against the run.

Each rule is a function from a track to findings; a new one is a function and an entry in RULES.
"""

from collections.abc import Callable, Iterator

from preheat.lint.track import Finding, LintedTrack, Severity
from preheat.specs.violations import Location

_FEW, _MANY = 1000, 10_000
"""A duration of at most few iterations in a run of at least many, a hundred times as long, was meant in epochs."""

_BRIEF = 100
"""A warm-up or a tail of at most so many iterations in a run a thousand times as long was meant in epochs."""

_NEARLY_OVER = 0.95
"""Share of a cycle after which a run may end without being cut off."""


def length_mismatch(track: LintedTrack) -> Iterator[Finding]:
    """A length that is not what is left of the run."""
    for part in track.parts:
        named = part.scheduler.named_length()
        if named is None:
            continue
        (*_, field), length = named
        location, left, warmup = (*part.location, field), part.length, track.warmup.iterations
        # Taken off twice, or never: the whole run's clock and the decay's own differ by the warm-up.
        by_warmup = left == track.length and abs(length - left) == warmup > 0
        if part.scheduler.counts_values:
            # total_steps counts values, of which there are left + 1; another length is refused before lint.
            if length == left:
                detail = f"the cycle ends at its iteration {length - 1}, and its last LR is held for one more"
                yield _mismatch("info", location, track, length - 1, detail)
        elif length > left:
            why = " it is one warm-up too long, as if it counted from the start of the run, and" if by_warmup else ""
            detail = f"{field} ({length}) exceeds the {left} iterations that are left:{why} the decay is cut off"
            yield _mismatch("warning", location, track, left, detail)
        elif length < left:
            rises = part.scheduler.rises_past_length
            then = "rises again" if rises else "stays at its end"
            why = f"it is one warm-up ({warmup}) short, and " if by_warmup else ""
            detail = f"{field} ({length}) is less than the {left} iterations that are left: {why}after it the LR {then}"
            # A floor above 0 may be held for as long as a warm-up on purpose: cool-down epochs are.
            is_mistake = rises or (by_warmup and track.reaches_the_end and track.lr(track.last) == 0)
            yield _mismatch("warning" if is_mistake else "info", location, track, length, detail)


def _mismatch(severity: Severity, location: Location, track: LintedTrack, own: int, detail: str) -> Finding:
    remedy = "leave it out: by default it is what is left of the run"
    # A length past the end of the run is shown at its last iteration.
    iteration = min(track.warmup.origin + own, track.total_iterations)
    return track.finding(severity, "length-mismatch", location, iteration, detail, remedy)


def min_lr_above_target(track: LintedTrack) -> Iterator[Finding]:
    """A group's LR rises to a floor that is above it."""
    remedy = "give the end as min_ratio, a factor of every group's own target"
    for part in track.parts:
        for field in ("eta_min", "min_lr"):
            floor = getattr(part.scheduler, field, None)
            for name, target in track.targets:
                if floor is not None and floor > target > 0:
                    detail = f"{field} ({floor:g}) is above the target of param group {name} ({target:g}): its LR rises"
                    location = (*part.location, field)
                    yield track.finding("warning", "min-lr-above-target", location, None, detail, remedy)


def milestone_beyond_end(track: LintedTrack) -> Iterator[Finding]:
    """Something that would begin after the run has ended."""
    remedy = "shorten it, or lengthen the run"
    for part in track.parts:
        late = (named for named in part.scheduler.named_beginnings() if named[1] > part.length)
        # The first alone: whatever comes after it is late too.
        for below, begin in list(late)[:1]:
            detail = f"begins at iteration {begin} of a clock on which the run ends at {part.length}: it never does"
            location = (*part.location, *below)
            yield track.finding("warning", "milestone-beyond-end", location, None, detail, remedy)


def looks_like_epochs(track: LintedTrack) -> Iterator[Finding]:
    """Numbers as small as epochs in a run as long as iterations."""
    total = track.total_iterations
    if total < _MANY:
        return
    for part in track.parts:
        named = [
            named
            for named in part.scheduler.named_epochs(part.length)
            # As long as what it has of a sequence is as long as it should be.
            if _is_few(named[1], total) and named[1] < part.length
        ]
        # 1 is often meant, as where a decay begins one iteration late; the warm-up's own length is reported there.
        named += [
            named
            for named in part.scheduler.named_briefs()
            if named[1] not in {1, track.warmup.iterations} and _is_brief(named[1], total)
        ]
        for below, value in named:
            detail = (
                f"{below[-1]} ({value}) is 1/{total // value} of the run: it reads like epochs, and counts iterations"
            )
            yield _epochs(track, (*part.location, *below), value, detail)
    warmup = track.warmup
    # A warm-up that follows from β2 is as short as it is.
    if warmup.beta2 is None and _is_brief(warmup.iterations, total):
        detail = f"the warm-up ({warmup.iterations}) is 1/{total // warmup.iterations} of the run: it reads like epochs"
        yield _epochs(track, ("warmup", "iterations"), warmup.iterations, detail)
    elif warmup.iterations and warmup.hold > 1 and _is_brief(warmup.hold, total):
        detail = f"hold ({warmup.hold}) is 1/{total // warmup.hold} of the run: it reads like epochs"
        yield _epochs(track, ("warmup", "hold"), warmup.hold, detail)


def _is_few(value: int, total: int) -> bool:
    return 0 < value <= _FEW and total >= 100 * value


def _is_brief(value: int, total: int) -> bool:
    return 0 < value <= _BRIEF and total >= 1000 * value


def _epochs(track: LintedTrack, location: Location, value: int, detail: str) -> Finding:
    remedy = f'write "{value}ep" and give units.iterations_per_epoch'
    return track.finding("warning", "looks-like-epochs", location, value, detail, remedy)


def warmup_over_half(track: LintedTrack) -> Iterator[Finding]:
    """The warm-up takes more than half of the run."""
    length = track.warmup.iterations
    if length * 2 > track.total_iterations and not track.warmup.dampens:
        detail = f"the warm-up ({length}) takes more than half of the {track.total_iterations} iterations"
        remedy = "shorten the warm-up: a few per cent of the run is usual"
        yield track.finding("warning", "warmup-over-half", ("warmup", "iterations"), length, detail, remedy)


def restart_cut_off(track: LintedTrack) -> Iterator[Finding]:
    """The run ends in the middle of a cycle."""
    for part in track.parts:
        # The last iteration is read too: into = length - 1 is the end of a cycle.
        into, length = part.scheduler.cycle_position(part.length) or (0, 0)
        if length and into + 1 < length * _NEARLY_OVER:
            detail = f"the run ends {into} iterations into a cycle of {length:g}, near its peak or on its way down"
            remedy = "let the run end with a cycle: change T_0 or total_iterations"
            iteration = track.total_iterations - into
            yield track.finding("warning", "restart-cut-off", part.location, iteration, detail, remedy)


def never_restarts(track: LintedTrack) -> Iterator[Finding]:
    """A scheduler with cycles has no second one in this run, or not one that is whole."""
    for part in track.parts:
        if part.scheduler.restarts_within(part.length) is False:
            kind = part.scheduler.type
            detail = f"{kind} never restarts: its first cycle is its only one, or lasts as long as the run that is left"
            remedy = "give it shorter or more cycles, or take CosineLR, which has none"
            yield track.finding("warning", "never-restarts", part.location, None, detail, remedy)


RULES: tuple[Callable[[LintedTrack], Iterator[Finding]], ...] = (
    length_mismatch,
    min_lr_above_target,
    milestone_beyond_end,
    looks_like_epochs,
    warmup_over_half,
    restart_cut_off,
    never_restarts,
)
