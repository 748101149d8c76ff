"""The command line, run as a user runs it."""

import csv
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import free_port, wait_until


def preheat(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command and returns what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "preheat.cli", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "100", **environment},
        check=False,
    )


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    """The reference spec in YAML."""
    path = tmp_path / "spec.yaml"
    path.write_text(
        "target_lr: 1e-2\ntotal_iterations: 20\nwarmup: {iterations: 10}\nafter_scheduler: {type: CosineAnnealingLR}\n"
    )
    return str(path)


def test_lrs_lists_the_reference_table(spec_file: str) -> None:
    """As a table, as CSV and as JSON, from a file or from stdin, digit for digit."""
    table = preheat("lrs", spec_file).stdout
    for n, row in enumerate(REFERENCE_ROWS, start=1):
        assert f"│        {n:>2} │" in table
        assert row in table
    rows = list(csv.reader(io.StringIO(preheat("lrs", spec_file, "--csv", "--start", "1").stdout)))
    assert rows == [["iteration", "default"], *([str(n), row] for n, row in enumerate(REFERENCE_ROWS, start=1))]
    answer = json.loads(preheat("lrs", "-", "--json", stdin=json.dumps(REFERENCE_SPEC)).stdout)
    assert [str(lr) for lr in answer["groups"][0]["lr"][1:]] == list(REFERENCE_ROWS)


def test_names_are_no_markup() -> None:
    """A label in brackets is printed as it is."""
    spec = {"target_lr": 1, "total_iterations": 2, "label": "[/bold]", "param_groups": [{"name": "[red]head[/red]"}]}
    output = preheat("lrs", "-", stdin=json.dumps(spec)).stdout
    assert "[/bold]" in output
    assert "[red]head[/red]" in output


def test_a_reader_that_leaves_is_no_error() -> None:
    """`preheat lrs --csv | head -1` ends without a traceback."""
    command = f'echo \'{{"target_lr": 1, "total_iterations": 100000}}\' | {sys.executable} -m preheat.cli lrs - --csv'
    run = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("iteration,default\n", "")


