"""Promises of live runs, each with a validator that holds a journal against it, and the least that must have happened.

Expected values come from the journal's other side (what ranks wrote against what the service has on record), from the
arithmetic of the rules, and from torch's own ReduceLROnPlateau.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from live_runs.journal import Changed, Controlled, Journal, Lane

ONE_LR = "one LR for an iteration of an attempt"
RECORD = "the record is what was used"
EFFECT = "E is H at least"
ON_DISK = "on disk before it is handed out"
ONCE = "exactly once"
EVENTS = "events without a gap"
REPLAY = "replay bit for bit"
FENCING = "the old attempt gets nothing"
PLATEAU = "a controller is torch's"

_MOST_FINDINGS = 5


def findings(journal: Journal) -> dict[str, list[str]]:
    """What breaks a promise, by the promise's name; the first few of each. Empty if all are kept."""
    found: dict[str, list[str]] = defaultdict(list)
    for promise, text in journal.wrongs:
        found[promise].append(text)
    for promise, validator in PROMISES.items():
        found[promise] += list(validator(journal))
    return {promise: texts[:_MOST_FINDINGS] for promise, texts in found.items() if texts}


def too_little(traffic: Mapping[str, int], least: Mapping[str, int]) -> dict[str, int]:
    """What happened less often than it must have for a check to count, with how often it did."""
    return {kind: traffic.get(kind, 0) for kind, count in least.items() if traffic.get(kind, 0) < count}


def one_lr(journal: Journal) -> Iterator[str]:
    """In one attempt no two ranks use two LRs for one iteration."""
    used: dict[tuple[int, int], dict[float, int]] = defaultdict(dict)
    for each in journal.used:
        used[each.attempt, each.iteration].setdefault(each.lr, each.rank)
    for (attempt, n), lrs in used.items():
        if len(lrs) > 1:
            yield f"attempt {attempt} used at {n}: {', '.join(f'{lr!r} (rank {rank})' for lr, rank in lrs.items())}"


def record_is_what_was_used(journal: Journal) -> Iterator[str]:
    """What is on record as used, or was acknowledged, is what ranks wrote down; and somebody did."""
    used: dict[tuple[int, int], float] = {}
    for each in journal.used:
        if used.setdefault((each.attempt, each.iteration), each.lr) != each.lr:
            continue  # told as another broken promise
        lane, recorded = journal.lane(each.attempt), journal.record(each.attempt, each.iteration)
        if lane is None or recorded is None:
            yield f"attempt {each.attempt}, which used {each.iteration}, is not on record"
        elif each.lr != recorded.lr and (recorded.certainty == "used" or each.iteration < lane.acknowledged):
            yield (
                f"attempt {each.attempt} used {each.lr!r} at {each.iteration}, by revision {each.revision}"
                f"{' in an overrun' if each.is_overrun else ''}, and the record says {recorded.lr!r}, "
                f"{recorded.certainty}, of {lane}"
            )
    for lane in journal.looks[-1] if journal.looks else ():
        unused = [n for n in range(lane.start, lane.position) if (lane.number, n) not in used]
        if unused:
            yield f"attempt {lane.number} did not use {unused[0]} … {unused[-1]}, which the record calls used"
    for event in journal.events:
        if event.kind == "alarm":
            yield f"a rank's own word differs from the record: {dict(event.data)}"


def effect_is_horizon_at_least(journal: Journal) -> Iterator[str]:
    """E ≥ H as its author saw it, and nothing of E or later was handed out without the change in the same attempt."""
    seen = {intent.why: intent.horizon for intent in journal.intents}
    for change in journal.changes:
        first = change.placements[0]
        if first.effect is None:
            continue
        if first.effect < seen.get(change.why, 0):
            yield f"change {change.id} was in force from {first.effect} on, and {seen[change.why]} had been handed out"
        for each in journal.used:
            is_of_it = each.attempt == first.attempt and not each.is_overrun
            if is_of_it and each.revision < first.revision and each.iteration >= first.effect:
                yield (
                    f"change {change.id} is in force from {first.effect} on, and {each.iteration} was handed out "
                    f"without it, by revision {each.revision} before {first.revision}"
                )
                break


