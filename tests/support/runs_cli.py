"""What tests of `preheat runs` share: the command's type, and the reference LRs."""

import math
from collections.abc import Callable

from typer.testing import Result

Command = Callable[..., Result]
"""`preheat runs` with arguments; variables of the environment by keyword."""


def cosine(n: int, target_lr: float = 0.1, total: int = 1000) -> float:
    """LR n of the schedule of the tests' job: half a cosine from the target to 0, by its formula."""
    return target_lr * (1 + math.cos(math.pi * n / total)) / 2
