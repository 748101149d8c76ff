"""The command line: in this process where that proves as much, in one of its own where it does not."""

import contextlib
import csv
import io
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from preheat.cli import app
from preheat.plot.options import PlotOptions
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import free_port, wait_until
from support.forked import run_preheat

COMMAND = (sys.executable, "-m", "preheat")


def preheat(*arguments: str, stdin: str = "", **environment: str) -> Result:
    """Runs the command in this process and returns what it printed; an error that is not ours fails the test."""
    result = CliRunner().invoke(app, arguments, input=stdin, env={"COLUMNS": "100", **environment})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def spec_file(tmp_path: Path) -> str:
    """The reference spec in YAML."""
    path = tmp_path / "spec.yaml"
    path.write_text(
        "target_lr: 1e-2\ntotal_iterations: 20\nwarmup: {iterations: 10}\nafter_scheduler: {type: CosineAnnealingLR}\n"
    )
    return str(path)


def test_lrs_lists_the_reference_table(spec_file: str) -> None:
    """A spec from a file or stdin is listed as a table, CSV or JSON, digit for digit."""
    table = preheat("lrs", spec_file).stdout
    for n, row in enumerate(REFERENCE_ROWS, start=1):
        assert re.search(rf"^ +{n}  +{re.escape(row)}$", table, re.MULTILINE)
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
    compared = preheat("diff", "-", "--recipe", "minicpm", stdin=json.dumps({**spec, "param_groups": None})).stdout
    assert " [/bold] " in compared


