"""transformers, axolotl and LLaMA-Factory: their LRs by their own formulas, their lengths by Trainer's rounding."""

import math
from typing import Any

import pytest

from support.imports import imported, lrs, notes, refusal


def restarts(cycles: int, warmup: int, total: int, lr: float) -> list[float]:
    """The function _get_cosine_with_hard_restarts_schedule_with_warmup_lr_lambda, in plain math."""
    values = []
    for n in range(total + 1):
        p = (n - warmup) / max(1, total - warmup)
        wave = 0.0 if p >= 1 else max(0.0, 0.5 * (1 + math.cos(math.pi * ((float(cycles) * p) % 1.0))))
        values.append(lr * (n / max(1, warmup) if n < warmup else wave))
    return values


def with_floor(warmup: int, total: int, lr: float, rate: float, start: float | None = None) -> list[float]:
    """The schedule cosine_warmup_with_min_lr, in plain math."""
    values = []
    for n in range(total + 1):
        rise = (n + 1) / max(1, warmup) if start is None else start + (1 - start) * n / max(1, warmup - 1)
        wave = 0.5 * (1 + math.cos(math.pi * (n - warmup + 1) / max(1, total - warmup)))
        values.append(lr * (rise if n < warmup else max(0.0, wave * (1 - rate) + rate)))
    return values


@pytest.mark.parametrize(("cycles", "warmup", "total"), [(3, 100, 2000), (3, 10, 100), (7, 10, 100), (49, 2, 100)])
def test_restarts_need_not_divide_the_run(cycles: int, warmup: int, total: int) -> None:
    """Cycles of a broken length, and those at whose ends transformers' own product is rounded, have its LRs."""
    source = {
        "learning_rate": 0.01,
        "max_steps": total,
        "warmup_steps": warmup,
        "lr_scheduler_type": "cosine_with_restarts",
        "lr_scheduler_kwargs": {"num_cycles": cycles},
    }
    assert lrs("transformers", source) == pytest.approx(restarts(cycles, warmup, total, 0.01), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("warmup", "start"), [(0, None), (1, None), (7, None), (7, 0.2)])
def test_a_floor_without_a_warmup_is_not_late(warmup: int, start: float | None) -> None:
    """cosine_warmup_with_min_lr takes its first step of the decay at iteration 0 where warmup_steps is 0."""
    own = {"min_lr_rate": 0.1} | ({} if start is None else {"warmup_lr_rate": start})
    source = {
        "learning_rate": 0.01,
        "max_steps": 60,
        "warmup_steps": warmup,
        "lr_scheduler_type": "SchedulerType.COSINE_WARMUP_WITH_MIN_LR",
        "lr_scheduler_kwargs": own,
    }
    assert lrs("transformers", source) == pytest.approx(with_floor(warmup, 60, 0.01, 0.1, start), rel=1e-9)


def test_the_number_of_updates_is_rounded_as_trainer_does() -> None:
    """1000 samples, batch 16, accumulation 2, 3 epochs: ⌈1000 / 16⌉ = 63 batches, ⌈63 / 2⌉ = 32 updates, 96 in all."""
    source = {"num_train_epochs": 3, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 2}
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, 96),
        ({"devices": 4}, 24),
        ({"epochs": 0.5}, 16),
        ({"batch_size": 8}, 189),
        ({"accumulation": 1}, 189),
    ]
    for known, total in cases:
        assert imported("transformers", source, dataset_size=1000, **known).spec["total_iterations"] == total
    dropped = {**source, "dataloader_drop_last": True}
    assert imported("transformers", dropped, dataset_size=1000).spec["total_iterations"] == 93
    assert "the source has 3 epochs and no max_steps: give total_iterations, or dataset_size" in refusal(
        "transformers", source
    )


