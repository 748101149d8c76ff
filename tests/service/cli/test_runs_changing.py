"""`preheat runs change`, cancel, rollback, fork and the rest: what they do to a run, with LRs by formulas."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from live_runs.rest_job import RestJob
from preheat.cli.runs.words import begin_words
from support.runs_cli import Command, cosine

ID = re.compile(r"[0-9a-f]{16}")
ALONE = (
    "; if it has ended, the next one gets the change; if it goes on alone beyond 1,840, the change begins only when it "
    "is back"
)


def changed(preheat: Command, job: RestJob, *arguments: str) -> dict[str, Any]:
    """The service's answer to a change of a job's run that is made without asking."""
    done = preheat("change", job.run()["label"], *arguments, "--why", "loss spike", "--yes", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.parametrize(
    ("arguments", "lrs"),
    [
        (("scale", "0.5"), {16: cosine(16), 17: cosine(17) / 2, 1000: 0.0}),
        (("scale", "0.5", "--floor", "0.04"), {17: cosine(17) / 2, 500: 0.04, 900: cosine(900)}),
        (("scale", "0.5", "--at", "100"), {99: cosine(99), 100: cosine(100) / 2}),
        (("scale", "0.5", "--at", "10%", "--until", "1,00"), {}),
        (("scale", "0.5", "--at", "10%", "--until", "20%"), {99: cosine(99), 199: cosine(199) / 2, 200: cosine(200)}),
        (("scale", "0.5", "--at", "2ep", "--for-iterations", "50"), {200: cosine(200) / 2, 250: cosine(250)}),
        (("hold", "0.02"), {17: 0.02, 1000: 0.02}),
        (("hold", "current", "--at", "300"), {299: cosine(299), 300: cosine(300), 900: cosine(300)}),
        (("hold", "default=0.03", "--param-group", "default"), {17: 0.03}),
        (("rewarm", "10", "--start-factor", "0.5", "--at", "100"), {100: cosine(100) * 0.55, 109: cosine(109)}),
        (
            ("cooldown", "100", "--to", "0.01", "--at", "400"),
            {399: cosine(399), 449: (cosine(399) + 0.01) / 2, 499: 0.01},
        ),
        (("cooldown", "1ep", "--at", "400"), {499: 0.0}),
        (("extend", "1,200"), {1000: 0.0, 1200: 0.0}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_operation_gives_the_lrs_of_its_formula(
    live: httpx.Client, preheat: Command, arguments: tuple[str, ...], lrs: dict[int, float]
) -> None:
    """Each operation with its options, by the record of the run afterwards."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 1000,
        "after_scheduler": {"type": "CosineAnnealingLR"},
        "units": {"dataset_size": 3200, "batch_size": 32},
    }
    job = RestJob(live, spec)
    job.attach()
    job.ask(1)
    if not lrs:
        refused = preheat("change", job.run()["label"], *arguments, "--why", "x", "--yes")
        assert refused.exit_code == 2
        assert "--until (1,00) must be" in refused.stderr
        return
    changed(preheat, job, *arguments)
    assert job.lrs(*lrs) == pytest.approx([*lrs.values()], rel=1e-12, abs=1e-17)


def test_a_hyperparameter_and_a_param_group_are_changed_alone(live: httpx.Client, preheat: Command) -> None:
    """--param-group and --hyperparameter name a column; the others stay."""
    groups = [{"name": "body"}, {"name": "head", "factor": 0.5}]
    spec = {
        "target_lr": 0.1,
        "total_iterations": 100,
        "param_groups": groups,
        "hyperparameters": {"weight_decay": 0.02},
    }
    job = RestJob(live, spec)
    changed(preheat, job, "scale", "0.5", "--param-group", "head")
    changed(preheat, job, "hold", "0.03", "--hyperparameter", "weight_decay")
    changed(preheat, job, "hold", "body=0.01", "head=0.002", "--at", "50")
    window = live.get(f"{job.path}/lr").json()["groups"]
    assert [[group["lr"][n] for n in (1, 50)] for group in window] == [[0.1, 0.01], [0.025, 0.002]]
    assert {value for group in window for value in group["hyperparameters"]["weight_decay"]} == {0.03}


