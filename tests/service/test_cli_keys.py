"""`preheat keys`, and what `preheat serve` says where nothing protects it."""

import json
import re
import sys
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from live_runs.rest_job import RestJob
from preheat.cli import app
from preheat.store import Database
from running_service import service, service_process, wait_until
from support.forked import run_preheat
from support.keys import bearer
from support.terminal import on_a_terminal

TOKEN = re.compile(r"preheat_\w{8}_\w{40}")
OWN = "0123456789abcdef" * 3


def test_a_key_is_made_used_rotated_and_revoked_beside_a_service(tmp_path: Path) -> None:
    """From the first request without keys to the last, which is refused."""
    url = f"sqlite:///{tmp_path}/p.db"
    database = {"PREHEAT_DATABASE_URL": url}
    with service(database_url=url) as address, httpx.Client(base_url=address, timeout=60) as http:

        def status(token: str) -> int:
            return http.get("/v1/schedules", headers=bearer(token)).status_code

        assert http.get("/v1/schedules").status_code == 200
        made = run_preheat("keys", "make", "GPU 7", "--scopes", "write,run", "--expires", "90d", **database)
        token = made.stdout.rstrip("\n")
        assert TOKEN.fullmatch(token)
        assert token not in made.stderr
        assert token[:16] in made.stderr
        assert re.search(r"^It works until \d{4}-\d\d-\d\dT", made.stderr, re.MULTILINE)
        wait_until(lambda: http.get("/v1/schedules").status_code == 401, 60)
        assert status(token) == 200
        rotated = json.loads(run_preheat("keys", "rotate", "GPU 7", "--overlap", "1h", "--json", **database).stdout)
        wait_until(lambda: status(rotated["token"]) == 200, 60)
        assert status(token) == 200
        listed = run_preheat("keys", "list", **database).stdout
        assert not TOKEN.search(listed)
        assert [line.split()[:4] for line in listed.splitlines()[1:]] == [
            ["GPU", "7", each[:16], "write,run"] for each in (token, rotated["token"])
        ]
        revoked = run_preheat("keys", "revoke", token[:16], **database)
        assert revoked.stdout == f"revoked {token[:16]} (GPU 7)\n"
        wait_until(lambda: status(token) == 401, 60)
        assert status(rotated["token"]) == 200
    entries = json.loads(run_preheat("keys", "list", "--json", **database).stdout)
    assert [entry["state"] for entry in entries] == ["revoked", "active"]
    assert all(entry["last_used_at"] and "token" not in entry and "hash" not in entry for entry in entries)


