"""Fields of a source are read by what they must be, and none is lost; no source of any shape is more than refused."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from typing import Any

import pytest

from preheat.conversions import Source
from preheat.conversions.fields import Fields
from preheat.conversions.harmless import Harmless
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable
from preheat.messages import excerpt
from preheat.specs import InvalidSpec, spec_of


def test_fields_that_nobody_read_are_not_carried_over() -> None:
    """Each is listed with its path and why; what is null counts as absent; what may change the LR is refused."""
    fields = Fields({"a": 1, "b": None, "c": {}, "d": [0]}, "config")
    assert (fields.take("a"), fields.take("b", 7), fields.take("e", 8)) == (1, 7, 8)
    assert fields.left(Harmless("ours", "c")) == [
        NotCarried("config.c", "is not part of a learning-rate schedule"),
        NotCarried("config.d", "is not known: check that it does not change the LR"),
    ]
    with pytest.raises(NotImportable, match=r"^config\.e\.warmup may change the LR, and an import from ours"):
        Fields({"e": {"warmup": 3}}, "config").left(Harmless("ours", "c"))


@pytest.mark.parametrize(("value", "number"), [(3, 3), (0.5, 0.5), ("1e-3", 0.001), (None, 9.0)])
def test_a_number_may_be_text(value: Any, number: float) -> None:
    """TrainingArguments and command lines write numbers as text; what is absent has its default."""
    assert Fields({"x": value}).number("x", 9.0) == number


@pytest.mark.parametrize("value", [True, "x", [], {}, float("nan"), "inf", 1e308, 10**400])
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    """Truth values, texts, and numbers beyond any LR or length are refused with their path."""
    with pytest.raises(NotImportable, match=r"^config\.x \(.*\) must be a number$"):
        Fields({"x": value}, "config").number("x")


def test_each_kind_of_field_says_what_it_must_be() -> None:
    """Counts, lists, objects and choices name the path of the field, its value and the rule."""
    fields = Fields({"x": 2.5, "y": [1, "z"], "names": "plateau"}, "config")
    for read, refusal in (
        (lambda: fields.count("x"), "config.x (2.5) must be a whole number ≥ 0"),
        (lambda: fields.numbers("x"), "config.x (2.5) must be a list of numbers"),
        (lambda: fields.numbers("y"), "config.y[1] ('z') must be a number"),
        (lambda: fields.fields("x"), "config.x must be an object with named fields"),
        (lambda: fields.choice("x", ["a", "b"]), "config.x (2.5) is not one of a, b"),
        (
            lambda: fields.choice("names", ["a"], by_metric={"plateau"}),
            "config.names (plateau) follows a metric: its LR",
        ),
        (lambda: Fields([]), "source must be an object with named fields"),
    ):
        with pytest.raises(NotImportable) as caught:
            read()
        assert str(caught.value).startswith(refusal)


def test_what_is_known_of_the_run_goes_before_the_source() -> None:
    """Target LR and length of the caller replace the source's, and one of both must have them."""
    assert Known(0.1, 50).spec(0.2, 90, None) == {"target_lr": 0.1, "total_iterations": 50}
    assert Known().spec(0.2, 90, None) == {"target_lr": 0.2, "total_iterations": 90}
    with pytest.raises(NotImportable, match="target_lr is required"):
        Known(None, 50).spec(None, 90, None)
    with pytest.raises(NotImportable, match="total_iterations is required"):
        Known(0.1).spec(0.2, None, None)


def test_a_shown_text_has_sixty_characters_at_most() -> None:
    """What is longer ends in an ellipsis."""
    assert excerpt("x" * 60) == "x" * 60
    assert excerpt("x" * 61) == "x" * 59 + "…"


def test_an_imported_spec_is_json_whatever_it_has() -> None:
    """What JSON has no form for is refused as a spec, and does not raise anything else."""
    for value in ({1}, b"x", 1j, float("inf"), 10**30):
        with pytest.raises(InvalidSpec):
            spec_of(Imported({"target_lr": value, "total_iterations": 9}).spec)


