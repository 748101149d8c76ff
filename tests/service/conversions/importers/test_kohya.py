"""kohya's and diffusers' scripts: transformers' formulas under their arguments' names."""

import math
from typing import Any

import pytest

from support.imports import imported, lrs, notes, refusal


def kohya(**fields: Any) -> dict[str, Any]:
    """100 steps at 0.01, a tenth of them warm-up."""
    return {"learning_rate": 0.01, "lr_warmup_steps": 0.1, "max_train_steps": 100, **fields}


def warmed(heights: list[float]) -> list[float]:
    """LRs: a warm-up of ten, then the heights."""
    return [0.01 * n / 10 for n in range(10)] + [0.01 * each for each in heights]


def test_three_cycles_restart_whatever_their_length() -> None:
    """cosine_with_restarts of 3 cycles over 90 steps, and over 1900 as in kohya_ss#1889."""
    waves = [(1 + math.cos(math.pi * (3 * s / 90 % 1))) / 2 for s in range(90)] + [0.0]
    source = kohya(lr_scheduler="cosine_with_restarts", lr_scheduler_num_cycles=3)
    assert lrs("kohya", source) == pytest.approx(warmed(waves), abs=1e-15)
    long = lrs("kohya", source | {"lr_warmup_steps": 100, "max_train_steps": 2000})
    expected = [0.005 * (1 + math.cos(math.pi * (3 * (s / 1900) % 1))) for s in range(1900)]
    assert long[100:2000] == pytest.approx(expected, abs=1e-15)


def test_cycles_of_a_cosine_with_a_floor_are_half_waves() -> None:
    """cosine_with_min_lr with one cycle goes down once, to lr_scheduler_min_lr_ratio."""
    source = kohya(lr_scheduler="cosine_with_min_lr", lr_scheduler_min_lr_ratio=0.1)
    falls = [0.1 + 0.9 * (1 + math.cos(math.pi * s / 90)) / 2 for s in range(91)]
    assert lrs("kohya", source) == pytest.approx(warmed(falls))


def test_sections_of_a_toml_file_are_flattened() -> None:
    """A decay below 1 is a share of the run; what is left between warm-up and decay is stable."""
    text = (
        "[training]\nlearning_rate = 0.01\nmax_train_steps = 100\n"
        "[schedule]\nlr_scheduler = 'warmup_stable_decay'\nlr_warmup_steps = 10\nlr_decay_steps = 0.2\n"
    )
    falls = [(1 + math.cos(math.pi * k / 20)) / 2 for k in range(21)]
    assert lrs("kohya", text) == pytest.approx(warmed([1.0] * 70 + falls), abs=1e-15)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lr_scheduler_type": "torch.optim.lr_scheduler.StepLR"}, "lr_scheduler_type names a class of another module"),
        ({"lr_scheduler": "adafactor:1e-3"}, "lr_scheduler (adafactor:1e-3) is not one of linear"),
        ({"lr_scheduler": "constant"}, "lr_warmup_steps must be 0 with lr_scheduler constant"),
        ({"lr_scheduler": "cosine", "lr_scheduler_min_lr_ratio": 0.1}, "lr_scheduler_min_lr_ratio is ignored"),
        ({"lr_scheduler": "cosine", "text_encoder_lr": 1e-5}, "text_encoder_lr is another LR than learning_rate"),
        ({"lr_scheduler": "cosine", "optimizer_type": "AdamWScheduleFree"}, "optimizer_type is schedule-free"),
        (
            {"lr_scheduler": "cosine", "warmup_x": 3},
            "warmup_x may change the LR, and an import from kohya does not know it",
        ),
        ({"lr_scheduler": "cosine", "max_train_epochs": 3}, "max_train_epochs counts the images with their repeats"),
    ],
)
def test_what_kohyas_scripts_refuse_or_ignore_is_refused(fields: dict[str, Any], reason: str) -> None:
    """By its name, with the reason."""
    assert reason in refusal("kohya", kohya(**fields))


def test_diffusers_polynomial_ends_at_its_default() -> None:
    """lr_power goes on to get_scheduler, which ends at 1e-7; the number of updates follows from epochs."""
    source = {"learning_rate": 0.01, "lr_scheduler": "polynomial", "lr_power": 2.0, "lr_warmup_steps": 10}
    falls = [(0.01 - 1e-7) * (1 - s / 90) ** 2 + 1e-7 for s in range(91)]
    found = lrs("diffusers", {**source, "max_train_steps": 100})
    assert found == pytest.approx([0.001 * n for n in range(10)] + falls)
    by_epochs = {**source, "num_train_epochs": 3, "train_batch_size": 16, "gradient_accumulation_steps": 2}
    assert imported("diffusers", by_epochs, dataset_size=1000).spec["total_iterations"] == 96
    assert "num_train_epochs" in notes("diffusers", {**by_epochs, "max_train_steps": 100})
    assert "scale_lr multiplies the LR" in refusal("diffusers", {**by_epochs, "max_train_steps": 9, "scale_lr": True})
