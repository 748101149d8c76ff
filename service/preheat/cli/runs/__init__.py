"""Commands about live runs, over HTTP: `preheat runs`."""

import typer

from preheat.cli.output import summary
from preheat.cli.runs.changing import cancel, change
from preheat.cli.runs.controllers import controllers
from preheat.cli.runs.looking import history, list_, plot, show
from preheat.cli.runs.steering import delete, finish, fork, lock, make, rollback, unlock, withdraw
from preheat.cli.runs.watching import watch

runs = typer.Typer(
    help="Look at live runs of a service, and change what is still to come; PREHEAT_TOKEN is the key.",
    no_args_is_help=True,
)
for _name, _command in (
    ("list", list_),
    ("show", show),
    ("watch", watch),
    ("history", history),
    ("plot", plot),
    ("make", make),
    ("cancel", cancel),
    ("rollback", rollback),
    ("withdraw", withdraw),
    ("fork", fork),
    ("lock", lock),
    ("unlock", unlock),
    ("finish", finish),
    ("delete", delete),
):
    runs.command(_name, short_help=summary(_command))(_command)
runs.add_typer(change, name="change", short_help="Change what is still to come of a run.")
runs.add_typer(controllers, name="controllers", short_help="Let ReduceLROnPlateau follow what a job reports.")
