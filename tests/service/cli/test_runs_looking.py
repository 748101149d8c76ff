"""`preheat runs` list, show, history and plot."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from preheat.cli.runs.words import event_words
from support.runs_cli import Command, cosine


def test_a_list_has_runs_newest_first_and_says_that_there_are_more(live: httpx.Client, preheat: Command) -> None:
    """Label, state, iteration and id; by label, prefix and state; as JSON what the service answers."""
    jobs = [RestJob(live, label=f"listed-{n}") for n in range(3)]
    jobs[2].attach()
    rows = [line.split() for line in preheat("list", "--label-prefix", "listed-").stdout.splitlines()]
    assert rows[0] == ["label", "state", "iteration", "id"]
    ids = [job.run()["id"] for job in jobs]
    assert rows[1] == ["listed-2", "RUNNING", "1", "of", "1,000", ids[2]]
    assert rows[2] == ["listed-1", "WAITING", "0", "of", "1,000", ids[1]]
    assert [row[-1] for row in rows[1:]] == ids[::-1]
    cut = preheat("list", "--label-prefix", "listed-", "--limit", "2").stdout.splitlines()
    assert (len(cut), cut[-1]) == (4, "there are more: --limit 4 lists them too, --label and --state choose")
    found = json.loads(preheat("list", "--label-prefix", "listed-", "--state", "waiting", "--json").stdout)
    assert [run["id"] for run in found["runs"]] == ids[1::-1]
    assert preheat("list", "--label", "nobody").stdout.split() == ["label", "state", "iteration", "id"]


def test_a_page_of_the_service_is_no_end_of_the_list(live: httpx.Client, preheat: Command) -> None:
    """More runs than it answers at once are all listed, each once."""
    for _ in range(3):
        RestJob(live, label="paged", unique=False)
    for _ in range(50):
        live.post("/v1/runs", json={"label": "paged", "unique": False, "spec": {"target_lr": 1, "total_iterations": 5}})
    found = json.loads(preheat("list", "--label", "paged", "--limit", "500", "--json").stdout)["runs"]
    assert len({run["id"] for run in found}) == len(found) == 53


def test_a_run_is_shown_where_it_stands(job: RestJob, preheat: Command) -> None:
    """Its place, the LR of its next iteration to the last digit, where a change would begin, and its changes."""
    change = job.change(factor=0.5, at=600, for_iterations=100)["change"]["id"]
    job.ask(9, iteration_s=0.5)
    shown = preheat("show", job.run()["label"]).stdout
    facts = dict(line.split(maxsplit=1) for line in shown.splitlines() if line[11:12] == " ")
    assert facts["id"] == job.run()["id"]
    assert facts["iteration"] == "9 of 1,000 is the next; handed out until 19"
    assert float(facts["LR"]) == pytest.approx(cosine(9), rel=1e-12)
    assert "would begin from iteration 19, in about 5 s" in shown
    assert f"{change}  scale by 0.5  600 … 699   scheduled  anonymous: spike" in shown
    assert json.loads(preheat("show", job.run()["id"], "--json").stdout)["id"] == job.run()["id"]


def test_a_job_that_ran_to_its_end_is_shown_so(live: httpx.Client, preheat: Command) -> None:
    """Nothing begins any more, but for an extension; to watch it ends at once."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 20})
    job.attach()
    job.run_to(21)
    label = job.run()["label"]
    assert re.search(r"a change +has no iteration left: only extend is taken\n", preheat("show", label).stdout)
    body = {"token": job.token, "position": 21}
    live.post(f"{job.path}/attempts/{job.attempt}/close", json=body).raise_for_status()
    shown = preheat("show", label).stdout
    assert re.search(r"state +CLOSED, at its end\niteration +the last, 20, has run\n", shown)
    watched = preheat("watch", label)
    assert (watched.exit_code, "closed: attempt 1 said goodbye before iteration 21\n" in watched.stdout) == (0, True)
    job.change("extend", total_iterations=30)
    assert "at its end" not in preheat("show", label).stdout


