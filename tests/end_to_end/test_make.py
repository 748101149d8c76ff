"""The environment that `make` makes: where it cannot, it says what to type, and what failed half-way is made anew."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout as far as these targets need it, in a path with a space."""
    checkout = tmp_path / "my runs" / "preheat"
    checkout.mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    return checkout


def make(folder: Path, python: Path | str) -> subprocess.CompletedProcess[str]:
    """Makes the environment with a Python."""
    command = ["make", ".venv/.made", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def python_that(folder: Path, does: str) -> Path:
    """A Python before which a line of shell is run; `$*` are its arguments."""
    script = folder / "python3"
    script.write_text(f'#!/bin/sh\n{does}\nexec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ('case "$*" in *version_info*) echo "Python 3.9 is too old" >&2; exit 1;; esac', "Python 3.9 is too old"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
)
def test_a_python_that_will_not_do_is_told_with_what_to_type(folder: Path, does: str, said: str) -> None:
    """Nothing is left behind that a second `make` would go on with."""
    run = make(folder, python_that(folder, does))
    assert run.returncode != 0
    assert said in run.stdout + run.stderr
    assert not (folder / ".venv").exists()


def test_no_python_is_told(folder: Path) -> None:
    """The name that was tried, and how to give another."""
    run = make(folder, folder / "none")
    assert run.returncode != 0
    assert f"no Python at '{folder}/none'" in run.stdout
    assert "make PYTHON=/path/to/python3.11" in run.stdout


def test_an_environment_is_made_and_one_that_failed_half_way_anew(folder: Path) -> None:
    """One has a Python already, and make does not take it for done; the second time there is nothing to do."""
    half = 'case "$*" in "-m venv"*) mkdir -p .venv/bin; touch .venv/bin/python; exit 1;; esac'
    assert make(folder, python_that(folder, half)).returncode != 0
    assert (folder / ".venv/bin/python").exists()
    assert make(folder, sys.executable).returncode == 0
    found = subprocess.run([folder / ".venv/bin/python", "-c", "import pip"], capture_output=True, check=False)
    assert found.returncode == 0
    assert "up to date" in make(folder, sys.executable).stdout
