"""Live runs under everything that goes wrong, by real processes, against every promise: `runs.py RUNS [SEED]`.

Twelve runs at a time, side by side, half of them through two services on PostgreSQL, half through one on SQLite, each
behind a network of its own that refuses, resets, cuts, delays and drops answers. Half the jobs are four ranks under
gloo, of which rank 0 speaks, half are four that each ask for themselves. SIGKILL and SIGSTOP hit ranks, services and
the database; jobs restart from checkpoints at random, with zombies of theirs about; three authors change the runs.
In the end what ranks, authors and watchers wrote down is held against the record (`live_runs.promises`).

To see it fail, take a rule away in `preheat.runs`: let `present` in windows.py raise nothing, say. It then names the
promise that is broken, the run, and the seed that brings it back.
"""

import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console

from faults.fault_proxy import proxied, proxy_loop
from faults.run_job import Job
from faults.run_people import Author, Caller, acting, watching
from faults.run_record import collect
from faults.run_services import AUTHORS, Side, Trouble, sides
from live_runs.journal import Journal
from live_runs.promises import findings, too_little
from support.postgresql import postgresql_server

AT_ONCE = 12
LEAST_OF_A_RUN = {"used": 200, "attempt": 2, "watched": 3}
"""With less a run has shown nothing, and does not count."""

LEAST_OF_A_BATCH = {"overrun": 20, "lost": 10, "repeated": 3, "change": 20, "restart": 3, "kill-rank": 1, "zombie": 1,
                    "rollback": 1, "fork": 1, "report": 20}  # fmt: skip
SPECS: list[dict[str, Any]] = [
    {"target_lr": 0.1, "total_iterations": 6000, "warmup": 100, "after_scheduler": {"type": "CosineAnnealingLR"}},
    {"target_lr": 0.1, "total_iterations": 6000, "after_scheduler": {"type": "PolynomialDecayLR", "min_lr": 0.01}},
]


class LiveRun:
    """One run of a batch: a job, its network, three authors, a watcher, and the journal of it all."""

    def __init__(self, number: int, seed: int, side: Side, folder: Path, stack: ExitStack, loop: Any) -> None:
        self.journal, self._stack = Journal(), stack
        self._proxy = stack.enter_context(proxied(loop, side.replicas[0].url))
        self._side, self._seed = side, f"{seed}-{number}"
        self._has_controller = number // 2 % 2 == 0
        self._callers = {name: self._caller(token) for name, token in side.tokens.items()}
        home = folder / f"run-{number}"
        home.mkdir()
        label, spec = f"run-{self._seed}", SPECS[number // 4 % len(SPECS)]
        self.job = Job(label, spec, home, side, self._proxy, self._callers["job"], is_gloo=number % 2 == 0)
        stack.callback(self.job.close)
        self._authors: list[Author] = []
        self._errors: list[BaseException] = []

    def play(self) -> None:
        """Makes the run, and lets everybody loose on it."""
        self.job.make()
        if self._has_controller:
            parameters = {"factor": 0.5, "patience": 2}
            body = {"metric": "loss", "parameters": parameters}
            self._callers["ann"].call("POST", f"{self.job.path}/controllers", body).raise_for_status()
        path, urls = self.job.path, [each.url for each in self._side.replicas]
        self._authors = [Author(name, self._callers[name], path, f"{self._seed}-{name}") for name in AUTHORS]
        self.journal.watched["a watcher"] = []
        with ExitStack() as at_work:
            seen = self.journal.watched["a watcher"]
            at_work.enter_context(watching(urls, self._side.tokens["job"], path, seen))
            for author in self._authors:
                at_work.enter_context(acting(author, 1.5, f"{self._seed}-{author.name}-pauses", self._errors))
            self.job.play()
        if self._errors:
            raise self._errors[0]

    def end(self) -> None:
        """Lets the job end well, and holds everything against every promise."""
        self.job.end()
        forks = {fork: shared for author in self._authors for fork, shared in author.forks.items()}
        collect(self._callers["job"], self.job.path, self.job.folder, forks)
        found = findings(self.journal)
        where = f"run {self._seed} ({self._side.name}, {self.job.label})"
        if found:
            self._keep()
        assert not found, f"{where}: " + "; ".join(f"{promise}: {texts}" for promise, texts in found.items())
        missing = too_little(self.journal.traffic, LEAST_OF_A_RUN)
        assert not missing, f"{where}: too little happened for it to count: {missing}"

    def _keep(self) -> None:
        """Writes down what led there, beside the finding: the next time it may go another way."""
        journal, file = self.journal, Path(gettempdir()) / f"{self.job.label}.txt"
        told = [*journal.events, *journal.changes, *journal.looks[-1:], *journal.intents, *journal.used]
        file.write_text("\n".join(map(str, told)))

    def _caller(self, token: str) -> Caller:
        caller = Caller(self._proxy.url, token, self.journal)
        self._stack.callback(caller.close)
        return caller


def batch(seed: int, count: int = AT_ONCE) -> Counter[str]:
    """So many runs side by side; what happened in all of them. Fails for the first promise that is broken."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="preheat-runs-")))
        both = stack.enter_context(sides(folder, stack.enter_context(postgresql_server())))
        loop = stack.enter_context(proxy_loop())
        pool = stack.enter_context(ThreadPoolExecutor(count))
        runs = [LiveRun(n, seed, both[n // 2 % 2], folder, stack, loop) for n in range(count)]
        traffic = Counter[str]()
        with Trouble(both, seed, traffic) as trouble:
            list(pool.map(LiveRun.play, runs))
        if trouble.error is not None:
            raise trouble.error
        list(pool.map(LiveRun.end, runs))
        for run in runs:
            traffic += run.journal.traffic
    return traffic


def assert_counts(traffic: Counter[str], batches: int) -> None:
    """Fails if less happened in so many whole batches than must have for them to show anything."""
    missing = too_little(traffic, {kind: least * batches for kind, least in LEAST_OF_A_BATCH.items()})
    assert not missing, f"too little happened in {batches} batches for it to count: {missing}"


def main(count: int, seed: int) -> None:
    """Ends at the first batch that is not as it must be; its seed brings it back."""
    console = Console()
    traffic, started = Counter[str](), time.monotonic()
    with console.status("") as status:
        for done in range(0, count, AT_ONCE):
            status.update(f"seed {seed}, {done} of {count} runs done")
            try:
                traffic += batch(seed, min(AT_ONCE, count - done))
            except AssertionError as error:
                sys.exit(f"runs.py {AT_ONCE} {seed}: {error}")
            seed += 1
    assert_counts(traffic, count // AT_ONCE)
    console.print(f"{count} runs in {time.monotonic() - started:.0f} s, the last seed {seed - 1}: every promise kept")
    console.print(", ".join(f"{kind} {number:,}" for kind, number in sorted(traffic.items())))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
