"""Commands that look at live runs: runs list, show, history and plot."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
import typer

from preheat.cli.arguments import valid, with_options
from preheat.cli.output import fail, print_table, say, visible_json, write_data
from preheat.cli.pictures import picture_kind, write_picture
from preheat.cli.runs.answers import Refused
from preheat.cli.runs.found import RunName, find_run, list_runs, path_of
from preheat.cli.runs.service import Service, with_service
from preheat.cli.runs.words import (
    controller_words,
    count_words,
    event_words,
    lr_words,
    number,
    operation_words,
    reason_words,
    rollback_words,
    span_words,
    state_words,
    time_words,
)
from preheat.messages import shortened
from preheat.plot.options import PlotOptions

Json = Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")]
Attempt = Annotated[int | None, typer.Option(help="Of this attempt.", min=0, show_default="the present one")]
State = Literal["WAITING", "RUNNING", "SILENT", "STALLED", "CLOSED", "FINISHED"]

_EVENTS_SHOWN = 40
_EVENTS_AT_ONCE = 1000


@with_service
def list_(
    service: Service,
    label: Annotated[str | None, typer.Option(help="Only runs with this label.")] = None,
    label_prefix: Annotated[str | None, typer.Option(help="Only those whose label begins so.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.", case_sensitive=False)] = None,
    limit: Annotated[int, typer.Option(help="Most runs.", min=1)] = 50,
    json: Json = False,
) -> None:
    """List live runs, newest first."""
    # One more than is shown tells whether there are more.
    found = list_runs(service, limit + 1, label=label, label_prefix=label_prefix, state=state)
    if json:
        print_json({"runs": found[:limit]})
        return
    rows = [(run["label"], state_words(run), _place(run), run["id"]) for run in found[:limit]]
    print_table(("label", "state", "iteration", "id"), rows)
    if len(found) > limit:
        say(f"there are more: --limit {limit * 2} lists them too, --label and --state choose")


@with_service
def show(service: Service, run_name: RunName, json: Json = False) -> None:
    """Show where a run stands, and its changes."""
    run = find_run(service, run_name)
    if json:
        print_json(run)
        return
    changes = service.get(f"{path_of(run)}/changes")["changes"]
    for name, text in _facts(run, next_lrs(service, run)):
        say(f"{name:<12}{text}")
    _print_changes(changes)


@with_service
def history(service: Service, run_name: RunName, attempt: Attempt = None, json: Json = False) -> None:
    """Tell what was done to a run, by whom and why, and what happened."""
    run = find_run(service, run_name)
    path = path_of(run)
    attempts = service.get(f"{path}/attempts")["attempts"]
    _check_attempt(attempt, attempts)
    content = {
        "attempts": attempts,
        "changes": service.get(f"{path}/changes", attempt=attempt)["changes"],
        "events": events_of(service, run, 0 if json else max(run["events"] - _EVENTS_SHOWN, 0)),
    }
    if json:
        print_json(content)
        return
    if content["attempts"]:
        headings = ("attempt", "goes on from", "first iteration", "next iteration", "began (UTC)")
        print_table(headings, map(_attempt_row, content["attempts"]), "attempts")
    _print_changes(content["changes"])
    events = content["events"]
    rows = [(str(each["number"]), time_words(each["at"]), each["kind"], event_words(each)) for each in events]
    print_table(("number", "at (UTC)", "event", ""), rows, "events")
    if events and events[0]["number"] > 1:
        say(f"{events[0]['number'] - 1:,} earlier events left out: --json has all that are kept")


@with_service
@with_options(PlotOptions, [name for name in PlotOptions.model_fields if name != "at"])
def plot(
    service: Service,
    run_name: RunName,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg; - for a PNG on stdout.")
    ],
    given: dict[str, Any],
    metric: Annotated[
        str | None, typer.Option(help="Name of the reported number to show below.", show_default="loss")
    ] = None,
) -> None:
    """Draw what a run used, has promised and plans, with its changes and a reported number."""
    kind = picture_kind(output)
    valid(PlotOptions, given)
    run = find_run(service, run_name)
    answer = service.request("GET", f"{path_of(run)}/plot.{kind}", query={**given, "metric": metric})
    write_picture(output, answer.content)


def print_json(content: Any) -> None:
    """Content as JSON, indented."""
    write_data(visible_json(orjson.dumps(content, option=orjson.OPT_INDENT_2)) + b"\n")


def next_lrs(service: Service, run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the next iteration runs at, by param group: of a run that is over, the last one."""
    iteration = min(run["position"], run["total_iterations"])
    groups: list[Mapping[str, Any]] = service.get(f"/v1/runs/{run['id']}/lr/{iteration}")["groups"]
    return groups


