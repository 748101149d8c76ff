"""Import: a spec from a schedule of another library."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.importers.deepspeed import from_deepspeed
from preheat.conversions.importers.keras import from_keras
from preheat.conversions.importers.timm import from_timm
from preheat.conversions.importers.torch import from_torch
from preheat.conversions.importers.transformers import from_transformers
from preheat.conversions.libraries import Source
from preheat.conversions.source import Imported, Known

__all__ = ["SOURCES", "Imported", "import_schedule"]

SOURCES: dict[Source, Callable[[Any, Known], Imported]] = {
    "torch": from_torch,
    "transformers": from_transformers,
    "timm": from_timm,
    "deepspeed": from_deepspeed,
    "keras": from_keras,
}
"""Who reads the source of each library."""


def import_schedule(library: Source, source: Any, known: Known) -> Imported:
    """The spec of a schedule of `library`, and which fields of the source are not in it.

    Raises NotImportable where the source cannot be understood, or does something that a spec cannot express.
    """
    return SOURCES[library](source, known)
