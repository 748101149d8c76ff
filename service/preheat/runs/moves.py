"""Moves: which phase an extend moves, and by how much, or from where on it holds: kept once it has begun."""

from collections.abc import Mapping
from typing import Any

from preheat.runs.draft import Draft
from preheat.runs.run import Change
from preheat.specs import Spec
from preheat.specs.amending import lengths
from preheat.specs.amendments import ExtendAmendment

FIELDS = ("moved_from", "moved_by", "held_from")
"""Fields of an amendment that say a move."""

Move = tuple[int, int]
"""The last iteration before what is moved, and by how many iterations it is; 0 where it is held until the start."""


def fields_of(move: Move) -> dict[str, int]:
    """What an amendment says of a move."""
    last, by = move
    return {"moved_from": last, "moved_by": by} if by else {"held_from": last}


def move_of(amendment: Mapping[str, Any]) -> Move | None:
    """The move that the amendment of a revision says."""
    if "held_from" in amendment:
        return amendment["held_from"], 0
    return (amendment["moved_from"], amendment["moved_by"]) if "moved_by" in amendment else None


def without_move(amendment: Mapping[str, Any]) -> dict[str, Any]:
    """An amendment without what it says of a move."""
    return {name: value for name, value in amendment.items() if name not in FIELDS}


def until(move: Move | None, end: int) -> Move | None:
    """What matters of a move below an iteration: by so much at most that it is seen there."""
    if move is None or move[0] + 1 >= end:
        return None
    return move[0], min(move[1], end - move[0] - 1)


def are_alike(one: Move | None, other: Move | None, end: int) -> bool:
    """Whether two moves give the same iterations below `end`."""
    return until(one, end) == until(other, end)


def keep_moves(draft: Draft, changes: list[Change], spec: Spec) -> bool:
    """Keeps with every extend that moves the last phase what it moves; those that cannot any more are `missed`.

    `changes` are the owners of the last amendments of `spec`, in which those that have not begun are computed anew.
    What was handed out stays: of one that has begun what it moves is kept, and by how much once this is seen.
    Returns whether all could.
    """
    amendments = spec.amendments or ()
    first = len(amendments) - len(changes)
    rows = zip(changes, amendments[first:], lengths(spec)[first:], strict=False)
    seen, can_all = set[str](), True
    for change, amendment, before in rows:
        if not isinstance(amendment, ExtendAmendment) or change.id in seen:
            continue
        seen.add(change.id)
        if amendment.policy == "keep":
            _keep_held(draft, change, before)
        else:
            can_all &= _keep_move(draft, change, amendment, before)
    return can_all


def _keep_held(draft: Draft, change: Change, before: int) -> None:
    """Keeps with an extend that keeps from where on the iterations until it begins were held: at the end until then.

    What was handed out below the present end has its own values, though another change has gone that led there.
    """
    horizon, kept = draft.run.horizon, change.placement.moved
    if kept is not None and kept[0] + 1 < horizon:
        return
    last = max(before, min(horizon - 1, draft.run.total_iterations))
    held = (last, 0) if last != before or last + 1 < (change.effect or 0) else None
    if held != kept:
        draft.keep(change, moved=held)


def _keep_move(draft: Draft, change: Change, amendment: ExtendAmendment, before: int) -> bool:
    horizon, effect, kept = draft.run.horizon, change.effect or 0, change.placement.moved
    move = (amendment.moved_from or 0, amendment.total_iterations - before)
    if effect >= horizon and move[0] + 1 < effect:
        draft.place(change, None, "missed", why=f"what it would move begins with iteration {move[0] + 1} already")
        return False
    if effect < horizon and kept is not None:
        if move[1] < 1 and horizon <= kept[0] + 1:
            draft.place(change, None, "missed", why=f"the run has {before} iterations without it")
            return False
        if move[1] < 1 or not are_alike(kept, move, horizon):
            return True
    if move != kept:
        draft.keep(change, moved=move)
    return True