def events_of(service: Service, run: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
    """Events after a number that are still kept."""
    path, found = f"/v1/runs/{run['id']}/events", list[dict[str, Any]]()
    while True:
        try:
            page = service.get(path, after=after, limit=_EVENTS_AT_ONCE)["events"]
        except Refused as error:
            if error.kind != "events-trimmed":
                raise
            after = error.problem["first"] - 1
            continue
        found += page
        if len(page) < _EVENTS_AT_ONCE:
            return found
        after = page[-1]["number"]


def _place(run: Mapping[str, Any]) -> str:
    return f"{number(run['position'])} of {number(run['total_iterations'])}"


def _facts(run: Mapping[str, Any], groups: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    attempt = run["attempt"]
    facts = [
        ("label", run["label"]),
        ("id", run["id"]),
        ("state", state_words(run)),
        ("iteration", _iteration_words(run)),
        ("LR", lr_words(groups)),
        ("a change", _begin_words(run)),
        ("revision", f"{run['revision']}, schedule {run['schedule_id']}"),
        ("attempt", "none yet" if attempt is None else _attempt_words(attempt)),
    ]
    if run["rollback"]:
        facts.append(("restart", rollback_words(run["rollback"])))
    for each in run["controllers"]:
        facts += [("controller", f"{each['id']} {controller_words(each)}"), ("", f"has counted {count_words(each)}")]
    facts += [
        ("fork", f"of {each['run']}, attempt {each['attempt']}, after iteration {number(each['iteration'])}")
        for each in run["origins"]
    ]
    return facts


def _iteration_words(run: Mapping[str, Any]) -> str:
    if run["position"] <= run["total_iterations"]:
        return f"{_place(run)} is the next; handed out until {number(run['horizon'])}"
    total, attempt = number(run["total_iterations"]), run["attempt"]
    if attempt is not None and attempt["start"] > run["total_iterations"]:
        return f"attempt {attempt['number']} began at {number(attempt['start'])}, after the last, {total}"
    return f"the last, {total}, has run"


def _begin_words(run: Mapping[str, Any]) -> str:
    if run["horizon"] > run["total_iterations"]:
        return "has no iteration left: only extend is taken"
    return f"would begin {run['next_change']['text']}"


def _attempt_words(attempt: Mapping[str, Any]) -> str:
    pace = "" if attempt["iteration_s"] is None else f", {attempt['iteration_s']:.3g} s an iteration"
    heard = f"heard of {time_words(attempt['heard_at'])} UTC"
    return f"{attempt['number']}, from iteration {number(attempt['start'])}{pace}, {heard}"


def _print_changes(changes: list[Mapping[str, Any]]) -> None:
    """A table of changes, if there are any."""
    rows = [
        (each["id"], operation_words(each["operation"]), span_words(each), each["status"] or "", reason_words(each))
        for each in changes
    ]
    if rows:
        print_table(("change", "what", "iterations", "status", "author: why"), rows, "changes")


def _check_attempt(attempt: int | None, attempts: list[Mapping[str, Any]]) -> None:
    """Ends the command for an attempt that the run does not have; 0 is before the first."""
    numbers = [each["number"] for each in attempts]
    if not attempt or attempt in numbers:
        return
    if not numbers:
        fail(f"--attempt ({attempt}) has no place: there is none yet")
    fail(f"--attempt ({attempt}) must be one of this run's: {shortened(', '.join(map(str, numbers)), 100)}")


def _attempt_row(attempt: Mapping[str, Any]) -> tuple[str, ...]:
    parent = number(attempt["parent"]) or "the beginning"
    begin = time_words(attempt["attached_at"])
    return (str(attempt["number"]), parent, number(attempt["start"]), number(attempt["position"]), begin)
