"""timm: LRs by the batch, broken intervals, cool-downs, and arguments that give layers LRs of their own."""

import math
from typing import Any

import pytest

from support.imports import imported, lrs, notes, refusal


@pytest.mark.parametrize(
    ("optimizer", "scale", "lr"),
    [("adamw", "", 0.2), ("lamb", "", 0.2), ("sgd", "", 0.4), ("adamw", "linear", 0.4), ("sgd", "sqrt", 0.2)],
)
def test_the_lr_follows_the_batch_by_its_root_for_ada_and_lamb(optimizer: str, scale: str, lr: float) -> None:
    """train.py: 0.1 for 256 images becomes 0.4 for 1024, or 0.2 by the root."""
    source = {"lr_base": 0.1, "lr_base_scale": scale, "opt": optimizer, "global_batch_size": 1024, "epochs": 100}
    assert imported("timm", source).spec["target_lr"] == pytest.approx(lr)
    by_devices = {**source, "global_batch_size": None, "batch_size": 128, "grad_accum_steps": 2}
    assert imported("timm", by_devices, devices=4).spec["target_lr"] == pytest.approx(lr)


def test_a_base_beside_an_lr_is_named_as_without_effect() -> None:
    """train.py looks at lr_base only where there is no lr."""
    source = {"lr": 0.05, "lr_base": 0.4, "lr_base_size": 512, "global_batch_size": 1024, "epochs": 100}
    assert imported("timm", source).spec["target_lr"] == 0.05
    unused = dict.fromkeys(("lr_base", "lr_base_size"), "is not used by timm beside an lr")
    assert notes("timm", source) == unused
    assert notes("timm", {**source, "lr": None}, target_lr=0.05) == unused


@pytest.mark.parametrize(("size", "unit"), [(2.4, 1), (2.5, 1), (2.5, 3)])
def test_a_step_of_broken_length_is_not_rounded(size: float, unit: int) -> None:
    """The LR lr · rate^⌊t / decay_epochs⌋, in epochs or in updates."""
    source = {"lr": 0.1, "sched": "step", "epochs": 20, "warmup_epochs": 0, "decay_epochs": size, "decay_rate": 0.5}
    source |= {"sched_on_updates": True, "updates_per_epoch": unit} if unit > 1 else {}
    expected = [0.1 * 0.5 ** math.floor(n / (size * unit)) for n in range(20 * unit + 1)]
    assert lrs("timm", source) == pytest.approx(expected)


def test_a_scheduler_without_a_cool_down_has_none() -> None:
    """cooldown_epochs lengthens cosine, tanh, poly, wsd and rsqrt; timm ignores it for the others."""
    source = {"lr": 0.1, "epochs": 20, "warmup_epochs": 0, "cooldown_epochs": 5, "decay_milestones": [5]}
    for sched, total in [("cosine", 25), ("wsd", 25), ("step", 20), ("multistep", 20), ("constant", 20)]:
        found = imported("timm", {**source, "sched": sched, "decay_epochs": 5})
        assert found.spec["total_iterations"] == total
        assert ("cooldown_epochs" in {note.field for note in found.not_carried}) == (total == 20)


def test_rsqrt_falls_and_then_cools_down() -> None:
    """timm/scheduler/wsd_lr.py: (1 + s / warm-up)^−½, times a line down over the last fifth of what follows it."""
    source = {"lr": 0.1, "sched": "rsqrt", "epochs": 24, "warmup_epochs": 4, "warmup_lr": 0.0}
    falls = [(1 + s / 4) ** -0.5 * (1 - max(s - 16, 0) / 4) for s in range(21)]
    assert lrs("timm", source) == pytest.approx([0.025 * n for n in range(4)] + [0.1 * each for each in falls])


def test_updates_of_an_epoch_follow_from_the_data() -> None:
    """Batches of each device are rounded down, as timm's loader drops the last; updates are rounded up."""
    source = {"lr": 0.1, "epochs": 10, "sched_on_updates": True, "batch_size": 16, "grad_accum_steps": 2}
    spec = imported("timm", source, dataset_size=1000).spec
    assert (spec["units"], spec["total_iterations"]) == ({"iterations_per_epoch": 31}, 310)
    assert "updates_per_epoch is required with sched_on_updates" in refusal("timm", source)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"layer_decay": 0.75}, "layer_decay gives each layer an LR of its own"),
        ({"lr": None, "lr_base": 0.1, "batch_size": 128}, "and the source has no global_batch_size"),
        ({"lr": "auto"}, "lr ('auto') must be a number"),
        ({"sched": ["x"]}, "sched (['x']) is not one of cosine"),
        ({"epochs": "inf"}, "epochs (inf) must be a number"),
        ({"lr_warm_restarts": 3}, "lr_warm_restarts may change the LR"),
        ({"opt_kwargs": {"lr": 3}}, "opt_kwargs.lr must be written as lr"),
    ],
)
def test_what_no_import_says_is_refused_by_name(fields: dict[str, Any], reason: str) -> None:
    """With what to give instead."""
    assert reason in refusal("timm", {"epochs": 100, "lr": 1e-3, **fields})


def test_args_yaml_is_read_as_timm_writes_it() -> None:
    """Fields of other schedulers are named as such."""
    text = "epochs: 50\nlr: 0.05\nsched: cosine\nwarmup_epochs: 0\ndecay_rate: 0.1\nlr_noise: null\nseed: 42\n"
    assert imported("timm", text).spec["after_scheduler"]["length"] == 50
    assert notes("timm", text) == {
        "decay_rate": "is not used by cosine",
        "seed": "is not part of a learning-rate schedule",
    }


def test_a_power_of_zero_holds_and_then_falls() -> None:
    """poly_lr.py: (1 − t)^0 is 1 below t_initial, where it is over the LR is min_lr."""
    source = {"lr": 0.1, "sched": "poly", "epochs": 5, "warmup_epochs": 0, "decay_rate": 0, "cooldown_epochs": 2}
    assert lrs("timm", source) == pytest.approx([0.1] * 5 + [0.0] * 3)


def test_milestones_past_the_run_are_never_reached() -> None:
    """The default ones are 90, 180 and 270, for a run of 300 epochs."""
    source = {"lr": 0.1, "sched": "multistep", "warmup_epochs": 0}
    assert imported("timm", {**source, "epochs": 100}).spec["after_scheduler"]["milestones"] == [89]
    assert lrs("timm", {**source, "epochs": 50}) == [0.1] * 51
