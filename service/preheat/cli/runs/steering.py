"""Commands that make, fork, restart, lock, end and delete live runs."""

from typing import Annotated, Any, Literal

import typer

from preheat.cli.arguments import SpecArgument, failing, with_specs
from preheat.cli.output import fail, remark, say, visible, write_data
from preheat.cli.runs.answers import Refused
from preheat.cli.runs.asking import Key, Steering, Why, Yes, ask, must_be_able_to_ask, steering
from preheat.cli.runs.found import RunName, find_run, path_of
from preheat.cli.runs.looking import Attempt
from preheat.cli.runs.preview import print_restart
from preheat.cli.runs.service import Service, with_service
from preheat.cli.runs.words import number, rollback_words, state_words

_MOST_DIFFERENCES = 10


@failing
@with_service
@with_specs(0, 1, is_first=False)
def make(
    service: Service,
    specs: list[SpecArgument],
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Name of the training job.")],
    schedule_id: Annotated[
        str | None, typer.Option(metavar="ID", help="A schedule that is stored, instead of a SPEC.")
    ] = None,
    another: Annotated[bool, typer.Option("--another", help="Even if a living run has that label.")] = False,
) -> None:
    """Make a run, or find the living one of that label and spec, and print its id."""
    if bool(specs) == (schedule_id is not None):
        fail("one SPEC, --recipe or --schedule-id must be given", code=2)
    base = {"spec": specs[0].written} if specs else {"schedule_id": schedule_id}
    try:
        # Made twice, the same label gives one run, but not with --another.
        answer = service.request(
            "POST", "/v1/runs", {"label": label, **base, "unique": not another}, is_repeatable=not another
        )
    except Refused as error:
        _tell_differences(error)
        raise
    run: dict[str, Any] = answer.json()
    is_new = answer.status_code == 201  # noqa: PLR2004 - Created
    _print_id(run, "made" if is_new else f"found, {state_words(run)}")


@with_service
def fork(
    service: Service,
    run_name: RunName,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="Name of the new run.")],
    after: Annotated[int, typer.Option("--after", help="The last iteration that both share.", min=0)],
    attempt: Attempt = None,
    changes: Annotated[Literal["keep", "drop"], typer.Option(help="What becomes of changes that come later.")] = "keep",
    key: Key = None,
) -> None:
    """Make another run that shares the history up to an iteration, and print its id."""
    run = find_run(service, run_name)
    of = run["attempt_number"] if attempt is None else attempt
    body = {"attempt": of, "iteration": after, "label": label, "changes": changes}
    made = steering(run, key).send(service, "POST", "fork", body)
    _print_id(made, f"shares attempt {of} of {run['label']} until iteration {number(after)}")


@with_service
def rollback(
    service: Service,
    run_name: RunName,
    after: Annotated[int, typer.Option("--after", help="The iteration after which the job goes on.", min=-1)],
    changes: Annotated[
        Literal["drop", "from-here"],
        typer.Option(help="What becomes of the changes from there on: dropped, or all of them from there."),
    ],
    why: Why,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and end.")] = False,
    yes: Yes = False,
    key: Key = None,
) -> None:
    """Ask the job to stop and to restart from its checkpoint of an iteration; until then the run takes no change."""
    if not (yes or dry_run):
        must_be_able_to_ask()
    run = find_run(service, run_name)
    body = {"after": after, "changes": changes, "why": why}
    if dry_run or not yes:
        print_restart(run, Steering(run, key=None).send(service, "POST", "rollback", body, dry_run="true"))
    if dry_run:
        return
    ask(
        f"{run['label']} is at iteration {number(run['position'])}. Ask its job to go back to after {number(after)} "
        f"({changes})?",
        is_yes=yes,
    )
    told = steering(run, key).send(service, "POST", "rollback", body)
    # None for a key that was answered before: the job has restarted since.
    restart = f"restart {rollback_words(told['rollback'])}" if told["rollback"] else "restarted already"
    say(f"{told['label']}: {restart}")


@with_service
def withdraw(service: Service, run_name: RunName) -> None:
    """Take back a restart that was asked for."""
    run = find_run(service, run_name)
    if run["rollback"] is None:
        fail(f"{run['label']}: no restart is asked for")
    try:
        Steering(run, key=None).send(service, "DELETE", "rollback")
    except Refused as error:
        if not (error.is_again and error.kind == "not-in-force"):
            raise
    say(f"{run['label']}: no restart is asked for any more")


@with_service
def finish(service: Service, run_name: RunName, yes: Yes = False) -> None:
    """End a run for good: its job gets no more LRs."""
    run = find_run(service, run_name)
    ask(f"{run['label']} is {state_words(run)}, at iteration {number(run['position'])}. End it?", is_yes=yes)
    service.send("POST", f"{path_of(run)}/finish")
    say(f"{run['label']} ({run['id']}) is finished")


@with_service
def lock(service: Service, run_name: RunName) -> None:
    """Refuse changes of a run until it is unlocked; its job goes on."""
    _set_lock(service, run_name, "locked")


@with_service
def unlock(service: Service, run_name: RunName) -> None:
    """Let a run be changed again."""
    _set_lock(service, run_name, "open")


@with_service
def delete(service: Service, run_name: RunName, yes: Yes = False) -> None:
    """Remove a run that is over, with its whole history."""
    run = find_run(service, run_name)
    ask(f"Delete {run['label']} ({run['id']}, {state_words(run)}) with its history?", is_yes=yes)
    try:
        service.request("DELETE", path_of(run))
    except Refused as error:
        if not (error.is_again and error.kind == "run-not-found"):
            raise
    say(f"{run['label']} ({run['id']}) is deleted")


def _set_lock(service: Service, run_name: str, lock: str) -> None:
    run = service.send("PUT", f"{path_of(find_run(service, run_name))}/lock", {"lock": lock})
    say(f"{run['label']} is {run['lock']}")


def _print_id(run: dict[str, Any], about: str) -> None:
    """The id alone on stdout, so that a script can take it; the rest on stderr."""
    write_data(visible(run["id"]) + "\n")
    remark(f"{run['label']}: {about}")


def _tell_differences(error: Refused) -> None:
    """What the run of a label has, where its spec is another one."""
    differences = error.problem.get("differences") or {}
    error.lines += tuple(
        f"{name}: the run has {each['run']}, the SPEC {each['yours']}"
        for name, each in [*differences.items()][:_MOST_DIFFERENCES]
    )
