"""Commands about one spec: lrs, plot and lint."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from preheat.cli.arguments import OUT, SpecFile, checked_curve, curve_of, fail, failing, parsed, valid, with_options
from preheat.plot.options import PlotOptions, Window
from preheat.settings import Settings
from preheat.specs import InvalidSpec

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve
    from preheat.lint import Finding

_ROWS_SHOWN = 40


@failing
@with_options(Window, Window.model_fields)
def lrs(
    spec: SpecFile,
    given: dict[str, Any],
    step: Annotated[int, typer.Option(help="Distance of two iterations.", min=1)] = 1,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")] = False,
) -> None:
    """List the learning rates of a spec."""
    if csv and json:
        fail("--csv and --json exclude each other", code=2)
    curve = curve_of(spec)

    from preheat.budget import check_values  # noqa: PLC0415
    from preheat.formats import schedule_window_json, window_csv  # noqa: PLC0415 - imports torch
    from preheat.lint import lint as findings_of  # noqa: PLC0415

    window = valid(Window, given).iterations(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    window = window[::step]
    check_values(len(window), len(curve.columns), valid(Settings, {}))
    values = curve.window(window.start, window.stop, window.step)
    if csv:
        sys.stdout.write(window_csv(curve, window, values).decode())
    elif json:
        sys.stdout.write(schedule_window_json(curve, window, values, findings_of(curve)).decode() + "\n")
    else:
        _print_table(curve, window, values.tolist())


@failing
@with_options(PlotOptions, PlotOptions.model_fields)
def plot(
    spec: SpecFile,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg; - for a PNG on stdout.")
    ],
    given: dict[str, Any],
) -> None:
    """Draw a spec."""
    suffix = Path(output).suffix.lower()
    if output != "-" and suffix not in {".png", ".svg"}:
        fail(f"-o ({output}) must end in .png or .svg", code=2)
    options = valid(PlotOptions, given)
    curve = curve_of(spec)

    from preheat.budget import check_picture  # noqa: PLC0415
    from preheat.plot.contents import render  # noqa: PLC0415

    check_picture(options.width_px, options.height_px, valid(Settings, {}))
    picture = render([curve], options, "svg" if suffix == ".svg" else "png")
    if output == "-":
        sys.stdout.buffer.write(picture)
        return
    try:
        Path(output).write_bytes(picture)
    except OSError as error:
        fail(f"-o ({output}) cannot be written: {error.strerror}")
    OUT.print(f"{escape(output)}: {len(picture):,} bytes")


@failing
def lint(
    spec: SpecFile, json: Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")] = False
) -> None:
    """Say what a spec does that its author may not have meant; exit code 1 if it would be refused."""
    from preheat.formats import findings_content  # noqa: PLC0415 - imports torch
    from preheat.lint import lint as findings_of  # noqa: PLC0415
    from preheat.lint import refusals  # noqa: PLC0415

    try:
        findings = findings_of(checked_curve(parsed(spec)))
    except InvalidSpec as error:
        findings = refusals(error)
    has_errors = any(finding.severity == "error" for finding in findings)
    if json:
        content = {"is_valid": not has_errors, "findings": findings_content(findings)}
        sys.stdout.write(orjson.dumps(content).decode() + "\n")
    else:
        _print_findings(findings)
    raise typer.Exit(1 if has_errors else 0)


def _print_table(curve: "Curve", window: range, values: list[list[float]]) -> None:
    names = (escape(column.name) for column in curve.columns)
    table = Table("iteration", *names, title=escape(curve.schedule.spec.label or curve.schedule.id))
    for column in table.columns:
        column.justify = "right"
    rows = [[str(iteration), *map(repr, row)] for iteration, row in zip(window, values, strict=True)]
    left_out = len(rows) - _ROWS_SHOWN
    if left_out > 0:
        rows[_ROWS_SHOWN // 2 : -_ROWS_SHOWN // 2] = [["…"] * len(table.columns)]
    for row in rows:
        table.add_row(*row)
    OUT.print(table)
    if left_out > 0:
        OUT.print(f"{left_out:,} rows left out: --csv or --json has them all, --start, --stop and --step choose")


def _print_findings(findings: "list[Finding]") -> None:
    colours = {"error": "red", "warning": "yellow", "info": "cyan"}
    for finding in findings:
        place = f" at iteration {finding.iteration}" if finding.iteration is not None else ""
        head = f"[bold {colours[finding.severity]}]{finding.severity}[/] {finding.rule}{place}"
        OUT.print(f"{head}: {escape(finding.detail)}", highlight=False, soft_wrap=True)
        OUT.print(f"    {escape(finding.pointer or '/')}: {escape(finding.remedy)}", highlight=False, soft_wrap=True)
    if not findings:
        OUT.print("no findings")
