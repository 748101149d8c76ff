"""Commands that change what is still to come of a run: runs change RUN scale, hold, …, and runs cancel."""

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer
from typer.core import TyperCommand, TyperGroup

from preheat.cli.arguments import SpecArgument, failing, parameter, with_parameters, with_specs
from preheat.cli.output import fail, remark, say, summary
from preheat.cli.runs.asking import Key, Steering, Why, Yes, ask, must_be_able_to_ask, steering
from preheat.cli.runs.found import RunName, find_run, path_of
from preheat.cli.runs.looking import Json, print_json
from preheat.cli.runs.numbers import duration, finite, per_group
from preheat.cli.runs.preview import print_preview
from preheat.cli.runs.service import Service, with_service
from preheat.cli.runs.words import begin_words, number, operation_words
from preheat.specs.amendments import (
    CooldownAmendment,
    ExtendAmendment,
    ReplaceAmendment,
    RewarmAmendment,
    ScaleAmendment,
)

Fields = dict[str, Any]
"""Fields of an operation; what is None is not given."""

_NEGATIVE = re.compile(r"-\.?[0-9]")


class _OfARun(TyperGroup):
    """Operations behind a RUN, whose help can be asked for without one."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments; `change scale --help` is about scale, and not about a run of that name."""
        if args and args[0] in self.commands and {"-h", "--help"} & set(args):
            args = ["RUN", *args]
        return super().parse_args(ctx, args)


class _Operation(TyperCommand):
    """An operation, of which a value that is a negative number is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments; `scale -1` gives FACTOR, which says what it must be."""
        ctx.ignore_unknown_options = any(_NEGATIVE.match(each) for each in args)
        return super().parse_args(ctx, args)


change = typer.Typer(
    cls=_OfARun,
    help="Change what is still to come of a run, from the first iteration that was not handed out; shows what it would "
    "do, and asks.",
    no_args_is_help=True,
)


@change.callback()
def _of_run(context: typer.Context, run_name: RunName) -> None:
    context.obj = run_name


@dataclass(frozen=True)
class Wish:
    """When a change is wanted and why, and how far to go."""

    why: str
    at: str | None
    until: str | None
    for_iterations: str | None
    not_after: str | None
    confirm: bool
    dry_run: bool
    yes: bool
    json: bool
    key: str | None

    def body(self, operation: Fields) -> dict[str, Any]:
        """What is asked for."""
        times = {name: getattr(self, name) for name in ("at", "until", "for_iterations", "not_after")}
        given = {
            name: duration(text, f"--{name.replace('_', '-')}") for name, text in times.items() if text is not None
        }
        return {"operation": operation, "why": self.why, **given, "confirm": self.confirm}


def _when(flag: str, about: str) -> Any:
    return Annotated[str | None, typer.Option(flag, metavar="DURATION", help=about, show_default=False)]


_WISHES = [
    parameter("why", Why, inspect.Parameter.empty),
    parameter("at", _when("--at", "First iteration with it, or 5ep, 1e9tok, 10%; by default as soon as may be.")),
    parameter("until", _when("--until", "First iteration that is as before again.")),
    parameter("for_iterations", _when("--for-iterations", "Or for how long, from when it begins.")),
    parameter("not_after", _when("--not-after", "Last iteration at which it may begin; later it is refused.")),
    parameter("confirm", Annotated[bool, typer.Option("--confirm", help="Even if it is out of the ordinary.")], False),
    parameter("dry_run", Annotated[bool, typer.Option("--dry-run", help="Show what it would do, and end.")], False),
    parameter("yes", Annotated[bool, typer.Option("--yes", "-y", help="Do not ask, and do not show it first.")], False),
    parameter("json", Json, False),
    parameter("key", Key),
]


