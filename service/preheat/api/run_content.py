"""Answers about live runs as plain data: what `api.run_models` describes."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from preheat.runs.changes import Accepted
from preheat.runs.events import Event
from preheat.runs.limits import Limits
from preheat.runs.preview import Preview, Side
from preheat.runs.reports import as_json
from preheat.runs.revision import base_of
from preheat.runs.run import Attempt, Change, Controller, Rollback, Run
from preheat.runs.states import is_alive, is_overdue, promised_s, seconds_until, state_of
from preheat.runs.status import status_now, status_of
from preheat.schedule import id_of

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def run_content(run: Run, now: float, limits: Limits, root_path: str = "") -> dict[str, Any]:
    """A run with its present attempt: a `RunAnswer`."""
    spec = base_of(run).spec
    return {
        **summary_content(run, now, limits, root_path),
        "base_id": id_of(run.base),
        "groups": [{"name": name} for name in spec.group_names],
        "columns": [asdict(column) for column in spec.columns],
        "attempt": None if run.attempt is None else attempt_content(run.attempt),
        "controllers": [controller_content(each) for each in run.controllers],
        "links": _links(run, root_path),
    }


def summary_content(run: Run, now: float, limits: Limits, root_path: str = "") -> dict[str, Any]:
    """What a list says of a run: a `RunSummary`."""
    return {
        "id": run.id,
        "label": run.label,
        "state": state_of(run, now, limits),
        "etag": run.etag,
        "revision": run.revision,
        "generation": run.generation,
        "schedule_id": run.schedule_id,
        "total_iterations": run.total_iterations,
        "attempt_number": run.attempt_number,
        **place_content(run, now),
        "rollback": rollback_content(run.rollback),
        "lock": "locked" if run.is_locked else "open",
        "is_finished": run.is_finished,
        "created_at": time_text(run.created_at),
        "events": run.events,
        "changes": len(run.changes),
        "origins": [asdict(each) for each in run.origins],
        "links": {"self": f"{root_path}/v1/runs/{run.id}"},
    }


def place_content(run: Run, now: float) -> dict[str, Any]:
    """Where a run stands, and where a change that is accepted now would begin."""
    attempt = run.attempt
    return {
        "position": run.horizon if attempt is None else attempt.position,
        "acknowledged": run.horizon if attempt is None else attempt.acknowledged,
        "horizon": run.horizon,
        "next_change": moment_content(run, run.horizon, now),
    }


def moment_content(run: Run, iteration: int, now: float) -> dict[str, Any]:
    """An iteration to come, and in about how many seconds that is, as far as anybody knows."""
    attempt = run.attempt
    is_going_on = attempt is not None and is_alive(attempt, now) and not run.is_finished
    in_s = seconds_until(attempt, iteration) if is_going_on and attempt is not None else None
    text = f"from iteration {iteration:,}"
    return {"iteration": iteration, "in_s": in_s, "text": text if in_s is None else f"{text}, in about {_about(in_s)}"}


def job_content(run: Run, now: float, limits: Limits) -> dict[str, Any]:
    """What is known of a run's job when something is asked of it: a `JobDescription`."""
    attempt, state = run.attempt, state_of(run, now, limits)
    heard_s = None if attempt is None else max(now - attempt.heard_at, 0.0)
    promise_s = None if attempt is None or attempt.is_closed or run.is_finished else promised_s(attempt)
    text = _heard_text(attempt, heard_s)
    if promise_s is not None:
        text = f"{text}; it promised to ask again within {promise_s:g} s"
    return {
        "state": state,
        "position": None if attempt is None else attempt.position,
        "heard_s": heard_s,
        "promise_s": promise_s,
        "is_overdue": attempt is not None and promise_s is not None and is_overdue(attempt, now),
        "text": f"it takes nothing more; {text}" if run.is_finished else text,
    }


def _heard_text(attempt: Attempt | None, heard_s: float | None) -> str:
    """What was last heard of a job."""
    if attempt is None or heard_s is None:
        return "no job has had it yet"
    if attempt.is_fenced:
        return "its job was cut off, since the database had lost what it knew, and is to attach again"
    return "its job has said goodbye" if attempt.is_closed else f"its job last asked {_about(heard_s)} ago"


