"""A second client, and a look at memory, while a service is busy with something else."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil


@dataclass
class Meanwhile:
    """The longest that each address took to answer, every status that was not 200, and the most memory in bytes."""

    longest_s: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    most_bytes: int = 0


def processes(pid: int) -> list[psutil.Process]:
    """A process and all that it has started, and these have."""
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def memory_bytes(pid: int) -> int:
    """What a process and all below it hold: memory that they share counts once."""
    held = 0
    for process in processes(pid):
        with suppress(psutil.Error):
            held += process.memory_full_info().pss
    return held


@contextmanager
def watching(url: str, pid: int, *paths: str) -> Iterator[Meanwhile]:
    """Asks for paths in turn, over and over, and looks at the memory of a tree of processes."""
    seen, over = Meanwhile(), threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(url, paths, seen, over)),
        threading.Thread(target=_look, args=(pid, seen, over)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _ask(url: str, paths: tuple[str, ...], seen: Meanwhile, over: threading.Event) -> None:
    with httpx.Client(base_url=url, timeout=60) as http:
        while not over.is_set():
            for path in paths:
                started = time.monotonic()
                answer = http.get(path)
                taken = time.monotonic() - started
                seen.longest_s[path] = max(seen.longest_s.get(path, 0.0), taken)
                seen.counts[path] = seen.counts.get(path, 0) + 1
                if answer.status_code != httpx.codes.OK:
                    seen.failures.append(f"{path}: {answer.status_code} {answer.text}")
            over.wait(0.01)


def _look(pid: int, seen: Meanwhile, over: threading.Event) -> None:
    while not over.is_set():
        seen.most_bytes = max(seen.most_bytes, memory_bytes(pid))
        over.wait(0.1)
