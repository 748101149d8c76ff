"""What dry runs and answers say of the job that is to make a change."""

import pytest

from live_runs.rest_job import RestJob
from live_runs.script import Script
from preheat.api.run_content import job_content
from preheat.runs import making


def test_an_answer_says_when_the_job_last_asked() -> None:
    """And within how long it promised to ask again: half of its lease of 5 s."""
    job = Script()
    assert job_content(job.run, job.now, job.limits) == {
        "state": "WAITING", "position": None, "heard_s": None, "promise_s": None, "text": "no job has it yet"
    }  # fmt: skip
    job.attach()
    job.ask(1)
    job.ask(9)

    def seen(later_s: float) -> tuple[object, ...]:
        found = job_content(job.run, job.now + later_s, job.limits)
        assert (found["position"], found["promise_s"]) == (9, 2.5)
        return found["state"], found["heard_s"], found["text"]

    promise = "it promised to ask again within 2.5 s"
    assert seen(4) == ("RUNNING", 4, f"its job last asked 4 s ago; {promise}")
    assert seen(14) == ("SILENT", 14, f"its job last asked 14 s ago; {promise}")
    assert seen(7200) == ("SILENT", 7200, f"its job last asked 2 h ago; {promise}")
    assert seen(-3)[1:] == (0, f"its job last asked 0 s ago; {promise}"), "the clock was set back"
    job.save(making.finish(job.run, "ann", job.now))
    assert seen(1) == ("FINISHED", 1, f"its job last asked 1 s ago; {promise}")


def test_dry_run_change_and_cancelling_say_it(job: RestJob) -> None:
    """Each of the answers."""
    tried = job.http.post(
        f"{job.path}/changes", params={"dry_run": True}, json={"operation": {"op": "scale", "factor": 0.5}, "why": "x"}
    ).json()
    made = job.change(factor=0.5)
    for found in (tried, made):
        assert found["job"]["position"] == 1
        assert found["job"]["promise_s"] == pytest.approx(2.5)
        assert found["job"]["text"].endswith("it promised to ask again within 2.5 s")