def test_a_reader_that_leaves_is_no_error() -> None:
    """`preheat lrs --csv | head -1` ends without a traceback."""
    command = f'echo \'{{"target_lr": 1, "total_iterations": 100000}}\' | {sys.executable} -m preheat lrs - --csv'
    run = subprocess.run(["bash", "-c", f"{command} | head -1"], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("iteration,default\n", "")


ON_A_FULL_DISK = """
import json, os, sys
import preheat.conversions.exporters, preheat.formats, preheat.lint  # once, and not in each process again
from preheat.cli import main
found = []
for arguments in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
        os.dup2(writing, 2)
        os.close(writing)
        sys.argv = ["preheat", *arguments]
        main()
    os.close(writing)
    with open(reading) as said:
        error = said.read()
    found.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), error])
print(json.dumps(found))
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_under_stdout_is_said_in_one_line(spec_file: str) -> None:
    """`preheat lrs > file` on a full disk ends with the reason, exit code 1 and no traceback."""
    commands = [[*command, spec_file] for command in (["lrs"], ["lrs", "--csv"], ["export"], ["lint"])]
    run = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, json.dumps(commands)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(run.stdout) == [[1, "error: stdout cannot be written: No space left on device\n"]] * 4


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux, to see what is open")
def test_the_service_runs_with_closed_streams(tmp_path: Path) -> None:
    """What is closed becomes the null device: no log line reaches a file or a client that was given its number."""
    port = free_port()
    environment = {**os.environ, "PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path / 'preheat.db'}"}
    environment |= {"PREHEAT_COMPUTE_WORKERS": "0", "PREHEAT_PORT": str(port)}
    command = f"exec {sys.executable} -m preheat serve <&- >&- 2>&-"
    with subprocess.Popen(["bash", "-c", command], env=environment) as process:
        try:
            wait_until(lambda: process.poll() is not None or _accepts(port), 60)
            assert {Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)} == {Path(os.devnull)}
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux, to see what is open")
@pytest.mark.parametrize(("closed", "number"), [("<&-", 0), (">&-", 1), ("2>&-", 2)])
def test_one_closed_stream_becomes_the_null_device(closed: str, number: int, tmp_path: Path) -> None:
    """Before anything else can have its number; what it did not close stays."""
    script = """
import os, sys
import preheat.cli
with open(sys.argv[1], "w") as seen:
    print(*(os.path.realpath(f"/proc/self/fd/{number}") for number in range(3)), file=seen)
"""
    command = f'exec {sys.executable} -c "$1" "$2" {closed}'
    subprocess.run(
        ["bash", "-c", command, "bash", script, tmp_path / "seen"], input=b"", capture_output=True, check=True
    )
    seen = (tmp_path / "seen").read_text().split()
    assert [n for n in (0, 1, 2) if seen[n] == os.devnull] == [number]


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_a_long_table_says_what_it_leaves_out() -> None:
    """A table that is cut says how many rows are left out, and how to see them."""
    output = preheat("lrs", "-", stdin='{"target_lr": 1, "total_iterations": 1000}').stdout
    assert "961 rows left out: --csv or --json" in output


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_plot_writes_a_picture(spec_file: str, tmp_path: Path, name: str, start: bytes) -> None:
    """The file's name says whether it is a PNG or an SVG."""
    run = preheat("plot", spec_file, "-o", str(tmp_path / name), "--at", "12", "--theme", "dark")
    assert (run.exit_code, run.stderr) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "message"),
    [
        (("lrs", "-"), '{"target_lr": -1}', 1, "target_lr (-1) must be ≥ 0"),
        (("lrs", "-"), '{"target_lr": -1}', 1, "total_iterations is required"),
        (("lrs", "-"), "a: [", 1, "is not valid YAML"),
        (("lrs", "-"), '{"[/red]": 1}', 1, "[/red] is not a known field"),
        (("lrs", "/no/such/file"), "", 2, "SPEC (/no/such/file) cannot be read: No such file or directory"),
        (("import", "/no/such/file"), "", 2, "SOURCE (/no/such/file) cannot be read: No such file or directory"),
        (("lrs", "minicpm"), "", 2, "there is a recipe of this name: --recipe minicpm"),
        (("lrs",), "", 2, "one SPEC or --recipe must be given, not 0"),
        (("lrs", "a", "--recipe", "minicpm"), "", 2, "one SPEC or --recipe must be given, not 2"),
        (("plot", "-o", "a.png"), "", 2, "at least 1 SPEC or --recipe must be given, not 0"),
        (("diff", "-"), "{}", 2, "2 SPECs or --recipe must be given, not 1"),
        (("lrs", "-", "--target-lr", "1"), "{}", 2, "--target-lr and --total-iterations are for --recipe"),
        (("lrs", "--recipe", "pythia-160"), "", 1, "did you mean pythia-160m?"),
        (("lrs", "--recipe", "minicpm", "--total-iterations", "9 parsecs"), "", 1, "total_iterations"),
        (("recipes", "pythia-160"), "", 1, "recipe (pythia-160) is not a known recipe; did you mean pythia-160m?"),
        (("diff", "--recipe", "minicpm", "--recipe", "minicpm", "-o", "a.gif"), "", 2, "must end in .png or .svg"),
        (
            ("diff", "--recipe", "minicpm", "--recipe", "dino-vit-s", "--start", "9", "--stop", "9"),
            "",
            1,
            "the window has no iteration",
        ),
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
        (("plot", "-", "-o", "-", "--width-px", "9"), "{}", 2, "width_px (9) must be ≥ 320"),
        (
            ("plot", "-", "-o", "-", "--height-px", "4001"),
            '{"target_lr": 1, "total_iterations": 5}',
            1,
            "height_px (4001) must not exceed max_height_px (4000)",
        ),
        (("serve", "--port", "70000"), "", 2, "port (70000) must be ≤ 65535"),
        (("serve", "--database-url", "mysql://x"), "", 2, "must begin with sqlite:/// or postgresql+psycopg://"),
        (("serve", "--workers", "2", "--database-url", "sqlite:///:memory:"), "", 1, "workers (2) must be 1"),
        (("serve", "--host", "256.0.0.1"), "", 1, "host (256.0.0.1) is no address, and no name of one"),
        (("serve", "--host", "preheat.invalid"), "", 1, "host (preheat.invalid) is no address, and no name of one"),
        (("serve", "--host", "0.0.0.0", "--port", "0"), "", 2, "host (0.0.0.0) is no loopback address"),  # noqa: S104 - what is refused
        (
            ("serve", "--without-keys", "--host", "2001:db8::1", "--port", "9"),
            "",
            1,
            "cannot listen on [2001:db8::1]:9: ",
        ),
    ],
)
def test_mistakes_are_one_line_and_an_exit_code(
    arguments: tuple[str, ...], stdin: str, code: int, message: str
) -> None:
    """A mistake prints no traceback; it exits with 1 for what the input says and 2 for how the command was called."""
    run = preheat(*arguments, stdin=stdin)
    assert run.exit_code == code
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


