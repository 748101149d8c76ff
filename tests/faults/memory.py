"""Mixed load on services whose memory must not grow: `memory.py SECONDS [SEED]`.

Two services, one on SQLite and one on PostgreSQL, each with two workers that have a computing process of their own, are
under load for as long as it is told (`load.py` says which). The first half is a warm-up. At its beginning clients that
hang up have computing processes killed; those that replace them then fill their caches, and pools of threads and what
libraries and allocators keep reach their sizes. In the second half the memory of all processes of each service is
compared with itself. A run fails if

- a cache has evicted nothing in the warm-up, since it could go on filling: the time was too short;
- a line through what is held at the least in each twentieth of the time (least squares) rises by more than
  `MOST_GROWTH_BYTES_PER_MINUTE`: what a request takes while it is answered comes and goes, and is not in it;
- a process was replaced, whose memory would begin anew;
- there are always more open files, or threads, at the end than there ever are at the beginning;
- an answer was another than it should be.

To see it fail, let a service keep 5 kB of each request: in `Observed.__call__`, `_KEPT.append(bytes(5_000))`.
"""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from faults.load import Load, loaded
from preheat.keys import make_token
from running_service import service_process
from support.keys import bearer
from support.postgresql import postgresql_server

MOST_GROWTH_BYTES_PER_MINUTE = 2_000_000
"""Of a service, all its processes together."""

_PARTS, _SAMPLES_OF_A_PART, _MOST_SHOWN = 20, 10, 10
_WARMUP_SHARE, _KILLS_SHARE = 0.5, 0.1
"""Of the whole time, from its beginning. What replaces a killed process has the rest of the warm-up for its own."""

_CACHES = {"curve_cache_bytes": 1_000_000, "picture_cache_bytes": 200_000}
"""Of each process: full before the warm-up is over."""


@dataclass(frozen=True)
class Sample:
    """What a service holds at a time in seconds: bytes by process, and the files and threads of all."""

    at_s: float
    bytes_of: dict[int, int]
    files: int
    threads: int

    @property
    def total(self) -> int:
        """Bytes of all processes; what several share is divided among them (PSS)."""
        return sum(self.bytes_of.values())


def main(seconds: float, seed: int) -> None:
    """Prints how the memory of both services went; exits with what is wrong."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="preheat-memory-"))
        server = stack.enter_context(postgresql_server())
        urls = [f"sqlite:///{folder}/preheat.db", server.new_database()]
        threads = stack.enter_context(ThreadPoolExecutor())
        found = list(threads.map(lambda url: _watched(url, seconds, seed), urls))
    wrong = [each for several in found for each in several]
    if wrong:
        sys.exit("\n".join(wrong))


def _watched(database_url: str, seconds: float, seed: int) -> list[str]:
    """What is wrong with a service that is under load for so long."""
    token = make_token()
    settings: dict[str, Any] = {"database_url": database_url, "first_key": token, "compute_workers": 1, **_CACHES}
    with (
        service_process(Path(), workers=2, **settings) as running,
        loaded(running.url, token, database_url, seed) as load,
    ):
        load.kills.set()
        time.sleep(seconds * _KILLS_SHARE)
        load.kills.clear()
        time.sleep(seconds * (_WARMUP_SHARE - _KILLS_SHARE))
        unfilled = list(_unfilled_caches(load))
        samples = _samples(psutil.Process(running.process.pid), seconds * (1 - _WARMUP_SHARE))
    kind = database_url.partition(":")[0]
    _tell(kind, load, samples, seed)
    return [f"{kind}: {each}" for each in (*unfilled, *_wrong(samples), *load.wrong[:_MOST_SHOWN])]


def _samples(process: psutil.Process, seconds: float) -> list[Sample]:
    """A process and all its children, again and again."""
    every_s = seconds / (_PARTS * _SAMPLES_OF_A_PART)
    began, samples = time.monotonic(), []
    while (now := time.monotonic() - began) < seconds:
        every = [process, *process.children(recursive=True)]
        bytes_of = {each.pid: each.memory_full_info().pss for each in every}
        samples.append(
            Sample(now, bytes_of, sum(each.num_fds() for each in every), sum(each.num_threads() for each in every))
        )
        time.sleep(every_s)
    return samples


def _unfilled_caches(load: Load) -> Iterator[str]:
    text = httpx.get(f"{load.url}/metrics", headers=bearer(load.token)).text
    for family in text_string_to_metric_families(text):
        if family.name == "preheat_cache_evictions":
            for sample in family.samples:
                if not sample.value:
                    yield f"the cache of {sample.labels['cache']} was not full after the warm-up: take more seconds"


def _wrong(samples: list[Sample]) -> Iterator[str]:
    if _growth(samples) > MOST_GROWTH_BYTES_PER_MINUTE:
        yield "memory grows"
    if len({frozenset(sample.bytes_of) for sample in samples}) > 1:
        yield "a process was replaced"
    quarter = len(samples) // 4
    for what in ("files", "threads"):
        first, last = ([getattr(each, what) for each in some] for some in (samples[:quarter], samples[-quarter:]))
        if min(last) > max(first):
            yield f"{what} become more: {max(first)} at the most, and then {min(last)} at the least"


def _growth(samples: list[Sample]) -> float:
    """Bytes a minute."""
    parts = [samples[part[0] : part[-1] + 1] for part in np.array_split(range(len(samples)), _PARTS)]
    floors = [min(part, key=lambda sample: sample.total) for part in parts]
    times, totals = [each.at_s for each in floors], [each.total for each in floors]
    return float(np.polyfit(times, totals, 1)[0]) * 60


def _tell(kind: str, load: Load, samples: list[Sample], seed: int) -> None:
    first, last, growth = samples[0], samples[-1], _growth(samples)
    by_process = (f"{first.bytes_of.get(pid, 0) / 1e6:.1f} → {held / 1e6:.1f}" for pid, held in last.bytes_of.items())
    print(  # noqa: T201 - what it is for
        f"{kind}, seed {seed}: {load.asked.total():,} requests; {first.total / 1e6:.1f} MB after the warm-up, "
        f"{last.total / 1e6:.1f} MB {last.at_s:.0f} s later, growing by {growth / 1e6:+.2f} MB a minute "
        f"(at most {MOST_GROWTH_BYTES_PER_MINUTE / 1e6:g})\n"
        f"  MB by process: {', '.join(by_process)}\n"
        f"  files {first.files} → {last.files}, threads {first.threads} → {last.threads}\n"
        f"  {', '.join(f'{what} {count:,}' for what, count in sorted(load.asked.items()))}",
        flush=True,
    )


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else randrange(10**6))
