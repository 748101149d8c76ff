"""10. The command line: from Enter to a table of LRs, which has to wait for torch."""

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.measure import Ratio, side_by_side
from reference import REFERENCE_SPEC


def measure() -> Iterator[Ratio]:
    """Milliseconds of whole processes."""
    tasks = {
        "lrs": partial(_run, "-m", "preheat", "lrs", "-"),
        "help": partial(_run, "-m", "preheat", "--help"),
        "torch": partial(_run, "-c", "import torch"),
    }
    ms = {name: s * 1e3 for name, s in side_by_side(tasks, 9).items()}
    yield Ratio("preheat lrs", ms["lrs"], "ms", "import torch", ms["torch"], "≤2")
    yield Ratio("preheat --help", ms["help"], "ms", "import torch", ms["torch"], "")


def _run(*arguments: str) -> None:
    spec = json.dumps(REFERENCE_SPEC).encode()
    subprocess.run([sys.executable, *arguments], input=spec, stdout=subprocess.DEVNULL, check=True)
