"""The systemd unit: it is valid, hardened, and fits the service."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.dockerfile import ROOT
from preheat.settings import Settings, unknown_variables

UNIT = (ROOT / "deploy/systemd/preheat.service").read_text(encoding="utf-8")
MOST_EXPOSURE = 20
"""Tenths, of a hundred for a unit without any hardening."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs systemd-analyze."""
    command = shutil.which("systemd-analyze")
    assert command, "systemd-analyze is missing: apt-get install systemd (Debian, Ubuntu)"
    return subprocess.run([command, *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The unit in a file, with a program that is there."""
    file = tmp_path / "preheat.service"
    file.write_text(UNIT.replace("/opt/preheat/bin/preheat", str(shutil.which("true"))), encoding="utf-8")
    return str(file)


def test_systemd_finds_nothing_to_say_of_it(unit: str) -> None:
    """No option that it does not know, and no value that is none."""
    run = analyze("verify", unit)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_it_is_hardened(unit: str) -> None:
    """By systemd's own measure of what a service could reach."""
    run = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", "--no-pager", unit)
    assert run.returncode == 0, run.stdout


def values(option: str) -> list[str]:
    """What an option is set to, each time."""
    return re.findall(rf"^{option}=(.*)$", UNIT, re.MULTILINE)


def test_its_settings_are_settings() -> None:
    """And systemd waits for longer than a stop takes, and allows as many files as connections need."""
    variables = dict(each.split("=", 1) for each in values("Environment") if each.startswith("PREHEAT_"))
    assert unknown_variables(variables) == []
    chosen = Settings(host=variables["PREHEAT_HOST"], database_url=variables["PREHEAT_DATABASE_URL"])
    assert int(values("TimeoutStopSec")[0]) >= chosen.shutdown_delay_s + chosen.shutdown_timeout_s + 5
    assert int(values("LimitNOFILE")[0]) >= chosen.max_connections + 200
    assert chosen.database_url.startswith(f"sqlite:////var/lib/{values('StateDirectory')[0]}/")
