"""Words for runs: states, operations, changes and events as a line of text."""

from collections.abc import Callable, Mapping
from typing import Any

from preheat.messages import shortened

MOST_NAMED = 4
"""Param groups that are named in a line; of more there is a number."""


def number(value: Any) -> str:
    """A count with commas, as the service writes it; nothing for None."""
    return "" if value is None else f"{value:,}"


def time_words(text: str) -> str:
    """A time of the service, in UTC, to the second."""
    return text[:19].replace("T", " ")


def state_words(run: Mapping[str, Any]) -> str:
    """What a run's job does, and what else keeps it from being changed."""
    words = [run["state"]]
    words += ["at its end"] if has_run_to_end(run) else []
    words += ["locked"] if run["lock"] == "locked" else []
    words += ["restart asked for"] if run["rollback"] else []
    return ", ".join(words)


def has_run_to_end(run: Mapping[str, Any]) -> bool:
    """Whether its job has said goodbye after the last iteration, and nobody asks it to restart."""
    return bool(run["state"] == "CLOSED" and run["position"] > run["total_iterations"] and not run["rollback"])


def begin_words(label: str, job: Mapping[str, Any], effect: int, wanted: int | None) -> list[str]:
    """What to know of where a change of a run begins: that it is later than wanted, and where its job is."""
    lines = []
    if wanted is not None and effect > wanted:
        reason = f"iterations below {number(effect)} were handed out"
        lines.append(f"wanted {number(wanted)}, in force from {number(effect)}: {reason}")
    state = "OVERDUE" if job["is_overdue"] else job["state"]
    meaning = _UNHEARD.get(state, "").format(effect=number(effect), position=number(job["position"]))
    return [*lines, f"{label} is {state}: {job['text']}{meaning}"]


def operation_words(operation: Mapping[str, Any]) -> str:
    """What an operation does."""
    words = _OPERATIONS.get(operation["op"])
    return str(operation["op"]) if words is None else words(operation)


def span_words(change: Mapping[str, Any]) -> str:
    """The iterations at which a change is in force; nothing for one that is out."""
    if change["effect"] is None:
        return ""
    begin, stop = number(change["effect"]), change["stop"]
    return f"from {begin}" if stop is None else f"{begin} … {number(stop - 1)}"


def reason_words(change: Mapping[str, Any]) -> str:
    """Who made a change, and why."""
    return f"{change['author']}: {change['why']}"


def rollback_words(rollback: Mapping[str, Any]) -> str:
    """A restart that was asked for."""
    position, changes = number(rollback["position"]), _FROM_HERE[rollback["changes"]]
    return f"at iteration {position}, {changes}, asked for by {rollback['author']}: {rollback['why']}"


def controller_words(controller: Mapping[str, Any]) -> str:
    """What a controller follows, and how."""
    parameters = ", ".join(f"{name} {value}" for name, value in controller["parameters"].items())
    return f"{controller['kind']} of {controller['metric']} ({parameters})"


def count_words(controller: Mapping[str, Any]) -> str:
    """What a controller has counted."""
    if controller["folded"] is None:
        return "nothing yet"
    reports, last = number(controller["counted"]), number(controller["folded"])
    since = number(controller["not_better"])
    return f"{reports} reports, the last of iteration {last}; best {controller['best']}, {since} since without a better"


def others_words(names: list[str]) -> str:
    """What a job has reported, where it is not what was asked for."""
    return f"only {shortened(', '.join(names), 100)}" if names else "nor anything else"


def event_words(event: Mapping[str, Any]) -> str:
    """What happened, without its kind where that says it all."""
    data, words = event["data"], _EVENTS.get(event["kind"])
    shown = {name: _plain(value) if isinstance(value, dict) else value for name, value in data.items()}
    try:
        if event["kind"] == "change-accepted":
            what = operation_words(data["operation"])
            return f"{what} from iteration {data['effect']:,}, by {data['author']}: {data['why']} ({data['change']})"
        if event["kind"] == "lr-jump":
            jumps = [f"{name} from {used:.6g} to {first:.6g}" for name, (used, first) in data["jumps"].items()]
            shown["jumps"] = ", ".join(jumps)
        if words is not None:
            return words.format_map(shown)
    except (KeyError, TypeError, ValueError):  # of another version of the service
        pass
    return ", ".join(f"{name} {_plain(value)}" for name, value in data.items() if value is not None)


def lr_words(groups: list[Mapping[str, Any]]) -> str:
    """LRs of one iteration: the only one, or each with its param group's name."""
    if len(groups) == 1:
        return repr(groups[0]["lr"])
    shown = ", ".join(f"{group['name']} {group['lr']!r}" for group in groups[:MOST_NAMED])
    return shown if len(groups) <= MOST_NAMED else f"{shown}, and {len(groups) - MOST_NAMED} more"


