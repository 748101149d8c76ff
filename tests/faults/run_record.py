"""What a service has on record of a run, by REST, and what its ranks wrote down, as a journal to hold together."""

import json
from pathlib import Path
from typing import Any

from faults.run_people import Caller
from live_runs.journal import Changed, Controlled, Happened, Lane, Placed, Recorded, Used
from live_runs.promises import EVENTS, ON_DISK, RECORD


def look(caller: Caller, path: str) -> None:
    """Adds all attempts as they are now."""
    found = caller.call("GET", f"{path}/attempts").raise_for_status().json()["attempts"]
    names = ("number", "parent", "start", "handed", "acknowledged", "position")
    caller.journal.looks.append(tuple(Lane(**{name: each[name] for name in names}) for each in found))


def collect(caller: Caller, path: str, folder: Path, forks: dict[str, tuple[int, int]]) -> None:
    """Fills the journal: lines of the ranks, and the whole record."""
    journal = caller.journal
    look(caller, path)
    journal.used += [Used(*json.loads(line)) for line in (folder / "used.jsonl").read_text().splitlines()]
    run = caller.call("GET", path).raise_for_status().json()
    journal.events += _events(caller, path)
    if len(journal.events) != run["events"]:
        journal.wrongs.append((EVENTS, f"{len(journal.events)} events are listed, and the run has {run['events']}"))
    if run["generation"] != 1:
        journal.wrongs.append((ON_DISK, f"generation {run['generation']}: the service has forgotten something"))
    changes = caller.call("GET", f"{path}/changes").raise_for_status().json()["changes"]
    journal.changes += [_changed(each) for each in changes]
    recorded = _recorded(caller, path, journal.looks[-1], run)
    journal.record = lambda attempt, iteration: recorded.get((attempt, iteration))
    for controller in run["controllers"]:
        reports = _reports(caller, path, journal.looks[-1], controller["metric"])
        journal.controllers.append(Controlled(controller["parameters"], controller["first"], None, reports))
    for fork, (attempt, iteration) in forks.items():
        _check_shared(caller, fork, attempt, iteration)
    journal.traffic["used"] += len(journal.used)
    journal.traffic["attempt"] += len(journal.looks[-1])
    journal.traffic["overrun"] += sum(each.is_overrun for each in journal.used)
    journal.traffic["report"] += sum(len(each.reports) for each in journal.controllers)
    journal.traffic["watched"] += sum(map(len, journal.watched.values()))


def _events(caller: Caller, path: str) -> list[Happened]:
    found: list[Happened] = []
    while True:
        after = found[-1].number if found else 0
        page = caller.call("GET", f"{path}/events?after={after}").raise_for_status().json()
        found += [Happened(each["number"], each["kind"], each["data"]) for each in page["events"]]
        if not page["events"] or found[-1].number >= page["last"]:
            return found


def _changed(each: dict[str, Any]) -> Changed:
    cause = None if each["cause"] is None else (each["cause"]["attempt"], each["cause"]["iteration"])
    placements = tuple(Placed(p["revision"], p["attempt"], p["effect"]) for p in each["placements"])
    return Changed(each["id"], each["why"], each["author"], cause, placements)


def _recorded(
    caller: Caller, path: str, lanes: tuple[Lane, ...], run: dict[str, Any]
) -> dict[tuple[int, int], Recorded]:
    """Every iteration of every attempt's own lane."""
    found = {}
    for lane in lanes:
        last = max([lane.handed, *(each.iteration + 1 for each in caller.journal.used if each.attempt == lane.number)])
        stop = min(last, max(run["total_iterations"] + 1, run["horizon"]))
        if stop <= lane.start:
            continue
        query = f"attempt={lane.number}&start={lane.start}&stop={stop}"
        content = caller.call("GET", f"{path}/lr?{query}").raise_for_status().json()
        lrs = content["groups"][0]["lr"]
        for part in content["parts"]:
            for n in range(part["start"], part["stop"]):
                found[lane.number, n] = Recorded(lrs[n - lane.start], part["certainty"])
    return found


def _reports(caller: Caller, path: str, lanes: tuple[Lane, ...], name: str) -> dict[tuple[int, int], float]:
    found = {}
    for lane in lanes:
        query = f"name={name}&attempt={lane.number}"
        series = caller.call("GET", f"{path}/reports?{query}").raise_for_status().json()
        pairs = zip(series["iterations"], series["values"], strict=True)
        found.update({(lane.number, n): float(value) for n, value in pairs})
    return found


def _check_shared(caller: Caller, fork: str, attempt: int, iteration: int) -> None:
    """A fork has, up to its last shared iteration, what the ranks of the run used."""
    query = f"attempt={attempt}&start=0&stop={iteration + 1}"
    lrs = caller.call("GET", f"/v1/runs/{fork}/lr?{query}").raise_for_status().json()["groups"][0]["lr"]
    for each in caller.journal.used:
        if each.attempt == attempt and each.iteration <= iteration and lrs[each.iteration] != each.lr:
            text = f"fork {fork} has {lrs[each.iteration]!r} at {each.iteration}, where its ancestor used {each.lr!r}"
            caller.journal.wrongs.append((RECORD, text))
            return
