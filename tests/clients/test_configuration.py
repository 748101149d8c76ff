"""Configuration of a client: argument over environment over default, each option documented once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preheat_client import Preheat
from preheat_client._core.configuration import Configuration, configuration_rows, configured
from reference import REFERENCE_SPEC, SERVED_ALONE
from running_service import wait_until


class TestConfiguration:
    """An argument wins over its environment variable, and that over the default."""

    def test_defaults(self) -> None:
        """A client with an address alone has the documented defaults."""
        found = configured({"url": "http://a"}, {})
        assert found == Configuration(url="http://a")
        assert (found.mode, found.timeout_s, found.start_timeout_s, found.on_outage) == ("online", 5.0, 10.0, "hold")

    def test_the_environment_counts_where_there_is_no_argument(self) -> None:
        """Every variable is read in its type."""
        environ = {
            "PREHEAT_URL": "http://b",
            "PREHEAT_TOKEN": "t",
            "PREHEAT_MODE": "offline",
            "PREHEAT_TIMEOUT_S": "0.5",
            "PREHEAT_START_TIMEOUT_S": "60",
            "PREHEAT_SNAPSHOT_DIR": "/snapshots",
            "PREHEAT_OVERRIDE_FILE": "/override",
            "PREHEAT_ON_OUTAGE": "raise",
            "PREHEAT_STRICT": "true",
            "PREHEAT_WINDOW": "50",
            "PREHEAT_PROXY": "http://p",
            "PREHEAT_CA_FILE": "/ca",
            "PREHEAT_UNIX_SOCKET": "/socket",
            "PREHEAT_HEADERS": "X-A: 1; X-B: a:b",
        }
        assert configured({}, environ) == Configuration(
            url="http://b",
            token="t",  # noqa: S106 - opens nothing
            mode="offline",
            timeout_s=0.5,
            start_timeout_s=60.0,
            snapshot_dir="/snapshots",
            override_file="/override",
            on_outage="raise",
            strict=True,
            window=50,
            proxy="http://p",
            ca_file="/ca",
            unix_socket="/socket",
            headers={"X-A": "1", "X-B": "a:b"},
        )
        assert configured({"url": "http://a", "strict": False}, environ).url == "http://a"
        assert configured({"url": "http://a", "strict": False}, environ).strict is False

    def test_secrets_are_not_shown(self) -> None:
        """No password or token is in a text that may end in a log."""
        with Preheat("http://me:sesame@127.0.0.1:1/here", token="sesame", start_timeout_s=0.1) as preheat:  # noqa: S106
            schedule = preheat.create(SERVED_ALONE, fallback=0.5)
            texts = [repr(preheat), repr(schedule), str(schedule.status.last_error)]
            assert "sesame" not in f"{texts} {preheat._session.configuration}"
            assert repr(preheat) == "<Preheat http://127.0.0.1:1/here: online>"
            assert repr(schedule) == "<the schedule of the spec: FALLBACK (fallback)>"
            assert texts[2].startswith("no answer from http://127.0.0.1:1/here: ConnectError")

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"token": "sesame\n"}, ValueError, "token must be one line, without space around it"),
            ({"headers": {"X-A": "ses\r\name"}}, ValueError, r"headers\['X-A'\] must be one line"),
            ({"headers": {"X-A": " sesame"}}, ValueError, r"headers\['X-A'\] must be one line"),
            ({"headers": {"X-A": b"sesame"}}, TypeError, r"headers\['X-A'\] must be a text, not bytes"),
            ({"headers": {5: "sesame"}}, TypeError, r"a name \(5\) in headers must be a text"),
        ],
    )
    def test_what_no_header_can_be_is_refused_unshown(
        self, arguments: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        """A token that was read with its line's end fails at once, and not as a service that does not answer."""
        with pytest.raises(error, match=message) as refused:
            Preheat("http://127.0.0.1:1", **arguments)
        assert "sesame" not in str(refused.value)

    def test_a_client_reads_the_environment(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A client without arguments is configured by its process's environment."""
        monkeypatch.setenv("PREHEAT_URL", url)
        assert Preheat().create(REFERENCE_SPEC).lr(5) == 0.005
        monkeypatch.delenv("PREHEAT_URL")
        with pytest.raises(ValueError, match="set PREHEAT_URL"):
            Preheat()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"timeout_s": 0}, r"timeout_s \(0\) must be > 0"),
            ({"timeout_s": float("nan")}, r"timeout_s \(nan\)"),
            ({"start_timeout_s": float("inf")}, r"start_timeout_s \(inf\)"),
            ({"window": 0}, r"window \(0\) must be ≥ 1"),
            ({"on_outage": "panic"}, r"on_outage \('panic'\) must be one of hold, raise"),
            ({"mode": "off"}, r"mode \('off'\) must be one of online, offline, disabled"),
            ({"url": "localhost:8000"}, r"url \('localhost:8000'\) must start with http"),
            ({"url": "http://"}, r"url \('http://'\)"),
            (
                {"url": "http://a.b/v1"},
                r"url \('http://a.b/v1'\) must be the service's address, without /v1: the client",
            ),
            ({"url": "http://me:pass@a.b:8000/sub/v1/"}, r"url \('http://a.b:8000/sub/v1/'\) .* without /v1/"),
            ({"url": "https://a.b/v1/runs"}, "without /v1/runs"),
            ({"url": "https://a.b/v1/schedules/cafe/lr"}, "without /v1/schedules/cafe/lr"),
        ],
    )
    def test_arguments_out_of_bounds_are_refused(self, arguments: dict[str, Any], message: str) -> None:
        """The error has name, value and rule."""
        with pytest.raises(ValueError, match=message):
            Preheat(**{"url": "http://127.0.0.1:1", **arguments})

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"url": 5}, r"url \(5\) must be a text"),
            ({"url": b"http://a"}, r"url \(b'http://a'\) must be a text"),
            ({"token": 5}, r"token \(5\) must be a text"),
            ({"timeout_s": "5"}, r"timeout_s \('5'\) must be a number of seconds"),
            ({"start_timeout_s": True}, r"start_timeout_s \(True\) must be a number of seconds"),
            ({"window": 1e3}, r"window \(1000\.0\) must be a whole number of LRs"),
            ({"window": "1000"}, r"window \('1000'\)"),
            ({"strict": 1}, r"strict \(1\) must be True or False"),
            ({"snapshot_dir": 7}, r"snapshot_dir \(7\) must be a path"),
            ({"headers": "X-A: 1"}, r"headers \('X-A: 1'\) must be a dict from names to values"),
            ({"on_state_change": "print"}, r"on_state_change \('print'\) must be a function of schedule and status"),
            ({"on_outage": ["hold"]}, r"on_outage \(\['hold'\]\) must be a text"),
        ],
    )
    def test_arguments_of_another_type_are_refused(self, arguments: dict[str, Any], message: str) -> None:
        """The error has name, value and rule, and not a line of ours."""
        with pytest.raises(TypeError, match=message):
            Preheat(**{"url": "http://127.0.0.1:1", **arguments})

    def test_a_path_and_a_numpy_number_are_arguments(self) -> None:
        """What Python calls a path or a number is one here."""
        given = {
            "url": "http://a",
            "snapshot_dir": Path("/snapshots"),
            "timeout_s": np.float32(2),
            "window": np.int64(50),
        }
        found = configured(given, {})
        assert (found.snapshot_dir, found.timeout_s, found.window) == ("/snapshots", 2.0, 50)
        assert (type(found.timeout_s), type(found.window)) == (float, int)

    def test_a_numpy_window_is_in_a_snapshot(self, url: str, tmp_path: Path) -> None:
        """A snapshot is JSON in part, which has no number of numpy's."""
        with Preheat(url, window=np.int64(50), snapshot_dir=tmp_path) as preheat:  # type: ignore[arg-type]
            schedule = preheat.create(REFERENCE_SPEC)
            wait_until(lambda: schedule.status.counters.snapshots == 1, 10)

    @pytest.mark.parametrize(
        ("variable", "value"), [("PREHEAT_TIMEOUT_S", "soon"), ("PREHEAT_STRICT", "perhaps"), ("PREHEAT_WINDOW", "1.5")]
    )
    def test_variables_that_cannot_be_read_are_refused(self, variable: str, value: str) -> None:
        """The error has the variable's name and its text."""
        with pytest.raises(ValueError, match=rf"{variable} \('{value}'\) cannot be read"):
            configured({"url": "http://a"}, {variable: value})


def test_arguments_and_options_are_the_same() -> None:
    """The signature that editors show has every option, by the same name and of the same type."""
    annotations = dict(Preheat.__init__.__annotations__)
    del annotations["return"]
    assert list(annotations) == [name for name, *_ in configuration_rows()]
    for name in ("timeout_s", "window", "mode", "proxy", "strict"):
        option = Configuration.__annotations__[name].__origin__
        assert annotations[name] == option | None


def test_every_option_is_documented_where_editors_and_help_look() -> None:
    """help(Preheat) has each option's meaning, variable and default, as configuration_rows has them."""
    for name, variable, default, about in configuration_rows():
        (line,) = [line for line in str(Preheat.__doc__).splitlines() if line.startswith(f"    {name}: ")]
        assert about in line
        assert variable in line
        assert default in line
