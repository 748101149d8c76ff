"""Code blocks of Markdown pages, run as they are written; what each comment means is listed in docs/contributing.md."""

import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
import numpy as np

from reference import REFERENCE_ROWS
from running_service import GLOO_ABORTED, free_port, service_process

ROOT = Path(__file__).parents[1]
ADDRESS = "http://127.0.0.1:8000"
TIMEOUT_S = 180

_BLOCK = re.compile(r"(?:^<!-- (?P<marks>.*?) -->\n)?^```(?P<language>.*)\n(?P<text>(?:.*\n)*?)^```$", re.MULTILINE)
_ANYTHING = "…"


@dataclass(frozen=True)
class Block:
    """A fenced block, and what the comment before it says of it."""

    language: str
    marks: tuple[str, ...]
    text: str

    def has(self, mark: str) -> bool:
        """Whether the comment has this mark."""
        return mark in self.marks

    def argument(self, mark: str) -> str | None:
        """What follows a mark: the name of `file NAME`."""
        return next((found.removeprefix(f"{mark} ") for found in self.marks if found.startswith(f"{mark} ")), None)


def blocks_of(page: Path) -> list[Block]:
    """The blocks of a page in their order; directives of Sphinx are left out."""
    found = [
        Block(block["language"], tuple((block["marks"] or "").split(", ")), block["text"])
        for block in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]
    return [block for block in found if not block.language.startswith("{")]


def matches(expected: str, printed: str) -> bool:
    """Whether a text is as expected: a line of … stands for any number of lines, … in a line for any text."""
    pattern = "".join(
        "(?:.*\n)*?" if line == _ANYTHING else re.escape(line).replace(_ANYTHING, ".*") + "\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None


class StoppableService:
    """A service on a port of its own, which is up or not as the page wants it."""

    def __init__(self, database: Path) -> None:
        self.database_url = f"sqlite:///{database}"
        self._database, self._port = database, free_port()
        self._running: ExitStack | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def keep(self, is_up: bool) -> None:
        """Starts or stops it, if it is not what it should be."""
        if is_up and self._running is None:
            self._running = ExitStack()
            self._running.enter_context(service_process(self._database, port=self._port))
        elif not is_up and self._running is not None:
            self._running.close()
            self._running = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.keep(is_up=False)


class PageRunner:
    """Runs the blocks of one page, one after the other, in one folder and beside one service.

    `keep` starts or stops the service before each block.
    """

    def __init__(
        self, folder: Path, url: str, keep: Callable[[bool], None] = lambda _is_up: None, **environ: str
    ) -> None:
        self._folder, self._url, self._keep = folder, url, keep
        self._printed = ""
        binaries = str(Path(sys.executable).parent)
        self._environ = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
        self._environ |= environ

    def run(self, blocks: Iterable[Block]) -> None:
        """Runs every block as its marks say. Fails the test at the first that does not do what the page says."""
        for block in blocks:
            self._keep(not block.has("stop-service"))
            self._run(block)

    def _run(self, block: Block) -> None:
        text = block.text.replace(ADDRESS, self._url)
        if name := block.argument("file"):
            (self._folder / name).write_text(text, encoding="utf-8")
        elif name := block.argument("diff"):
            self._patch(name, block.text)
        elif block.has("make"):
            for command in block.text.splitlines():
                subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True, timeout=60)
        elif block.has("spec"):
            answer = httpx.post(f"{self._url}/v1/schedules", params={"stop": 0}, json=json.loads(text), timeout=30)
            assert answer.is_success, f"{text}\n{answer.text}"
        elif block.has("prints"):
            assert matches(block.text, self._printed), f"expected:\n{block.text}\nprinted:\n{self._printed}"
        elif block.has("prints the table"):
            assert block.text.split() == [f"{n},{row}" for n, row in enumerate(REFERENCE_ROWS, start=1)]
            assert self._printed == block.text
        elif block.has("trains") or block.has("trains in float32"):
            self._execute(block.language, text)
            self._check_table(in_float32=block.has("trains in float32"))
        elif block.has("run") or block.has("fails"):
            self._execute(block.language, text, fails=block.has("fails"))
        else:
            assert block.argument("not run:"), f"nothing says what to do with this block:\n{text}"

    def _execute(self, language: str, text: str, *, fails: bool = False) -> None:
        """Runs a script; what a shell exports stays for the blocks after it, as in a reader's terminal."""
        exported = self._folder / ".environment"
        shell = ["bash", "-euo", "pipefail", "-c", f"{text}\nenv -0 > {exported}"]
        command = shell if language == "sh" else [sys.executable, "-c", text]
        for _ in range(3):
            run = subprocess.run(
                command,
                cwd=self._folder,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
            if GLOO_ABORTED not in run.stdout:
                break
        assert (run.returncode != 0) == fails, f"{text}\nexit code {run.returncode}\n{run.stdout}"
        self._printed = run.stdout.replace(self._url, ADDRESS)
        if language == "sh" and not fails:
            pairs = exported.read_text(encoding="utf-8").rstrip("\0").split("\0")
            self._environ = dict(pair.split("=", 1) for pair in pairs)

    def _patch(self, name: str, diff: str) -> None:
        """Both sides of a diff that shows the whole file run; the new side stays."""
        lines = diff.splitlines(keepends=True)
        before = [line[1:] for line in lines[3:] if line[0] in " -"]
        after = [line[1:] for line in lines[3:] if line[0] in " +"]
        whole = len(before) + len(after)
        assert list(difflib.unified_diff(before, after, name, name, n=whole)) == lines, "not a unified diff of a file"
        self._execute("python", "".join(before))
        (self._folder / name).write_text("".join(after), encoding="utf-8")

    def _check_table(self, *, in_float32: bool) -> None:
        pairs = [line.split() for line in self._printed.splitlines() if re.fullmatch(r"\d+ \S+", line)]
        rows = [str(float(np.float32(row))) if in_float32 else row for row in REFERENCE_ROWS]
        assert pairs == [[str(n), row] for n, row in enumerate(rows, start=1)], self._printed