def test_a_schedule_is_replaced_by_a_file_or_a_recipe(job: RestJob, preheat: Command, tmp_path: Path) -> None:
    """On the run's clock, or with `--clock here` on its own, which begins at its 1."""
    path = tmp_path / "other.yaml"
    path.write_text("target_lr: 0.05\ntotal_iterations: 1000\nwarmup: 100\n")
    changed(preheat, job, "replace", str(path), "--at", "50", "--until", "60")
    changed(preheat, job, "replace", str(path), "--clock", "here", "--at", "200")
    assert job.lrs(49, 50, 60, 200, 250) == pytest.approx(
        [cosine(49), 0.05 * 0.5, cosine(60), 0.05 * 0.01, 0.05 * 0.51], rel=1e-12
    )
    changed(preheat, job, "replace", "--recipe", "minicpm", "--at", "300")
    assert job.run()["total_iterations"] > 1000
    missing = preheat("change", job.run()["label"], "replace", str(tmp_path / "none"), "--why", "x", "--yes")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "cannot be read: No such file or directory" in missing.stderr


def test_a_change_is_reverted_and_a_planned_one_cancelled(job: RestJob, preheat: Command) -> None:
    """By its id; what was handed out cannot be cancelled, and the error says what can be done."""
    label = job.run()["label"]
    first = changed(preheat, job, "scale", "0.5")["change"]["id"]
    planned = changed(preheat, job, "hold", "0.01", "--at", "700")["change"]["id"]
    job.ask(17, iteration_s=0.1)
    cancelled = preheat("cancel", label, planned, "--yes")
    assert cancelled.stdout.startswith(f"change {planned} is cancelled: hold at 0.01 by anonymous: loss spike")
    refused = preheat("cancel", label, first, "--yes")
    assert refused.exit_code == 1
    assert refused.stderr == f"error: change {first} was handed out (from 17 on): revert it\n"
    reverted = changed(preheat, job, "revert", first)["effect"]["iteration"]
    assert job.lrs(17, reverted - 1, reverted, 700) == pytest.approx(
        [cosine(17) / 2, cosine(reverted - 1) / 2, cosine(reverted), cosine(700)]
    )
    assert preheat("cancel", label, "0" * 16, "--yes").stderr == f"error: no change of this run has the id {'0' * 16}\n"


def test_a_dry_run_shows_before_and_after_and_keeps_nothing(job: RestJob, preheat: Command) -> None:
    """LRs around its beginning and at the end, sums from there, and no question."""
    before = job.run()
    tried = preheat("change", before["label"], "scale", "0.5", "--why", "x", "--at", "400", "--dry-run")
    assert tried.exit_code == 0
    lines = [line.split() for line in tried.stdout.splitlines()]
    assert tried.stdout.startswith(f"{before['label']}: scale by 0.5, from iteration 400\n")
    around = {line[0]: line for line in lines if line[0] in {"399", "400", "401", "1,000"}}
    assert [float(each) for each in around["399"][1:3]] == pytest.approx([cosine(399)] * 2)
    assert [float(each) for each in around["400"][3:5]] == pytest.approx([cosine(400), cosine(400) / 2])
    assert [float(each) for each in around["401"][1:3]] == pytest.approx([cosine(401), cosine(401) / 2])
    assert around["400"][-1] == around["401"][-1] == "×0.5"
    assert [float(each) for each in around["1,000"][1:3]] == pytest.approx([0, 0], abs=1e-17)
    total = sum(map(cosine, range(400, 1001)))
    sums = next(line for line in lines if line[0] == "sum")
    assert [float(each) for each in sums[3:5]] == pytest.approx([total, total / 2], rel=1e-5)
    assert lines[-1] == ["last", "iteration", "1,000", "1,000"]
    assert job.run() == before


