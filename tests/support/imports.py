"""Imports that tests look at: their LRs, what they did not carry over, and why they were refused."""

import json
from typing import Any

import pytest

from preheat.conversions import Source
from preheat.conversions.importers import Imported, import_schedule
from preheat.conversions.known import Known
from preheat.curve import Curve
from preheat.errors import NotImportable
from preheat.schedule import Schedule
from preheat.specs import parse_spec


def imported(library: Source, source: Any, **known: Any) -> Imported:
    """An import, with what is known of the run."""
    return import_schedule(library, source, Known(**known))


def columns(library: Source, source: Any, **known: Any) -> list[list[float]]:
    """Every LR of each param group of an imported spec."""
    curve = Curve(Schedule(parse_spec(json.dumps(imported(library, source, **known).spec))))
    values: list[list[float]] = curve.window(0, curve.total_iterations + 1).T.tolist()
    return values


def lrs(library: Source, source: Any, **known: Any) -> list[float]:
    """Every LR of an imported spec's first param group."""
    return columns(library, source, **known)[0]


def notes(library: Source, source: Any, **known: Any) -> dict[str, str]:
    """The fields that were not carried over, each with the reason."""
    return {note.field: note.reason for note in imported(library, source, **known).not_carried}


def refusal(library: Source, source: Any, **known: Any) -> str:
    """Why an import is refused."""
    with pytest.raises(NotImportable) as caught:
        imported(library, source, **known)
    return str(caught.value)
