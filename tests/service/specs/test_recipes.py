"""Every recipe is a schedule, and has the LRs that its paper or its configuration says."""

import json
import math
from typing import Any

import pytest

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, parse_spec, spec_of
from preheat.specs.duration_text import Unit
from preheat.specs.durations import Units
from preheat.specs.recipes import recipes


def curve(recipe: str, **fields: Any) -> Curve:
    """The curve of a recipe, some fields overridden."""
    return Curve(Schedule(spec_of({"recipe": recipe, **fields})))


GOLDEN: dict[str, dict[int, float]] = {
    "goyal-imagenet-1h": {0: 0.1, 390: 1.65, 780: 3.2, 4679: 3.2, 4680: 0.32, 9360: 0.032, 12480: 0.0032},
    "torchvision-resnet": {29: 0.1, 30: 0.01, 60: 0.001},
    "torchvision-vit-b-16": {0: 9.9e-5, 30: 3e-3, 165: 1.5e-3},
    "torchvision-swin": {0: 1e-5, 20: 1e-3, 160: 5.05e-4},
    "mask-rcnn-1x": {0: 2e-5, 500: 0.01001, 1000: 0.02, 60000: 0.002, 80000: 2e-4},
    "transformer-base": {
        1: 1.746928e-7,
        2000: 3.493856e-4,
        4000: 6.987712e-4,
        8000: 4.941059e-4,
        100000: 1.397542e-4,
    },
    "bert-base": {9999: 9.999e-5, 10000: 9.9e-5, 500000: 5e-5},
    "wav2vec2-base-960h": {
        0: 1e-6,
        16000: 5.05e-5,
        32000: 1e-4,
        160000: 1e-4,
        240000: 2.236068e-5,
        320000: 5e-6,
    },
    "nanogpt-gpt2-124m": {0: 2.998501e-7, 1999: 5.997001e-4, 2000: 6e-4, 301000: 3.3e-4, 600000: 6e-5},
    "pythia-160m": {715: 3e-4, 1430: 6e-4, 72215: 3.3e-4, 143000: 6e-5},
    "pythia-12b": {1430: 1.2e-4, 143000: 1.2e-5},
    "llama-7b": {2000: 3e-4, 250000: 3e-5},
    "llama-65b": {2000: 1.5e-4, 350000: 1.5e-5},
    "llama-2-7b": {1000: 1.5e-4, 2000: 3e-4, 251000: 1.65e-4, 500000: 3e-5},
    "llama-3-405b": {4000: 4e-5, 8000: 8e-5, 604000: 4.04e-5, 1200000: 8e-7, 1200003: 0.0},
    "smollm2-1.7b": {1000: 2.5e-4, 2000: 5e-4, 4716000: 5e-4, 4978000: 2.5e-4, 5240000: 0.0},
    "smollm1-135m": {550000: 8.786797e-4},
    "smollm3-3b": {4198000: 2e-4, 4459000: 1e-4, 4720000: 0.0},
    "olmo-7b-0724": {0: 3e-5, 2500: 1.65e-4, 5000: 3e-4, 476837: 3e-5},
    "olmo2-7b-stage1": {2000: 3e-4},
    "olmo2-7b-stage2": {0: 6.1499e-5, 11931: 0.0},
    "deit": {0: 1e-6, 300: 1e-5, 310: 1e-5},
    "swin-t": {0: 1e-6, 20 * 1251: 1e-3, 300 * 1251: 1e-5},
    "mae-vit-l": {20 * 312: 1.2e-3, 40 * 312: 2.4e-3, 420 * 312: 1.2e-3, 800 * 312: 0.0},
    "convnext-t": {0: 0.0, 20 * 312 - 1: 4e-3, 20 * 312: 4e-3, 300 * 312: 1e-6},
    "megatron-gpt3-example": {430: 6e-5, 430000: 6e-6},
}
"""Values as printed in the sources, or computed from them by hand; most to seven digits."""