def test_a_change_says_when_it_begins_later_than_wanted(job: RestJob, preheat: Command) -> None:
    """Before the question and after the answer, with when its job last asked; only that where it begins as wanted."""
    label = job.run()["label"]
    command = ("change", label, "scale", "0.5", "--why", "x", "--at")
    late = r"wanted 9, in force from 17: iterations below 17 were handed out\n"
    asked = (
        rf"{label} is (RUNNING|OVERDUE|SILENT): its job last asked \d+ \w+ ago; it promised to ask again within 2\.5 s"
    )
    for at, how, said in (("9", "--dry-run", late + asked), ("9", "--yes", late + asked), ("100", "--yes", asked)):
        assert re.match(said, preheat(*command, at, how).stderr)


def test_a_change_of_a_run_without_a_job_says_what_that_means(live: httpx.Client, preheat: Command) -> None:
    """Whether nobody has begun, or has ended."""
    job = RestJob(live)
    label = job.run()["label"]
    command = ("change", label, "scale", "0.5", "--why", "x", "--yes", "--at", "100")
    waiting = "is WAITING: no job has had it yet; one that begins beyond 100 gets the change from where it begins"
    assert preheat(*command).stderr == f"{label} {waiting}\n"
    job.attach()
    job.http.post(f"{job.path}/attempts/1/close", json={"token": job.token, "position": 1}).raise_for_status()
    said = f"{label} is CLOSED: its job has said goodbye; the next one gets the change"
    assert preheat(*command).stderr.startswith(said)


@pytest.mark.parametrize(
    ("state", "is_overdue", "said"),
    [
        ("RUNNING", False, "RUNNING: it asked"),
        ("RUNNING", True, f"OVERDUE: it asked{ALONE}"),
        ("SILENT", False, f"SILENT: it asked{ALONE}"),
        (
            "STALLED",
            False,
            "STALLED: it asked; it stands at 1,200, and the change waits until it gets to 1,840",
        ),
    ],
)
def test_a_state_means_something_for_where_a_change_begins(state: str, is_overdue: bool, said: str) -> None:
    """Nothing more where the job goes on as it has promised."""
    job = {"state": state, "position": 1200, "is_overdue": is_overdue, "text": "it asked"}
    assert begin_words("llama", job, 1840, None) == [f"llama is {said}"]


def test_a_dry_run_says_what_is_out_of_the_ordinary(job: RestJob, preheat: Command) -> None:
    """With --yes that is refused, and done with --confirm."""
    label = job.run()["label"]
    tried = preheat("change", label, "scale", "3", "--why", "x", "--dry-run", "--json")
    assert len(json.loads(tried.stdout)["needs_confirmation"]) == 2
    assert (
        "out of the ordinary: the factor (3) is outside 0.25 to 2"
        in preheat("change", label, "scale", "3", "--why", "x", "--dry-run").stderr
    )
    refused = preheat("change", label, "scale", "3", "--why", "x", "--yes")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.splitlines()[-1] == "  --confirm does it, if it is meant"
    assert preheat("change", label, "scale", "3", "--why", "x", "--yes", "--confirm").exit_code == 0
    assert job.lrs(17) == pytest.approx([3 * cosine(17)])


def test_many_columns_show_those_that_change(live: httpx.Client, preheat: Command) -> None:
    """A table of hundreds of param groups would tell nothing."""
    groups = [{"name": f"g{n}"} for n in range(12)]
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 10, "param_groups": groups})
    options = ("--param-group", "g11", "--why", "x", "--dry-run")
    shown = preheat("change", job.run()["label"], "scale", "0.5", *options).stdout
    assert re.search(r"g11 +0.1 +0.05 +×0.5", shown)
    assert "4 more columns: --json has them all" in shown


def test_the_job_is_asked_to_restart_and_need_not(job: RestJob, preheat: Command) -> None:
    """While it is, changes are refused, and the error says how to take it back."""
    label = job.run()["label"]
    asked = preheat("rollback", label, "--after", "9", "--changes", "drop", "--why", "diverged", "--yes")
    assert asked.stdout == (
        f"{label}: restart at iteration 10, changes from there on dropped, asked for by anonymous: diverged\n"
    )
    assert job.run()["rollback"]["position"] == 10
    assert "restart     at iteration 10" in preheat("show", label).stdout
    refused = preheat("change", label, "scale", "0.5", "--why", "x", "--yes")
    assert refused.exit_code == 1
    assert "`preheat runs withdraw RUN` takes the restart back" in refused.stderr
    assert preheat("withdraw", label).stdout == f"{label}: no restart is asked for any more\n"
    again = preheat("withdraw", label)
    assert (again.exit_code, again.stderr) == (1, f"error: {label}: no restart is asked for\n")