def test_the_first_key_warns_of_jobs_that_have_none(tmp_path: Path) -> None:
    """Before it is made, with the number of live runs at work, and asks at a terminal; later keys close nothing."""
    url = f"sqlite:///{tmp_path}/p.db"
    make = ("keys", "make", "a", "--scopes", "read")
    with service(database_url=url, run_lease_s=1800) as address, httpx.Client(base_url=address, timeout=60) as http:
        job = RestJob(http)
        RestJob(http)
        job.attach()
        command = (sys.executable, "-m", "preheat", *make)
        with on_a_terminal(*command, PREHEAT_DATABASE_URL=url) as screen:
            screen.read_until(
                "This is the first key: from now on the services on this database refuse whoever has none"
            )
            screen.read_until("Live runs with a job at work: 1. ")
            screen.read_until("Make it all the same? [y/N]")
            screen.type("n")
            assert screen.exit_code() == 1
        assert run_preheat("keys", "list", "--json", PREHEAT_DATABASE_URL=url).stdout == "[]\n"
    made = run_preheat(*make, PREHEAT_DATABASE_URL=url)
    assert TOKEN.fullmatch(made.stdout.rstrip("\n"))
    assert "with a job at work: 1" in made.stderr
    assert "first key" not in run_preheat(*make, PREHEAT_DATABASE_URL=url).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("make", "a", "--scopes", "wrote"), "scopes (wrote) must be names separated by commas"),
        (("make", "", "--scopes", "read"), "name must have 1 to 60 characters"),
        (("make", "a", "--scopes", "read", "--expires", "soon"), "expires (soon) must be a number and a unit"),
        (("rotate", "nobody"), "name (nobody) must be that of an active key"),
        (("revoke", "nobody"), "nobody must be the name or the prefix of an active key"),
    ],
)
def test_what_cannot_be_done_is_told(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """On stderr, with exit code 2, and nothing on stdout that a script could take for a key."""
    url = f"sqlite:///{tmp_path}/p.db"
    with closing(Database(url, 30)) as database:
        database.check()
    ended = CliRunner().invoke(app, ["keys", *arguments], env={"PREHEAT_DATABASE_URL": url})
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert message in ended.stderr


def test_a_database_in_memory_has_no_keys_to_make() -> None:
    """They would be gone with the command."""
    ended = CliRunner().invoke(app, ["keys", "list"], env={"PREHEAT_DATABASE_URL": "sqlite:///:memory:"})
    assert (ended.exit_code, "database in memory" in ended.stderr) == (2, True)


def test_serve_refuses_a_network_without_keys(tmp_path: Path) -> None:
    """And says the two ways out."""
    everywhere = {"PREHEAT_HOST": "0.0.0.0", "PREHEAT_PORT": "0"}  # noqa: S104 - what must be refused
    ended = run_preheat("serve", PREHEAT_DATABASE_URL=f"sqlite:///{tmp_path}/p.db", **everywhere)
    assert ended.returncode == 2
    assert "preheat keys make" in ended.stderr
    assert "--without-keys" in ended.stderr


def test_serve_refuses_a_weak_first_key_and_does_not_show_it(tmp_path: Path) -> None:
    """Nor a good one, where another setting is at fault."""
    database = {"PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db", "PREHEAT_PORT": "0"}
    for variables in ({"PREHEAT_FIRST_KEY": "hunter2"}, {"PREHEAT_FIRST_KEY": OWN, "PREHEAT_WORKERS": "x"}):
        ended = CliRunner().invoke(app, ["serve"], env=database | variables)
        assert ended.exit_code == 2
        assert variables["PREHEAT_FIRST_KEY"] not in ended.output


def test_without_keys_warns_at_the_start(tmp_path: Path) -> None:
    """In the log of the service, whatever address it listens on."""
    with (
        (tmp_path / "log").open("w+") as log,
        service_process(tmp_path / "p.db", stderr=log, without_keys=1) as running,
    ):
        assert httpx.get(f"{running.url}/v1/schedules", timeout=60).status_code == 200
        wait_until(lambda: "without_keys: whoever reaches this service" in (tmp_path / "log").read_text(), 60)


def test_every_worker_knows_the_keys_after_a_kill(tmp_path: Path) -> None:
    """A service is killed after a key was made: what was printed works after the next start, in both workers."""
    database = {"PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db"}
    with service_process(tmp_path / "p.db") as running:
        token = run_preheat("keys", "make", "a", "--scopes", "read", **database).stdout.strip()
        wait_until(lambda: _statuses(running.url, None) == {401}, 60)
        running.kill()
    with (tmp_path / "log").open("w+") as log, service_process(tmp_path / "p.db", workers=2, stderr=log) as running:
        assert _statuses(running.url, token) == {200}
        assert _statuses(running.url, None) == {401}
        assert "server" not in httpx.get(f"{running.url}/livez", timeout=60).headers
        run_preheat("keys", "revoke", "a", **database)
        wait_until(lambda: _statuses(running.url, token) == {401}, 60)
    assert token[-40:] not in (tmp_path / "log").read_text()


def _statuses(url: str, token: str | None) -> set[int]:
    """Statuses of requests on connections of their own, which go to any worker."""
    headers = {} if token is None else bearer(token)
    return {httpx.get(f"{url}/v1/recipes", headers=headers, timeout=60).status_code for _ in range(12)}
