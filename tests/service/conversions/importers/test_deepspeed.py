"""DeepSpeed: its five schedulers by their own formulas, one update late, and "auto" filled in."""

import math
from typing import Any

import pytest

from support.imports import imported, lrs, notes, refusal


def config(kind: str, **params: Any) -> dict[str, Any]:
    """A configuration with an optimizer at 0.5."""
    return {"optimizer": {"params": {"lr": 0.5}}, "scheduler": {"type": kind, "params": params}}


AUTO = dict.fromkeys(("warmup_min_lr", "warmup_max_lr", "warmup_num_steps", "total_num_steps"), "auto")


def test_auto_is_what_the_caller_knows() -> None:
    """Trainer fills in the LR, the warm-up and the length; what nobody knows is named, all at once."""
    known: dict[str, Any] = {"target_lr": 1e-3, "warmup_iterations": 4}
    found = lrs("deepspeed", {"scheduler": {"type": "WarmupDecayLR", "params": AUTO}}, total_iterations=10, **known)
    rise = [0.0, 0.0, 1e-3 * math.log(2, 4), 1e-3 * math.log(3, 4), 1e-3]
    assert found == pytest.approx(rise + [1e-3 * (10 - n + 1) / 6 for n in range(5, 11)])
    by_data = imported(
        "deepspeed",
        {"scheduler": {"type": "WarmupDecayLR", "params": AUTO}, "gradient_accumulation_steps": 2},
        dataset_size=1000,
        epochs=3,
        batch_size=16,
        **known,
    )
    assert by_data.spec["total_iterations"] == 96
    message = refusal("deepspeed", {"scheduler": {"type": "WarmupDecayLR", "params": AUTO}})
    assert message.startswith("target_lr, warmup_iterations, total_iterations required: scheduler.params.warmup_max_lr")


def test_an_optimizers_lr_that_is_ignored_is_named() -> None:
    """WarmupLR has a peak of 1e-3 of its own (DeepSpeed#7303): the 5e-7 that the user gave is not it."""
    source = {
        "optimizer": {"params": {"lr": 5e-7}},
        "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 1}},
    }
    assert imported("deepspeed", source, total_iterations=100).spec["target_lr"] == 1e-3
    reason = notes("deepspeed", source, total_iterations=100)["optimizer.params.lr"]
    assert reason == "is ignored by DeepSpeed: WarmupLR sets LRs of its own, up to 0.001"


@pytest.mark.parametrize("second", [None, 5])
def test_one_cycle_goes_up_and_down_once_and_decays(second: int | None) -> None:
    """OneCycle of deepspeed/runtime/lr_schedules.py: iteration n is at n of the cycle, then min / (1 + rate · k)."""
    params = {"cycle_min_lr": 0.1, "cycle_max_lr": 1.0, "cycle_first_step_size": 7, "cycle_second_step_size": second}
    down = second or 7
    expected = [0.1 + 0.9 * (n / 7 if n <= 7 else (7 + down - n) / down) for n in range(7 + down)]
    expected += [0.1 / (1 + 0.5 * (n - 7 - down) / 3) for n in range(7 + down, 31)]
    source = config("OneCycle", **params, decay_step_size=3, decay_lr_rate=0.5)
    assert lrs("deepspeed", source, total_iterations=30) == pytest.approx(expected)
    assert lrs("deepspeed", config("OneCycle", **params), total_iterations=30)[20:] == pytest.approx([0.1] * 11)


@pytest.mark.parametrize("shape", ["log", "linear"])
def test_a_cosine_with_a_warmup_ratio_begins_at_zero(shape: str) -> None:
    """Before its first step DeepSpeed sets 0, whatever warmup_min_ratio is; the cosine is one step ahead."""
    source = config("WarmupCosineLR", total_num_steps=10, warmup_num_steps=4, warmup_min_ratio=0.2, warmup_type=shape)
    rise = [math.log(n, 4) if shape == "log" else (n - 1) / 4 for n in range(1, 5)]
    wave = [1e-4 + (1 - 1e-4) * (1 + math.cos(math.pi * s / 6)) / 2 for s in range(1, 7)]
    expected = [0.0, *(0.5 * (0.2 + 0.8 * each) for each in rise), *(0.5 * each for each in wave)]
    assert lrs("deepspeed", source) == pytest.approx(expected)


def test_a_decay_ends_at_the_warmups_minimum() -> None:
    """WarmupDecayLR goes from warmup_min_lr to the peak and back to it."""
    source = config(
        "WarmupDecayLR",
        total_num_steps=10,
        warmup_num_steps=4,
        warmup_type="linear",
        warmup_min_lr=0.2,
        warmup_max_lr=1.0,
    )
    expected = [0.2, 0.2, 0.4, 0.6, 0.8, 1.0, *(0.2 + 0.8 * (10 - k) / 6 for k in range(5, 12))]
    assert lrs("deepspeed", source, total_iterations=12) == pytest.approx([*expected[:12], 0.2])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (config("WarmupLR", total_num_steps=3), "scheduler.params.total_num_steps is not a parameter of WarmupLR"),
        (
            config("WarmupCosineLR", warmup_max_lr=1),
            "scheduler.params.warmup_max_lr is not a parameter of WarmupCosineLR",
        ),
        (config("OneCycle", cycle_min_lr=0.1), "scheduler.params.cycle_max_lr (None) must be a number"),
        (
            config("OneCycle", cycle_min_lr=0.1, cycle_max_lr=1, cycle_first_stair_count=3),
            "cycle_first_stair_count has no effect",
        ),
        ({**config("WarmupLR"), "lr_extra": 3}, "lr_extra may change the LR"),
    ],
)
def test_a_parameter_that_deepspeed_does_not_have_is_refused(source: dict[str, Any], reason: str) -> None:
    """By its name, with those that there are."""
    assert reason in refusal("deepspeed", source, total_iterations=30)


def test_json_may_have_comments_and_trailing_commas() -> None:
    """As people keep their DeepSpeed configurations."""
    text = '{ // the schedule\n "scheduler": {"type": "WarmupLR", /* slow */ "params": {"warmup_num_steps": 4,},},\n}'
    assert imported("deepspeed", text, total_iterations=9).spec["warmup"]["iterations"] == 4