def test_a_restart_is_shown_first(job: RestJob, preheat: Command) -> None:
    """What becomes of each change is what does when the job has restarted; and nothing is kept."""
    before, early, planned = (job.change(factor=0.9, at=at)["change"] for at in (17, 40, 700))
    job.run_to(60)
    label = job.run()["label"]
    command = ("rollback", label, "--after", "29", "--why", "x", "--changes")

    def then(policy: str) -> dict[str, str]:
        shown = preheat(*command, policy, "--dry-run")
        assert (shown.exit_code, shown.stderr) == (0, "")
        assert shown.stdout.startswith(f"{label}: restart at iteration 30; the next is 60 now\n")
        lines = [re.split(" {2,}", line.strip()) for line in shown.stdout.splitlines()]
        lrs.extend([float(line[2]) for line in lines if line[0] == "31"])
        return {line[0]: line[-1] for line in lines if ID.fullmatch(line[0])}

    lrs: list[float] = []
    assert then("drop") == {early["id"]: "dropped", planned["id"]: "dropped"}
    wanted = {early["id"]: "from 30", planned["id"]: "from 700"}
    assert then("from-here") == wanted
    assert lrs == pytest.approx([0.9 * cosine(31), 0.81 * cosine(31)], rel=1e-12)
    assert job.run()["rollback"] is None
    preheat(*command, "from-here", "--yes")
    job.attach(30)
    found = {each["id"]: each["effect"] for each in job.http.get(f"{job.path}/changes").json()["changes"]}
    assert found == {before["id"]: 17, early["id"]: 30, planned["id"]: 700}


def test_a_change_that_a_restart_makes_impossible_is_not_called_dropped(job: RestJob, preheat: Command) -> None:
    """A cool-down that begins earlier ends the run before it: missed, and why."""
    cooldown = job.change("cooldown", iterations=650)["change"]
    planned = job.change(factor=0.5, at=660)["change"]
    job.run_to(60)
    shown = preheat("rollback", job.run()["label"], "--after", "4", "--changes", "from-here", "--why", "x", "--dry-run")
    lines = [re.split(" {2,}", line.strip()) for line in shown.stdout.splitlines()]
    then = {line[0]: line[-1] for line in lines if ID.fullmatch(line[0])}
    end = 5 + 650 - 1
    assert then == {cooldown["id"]: "from 5", planned["id"]: f"missed: the run ends with iteration {end}"}


def test_a_fork_prints_its_id(job: RestJob, preheat: Command) -> None:
    """It shares the history up to an iteration; what is not known to have been used cannot be forked."""
    job.ask(9, iteration_s=0.5)
    label = job.run()["label"]
    made = preheat("fork", label, "twin", "--after", "8")
    assert made.stderr == f"twin: shares attempt 1 of {label} until iteration 8\n"
    run = job.http.get(f"/v1/runs/{made.stdout.strip()}").json()
    assert (run["label"], run["origins"]) == ("twin", [{"run": job.run()["id"], "attempt": 1, "iteration": 8}])
    refused = preheat("fork", label, "other", "--after", "800")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "attempt 1 is known up to iteration 16, not 800" in refused.stderr
    refused = preheat("fork", label, "other", "--after", "8", "--attempt", "9")
    assert (refused.exit_code, refused.stderr) == (1, "error: there is no attempt 9: the last is 1\n")
    RestJob(job.http, label="never-attached")
    refused = preheat("fork", "never-attached", "other", "--after", "8")
    assert refused.stderr == "error: there is no attempt 0: there is none yet\n"