def test_of_a_job_that_began_after_the_end_no_iteration_is_said_to_have_run(
    live: httpx.Client, preheat: Command
) -> None:
    """A loop that was resumed too far tells nothing of what is before it."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 20})
    job.attach(21)
    shown = preheat("show", job.run()["label"]).stdout
    assert re.search(r"iteration +attempt 1 began at 21, after the last, 20\n", shown)
    assert "run\n" not in shown


def test_history_tells_who_did_what_and_why(job: RestJob, preheat: Command) -> None:
    """Attempts, changes, and events in words; as JSON all that the service keeps."""
    job.change(factor=0.5)
    job.attach(9)
    told = preheat("history", job.run()["label"]).stdout
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert any(line.startswith("2 1 9 9 ") for line in lines), "the second attempt goes on from the first, at 9"
    assert any("change-accepted scale by 0.5 from iteration 17, by anonymous: spike" in line for line in lines)
    content = json.loads(preheat("history", job.run()["label"], "--json").stdout)
    assert content["events"] == job.events()
    assert [each["number"] for each in content["attempts"]] == [1, 2]
    assert [each["why"] for each in content["changes"]] == ["spike"]


@pytest.mark.parametrize(
    ("kind", "data", "words"),
    [
        (
            "lr-jump",
            {"attempt": 2, "iteration": 1401, "jumps": {"default": [0.019375000000000003, 0.017430435004969835]}},
            "the LR of attempt 2 jumps at iteration 1,401: default from 0.019375 to 0.0174304",
        ),
        (
            "reduction-refused",
            {"controller": "c0ffee", "iteration": 1500, "why": "run e80 is locked"},
            "c0ffee has not reduced the LR by the report of iteration 1,500: run e80 is locked",
        ),
        # Of another version of the service.
        ("lr-jump", {"attempt": 2, "jumps": {"default": 3}}, "attempt 2, jumps default 3"),
    ],
)
def test_an_event_is_told_in_words(kind: str, data: dict[str, Any], words: str) -> None:
    """Numbers as people read them; what does not have what it should is told by its data."""
    assert event_words({"kind": kind, "data": data}) == words


def test_what_a_run_does_not_have_is_an_error(live: httpx.Client, job: RestJob, preheat: Command) -> None:
    """An attempt, and a reported number: with those that there are."""
    label = job.run()["label"]
    job.ask(1, reports=[{"iteration": 1, "values": {"acc": 0.5}}])
    job.attach(3)
    refused = preheat("history", label, "--attempt", "9")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "error: --attempt (9) must be one of this run's: 1, 2\n"
    assert preheat("history", label, "--attempt", "1").exit_code == 0
    waiting = RestJob(live).run()["label"]
    assert "--attempt (1) has no place: there is none yet" in preheat("history", waiting, "--attempt", "1").stderr
    drawn = preheat("plot", label, "-o", "-", "--metric", "accuracy")
    assert (drawn.exit_code, drawn.stdout) == (1, "")
    assert drawn.stderr == 'error: metric ("accuracy") must be one of those that were reported: acc\n'


def test_texts_of_other_people_do_not_steer_the_terminal(job: RestJob, preheat: Command) -> None:
    """Escapes, line ends and marks that turn the direction around are shown as such, wherever the reason is told."""
    evil = "a\x1b]0;b\x07\x1b[2J\nerror: c\x9b31m\x7f\u202ed\u2028e\U000e0001"
    shown = r"a\x1b]0;b\x07\x1b[2J\nerror: c\x9b31m\x7f\u202ed\u2028e\U000e0001"
    label = job.run()["label"]
    change = job.change(factor=0.5, at=500, why=evil)["change"]["id"]
    asked = ("--changes", "drop", "--why", evil)
    for arguments in (
        ("show", label),
        ("history", label),
        ("cancel", label, change, "--yes"),
        ("rollback", label, "--after", "9", *asked, "--yes"),
        ("show", label),
    ):
        done = preheat(*arguments)
        assert (done.exit_code, shown in done.stdout) == (0, True), arguments
        assert [each for each in done.output if not each.isprintable() and each != "\n"] == []
    answer = preheat("history", label, "--json")
    assert [each for each in answer.stdout if not each.isprintable() and each != "\n"] == []
    assert json.loads(answer.stdout)["changes"][0]["why"] == evil
    refused = preheat("show", "no\x1b[2Jbody")
    assert r"no\x1b[2Jbody" in refused.stderr


def test_a_long_history_says_what_it_leaves_out(job: RestJob, preheat: Command) -> None:
    """The last forty events are shown; JSON has all."""
    for _ in range(25):
        job.change(factor=0.99)
    shown = preheat("history", job.run()["label"]).stdout
    count = job.run()["events"]
    assert f"{count - 40} earlier events left out: --json has all that are kept" in shown
    assert len(json.loads(preheat("history", job.run()["label"], "--json").stdout)["events"]) == count


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml")])
def test_plot_writes_a_picture(job: RestJob, preheat: Command, tmp_path: Path, name: str, start: bytes) -> None:
    """PNG or SVG by the file's name, with options of a plot and the metric."""
    job.ask(1, reports=[{"iteration": 1, "values": {"acc": 0.5}}])
    options = ("--start", "0", "--stop", "100", "--theme", "dark", "--metric", "acc")
    drawn = preheat("plot", job.run()["label"], "-o", str(tmp_path / name), *options)
    assert (drawn.exit_code, drawn.stderr) == (0, "")
    assert (tmp_path / name).read_bytes().startswith(start)


