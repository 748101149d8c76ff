"""A schedule's text and id: written down once, the same everywhere, and read by later versions."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from after_schedulers import COMPOSITIONS, EXAMPLES, SHAPES, example_id
from preheat.curve import Curve
from preheat.errors import ScheduleUnreadable
from preheat.schedule import TORCH_FINGERPRINTS, TORCH_VERSION, Schedule
from preheat.schedulers import StandInOptimizer
from preheat.schedulers.build import build_after_scheduler
from preheat.specs import InvalidSpec, parse_spec
from preheat.store import Database, ScheduleStore
from reference import REFERENCE_SPEC
from torch_fingerprint import fingerprint

ROOT = Path(__file__).parents[2]
CORPUS = [json.loads(line) for line in (ROOT / "tests/data/corpus.jsonl").read_text().splitlines()]

REFERENCE_TEXT = (
    '{"format":2,"spec":{"after_scheduler":{"T_max":10,"eta_min":0.0,"type":"CosineAnnealingLR"},"target_lr":0.01,'
    '"total_iterations":20,"warmup":{"convention":"n/W","decay_clock":"after_warmup","iterations":10,'
    '"shape":"linear"}},"torch_version":"2.13.0"}'
)


def made_under(torch_version: str, spec: dict[str, Any]) -> Schedule:
    """The schedule of a service with another torch."""
    return Schedule(parse_spec(json.dumps(spec)), torch_version)


def test_the_id_is_the_hash_of_the_text() -> None:
    """The text of the reference spec in format 2, as it will stay, and its SHA-256."""
    reference = Schedule.of(REFERENCE_SPEC)
    assert reference.text == REFERENCE_TEXT
    assert reference.id == hashlib.sha256(REFERENCE_TEXT.encode()).hexdigest()[:32]


def test_ids_of_format_2_stay() -> None:
    """One hash over the ids of 520 specs: if it differs, a spec has another id than yesterday under the same format."""
    ids = "".join(Schedule.of(entry["spec"]).id for entry in CORPUS)
    assert (
        hashlib.sha256(ids.encode()).hexdigest() == "64ce88023a4e6cee6ba57ddec941d70f91526a178625529d03389adb363f7df6"
    )


def test_json_and_its_values_are_the_same_schedule() -> None:
    """A spec is given as text, bytes or values; what breaks rules is refused in each."""
    text = json.dumps(REFERENCE_SPEC)
    assert Schedule.of(text) == Schedule.of(text.encode()) == Schedule.of(REFERENCE_SPEC)
    with pytest.raises(InvalidSpec):
        Schedule.of({"target_lr": -1})


def test_a_stored_text_is_answered_as_it_was_stored() -> None:
    """Spec and torch version come out of the text, in the order of the models' fields."""
    found = Schedule.stored(Schedule.of(REFERENCE_SPEC).id, REFERENCE_TEXT)
    assert (found.text, found.torch_version) == (REFERENCE_TEXT, "2.13.0")
    assert found.spec_dict == json.loads(REFERENCE_TEXT)["spec"]
    assert list(found.spec_dict) == ["target_lr", "total_iterations", "warmup", "after_scheduler"]
    assert list(found.spec_dict["after_scheduler"]) == ["type", "T_max", "eta_min"]
    with pytest.raises(ScheduleUnreadable, match="not what its id is the hash of"):
        Schedule.stored(found.id, REFERENCE_TEXT.replace("0.01", "0.1"))


class TestTorch:
    """torch's version counts where torch's code computes."""

    @pytest.mark.parametrize("after_scheduler", [*EXAMPLES, *SHAPES, *COMPOSITIONS], ids=example_id)
    def test_every_scheduler_says_whether_torch_computes_it(self, after_scheduler: dict[str, Any]) -> None:
        """It does if the scheduler that is built is one of torch's own classes."""
        text = json.dumps({"target_lr": 0.1, "total_iterations": 50, "after_scheduler": after_scheduler})
        scheduler = parse_spec(text).tracks[0].after_scheduler
        assert scheduler is not None
        built = build_after_scheduler(scheduler, StandInOptimizer([0.1]))
        assert scheduler.is_computed_by_torch == type(built).__module__.startswith("torch.")

    def test_formulas_have_the_same_id_under_every_torch(self) -> None:
        """An upgrade of torch leaves them alone; torch's own schedulers get another, wherever in the spec they are."""
        shape = {"type": "CosineLR"}
        for after, counts in (
            (None, False),
            (shape, False),
            ({"type": "SequentialLR", "schedulers": [shape, shape], "milestones": [5]}, False),
            (
                {"type": "SequentialLR", "schedulers": [shape, {"type": "StepLR", "step_size": 2}], "milestones": [5]},
                True,
            ),
            ({"type": "ProductLR", "schedulers": [shape, {"type": "ExponentialLR", "gamma": 0.9}]}, True),
        ):
            spec = {"target_lr": 0.1, "total_iterations": 20} | ({"after_scheduler": after} if after else {})
            old, new = made_under("2.12.0", spec), Schedule.of(spec)
            assert (old.id != new.id, old.torch_version) == (counts, "2.12.0" if counts else None), after
        group: dict[str, Any] = {"target_lr": 0.1, "after_scheduler": {"type": "StepLR", "step_size": 2}}
        hyperparameter: dict[str, Any] = {"value": 0.1, "after_scheduler": {"type": "StepLR", "step_size": 2}}
        for fields in ({"param_groups": [group, {}]}, {"hyperparameters": {"weight_decay": hyperparameter}}):
            assert Schedule.of({"target_lr": 0.1, "total_iterations": 20, **fields}).torch_version == TORCH_VERSION

    def test_a_schedule_computes_under_a_torch_that_agrees(self) -> None:
        """The table says which do; of one that it does not have, nothing is known."""
        assert made_under("2.14.1", REFERENCE_SPEC).agreeing == ["2.13.0", "2.14.1"]
        assert made_under("2.14.1", REFERENCE_SPEC).computes
        assert (made_under("2.12.0", REFERENCE_SPEC).agreeing, made_under("2.12.0", REFERENCE_SPEC).computes) == (
            [],
            False,
        )

    def test_format_1_named_a_torch_in_every_schedule(self) -> None:
        """One that is a formula computes, whatever torch is named."""
        for after_scheduler, computes in (
            ({"type": "CosineLR", "length": 20}, True),
            ({"type": "ExponentialLR", "gamma": 0.9}, False),
        ):
            spec = {"target_lr": 0.1, "total_iterations": 20, "after_scheduler": after_scheduler}
            text = json.dumps({"spec": spec, "torch_version": "2.12.0"}, sort_keys=True, separators=(",", ":"))
            found = Schedule.stored(hashlib.sha256(text.encode()).hexdigest()[:32], text)
            assert (found.torch_version, found.computes) == ("2.12.0", computes)

    def test_the_table_has_what_the_installed_torch_computes(self) -> None:
        """Its entry is the hash of the LRs of every torch scheduler that is served, with many parameters."""
        assert TORCH_FINGERPRINTS[TORCH_VERSION] == fingerprint()


