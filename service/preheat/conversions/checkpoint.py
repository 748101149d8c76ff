"""Checkpoint: the state of a scheduler in a file that torch.save has written."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from preheat.conversions.forms import plain
from preheat.errors import NotImportable

_MAX_BYTES = 50_000_000


def is_checkpoint(path: Path) -> bool:
    """Whether a file is one of torch.save's, which are ZIP archives."""
    return path.is_file() and zipfile.is_zipfile(path)


def read_checkpoint(path: Path) -> Any:
    """The state in a scheduler.pt, or in the checkpoint of a trainer that keeps it beside others.

    No code in it is run: torch loads weights only. Raises NotImportable.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise NotImportable(f"SOURCE must have at most {_MAX_BYTES} bytes: save the scheduler's state_dict alone")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError) as error:
        raise NotImportable(f"SOURCE is no checkpoint that torch loads without running code: {error!s:.200}") from None
    for name in ("lr_schedulers", "lr_scheduler", "scheduler"):
        if isinstance(content, dict) and name in content:
            content = content[name]
    return plain(content[0] if isinstance(content, list) and content else content)