@pytest.mark.parametrize("steps", [1000, "1000", 1000.0, "1e3"])
def test_a_number_may_be_text_or_end_in_point_zero(steps: Any) -> None:
    """max_steps is 1000 in every form in which arguments are saved."""
    assert imported("transformers", {"max_steps": steps}).spec["total_iterations"] == 1000


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            {"lr_scheduler": "cosine"},
            "does not know it (it is a field of axolotl, kohya, diffusers)",
        ),
        ({"cosine_min_lr_ratio": 0.1}, "cosine_min_lr_ratio may change the LR"),
        ({"lr_scheduler_num_cycles": 3}, "lr_scheduler_num_cycles may change the LR"),
        ({"trainer": {"warmup_epochs": 3}}, "trainer.warmup_epochs may change the LR"),
        ({"lr_scheduler_kwargs": "min_lr=0.00001"}, "lr_scheduler_kwargs must be an object, or the JSON of one"),
        (
            {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"decay_ratio": 0.1}},
            "lr_scheduler_kwargs.decay_ratio is not a parameter of warmup_stable_decay (it has decay_type",
        ),
        (
            {"lr_scheduler_type": "polynomial", "learning_rate": 1e-8},
            "lr_end (1e-07) must be smaller than the learning rate (1e-08)",
        ),
        ({"deepspeed": {"scheduler": {"type": "WarmupLR"}}}, "deepspeed.scheduler replaces lr_scheduler_type"),
        ({"optim_args": "lr=3"}, "optim_args may change the LR"),
        ({"accelerator_config": {"split_batches": True}}, "accelerator_config.split_batches"),
        ({"T_max": 90}, "T_max may change the LR"),
        ({"power": 2.0}, "power may change the LR"),
        (
            {"_target_": 3},
            "_target_ may change the LR, and an import from transformers does not know it (it is a field",
        ),
        ({"class_name": "WarmUp", "config": None}, "class_name may change the LR"),
        ({"SOLVER": [1]}, "SOLVER may change the LR"),
    ],
)
def test_a_field_that_may_change_the_lr_is_refused_by_name(source: dict[str, Any], reason: str) -> None:
    """No import leaves out what another library, or another field of this one, would do to the LR."""
    assert reason in refusal("transformers", {"max_steps": 100, **source})


def test_what_trainer_ignores_is_named() -> None:
    """Epochs beside max_steps, a ratio beside steps, arguments of a constant; and what is harmless or not known."""
    source = {
        "max_steps": 100,
        "num_train_epochs": 3,
        "warmup_steps": 10,
        "warmup_ratio": 0.5,
        "lr_scheduler_type": "constant_with_warmup",
        "lr_scheduler_kwargs": {"num_cycles": 3},
        "deepspeed": {"zero_optimization": {"stage": 2}},
        "save_steps": 500,
        "flavour": "x",
        "my_lr": None,
    }
    assert notes("transformers", source) == {
        "num_train_epochs": "is ignored by Trainer beside max_steps",
        "warmup_ratio": "is ignored by Trainer beside warmup_steps",
        "lr_scheduler_kwargs": "is ignored by get_scheduler for constant_with_warmup",
        "deepspeed": "has no scheduler, and is not part of a learning-rate schedule",
        "save_steps": "is not part of a learning-rate schedule",
        "flavour": "is not known: check that it does not change the LR",
    }


def test_a_trainer_state_has_the_lrs_that_were_logged() -> None:
    """trainer_state.json: the LR of each logged step, and a word on what is between them."""
    log = [{"step": step, "learning_rate": 0.1 - step / 1000, "loss": 1.0} for step in (10, 20, 30)]
    state = {"log_history": [*log, {"step": 30, "train_runtime": 1.0}], "max_steps": 40, "global_step": 30}
    found = lrs("transformers", state)
    assert [found[step] for step in (10, 15, 20, 30, 40)] == pytest.approx([0.09, 0.085, 0.08, 0.07, 0.07])
    assert "the LRs of 3 iterations: between them" in notes("transformers", state)["log_history"]


def axolotl(**fields: Any) -> dict[str, Any]:
    """A configuration of axolotl with 100 steps, 10 of them warm-up."""
    return {"learning_rate": 0.01, "lr_scheduler": "cosine", "warmup_steps": 10, "max_steps": 100, **fields}


def cosine(n: int, end: int = 100) -> float:
    """The height of a cosine after a warm-up of 10."""
    return (1 + math.cos(math.pi * min((n - 10) / (end - 10), 1))) / 2


