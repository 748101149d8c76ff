"""A schedule: a normalised spec, and the torch version that computes it."""

import hashlib
import importlib.metadata
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from preheat.specs import Spec

TORCH_VERSION = importlib.metadata.version("torch").partition("+")[0]
"""Release of the torch that is installed, without its build tag (2.13.0, not 2.13.0+cpu)."""


@dataclass(frozen=True)
class Schedule:
    """What the LR is at every iteration; `spec` must be normalised."""

    spec: Spec
    torch_version: str = TORCH_VERSION

    @cached_property
    def id(self) -> str:
        """Hash of spec and torch version, 32 hexadecimal digits: the same everywhere for the same content."""
        content = {"spec": self.spec_dict, "torch_version": self.torch_version}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @cached_property
    def spec_dict(self) -> dict[str, Any]:
        """The spec as JSON values, without the fields that are absent."""
        return self.spec.model_dump(mode="json", exclude_none=True)