LATER = """
import json, sys
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.store import Database, ScheduleStore

database, specs = sys.argv[1], json.loads(sys.argv[2])
store = ScheduleStore(Database(f"sqlite:///{database}", 5))
page = store.newest(200)
listed = [kept.schedule for kept in page.schedules]
with_field = Schedule.of({**specs[1], "after_scheduler": {**specs[1]["after_scheduler"], "eased": 0.5}})
store.add(with_field)
read = store.get(with_field.id)
print(json.dumps({
    "fields": [listed[0].spec.warmup.knees, listed[0].spec.region],
    "listed": {each.id: each.spec_dict for each in listed},
    "unreadable": [str(each) for each in page.unreadable],
    "lrs": {each.id: Curve(each).lr(each.spec.total_iterations) for each in listed
            if '"StepLR"' not in each.text},  # its builder would have to know the field
    "again": [Schedule.of(spec).id for spec in specs],
    "with_field": [with_field.id, read.spec.after_scheduler.eased, read.spec_dict["after_scheduler"]["eased"]],
}))
"""


def test_a_field_with_a_default_that_is_added_later_changes_no_id(tmp_path: Path) -> None:
    """A version of Preheat whose models have four fields more reads all rows, and gives the same specs the same ids."""
    later = tmp_path / "service"
    shutil.copytree(ROOT / "service/preheat", later / "preheat", ignore=shutil.ignore_patterns("__pycache__"))
    add_field(later, 'type: Literal["StepLR"]', 'type: Literal["StepLR"]\n    begin: int = 0')
    add_field(later, 'type: Literal["CosineLR"]', 'type: Literal["CosineLR"]\n    eased: float = 0.25')
    add_field(later, "    decay_clock: Literal[", "    knees: int = 3\n    decay_clock: Literal[")
    add_field(
        later, "    target_lr: LR = Field(", '    region: str = "x"\n    target_lr: LR = Field(', "class Spec(Closed)"
    )
    database = tmp_path / "preheat.db"
    shutil.copy(ROOT / "tests/data/format_1.db", database)
    store = ScheduleStore(Database(f"sqlite:///{database}", 5))
    specs: list[dict[str, Any]] = [
        {"target_lr": 0.1, "total_iterations": 20, "after_scheduler": after}
        for after in ({"type": "StepLR", "step_size": 3}, {"type": "CosineLR"})
    ]
    specs.append({**specs[1], "param_groups": [{"warmup": {"iterations": 2}}, {}]})
    for spec in specs:
        store.add(Schedule.of(spec))
    run = subprocess.run(
        [sys.executable, "-c", LATER, str(database), json.dumps(specs)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(later)},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    before = [kept.schedule for kept in store.newest(200).schedules]
    with_field = report["with_field"][0]
    assert (report["fields"], report["unreadable"]) == ([3, "x"], [])
    assert report["listed"] == {each.id: each.spec_dict for each in before}
    assert len(before) == 134
    for each in before:
        if each.id in report["lrs"]:
            assert report["lrs"][each.id] == Curve(each).lr(each.spec.total_iterations)
    assert report["again"] == [Schedule.of(spec).id for spec in specs]
    assert with_field not in report["again"]
    assert report["with_field"][1:] == [0.5, 0.5]
    with pytest.raises(ScheduleUnreadable, match="eased"):
        store.get(with_field)


def add_field(tree: Path, line: str, replacement: str, within: str = "") -> None:
    """Changes the one file of the tree that has the line."""
    (path,) = (path for path in tree.rglob("*.py") if line in (text := path.read_text()) and within in text)
    path.write_text(path.read_text().replace(line, replacement, 1))
