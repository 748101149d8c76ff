"""The command line: `preheat` and its commands."""

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from preheat import __version__
from preheat.cli.conversions import export_spec, import_spec, list_recipes
from preheat.cli.demo import demo
from preheat.cli.keys import keys
from preheat.cli.output import open_closed_streams, refused_output, summary, take_any_encoding
from preheat.cli.resume import resume
from preheat.cli.runs import runs
from preheat.cli.schedules import diff, lint, lrs, plot
from preheat.cli.serve import serve
from preheat.cli.store import store


class _Root(TyperGroup):
    """All commands; what is wrong with an argument is told without pydantic's own prefix, which typer leaves there."""

    def invoke(self, ctx: Any) -> Any:
        """Runs a command."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise


open_closed_streams()
app = typer.Typer(
    name="preheat",
    cls=_Root,
    help="Learning-rate schedules as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    # In a pipe help is plain text: lines around it would cut long names.
    rich_markup_mode="rich" if sys.stdout.isatty() else None,
)
for name, command in (
    ("serve", serve),
    ("lrs", lrs),
    ("plot", plot),
    ("lint", lint),
    ("diff", diff),
    ("resume", resume),
    ("recipes", list_recipes),
    ("export", export_spec),
    ("import", import_spec),
    ("demo", demo),
):
    app.command(name, short_help=summary(command))(command)
app.add_typer(keys, name="keys")
app.add_typer(runs, name="runs", short_help="Look at live runs of a service, and change them.")
app.add_typer(store, name="store")


def main() -> None:
    """Runs the command line."""
    take_any_encoding()
    with refused_output():
        app()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
