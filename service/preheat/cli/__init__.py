"""The command line: `preheat` and its commands."""

from typing import Annotated

import typer

from preheat import __version__
from preheat.cli.conversions import export_spec, import_spec, list_recipes
from preheat.cli.demo import demo
from preheat.cli.resume import resume
from preheat.cli.schedules import lint, lrs, plot
from preheat.cli.serve import serve

app = typer.Typer(
    name="preheat",
    help="Learning-rate schedules as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for name, command in (
    ("serve", serve),
    ("lrs", lrs),
    ("plot", plot),
    ("lint", lint),
    ("resume", resume),
    ("recipes", list_recipes),
    ("export", export_spec),
    ("import", import_spec),
    ("demo", demo),
):
    app.command(name)(command)


def main() -> None:
    """Runs the command line."""
    app()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
