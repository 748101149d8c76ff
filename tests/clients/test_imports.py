"""Imports of the client: they run downhill, and `import preheat_client` brings neither HTTP nor a framework."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.modules import imported

BASE = Path(__file__).parents[2] / "clients/python/preheat_client"

LEVELS = [
    {"errors", "_core.fields", "_core.request", "_core.run_use", "_core.logged"}
    | {f"_runs.{name}" for name in ("differences", "pace", "place", "processes")},
    {"_core.version", "_core.scheduler_state", "_runs.reports"},
    {
        "status",
        "_core.configuration",
        "_core.findings",
        "_core.formulas",
        "_core.worker",
        "_core.shares",
        "_core.updates",
        "_core.watch",
    },
    {"_core.curve", "_http"},
    {"_runs.answers"},
    {"_runs.api", "_runs.speaker", "run_status"},
    {"_core.api", "_core.local_curve", "_core.snapshots", "_runs.news", "_runs.parts", "_runs.states"},
    {"_core.prefetch", "_core.stand_in"},
    {"schedule", "_runs.patience"},
    {"_core.param_groups", "keras", "optax", "distributed", "_runs.revisions"},
    {"_core.series", "_core.session", "_runs.heartbeat", "_runs.plan"},
    {"_core.scheduler_copies"},
    {"torch", "_core.startup", "_runs.attachment", "_runs.ranks"},
    {"_core.overriding", "_runs.opened"},
    {"run", "_runs.opening"},
    {"client"},
    {"transformers", "lightning"},
]
"""Modules of the client from the ground up: each may import those below it."""

FRAMEWORKS = {
    "torch": {"torch", "distributed"},
    "transformers": {"transformers"},
    "lightning": {"lightning"},
    "keras": {"keras"},
    "optax": {"optax"},
    "jax": {"optax"},
}
"""Which modules of the client may import a framework."""


def modules() -> dict[str, set[str]]:
    """What each module of the client imports, by its name within the package."""
    paths = [path for path in BASE.rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(BASE).with_suffix("").parts): imported(path) for path in paths}


def test_imports_run_downhill() -> None:
    """Every module is on the map, and imports only modules of a level below its own."""
    height = {module: level for level, rooms in enumerate(LEVELS) for module in rooms}
    assert set(modules()) == set(height)
    for module, names in modules().items():
        for name in names:
            own = name.removeprefix("preheat_client.")
            if own != name and own in height:  # what is not is a name in a module
                assert height[own] < height[module], f"{module} imports {own}"


def test_a_framework_is_imported_by_its_adapter_alone() -> None:
    """What is imported with the client needs none of them."""
    for module, names in modules().items():
        for framework, adapters in FRAMEWORKS.items():
            found = any(name.split(".")[0] == framework for name in names)
            assert not found or module in adapters, f"{module} imports {framework}"


def test_only_http_knows_of_httpcore_and_httpx() -> None:
    """One module speaks HTTP, and nothing else imports a library that does."""
    users = {module for module, names in modules().items() if {"httpx", "httpcore", "ssl"} & names}
    assert users - {"client", "_core.configuration"} == {"_http"}  # these two name a TLS context's type


@pytest.mark.parametrize(
    ("script", "absent"),
    [
        (
            "import preheat_client",
            {"httpx", "httpcore", "ssl", "hashlib", "preheat_client._core.formulas", "torch", "numpy"},
        ),
        (
            "from preheat_client import Preheat; Preheat(mode='offline', snapshot_dir='.')",
            {"httpx", "httpcore", "ssl", "torch"},
        ),
        ("from preheat_client import Preheat; Preheat('http://127.0.0.1:1')", {"httpx", "rich", "torch"}),
    ],
)
def test_what_is_not_needed_is_not_imported(script: str, absent: set[str]) -> None:
    """Importing brings no HTTP, a client that stays offline neither, and one without TLS no httpx."""
    script += "; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not absent & set(run.stdout.split())
