"""Load by wrk, a generator in C that takes a small part of a core: requests a second, and latency."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_MICROSECOND = 1e-6

# A client that asks `RATE` times a second on average, at times that do not depend on the others'.
_PACED = """
function delay() return math.random(0, 2000 / {rate_per_s}) end
function done(summary, latency, requests)
    io.write("p99 ", latency:percentile(99), " of ", summary.requests, "\\n")
end
"""


def requests_a_second(url: str, *, token: str = "", script: str = "", connections: int = 64, seconds: int = 1) -> float:
    """Requests a second over connections that each ask again as soon as they are answered."""
    with _command(url, token, script, connections, seconds) as command:
        return _number(r"Requests/sec:\s+([\d.]+)", _report(command))


def p99_s(url: str, *, token: str = "", clients: int, rate_per_s: float, seconds: int) -> float:
    """The 99th percentile of the seconds that an answer takes, each client asking `rate_per_s` times a second.

    A client waits for an answer before it asks again: while answers take seconds, fewer are asked for.
    """
    script = "math.randomseed(1)" + _PACED.format(rate_per_s=rate_per_s)
    with _command(url, token, script, clients, seconds) as command:
        report = _report(command)
    asked, expected = _number(r"^p99 [\d.]+ of (\d+)", report), clients * rate_per_s * seconds
    assert asked > expected / 2, f"{asked:g} requests of {expected:g}: the rate was not kept"
    return _number(r"^p99 ([\d.]+)", report) * _MICROSECOND


@contextmanager
def load(url: str, script: str, *, token: str = "", connections: int) -> Iterator[None]:
    """Requests of a script, over connections that each ask again as soon as they are answered, until the end."""
    with (
        _command(url, token, script, connections, seconds=3600) as command,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
    ):
        try:
            yield
            assert process.poll() is None, "wrk ended before its time"
        finally:
            process.send_signal(2)  # upon which it reports
            report = process.communicate(timeout=60)[0]
    _check(report)


@contextmanager
def _command(url: str, token: str, script: str, connections: int, seconds: int) -> Iterator[list[str]]:
    if shutil.which("wrk") is None:
        sys.exit("this benchmark needs wrk, a load generator: apt-get install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        yield [
            *("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s"),
            *(("-H", f"Authorization: Bearer {token}") if token else ()),
            *(("-s", file.name) if script else ()),
            url,
        ]


def _report(command: list[str]) -> str:
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _check(report)
    return report


def _check(report: str) -> None:
    assert "Non-2xx" not in report, report
    assert "Socket errors" not in report, report
    assert _number(r"(\d+) requests in", report) > 0, report


def _number(pattern: str, report: str) -> float:
    found = re.search(pattern, report, re.MULTILINE)
    assert found is not None, report
    return float(found[1])
