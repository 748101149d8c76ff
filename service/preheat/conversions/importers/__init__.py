"""Import: a spec from a schedule of another library."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from preheat.conversions import Source
from preheat.conversions.forms import read
from preheat.conversions.guess import guessed
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.importers.axolotl import from_axolotl
from preheat.conversions.importers.deepspeed import from_deepspeed
from preheat.conversions.importers.detectron2 import from_detectron2
from preheat.conversions.importers.fairseq import from_fairseq
from preheat.conversions.importers.keras import from_keras
from preheat.conversions.importers.kohya import from_diffusers, from_kohya
from preheat.conversions.importers.llama_factory import from_llama_factory
from preheat.conversions.importers.megatron import from_megatron
from preheat.conversions.importers.mmengine import from_mmengine
from preheat.conversions.importers.nanotron import from_nanotron
from preheat.conversions.importers.nemo import from_nemo
from preheat.conversions.importers.timm import from_timm
from preheat.conversions.importers.torch import from_torch
from preheat.conversions.importers.torchtitan import from_torchtitan
from preheat.conversions.importers.transformers import from_transformers
from preheat.conversions.known import Known
from preheat.errors import NotImportable

__all__ = ["SOURCES", "Imported", "import_schedule"]

_MOST_NOTES = 200
"""Notes that are told one by one: the files of no library have so many fields."""

SOURCES: dict[Source, Callable[[Any, Known], Imported]] = {
    "torch": from_torch,
    "transformers": from_transformers,
    "timm": from_timm,
    "deepspeed": from_deepspeed,
    "keras": from_keras,
    "axolotl": from_axolotl,
    "llama-factory": from_llama_factory,
    "kohya": from_kohya,
    "diffusers": from_diffusers,
    "torchtitan": from_torchtitan,
    "megatron": from_megatron,
    "detectron2": from_detectron2,
    "mmengine": from_mmengine,
    "nanotron": from_nanotron,
    "nemo": from_nemo,
    "fairseq": from_fairseq,
}
"""Who reads the source of each library: plain values, or the text of Python code."""


def import_schedule(
    library: Source | None, source: Any, known: Known, check: Callable[[], None] = lambda: None
) -> Imported:
    """The spec of a schedule of `library`, or of the one that the source's names tell, and what is not in it.

    The source is an object, or a text in any form that `forms` reads. What is known and has no effect is named, as what
    is not carried over is. Raises NotImportable where the source cannot be understood, or does something that a spec
    cannot express; with the candidates, where its library cannot be told. `check` is called between the readings of the
    source, of which there is one more for each known value, and may end the import by raising.
    """
    values = read(source)
    of = library or guessed(values)
    try:
        found = SOURCES[of](values, known)
    except NotImportable as error:
        if library is not None:
            raise
        # Whoever gave no library must learn whose rules the reason is of.
        raise NotImportable(f"{error} (read as {of})") from None
    unused = [
        NotCarried(name, "is given, and changes nothing here: the source decides without it")
        for name, value in vars(known).items()
        if value is not None and _makes_no_difference(of, values, known, name, found, check)
    ]
    return replace(found, not_carried=_few([*found.not_carried, *unused]), library=of)


def _few(notes: list[NotCarried]) -> list[NotCarried]:
    """The notes, and of very many the first with how many there are more."""
    more = len(notes) - _MOST_NOTES
    rest = [NotCarried(f"{more} more", "are not carried over either")] if more > 0 else []
    return [*notes[:_MOST_NOTES], *rest]


def _makes_no_difference(
    library: Source, values: Any, known: Known, name: str, found: Imported, check: Callable[[], None]
) -> bool:
    """Whether the spec is the same with quite another value of a field of `known`."""
    check()
    try:
        other = SOURCES[library](values, replace(known, **{name: 1000 * getattr(known, name) + 1}))
    except NotImportable:
        return False
    return other.spec == found.spec
