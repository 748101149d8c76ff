"""Settings: what the environment may say, and what of it is none of ours."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import annotated_types
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from preheat.cli import app
from preheat.plot.options import PlotOptions
from preheat.settings import Settings, unknown_variables
from preheat_client._core.configuration import configuration_rows
from reference import REFERENCE_SPEC
from rest import post
from running_service import service_process, wait_until
from support.forked import run_preheat

BESIDE_A_SERVICE = {
    "PREHEAT_SERVICE_HOST": "10.96.0.10",
    "PREHEAT_SERVICE_PORT": "8000",
    "PREHEAT_SERVICE_PORT_HTTP": "8000",
    "PREHEAT_PORT": "tcp://10.96.0.10:8000",
    "PREHEAT_PORT_8000_TCP": "tcp://10.96.0.10:8000",
    "PREHEAT_PORT_8000_TCP_PROTO": "tcp",
    "PREHEAT_PORT_8000_TCP_PORT": "8000",
    "PREHEAT_PORT_8000_TCP_ADDR": "10.96.0.10",
}
"""What a pod finds in its environment beside a Service named preheat (kubernetes.io, Service, discovering services)."""


def test_what_kubernetes_injects_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port stays the default, and no variable is reported."""
    for name, value in BESIDE_A_SERVICE.items():
        monkeypatch.setenv(name, value)
    assert Settings().port == 8000
    assert unknown_variables(BESIDE_A_SERVICE) == []


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    """A slip of the pen is not ignored in silence."""
    assert unknown_variables(["PREHEAT_WORKER", "PATH", "PREHEAT_HOST"]) == [
        "PREHEAT_WORKER is no setting; did you mean PREHEAT_WORKERS?"
    ]
    assert unknown_variables(["PREHEAT_ZZZ"]) == ["PREHEAT_ZZZ is no setting"]


def test_the_variables_of_the_client_are_known() -> None:
    """A job that starts a service of its own has both kinds in its environment."""
    assert unknown_variables(variable for _, variable, _, _ in configuration_rows() if variable) == []


def test_serve_warns_of_an_unknown_variable() -> None:
    """The warning stands before whatever else it says."""
    run = run_preheat("serve", PREHEAT_WORKER="3", PREHEAT_DATABASE_URL="mysql://x")
    assert run.returncode == 2
    assert run.stderr.startswith("warning: PREHEAT_WORKER is no setting; did you mean PREHEAT_WORKERS?\n")


def test_the_url_of_the_database_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In place of one in the environment, where an image has its default; the end of the line is not part of it."""
    file = tmp_path / "database_url"
    file.write_text("postgresql+psycopg://preheat:secret@postgres/preheat\n")
    monkeypatch.setenv("PREHEAT_DATABASE_URL", "sqlite:////data/preheat.db")
    monkeypatch.setenv("PREHEAT_DATABASE_URL_FILE", str(file))
    assert Settings().database_url == "postgresql+psycopg://preheat:secret@postgres/preheat"


def test_warming_up_leaves_that_database_alone(tmp_path: Path) -> None:
    """What is stored to warm worker processes up is stored in memory, whatever the environment says."""
    database, file = tmp_path / "preheat.db", tmp_path / "database_url"
    file.write_text(f"sqlite:///{database}")
    environment = {**os.environ, "PREHEAT_DATABASE_URL_FILE": str(file)}
    subprocess.run([sys.executable, "-c", "import preheat.api.warm"], check=True, timeout=120, env=environment)
    assert not database.exists()


def test_no_password_is_in_a_repr() -> None:
    """Of settings, which a traceback or a debugger may show."""
    shown = repr(Settings(database_url="postgresql+psycopg://preheat:secret@postgres/preheat", first_key="k" * 40))
    assert "secret" not in shown
    assert "kkk" not in shown


def test_an_option_does_not_give_way_to_a_file_without_a_word(tmp_path: Path) -> None:
    """Whoever says --database-url means it, whatever the environment of an image has."""
    file = tmp_path / "database_url"
    file.write_text(f"sqlite:///{tmp_path}/a.db")
    run = run_preheat("serve", "--database-url", f"sqlite:///{tmp_path}/b.db", PREHEAT_DATABASE_URL_FILE=str(file))
    assert run.returncode == 2
    assert "PREHEAT_DATABASE_URL_FILE must not both be given" in run.stderr


def test_a_folder_for_metrics_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything starts."""
    with pytest.raises(ValueError, match=r"metrics_dir\n  Path does not point to a directory"):
        Settings(metrics_dir=tmp_path / "none")


