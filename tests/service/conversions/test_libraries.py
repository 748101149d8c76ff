"""Libraries: names and tables agree, and one entry is all that another source or target takes."""

import math
from typing import Any, get_args

import pytest

from preheat.conversions import Source, Target
from preheat.conversions.exporters import TARGETS, export
from preheat.conversions.fields import Fields
from preheat.conversions.harmless import Harmless
from preheat.conversions.imported import Imported
from preheat.conversions.importers import SOURCES, import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable
from preheat.schedule import Schedule
from support.specs import curve, first_column


def test_every_library_has_an_entry() -> None:
    """The names that API and command line know are those of the tables, in the same order."""
    assert get_args(Source) == tuple(SOURCES)
    assert get_args(Target) == tuple(TARGETS)


def from_fastai(source: Any, known: Known) -> Imported:
    """What another importer is: fastai's fit_one_cycle, read through the same fields."""
    fields = Fields(source)
    lr_max, share = fields.number("lr_max"), fields.number("pct_start", 0.25)
    total = fields.count("n_epoch") * fields.count("batches")
    after = {"type": "CosineLR", "min_ratio": 1e-5 / 25}
    warmup = {"iterations": round(total * share), "start_factor": 1 / 25, "shape": "cosine"}
    spec = known.spec(lr_max, total, after, warmup=warmup)
    return Imported(spec, fields.left(Harmless("fastai", "moms")))


def test_another_source_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """An importer that is in the table is driven like those that are there, with its refusals and its leftovers."""
    name: Any = "fastai"
    monkeypatch.setitem(SOURCES, name, from_fastai)
    found = import_schedule(name, {"lr_max": 0.1, "n_epoch": 4, "batches": 10, "moms": [0.95, 0.85]}, Known())
    assert [left.field for left in found.not_carried] == ["moms"]
    low, end = 0.1 / 25, 0.1 / 25 * 1e-5
    rising = [low + (0.1 - low) * (1 - math.cos(math.pi * n / 10)) / 2 for n in range(11)]
    falling = [end + (0.1 - end) * (1 + math.cos(math.pi * n / 30)) / 2 for n in range(1, 31)]
    assert first_column(curve(found.spec)) == pytest.approx(rising + falling)
    with pytest.raises(NotImportable, match="n_epoch \\('x'\\) must be a number"):
        import_schedule(name, {"lr_max": 0.1, "n_epoch": "x"}, Known())


def csv_table(schedule: Schedule) -> str:
    """What another exporter is: a text of a schedule."""
    return "".join(f"{n},{target}\n" for n in range(2) for target in schedule.spec.target_lrs)


def test_another_target_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that is in the table is driven like those that are there."""
    name: Any = "csv"
    monkeypatch.setitem(TARGETS, name, csv_table)
    assert export(curve().schedule, name) == "0,0.01\n1,0.01\n"
