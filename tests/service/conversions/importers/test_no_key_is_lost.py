"""No key is lost: what stands in a source changes the spec, is named as not carried over, or is refused by its name."""

import json
import re
from typing import Any, get_args

import pytest

from preheat.conversions import Source
from preheat.conversions.importers import SOURCES as IMPORTERS
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable
from preheat.specs import InvalidSpec, spec_of
from support.sources import VALID, at, paths, replaced

LEAST = [Known(), Known(total_iterations=45), Known(0.1, 50), Known(0.1, 50, 5)]
"""What a caller may know, from nothing up: a value that the caller gives goes before the source's, and hides it."""

WITHOUT_EFFECT = {
    "counts the updates of an epoch, and the number of steps goes before it": """
        axolotl.batch_size axolotl.micro_batch_size
        axolotl.gradient_accumulation_steps axolotl.dataloader_drop_last axolotl.sample_packing
        deepspeed.gradient_accumulation_steps deepspeed.train_micro_batch_size_per_gpu diffusers.train_batch_size
        diffusers.gradient_accumulation_steps llama-factory.gradient_accumulation_steps
        llama-factory.per_device_train_batch_size llama-factory.dataloader_drop_last timm.batch_size
        timm.grad_accum_steps transformers.gradient_accumulation_steps transformers.per_device_train_batch_size
        transformers.dataloader_drop_last transformers.num_train_epochs transformers.train_batch_size
        llama-factory.accelerator_config transformers.accelerator_config
    """,
    "is a name, or prints something": """
        keras.module keras.name keras.registered_name mmengine._scope_ mmengine.verbose nemo.monitor
    """,
    "says when a model is validated, and the type of the loop": """
        mmengine.by_epoch mmengine.dynamic_intervals mmengine.val_begin mmengine.val_interval
    """,
    "has an effect beside others alone, or an LR within": """
        axolotl.cosine_constant_lr_ratio axolotl.cosine_min_lr_ratio axolotl.lr_quadratic_warmup
        detectron2.WARMUP_METHOD diffusers.optimizer_args diffusers.use_8bit_adam fairseq.model
        llama-factory.loraplus_lr_embedding llama-factory.stage mmengine.convert_to_iter_based timm.lr_cycle_decay
        timm.lr_cycle_mul timm.lr_decay_fn timm.opt_kwargs
    """,
}
"""Fields that change no LR in these sources, and why; every other one must be seen."""

EXEMPT = {name for names in WITHOUT_EFFECT.values() for name in names.split()}
OF_THE_TYPE = re.compile(r"must |is not one of")
"""Refusals of a value for what it is, which tell nothing of what the field would do."""
ANYTHING = [2, 3, 0.5, 0.9, 7, True, "zzz", "linear", [3], [0.5], {"zzz": 1}]

SOURCES = [(library, source) for library in get_args(Source) for source in VALID[library] if isinstance(source, dict)]
IDS = [f"{library}-{index}" for index, (library, _) in enumerate(SOURCES)]


