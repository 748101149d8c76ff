"""What `preheat runs` says when something is wrong, with failures that are real: nothing is done twice."""

import json
import re
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from preheat.cli.runs.answers import ServiceError
from preheat.cli.runs.connection import Connection
from preheat_client._core.configuration import configured
from running_service import free_port, serving
from support.keys import Keyed, bearer, keyed_service
from support.relay import Relay, relayed
from support.runs_cli import Command, cosine


@pytest.fixture
def relay(live: httpx.Client) -> Iterator[Relay]:
    """Something between command line and service, without a fault to begin with."""
    with relayed(str(live.base_url)) as running:
        yield running


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    """A service with keys."""
    with keyed_service(compute_workers=0) as running:
        yield running


SCALE = ("scale", "0.5", "--why", "loss spike", "--yes")


def test_a_lost_answer_is_asked_for_again_and_nothing_is_done_twice(
    job: RestJob, relay: Relay, preheat: Command
) -> None:
    """The request has the same key, so the LR is halved once; whoever asked is told of the one change."""
    relay.lose = 2
    done = preheat("change", job.run()["label"], *SCALE, url=relay.url)
    assert done.exit_code == 0
    assert re.fullmatch(
        r"accepted before as change \w{16}: scale by 0.5, from iteration 17.* \(revision 2\)\n", done.stdout
    )
    assert done.stderr.count("asking again\n") == 2
    assert (len(relay.keys), len(set(relay.keys)), job.run()["changes"]) == (3, 1, 1)
    assert job.lrs(17) == pytest.approx([cosine(17) / 2])


def test_who_never_gets_an_answer_is_told_how_to_ask_once_more(job: RestJob, relay: Relay, preheat: Command) -> None:
    """Exit code 3, and a key with which the same command does it once."""
    relay.lose = 100
    lost = preheat("change", job.run()["label"], *SCALE, url=relay.url)
    assert (lost.exit_code, lost.stdout) == (3, "")
    key = re.search(r"the same command with --key (\w{32}) does it once\n$", lost.stderr)
    assert key is not None
    again = preheat("change", job.run()["label"], *SCALE, "--key", key[1])
    assert again.stdout.startswith("accepted before as change ")
    assert job.run()["changes"] == 1
    other = preheat("change", job.run()["label"], "scale", "0.9", "--why", "x", "--yes", "--key", key[1])
    assert (other.exit_code, "stood on another request" in other.stderr) == (1, True)


def test_what_has_no_key_is_not_sent_twice(job: RestJob, relay: Relay, preheat: Command) -> None:
    """A run that is made beside another one: the error says to look."""
    relay.lose, relay.keys = 100, []
    lost = preheat("make", job.run()["label"], "--schedule-id", job.run()["base_id"], "--another", url=relay.url)
    assert (lost.exit_code, lost.stdout, len(relay.keys)) == (3, "", 1)
    assert lost.stderr.endswith("  it may have been done all the same: look before you ask again\n")


def test_a_controller_whose_answer_is_lost_is_one(job: RestJob, relay: Relay, preheat: Command) -> None:
    """The same again is the one that there is, which is said; two would both reduce."""
    label = job.run()["label"]
    relay.lose = 2
    added = preheat("controllers", "add", label, "loss", url=relay.url)
    assert (added.exit_code, relay.lose) == (0, 0)
    again = preheat("controllers", "add", label, "loss")
    assert again.stdout == added.stdout
    assert "from iteration 17 on: it was there\n" in again.stderr
    assert len(job.run()["controllers"]) == 1


def test_what_is_done_already_when_it_is_asked_again_is_done(job: RestJob, relay: Relay, preheat: Command) -> None:
    """A restart that is taken back, a controller that is removed, a run that is deleted: no error for a lost answer."""
    label = job.run()["label"]
    preheat("rollback", label, "--after", "9", "--changes", "drop", "--why", "x", "--yes")
    controller = preheat("controllers", "add", label, "loss").stdout.strip()
    preheat("finish", label, "--yes")
    for arguments in (
        ("withdraw", job.run()["id"]),
        ("controllers", "remove", job.run()["id"], controller),
        ("delete", job.run()["id"], "--yes"),
    ):
        relay.lose = 1
        done = preheat(*arguments, url=relay.url)
        assert (done.exit_code, relay.lose) == (0, 0), done.stderr