def test_axolotls_schedules_have_its_formulas() -> None:
    """A floor, a floor reached early, a quadratic warm-up and rex: axolotl/utils/schedulers.py in plain math."""
    floor = [n / 10 if n < 10 else 0.9 * cosine(n) + 0.1 for n in range(101)]
    early = [n / 10 if n < 10 else 0.9 * cosine(n, 80) + 0.1 for n in range(101)]
    quadratic = [(n / 10) ** 2 if n < 10 else cosine(n) for n in range(101)]
    z = [1 - (n + 1 - 10) / 90 for n in range(101)]
    rex = [(n + 1) / 10 if n < 9 else 0.1 + 0.9 * z[n] / (0.1 + 0.9 * z[n]) if n < 99 else 0.1 for n in range(101)]
    cases: list[tuple[dict[str, Any], list[float]]] = [
        ({"cosine_min_lr_ratio": 0.1}, floor),
        ({"cosine_min_lr_ratio": 0.1, "cosine_constant_lr_ratio": 0.8}, early),
        ({"lr_quadratic_warmup": True}, quadratic),
        ({"lr_scheduler": "rex", "cosine_min_lr_ratio": 0.1}, rex),
    ]
    for fields, expected in cases:
        assert lrs("axolotl", axolotl(**fields)) == pytest.approx([0.01 * each for each in expected], abs=1e-15)


def test_axolotls_yaml_is_read_as_it_is() -> None:
    """100 steps of warm-up are a tenth of 1000; the warm-up's default is 3 %, at most 100 steps, and 1 becomes 2."""
    text = "base_model: x\nlearning_rate: 0.0002\nlr_scheduler: cosine\nwarmup_ratio: 0.1\nlora_r:\nbf16: auto\n"
    assert imported("axolotl", text, total_iterations=1000).spec == {
        "target_lr": 2e-4,
        "total_iterations": 1000,
        "warmup": {"iterations": 100},
        "after_scheduler": {"type": "CosineLR", "num_cycles": 0.5},
    }
    for total, warmup in [(1000, 30), (10_000, 100), (50, 2), (20, 0)]:
        spec = imported("axolotl", {"learning_rate": 0.1}, total_iterations=total).spec
        assert spec["warmup"]["iterations"] == warmup


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"jagged_restart_steps": 10}, "jagged_restart_steps restarts the warm-up"),
        ({"embedding_lr": 0.1}, "embedding_lr may change the LR"),
        ({"deepspeed": {"scheduler": {"type": "WarmupLR"}}}, "deepspeed.scheduler replaces lr_scheduler"),
        (
            {"lr_scheduler": "linear", "cosine_min_lr_ratio": 0.1},
            "cosine_min_lr_ratio has no effect with lr_scheduler linear",
        ),
        ({"cosine_constant_lr_ratio": 0.8}, "cosine_constant_lr_ratio has no effect without cosine_min_lr_ratio"),
        ({"warmup_ratio": 0.1}, "warmup_ratio must not stand beside warmup_steps"),
        ({"max_steps": None, "sample_packing": True}, "sample_packing makes the number of steps depend"),
    ],
)
def test_what_axolotl_ignores_or_no_spec_says_is_refused(fields: dict[str, Any], reason: str) -> None:
    """By its name, with the reason."""
    assert reason in refusal("axolotl", axolotl(**fields))


def test_llama_factorys_wsd_holds_for_a_third() -> None:
    """A third of what follows the warm-up, rounded down, at the peak; then a cosine over the rest."""
    source = {
        "stage": "sft",
        "learning_rate": 0.1,
        "lr_scheduler_type": "warmup_stable_decay",
        "warmup_steps": 10,
        "max_steps": 100,
    }
    wave = [(1 + math.cos(math.pi * (n - 40) / 60)) / 2 for n in range(40, 101)]
    expected = [0.1 * each for each in [n / 10 for n in range(10)] + [1.0] * 30 + wave]
    assert lrs("llama-factory", source) == pytest.approx(expected, abs=1e-15)
    assert "loraplus_lr_ratio gives LoRA's B matrices" in refusal("llama-factory", {**source, "loraplus_lr_ratio": 16})