def test_a_port_in_use_is_said() -> None:
    """A port that another process listens on is named, with the way around."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = run_preheat("serve", "--port", str(taken.getsockname()[1]))
    assert run.returncode == 1
    assert "choose another with --host and --port, or for make: PREHEAT_PORT=9000 make serve" in run.stderr


def test_help_names_every_command() -> None:
    """Help and version are printed, with every command by name."""
    output = preheat("--help").stdout
    commands = (
        "serve",
        "lrs",
        "plot",
        "lint",
        "diff",
        "resume",
        "recipes",
        "export",
        "import",
        "store",
        "demo",
        "keys",
        "runs",
    )
    assert all(command in output for command in commands)
    assert preheat("--version").stdout == "0.1.0\n"
    assert preheat("-h").stdout == output


@pytest.mark.parametrize("group", [(), ("store",), ("runs",), ("runs", "change")])
def test_the_list_of_commands_is_not_cut(group: tuple[str, ...]) -> None:
    """Each command's line in the list is a whole clause; none ends in an ellipsis."""
    listed = preheat(*group, "-h", COLUMNS="80").stdout.partition("Commands:")[2]
    assert any(name in listed for name in ("demo", "restore", "rollback", "cooldown"))
    assert "..." not in listed
    assert "…" not in listed


def test_a_command_imports_what_it_needs(spec_file: str) -> None:
    """Help waits for no torch, and a list of LRs or findings for no web framework."""
    code = """
import sys, preheat.cli

def run(*arguments, without):
    sys.argv = ["preheat", *arguments]
    try:
        preheat.cli.main()
    except SystemExit as end:
        assert not end.code, end.code
    print("imported", *(without & set(sys.modules)))

others = {"fastapi", "matplotlib", "sqlalchemy", "torch._dynamo"}
path = sys.argv[1]
run("--help", without=others | {"torch", "uvicorn"})
run("lrs", path, "--csv", without=others)
run("lint", path, "--json", without=others)
"""
    run = subprocess.run(
        [sys.executable, "-c", code, spec_file], capture_output=True, text=True, timeout=120, check=True
    )
    assert [line for line in run.stdout.splitlines() if line.startswith("imported")] == ["imported"] * 3


def test_options_are_the_fields_of_models() -> None:
    """Each field of a plot's options is an option of `preheat plot`, with its description and its default."""
    output = " ".join(preheat("plot", "--help", COLUMNS="250").stdout.split())
    for name, field in PlotOptions.model_fields.items():
        assert f"--{name.replace('_', '-')}" in output
        assert str(field.description) in output
    assert "Width in pixels. [default: 960]" in output
    served = " ".join(preheat("serve", "--help", COLUMNS="250").stdout.split())
    assert "Address to listen on. [default: 127.0.0.1]" in served


def test_a_setting_of_the_environment_is_overruled_by_an_option() -> None:
    """`--workers` counts, and where it is not given PREHEAT_WORKERS does."""
    memory = {"PREHEAT_DATABASE_URL": "sqlite:///:memory:", "PREHEAT_WORKERS": "3"}
    assert "workers (3) must be 1" in preheat("serve", **memory).stderr
    assert "workers (2) must be 1" in preheat("serve", "--workers", "2", **memory).stderr


