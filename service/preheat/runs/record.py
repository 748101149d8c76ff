"""Record: which LR each iteration of an attempt had, by the lane that it lies in, and how certain that is."""

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from preheat.runs.run import Attempt, Run

Certainty = Literal["used", "committed", "planned", "unknown"]


@dataclass(frozen=True)
class Entry:
    """Where the LR of one iteration is read: `schedule_id` at `iteration`, its last one past its end.

    `used` is what was run; `committed` what was handed out, and will be used if it is run; `unknown` what may have been
    run before an attempt ended, or was run before this service heard of the job.
    """

    attempt: int
    schedule_id: str
    iteration: int
    certainty: Certainty
    is_overrun: bool


def entry(run: Run, attempt: int, iteration: int) -> Entry | None:
    """The record of an iteration in an attempt; None if there is no such attempt.

    What lies before an attempt's start is its parent's.
    """
    owners = _owners(run, attempt)
    return _entry(run, _owner(owners, iteration), iteration) if owners else None


def entries(run: Run, attempt: int, start: int, stop: int) -> list[tuple[range, Entry]]:
    """The record of iterations start … stop − 1 in an attempt: of each part, in order, the first one's entry.

    Before the first attempt (0) all of them are planned, by the present revision, but for what a fork shares.
    """
    shared = run.origins[-1].iteration + 1 if run.origins else 0
    if attempt == 0 and start < shared:
        before = _entries(run, run.first_attempt, start, min(stop, shared))
        return [*before, *(_entries(run, 0, shared, stop) if shared < stop else [])]
    return _entries(run, attempt, start, stop)


def _entries(run: Run, attempt: int, start: int, stop: int) -> list[tuple[range, Entry]]:
    """The same, of attempt 0 as if nothing were shared."""
    owners, cuts = _owners(run, attempt), {start}
    for lane in owners:
        overruns = (each for overrun in lane.overruns for each in overrun)
        cuts.update({lane.start, lane.position, lane.handed, *overruns})
    places = [*sorted(cut for cut in cuts if start <= cut < stop), stop]
    found: list[tuple[range, Entry]] = []
    for first, last in pairwise(places):
        if owners:
            at = _entry(run, _owner(owners, first), first)
        else:
            at = Entry(0, run.schedule_id, first, "planned", is_overrun=False)
        if found and replace(found[-1][1], iteration=first) == at:
            found[-1] = (range(found[-1][0].start, last), found[-1][1])
        else:
            found.append((range(first, last), at))
    return found


def _owners(run: Run, attempt: int) -> list[Attempt]:
    """The attempts whose LRs an attempt has, from the root on: each up to where the next begins."""
    owners: list[Attempt] = []
    lanes = [lane for lane, _ in line(run, attempt)]
    for lane in lanes:
        if not owners or lane.start < owners[-1].start:
            owners.append(lane)
    # What lies before all of them is the root's.
    return [*lanes[-1:], *reversed(owners)] if owners and owners[-1] is not lanes[-1] else owners[::-1]


def _owner(owners: list[Attempt], iteration: int) -> Attempt:
    return owners[max(bisect_right(owners, iteration, lo=1, key=lambda lane: lane.start) - 1, 0)]


def _entry(run: Run, owner: Attempt, iteration: int) -> Entry:
    is_present = owner.number == run.attempt_number and run.attempt is not None
    schedule_id = run.schedule_id if is_present else owner.schedule_id
    is_overrun = any(start <= iteration < end for start, end in owner.overruns)
    return Entry(owner.number, schedule_id, iteration, _certainty(owner, iteration, is_present), is_overrun)


def _certainty(owner: Attempt, iteration: int, is_present: bool) -> Certainty:
    if iteration < owner.start:
        return "unknown"  # before the first attempt
    if iteration < owner.position:
        return "used"
    if not is_present or (owner.is_closed and iteration < owner.handed):
        return "unknown"
    return "committed" if iteration < owner.handed else "planned"


def line(run: Run, attempt: int) -> list[tuple[Attempt, int | None]]:
    """The attempts from this one to the root, each with the iteration at which it was left; None for this one."""
    found: list[tuple[Attempt, int | None]] = []
    attempts = {each.number: each for each in run.attempts}
    at, stop = attempts.get(attempt), None
    while at is not None:
        found.append((at, stop))
        stop = at.start if stop is None else min(stop, at.start)
        at = None if at.parent is None else attempts.get(at.parent)
    return found
