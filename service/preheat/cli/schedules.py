"""Commands about specs: lrs, plot, lint and diff."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.markup import escape

from preheat.cli.arguments import SpecArgument, checked_curve, failing, valid, with_options, with_specs
from preheat.cli.output import OUT, fail, print_table, write_data
from preheat.cli.pictures import picture_kind, write_picture
from preheat.errors import NotComparable
from preheat.plot.options import PlotOptions, Window
from preheat.settings import Settings
from preheat.specs import InvalidSpec

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.analysis.difference import ValuePair
    from preheat.curve import Curve
    from preheat.lint import Finding

_ROWS_SHOWN = 40

Json = Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")]


@failing
@with_specs(1, 1)
@with_options(Window, Window.model_fields)
def lrs(
    specs: list[SpecArgument],
    given: dict[str, Any],
    step: Annotated[int, typer.Option(help="Distance of two iterations.", min=1)] = 1,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    json: Json = False,
) -> None:
    """List the learning rates of a spec."""
    if csv and json:
        fail("--csv and --json exclude each other", code=2)
    curve = specs[0].curve()

    from preheat.budget import check_values  # noqa: PLC0415
    from preheat.formats import schedule_window_json, window_csv  # noqa: PLC0415 - imports torch
    from preheat.lint import lint as findings_of  # noqa: PLC0415

    window = valid(Window, given).iterations(curve.total_iterations)
    curve.check_window(window.start, window.stop)
    window = window[::step]
    check_values(len(window), len(curve.columns), valid(Settings, {}))
    values = curve.window(window.start, window.stop, window.step)
    if csv:
        write_data(window_csv(curve, window, values))
    elif json:
        write_data(schedule_window_json(curve, window, values, findings_of(curve)) + b"\n")
    else:
        _print_lrs(curve, window, values.tolist())


@failing
@with_specs(1)
@with_options(PlotOptions, PlotOptions.model_fields)
def plot(
    specs: list[SpecArgument],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg; - for a PNG on stdout.")
    ],
    given: dict[str, Any],
) -> None:
    """Draw a spec, or several in the same axes."""
    suffix = picture_kind(output)
    options = valid(PlotOptions, given)
    curves = [_named_curve(spec) for spec in specs]

    from preheat.budget import check_picture  # noqa: PLC0415
    from preheat.plot.render import render  # noqa: PLC0415

    check_picture(options.width_px, options.height_px, valid(Settings, {}))
    write_picture(output, render(curves, options, suffix))


@failing
@with_specs(1, 1)
def lint(specs: list[SpecArgument], json: Json = False) -> None:
    """Say what a spec does that its author may not have meant; exit code 1 if it would be refused."""
    from preheat.formats import findings_content  # noqa: PLC0415 - imports torch
    from preheat.lint import lint as findings_of  # noqa: PLC0415
    from preheat.lint import refusals  # noqa: PLC0415

    try:
        findings = findings_of(checked_curve(specs[0].parsed()))
    except InvalidSpec as error:
        findings = refusals(error)
    has_errors = any(finding.severity == "error" for finding in findings)
    if json:
        content = {"is_valid": not has_errors, "findings": findings_content(findings)}
        write_data(orjson.dumps(content) + b"\n")
    else:
        _print_findings(findings)
    raise typer.Exit(1 if has_errors else 0)


@failing
@with_specs(2, 2)
@with_options(Window, Window.model_fields)
def diff(
    specs: list[SpecArgument],
    given: dict[str, Any],
    rows: Annotated[
        int, typer.Option(help="Iterations in the table, and at most 20,000 values.", min=0, max=1000)
    ] = 20,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Draw both, and the difference: .png or .svg.")
    ] = None,
) -> None:
    """Say where two specs differ first and most; the difference is the second minus the first."""
    suffix = "" if output is None else picture_kind(output)
    a, b = (_named_curve(spec) for spec in specs)

    from preheat.analysis.difference import difference  # noqa: PLC0415
    from preheat.plot.render import render_difference  # noqa: PLC0415

    window = valid(Window, given).iterations(min(a.total_iterations, b.total_iterations))
    if not window:
        raise NotComparable("the window has no iteration")
    found = difference(a, b, window, rows)
    if output is not None:
        options = PlotOptions(start=window.start, stop=window.stop)
        write_picture(output, render_difference(a, b, options, suffix))
    for which, pair in (("first", found.first), ("largest", found.largest)):
        if pair is not None:
            words = f"{pair.column.name} {pair.a!r} and {pair.b!r}, {pair.difference:+.6g}"
            OUT.print(f"{which} difference at iteration {pair.iteration}: {escape(words)}", soft_wrap=True)
    if found.first is None:
        OUT.print(f"no difference in iterations {window.start} … {window.stop - 1}")
    if rows:
        names = [curve.schedule.spec.label or "" for curve in (a, b)]
        print_table(("iteration", "column", *names, "difference"), map(_row, found.table), are_numbers=True)


def _named_curve(spec: SpecArgument) -> "Curve":
    """The curve of a spec; without a label of its own the file's name stands for it in pictures and tables."""
    own = spec.parsed()
    return checked_curve(own if own.label else own.model_copy(update={"label": Path(spec.name).stem}))


def _print_lrs(curve: "Curve", window: range, values: list[list[float]]) -> None:
    names = [column.name for column in curve.columns]
    rows = [[str(iteration), *map(repr, row)] for iteration, row in zip(window, values, strict=True)]
    left_out = len(rows) - _ROWS_SHOWN
    if left_out > 0:
        rows[_ROWS_SHOWN // 2 : -_ROWS_SHOWN // 2] = [["…"] * (len(names) + 1)]
    title = curve.schedule.spec.label or curve.schedule.id
    print_table(("iteration", *names), rows, title, are_numbers=True)
    if left_out > 0:
        OUT.print(f"{left_out:,} rows left out: --csv or --json has them all, --start, --stop and --step choose")


def _row(pair: "ValuePair") -> list[str]:
    return [str(pair.iteration), pair.column.name, repr(pair.a), repr(pair.b), f"{pair.difference:+.6g}"]


def _print_findings(findings: "list[Finding]") -> None:
    colours = {"error": "red", "warning": "yellow", "info": "cyan"}
    for finding in findings:
        place = f" at iteration {finding.iteration}" if finding.iteration is not None else ""
        head = f"[bold {colours[finding.severity]}]{finding.severity}[/] {finding.rule}{place}"
        OUT.print(f"{head}: {escape(finding.detail)}", highlight=False, soft_wrap=True)
        OUT.print(f"    {escape(finding.pointer or '/')}: {escape(finding.remedy)}", highlight=False, soft_wrap=True)
    if not findings:
        OUT.print("no findings")