def test_a_long_table_says_what_it_leaves_out() -> None:
    """And how to see it."""
    output = preheat("lrs", "-", stdin='{"target_lr": 1, "total_iterations": 1000}').stdout
    assert "961 rows left out: --csv or --json" in output


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_plot_writes_a_picture(spec_file: str, tmp_path: Path, name: str, start: bytes) -> None:
    """PNG or SVG by the file's name."""
    run = preheat("plot", spec_file, "-o", str(tmp_path / name), "--at", "12", "--theme", "dark")
    assert (run.returncode, run.stderr) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (("lrs", "-"), '{"target_lr": -1}', 1, "target_lr (-1) must be ≥ 0"),
        (("lrs", "-"), '{"target_lr": -1}', 1, "total_iterations is required"),
        (("lrs", "-"), "a: [", 1, "is not valid YAML"),
        (("lrs", "-"), '{"[/red]": 1}', 1, "[/red] is not a known field"),
        (("lrs", "/no/such/file"), "", 2, "SPEC (/no/such/file) cannot be read: No such file or directory"),
        (("lrs", "-", "--csv", "--json"), "{}", 2, "--csv and --json exclude each other"),
        (("lrs", "-", "--stop", "99"), '{"target_lr": 1, "total_iterations": 5}', 1, "stop (99) must be in 0 … 6"),
        (("lrs", "-"), '{"target_lr": 1, "total_iterations": 1000000000}', 1, "max_values_per_answer"),
        (("lrs", "-"), '{"target_lr": 1, "total_iterations": 10000000000000}', 1, "max_total_iterations"),
        (("plot", "-", "-o", "a.gif"), "{}", 2, "-o (a.gif) must end in .png or .svg"),
        (("plot", "-", "-o", "/no/folder/a.png"), '{"target_lr": 1, "total_iterations": 5}', 1, "cannot be written"),
        (
            ("plot", "-", "-o", "-", "--at", "9"),
            '{"target_lr": 1, "total_iterations": 5}',
            1,
            "at (9) must be in 0 … 5",
        ),
        (("serve", "--port", "70000"), "", 2, "port (70000) must be ≤ 65535"),
        (("serve", "--database-url", "mysql://x"), "", 2, "must start with sqlite:///"),
        (("serve", "--workers", "2", "--database-url", "sqlite:///:memory:"), "", 1, "workers (2) must be 1"),
        (("serve", "--host", "256.0.0.1"), "", 1, "cannot listen on 256.0.0.1"),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    arguments: tuple[str, ...], stdin: str, code: int, message: str
) -> None:
    """No traceback; 1 for what the input says, 2 for how the command was called."""
    run = preheat(*arguments, stdin=stdin)
    assert run.returncode == code
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_port_in_use_is_said() -> None:
    """With the way around."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = preheat("serve", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 1
    assert "choose another with --host and --port" in run.stderr


def test_help_names_every_command() -> None:
    """And exits 0; --version too."""
    output = preheat("--help").stdout
    assert all(command in output for command in ("serve", "lrs", "plot", "demo"))
    assert preheat("--version").stdout == "0.1.0\n"


def test_serve_prints_an_address_and_a_curl_that_works(tmp_path: Path) -> None:
    """The printed line, pasted into a shell, answers with the LRs; Ctrl-C ends the service."""
    port = free_port()
    command = [sys.executable, "-m", "preheat.cli", "serve", "--port", str(port)]
    environment = {**os.environ, "PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(4)]
            assert f"on http://127.0.0.1:{port} " in printed[0]
            wait_until(lambda: _answers(f"http://127.0.0.1:{port}/livez"), 60)
            curl = subprocess.run(printed[2].strip(), shell=True, capture_output=True, text=True, check=True)  # noqa: S602 - our own line
            assert [str(lr) for lr in json.loads(curl.stdout)["groups"][0]["lr"][1:]] == list(REFERENCE_ROWS)
        finally:
            process.send_signal(signal.SIGINT)
        give_up = time.monotonic() + 15
        while process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.05)
        assert process.returncode is not None


def test_demo_trains_and_draws(tmp_path: Path) -> None:
    """Two processes read the same LRs, and the picture is there."""
    run = preheat("demo", "--iterations", "60", "-o", str(tmp_path / "demo.png"))
    assert (run.returncode, run.stderr) == (0, "")
    assert "both trainers read the same 60 learning rates, digit for digit" in run.stdout
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own service
            return True
    except OSError:
        return False


def test_lint_says_what_is_wrong_and_exits_with_1_on_errors(spec_file: str) -> None:
    """Remarks leave 0; a rule that is broken leaves 1; JSON is what the service answers."""
    remarks = preheat("lint", spec_file)
    assert remarks.returncode == 0
    assert "info first-update-at-zero at iteration 0:" in remarks.stdout
    broken = preheat("lint", "-", stdin='{"target_lr": 1, "total_iterations": 5, "warmup": {"iterations": 9}}')
    assert broken.returncode == 1
    assert "error invalid: warmup.iterations (9) must not exceed total_iterations (5)" in broken.stdout
    answer = json.loads(preheat("lint", spec_file, "--json").stdout)
    assert answer["is_valid"]
    assert [finding["rule"] for finding in answer["findings"]] == ["first-update-at-zero", "last-update-at-zero"]
    assert preheat("lint", "-", stdin='{"target_lr": 1, "total_iterations": 5}').stdout == "nothing to remark\n"


def test_a_recipe_is_listed_shown_and_used(tmp_path: Path) -> None:
    """What `preheat recipes NAME` prints is a spec."""
    assert "llama-3-405b" in preheat("recipes", COLUMNS="200").stdout
    shown = preheat("recipes", "goyal-imagenet-1h")
    assert shown.stdout.startswith("# ResNet-50 on ImageNet in one hour, SGD. Goyal et al., arXiv 1706.02677")
    path = tmp_path / "recipe.yaml"
    path.write_text(shown.stdout)
    by_name = preheat("lrs", "-", "--csv", "--step", "390", stdin='{"recipe": "goyal-imagenet-1h"}')
    assert preheat("lrs", str(path), "--csv", "--step", "390").stdout == by_name.stdout
    assert by_name.stdout.splitlines()[3] == "780,3.2"
    unknown = preheat("recipes", "goyal")
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_a_schedule_goes_in_and_out(spec_file: str, tmp_path: Path) -> None:
    """Exported to torch, run, and read back from torch's own text."""
    script = tmp_path / "schedule.py"
    script.write_text(preheat("export", spec_file, "--to", "torch").stdout)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=120)
    assert [float(lr) for lr in run.stdout.split()[1:]] == pytest.approx([float(row) for row in REFERENCE_ROWS])
    text = "CosineAnnealingLR(optimizer, T_max=10, last_epoch=4)"
    found = preheat("import", "-", "--from", "torch", "--target-lr", "0.01", stdin=text)
    assert "not carried over: CosineAnnealingLR.last_epoch" in found.stderr
    lrs = preheat("lrs", "-", "--csv", stdin=found.stdout).stdout.splitlines()
    assert lrs[-1] == "10,0.0"
    refused = preheat("export", spec_file, "--to", "deepspeed")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "one update later than other libraries" in refused.stderr
    missing = preheat("import", "-", "--from", "keras", stdin="{}")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "class_name (None) is not one of CosineDecay" in missing.stderr
