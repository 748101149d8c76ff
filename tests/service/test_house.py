"""The house: imports run downhill, and each package keeps to itself."""

import tomllib
from pathlib import Path

import pytest

from support.modules import imported

ROOT = Path(__file__).parents[2]

LEVELS = [
    {"masking"},
    {"messages", "exit_code", "loopback", "service_thread"},
    {"errors"},
    {"formula", "keys"},
    {"specs"},
    {"schedule", "settings", "cache"},
    {"observability", "first_key"},
    {"schedulers", "budget"},
    {"curve"},
    {"analysis"},
    {"runs"},
    {"lint", "store", "conversions", "workers"},
    {"plot", "formats", "server"},
    {"api"},
    {"cli"},
    {"__main__"},
]
"""Rooms of the service from the ground up: each may import those below it, and itself."""

SPEAKS_HTTP = ROOT / "service/preheat/cli/runs"
"""Commands that talk to a service over HTTP, as anybody's program would."""

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
        ("service/preheat/keys", {"torch", "numpy", "fastapi", "starlette", "sqlalchemy", "time", "os"}),
        ("service/preheat/specs", {"torch", "numpy", "fastapi", "matplotlib", "sqlalchemy"}),
        ("clients/python/preheat_client", {"preheat", "fastapi", "pydantic", "numpy"}),
    ],
)
def test_rooms_keep_to_themselves(base: str, forbidden: set[str]) -> None:
    """Service and client never import each other, but for the demo; specs know no torch; one room sends requests."""
    for path in (ROOT / base).rglob("*.py"):
        if path in DEMO:
            continue
        allowed = {"httpx"} if path.is_relative_to(SPEAKS_HTTP) else set()
        found = {name.split(".")[0] for name in imported(path)} & forbidden - allowed
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_the_client_depends_on_httpx_alone() -> None:
    """As its project file says."""
    project = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [requirement.split(">")[0] for requirement in project["dependencies"]] == ["httpx"]
