"""Saved states of schedulers: which iteration they are at, or why they cannot be gone on from."""

from typing import Any

from preheat_client._core.run_use import is_live
from preheat_client.errors import ScheduleMismatch


def iteration_of(state: Any, schedule: Any, unit: str) -> int:
    """The iteration in a state of RemoteLR.

    Raises ScheduleMismatch, with how to take over from there, for the state of another schedule, of another scheduler,
    or counted in another unit; TypeError if it is not a dict.
    """
    if not isinstance(state, dict):
        raise TypeError(f"state_dict ({state!r:.40}) must be a dict, as state_dict() returns it")
    iteration = state.get("iteration")
    if not {"schedule_id", "run"} & state.keys() or not isinstance(iteration, int):
        raise ScheduleMismatch(f"the state is that of another scheduler, not of RemoteLR: {_takeover(state)}")
    if is_live(schedule):
        schedule.check_state(state)
    else:
        _check_schedule(state, schedule.id)
    saved_unit = state.get("unit", "update")  # states of before there were units
    if saved_unit != unit:
        raise ScheduleMismatch(
            f'the state counts by {saved_unit}, this RemoteLR by {unit}: construct it with unit="{saved_unit}"'
        )
    return iteration


def _check_schedule(state: dict[str, Any], schedule_id: str) -> None:
    owner = f"run {state['run']}" if "run" in state else f"schedule {state['schedule_id']}"
    ids = {state.get("schedule_id", state.get("run")), schedule_id} - {""}  # a fallback has no id to compare
    if len(ids) > 1:
        raise ScheduleMismatch(
            f"the state belongs to {owner}, this is {schedule_id}: to change schedules, construct RemoteLR with "
            f"first_iteration={state['iteration']}"
        )


def _takeover(state: dict[str, Any]) -> str:
    last_epoch = _last_epoch(state)
    if last_epoch is None:
        return (
            f"its keys ({', '.join(map(str, state))}) do not say where it was; construct RemoteLR with "
            "first_iteration=<updates performed> + 1"
        )
    return (
        f"to take over where it was, construct RemoteLR with first_iteration={last_epoch + 1} (its last_epoch, "
        f"{last_epoch}, counts its steps) and load nothing; if it was stepped once per epoch, with "
        'unit="epoch" and a schedule in epochs, or with first_iteration=<updates performed> + 1'
    )


def _last_epoch(state: dict[str, Any]) -> int | None:
    """Torch's own word; a ChainedScheduler has it in its parts."""
    found = state.get("last_epoch")
    parts = state.get("_schedulers")
    if found is None and isinstance(parts, list) and parts and isinstance(parts[0], dict):
        return _last_epoch(parts[0])
    return found if isinstance(found, int) else None