def operation(name: str) -> Callable[[Callable[..., Fields]], Callable[..., Fields]]:
    """Makes a command of a function that gives an operation's fields: it shows what would be, asks, and changes."""

    def decorate(fields: Callable[..., Fields]) -> Callable[..., Fields]:
        @functools.wraps(fields)
        def command(context: typer.Context, service: Service, **arguments: Any) -> None:
            wish = Wish(**{each.name: arguments.pop(each.name) for each in _WISHES})
            given = {field: value for field, value in fields(**arguments).items() if value is not None}
            _change(service, context.obj, {"op": name, **given}, wish)

        added = [
            parameter("context", typer.Context, inspect.Parameter.empty),
            parameter("service", Service, inspect.Parameter.empty),
            *_WISHES,
        ]
        complete = failing(with_service(with_parameters(command, fields, "", added)))
        change.command(name, cls=_Operation, short_help=summary(fields))(complete)
        return fields

    return decorate


ParamGroups = Annotated[
    list[str] | None,
    typer.Option("--param-group", metavar="NAME", help="Only this param group; again for others.", show_default=False),
]
Hyperparameter = Annotated[
    str | None,
    typer.Option("--hyperparameter", metavar="NAME", help="What is changed, if it is not the LR.", show_default=False),
]


def _about(model: Any, field: str) -> str:
    return str(model.model_fields[field].description)


@operation("scale")
def scale(
    factor: Annotated[str, typer.Argument(metavar="FACTOR", help=_about(ScaleAmendment, "factor"))],
    floor: Annotated[
        list[str] | None,
        typer.Option(metavar="VALUE", help=_about(ScaleAmendment, "floor") + " Or group=value, once for each."),
    ] = None,
    param_group: ParamGroups = None,
    hyperparameter: Hyperparameter = None,
) -> Fields:
    """Multiply every value by a factor."""
    least = per_group(floor, "--floor") if floor else None
    return {"factor": finite(factor, "FACTOR"), "floor": least, **_of(param_group, hyperparameter)}


@operation("hold")
def hold(
    values: Annotated[
        list[str],
        typer.Argument(metavar="VALUE", help="A value, `current`, or group=value for each param group."),
    ],
    param_group: ParamGroups = None,
    hyperparameter: Hyperparameter = None,
) -> Fields:
    """Hold one value at every iteration; `current` is the one that the first of them would have had."""
    value = "current" if values == ["current"] else per_group(values, "VALUE", or_else=" or `current`")
    return {"value": value, **_of(param_group, hyperparameter)}


@operation("replace")
@with_specs(1, 1)
def replace(
    specs: list[SpecArgument],
    clock: Annotated[
        Literal["run", "here"] | None, typer.Option(help=_about(ReplaceAmendment, "clock"), show_default="run")
    ] = None,
    param_group: ParamGroups = None,
    hyperparameter: Hyperparameter = None,
) -> Fields:
    """Take the values of another schedule: another floor, length or shape is a spec that was edited."""
    return {"schedule": specs[0].written, "clock": clock, **_of(param_group, hyperparameter)}


@operation("rewarm")
def rewarm(
    iterations: Annotated[str, typer.Argument(metavar="DURATION", help=_about(RewarmAmendment, "iterations"))],
    start_factor: Annotated[
        str | None, typer.Option(metavar="NUMBER", help=_about(RewarmAmendment, "start_factor"), show_default="0")
    ] = None,
    param_group: ParamGroups = None,
    hyperparameter: Hyperparameter = None,
) -> Fields:
    """Warm up again, to what the values are then."""
    start = None if start_factor is None else finite(start_factor, "--start-factor")
    return {"iterations": duration(iterations, "ITERATIONS"), "start_factor": start, **_of(param_group, hyperparameter)}


@operation("cooldown")
def cooldown(
    iterations: Annotated[str, typer.Argument(metavar="DURATION", help=_about(CooldownAmendment, "iterations"))],
    to: Annotated[
        str | None, typer.Option(metavar="NUMBER", help=_about(CooldownAmendment, "to"), show_default="0")
    ] = None,
    shape: Annotated[
        Literal["linear", "cosine", "1-sqrt"] | None,
        typer.Option(help=_about(CooldownAmendment, "shape"), show_default="linear"),
    ] = None,
    param_group: ParamGroups = None,
    hyperparameter: Hyperparameter = None,
) -> Fields:
    """Go down to a value; the run ends with it."""
    end = None if to is None else finite(to, "--to")
    return {
        "iterations": duration(iterations, "ITERATIONS"),
        "to": end,
        "shape": shape,
        **_of(param_group, hyperparameter),
    }