def on_disk_before_handed_out(journal: Journal) -> Iterator[str]:
    """Whatever a rank used that was handed to it lies below H on disk, and nothing that was answered is forgotten."""
    yield from journal.lost
    yield from _beyond_horizon(journal, lambda _: True)
    for event in journal.events:
        if event.kind in {"generation-raised", "recovered"}:
            yield f"the service has forgotten what it answered: {event.kind} {dict(event.data)}"


def exactly_once(journal: Journal) -> Iterator[str]:
    """An author's wish is one change at most, the one that every answer named, and no change is nobody's wish."""
    made: dict[str, list[Changed]] = defaultdict(list)
    for change in journal.changes:
        made[change.why].append(change)
    wishes = {intent.why: intent for intent in journal.intents}
    for why, changes in made.items():
        if len(changes) > 1 and why in wishes:
            yield f"{why!r} was meant once, and is {', '.join(each.id for each in changes)}"
        if why not in wishes and changes[0].cause is None:
            yield f"nobody wanted change {changes[0].id}: {why!r}"
    for why, intent in wishes.items():
        if intent.answers - {each.id for each in made[why]}:
            yield f"{why!r} was answered as {', '.join(sorted(intent.answers))}, which is not on record"


def events_without_gap(journal: Journal) -> Iterator[str]:
    """Numbers are 1, 2, 3, …; and what a watcher is told is the same, one after the other, nothing twice."""
    numbers = [each.number for each in journal.events]
    if numbers != list(range(1, len(numbers) + 1)):
        wrong = next(n for n, number in enumerate(numbers, start=1) if number != n)
        yield f"event {wrong} is numbered {numbers[wrong - 1]}"
        return
    for watcher, seen in journal.watched.items():
        expected = journal.events[seen[0].number - 1 :][: len(seen)] if seen else []
        if seen != expected:
            wrong = next((n for n, pair in enumerate(zip(seen, expected, strict=False)) if pair[0] != pair[1]), -1)
            yield f"{watcher} was told {seen[wrong]} as its {wrong}th"


def replay_bit_for_bit(journal: Journal) -> Iterator[str]:
    """At one iteration two lives of the job use the same LR, unless a change was placed at or below it in between."""
    moments = _moments(journal.changes)
    seen: dict[int, dict[int, tuple[float, int]]] = defaultdict(dict)
    for each in journal.used:
        lr, attempt = seen[each.iteration].setdefault(each.revision, (each.lr, each.attempt))
        if lr != each.lr and attempt != each.attempt:
            yield f"{each.iteration} is {lr!r} in attempt {attempt} and {each.lr!r} in {each.attempt}, by one revision"
    for n, by_revision in seen.items():
        revisions = sorted(by_revision)
        for before, after in pairwise(revisions):
            (old, first), (new, second) = by_revision[before], by_revision[after]
            if old != new and not any(before < revision <= after and n >= lowest for revision, lowest in moments):
                yield (
                    f"{n} is {old!r} in attempt {first} and {new!r} in {second}, and no change was placed there "
                    f"from revision {before} to {after}"
                )