@pytest.mark.parametrize("recipe", GOLDEN)
def test_a_recipe_has_the_lrs_of_its_source(recipe: str) -> None:
    """A recipe has the LRs that its source prints or implies, to rel 1e-6."""
    asked = curve(recipe)
    for iteration, lr in GOLDEN[recipe].items():
        assert asked.lr(iteration)[0] == pytest.approx(lr, rel=1e-6, abs=1e-18), iteration


IN_UNITS: list[tuple[str, Unit, dict[float, float]]] = [
    (
        "gpt-3-175b",
        "tokens",
        {187.5e6: 3e-5, 375e6: 6e-5, 130.1875e9: 3.3e-5, 260e9: 6e-6, 280e9: 6e-6, 300e9: 6e-6},
    ),
    ("deepseek-v3", "tokens", {9.99e12: 2.2e-4, 12.15e12: 1.21e-4, 14.3e12: 2.2e-5, 14.5e12: 2.2e-5, 14.7e12: 7.3e-6}),
    ("deepseek-llm-7b", "tokens", {1.59e12: 4.2e-4, 1.61e12: 4.2e-4 * 0.316, 1.81e12: 4.2e-5}),
    ("deepseek-llm-67b", "tokens", {1.59e12: 3.2e-4, 1.81e12: 3.2e-5}),
    ("deepseek-v2", "tokens", {4.8e12: 2.4e-4, 5e12: 2.4e-4 * 0.316, 8e12: 2.4e-4 * 0.316**2}),
    ("minicpm", "tokens", {0.9e12: 0.01, 1e12 + 5000 * 3.93e6: 0.005}),
    ("goyal-imagenet-1h", "epoch", {5: 3.2, 29.9: 3.2, 30: 0.32}),
]


@pytest.mark.parametrize(("recipe", "unit", "values"), IN_UNITS, ids=[name for name, _, _ in IN_UNITS])
def test_a_recipe_that_is_stated_in_other_units_has_its_lrs_there(
    recipe: str, unit: Unit, values: dict[float, float]
) -> None:
    """After an amount of tokens or epochs the LR is the source's, as closely as the nearest iteration allows."""
    asked = curve(recipe)
    units = asked.schedule.spec.units or Units()
    for amount, lr in values.items():
        assert asked.lr(units.iterations(unit, amount))[0] == pytest.approx(lr, rel=2e-4), amount


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_whole(name: str) -> None:
    """A recipe parses, names its source, carries its name as label, and is its own normal form."""
    recipe = recipes()[name]
    asked = curve(name)
    assert recipe.source
    assert recipe.title
    assert asked.schedule.spec.label == name
    assert asked.has_closed_form
    assert all(lr >= 0 for lr in asked.lr(asked.total_iterations))
    assert parse_spec(asked.schedule.spec.model_dump_json(exclude_none=True)) == asked.schedule.spec


def test_hyperparameters_of_recipes_end_where_they_should() -> None:
    """DINO's weight decay and teacher momentum, YOLO's biases and nanochat's momentum are their sources'."""
    dino = curve("dino-vit-s")
    ends = dict(zip([column.name for column in dino.columns], dino.lr(dino.total_iterations), strict=True))
    assert ends == pytest.approx(
        {
            "regularized": 1e-6,
            "not_regularized": 1e-6,
            "regularized.weight_decay": 0.4,
            "not_regularized.weight_decay": 0.0,
            "regularized.ema_momentum": 1.0,
            "not_regularized.ema_momentum": 1.0,
        }
    )
    yolo = curve("ultralytics-yolo")
    starts = dict(zip([column.name for column in yolo.columns], yolo.lr(0), strict=True))
    assert starts == pytest.approx({"weights": 0.0, "biases": 0.1, "weights.momentum": 0.8, "biases.momentum": 0.8})
    nanochat = curve("nanochat")
    momentum = [nanochat.lr(n)[1] for n in (0, 400, 1750, 5000)]
    assert momentum == pytest.approx([0.85, 0.97, 0.97, 0.9])


