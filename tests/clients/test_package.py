"""The client as it is distributed: its licence and its long description."""

import os
import subprocess
import sys
from pathlib import Path

from reference import REFERENCE_ROWS
from running_service import service

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clients/python"


def test_the_licence_is_the_projects() -> None:
    """A wheel can only take along a file of its own folder, so there is a copy."""
    assert (PACKAGE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_long_description_runs_as_written(tmp_path: Path) -> None:
    """Its training loop prints the reference table, here at a service with a port of its own."""
    block = (PACKAGE / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    with service() as url:
        script = block.replace("http://127.0.0.1:8000", url)
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=True
        )
    assert [line.split()[1] for line in run.stdout.splitlines()] == list(REFERENCE_ROWS)