def test_somebody_elses_change_in_between_is_shown_and_not_overwritten(
    job: RestJob, relay: Relay, preheat: Command
) -> None:
    """Exit code 1, who did what meanwhile, and only that is in force."""
    relay.before = lambda: job.change("hold", value=0.03)
    refused = preheat("change", job.run()["label"], *SCALE, url=relay.url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    lines = refused.stderr.splitlines()
    assert lines[0] == f"error: {job.run()['label']} has changed since it was looked at, and nothing was done:"
    assert "change-accepted: hold at 0.03 from iteration 17, by anonymous: spike" in lines[1]
    assert lines[-1] == "  the same command shows what it would do now"
    assert job.lrs(17) == [0.03]


def test_another_attempt_in_between_is_shown(job: RestJob, relay: Relay, preheat: Command) -> None:
    """A job that restarted meanwhile may be elsewhere than its author thought."""
    relay.before = lambda: job.attach(5)
    refused = preheat("change", job.run()["label"], *SCALE, url=relay.url)
    assert refused.exit_code == 1
    assert "attached: attempt 2 goes on from iteration 5" in refused.stderr
    assert job.run()["changes"] == 0


@pytest.mark.parametrize("end", ["finish", "delete"])
def test_a_run_that_is_over_in_between_is_said(job: RestJob, relay: Relay, preheat: Command, end: str) -> None:
    """Finished or gone: one line, exit code 1."""
    label, run_id = job.run()["label"], job.run()["id"]

    def over() -> None:
        job.http.post(f"{job.path}/finish").raise_for_status()
        if end == "delete":
            job.http.delete(job.path).raise_for_status()

    relay.before = over
    refused = preheat("change", label, *SCALE, url=relay.url)
    assert (refused.exit_code, refused.stdout) == (1, "")
    reason = f"run {run_id} is finished" if end == "finish" else f"no run has the id {run_id}"
    assert refused.stderr.startswith(f"error: {reason}")
    assert len(refused.stderr.splitlines()) == 1


def test_without_a_terminal_nothing_is_sent(job: RestJob, relay: Relay, preheat: Command) -> None:
    """Whoever cannot be asked must say --yes or --dry-run; exit code 2."""
    label = job.run()["label"]
    for arguments in (
        ("change", label, "scale", "0.5", "--why", "x"),
        ("rollback", label, "--after", "9", "--changes", "drop", "--why", "x"),
        ("finish", label),
        ("delete", label),
    ):
        refused = preheat(*arguments, url=relay.url)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr == "error: without a terminal nobody can be asked: --yes does it without asking\n"
    assert relay.keys == []


def test_an_argument_that_is_wrong_is_named_where_nobody_can_be_asked(preheat: Command) -> None:
    """The mistake comes first, without a word of pydantic's."""
    for arguments, message in (
        (("change", "x", "scale", "0.5", "--at", "abc", "--why", "x"), "error: --at (abc) must be a whole number"),
        (("change", "x", "scale", "-1", "--why", "x"), "error: FACTOR (-1) must be ≥ 0\n"),
        (
            ("rollback", "x", "--after", "9", "--changes", "from-her", "--why", "x"),
            "Error: Invalid value for '--changes': 'from-her' is not one of 'drop', 'from-here'.\n",
        ),
    ):
        refused = preheat(*arguments)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert message in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("scale", "-1"), 2, "FACTOR (-1) must be ≥ 0\n"),
        (("scale", "-.5"), 2, "FACTOR (-.5) must be ≥ 0\n"),
        (("scale", "-x"), 2, "No such option: -x"),
        (("hold", "head=-1e-3"), 2, "VALUE (-1e-3) must be ≥ 0\n"),
        (("extend", "-5"), 2, "TOTAL_ITERATIONS (-5) must be a whole number of iterations or a duration"),
        (("scale", "nan"), 2, "FACTOR (nan) must be a finite number"),
        (("scale", "x"), 2, "FACTOR (x) must be a number\n"),
        (("scale", "0,5"), 2, "FACTOR (0,5) must be a number; write 0.5"),
        (("hold", "curent"), 2, "VALUE (curent) must be a number or `current`\n"),
        (("rewarm", "10", "--start-factor", "0,1"), 2, "--start-factor (0,1) must be a number; write 0.1"),
        (("cooldown", "10", "--to", "0,01"), 2, "--to (0,01) must be a number; write 0.01"),
        (
            ("scale", "0.5", "--at", "3 parsecs"),
            2,
            "--at (3 parsecs) must be a whole number of iterations or a duration",
        ),
        (("scale", "0.5", "--at", "5000"), 1, "the run ends with 1,000"),
        (("scale", "0.5", "--not-after", "5"), 1, "not_after (5) must not be before the iteration from which"),
        (
            ("scale", "0.5", "--until", "9", "--for-iterations", "9"),
            1,
            "for_iterations (9) must not be given beside until",
        ),
        (("scale", "0.5", "--param-group", "head"), 1, "known: default"),
        (("scale", "0.5", "--floor", "low"), 2, "--floor (low) must be a number"),
        (("hold", "head=1", "head=2"), 2, "must be one value or `current`, or group=value once for each param group"),
        (("hold", "1", "2"), 2, "must be one value or `current`, or group=value once for each param group"),
        (("hold", "1e400"), 2, "VALUE (inf) must be a finite number"),
        (("cooldown", "0"), 1, "operation.iterations (0) must be"),
        (("extend", "5"), 1, "total_iterations (5)"),
        (("revert", "none"), 1, "no change of this run has the id none"),
        (("set", "0.1"), 2, "No such command 'set'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_change_names_what_is_wrong(
    job: RestJob, preheat: Command, arguments: tuple[str, ...], code: int, message: str
) -> None:
    """The service's rule in one line with exit code 1, or 2 for what the command line alone sees."""
    options = [] if arguments[0] == "set" else ["--why", "x", "--yes"]
    refused = preheat("change", job.run()["label"], arguments[0], *options, *arguments[1:])
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert message in refused.stderr
    assert job.run()["changes"] == 0


