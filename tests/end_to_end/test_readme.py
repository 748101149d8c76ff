"""The README's quick start, run as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path

from readme_tables import ROOT
from reference import REFERENCE_ROWS
from running_service import service_process

ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The code blocks of the quick start in one language."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    quick_start = readme.split("## Quick start")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", quick_start, re.DOTALL)


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    """The shell's lines answer and write a picture; the training script prints the reference table."""
    (shell,), (script,) = blocks("sh"), blocks("python")
    assert ADDRESS in shell
    assert ADDRESS in script
    with service_process(tmp_path / "preheat.db") as running:
        command = ["bash", "-euc", shell.replace(ADDRESS, running.url)]
        output = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
        assert '"id":"71de7b50071bd5ae4074ca5767b64f12"' in output
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
