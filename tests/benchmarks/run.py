"""Runs the benchmarks: `python tests/benchmarks/run.py [NAME …]`; a table of ratios, then one JSON line."""

import datetime as dt
import importlib
import json
import logging
import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table

NAMES = (
    "reading",
    "lookup",
    "listing",
    "point",
    "pictures",
    "shapes",
    "outages",
    "starting",
    "commands",
    "memory",
    "heavy",
    "runs_reading",
    "runs_windows",
    "runs_watching",
    "runs_points",
)


def main(names: list[str]) -> None:
    """Measures what is named, or everything."""
    console = Console(width=130)
    logging.getLogger("preheat_client").setLevel(logging.ERROR)  # outages that are made on purpose
    table = Table("benchmark", "what", "ours", "peer or limit", "its", "ratio", "goal", "", title="ratio = ours / peer")
    rows = []
    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        with console.status(f"measuring {name}"):
            ratios = list(module.measure())
        for ratio in ratios:
            reached = {None: "", True: "reached", False: "[red]missed"}[ratio.is_reached]
            ours, peers = f"{ratio.ours:,.4g} {ratio.unit}", f"{ratio.peers:,.4g} {ratio.unit}"
            table.add_row(name, ratio.what, ours, ratio.peer, peers, f"{ratio.ratio:.3g}", ratio.goal, reached)
            rows.append({"benchmark": name, **asdict(ratio), "ratio": ratio.ratio, "is_reached": ratio.is_reached})
    console.print(table)
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "machine": platform.machine()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    today = dt.datetime.now(dt.UTC).date().isoformat()
    print(json.dumps({"date": today, "commit": commit.strip(), "machine": machine, "ratios": rows}, ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
