"""Commands that convert schedules: export and import, and recipes to start from."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.markup import escape

from preheat.cli.arguments import RecipeName, SpecArgument, failing, text_of, with_specs
from preheat.cli.output import ERR, fail, print_table, write_data
from preheat.conversions import Source, Target
from preheat.specs import spec_of
from preheat.specs.violations import unknown


def list_recipes(name: RecipeName = None) -> None:
    """List the recipes, or show one as a spec to start from."""
    from preheat.specs.recipes import recipes  # noqa: PLC0415 - parses its file

    if name is None:
        rows = [(recipe.name, recipe.title, recipe.source) for recipe in recipes().values()]
        print_table(("name", "what it trains", "source"), rows)
        return
    if name not in recipes():
        fail(f"recipe ({name}) {unknown('recipe', name, recipes())}")
    recipe = recipes()[name]
    notes = f"# {recipe.notes}\n" if recipe.notes else ""
    write_data(f"# {recipe.title}. {recipe.source}\n{notes}{_yaml(recipe.spec)}\n")


@failing
@with_specs(1, 1)
def export_spec(
    specs: list[SpecArgument],
    to: Annotated[Target, typer.Option("--to", help="The library to write it for.")] = "torch",
) -> None:
    """Write a spec as a script, or a configuration, of another library."""
    curve = specs[0].curve()

    from preheat.conversions.exporters import export  # noqa: PLC0415

    write_data(export(curve.schedule, to))


@failing
def import_spec(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File with code, a configuration or a scheduler.pt; - for stdin.")
    ],
    library: Annotated[
        Source | None, typer.Option("--from", help="Whose schedule it is; by default what its names tell.")
    ] = None,
    target_lr: Annotated[float | None, typer.Option(help="Target LR, instead of the source's.", min=0)] = None,
    total_iterations: Annotated[
        int | None, typer.Option(help="Length of the run, instead of the source's.", min=1)
    ] = None,
    warmup_iterations: Annotated[int | None, typer.Option(help="Warm-up, instead of the source's.", min=0)] = None,
    dataset_size: Annotated[int | None, typer.Option(help="Samples, for a length in epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Batch of one device.", min=1)] = None,
    accumulation: Annotated[int | None, typer.Option(help="Batches of one update.", min=1)] = None,
    devices: Annotated[int | None, typer.Option(help="Devices that share the data.", min=1)] = None,
    epochs: Annotated[float | None, typer.Option(help="Epochs of the run.", min=0)] = None,
) -> None:
    """Write the spec of another library's schedule, in YAML; what it cannot say is named on stderr."""
    from preheat.conversions.importers import import_schedule  # noqa: PLC0415
    from preheat.conversions.importers.torch_state import is_checkpoint, read_checkpoint  # noqa: PLC0415 - imports torch
    from preheat.conversions.known import Known  # noqa: PLC0415

    content = read_checkpoint(Path(source)) if is_checkpoint(Path(source)) else text_of(source, "SOURCE")
    known = Known(
        target_lr, total_iterations, warmup_iterations, dataset_size, batch_size, accumulation, devices, epochs
    )
    found = import_schedule(library, content, known)
    if library is None:
        ERR.print(f"read as {found.library}", highlight=False)
    spec_of(found.spec)  # what breaks rules is said, and not written down
    write_data(_yaml(found.spec) + "\n")
    for left in found.not_carried:
        said = f"{escape(left.field)} {escape(left.reason)}"
        ERR.print(f"[yellow]not carried over:[/] {said}", highlight=False, soft_wrap=True)


def _yaml(content: object) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return text.rstrip()