def test_a_blank_reason_is_none(job: RestJob, preheat: Command) -> None:
    """--why is for those who read it later."""
    refused = preheat("change", job.run()["label"], "scale", "0.5", "--why", " ", "--yes")
    assert refused.exit_code == 1
    assert "must say why, for those who read it later" in refused.stderr


def test_nobody_at_the_address_is_said_at_once(preheat: Command) -> None:
    """A closed port: one line with the address and where it comes from, and exit code 3."""
    url = f"http://127.0.0.1:{free_port()}"
    refused = preheat("list", url=url)
    assert (refused.exit_code, refused.stdout) == (3, "")
    assert refused.stderr == f"error: no answer from {url} (--url, PREHEAT_URL): [Errno 111] Connection refused\n"
    assert preheat("list", "--url", url, url="http://other.invalid").stderr == refused.stderr


def test_nobody_who_answers_is_waited_for_as_long_as_was_said(preheat: Command) -> None:
    """PREHEAT_TIMEOUT_S bounds it; what only looks is not asked again."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://{}:{}".format(*silent.getsockname())
        refused = preheat("list", url=url, PREHEAT_TIMEOUT_S="0.2")
    assert (refused.exit_code, refused.stderr) == (3, f"error: no answer from {url} (--url, PREHEAT_URL): timed out\n")


def test_what_is_no_service_of_ours_is_said(preheat: Command) -> None:
    """A page of HTML, whatever its status."""

    async def page(scope: Any, _receive: Any, send: Any) -> None:
        status = 404 if "label=nobody" in scope["query_string"].decode() else 200
        headers = [(b"content-type", b"text/html")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"<html>Welcome</html>"})

    with serving(page, lifespan="off") as url:
        for label, what in (("somebody", "text/html where JSON was expected"), ("nobody", "404 with text/html")):
            refused = preheat("list", "--label", label, url=url)
            assert (refused.exit_code, refused.stdout) == (1, "")
            assert what in refused.stderr
            assert "is --url right?" in refused.stderr


def test_a_key_is_taken_from_the_environment(keyed: Keyed, preheat: Command) -> None:
    """None, a wrong one, one without the scope, and the right one, whose name is the author."""
    url = str(keyed.http.base_url)
    job = RestJob(
        httpx.Client(base_url=url, timeout=60, headers=bearer(keyed.make("job", "write", "run"))), label="keyed"
    )
    change = ("change", "keyed", *SCALE)
    assert "this service asks for a key" in preheat(*change, url=url).stderr
    wrong = preheat(*change, url=url, PREHEAT_TOKEN="of-nobody")  # noqa: S106
    assert wrong.exit_code == 1
    assert wrong.stderr.splitlines()[-1] == "  it was taken from PREHEAT_TOKEN"
    refused = preheat(*change, url=url, PREHEAT_TOKEN=keyed.tokens["read"])
    assert (refused.exit_code, "this needs a key with the scope steer" in refused.stderr) == (1, True)
    steer = keyed.make("ann", "steer", "read")
    assert preheat(*change, url=url, PREHEAT_TOKEN=steer).exit_code == 0
    shown = preheat("history", "keyed", "--json", url=url, PREHEAT_TOKEN=steer).stdout
    assert [each["author"] for each in json.loads(shown)["changes"]] == ["ann"]
    assert "admin" in preheat("delete", job.run()["id"], "--yes", url=url, PREHEAT_TOKEN=steer).stderr
    job.http.close()


@pytest.mark.parametrize(
    ("path", "left_out"),
    [
        ("", None),
        ("/", None),
        ("/sub", None),
        ("/v1x", None),
        ("/v12", None),
        ("/v1/sub", None),
        ("/v1", "/v1"),
        ("/sub/v1/", "/v1/"),
        ("/v1/runs", "/v1/runs"),
        ("/v1/schedules/cafe/lr", "/v1/schedules/cafe/lr"),
    ],
)
def test_command_and_client_take_the_same_addresses(path: str, left_out: str | None) -> None:
    """What was copied from a route is refused by both, in the same words, without a password."""
    url = f"http://me:geheim@localhost:8000{path}"
    refusals = []
    for use in (lambda: Connection(url=url).client().close(), lambda: configured({"url": url})):
        try:
            use()
        except (ServiceError, ValueError) as refused:
            refusals.append(str(refused))
    rule = f"must be the service's address, without {left_out}: the "
    assert [text.partition(rule)[1] for text in refusals] == ([] if left_out is None else [rule] * 2)
    assert not any("geheim" in text for text in refusals)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"PREHEAT_URL": "ftp://me:geheim@host"}, "PREHEAT_URL must start with http:// or https://, and name a host"),
        ({"PREHEAT_URL": "http://me:geheim@[::1"}, "PREHEAT_URL must start with http:// or https://, and name a host"),
        ({"PREHEAT_TOKEN": "geheim\ngeheim"}, "PREHEAT_TOKEN must be one line of ASCII"),
        ({"PREHEAT_HEADERS": "X-Proxy: geheim\x01"}, "X-Proxy in PREHEAT_HEADERS must be one line of ASCII"),
        ({"PREHEAT_HEADERS": "geheim"}, "PREHEAT_HEADERS must be `Name: value; Other: value`"),
        ({"PREHEAT_TIMEOUT_S": "0"}, 'timeout_s ("0") must be > 0'),
        ({"PREHEAT_CA_FILE": "/no/such/file"}, "PREHEAT_CA_FILE (/no/such/file) cannot be read: "),
        ({"PREHEAT_PROXY": "gopher://me:geheim@host"}, "PREHEAT_PROXY cannot be used"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_variable_is_named_and_no_secret_shown(
    preheat: Command, variables: dict[str, str], message: str
) -> None:
    """Exit code 2, before anything is sent."""
    given = {"url": variables.pop("PREHEAT_URL"), **variables} if "PREHEAT_URL" in variables else variables
    refused = preheat("list", **given)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert message in refused.stderr
    assert "geheim" not in refused.stderr
