"""Snapshots that are whole, and the right ones, or ignored."""

import os
import resource
import subprocess
import sys
from array import array
from pathlib import Path

import pytest

from preheat_client._core.curve import FetchedCurve, Metadata, Window
from preheat_client._core.request import Request
from preheat_client._core.snapshots import Snapshots

SERVICE = "http://service"
REQUEST = Request.of_spec({"target_lr": 0.1, "total_iterations": 3})
METADATA = Metadata("f" * 32, {"target_lr": 0.1}, 3, ("a", "b"), (("a", "momentum"),))
WINDOWS = (
    Window(0, array("d", [0.1, 0.2, 0.9, 0.3, 0.4, 0.8]), 2, 3),
    Window(2, array("d", [0.5, 0.6, 0.7, 0.7, 0.8, 1e-300]), 2, 3),
)


CURVE = FetchedCurve(METADATA, 2, "service", WINDOWS)


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """A folder with one snapshot."""
    kept = Snapshots(tmp_path / "snapshots", SERVICE)
    kept.save(REQUEST, CURVE)
    return kept


BY_ID = Request.of_id("f" * 32)


@pytest.mark.parametrize("request_", [REQUEST, BY_ID], ids=["spec", "id"])
def test_what_was_saved_is_read_bit_for_bit(snapshots: Snapshots, request_: Request) -> None:
    """Metadata and windows are those that were saved, asked for by the spec or by the schedule's id."""
    read = snapshots.read(request_)
    assert read is not None
    curve, _ = read
    assert (curve.metadata, curve.size, curve.windows()) == (METADATA, 2, list(WINDOWS))


def test_a_file_belongs_to_one_service_and_one_request(snapshots: Snapshots, tmp_path: Path) -> None:
    """Another service and another request find no file, and log nothing."""
    assert snapshots.read(Request.of_id("e" * 32)) is None
    assert Snapshots(tmp_path / "snapshots", "http://other").read(REQUEST) is None
    assert Snapshots(tmp_path / "nowhere", SERVICE).read(REQUEST) is None


def test_a_key_does_not_depend_on_the_order_of_the_spec(snapshots: Snapshots) -> None:
    """The same spec is the same request."""
    assert snapshots.read(Request.of_spec({"total_iterations": 3, "target_lr": 0.1})) is not None


def damaged(data: bytes) -> dict[str, tuple[bytes, str]]:
    """Files that are not to be read, and what is said of each."""
    return {
        "empty": (b"", "it is not a snapshot"),
        "foreign": (b"\x89PNG\r\n" + data, "it is not a snapshot"),
        "text": (b"hello", "it is not a snapshot"),
        "newer": (data.replace(b"preheat-snapshot 1", b"preheat-snapshot 2", 1), "its version is 2, this client reads"),
        "truncated": (data[:-1], "its checksum is wrong"),
        "cut in the header": (data[:120], "its checksum is wrong"),
        "longer": (data + b"\0", "its checksum is wrong"),
        "one bit": (data[:-3] + bytes([data[-3] ^ 1]) + data[-2:], "its checksum is wrong"),
    }


@pytest.mark.parametrize("kind", list(damaged(bytes(9))))
def test_a_damaged_file_is_ignored_with_one_line(
    snapshots: Snapshots, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever has happened to a file, it is not read, and the log says why."""
    path = snapshots.path(REQUEST)
    data, message = damaged(path.read_bytes())[kind]
    path.write_bytes(data)
    assert snapshots.read(REQUEST) is None
    (record,) = caplog.records
    assert f"the snapshot {path} is ignored: {message}" in record.getMessage()


def test_a_file_of_another_service_under_our_name_is_ignored(
    snapshots: Snapshots, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is inside counts, not the name."""
    other = Snapshots(tmp_path / "snapshots", "http://other")
    snapshots.path(REQUEST).rename(other.path(REQUEST))
    assert other.read(REQUEST) is None
    assert "it belongs to http://service" in caplog.text


def test_a_folder_where_the_file_should_be_is_ignored(snapshots: Snapshots, caplog: pytest.LogCaptureFixture) -> None:
    """An OSError is a line, not a crash."""
    snapshots.path(REQUEST).unlink()
    snapshots.path(REQUEST).mkdir()
    assert snapshots.read(REQUEST) is None
    assert "is ignored" in caplog.text


def test_a_full_disk_leaves_what_was_there(snapshots: Snapshots) -> None:
    """Writing past 100 bytes, which is all there may be, raises OSError and leaves no torn file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = {path.name: path.read_bytes() for path in snapshots.path(REQUEST).parent.iterdir()}
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100, {hard}))\n"
        "from preheat_client._core.snapshots import Snapshots\n"
        "from preheat_client._core.curve import FetchedCurve, Metadata\n"
        "from preheat_client._core.request import Request\n"
        "from pathlib import Path\n"
        "curve = FetchedCurve(Metadata('x', {}, 3, ('a',)), 2, 'service')\n"
        "request = Request.of_spec({'target_lr': 0.1, 'total_iterations': 3})\n"
        "try: Snapshots(Path(sys.argv[1]), 'http://service').save(request, curve)\n"
        "except OSError as error: print(type(error).__name__)"
    )
    folder = snapshots.path(REQUEST).parent
    run = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert run.stdout == "OSError\n"
    assert len(before) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == soft


def test_what_a_killed_writer_left_is_swept_away(snapshots: Snapshots) -> None:
    """It goes after an hour; what another writer may be writing now stays."""
    folder = snapshots.path(REQUEST).parent
    for name, age_s in (("old.preheat-writing", 7200), ("new.preheat-writing", 0)):
        (folder / name).touch()
        os.utime(folder / name, (folder.stat().st_mtime - age_s,) * 2)
    snapshots.save(REQUEST, CURVE)
    assert {path.name for path in folder.iterdir()} == {
        "new.preheat-writing",
        *(snapshots.path(request).name for request in (REQUEST, BY_ID)),
    }
