"""One more of a kind is one class or one function: all are added to a copy of the source, and driven for real."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SCHEDULER = '''

class LogDecayLR(Decay):
    """low + (b − low) · (1 − ln(1 + 9 r) / ln 10) with r = min(s, length) / length.

    b at s = 0, low from s = length on.
    """

    type: Literal["LogDecayLR"]

    @override
    def formula(self, group: int = 0) -> str:
        return self.between(f"1 - log(1 + 9 * {self.progress}) / log(10)")
'''

LINT_RULE = '''
def odd_run(track: LintedTrack) -> Iterator[Finding]:
    """The run has an odd number of iterations."""
    if track.total_iterations % 2:
        yield track.finding("info", "odd-run", ("total_iterations",), None, "it is odd", "add one")'''

DRIVE_SCHEDULER = """
import contextlib, io, math
import numpy as np
from starlette.testclient import TestClient
from preheat.api import create_app
from preheat.settings import Settings
from preheat.specs import SCHEDULER_TYPES

after = {"type": "LogDecayLR"}
spec = {"target_lr": 0.1, "total_iterations": 30, "warmup": {"iterations": 10}, "after_scheduler": after}
falling = [0.1 * (1 - math.log(1 + 9 * s / 20) / math.log(10)) for s in range(1, 21)]
expected = [0.1 * n / 10 for n in range(11)] + falling
with TestClient(create_app(Settings(database_url="sqlite:///:memory:")), "http://127.0.0.1") as http:
    made = http.post("/v1/schedules", json=spec)
    assert made.status_code == 201, made.text
    url = made.headers["location"]
    listed = made.json()["groups"][0]["lr"]
    assert np.allclose(listed, expected, rtol=1e-12, atol=1e-17), "list"
    assert http.get(f"{url}/lr/17").json()["groups"][0]["lr"] == listed[17], "point"
    assert http.get(f"{url}/plot.png").content.startswith(b"\\x89PNG"), "picture"
    assert ">LogDecayLR</text>" in http.get(f"{url}/plot.svg").text, "the phase's name in the picture"
    late = {**spec, "after_scheduler": {"type": "LogDecayLR", "length": 5}}
    rules = {finding["rule"] for finding in http.post("/v1/lint", json=late).json()["findings"]}
    assert "length-mismatch" in rules, rules
    script = http.get(f"{url}/export", params={"to": "torch"}).text
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(script, {"__name__": "__main__"})
    lrs = [float(line) for line in printed.getvalue().split()]
    assert np.allclose(lrs, expected, rtol=1e-9, atol=1e-12), "export"
    refused = http.post("/v1/schedules", json={**spec, "after_scheduler": {"type": "LogDecayLr"}})
    assert "did you mean LogDecayLR?" in refused.json()["detail"], refused.text
    assert "LogDecayLR" in http.get("/openapi.json").json()["components"]["schemas"], "OpenAPI"
print("driven")
"""

DRIVE_DOCUMENTATION = """
import pages
print(pages.schedulers())
"""


DRIVE_EXPORT = """
import json
from starlette.testclient import TestClient
from typer.testing import CliRunner
from preheat.api import create_app
from preheat.cli import app
from preheat.settings import Settings
spec = {"target_lr": 0.25, "total_iterations": 30}
with TestClient(create_app(Settings(database_url="sqlite:///:memory:")), "http://127.0.0.1") as http:
    url = http.post("/v1/schedules", json=spec).headers["location"]
    print(http.get(f"{url}/export", params={"to": "peaks"}).text, end="")
    print("peaks" in str(http.get("/openapi.json").json()["paths"]["/v1/schedules/{schedule_id}/export"]))
print(CliRunner().invoke(app, ["export", "-", "--to", "peaks"], input=json.dumps(spec)).stdout, end="")
"""

DRIVE_IMPORT = """
import json
from starlette.testclient import TestClient
from typer.testing import CliRunner
from preheat.api import create_app
from preheat.cli import app
from preheat.settings import Settings
toy = {"top": 0.5, "ticks": 40, "colour": "red"}
with TestClient(create_app(Settings(database_url="sqlite:///:memory:")), "http://127.0.0.1") as http:
    answer = http.post("/v1/import", json={"library": "toy", "source": toy}).json()
    spec, not_carried = answer["spec"], answer["not_carried"]
    print(spec["target_lr"], spec["total_iterations"], *(left["field"] for left in not_carried))
    refused = http.post("/v1/import", json={"library": "toy", "source": {**toy, "lr_bump": 3}})
    print(refused.status_code, "lr_bump" in refused.json()["detail"])
print(CliRunner().invoke(app, ["import", "-", "--from", "toy"], input=json.dumps(toy)).stdout)
"""

DRIVE_ADAPTER = """
from preheat_client import Preheat
from preheat_client.distributed import from_rank_zero
from preheat_client.toy import updates
with Preheat(mode="disabled") as preheat:
    schedule = preheat.create({"target_lr": 0.5}, fallback=[0.0, 0.25, 0.5])
    print(*updates(schedule), updates.__module__)
"""

DRIVE_LINT = """
import json
from preheat.curve import Curve
from preheat.lint import lint
from preheat.schedule import Schedule
from preheat.specs import parse_spec
for total in (10, 11):
    spec = parse_spec(json.dumps({"target_lr": 0.1, "total_iterations": total}))
    print(json.dumps([finding.rule for finding in lint(Curve(Schedule(spec)))]))
