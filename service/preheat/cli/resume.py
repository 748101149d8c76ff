"""The command resume: what happens where a run goes over from one spec to another."""

import json
from typing import TYPE_CHECKING, Annotated, Literal

import typer
import yaml

from preheat.cli.arguments import ERR, SpecFile, checked_curve, curve_of, fail, failing, text_of
from preheat.specs import InvalidSpec, parse_spec_file
from preheat.specs.durations import Unit, Units
from preheat.specs.parse import YamlLoader

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve

_NewFile = Annotated[str, typer.Argument(metavar="NEW", help="File with the spec to go on with, in JSON or YAML.")]
_Policy = Literal["keep", "rescale", "rewarm", "refuse"]


@failing
def resume(
    spec: SpecFile,
    new: _NewFile,
    policy: Annotated[
        _Policy, typer.Option(help="Take NEW as it is, rescale it to the LR, rewarm from it, or refuse a jump.")
    ] = "keep",
    iteration: Annotated[int | None, typer.Option(help="The last update of SPEC.", min=0)] = None,
    epoch: Annotated[float | None, typer.Option(help="Epochs done, by each spec's units.", min=0)] = None,
    samples: Annotated[float | None, typer.Option(help="Samples done, by each spec's units.", min=0)] = None,
    tokens: Annotated[float | None, typer.Option(help="Tokens done, by each spec's units.", min=0)] = None,
) -> None:
    """Write the spec with which a run goes on from SPEC to NEW, in YAML; the LRs there are told on stderr."""
    amounts: dict[Unit, float | None] = {"epoch": epoch, "samples": samples, "tokens": tokens}
    given = {unit: amount for unit, amount in amounts.items() if amount is not None}
    if len(given) + (iteration is not None) != 1:
        fail("exactly one of --iteration, --epoch, --samples and --tokens must be given", code=2)
    old, text = curve_of(spec), text_of(new)

    from preheat.analysis.handover import Place, hand_over, rewarm  # noqa: PLC0415 - imports torch
    from preheat.schedule import Schedule  # noqa: PLC0415

    try:
        following = checked_curve(parse_spec_file(text))
        place = Place(*(_iteration(curve, iteration, given) for curve in (old, following)))
        if policy == "rewarm":
            written = json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, YamlLoader)  # noqa: S506 - a SafeLoader
            found = rewarm(old, place, following, written)
        else:
            found = hand_over(old, place, following, policy)
    except InvalidSpec as error:
        fail(*(violation.detail for violation in error.violations))
    for group in found.groups:
        change = "goes on" if group.is_ordinary else "jumps"
        line = f"{group.group}: {change} from {group.last_lr:g} to {group.new_lr:g} at iteration {found.iteration}"
        ERR.print(line, markup=False, highlight=False, soft_wrap=True)
    typer.echo(yaml.safe_dump(Schedule(found.spec).spec_dict, sort_keys=False, allow_unicode=True), nl=False)


def _iteration(curve: "Curve", iteration: int | None, given: dict[Unit, float]) -> int:
    """The last update by a curve's own units."""
    if iteration is not None:
        return iteration
    ((unit, amount),) = given.items()
    try:
        return (curve.schedule.spec.units or Units()).iterations(unit, amount)
    except ValueError as error:
        fail(f"--{unit} {error}", code=2)