@operation("extend")
def extend(
    total_iterations: Annotated[
        str, typer.Argument(metavar="DURATION", help=_about(ExtendAmendment, "total_iterations"))
    ],
    policy: Annotated[
        Literal["keep", "move-cooldown"] | None,
        typer.Option(help=_about(ExtendAmendment, "policy"), show_default="keep"),
    ] = None,
) -> Fields:
    """Make the run longer."""
    return {"total_iterations": duration(total_iterations, "TOTAL_ITERATIONS"), "policy": policy}


@operation("revert")
def revert(changed: Annotated[str, typer.Argument(metavar="CHANGE", help="Id of the change.")]) -> Fields:
    """Take back a change that has begun; one that was not handed out yet can be cancelled."""
    return {"change": changed}


@with_service
def cancel(
    service: Service,
    run_name: RunName,
    changed: Annotated[str, typer.Argument(metavar="CHANGE", help="Id of the change, as `runs show` lists it.")],
    yes: Yes = False,
    key: Key = None,
) -> None:
    """Take back a change that was not handed out yet."""
    run = find_run(service, run_name)
    path = f"changes/{quote(changed, safe='')}"
    found = service.get(f"{path_of(run)}/{path}")
    what = f"{operation_words(found['operation'])} by {found['author']}: {found['why']}"
    ask(f"{what}, from iteration {number(found['effect'])}. Cancel it?", is_yes=yes)
    answer = steering(run, key).send(service, "POST", f"{path}/cancel")
    say(f"change {answer['change']['id']} is cancelled: {what} (revision {answer['revision']})")


def _change(service: Service, run_name: str, operation: Fields, wish: Wish) -> None:
    """Shows what a change would do, asks, and makes it."""
    body = wish.body(operation)
    if not (wish.yes or wish.dry_run):
        if wish.json:
            fail("--json needs --dry-run or --yes: what a person is asked is no JSON", code=2)
        must_be_able_to_ask()
    run = find_run(service, run_name)
    if not wish.yes or wish.dry_run:
        body = _shown_first(service, run, body, wish)
    if wish.dry_run:
        return
    answer = steering(run, wish.key).send(service, "POST", "changes", body)
    if wish.json:
        print_json(answer)
        return
    found, repeated = answer["change"], " before" if answer["is_repeated"] else ""
    begin = "and is out again" if answer["effect"] is None else answer["effect"]["text"]
    what = f"{operation_words(found['operation'])}, {begin} (revision {answer['revision']})"
    say(f"accepted{repeated} as change {found['id']}: {what}")
    if answer["effect"] is not None:
        remark(*begin_words(run["label"], answer["job"], answer["effect"]["iteration"], found["at"]))


def _shown_first(service: Service, run: dict[str, Any], body: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """What to send once somebody has seen what it would do, and has said yes unless nothing is to be done."""
    preview = Steering(run, key=None).send(service, "POST", "changes", body, dry_run="true")
    if wish.json:
        print_json(preview)
        return body
    print_preview(preview, f"{run['label']}: {operation_words(body['operation'])}")
    at = body.get("at")
    wanted = at if isinstance(at, int) else None
    remark(*begin_words(run["label"], preview["job"], preview["effect"]["iteration"], wanted))
    if wish.dry_run:
        return body
    is_odd = preview["needs_confirmation"] and not wish.confirm
    ask("Change it all the same?" if is_odd else "Change it?", is_yes=False)
    return {**body, "confirm": bool(preview["needs_confirmation"])}


def _of(param_groups: list[str] | None, hyperparameter: str | None) -> Fields:
    return {"param_groups": param_groups or None, "hyperparameter": hyperparameter}