"""

DRIVES = {
    "scheduler": DRIVE_SCHEDULER,
    "documentation": DRIVE_DOCUMENTATION,
    "export": DRIVE_EXPORT,
    "import": DRIVE_IMPORT,
    "adapter": DRIVE_ADAPTER,
    "lint": DRIVE_LINT,
}

RUN_EACH = """
import contextlib, io, json, sys, traceback
said = {}
for name, script in json.load(sys.stdin).items():
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            exec(script, {"__name__": name})
        except BaseException:
            traceback.print_exc(file=sys.stdout)
    said[name] = printed.getvalue()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each script printed: one process for all, since most of its time is that of the imports."""
    source = tmp_path_factory.mktemp("source")
    for package in ("service/preheat", "clients/python/preheat_client"):
        shutil.copytree(ROOT / package, source / Path(package).name)
    add_scheduler(source)
    add_export_target(source / "preheat/conversions")
    add_import_source(source / "preheat/conversions")
    add_adapter(source)
    add_lint_rule(source)
    run = subprocess.run(
        [sys.executable, "-c", RUN_EACH],
        env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{ROOT / 'docs/_ext'}"},
        input=json.dumps(DRIVES),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    printed: dict[str, str] = json.loads(run.stdout)
    return printed


def append(path: Path, text: str) -> None:
    """Adds to the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def replace(path: Path, old: str, new: str) -> None:
    """Replaces the one place where a file has a text."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def add_scheduler(source: Path) -> None:
    """A class in a family of schedulers."""
    append(source / "preheat/specs/after_schedulers/decays.py", SCHEDULER)


def add_export_target(conversions: Path) -> None:
    """A function from a schedule to text, in a file of its own."""
    (conversions / "exporters/peaks.py").write_text(
        "from preheat.schedule import Schedule\n\n\n"
        "def peak_note(schedule: Schedule) -> str:\n"
        '    return f"peak = {schedule.spec.target_lr!r} of {schedule.spec.total_iterations}\\n"\n'
    )
    table = conversions / "exporters/__init__.py"
    imported = "from preheat.conversions.exporters.peaks import peak_note\n"
    replace(table, "from preheat.schedule", f"{imported}from preheat.schedule")
    replace(table, '    "torch": torch_script,', '    "torch": torch_script,\n    "peaks": peak_note,')
    replace(conversions / "__init__.py", 'Target = Literal["torch"', 'Target = Literal["peaks", "torch"')


def add_import_source(conversions: Path) -> None:
    """A function from fields to a spec, in a file of its own."""
    (conversions / "importers/toy.py").write_text(
        "from typing import Any\n\n"
        "from preheat.conversions.fields import Fields\n"
        "from preheat.conversions.harmless import Harmless\n"
        "from preheat.conversions.imported import Imported\n"
        "from preheat.conversions.known import Known\n\n\n"
        "def from_toy(source: Any, known: Known) -> Imported:\n"
        "    fields = Fields(source)\n"
        '    spec = known.spec(fields.number("top", 0.1), fields.count("ticks", 10))\n'
        '    return Imported(spec, fields.left(Harmless("toy", "colour")))\n'
    )
    table = conversions / "importers/__init__.py"
    imported = "from preheat.conversions.importers.toy import from_toy\n"
    replace(table, "from preheat.conversions.known", f"{imported}from preheat.conversions.known")
    replace(table, '    "torch": from_torch,', '    "torch": from_torch,\n    "toy": from_toy,')
    replace(conversions / "__init__.py", '    "fairseq",\n', '    "fairseq",\n    "toy",\n')


def add_adapter(source: Path) -> None:
    """A module beside the client's others."""
    (source / "preheat_client/toy.py").write_text(
        "from collections.abc import Iterator\n\n"
        "from preheat_client.schedule import ReadableSchedule\n\n\n"
        "def updates(schedule: ReadableSchedule, first_iteration: int = 1) -> Iterator[float]:\n"
        "    for n in range(first_iteration, schedule.total_iterations + 1):\n"
        "        yield schedule.lr(n)\n"
    )


def add_lint_rule(source: Path) -> None:
    """A function and its entry in RULES."""
    rules = source / "preheat/lint/lengths.py"
    replace(rules, "\nRULES", f"{LINT_RULE}\n\n\nRULES")
    replace(rules, "    length_mismatch,\n", "    length_mismatch,\n    odd_run,\n")


def test_a_scheduler_is_one_class(said: dict[str, str]) -> None:
    """A class in a family of schedulers is served, listed, looked up, drawn, linted, exported and documented."""
    assert said["scheduler"] == "driven\n"
    section = said["documentation"].split("\n## LogDecayLR\n")[1].split("\n## ")[0]
    assert "<polyline" in section
    assert "ln(1 + 9 r)" in section


def test_an_export_target_is_one_file_one_name_and_one_entry(said: dict[str, str]) -> None:
    """A function from a schedule to text is asked by the API and by the command, and stands in the OpenAPI document."""
    assert said["export"].splitlines() == ["peak = 0.25 of 30", "True", "peak = 0.25 of 30"]


def test_an_import_source_is_one_file_one_name_and_one_entry(said: dict[str, str]) -> None:
    """A function from fields to a spec is asked by the API and by the command; each key is read, named, or refused."""
    first, second, *command = said["import"].splitlines()
    assert first == "0.5 40 colour"
    assert second == "422 True"
    assert "target_lr: 0.5" in command


def test_an_adapter_is_one_file(said: dict[str, str]) -> None:
    """A module beside the others, from what the client makes public, reads whatever can be read."""
    assert said["adapter"].split() == ["0.25", "0.5", "preheat_client.toy"]


def test_a_lint_rule_is_one_function_and_one_entry(said: dict[str, str]) -> None:
    """A rule that is added to RULES is asked for every track, and its finding reaches the answer."""
    even, odd = said["lint"].splitlines()
    assert json.loads(even) == []
    assert json.loads(odd) == ["odd-run"]
