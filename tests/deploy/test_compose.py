"""The compose file: valid by the compose specification's own schema, hardened, and fitting the service."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from deploy.dockerfile import ROOT
from preheat.settings import unknown_variables

FILE = ROOT / "deploy/compose.yaml"
PROJECT = yaml.safe_load(FILE.read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = PROJECT["services"]


def test_it_is_what_compose_knows() -> None:
    """By the schema of the compose specification, as check-jsonschema brings it."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", list(SERVICES))
def test_a_service_is_hardened_and_bounded(name: str) -> None:
    """No rights, a root that is read-only, limits, an image with its whole version, and back after a restart."""
    service = SERVICES[name]
    assert re.fullmatch(r"[a-z]+:\d+\.\d+(\.\d+)?(-[a-z]+)?", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert any(mount.startswith("/tmp:") for mount in service["tmpfs"])  # noqa: S108 - a mount, not a file


def test_its_settings_are_settings() -> None:
    """And the files that they name are secrets of the service, which the project has."""
    service = SERVICES["preheat"]
    assert unknown_variables(service["environment"]) == []
    files = [value for name, value in service["environment"].items() if name.endswith("_FILE")]
    assert files == [f"/run/secrets/{secret}" for secret in service["secrets"]]
    assert {secret for each in SERVICES.values() for secret in each["secrets"]} == PROJECT["secrets"].keys()


def test_no_secret_is_written_in_it() -> None:
    """Nor can one be committed."""
    names = {name for service in SERVICES.values() for name in service["environment"]}
    secret = {name for name in names if re.search("PASSWORD|KEY|TOKEN|URL", name)}
    assert len(secret) == 3
    assert all(name.endswith("_FILE") for name in secret)
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/secrets/first_key"], cwd=ROOT, capture_output=True, check=False
    )
    assert ignored.returncode == 0


def test_a_service_ends_in_its_own_time() -> None:
    """Docker kills only after what it may take, with five seconds to spare."""
    service = SERVICES["preheat"]
    assert (
        int(service["stop_grace_period"].removesuffix("s"))
        >= int(service["environment"]["PREHEAT_SHUTDOWN_TIMEOUT_S"]) + 5
    )


def test_the_database_is_reached_by_the_service_alone() -> None:
    """It publishes nothing, and its network leads nowhere; the service is published on the loopback address."""
    assert "ports" not in SERVICES["postgres"]
    assert SERVICES["postgres"]["networks"] == ["database"]
    assert PROJECT["networks"]["database"]["internal"] is True
    assert SERVICES["preheat"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert all(port.startswith("127.0.0.1:") for port in SERVICES["preheat"]["ports"])
