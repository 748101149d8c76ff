"""The command resume, in this process: a run goes over from one file's spec to another's."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from preheat.cli import app
from preheat.curve import Curve
from preheat.schedule import Schedule
from support.specs import COSINE, cosine_lr

OLD = {**COSINE, "units": {"samples_per_iteration": 8}}
NEW = {**COSINE, "total_iterations": 2000, "target_lr": 0.2, "units": {"samples_per_iteration": 16}}


@pytest.fixture
def resume(tmp_path: Path) -> Any:
    """Runs the command on two specs, the new one in JSON or YAML."""

    def run(old: Any, new: Any, *arguments: str, write: Any = json.dumps) -> Result:
        (tmp_path / "old.json").write_text(json.dumps(old))
        (tmp_path / "new").write_text(write(new))
        return CliRunner().invoke(app, ["resume", str(tmp_path / "old.json"), str(tmp_path / "new"), *arguments])

    return run


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_resume_writes_a_spec_that_goes_on_from_the_lr_of_now(resume: Any, write: Any) -> None:
    """The spec is on stdout, and where the LR goes on stderr."""
    result = resume(OLD, NEW, "--iteration", "500", "--policy", "rewarm", write=write)
    assert result.exit_code == 0, result.output
    made = Curve(Schedule.of(yaml.safe_load(result.stdout)))
    assert made.lr(500) == pytest.approx([cosine_lr(500)])
    assert made.lr(600) == pytest.approx([0.2])
    assert "default: goes on from 0.0586824 to 0.0600956 at iteration 501" in result.stderr


def test_resume_counts_samples_by_the_units_of_each_spec(resume: Any) -> None:
    """4000 samples are 500 updates of 8, and 250 of 16."""
    result = resume(OLD, NEW, "--samples", "4000", "--policy", "rescale")
    assert result.exit_code == 0, result.output
    made = Curve(Schedule.of(yaml.safe_load(result.stdout)))
    assert made.lr(251) == pytest.approx([cosine_lr(501)])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "exactly one of --iteration, --epoch, --samples and --tokens"),
        (("--iteration", "5", "--samples", "9"), 2, "exactly one of"),
        (("--epoch", "5"), 2, "--epoch counts epochs: give units.iterations_per_epoch"),
        (("--iteration", "500", "--policy", "refuse"), 1, "would jump from"),
        (("--iteration", "1001"), 1, "iteration (1001) must be in 0 … 1000"),
        (("--iteration", "1000", "--policy", "rescale"), 1, "Choose rewarm"),
    ],
)
def test_resume_says_what_is_wrong(resume: Any, arguments: tuple[str, ...], code: int, message: str) -> None:
    """A missing place, unknown units and refusals end the command with a message."""
    result = resume(OLD, NEW, *arguments)
    assert result.exit_code == code
    assert message in " ".join(result.stderr.split())
    refused = resume(OLD, {**NEW, "target_lr": -1}, "--iteration", "5")
    assert refused.exit_code == 1
    assert "target_lr" in refused.stderr
