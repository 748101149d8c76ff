"""Everything that can be asked of a spec or a source, within a deadline, for a child process to do."""

import json
import time
from contextlib import suppress
from typing import Any, get_args

from preheat.analysis.difference import difference
from preheat.analysis.window import first_crossing, totals
from preheat.budget import Deadline
from preheat.conversions import Target
from preheat.conversions.exporters import export
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.curve import Curve
from preheat.errors import NotImportable, PreheatError
from preheat.lint import lint
from preheat.plot.options import PlotOptions
from preheat.plot.render import render
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, parse_spec, spec_of
from preheat.specs.parse import content_of_file


def everything(spec: dict[str, Any], deadline_s: float, targets: tuple[Target, ...] = get_args(Target)) -> float:
    """Seconds of the slowest of parse, lint, sum, difference, crossing, every export and a large picture.

    Each has a deadline of its own, after which it must stop; an answer that is refused is an answer.
    """
    slowest = 0.0
    curves: list[Curve] = []

    def parse(deadline: Deadline) -> None:
        curves.append(Curve(Schedule(parse_spec(json.dumps(spec), deadline.check))))

    steps: list[Any] = [parse, lambda d: lint(curves[0], d), lambda d: totals(curves[0], 0, _stop(curves[0]), d)]
    steps += [lambda d: difference(curves[0], curves[0], range(_stop(curves[0])), 1000, d)]
    steps += [lambda d: first_crossing(curves[0], 1e-3, 0, 0, _stop(curves[0]), d)]
    steps += [lambda _, to=target: export(curves[0].schedule, to) for target in targets]
    steps += [lambda d: render(curves, PlotOptions(width_px=4000, height_px=3000), "png", d)]
    for step in steps:
        begin = time.monotonic()
        with suppress(PreheatError, InvalidSpec):
            step(Deadline(deadline_s))
        slowest = max(slowest, time.monotonic() - begin)
        if not curves:
            break
    return slowest


def imported(library: Any, source: Any, known: dict[str, Any]) -> str:
    """What an import answers: "imported", or why not."""
    try:
        spec_of(import_schedule(library, source, Known(**known)).spec)
    except (NotImportable, InvalidSpec) as error:
        return str(error)
    return "imported"


def read_file(text: str) -> str:
    """What reading a file with a spec answers: "read", or why not."""
    try:
        spec_of(content_of_file(text))
    except InvalidSpec as error:
        return str(error)
    return "read"


def _stop(curve: Curve) -> int:
    return curve.total_iterations + 1
