"""The README's quick start, run as it is written."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from readme_tables import ROOT
from reference import REFERENCE_ROWS
from running_service import GLOO_ABORTED, service_process

ADDRESS = "http://127.0.0.1:8000"


NEEDS = {
    "torch": "torch",
    "torch.distributed": "torch",
    "transformers": "transformers",
    "lightning": "lightning",
    "keras": "keras",
    "optax": "optax",
    "http": "json",
}
"""What the block of each framework imports."""


def blocks(section: str, language: str) -> list[str]:
    """The code blocks of a section in one language; of the frameworks, "python" and the framework's name."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    text = readme.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{re.escape(language)}\n(.*?)```", text, re.DOTALL)


def printed(command: list[str], folder: Path, **environment: str) -> str:
    """What a command prints; one that torch aborted as it left is run again."""
    environ = {**os.environ, **environment}
    for _ in range(3):
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180, env=environ, check=False)
        if GLOO_ABORTED not in run.stderr:
            break
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("framework", list(NEEDS))
def test_every_framework_trains_at_the_tables_lrs(framework: str, tmp_path: Path, url: str) -> None:
    """The README's block, run by the real framework: what it prints is the reference table."""
    if importlib.util.find_spec(NEEDS[framework]) is None:
        pytest.skip(f"{framework} is not installed: make adapters")
    (script,) = blocks("Frameworks", f"python {framework}")
    (tmp_path / "train.py").write_text(script.replace(ADDRESS, url))
    command = [sys.executable, "train.py"]
    if framework == "torch.distributed":
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4", "--standalone", "train.py"]
    output = printed(command, tmp_path, OMP_NUM_THREADS="1")
    pairs = [line.split() for line in output.splitlines() if re.fullmatch(r"\d+ \S+", line)]
    rows = [row if framework not in {"keras", "optax"} else str(float(np.float32(row))) for row in REFERENCE_ROWS]
    assert pairs == [[str(n), row] for n, row in enumerate(rows, start=1)]


def test_plain_http_lists_the_table_and_survives_an_outage(tmp_path: Path) -> None:
    """By curl and by the standard library; started again without the service, the script reads the kept list."""
    (shell,), (script,) = blocks("Frameworks", "sh http"), blocks("Frameworks", "python http")
    with service_process(tmp_path / "preheat.db") as running:
        (tmp_path / "train.py").write_text(script.replace(ADDRESS, running.url))
        listed = printed(["bash", "-euc", shell.replace(ADDRESS, running.url)], tmp_path)
        first = printed([sys.executable, "train.py"], tmp_path)
    expected = [f"{n} {row}" for n, row in enumerate(REFERENCE_ROWS, start=1)]
    assert first.splitlines() == expected
    assert listed.splitlines()[2:] == [line.replace(" ", ",") for line in expected]
    assert printed([sys.executable, "train.py"], tmp_path).splitlines() == expected


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    """The shell's lines answer and write a picture; the training script prints the reference table."""
    (shell,), (script,) = blocks("Quick start", "sh"), blocks("Quick start", "python")
    assert ADDRESS in shell
    assert ADDRESS in script
    with service_process(tmp_path / "preheat.db") as running:
        command = ["bash", "-euc", shell.replace(ADDRESS, running.url)]
        output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
        assert '"id":"630e8304e0352e14c20ae59b8f487901"' in output
        assert output.splitlines()[-20:] == [f"{n},{row}" for n, row in enumerate(REFERENCE_ROWS, start=1)]
        assert (tmp_path / "schedule.png").read_bytes().startswith(b"\x89PNG")

        (tmp_path / "train.py").write_text(script.replace(ADDRESS, running.url))
        run = subprocess.run(
            [sys.executable, "train.py"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=os.environ,
        )
        assert run.stdout.splitlines() == [f"{n} {row}" for n, row in enumerate(REFERENCE_ROWS, start=1)]
        assert run.stderr == ""