def leaves(source: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Every value that is no object and no list, with its path."""
    found = [(path, at(source, path)) for path in paths(source)]
    return [(path, value) for path, value in found if not isinstance(value, dict | list)]


def objects(source: Any) -> list[tuple[Any, ...]]:
    """The path of every object of a source."""
    return [(), *(path for path in paths(source) if isinstance(at(source, path), dict))]


def outcome(library: Source, source: Any, known: Known) -> tuple[str, str]:
    """The spec, and all that was said of what is not in it; or no spec, and the refusal."""
    try:
        found = import_schedule(library, source, known)
        spec_of(found.spec)
    except NotImportable as refusal:
        return "", str(refusal)
    except InvalidSpec as refusal:
        return "", "; ".join(violation.detail for violation in refusal.violations)
    notes = "; ".join(f"{note.field} {note.reason}" for note in found.not_carried)
    return json.dumps(found.spec, sort_keys=True), notes


def others(value: Any) -> list[Any]:
    """Values that stand for something else."""
    if isinstance(value, bool):
        return [not value]
    return [value * 2, value / 2, value + 1, value * 10, 0] if isinstance(value, int | float) else ["zzz"]


@pytest.mark.parametrize(("library", "source"), SOURCES, ids=IDS)
def test_another_value_of_any_key_is_seen(library: Source, source: dict[str, Any]) -> None:
    """Of a few other values one at least gives another spec, or is named, whatever the key and however deep."""
    known = next(each for each in LEAST if outcome(library, source, each)[0])
    spec, _ = outcome(library, source, known)
    for path, value in leaves(source):
        name = next(str(key) for key in reversed(path) if isinstance(key, str))
        found = [outcome(library, replaced(source, path, other), known) for other in others(value)]
        is_seen = any(other != spec or name in said or str(path[0]) in said for other, said in found)
        assert is_seen or f"{library}.{name}" in EXEMPT, path


@pytest.mark.parametrize(("library", "source"), SOURCES, ids=IDS)
@pytest.mark.parametrize("name", ["warmup_x", "x_lr", "min_lr_x"])
def test_a_key_more_is_named_wherever_it_stands(library: Source, source: dict[str, Any], name: str) -> None:
    """In every object of a source a field that no library has is refused, or named with the object that it is in."""
    known = next(each for each in LEAST if outcome(library, source, each)[0])
    for path in objects(source):
        _, said = outcome(library, replaced(source, (*path, name), 7), known)
        whole = str(path[0]) if path else name
        assert name in said or whole in said, path


class Asked(dict[str, Any]):
    """An object that writes down which of its fields an importer asks for, and those within it too."""

    def __init__(self, values: dict[str, Any], path: tuple[Any, ...], names: set[tuple[Any, ...]]) -> None:
        super().__init__({key: asked(value, (*path, key), names) for key, value in values.items()})
        self._path, self._names = path, names

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, which is written down as asked for."""
        self._names.add((*self._path, name))
        return super().get(name, default)


def asked(value: Any, path: tuple[Any, ...], names: set[tuple[Any, ...]]) -> Any:
    """A source whose fields, when they are asked for, go into `names` with their paths."""
    if isinstance(value, list):
        return [asked(entry, (*path, index), names) for index, entry in enumerate(value)]
    return Asked(value, path, names) if isinstance(value, dict) else value


@pytest.mark.parametrize(("library", "source"), SOURCES, ids=IDS)
def test_every_field_that_an_importer_asks_for_is_seen(library: Source, source: dict[str, Any]) -> None:
    """A field that the source does not have, and its importer knows: where its value is taken, it is seen."""
    known = next(each for each in LEAST if outcome(library, source, each)[0])
    spec, _ = outcome(library, source, known)
    names: set[tuple[Any, ...]] = set()
    IMPORTERS[library](asked(source, (), names), known)
    for path in names:
        name = str(path[-1])
        if at(source, path) is not None or f"{library}.{name}" in EXEMPT:
            continue
        found = [outcome(library, replaced(source, path, value), known) for value in ANYTHING]
        taken = [(other, said) for other, said in found if other or not OF_THE_TYPE.search(said)]
        assert not taken or any(other != spec or name in said or str(path[0]) in said for other, said in taken), path


FOREIGN: list[Any] = [
    {"foo": 1},
    {"foo": 1, "seed": 3, "output_dir": "x", "learning_rate": None},
    "net: Net = Net(8, 16\n",  # Python with a syntax error, which is YAML
    {"net": {"foo": 1}},
]
"""Sources with nothing in them that an importer reads, whichever it is, and no name that may change an LR."""


@pytest.mark.parametrize("library", get_args(Source))
@pytest.mark.parametrize("source", FOREIGN, ids=range(len(FOREIGN)))
def test_a_source_of_which_nothing_is_read_is_no_default_schedule(library: Source, source: Any) -> None:
    """What is of something else is refused, and not noted as not known beside the defaults of the library."""
    for known in [*LEAST, Known(0.1, 50, dataset_size=1000, epochs=2)]:
        with pytest.raises(NotImportable):
            import_schedule(library, source, known)


@pytest.mark.parametrize(
    ("library", "source", "field"),
    [
        ("transformers", {"foo": 1}, "foo"),
        ("timm", {"foo": 1}, "foo"),
        ("kohya", {"net": {"foo": 1}}, "foo"),
        ("diffusers", {"foo": 1}, "foo"),
        ("torchtitan", {"training": {"foo": 1}, "job": {"x": 1}}, "training.foo"),
        ("detectron2", {"SOLVER": {"FOO": 1}}, "SOLVER.FOO"),
    ],
)
def test_what_is_not_known_is_named_where_nothing_is_read(library: Source, source: Any, field: str) -> None:
    """The refusal has the field, and the library that it was read as; to open a section is not to read it."""
    _, said = outcome(library, source, Known(0.1, 5000))
    assert said.startswith(f"source has no field that an import from {library} reads ({field})")


@pytest.mark.parametrize("source", [{}, {"output_dir": "x", "bf16": True}, {"max_steps": 50, "foo": 1}])
def test_the_defaults_are_the_schedule_of_a_source_that_leaves_them(source: dict[str, Any]) -> None:
    """With the length that the caller knows, arguments that say nothing of the LR are a run with Trainer's defaults."""
    spec = import_schedule("transformers", source, Known(total_iterations=50)).spec
    assert spec == {
        "target_lr": 5e-5,
        "total_iterations": 50,
        "warmup": {"iterations": 0},
        "after_scheduler": {"type": "PolynomialDecayLR"},
    }
