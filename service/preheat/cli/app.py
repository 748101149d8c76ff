"""The command line."""

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import orjson
import typer
import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from preheat import __version__
from preheat.conversions.libraries import Source, Target
from preheat.errors import PreheatError
from preheat.plot.options import PlotOptions
from preheat.settings import Settings
from preheat.specs import InvalidSpec, Spec, from_pydantic, parse_spec_file, spec_of

if TYPE_CHECKING:  # torch takes a second to import; --help does not need it
    from preheat.curve import Curve
    from preheat.lint import Finding
    from preheat.store import Database

app = typer.Typer(
    name="preheat",
    help="Learning-rate schedules as a service.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_OUT, _ERR = Console(), Console(stderr=True)
_ROWS_SHOWN = 40

SpecFile = Annotated[str, typer.Argument(metavar="SPEC", help="File with a spec in JSON or YAML; - for stdin.")]
Start = Annotated[int, typer.Option(help="First iteration.", min=0)]
Stop = Annotated[int | None, typer.Option(help="Iteration before which to end.  [default: total_iterations + 1]")]


def main() -> None:
    """Runs the command line."""
    app()


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 picks a free one.  [default: 8000]")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer.  [default: 1]")] = None,
    database_url: Annotated[
        str | None, typer.Option(help="sqlite:///FILE or sqlite:///:memory:.  [default: a file in your data folder]")
    ] = None,
) -> None:
    """Run the service. Every setting can also be an environment variable: PREHEAT_PORT=9000, say."""
    given = {"host": host, "port": port, "workers": workers, "database_url": database_url}
    settings = _settings({name: value for name, value in given.items() if value is not None})
    is_shared = _database(settings).is_shared
    if settings.workers > 1 and not is_shared:
        _fail(f"workers ({settings.workers}) must be 1 with a database in memory: the workers could not share it")
    listening_port = _free_port(settings.host, settings.port)
    for name, value in given.items():  # worker processes read their settings from the environment
        if value is not None:
            os.environ[f"PREHEAT_{name.upper()}"] = str(value)
    _greet(f"http://{settings.host}:{listening_port}", settings)

    import uvicorn  # noqa: PLC0415 - only here

    uvicorn.run(
        "preheat.api:app_from_environment",
        factory=True,
        host=settings.host,
        port=listening_port,
        workers=settings.workers,
        log_level="warning",
    )


@app.command()
def lrs(
    spec: SpecFile,
    start: Start = 0,
    stop: Stop = None,
    step: Annotated[int, typer.Option(help="Distance of two iterations.", min=1)] = 1,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")] = False,
) -> None:
    """List the learning rates of a spec."""
    if csv and json:
        _fail("--csv and --json exclude each other", code=2)
    curve = _curve(spec)

    from preheat.api.answers import window_csv, window_json  # noqa: PLC0415 - imports FastAPI
    from preheat.budget import check_values  # noqa: PLC0415
    from preheat.lint import lint as findings_of  # noqa: PLC0415

    window = range(start, curve.total_iterations + 1 if stop is None else stop, step)
    try:
        curve.check_window(window.start, window.stop)
        check_values(len(window), len(curve.columns), _settings({}))
        values = curve.window(window.start, window.stop, window.step)
    except PreheatError as error:
        _fail(str(error))
    if csv or json:
        text = window_csv(curve, window, values) if csv else window_json(curve, window, values, findings_of(curve))
        sys.stdout.write(text.decode() + ("\n" if json else ""))
    else:
        _print_table(curve, window, values.tolist())