def test_the_same_label_twice_asks_which(live: httpx.Client, preheat: Command) -> None:
    """The error lists the ids; an id means one run, of a finished run too."""
    jobs = [RestJob(live, label="twins", unique=False) for _ in range(2)]
    ids = [job.run()["id"] for job in jobs]
    refused = preheat("show", "twins")
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: several runs have the label twins")
    assert all(each in refused.stderr for each in ids)
    live.post(f"{jobs[0].path}/finish")
    assert json.loads(preheat("show", "twins", "--json").stdout)["id"] == ids[1]
    live.post(f"{jobs[1].path}/finish")
    over = preheat("show", "twins")
    assert over.exit_code == 1
    assert "every run with the label twins is finished" in over.stderr
    assert preheat("show", ids[0]).exit_code == 0


def test_what_is_no_run_is_said(preheat: Command) -> None:
    """Neither a label nor an id; and no page of JSON is made of it."""
    for name in ("nobody", "0" * 32):
        refused = preheat("show", name, "--json")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr.startswith(f"error: no run has the label or the id {name}")


def test_looking_imports_no_torch(live: httpx.Client) -> None:
    """A list of runs waits for no torch, no web framework, no database, and help not for HTTP either."""
    code = """
import sys, preheat.cli
sys.argv = ["preheat", "runs", *sys.argv[1:]]
try:
    preheat.cli.main()
except SystemExit as end:
    assert not end.code, end.code
print("imported", *({"torch", "fastapi", "matplotlib", "sqlalchemy", "numpy", "httpx"} & set(sys.modules)))
"""
    environment = {**os.environ, "PREHEAT_URL": str(live.base_url)}
    for arguments, wanted in (["list"], "imported httpx"), (["change", "scale", "--help"], "imported"):
        command = [sys.executable, "-c", code, *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
        assert run.stdout.splitlines()[-1] == wanted


def test_a_run_of_many_groups_names_their_lrs(live: httpx.Client, preheat: Command) -> None:
    """The first few by name, of the others their number."""
    groups = [{"name": f"g{n}", "factor": 1 / (n + 1)} for n in range(6)]
    spec = {"target_lr": 0.6, "total_iterations": 10, "param_groups": groups}
    RestJob(live, spec, label="groups")
    assert "LR          g0 0.6, g1 0.3, g2 " in preheat("show", "groups").stdout
    assert ", and 2 more" in preheat("show", "groups").stdout