_ALONE = (
    "; if it has ended, the next one gets the change; if it goes on alone beyond {effect}, the change begins only when "
    "it is back"
)
_UNHEARD = {
    "WAITING": "; one that begins beyond {effect} gets the change from where it begins",
    "OVERDUE": _ALONE,
    "SILENT": _ALONE,
    "STALLED": "; it stands at {position}, and the change waits until it gets to {effect}",
    "CLOSED": "; the next one gets the change, from where it begins if that is beyond {effect}",
}
"""What the state of a job means for the iteration from which a change is in force."""

_FROM_HERE = {"drop": "changes from there on dropped", "from-here": "with the changes from there on"}

_EVENTS = {
    "made": "made with the label {label}",
    "forked": "forked as run {run} after iteration {iteration:,}",
    "attached": "attempt {attempt} goes on from iteration {position:,}",
    "closed": "attempt {attempt} said goodbye before iteration {position:,}",
    "first-lr": "attempt {attempt} begins at iteration {iteration:,} with LR {lr}",
    "lr-jump": "the LR of attempt {attempt} jumps at iteration {iteration:,}: {jumps}",
    "change-moved": "{change} moved from iteration {before:,} to {effect:,}: {why}",
    "change-from-here": "{change} moved from iteration {before:,} to {effect:,}",
    "change-cancelled": "{change} cancelled, was to begin at {before:,}",
    "change-dropped": "{change} dropped, was from {before:,} on",
    "change-missed": "{change} missed, was to begin at {before:,}",
    "change-kept": "{change} stays, from iteration {effect:,} on: {why}",
    "change-used": "{change} in force from iteration {effect:,} on: {why}",
    "revision": "revision {revision}",
    "overrun": "attempt {attempt} went on alone from iteration {start:,} until {end:,}, by revision {revision}",
    "restart-requested": "attempt {attempt} is told to restart at iteration {position:,}",
    "rollback-asked": "restart at iteration {position:,} ({changes}) asked for by {author}: {why}",
    "rollback-withdrawn": "the restart is taken back by {author}",
    "rollback-missed": "the job restarted at iteration {came:,}, not at {asked:,}",
    "rolled-back": "restarted at iteration {position:,} ({changes}), asked for by {author}: {why}",
    "controller-added": "{controller} follows {metric}, by {author}",
    "reduction-refused": "{controller} has not reduced the LR by the report of iteration {iteration:,}: {why}",
    "controller-removed": "{controller} removed by {author}",
    "locked": "by {author}",
    "opened": "by {author}",
    "finished": "by {author}",
}
"""Sentences for kinds of events; others are told by their data."""


def _scale(operation: Mapping[str, Any]) -> str:
    floor = operation.get("floor")
    least = "" if floor is None else f", not below {_plain(floor)}"
    return f"scale{_what(operation)} by {operation['factor']!r}{least}"


def _hold(operation: Mapping[str, Any]) -> str:
    value = operation["value"]
    return f"hold{_what(operation)} at {'its present value' if value == 'current' else _plain(value)}"


def _replace(operation: Mapping[str, Any]) -> str:
    spec = operation["schedule"]
    scheduler = spec.get("after_scheduler")
    kind = scheduler.get("type") if isinstance(scheduler, dict) else scheduler
    by = spec.get("label") or spec.get("recipe") or kind or "another schedule"
    clock = ", counted from there" if operation.get("clock") == "here" else ""
    return f"replace{_what(operation)} by {by}{clock}"


def _rewarm(operation: Mapping[str, Any]) -> str:
    start = operation.get("start_factor") or 0.0
    begin = f" from a factor of {start!r}" if start else ""
    return f"rewarm{_what(operation)} over {_length(operation['iterations'])}{begin}"


def _cooldown(operation: Mapping[str, Any]) -> str:
    shape, to = operation.get("shape", "linear"), operation.get("to", 0.0)
    return f"cool{_what(operation)} down to {to!r} over {_length(operation['iterations'])}, {shape}"


def _extend(operation: Mapping[str, Any]) -> str:
    moved = ", with its last phase moved" if operation.get("policy") == "move-cooldown" else ""
    return f"extend to {_length(operation['total_iterations'])}{moved}"


_OPERATIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "scale": _scale,
    "hold": _hold,
    "replace": _replace,
    "rewarm": _rewarm,
    "cooldown": _cooldown,
    "extend": _extend,
    "revert": lambda operation: f"revert {operation['change']}",
}


def _what(operation: Mapping[str, Any]) -> str:
    """What an operation is of, if that is not the LR of all param groups."""
    hyperparameter, groups = operation.get("hyperparameter") or "lr", operation.get("param_groups") or []
    words = "" if hyperparameter == "lr" else f" {hyperparameter}"
    if len(groups) > MOST_NAMED:
        return f"{words} of {len(groups)} groups"
    return f"{words} of {', '.join(groups)}" if groups else words


def _length(iterations: Any) -> str:
    return f"{iterations:,} iterations" if isinstance(iterations, int) else str(iterations)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
