"""Client and service of different versions: they understand each other, or say which of the two is too old."""

import pickle
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from faults.control import BUSY_S
from faults.fake_service import ID, FakeService, status
from preheat import __version__
from preheat_client import Preheat, ServiceUnavailable, VersionMismatch
from preheat_client._core.version import API_LEVEL, VERSION, check_version
from reference import REFERENCE_SPEC
from running_service import serving

PROJECT = Path(__file__).parents[2] / "clients/python/pyproject.toml"
TOO_OLD = f'"0.0.9"; api={API_LEVEL - 1}; oldest-api=0'
TOO_NEW = f'"9.0.0"; api={API_LEVEL + 7}; oldest-api={API_LEVEL + 2}'


@pytest.fixture
def fake() -> FakeService:
    """A service of 100 iterations, each with another LR."""
    return FakeService(100, lambda n: n / 1000)


@pytest.fixture
def fake_url(fake: FakeService) -> Iterator[str]:
    """Its address."""
    with serving(fake) as url:
        yield url


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            TOO_OLD,
            rf"the service is too old: preheat 0\.0\.9 .* preheat-client {re.escape(VERSION)} needs .*: upgrade the",
        ),
        (
            TOO_NEW,
            rf"this client is too old: preheat-client {re.escape(VERSION)} needs .* preheat 9\.0\.0 .*: upgrade pre",
        ),
    ],
)
def test_the_one_that_is_too_old_is_named(fake: FakeService, fake_url: str, said: str, message: str) -> None:
    """At once, with what to do, and not after start_timeout_s."""
    fake.version = said
    started = time.monotonic()
    with Preheat(fake_url, start_timeout_s=600) as preheat, pytest.raises(VersionMismatch, match=message) as caught:
        preheat.schedule(ID)
    assert time.monotonic() - started < BUSY_S
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own


def test_the_reason_of_a_refusal_is_the_version(fake: FakeService, fake_url: str) -> None:
    """A service that has no longer what the client asks for is not said to have lost the schedule."""
    fake.version = TOO_NEW
    fake.trick = status(404)
    with (
        Preheat(fake_url, start_timeout_s=600) as preheat,
        pytest.raises(VersionMismatch, match="this client is too old"),
    ):
        preheat.schedule(ID)


def test_a_mismatch_is_an_outage(fake: FakeService, fake_url: str, tmp_path: Path) -> None:
    """A job goes on from memory, starts from its snapshot or a fallback, and returns when the service is upgraded."""
    with Preheat(fake_url, snapshot_dir=tmp_path, start_timeout_s=20) as preheat:
        schedule = preheat.schedule(ID)
        assert (schedule.lr(7), schedule.status.source) == (0.007, "service")
    fake.version = TOO_OLD
    with Preheat(fake_url, snapshot_dir=tmp_path, start_timeout_s=20) as preheat:
        schedule = preheat.schedule(ID)
        assert (schedule.lr(7), schedule.status.source) == (0.007, "snapshot")
        assert "the service is too old" in str(schedule.status.last_error)
    with Preheat(fake_url, start_timeout_s=20) as preheat:
        assert preheat.schedule(ID, fallback=0.5).lr(7) == 0.5
        assert preheat.create(REFERENCE_SPEC).status.source == "computed"


@pytest.mark.parametrize(
    "said",
    [None, f'"0.0.9"; api={API_LEVEL}; oldest-api=0', f'"9.0.0"; new=x; api=99; oldest-api={API_LEVEL}; more', "?"],
)
def test_versions_that_understand_each_other(fake: FakeService, fake_url: str, said: str | None) -> None:
    """Fields that the client does not know are ignored, and a service that says nothing is judged by its answers."""
    fake.version = said
    fake.document |= {"colour": "red", "groups": [{"name": "default", "mood": ["fine"]}]}
    fake.document["columns"][0]["unit"] = 1
    with Preheat(fake_url, start_timeout_s=20) as preheat:
        schedule = preheat.schedule(ID)
        assert (schedule.lr(7), schedule.status.source) == (0.007, "service")


@pytest.mark.parametrize("missing", ["id", "spec", "total_iterations", "groups", "columns"])
def test_a_field_that_is_missing_is_named(fake: FakeService, fake_url: str, missing: str) -> None:
    """And never a KeyError."""
    del fake.document[missing]
    expected = rf"a schedule without '{missing}', which preheat-client {re.escape(VERSION)} needs"
    with Preheat(fake_url, start_timeout_s=0.5) as preheat, pytest.raises(ServiceUnavailable, match=expected):
        preheat.schedule(ID)


def test_the_service_says_its_version_in_every_answer(url: str) -> None:
    """In a header of answers, problems, and refusals of the socket; and /livez has it in its body."""
    answers = [httpx.get(url + path, timeout=60) for path in ("/livez", "/v1/recipes", "/nowhere", "/" + "x" * 40_000)]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 414]
    for answer in answers:
        said = answer.headers["preheat-version"]
        assert said.startswith(f'"{__version__}"; api=')
        check_version(said)
    alive = answers[0].json()
    assert said == f'"{alive["version"]}"; api={alive["api_level"]}; oldest-api={alive["oldest_api_level"]}'


def test_the_clients_version_is_that_of_its_package() -> None:
    """It says it in User-Agent, and in messages."""
    assert tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["version"] == VERSION
