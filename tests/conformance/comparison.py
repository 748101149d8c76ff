"""What every comparison with a library shares: how many, how they are counted, how close they must be."""

import importlib
import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, reject, settings
from hypothesis import strategies as st
from torch.optim import Optimizer

from preheat.conversions import Source
from preheat.conversions.importers import Imported, import_schedule
from preheat.conversions.known import Known
from preheat.curve import Curve
from preheat.errors import NotImportable
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec
from support.specs import first_column

EXAMPLES = int(os.environ.get("CONFORMANCE_EXAMPLES", "40"))
"""Random cases of each test."""

randomly = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])

COUNTS: dict[str, int] = {}
"""Sequences compared so far, by library."""

RATES = st.sampled_from([1e-5, 5e-4, 0.02, 1.0]) | st.floats(1e-6, 10)
LENGTHS = st.integers(1, 150)
SHARES = st.sampled_from([0.0, 0.1, 0.5, 1.0]) | st.floats(0, 1)


def library(name: str) -> Any:
    """An installed library; without it the tests of the file are skipped."""
    return pytest.importorskip(name, reason=f"make conformance installs {name}")


def assert_same(name: str, ours: list[float], theirs: list[float], rtol: float = 1e-9, atol: float = 1e-15) -> None:
    """Two sequences of LRs are the same; counted for the summary."""
    COUNTS[name] = COUNTS.get(name, 0) + 1
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)


def lrs(target_lr: float, total: int, after: dict[str, Any] | None, **warmup: Any) -> list[float]:
    """Every LR of a spec; a spec that is refused is drawn again."""
    spec: dict[str, Any] = {"target_lr": target_lr, "total_iterations": total, "warmup": warmup}
    return of_spec(spec if after is None else {**spec, "after_scheduler": after})


def of_spec(spec: dict[str, Any]) -> list[float]:
    """Every LR of a whole spec."""
    try:
        return first_column(Curve(Schedule.of(spec)))
    except InvalidSpec:
        reject()


def imported(source: Source, content: dict[str, Any], **known: Any) -> Imported:
    """An import; what is refused, with its reason, is drawn again."""
    try:
        return import_schedule(source, content, Known(**known))
    except (NotImportable, InvalidSpec):
        reject()


def stepped(on: Optimizer, step: Callable[[int], Any], total: int) -> list[float]:
    """The LR before each of `total` steps, and after the last."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(total + 1):
            found.append(float(on.param_groups[0]["lr"]))
            step(n)
    return found


@contextmanager
def keras_in_float64() -> Iterator[None]:
    """Keras with torch behind it, which computes in float32 by default."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    config = library("keras").config
    before = config.floatx()
    config.set_floatx("float64")
    yield
    config.set_floatx(before)


@contextmanager
def timm_scheduler(module: str) -> Iterator[Any]:
    """A module of timm's schedulers: timm itself imports torchvision, of which there is no build for every CPU."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        pytest.skip("make conformance installs timm")
    package = types.ModuleType("timm")
    package.__path__ = [str(Path(spec.origin).parent)]
    sys.modules["timm"] = package
    yield importlib.import_module(f"timm.scheduler.{module}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        del sys.modules[name]
