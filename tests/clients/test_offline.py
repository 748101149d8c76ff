"""Snapshots that are whole, and the right ones, or ignored; fallbacks that say what the service would have said."""

import json
import os
import resource
import subprocess
import sys
from array import array
from pathlib import Path
from typing import Any

import httpx
import pytest

from preheat_client import InvalidFallback
from preheat_client._core.curve import FetchedCurve, Metadata, Request, Window
from preheat_client._core.offline import LocalCurve, Snapshots, curve_of_file
from reference import REFERENCE_ROWS, REFERENCE_SPEC

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


def test_what_was_saved_is_read_bit_for_bit(snapshots: Snapshots) -> None:
    """Metadata and windows are those that were saved."""
    read = snapshots.read(REQUEST)
    assert read is not None
    curve, _ = read
    assert (curve.metadata, curve.size, curve.windows()) == (METADATA, 2, list(WINDOWS))


def test_a_file_belongs_to_one_service_and_one_request(snapshots: Snapshots, tmp_path: Path) -> None:
    """Another service and another request find no file, and log nothing."""
    assert snapshots.read(Request(schedule_id="f" * 32)) is None
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
    before = snapshots.path(REQUEST).read_bytes()
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100, {hard}))\n"
        "from preheat_client._core.offline import Snapshots\n"
        "from preheat_client._core.curve import FetchedCurve, Metadata, Request\n"
        "from pathlib import Path\n"
        "curve = FetchedCurve(Metadata('x', {}, 3, ('a',)), 2, 'service')\n"
        "request = Request.of_spec({'target_lr': 0.1, 'total_iterations': 3})\n"
        "try: Snapshots(Path(sys.argv[1]), 'http://service').save(request, curve)\n"
        "except OSError as error: print(type(error).__name__)"
    )
    folder = snapshots.path(REQUEST).parent
    run = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, check=True)
    assert run.stdout == "OSError\n"
    assert snapshots.path(REQUEST).read_bytes() == before
    assert [path.name for path in folder.iterdir()] == [snapshots.path(REQUEST).name]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == soft


def test_what_a_killed_writer_left_is_swept_away(snapshots: Snapshots) -> None:
    """It goes after an hour; what another writer may be writing now stays."""
    folder = snapshots.path(REQUEST).parent
    for name, age_s in (("old.preheat-writing", 7200), ("new.preheat-writing", 0)):
        (folder / name).touch()
        os.utime(folder / name, (folder.stat().st_mtime - age_s,) * 2)
    snapshots.save(REQUEST, CURVE)
    assert {path.name for path in folder.iterdir()} == {"new.preheat-writing", snapshots.path(REQUEST).name}