def test_dinos_weight_decay_is_that_of_its_first_group() -> None:
    """At every iteration a half cosine from 0.04 to 0.4 in the decayed group, and 0 in that of biases and norms."""
    dino = curve("dino-vit-s", total_iterations=1000, warmup=10)
    names = [column.name for column in dino.columns]
    rows = dino.window(0, 1001)
    expected = [0.4 + (0.04 - 0.4) * (1 + math.cos(math.pi * n / 1000)) / 2 for n in range(1001)]
    assert rows[:, names.index("regularized.weight_decay")].tolist() == pytest.approx(expected, rel=1e-12)
    assert not rows[:, names.index("not_regularized.weight_decay")].any()


@pytest.mark.parametrize("warmup_epochs", [0, 3, 5, 40])
@pytest.mark.parametrize("per_epoch", [1, 5, 34, 700])
def test_ultralytics_warms_up_for_a_hundred_iterations_at_least(warmup_epochs: int, per_epoch: int) -> None:
    """Its trainer's interpolation to the LR of the epoch, over max(epochs · batches, 100) iterations."""
    asked = curve(
        "ultralytics-yolo",
        target_lr=1e-4,
        units={"iterations_per_epoch": per_epoch},
        total_iterations="200ep",
        warmup=f"{warmup_epochs}ep",
    )
    length = max(round(warmup_epochs * per_epoch), 100) if warmup_epochs else 0
    for n in range(0, 200 * per_epoch, max(per_epoch // 3, 1)):
        of_epoch = 1e-4 * (max(1 - n // per_epoch / 200, 0) * (1 - 0.01) + 0.01)
        expected = of_epoch * n / length if n < length else of_epoch
        assert asked.lr(n)[0] == pytest.approx(expected, rel=1e-12), n


def test_a_warmup_that_is_a_number_is_merged_with_the_recipes() -> None:
    """It is the iterations of the recipe's warm-up, whose other fields stay."""
    number, fields = curve("convnext-t", warmup=100), curve("convnext-t", warmup={"iterations": 100})
    assert number.schedule.id == fields.schedule.id
    assert number.schedule.spec.warmup.convention == "n/(W-1)"


def test_any_field_of_a_recipe_can_be_overridden() -> None:
    """A value replaces the recipe's, an object is merged with it, and a scheduler of another type starts afresh."""
    asked = curve("llama-2-7b", target_lr=1e-3, warmup={"iterations": "1%"}, label="mine").schedule.spec
    assert (asked.target_lr, asked.warmup.iterations, asked.label) == (1e-3, 5000, "mine")
    assert asked.after_scheduler is not None
    assert asked.after_scheduler.model_dump()["min_ratio"] == 0.1
    merged = curve("llama-2-7b", after_scheduler={"exponent": 2.0}).schedule.spec.after_scheduler
    assert merged is not None
    assert merged.model_dump()["min_ratio"] == 0.1
    afresh = curve("llama-2-7b", after_scheduler={"type": "WSDLR"}).schedule.spec.after_scheduler
    assert afresh is not None
    assert afresh.model_dump()["min_ratio"] is None


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    """A mistyped recipe is refused with the nearest name, and one that is no text by its type."""
    with pytest.raises(
        InvalidSpec, match=r'recipe \("llama-3-405"\) is not a known recipe; did you mean llama-3-405b\?'
    ):
        curve("llama-3-405")
    with pytest.raises(InvalidSpec, match=r"recipe .* must be a string"):
        parse_spec(json.dumps({"recipe": 3, "target_lr": 1, "total_iterations": 3}))


def test_what_is_wrong_beside_a_recipe_is_found() -> None:
    """A field that contradicts the recipe's own is refused as in any spec."""
    with pytest.raises(InvalidSpec, match=r"warmup.iterations \(600000\) must not exceed total_iterations \(500000\)"):
        curve("llama-2-7b", warmup={"iterations": 600000})
