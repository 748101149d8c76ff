"""States of runs: what is saved of one and loaded again, and what is said to the service of what was used."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from preheat_client._runs.reports import as_json
from preheat_client._runs.speaker import Overrun, Part
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
    """Raises ScheduleMismatch, with both values, for a state that is not of this run or of one that it is a fork of.

    So it does, naming the field, for a state that lacks one, or has something else there.
    """
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
    _check_fields(state, {"iteration": _is_count, "attempt": lambda value: value is None or _is_count(value)})
    if state["attempt"] is not None:
        _check_fields(state, {"revision": _is_count, "acknowledged": _is_count, "overrun": _is_overrun})


def _check_fields(state: Mapping[str, Any], rules: Mapping[str, Callable[[Any], bool]]) -> None:
    for name, is_valid in rules.items():
        if name not in state or not is_valid(state[name]):
            found = (
                f"{name} ({state[name]!r:.80}) is not what state_dict() has there"
                if name in state
                else (f"{name} is missing, and it has {', '.join(map(str, state))}")
            )
            raise ScheduleMismatch(f"the state of run {state['run']} is not whole: {found}. Load all of what was saved")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_overrun(value: Any) -> bool:
    is_one = isinstance(value, Mapping) and value.keys() == {field.name for field in fields(Overrun)}
    return value is None or (is_one and all(map(_is_count, value.values())))


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


def differing_from(
    handed: Mapping[str, Any] | None, iteration: int, lrs: Mapping[str, float], revision: int, rank: int
) -> dict[str, Any]:
    """What an iteration ran at, by param group, where that is not what was handed out; as the service takes it."""
    told = handed or {"iteration": iteration, "rank": rank, "lrs": {}, "revision": revision}
    return {**told, "lrs": {**told["lrs"], **as_json(lrs)}}