DEEPSPEED = {
    "warmup_num_steps": 4,
    "total_num_steps": 10,
    "warmup_min_lr": 0.0,
    "warmup_max_lr": 0.1,
    "warmup_type": "log",
    "warmup_min_ratio": 0.1,
    "cos_min_ratio": 0.1,
    "lr_range_test_step_size": 5,
    "lr_range_test_step_rate": 2.0,
}
KERAS = {
    "initial_learning_rate": 0.1,
    "decay_steps": 50,
    "alpha": 0.0,
    "warmup_target": 0.2,
    "warmup_steps": 5,
    "first_decay_steps": 9,
    "t_mul": 2.0,
    "m_mul": 0.5,
    "decay_rate": 0.5,
    "staircase": True,
    "power": 2.0,
    "cycle": False,
    "boundaries": [3, 5],
    "values": [0.1, 0.2, 0.3],
    "end_learning_rate": 0.01,
}
TIMM = {
    "lr_base": 0.1,
    "lr_base_size": 256,
    "lr_base_scale": "sqrt",
    "global_batch_size": 512,
    "epochs": 50,
    "warmup_epochs": 5,
    "warmup_prefix": True,
    "warmup_lr": 0.01,
    "min_lr": 0.001,
    "decay_rate": 0.5,
    "decay_epochs": 9,
    "decay_milestones": [5, 9],
    "lr_k_decay": 1.0,
    "lr_cycle_limit": 1,
    "lr_cycle_mul": 1.0,
    "sched_on_updates": True,
    "updates_per_epoch": 3,
    "cooldown_epochs": 1,
    "lr_decay_fn": "exp",
    "lr_noise": 0,
}
TRANSFORMERS = {
    "num_cycles": 0.5,
    "min_lr": 0.001,
    "timescale": 9,
    "num_decay_steps": 9,
    "num_stable_steps": 9,
    "decay_type": "linear",
    "min_lr_ratio": 0.1,
    "power": 2.0,
    "lr_end": 1e-7,
    "warmup_type": "linear",
}
KINDS: dict[Source, tuple[str, ...]] = {
    "deepspeed": ("WarmupLR", "WarmupDecayLR", "WarmupCosineLR", "LRRangeTest"),
    "keras": ("CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "PolynomialDecay", "PiecewiseConstantDecay"),
    "timm": ("cosine", "tanh", "poly", "step", "multistep", "wsd"),
    "transformers": ("cosine_with_min_lr", "cosine_with_restarts", "polynomial", "inverse_sqrt", "warmup_stable_decay"),
    "torch": ("MultiStepLR", "CyclicLR"),
}


def whole(library: str, kind: str) -> dict[str, Any]:
    """A source with every field that any schedule of the library has."""
    sources: dict[str, dict[str, Any]] = {
        "deepspeed": {"optimizer": {"params": {"lr": 0.1}}, "scheduler": {"type": kind, "params": DEEPSPEED}},
        "keras": {"class_name": kind, "config": KERAS},
        "timm": {"sched": kind, **TIMM},
        "transformers": {
            "max_steps": 100,
            "learning_rate": 0.1,
            "warmup_steps": 5,
            "warmup_ratio": 0.1,
            "lr_scheduler_type": kind,
            "lr_scheduler_kwargs": TRANSFORMERS,
        },
        "torch": {"milestones": {"3": 1}, "gamma": 0.1, "base_lrs": [0.1]}
        if kind == "MultiStepLR"
        else {
            "total_size": 9.0,
            "step_ratio": 0.5,
            "max_lrs": [1.0],
            "mode": "triangular",
            "gamma": 1.0,
            "base_lrs": [0],
        },
    }
    return sources[library]


def damaged(source: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Copies of a source with one field, or one of an object within it, replaced by what does not belong there."""
    for name, value in source.items():
        for other in (
            None,
            -1,
            0.5,
            10**30,
            10**400,
            1e308,
            float("nan"),
            "nan",
            "x",
            True,
            [],
            [[1], "x"],
            {"x": "y"},
        ):
            yield {**source, name: other}
        if isinstance(value, dict):
            yield from ({**source, name: inner} for inner in damaged(value))


@pytest.mark.parametrize(("library", "kind"), [(library, kind) for library in KINDS for kind in KINDS[library]])
def test_a_damaged_source_is_refused_or_imported(library: Source, kind: str) -> None:
    """Whatever a field has in place of its value, nothing is raised but a refusal with its reason."""
    sources = list(damaged(whole(library, kind)))
    assert len(sources) > 30
    for source in sources:
        for known in (Known(), Known(0.1, 100)):
            with suppress(NotImportable, InvalidSpec):
                spec_of(import_schedule(library, source, known).spec)


ARGUMENTS = (
    "o|3|-1|1e400|10**30|{1}|b'x'|1j|...|[1, 'x']|None|'x'|[CosineAnnealingLR(o, 3)]|['x']|1e308 * 10|-x|lambda e: 'x'"
)


@pytest.mark.parametrize("name", ["StepLR", "OneCycleLR", "SequentialLR", "MultiplicativeLR", "LambdaLR", "CyclicLR"])
def test_a_constructor_with_any_arguments_is_refused_or_imported(name: str) -> None:
    """Whatever a text of torch's has as its second and third argument, nothing is raised but a refusal."""
    for second, third in product(ARGUMENTS.split("|"), repeat=2):
        with suppress(NotImportable, InvalidSpec):
            spec_of(import_schedule("torch", f"{name}(o, {second}, {third})", Known(0.1, 100)).spec)
