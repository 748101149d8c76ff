"""First LR: what an attempt begins with, and whether it jumps against the last one that was used."""

from preheat.runs.draft import Curves, Draft
from preheat.runs.record import entry

_ROUNDING = 1e-9


def note_first_lr(draft: Draft, curves: Curves) -> None:
    """Adds an event with the first LR of the present attempt, and another one if it jumps.

    It jumps where it differs from the last one by more than the schedules' own steps on either side of it.
    """
    run = draft.run
    attempt = run.attempts[-1]
    k = attempt.start
    new = draft.curve(run.schedule_id, curves)
    names = [column.name for column in new.columns][: len(new.group_names)]
    first, after = (new.lr(min(n, new.total_iterations)) for n in (k, k + 1))
    found = {"attempt": attempt.number, "iteration": k, "lr": dict(zip(names, first, strict=False))}
    last = entry(run, attempt.number, k - 1)
    if last is None or last.certainty == "unknown" or k == 0:
        draft.note("first-lr", **found, last=None)
        return
    old = draft.curve(last.schedule_id, curves)
    used, before = (old.lr(max(min(n, old.total_iterations), 0)) for n in (k - 1, k - 2))
    draft.note("first-lr", **found, last=dict(zip(names, used, strict=False)))
    jumps = {
        name: [used[i], first[i]]
        for i, name in enumerate(names)
        if abs(first[i] - used[i])
        > max(abs(after[i] - first[i]), abs(used[i] - before[i])) * (1 + _ROUNDING) + _ROUNDING * first[i]
    }
    if jumps:
        draft.note("lr-jump", attempt=attempt.number, iteration=k, jumps=jumps)
