"""Answers to the jobs of live runs, and LRs of runs, as plain data: what `api.run_models` describes."""

from dataclasses import asdict
from typing import Any

from preheat.api.run_content import moment_content, place_content, rollback_content
from preheat.api.run_record import Record
from preheat.curve import Curve, Floats
from preheat.formats import by_group, lists_by_group
from preheat.runs.attempts import Attached
from preheat.runs.limits import Limits
from preheat.runs.reports import Taken, as_json
from preheat.runs.run import Run
from preheat.runs.states import state_of
from preheat.runs.windows import Window
from preheat.store.run_history import Series

Values = tuple[Curve, Floats]
"""A curve that names the columns, and values, shape (iterations, columns)."""


def attached_content(run: Run, attached: Attached, now: float) -> dict[str, Any]:
    """The answer to an attach: an `AttachedAnswer`."""
    attempt = run.attempts[-1]
    return {
        **asdict(attached),
        "token": attempt.token,
        "speakers": attempt.speakers,
        "total_iterations": run.total_iterations,
        "when": moment_content(run, run.horizon, now),
    }


def window_content(
    run: Run, window: Window, values: Values, reported: int, taken: Taken, now: float, limits: Limits
) -> dict[str, Any]:
    """A window with its LRs: a `RunWindowAnswer`; `reported` is how many reports came with the request."""
    return {
        "attempt": window.attempt,
        "start": window.start,
        "stop": window.stop,
        "revision": window.revision,
        "schedule_id": window.schedule_id,
        "generation": window.generation,
        "lease_s": window.lease_s,
        "total_iterations": run.total_iterations,
        "groups": lists_by_group(*values),
        "state": state_of(run, now, limits),
        **place_content(run, now),
        "restart": rollback_content(window.restart),
        "reports": _count_content(reported, taken),
        "alarms": taken.alarms,
        "events": run.events,
    }


def reports_content(run: Run, reported: int, taken: Taken, now: float) -> dict[str, Any]:
    """What became of a batch of reports: a `ReportsAnswer`."""
    return {
        **_count_content(reported, taken),
        "alarms": taken.alarms,
        "revision": run.revision,
        "next_change": moment_content(run, run.horizon, now),
        "events": run.events,
    }


def _count_content(reported: int, taken: Taken) -> dict[str, Any]:
    """How many values became what: a `ReportCount`."""
    return {
        "stored": taken.stored,
        "ignored": reported - taken.stored - len(taken.left),
        "left_from": taken.left[0].iteration if taken.left else None,
    }


def series_content(attempt: int, name: str, series: Series) -> dict[str, Any]:
    """What was reported under a name: a `SeriesAnswer`."""
    return {
        "attempt": attempt,
        "name": name,
        "names": series.names,
        "iterations": series.iterations,
        "values": [as_json(value) for value in series.values],
        "next": series.next,
    }


def lrs_content(run: Run, record: Record, values: Values, now: float) -> dict[str, Any]:
    """LRs of an attempt's line: a `RunLRsAnswer`."""
    return {
        "attempt": record.attempt,
        "start": record.window.start,
        "stop": record.window.stop,
        "step": record.window.step,
        "groups": lists_by_group(*values),
        "parts": [
            {"start": part.start, "stop": part.stop, "attempt": entry.attempt, "schedule_id": entry.schedule_id,
             "certainty": entry.certainty, "is_overrun": entry.is_overrun}
            for part, entry in record.parts
        ],
        "next_change": moment_content(run, run.horizon, now),
    }  # fmt: skip


def lr_content(run: Run, record: Record, values: Values, now: float) -> dict[str, Any]:
    """LRs of one iteration: a `RunLRAnswer`."""
    curve, rows = values
    iteration, entry = record.window.start, record.parts[0][1]
    is_to_come = entry.certainty in {"planned", "committed"}
    return {
        "iteration": iteration,
        "attempt": entry.attempt,
        "schedule_id": entry.schedule_id,
        "certainty": entry.certainty,
        "is_overrun": entry.is_overrun,
        "groups": by_group(curve, rows[0].tolist()),
        "when": moment_content(run, iteration, now) if is_to_come else None,
    }