@pytest.mark.parametrize(
    ("setting", "content", "reason"),
    [
        ("database_url_file", None, "cannot be read: No such file or directory"),
        ("database_url_file", b"\xff", "cannot be read: it must be UTF-8"),
        ("database_url_file", b" \n", "must not be empty"),
        ("first_key_file", None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_of_a_setting_that_has_nothing_to_read_is_named(
    tmp_path: Path, setting: str, content: bytes | None, reason: str
) -> None:
    """With the reason, before anything starts, in one line."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    run = run_preheat("serve", **{"PREHEAT_PORT": "0", f"PREHEAT_{setting.upper()}": str(file)})
    assert run.returncode == 2
    assert run.stderr.endswith(f"{setting} ({file}) {reason}\n")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("side", ["width_px", "height_px"])
def test_no_setting_forbids_the_smallest_picture(side: str) -> None:
    """The largest picture that an operator may allow is at least as large as the smallest that there is."""
    schema = PlotOptions.model_json_schema()["properties"]
    least = schema[side]["minimum"]
    assert getattr(Settings.model_validate({f"max_{side}": least}), f"max_{side}") == least
    with pytest.raises(ValidationError):
        Settings.model_validate({f"max_{side}": least - 1})


_DAYS = Settings.model_fields["retention_days"].annotation


def most() -> dict[str, Any]:
    """Every setting that is a number, with its largest value; inf where it has none."""
    numbers = {name: field for name, field in Settings.model_fields.items() if field.annotation in {int, float, _DAYS}}
    return {
        name: next((bound.le for bound in field.metadata if isinstance(bound, annotated_types.Le)), math.inf)
        for name, field in numbers.items()
    }


@pytest.mark.parametrize("name", most())
@settings(max_examples=10)
@given(st.one_of(st.floats(min_value=1, exclude_min=True), st.integers(min_value=2), st.just(math.nan)))
@example(math.inf)
@example(math.nan)
@example(-math.inf)
@example(2)
@example(10**400)
def test_a_number_has_a_largest_value(name: str, factor: float) -> None:
    """Infinity, what is no number, and whatever is larger are refused, as a number and as the text of a variable."""
    assert most()[name] < math.inf
    value = most()[name] * factor if isinstance(factor, int) else math.floor(most()[name]) + factor
    for given_value in (value, str(value) if abs(value) < 1e300 else "1e999"):
        with pytest.raises(ValidationError) as caught:
            Settings.model_validate({name: given_value})
        assert [error["loc"] for error in caught.value.errors()] == [(name,)]


TIMES = [name for name, field in Settings.model_fields.items() if field.annotation is float and name.endswith("_s")]


@pytest.mark.parametrize("name", [name for name in TIMES if name not in {"shutdown_delay_s", "worker_timeout_s"}])
def test_a_time_has_a_smallest_value(name: str) -> None:
    """A hundredth of a second: less would be over before anything could be done, and have timers come without pause."""
    assert getattr(Settings.model_validate({name: "0.01"}), name) == 0.01
    for given_value in (math.nextafter(0.01, 0), 1e-9, 5e-324, 0, -1, "1e-9"):
        with pytest.raises(ValidationError, match=r"greater than or equal to 0\.01"):
            Settings.model_validate({name: given_value})


@pytest.mark.parametrize(("value", "rule"), [("inf", "≤ 86400.0"), ("1e-9", "≥ 0.01")])
def test_serve_says_how_large_and_how_small_a_number_may_be(value: str, rule: str) -> None:
    """In one line, with the setting and the value."""
    ended = CliRunner().invoke(app, ["serve"], env={"PREHEAT_COMPUTE_TIMEOUT_S": value})
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.endswith(f'compute_timeout_s ("{value}") must be {rule}\n')


def test_a_service_works_with_every_limit_at_its_largest(tmp_path: Path) -> None:
    """No system call and no process is given a number that it cannot take; the counts of processes stay small."""
    few: dict[str, Any] = {"workers": 1, "compute_workers": 1, "shutdown_delay_s": 0}
    limits: dict[str, Any] = {name: value for name, value in most().items() if name not in {"port", *few}}
    with (
        service_process(tmp_path / "p.db", **{**limits, **few}) as running,
        httpx.Client(base_url=running.url, timeout=60) as http,
    ):
        wait_until(lambda: http.get("/readyz").is_success, 60)
        assert post(http, REFERENCE_SPEC).status_code == 201
        assert http.get("/metrics").is_success


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("root_path", "tools", "must be a path such as /tools/preheat"),
        ("root_path", "/a b", "must be a path such as /tools/preheat"),
        ("root_path", "/v1/x", "must not begin as the service's own paths do"),
        ("trusted_proxies", "proxy.example", "does not appear to be an IPv4 or IPv6 network"),
        ("trusted_proxies", "10.0.0.1/8", "has host bits set"),
        ("trusted_proxies", "10.0.0.0/8,*", "does not appear to be an IPv4 or IPv6 network"),
    ],
)
def test_a_prefix_and_proxies_that_make_no_sense_are_refused(
    name: str, value: str, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy is an address or a network, and a prefix is one that can be told from the service's own paths."""
    monkeypatch.setenv(f"PREHEAT_{name.upper()}", value)
    with pytest.raises(ValidationError, match=rule) as caught:
        Settings()
    assert caught.value.errors()[0]["loc"][0] == name


def test_a_prefix_and_proxies_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slash at the end of the prefix means nothing; proxies are separated by commas."""
    monkeypatch.setenv("PREHEAT_ROOT_PATH", "/tools/preheat/")
    monkeypatch.setenv("PREHEAT_TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.7,::1")
    settings = Settings()
    assert settings.root_path == "/tools/preheat"
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "192.0.2.7/32", "::1/128"]
