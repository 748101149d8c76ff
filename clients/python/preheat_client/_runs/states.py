"""States of runs: what is saved of one and loaded again, and what is said to the service of what was used."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from preheat_client._runs.speaker import Part
from preheat_client.errors import ScheduleMismatch


def state_of(part: Part | None, run: str, iteration: int) -> dict[str, Any]:
    """What a checkpoint needs to know of a run, whose next iteration to run is `iteration`; never an LR.

    `part` is what was told last, None if nothing was.
    """
    if part is None:
        return {"run": run, "iteration": iteration, "attempt": None}
    return {
        "run": run,
        "attempt": part.attempt,
        "revision": part.revision,
        "iteration": iteration,
        "acknowledged": part.acknowledged,
        "overrun": None if part.overrun is None else asdict(part.overrun),
    }


def check_run(state: Mapping[str, Any], run: str, origins: Sequence[str]) -> None:
    """Raises ScheduleMismatch, with both values, for a state that is not of this run or of one that it is a fork of."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state ({state!r:.40}) must be a dict, as state_dict() returns it")
    if "run" not in state:
        what = f"schedule {state['schedule_id']}" if "schedule_id" in state else "another scheduler"
        raise ScheduleMismatch(
            f"the state is that of {what}, this is run {run}: to go on in the run, construct RemoteLR with "
            f"first_iteration={state.get('iteration', '<updates performed> + 1')} and load nothing"
        )
    if state["run"] not in (run, *origins):
        raise ScheduleMismatch(
            f"the state belongs to run {state['run']}, this is run {run}: load the state of this run, or of one that "
            "it is a fork of"
        )


def checkpoint_of(state: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an attach says of the checkpoint that the loop was resumed from; None if nothing was used before it."""
    if state.get("attempt") is None:
        return None
    names = ("run", "attempt", "revision", "acknowledged", "overrun")
    return {**{name: state[name] for name in names}, "position": state["iteration"]}


def is_same(checkpoint: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two checkpoints were saved at once; the iterations of two optimizers may differ."""
    if checkpoint is None or other is None:
        return checkpoint is other
    return {**checkpoint, "position": 0} == {**other, "position": 0}


def handed_at(iteration: int, part: Part | None, names: Sequence[str], rank: int) -> dict[str, Any] | None:
    """What an iteration of a part was handed out at, as the service takes it; None without a part."""
    if part is None:
        return None
    row = part.window.row(iteration)[0]
    lrs = dict(zip(names, row if isinstance(row, list) else [row], strict=True))
    return {"iteration": iteration, "rank": rank, "lrs": lrs, "revision": part.revision}