@app.command()
def plot(
    spec: SpecFile,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="A .png or .svg; - for a PNG on stdout.")
    ],
    width_px: Annotated[int, typer.Option(help="Width in pixels.", min=200)] = 960,
    height_px: Annotated[int, typer.Option(help="Height in pixels.", min=150)] = 480,
    scale: Annotated[Literal["linear", "log"], typer.Option(help="LR axis.")] = "linear",
    theme: Annotated[Literal["light", "dark"], typer.Option(help="Colours.")] = "light",
    start: Start = 0,
    stop: Stop = None,
    at: Annotated[int | None, typer.Option(help="Iteration to mark.", min=0)] = None,
) -> None:
    """Draw a spec."""
    suffix = Path(output).suffix.lower()
    if output != "-" and suffix not in {".png", ".svg"}:
        _fail(f"-o ({output}) must end in .png or .svg", code=2)
    curve = _curve(spec)

    from preheat.budget import check_picture  # noqa: PLC0415
    from preheat.plot.contents import render  # noqa: PLC0415

    try:
        check_picture(width_px, height_px, _settings({}))
        options = PlotOptions(
            width_px=width_px, height_px=height_px, scale=scale, theme=theme, start=start, stop=stop, at=at
        )
        picture = render([curve], options, "svg" if suffix == ".svg" else "png")
    except PreheatError as error:
        _fail(str(error))
    if output == "-":
        sys.stdout.buffer.write(picture)
        return
    try:
        Path(output).write_bytes(picture)
    except OSError as error:
        _fail(f"-o ({output}) cannot be written: {error.strerror}")
    _OUT.print(f"{escape(output)}: {len(picture):,} bytes")


@app.command()
def lint(
    spec: SpecFile, json: Annotated[bool, typer.Option("--json", help="Write JSON, as the service answers.")] = False
) -> None:
    """Say what a spec does that its author may not have meant; exit code 1 if it would be refused."""
    from preheat.lint import lint as findings_of  # noqa: PLC0415 - imports torch
    from preheat.lint import refusals  # noqa: PLC0415

    try:
        findings = findings_of(_curve_of(_parsed(spec)))
    except InvalidSpec as error:
        findings = refusals(error)
    except PreheatError as error:
        _fail(str(error))
    has_errors = any(finding.severity == "error" for finding in findings)
    if json:
        from preheat.api.answers import remarks  # noqa: PLC0415 - imports FastAPI

        sys.stdout.write(orjson.dumps({"is_valid": not has_errors, "findings": remarks(findings)}).decode() + "\n")
    else:
        _print_findings(findings)
    raise typer.Exit(1 if has_errors else 0)


@app.command(name="recipes")
def list_recipes(
    name: Annotated[str | None, typer.Argument(help="Show this one, as a spec in YAML.")] = None,
) -> None:
    """List the recipes, or show one as a spec to start from."""
    from preheat.specs.recipes import recipes  # noqa: PLC0415 - parses its file

    if name is None:
        table = Table("name", "what it trains", "source")
        for recipe in recipes().values():
            table.add_row(escape(recipe.name), escape(recipe.title), escape(recipe.source))
        _OUT.print(table)
        return
    if name not in recipes():
        _fail(f"no recipe has the name {name}: preheat recipes lists them")
    recipe = recipes()[name]
    typer.echo(f"# {recipe.title}. {recipe.source}")
    if recipe.notes:
        typer.echo(f"# {recipe.notes}")
    typer.echo(yaml.safe_dump(recipe.spec, sort_keys=False, allow_unicode=True).rstrip())


@app.command(name="export")
def export_spec(
    spec: SpecFile,
    to: Annotated[Target, typer.Option("--to", help="The library to write it for.")] = "torch",
) -> None:
    """Write a spec as a script, or a configuration, of another library."""
    curve = _curve(spec)

    from preheat.conversions.exporters import export  # noqa: PLC0415

    try:
        sys.stdout.write(export(curve.schedule, to))
    except PreheatError as error:
        _fail(str(error))


@app.command(name="import")
def import_spec(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File with a torch constructor or JSON; - for stdin.")
    ],
    library: Annotated[Source, typer.Option("--from", help="Whose schedule it is.")] = "torch",
    target_lr: Annotated[float | None, typer.Option(help="Target LR, where the source says none.", min=0)] = None,
    total_iterations: Annotated[int | None, typer.Option(help="Length of the run, likewise.", min=1)] = None,
) -> None:
    """Write the spec of another library's schedule, in YAML; what it cannot say is named on stderr."""
    text = _text(source)

    from preheat.conversions.importers import import_schedule  # noqa: PLC0415 - imports torch
    from preheat.conversions.source import Known  # noqa: PLC0415

    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        content = text
    try:
        found = import_schedule(library, content, Known(target_lr, total_iterations))
        spec_of(found.spec)
    except InvalidSpec as error:
        _fail(*(violation.detail for violation in error.violations))
    except PreheatError as error:
        _fail(str(error))
    typer.echo(yaml.safe_dump(found.spec, sort_keys=False, allow_unicode=True).rstrip())
    for left in found.not_carried:
        _ERR.print(f"[yellow]not carried over:[/] {escape(left.field)} {escape(left.reason)}", highlight=False)