def attempt_content(attempt: Attempt) -> dict[str, Any]:
    """An attempt, without its token: an `AttemptAnswer`."""
    return {
        "number": attempt.number,
        "parent": attempt.parent,
        "start": attempt.start,
        "position": attempt.position,
        "acknowledged": attempt.acknowledged,
        "handed": attempt.handed,
        "schedule_id": attempt.schedule_id,
        "speakers": attempt.speakers,
        "is_closed": attempt.is_closed,
        "attached_at": time_text(attempt.attached_at),
        "heard_at": time_text(attempt.heard_at),
        "moved_at": time_text(attempt.moved_at),
        "lease_s": attempt.lease_s,
        "iteration_s": attempt.iteration_s,
        "world_size": attempt.world_size,
        "lineage": None if attempt.lineage is None else asdict(attempt.lineage),
        "overruns": [{"start": start, "stop": stop} for start, stop in attempt.overruns],
    }


def change_content(run: Run, change: Change, now: float, attempt: int | None = None) -> dict[str, Any]:
    """A change, with its status now or in an attempt: a `ChangeDescription`."""
    status = status_now(run, change) if attempt is None else status_of(run, change, attempt)
    is_to_come = status == "scheduled" and change.effect is not None
    return {
        "id": change.id,
        "operation": change.operation,
        "why": change.why,
        "author": change.author,
        "is_automated": change.is_automated,
        "accepted_at": time_text(change.accepted_at),
        "at": change.at,
        "until": change.until,
        "for_iterations": change.for_iterations,
        "not_after": change.not_after,
        "cause": None if change.cause is None else asdict(change.cause),
        "effect": change.effect,
        "stop": None if change.effect is None else change.stop_of(change.placement),
        "status": status,
        "when": moment_content(run, change.effect, now) if is_to_come and change.effect is not None else None,
        "placements": [
            {name: getattr(each, name) for name in ("revision", "attempt", "effect", "kind", "stop", "pauses")}
            for each in change.placements
        ],
    }


def accepted_content(run: Run, accepted: Accepted, now: float, limits: Limits) -> dict[str, Any]:
    """The answer to a change: an `AcceptedAnswer`."""
    return {
        "change": change_content(run, accepted.change, now),
        "effect": None if accepted.effect is None else moment_content(run, accepted.effect, now),
        "revision": run.revision,
        "schedule_id": run.schedule_id,
        "etag": run.etag,
        "is_repeated": accepted.is_repeated,
        "job": job_content(run, now, limits),
    }


def preview_content(run: Run, preview: Preview, reasons: list[str], now: float, limits: Limits) -> dict[str, Any]:
    """The answer to a dry run, without lint: a `PreviewAnswer`."""
    return {
        "effect": moment_content(run, preview.effect, now),
        "needs_confirmation": reasons,
        "before": _side_content(preview.before),
        "after": _side_content(preview.after),
        "job": job_content(run, now, limits),
    }


def rollback_content(rollback: Rollback | None) -> dict[str, Any] | None:
    """A restart that was asked for, if one is: a `RollbackDescription`."""
    return None if rollback is None else asdict(rollback)


def controller_content(controller: Controller) -> dict[str, Any]:
    """A controller: a `ControllerAnswer`."""
    state = controller.state
    return {
        "id": controller.id,
        "metric": controller.metric,
        "kind": "ReduceLROnPlateau",
        "parameters": controller.parameters,
        "param_groups": controller.param_groups,
        "first": controller.first,
        "folded": None if controller.folded < 0 else controller.folded,
        "counted": state.get("last_epoch", 0),
        "best": as_json(float(state["best"])) if state else None,
        "not_better": state.get("num_bad_epochs", 0),
    }


def event_content(event: Event) -> dict[str, Any]:
    """An event: an `EventAnswer`."""
    return {"number": event.number, "kind": event.kind, "at": time_text(event.at), "data": event.data}


def time_text(time_s: float) -> str:
    """Seconds since 1970 as RFC 3339 has them, in UTC."""
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _side_content(side: Side) -> dict[str, Any]:
    return {
        "values": {str(n): values for n, values in side.values.items()},
        "total_iterations": side.total_iterations,
        "sums": side.sums,
        "phases": [asdict(phase) for phase in side.phases],
    }


def _links(run: Run, root_path: str) -> dict[str, str]:
    path = f"{root_path}/v1/runs/{run.id}"
    parts = ("attempts", "windows", "changes", "reports", "events", "lr", "fork", "rollback", "finish", "lock")
    return {
        "self": path,
        **{name: f"{path}/{name}" for name in (*parts, "controllers")},
        "schedule": f"{root_path}/v1/schedules/{run.schedule_id}",
        "plot_png": f"{path}/plot.png",
        "plot_svg": f"{path}/plot.svg",
    }


def _about(seconds: float) -> str:
    """A time as people say it."""
    for size, name in ((_DAY, "days"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"
