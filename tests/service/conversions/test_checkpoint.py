"""Checkpoint: a scheduler's state out of torch.save's files, and nothing that would run code."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from preheat.conversions.importers.torch_state import is_checkpoint, read_checkpoint
from preheat.errors import NotImportable
from support.imports import lrs

WRAPPERS: list[Callable[[Any], Any]] = [
    lambda state: state,
    lambda state: {"lr_schedulers": [state], "epoch": 3},
    lambda state: {"scheduler": state, "model": {"w": torch.zeros(3)}},
]


@pytest.mark.parametrize("wrap", WRAPPERS, ids=range(len(WRAPPERS)))
def test_a_state_is_found_in_a_file(wrap: Callable[[Any], Any], tmp_path: Path) -> None:
    """A scheduler.pt, or a trainer's checkpoint with the state in it; a MultiStepLR's Counter comes through."""
    scheduler = lr_scheduler.MultiStepLR(SGD([torch.zeros(1)], lr=0.1), [3, 7])
    path = tmp_path / "scheduler.pt"
    torch.save(wrap(scheduler.state_dict()), path)
    assert is_checkpoint(path)
    expected = [0.1 * 0.1 ** ((n >= 3) + (n >= 7)) for n in range(11)]
    assert lrs("torch", read_checkpoint(path), total_iterations=10) == pytest.approx(expected)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    """Only weights are loaded."""
    path = tmp_path / "scheduler.pt"
    torch.save({"x": Path("y")}, path)
    with pytest.raises(NotImportable, match="no checkpoint that torch loads without running code"):
        read_checkpoint(path)
    other = tmp_path / "other.pt"
    other.write_bytes(pickle.dumps({"x": 1}))
    assert not is_checkpoint(other)
