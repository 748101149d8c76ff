"""Commands about controllers of live runs: runs controllers list, add and remove."""

from typing import Annotated, Literal
from urllib.parse import quote

import typer

from preheat.cli.output import print_table, remark, say, summary, visible, write_data
from preheat.cli.runs.answers import Refused
from preheat.cli.runs.changing import ParamGroups
from preheat.cli.runs.found import RunName, find_run, path_of
from preheat.cli.runs.looking import Json, print_json
from preheat.cli.runs.numbers import finite, per_group
from preheat.cli.runs.service import Service, with_service
from preheat.cli.runs.words import controller_words, count_words, number, others_words

controllers = typer.Typer(
    help="Let torch's ReduceLROnPlateau follow a number that a job reports.", no_args_is_help=True
)


@with_service
def list_(service: Service, run_name: RunName, json: Json = False) -> None:
    """List the controllers of a run."""
    content = service.get(f"{path_of(find_run(service, run_name))}/controllers")
    if json:
        print_json(content)
        return
    rows = [
        (each["id"], controller_words(each), number(each["first"]), count_words(each))
        for each in content["controllers"]
    ]
    print_table(("controller", "what", "counts from", "has counted"), rows)


@with_service
def add(
    service: Service,
    run_name: RunName,
    metric: Annotated[str, typer.Argument(metavar="METRIC", help="Name of the reported number.")],
    mode: Annotated[
        Literal["min", "max"] | None, typer.Option(help="Whether less of it is better.", show_default="min")
    ] = None,
    factor: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="What the LR is multiplied by.", show_default="0.1")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Reports without an improvement before the LR is reduced.", show_default="10")
    ] = None,
    threshold: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="What counts as an improvement.", show_default="0.0001")
    ] = None,
    threshold_mode: Annotated[
        Literal["rel", "abs"] | None, typer.Option(help="Of what it is a share.", show_default="rel")
    ] = None,
    cooldown: Annotated[
        int | None, typer.Option(help="Reports after a reduction that do not count.", show_default="0")
    ] = None,
    min_lr: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VALUE", help="LR that none is reduced below; or group=value, once for each.", show_default="0"
        ),
    ] = None,
    eps: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Least reduction of an LR that is made.", show_default="1e-08")
    ] = None,
    param_group: ParamGroups = None,
) -> None:
    """Add ReduceLROnPlateau with torch's arguments and defaults, and print its id; it counts what comes from now on."""
    numbers = {"factor": factor, "threshold": threshold, "eps": eps}
    parameters = {
        "mode": mode,
        **{name: None if each is None else finite(each, f"--{name}") for name, each in numbers.items()},
        "patience": patience,
        "threshold_mode": threshold_mode,
        "cooldown": cooldown,
        "min_lr": per_group(min_lr, "--min-lr") if min_lr else None,
        "param_groups": param_group or None,
    }
    given = {name: each for name, each in parameters.items() if each is not None}
    run = find_run(service, run_name)
    body = {"metric": metric, "parameters": given}
    made = service.send("POST", f"{path_of(run)}/controllers", body)
    write_data(visible(made["id"]) + "\n")
    is_new = all(each["id"] != made["id"] for each in run["controllers"])
    remark(f"{controller_words(made)}, from iteration {number(made['first'])} on{'' if is_new else ': it was there'}")
    names = service.get(f"{path_of(run)}/reports", name=metric, limit=1)["names"] if run["attempt"] else [metric]
    if metric not in names:
        remark(f"its job has reported no {metric} yet, {others_words(names)}")


@with_service
def remove(
    service: Service,
    run_name: RunName,
    controller: Annotated[str, typer.Argument(metavar="CONTROLLER", help="Its id, as the list has it.")],
) -> None:
    """Remove a controller; its reductions stay."""
    run = find_run(service, run_name)
    try:
        service.request("DELETE", f"{path_of(run)}/controllers/{quote(controller, safe='')}")
    except Refused as error:
        if not (error.is_again and error.kind == "controller-not-found"):
            raise
    say(f"controller {controller} of {run['label']} is removed")


for _name, _command in (("list", list_), ("add", add), ("remove", remove)):
    controllers.command(_name, short_help=summary(_command))(_command)
