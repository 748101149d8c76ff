"""From another library's schedule to a spec of ours."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.importers.deepspeed import from_deepspeed
from preheat.conversions.importers.keras import from_keras
from preheat.conversions.importers.timm import from_timm
from preheat.conversions.importers.torch import from_torch
from preheat.conversions.importers.transformers import from_transformers
from preheat.conversions.source import Imported, Known

SOURCES: dict[str, Callable[[Any, Known], Imported]] = {
    "torch": from_torch,
    "transformers": from_transformers,
    "timm": from_timm,
    "deepspeed": from_deepspeed,
    "keras": from_keras,
}
"""What can be imported: torch constructors or state_dicts, and the configurations of others."""


def import_schedule(library: str, source: Any, known: Known) -> Imported:
    """The spec that a source of one of SOURCES stands for, and what of it is not in the spec.

    Raises NotImportable where the source cannot be understood, or does something that no spec does.
    """
    return SOURCES[library](source, known)