def test_a_run_is_made_found_locked_finished_and_deleted(live: httpx.Client, preheat: Command, tmp_path: Path) -> None:
    """The whole life of one from the command line; its id alone is on stdout."""
    path = tmp_path / "spec.json"
    path.write_text('{"target_lr": 0.1, "total_iterations": 100}')
    made = preheat("make", "mine", str(path))
    assert (made.exit_code, made.stderr) == (0, "mine: made\n")
    run_id = made.stdout.strip()
    found = preheat("make", "mine", str(path))
    assert (found.stdout, found.stderr) == (made.stdout, "mine: found, WAITING\n")
    schedule = live.get(f"/v1/runs/{run_id}").json()["schedule_id"]
    assert preheat("make", "mine", "--schedule-id", schedule).stdout == made.stdout
    other = preheat("make", "mine", "--recipe", "minicpm")
    assert other.exit_code == 1
    assert "  target_lr: the run has 0.1, the SPEC 0.01" in other.stderr
    another = preheat("make", "mine", str(path), "--another").stdout.strip()
    assert another != run_id
    assert preheat("delete", another, "--yes").exit_code == 0
    assert preheat("lock", "mine").stdout == "mine is locked\n"
    refused = preheat("change", "mine", "scale", "0.5", "--why", "x", "--yes")
    assert (refused.exit_code, "`preheat runs unlock RUN` opens it" in refused.stderr) == (1, True)
    assert preheat("unlock", "mine").stdout == "mine is open\n"
    job = RestJob(live, label="mine", spec={"target_lr": 0.1, "total_iterations": 100})
    job.attach()
    alive = preheat("delete", "mine", "--yes")
    assert (alive.exit_code, "`preheat runs finish RUN` ends it" in alive.stderr) == (1, True)
    assert preheat("finish", "mine", "--yes").stdout == f"mine ({run_id}) is finished\n"
    assert preheat("delete", run_id, "--yes").stdout == f"mine ({run_id}) is deleted\n"
    assert live.get(f"/v1/runs/{run_id}").status_code == 404


def test_a_controller_is_added_listed_and_removed(job: RestJob, preheat: Command) -> None:
    """With torch's arguments, and its defaults for those that are not given."""
    label = job.run()["label"]
    options = ("--factor", "0.5", "--patience", "3", "--min-lr", "default=1e-5", "--mode", "max")
    added = preheat("controllers", "add", label, "accuracy", *options, "--param-group", "default")
    controller = added.stdout.strip()
    assert ID.fullmatch(controller)
    found = json.loads(preheat("controllers", "list", label, "--json").stdout)["controllers"]
    wanted = {"factor": 0.5, "patience": 3, "min_lr": {"default": 1e-5}, "mode": "max", "threshold": 1e-4, "eps": 1e-8}
    assert found[0]["parameters"].items() >= wanted.items()
    assert "its job has reported no accuracy yet, nor anything else\n" in added.stderr
    assert re.search(rf"{controller} .* nothing yet", preheat("controllers", "list", label).stdout)
    for iteration, value in ((17, 0.5), (18, 0.25), (19, "NaN")):
        job.report(iteration, value, name="accuracy")
    counted = "has counted 3 reports, the last of iteration 19; best 0.5, 2 since without a better\n"
    assert counted in preheat("show", label).stdout
    assert "reported no los yet, only accuracy\n" in preheat("controllers", "add", label, "los").stderr
    assert preheat("controllers", "remove", label, controller).exit_code == 0
    gone = preheat("controllers", "remove", label, controller)
    assert (gone.exit_code, gone.stderr) == (1, f"error: no controller of this run has the id {controller}\n")


def test_help_of_an_operation_needs_no_run(preheat: Command) -> None:
    """`change scale --help` and `change RUN scale --help` are about scale; the list of operations is whole."""
    for arguments in (["change", "scale", "--help"], ["change", "llama-7b", "scale", "-h"]):
        shown = preheat(*arguments).stdout
        assert "Multiply every value by a factor." in shown
        assert all(f"--{name}" in shown for name in ("floor", "why", "at", "until", "not-after", "dry-run", "confirm"))
    listed = preheat("change", "--help").stdout
    names = ("scale", "hold", "replace", "rewarm", "cooldown", "extend", "revert")
    assert all(re.search(rf"^  {name} ", listed, re.MULTILINE) for name in names)
