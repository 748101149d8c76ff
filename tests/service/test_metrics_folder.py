"""The folder in which processes share their metrics: whose it is, who removes it, and what stands in its way."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# A process that makes a folder and keeps it until it is ended; with a worker's lock in it, as a worker holds one.
MAKE = """
import signal
from preheat.observability.folder import MetricsFolder
print(MetricsFolder().path, flush=True)
signal.pause()
"""


@contextmanager
def made(temporary: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process and the folder that it has made."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", MAKE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def killed(temporary: Path) -> Path:
    """The folder of a process that was killed."""
    with made(temporary) as (process, folder):
        process.kill()
        process.wait()
    (folder / "1-ab.json").write_text("{}")
    assert folder.is_dir()
    return folder


def test_what_a_killed_service_has_left_is_removed_and_nothing_of_a_living_one(tmp_path: Path) -> None:
    """At the next start, whatever its process id is by then."""
    left = killed(tmp_path)
    not_ours = tmp_path / "preheat-metrics"
    not_ours.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "preheat-metrics-link").symlink_to(elsewhere)
    with made(tmp_path) as (_, living), made(tmp_path) as (_, another):
        assert not left.exists()
        assert living.is_dir()
        assert another.is_dir()
        assert not_ours.is_dir()
        assert elsewhere.is_dir()


def test_a_worker_that_outlives_its_service_keeps_its_folder(tmp_path: Path) -> None:
    """It still writes what it counts, until it has ended."""
    left = killed(tmp_path)
    worker = os.open(left / "1-ab.alive", os.O_CREAT | os.O_RDWR)
    fcntl.flock(worker, fcntl.LOCK_EX)
    with made(tmp_path):
        assert left.is_dir()
    os.close(worker)
    with made(tmp_path):
        assert not left.exists()


def test_services_that_start_at_once_each_have_a_folder(tmp_path: Path) -> None:
    """However often one takes the folder that another has just made for a leftover; none leaves a file open."""
    code = """
import resource
from preheat.observability.folder import MetricsFolder
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
for _ in range(400):
    folder = MetricsFolder()
    assert folder.path.is_dir()
    folder.remove()
"""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4


@pytest.mark.parametrize(
    ("metrics_dir", "message"),
    [
        ("/no/such", 'metrics_dir ("/no/such") is refused: Path does not point to a directory'),
        (__file__, "is refused: Path does not point to a directory"),
        ("/proc", "metrics_dir (/proc) cannot be written: "),
    ],
)
def test_a_metrics_dir_that_is_none_is_one_line(metrics_dir: str, message: str) -> None:
    """At the start, and not in the log of a worker."""
    run = serve(PREHEAT_METRICS_DIR=metrics_dir)
    assert run.returncode != 0
    assert message in run.stderr
    assert "Traceback" not in run.stderr


def test_a_disk_on_which_nothing_can_be_written_is_one_line(tmp_path: Path) -> None:
    """Worker processes have a socket among the temporary files."""
    run = serve("ulimit -f 0;", PREHEAT_DATABASE_URL=f"sqlite:///{tmp_path}/p.db")
    assert run.returncode == 1
    assert "no temporary files can be written: " in run.stderr
    assert "Traceback" not in run.stderr


def serve(shell: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """`preheat serve`, which is to end by itself, after something that a shell does to it."""
    environment = {**os.environ, "PREHEAT_DATABASE_URL": "sqlite:///:memory:", **variables}
    command = ["sh", "-c", f'{shell} exec "$@"', "sh", sys.executable, "-m", "preheat", "serve", "--port", "0"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