def lrs(fallback: Any, count: int) -> list[Any]:
    """The first LRs of a fallback."""
    curve = LocalCurve(fallback, "fallback", Request(schedule_id="f" * 32))
    return [curve.window(n // curve.size).lrs[n % curve.size] for n in range(count)]


def test_the_reference_spec_gives_the_reference_table() -> None:
    """A fallback of the reference spec has its LRs digit for digit."""
    assert [str(lr) for lr in lrs(REFERENCE_SPEC, 21)[1:]] == list(REFERENCE_ROWS)


@pytest.mark.parametrize("warmup", [0, 7])
@pytest.mark.parametrize(
    "after_scheduler",
    [
        None,
        {"type": "CosineAnnealingLR"},
        {"type": "CosineAnnealingLR", "T_max": 30, "eta_min": 0.002},
        {"type": "PolynomialLR", "total_iters": 50, "power": 2.0},
        {"type": "StepLR", "step_size": 9, "gamma": 0.3},
        {"type": "MultiStepLR", "milestones": [3, 20, 21]},
        {"type": "ExponentialLR", "gamma": 0.95},
    ],
)
def test_every_spec_means_what_it_means_to_the_service(http: httpx.Client, after_scheduler: Any, warmup: int) -> None:
    """At every iteration LRs are the service's, to the last place but what a power rounds."""
    spec: dict[str, Any] = {"target_lr": 0.03, "total_iterations": 2500, "warmup": {"iterations": warmup}}
    if after_scheduler is not None:
        spec["after_scheduler"] = after_scheduler
    theirs = http.post("/v1/schedules", json=spec).json()["groups"][0]["lr"]
    assert lrs(spec, 2501) == pytest.approx(theirs, rel=1e-12, abs=1e-18)


def test_values_are_lrs_by_iteration_and_the_last_is_held() -> None:
    """A list's index is the iteration, and a number is the LR of all."""
    assert lrs([0.1, 0.2, 0.3], 3) == [0.1, 0.2, 0.3]
    assert lrs(0.5, 2000) == [0.5] * 2000


def test_groups_are_rows() -> None:
    """Param groups are in the order in which they are given, each of its own kind."""
    curve = LocalCurve({"a": 0.5, "b": [0.1, 0.2], "c": REFERENCE_SPEC}, "fallback", Request.of_spec(REFERENCE_SPEC))
    assert curve.metadata.group_names == ("a", "b", "c")
    assert list(curve.window(0).lrs)[:3] == [[0.5, 0.1, 0.0], [0.5, 0.2, 0.001], [0.5, 0.2, 0.002]]
    assert curve.metadata.total_iterations == 20


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        (-0.1, r"default \(-0.1\) must be a number ≥ 0"),
        (float("nan"), r"default \(nan\)"),
        (True, r"default \(True\)"),
        ("0.1", r"default \('0.1'\)"),
        ([], r"default \(\[\]\) must have at least one LR"),
        ([0.1, float("inf")], r"default\[1\] \(inf\)"),
        ({}, "at least one param group"),
        ({"a": None}, r"a \(None\)"),
        ({"target_lr": 0.1}, r"total_iterations \(None\) must be iterations, a whole number ≥ 1"),
        ({"target_lr": 0.1, "total_iterations": "5ep"}, r"total_iterations \('5ep'\)"),
        ({"target_lr": 0.1, "total_iterations": 5, "units": {}}, "a fallback spec knows no 'units'"),
        ({"target_lr": 0.1, "total_iterations": 5, "warmup": 3}, r"warmup of a fallback spec \(3\) must be an object"),
        ({"target_lr": 0.1, "total_iterations": 5, "warmup": {"iterations": 6}}, r"\(6\) must not exceed .* \(5\)"),
        (
            {"target_lr": 0.1, "total_iterations": 5, "warmup": {"iterations": 1, "shape": "cosine"}},
            "warmup of a fallback spec knows no 'shape'",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "OneCycleLR"}},
            r"after_scheduler.type \('OneCycleLR'\) of a fallback must be one of CosineAnnealingLR",
        ),
        ({"target_lr": 0.1, "total_iterations": 5, "after_scheduler": "StepLR"}, r"after_scheduler.type \(None\)"),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": ["StepLR"]}},
            r"after_scheduler.type \(\['StepLR'\]\)",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "MultiStepLR", "milestones": 3}},
            r"after_scheduler.milestones \(3\) must be a list of iterations",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "StepLR"}},
            r"after_scheduler.step_size \(None\) must be iterations, a whole number ≥ 1",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "StepLR", "step_size": 2, "x": 1}},
            "after_scheduler.x is not known in a fallback's StepLR",
        ),
        (
            {"target_lr": 0.1, "total_iterations": 5, "after_scheduler": {"type": "ExponentialLR", "gamma": 2}},
            r"after_scheduler.gamma \(2.0\) of a fallback must be in 0 … 1",
        ),
    ],
)
def test_what_is_no_lr_is_refused(fallback: Any, message: str) -> None:
    """It raises with name, value and rule when the schedule is opened, not when the service is first away."""
    with pytest.raises(InvalidFallback, match=message):
        lrs(fallback, 1)


def test_a_file_is_a_fallback_in_json(tmp_path: Path) -> None:
    """An override file has any fallback, and an error in it names the file."""
    path = tmp_path / "override.json"
    path.write_text(json.dumps(REFERENCE_SPEC))
    assert str(curve_of_file(path, Request(schedule_id="f" * 32)).window(0).lrs[13]) == REFERENCE_ROWS[12]
    for text in ("", "{", "[[[", '{"a": "b"}', "[" * 100_000, "null"):
        path.write_text(text)
        with pytest.raises(InvalidFallback, match=r"override\.json: "):
            curve_of_file(path, Request(schedule_id="f" * 32))