def old_attempt_gets_nothing(journal: Journal) -> Iterator[str]:
    """Once there is a newer attempt, one is as it is, has no revision that came later, and nothing past its own H."""
    last: dict[int, Lane] = {}
    newest = 0
    for look in journal.looks:
        for lane in look:
            before = last.get(lane.number)
            if before is not None and lane.number < newest and before != lane:
                yield f"attempt {lane.number} was {before}, and is {lane}, though attempt {newest} is the newest"
            last[lane.number] = lane
        newest = max([newest, *(lane.number for lane in look)])
    yield from _beyond_horizon(journal, lambda attempt: attempt < newest)
    revision, left_at = 1, {}
    for event in journal.events:
        if event.kind == "revision":
            revision = event.data["revision"]
        elif event.kind == "attached":
            left_at.update({n: revision for n in range(event.data["attempt"]) if n not in left_at})
    for each in journal.used:
        if each.revision > left_at.get(each.attempt, math.inf):
            yield f"attempt {each.attempt} used revision {each.revision} at {each.iteration}, made after it was left"


def controller_is_torchs(journal: Journal) -> Iterator[str]:
    """Every reduction on the line to the root is one that torch's class makes of the reports there, each taken once."""
    ways = journal.line()
    stops = {lane.number: stop for lane, stop in ways}
    for controller in journal.controllers:
        fed = [
            (lane.number, n, value)
            for lane, stop in reversed(ways)
            for (attempt, n), value in sorted(controller.reports.items())
            if attempt == lane.number and n >= controller.first and (stop is None or n < stop)
        ]
        reduced, state = _torchs(controller, fed)
        for change in journal.changes:
            if change.cause is None or change.cause[0] not in stops or change.placements[-1].effect is None:
                continue
            stop = stops[change.cause[0]]
            if (stop is None or change.cause[1] < stop) and change.cause not in reduced:
                yield f"torch reduces nothing at {change.cause}, where change {change.id} does"
        if controller.state is not None and controller.state and dict(controller.state) != state:
            yield f"the controller is at {dict(controller.state)}, torch's at {state}"


def _torchs(controller: Controlled, fed: list[tuple[int, int, float]]) -> tuple[set[tuple[int, int]], dict[str, Any]]:
    """Where torch's class reduces, and its state in the end."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    own = {name: value for name, value in controller.parameters.items() if name not in ("param_groups", "min_lr")}
    scheduler = ReduceLROnPlateau(optimizer, **own)
    reduced = set()
    for attempt, n, value in fed:
        optimizer.param_groups[0]["lr"] = 1.0
        scheduler.step(value)
        if optimizer.param_groups[0]["lr"] != 1.0:
            reduced.add((attempt, n))
    state = scheduler.state_dict()
    best = state["best"] if math.isfinite(state["best"]) else repr(state["best"])
    return reduced, {
        "best": best,
        "cooldown_counter": state["cooldown_counter"],
        "num_bad_epochs": state["num_bad_epochs"],
        "last_epoch": state["last_epoch"],
    }


def _beyond_horizon(journal: Journal, is_meant: Callable[[int], bool]) -> Iterator[str]:
    """Lines of iterations that were handed out, by the rank's word, and are past the end of what was, by the record."""
    for each in journal.used:
        lane = journal.lane(each.attempt)
        if lane is not None and not each.is_overrun and is_meant(each.attempt) and each.iteration >= lane.handed:
            yield f"rank {each.rank} was handed {each.iteration} in attempt {each.attempt}, and H is {lane.handed}"


def _moments(changes: list[Changed]) -> list[tuple[int, int]]:
    """Every placement as its revision and the lowest iteration that it touches."""
    found = []
    for change in changes:
        before: int | None = None
        for place in change.placements:
            touched = [effect for effect in (before, place.effect) if effect is not None]
            if touched:
                found.append((place.revision, min(touched)))
            before = place.effect
    return found


PROMISES: dict[str, Callable[[Journal], Iterator[str]]] = {
    ONE_LR: one_lr,
    RECORD: record_is_what_was_used,
    EFFECT: effect_is_horizon_at_least,
    ON_DISK: on_disk_before_handed_out,
    ONCE: exactly_once,
    EVENTS: events_without_gap,
    REPLAY: replay_bit_for_bit,
    FENCING: old_attempt_gets_nothing,
    PLATEAU: controller_is_torchs,
}
"""Every promise by its name."""