@pytest.mark.parametrize(("host", "compute_workers"), [("127.0.0.1", 2), ("[::1]", 0)])
def test_serve_prints_an_address_and_a_curl_that_works(tmp_path: Path, host: str, compute_workers: int) -> None:
    """The printed line works as soon as it is there, of an IPv6 host too; Ctrl-C ends the service, and is no error."""
    port = free_port()
    command = [*COMMAND, "serve", "--host", host, "--port", str(port)]
    environment = {**os.environ, "PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db", "PREHEAT_LOG_FORMAT": "text"}
    environment["PREHEAT_COMPUTE_WORKERS"] = str(compute_workers)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            printed = [process.stdout.readline() for _ in range(5)][1:]
            assert f"on http://{host}:{port} " in printed[0]
            curl = subprocess.run(printed[2].strip(), shell=True, capture_output=True, text=True, check=True)  # noqa: S602 - our own line
            assert [str(lr) for lr in json.loads(curl.stdout)["groups"][0]["lr"][1:]] == list(REFERENCE_ROWS)
        finally:
            process.send_signal(signal.SIGINT)
        give_up = time.monotonic() + 15
        while process.poll() is None and time.monotonic() < give_up:
            time.sleep(0.05)
        assert process.returncode == 0


def test_a_demo_whose_service_cannot_start_says_so(tmp_path: Path) -> None:
    """It does not wait for a process that has ended, and its trainers are never started."""
    picture = tmp_path / "demo.png"
    run = run_preheat("demo", "-o", str(picture), PREHEAT_WORKERS="none")
    assert run.returncode != 0
    assert "the service ended with exit code" in run.stderr
    assert not picture.exists()


