"""One more of a kind is one class or one function: each is added to a copy of the source and driven for real."""

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

DRIVE_SCHEDULER = """
import io, json, math, subprocess, sys
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
    printed = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert np.allclose([float(line) for line in printed.stdout.split()], expected, rtol=1e-9, atol=1e-12), "export"
    refused = http.post("/v1/schedules", json={**spec, "after_scheduler": {"type": "LogDecayLr"}})
    assert "did you mean LogDecayLR?" in refused.json()["detail"], refused.text
    assert "LogDecayLR" in http.get("/openapi.json").json()["components"]["schemas"], "OpenAPI"
print("driven")
"""

DRIVE_DOCUMENTATION = """
import sys
sys.path[:0] = {paths}
import pages
print(pages.schedulers())
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the service's source."""
    shutil.copytree(ROOT / "service", tmp_path / "service", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    return tmp_path / "service"


def run(source: Path, script: str) -> str:
    """What a script prints that imports the copy."""
    environment = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def append(path: Path, text: str) -> None:
    """Adds to the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_scheduler_is_one_class(source: Path) -> None:
    """A class in a family of schedulers is served, listed, looked up, drawn, linted, exported and documented."""
    append(source / "preheat/specs/after_schedulers/decays.py", SCHEDULER)
    assert "driven" in run(source, DRIVE_SCHEDULER)
    page = run(source, DRIVE_DOCUMENTATION.format(paths=[str(ROOT / "docs/_ext"), str(ROOT / "clients/python")]))
    section = page.split("\n## LogDecayLR\n")[1].split("\n## ")[0]
    assert "<polyline" in section
    assert "ln(1 + 9 r)" in section


def replace(path: Path, old: str, new: str) -> None:
    """Replaces the one place where a file has a text."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, (path, old)
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_export_target_is_one_file_one_name_and_one_entry(source: Path) -> None:
    """A function from a schedule to text is asked by the API and by the command, and stands in the OpenAPI document."""
    conversions = source / "preheat/conversions"
    (conversions / "exporters/peaks.py").write_text(
        "from preheat.schedule import Schedule\n\n\n"
        "def peak_note(schedule: Schedule) -> str:\n"
        '    return f"peak = {schedule.spec.target_lr!r} of {schedule.spec.total_iterations}\\n"\n'
    )
    table = conversions / "exporters/__init__.py"
    replace(
        table,
        "from preheat.schedule",
        "from preheat.conversions.exporters.peaks import peak_note\nfrom preheat.schedule",
    )
    replace(table, '    "torch": torch_script,', '    "torch": torch_script,\n    "peaks": peak_note,')
    replace(conversions / "__init__.py", 'Target = Literal["torch"', 'Target = Literal["peaks", "torch"')
    printed = run(
        source,
        """
import json, subprocess, sys
from starlette.testclient import TestClient
from preheat.api import create_app
from preheat.settings import Settings
spec = {"target_lr": 0.25, "total_iterations": 30}
with TestClient(create_app(Settings(database_url="sqlite:///:memory:")), "http://127.0.0.1") as http:
    url = http.post("/v1/schedules", json=spec).headers["location"]
    print(http.get(f"{url}/export", params={"to": "peaks"}).text, end="")
    print("peaks" in str(http.get("/openapi.json").json()["paths"]["/v1/schedules/{schedule_id}/export"]))
command = [sys.executable, "-m", "preheat", "export", "-", "--to", "peaks"]
print(subprocess.run(command, input=json.dumps(spec), capture_output=True, text=True, check=True).stdout, end="")
""",
    )
    assert printed.splitlines() == ["peak = 0.25 of 30", "True", "peak = 0.25 of 30"]


def test_an_import_source_is_one_file_one_name_and_one_entry(source: Path) -> None:
    """A function from fields to a spec is asked by the API and by the command; each key is read, named, or refused."""
    conversions = source / "preheat/conversions"
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
    replace(
        table,
        "from preheat.conversions.known",
        "from preheat.conversions.importers.toy import from_toy\nfrom preheat.conversions.known",
    )
    replace(table, '    "torch": from_torch,', '    "torch": from_torch,\n    "toy": from_toy,')
    replace(conversions / "__init__.py", '    "fairseq",\n', '    "fairseq",\n    "toy",\n')
    printed = run(
        source,
        """
import json, subprocess, sys
from starlette.testclient import TestClient
from preheat.api import create_app
from preheat.settings import Settings
toy = {"top": 0.5, "ticks": 40, "colour": "red"}
with TestClient(create_app(Settings(database_url="sqlite:///:memory:")), "http://127.0.0.1") as http:
    answer = http.post("/v1/import", json={"library": "toy", "source": toy}).json()
    spec, not_carried = answer["spec"], answer["not_carried"]
    print(spec["target_lr"], spec["total_iterations"], *(left["field"] for left in not_carried))
    refused = http.post("/v1/import", json={"library": "toy", "source": {**toy, "lr_bump": 3}})
    print(refused.status_code, "lr_bump" in refused.json()["detail"])
command = [sys.executable, "-m", "preheat", "import", "-", "--from", "toy"]
print(subprocess.run(command, input=json.dumps(toy), capture_output=True, text=True, check=True).stdout)
""",
    )
    first, second, *command = printed.splitlines()
    assert first == "0.5 40 colour"
    assert second == "422 True"
    assert "target_lr: 0.5" in command


def test_an_adapter_is_one_file(tmp_path: Path) -> None:
    """A module beside the others, from what the client makes public, reads whatever can be read."""
    shutil.copytree(ROOT / "clients/python/preheat_client", tmp_path / "preheat_client")
    (tmp_path / "preheat_client/toy.py").write_text(
        "from collections.abc import Iterator\n\n"
        "from preheat_client.schedule import ReadableSchedule\n\n\n"
        "def updates(schedule: ReadableSchedule, first_iteration: int = 1) -> Iterator[float]:\n"
        "    for n in range(first_iteration, schedule.total_iterations + 1):\n"
        "        yield schedule.lr(n)\n"
    )
    printed = run(
        tmp_path,
        """
from preheat_client import Preheat
from preheat_client.distributed import from_rank_zero
from preheat_client.toy import updates
with Preheat(mode="disabled") as preheat:
    schedule = preheat.create({"target_lr": 0.5}, fallback=[0.0, 0.25, 0.5])
    print(*updates(schedule), updates.__module__)
""",
    )
    assert printed.split() == ["0.25", "0.5", "preheat_client.toy"]


def test_a_lint_rule_is_one_function_and_one_entry(source: Path) -> None:
    """A rule that is added to RULES is asked for every track, and its finding reaches the answer."""
    rules = source / "preheat/lint/lengths.py"
    rule = '''
def odd_run(track: LintedTrack) -> Iterator[Finding]:
    """The run has an odd number of iterations."""
    if track.total_iterations % 2:
        yield track.finding("info", "odd-run", ("total_iterations",), None, "it is odd", "add one")


RULES'''
    text = (
        rules.read_text(encoding="utf-8")
        .replace("\nRULES", rule, 1)
        .replace("    length_mismatch,\n", "    length_mismatch,\n    odd_run,\n", 1)
    )
    rules.write_text(text, encoding="utf-8")
    script = """
import json
from preheat.curve import Curve
from preheat.lint import lint
from preheat.schedule import Schedule
from preheat.specs import parse_spec
for total in (10, 11):
    spec = parse_spec(json.dumps({"target_lr": 0.1, "total_iterations": total}))
    print(json.dumps([finding.rule for finding in lint(Curve(Schedule(spec)))]))
"""
    even, odd = run(source, script).splitlines()
    assert json.loads(even) == []
    assert json.loads(odd) == ["odd-run"]
