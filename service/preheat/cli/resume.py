"""The command resume: what happens where a run goes over from one spec to another."""

from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from preheat.analysis import Policy
from preheat.cli.arguments import SpecArgument, failing, with_specs
from preheat.cli.output import ERR, fail, write_data
from preheat.specs.duration_text import Unit
from preheat.specs.durations import Units

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve


@failing
@with_specs(2, 2)
def resume(
    specs: list[SpecArgument],
    policy: Annotated[
        Policy,
        typer.Option(help="Take the new spec as it is, rescale it to the LR, rewarm from it, or refuse a jump."),
    ] = "keep",
    iteration: Annotated[int | None, typer.Option(help="The last update of the old spec.", min=0)] = None,
    epoch: Annotated[float | None, typer.Option(help="Epochs done, by each spec's units.", min=0)] = None,
    samples: Annotated[float | None, typer.Option(help="Samples done, by each spec's units.", min=0)] = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens done, by each spec's units.", min=0)] = None,
) -> None:
    """Write the spec to go on with, in YAML, where a run goes over from one to another; the LRs are told on stderr."""
    amounts: dict[Unit, float | None] = {"epoch": epoch, "samples": samples, "tokens": tokens}
    given = {unit: amount for unit, amount in amounts.items() if amount is not None}
    if len(given) + (iteration is not None) != 1:
        fail("exactly one of --iteration, --epoch, --samples and --tokens must be given", code=2)
    old, new = (spec.curve() for spec in specs)

    from preheat.analysis.handover import Place, hand_over, rewarm  # noqa: PLC0415 - imports torch
    from preheat.schedule import Schedule  # noqa: PLC0415

    place = Place(*(_iteration(curve, iteration, given) for curve in (old, new)))
    found = rewarm(old, place, new, specs[1].written) if policy == "rewarm" else hand_over(old, place, new, policy)
    for group in found.groups:
        change = "goes on" if group.is_ordinary else "jumps"
        line = f"{group.group}: {change} from {group.last_lr:g} to {group.new_lr:g} at iteration {found.iteration}"
        ERR.print(line, markup=False, highlight=False, soft_wrap=True)
    write_data(yaml.safe_dump(Schedule(found.spec).spec_dict, sort_keys=False, allow_unicode=True))


def _iteration(curve: "Curve", iteration: int | None, given: dict[Unit, float]) -> int:
    """The last update by a curve's own units."""
    if iteration is not None:
        return iteration
    ((unit, amount),) = given.items()
    try:
        return (curve.schedule.spec.units or Units()).iterations(unit, amount)
    except ValueError as error:
        fail(f"--{unit} {error}", code=2)