@app.command()
def demo(
    iterations: Annotated[int, typer.Option(help="Length of the run.", min=20, max=100_000)] = 300,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Where to write the picture.")] = (
        "preheat-demo.png"
    ),
) -> None:
    """Start a service, train a small model in two processes that read their LR from it, and draw the schedule."""
    from preheat.cli.demo import DemoFailed, run_demo  # noqa: PLC0415

    try:
        run_demo(iterations, Path(output), _OUT)
    except DemoFailed as error:
        _fail(str(error))


def _text(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except OSError as error:
        _fail(f"SPEC ({file}) cannot be read: {error.strerror}", code=2)
    except UnicodeDecodeError:
        _fail(f"SPEC ({file}) must be UTF-8 text", code=2)


def _parsed(spec_file: str) -> Spec:
    return parse_spec_file(_text(spec_file))


def _curve(spec_file: str) -> "Curve":
    try:
        return _curve_of(_parsed(spec_file))
    except InvalidSpec as error:
        _fail(*(violation.detail for violation in error.violations))


def _curve_of(spec: Spec) -> "Curve":
    from preheat.budget import check_length  # noqa: PLC0415
    from preheat.curve import Curve  # noqa: PLC0415 - imports torch
    from preheat.schedule import Schedule  # noqa: PLC0415

    try:
        check_length(spec, _settings({}))
    except PreheatError as error:
        _fail(str(error))
    return Curve(Schedule(spec))


def _settings(given: dict[str, object]) -> Settings:
    try:
        return Settings(**given)  # type: ignore[arg-type] # pydantic checks the types
    except ValidationError as error:
        _fail(*(violation.detail for violation in from_pydantic(error.errors())), code=2)


def _database(settings: Settings) -> "Database":
    from preheat.store import Database  # noqa: PLC0415 - imports SQLAlchemy

    try:
        return Database(settings.database_url, settings.database_timeout_s)
    except ValueError as error:
        _fail(str(error), code=2)


def _free_port(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            _fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another with --host and --port")
        number: int = listener.getsockname()[1]
        return number


def _greet(url: str, settings: Settings) -> None:
    typer.echo(f"Preheat {__version__} on {url}  (routes: {url}/docs, schedules in {settings.database_url})")
    typer.echo(f"""Try:
  curl -s {url}/v1/schedules -H 'Content-Type: application/json' -d '{{"target_lr": 0.01, "total_iterations": 20, \
"warmup": {{"iterations": 10}}, "after_scheduler": {{"type": "CosineAnnealingLR"}}}}'
Ctrl-C ends it.""")


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
    _OUT.print(table)
    if left_out > 0:
        _OUT.print(f"{left_out:,} rows left out: --csv or --json has them all, --start, --stop and --step choose")


def _print_findings(findings: "list[Finding]") -> None:
    colours = {"error": "red", "warning": "yellow", "info": "cyan"}
    for finding in findings:
        place = f" at iteration {finding.iteration}" if finding.iteration is not None else ""
        head = f"[bold {colours[finding.severity]}]{finding.severity}[/] {finding.rule}{place}"
        _OUT.print(f"{head}: {escape(finding.detail)}", highlight=False, soft_wrap=True)
        _OUT.print(f"    {escape(finding.pointer or '/')}: {escape(finding.remedy)}", highlight=False, soft_wrap=True)
    if not findings:
        _OUT.print("nothing to remark")


def _fail(*messages: str, code: int = 1) -> NoReturn:
    for message in messages:
        _ERR.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