def test_demo_trains_and_draws(tmp_path: Path) -> None:
    """The demo's two processes read the same LRs, and its picture is there."""
    run = run_preheat("demo", "--iterations", "60", "-o", str(tmp_path / "demo.png"))
    assert (run.returncode, run.stderr) == (0, "")
    assert "both trainers read the same 60 learning rates, digit for digit" in run.stdout
    assert (tmp_path / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_lint_says_what_is_wrong_and_exits_with_1_on_errors(spec_file: str) -> None:
    """Remarks leave 0; a rule that is broken leaves 1; JSON is what the service answers."""
    remarks = preheat("lint", spec_file)
    assert remarks.exit_code == 0
    assert "info first-update-at-zero at iteration 0:" in remarks.stdout
    broken = preheat("lint", "-", stdin='{"target_lr": 1, "total_iterations": 5, "warmup": {"iterations": 9}}')
    assert broken.exit_code == 1
    assert "error invalid: warmup.iterations (9) must not exceed total_iterations (5)" in broken.stdout
    answer = json.loads(preheat("lint", spec_file, "--json").stdout)
    assert answer["is_valid"]
    assert [finding["rule"] for finding in answer["findings"]] == ["first-update-at-zero", "last-update-at-zero"]
    assert preheat("lint", "-", stdin='{"target_lr": 1, "total_iterations": 5}').stdout == "no findings\n"


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
    assert (unknown.exit_code, unknown.stdout) == (1, "")


def test_a_recipe_stands_for_a_file(tmp_path: Path) -> None:
    """`--recipe` with changes gives what a file with the recipe and its fields gives."""
    spec = {"recipe": "pythia-160m", "total_iterations": 300, "target_lr": 1e-3}
    by_name = ("--recipe", "pythia-160m", "--total-iterations", "300", "--target-lr", "1e-3")
    assert preheat("lrs", *by_name, "--csv").stdout == preheat("lrs", "-", "--csv", stdin=json.dumps(spec)).stdout
    assert preheat("lint", *by_name).exit_code == 0
    drawn = preheat("plot", *by_name, "-o", str(tmp_path / "recipe.png"))
    assert (drawn.exit_code, drawn.stderr) == (0, "")


def test_several_specs_share_a_picture(spec_file: str, tmp_path: Path) -> None:
    """Each has a line, named by its label, or by its file where it has none."""
    labelled = tmp_path / "other.yaml"
    labelled.write_text("label: flat\ntarget_lr: 2e-3\ntotal_iterations: 30\n")
    output = tmp_path / "both.svg"
    assert preheat("plot", spec_file, str(labelled), "-o", str(output)).exit_code == 0
    drawn = output.read_text()
    assert {">spec<", ">flat<"} <= set(re.findall(">(?:spec|flat)<", drawn))


def test_diff_says_where_two_specs_part(spec_file: str, tmp_path: Path) -> None:
    """The first and the largest difference, and a table whose middle row is the second LR minus the first."""
    output, picture = ("diff", spec_file, "-", "--rows", "3"), tmp_path / "diff.png"
    flat = json.dumps({"label": "flat", "target_lr": 0.004, "total_iterations": 25, "warmup": {"iterations": 4}})
    found = preheat(*output, "-o", str(picture), stdin=flat)
    assert (found.exit_code, found.stderr) == (0, "")
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = found.stdout.splitlines()
    assert "largest difference at iteration 10: default 0.01 and 0.004, -0.006" in lines
    assert lines[-3].split() == ["0", "default", "0.0", "0.0", "+0"]
    assert lines[-2].split() == ["7", "default", "0.007000000000000001", "0.004", "-0.003"]
    assert preheat("diff", spec_file, spec_file).stdout.startswith("no difference in iterations 0 … 20\n")


def test_nothing_is_cut_in_a_pipe() -> None:
    """Names are whole whatever the width of the terminal, without lines around them."""
    output = preheat("recipes", COLUMNS="30").stdout
    assert re.search("^wav2vec2-base-pretrain  ", output, re.MULTILINE)
    assert "│" not in output
    assert "torchtitan|megatron|detectron2|mmengine" in preheat("import", "--help", COLUMNS="30").stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_any_encoding_of_stdout_will_do(encoding: str, tmp_path: Path) -> None:
    """What the encoding lacks is escaped in text; data are UTF-8 whatever it is."""
    code = """
import sys, preheat.cli

path = sys.argv[1]
for options in ((), ("--json",)):
    sys.argv = ["preheat", "lrs", path, *options]
    try:
        preheat.cli.main()
    except SystemExit as end:
        assert not end.code, end.code
    print("and")
"""
    spec = tmp_path / "spec.json"
    spec.write_text('{"target_lr": 1, "total_iterations": 100, "label": "学习率 \U0001f525"}', encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run([sys.executable, "-c", code, spec], capture_output=True, check=True, env=environment)
    table, data, _ = run.stdout.split(b"and\n")
    assert run.stderr == b""
    assert b"\\u5b66" in table
    assert json.loads(data)["spec"]["label"] == "学习率 \U0001f525"


def test_completion_knows_the_recipes() -> None:
    """The shell is told the names that go on from what was typed."""
    variables = {"_PREHEAT_COMPLETE": "complete_bash", "COMP_WORDS": "preheat recipes pyth", "COMP_CWORD": "2"}
    script = "import sys; sys.argv[0] = 'preheat'; import preheat.cli; preheat.cli.main()"
    environment = {**os.environ, **variables}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert sorted(run.stdout.split()) == ["pythia-12b", "pythia-160m"]


def test_a_schedule_goes_in_and_out(spec_file: str, tmp_path: Path) -> None:
    """A schedule is exported to torch and run; torch's own text is imported, and what cannot be converted is named."""
    script = tmp_path / "schedule.py"
    script.write_text(preheat("export", spec_file, "--to", "torch").stdout)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(script), run_name="__main__")
    lrs_printed = [float(lr) for lr in printed.getvalue().split()[1:]]
    assert lrs_printed == pytest.approx([float(row) for row in REFERENCE_ROWS])
    text = "CosineAnnealingLR(optimizer, T_max=10, last_epoch=4)"
    found = preheat("import", "-", "--from", "torch", "--target-lr", "0.01", stdin=text)
    assert "not carried over: CosineAnnealingLR.last_epoch" in found.stderr
    lrs = preheat("lrs", "-", "--csv", stdin=found.stdout).stdout.splitlines()
    assert lrs[-1] == "10,0.0"
    refused = preheat("export", spec_file, "--to", "deepspeed")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "one update later than other libraries" in refused.stderr
    missing = preheat("import", "-", "--from", "keras", stdin="{}")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "class_name (None) is not one of CosineDecay" in missing.stderr
