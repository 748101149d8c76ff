"""detectron2 and MMEngine: LRs as functions of the share of the run, and as factors that act within windows."""

import math
from typing import Any

import pytest

from support.imports import lrs, notes, refusal


def solver(**fields: Any) -> dict[str, Any]:
    """A run of 200 iterations with 20 of warm-up."""
    return {"SOLVER": {"BASE_LR": 0.02, "MAX_ITER": 200, "STEPS": "(100, 150)", "WARMUP_ITERS": 20, **fields}}


def cosine(x: float, low: float = 0.0) -> float:
    """Half a wave from 0.02 to an end LR."""
    return low + (0.02 - low) * (1 + math.cos(math.pi * x)) / 2


def test_detectron2s_warmup_takes_the_place_of_the_steps() -> None:
    """From a thousandth up to BASE_LR at 20; steps count from 0, and beyond MAX_ITER are ignored, by name."""
    rise = [0.02 * (0.001 + 0.999 * n / 20) for n in range(20)]
    steps = [0.02 * 0.1 ** ((n >= 100) + (n >= 150)) for n in range(20, 201)]
    assert lrs("detectron2", solver()) == pytest.approx(rise + steps)
    mistake = solver(STEPS=[210_000, 250_000])
    assert lrs("detectron2", mistake) == pytest.approx(rise + [0.02] * 181)
    assert notes("detectron2", mistake)["SOLVER.STEPS"].startswith("(210000, 250000) are ignored by detectron2")


def test_detectron2s_cosine_is_under_way_when_its_warmup_ends() -> None:
    """The warm-up ends where the cosine is by then; with RESCALE_INTERVAL the cosine begins there."""
    running = solver(LR_SCHEDULER_NAME="WarmupCosineLR", BASE_LR_END=0.002)
    peak = cosine(0.1, 0.002)
    rise = [0.02 * 0.001 * (1 - n / 20) + peak * n / 20 for n in range(20)]
    assert lrs("detectron2", running) == pytest.approx(rise + [cosine(n / 200, 0.002) for n in range(20, 201)])
    rescaled = solver(LR_SCHEDULER_NAME="WarmupCosineLR", RESCALE_INTERVAL=True)
    rise = [0.02 * (0.001 + 0.999 * n / 20) for n in range(20)]
    assert lrs("detectron2", rescaled) == pytest.approx(rise + [cosine(s / 180) for s in range(181)], abs=1e-15)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"_BASE_": "x.yaml", **solver()}, "_BASE_ has more fields in another file"),
        (solver(WARMUP_ITERS=200), "SOLVER.WARMUP_ITERS (200) must be below MAX_ITER (200)"),
        (solver(BIAS_LR_FACTOR=2.0), "SOLVER.BIAS_LR_FACTOR gives biases an LR of their own"),
        (solver(REFERENCE_WORLD_SIZE=8), "SOLVER.REFERENCE_WORLD_SIZE"),
        (solver(STEPS=(10,)), "SOLVER.STEPS must lie after WARMUP_ITERS"),
        (solver(LR_MULTIPLIER=3), "SOLVER.LR_MULTIPLIER may change the LR"),
    ],
)
def test_what_detectron2_takes_from_elsewhere_is_refused(source: dict[str, Any], reason: str) -> None:
    """By its name, with the reason."""
    assert reason in refusal("detectron2", source)


def test_mmengines_windows_act_one_after_the_other() -> None:
    """In mmpretrain's DeiT a warm-up of 5 epochs per iteration is at its end at 5 E − 1; the cosine steps by epoch."""
    source = {
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 0.3}, "clip_grad": {"max_norm": 1}},
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 1e-3, "by_epoch": True, "end": 5, "convert_to_iter_based": True},
            {"type": "CosineAnnealingLR", "eta_min": 1e-5, "by_epoch": True, "begin": 5, "end": 20},
        ],
        "train_cfg": {"by_epoch": True, "max_epochs": 20},
        "train_dataloader": {"batch_size": 10},
    }
    rise = [0.3 * (1e-3 + 0.999 * n / 9) for n in range(10)]
    falls = [1e-5 + (0.3 - 1e-5) * (1 + math.cos(math.pi * min(n // 2 - 5, 14) / 15)) / 2 for n in range(10, 41)]
    found = lrs("mmengine", source, dataset_size=20)
    assert found[:40] == pytest.approx((rise + falls)[:40])
    assert "dataset_size is required" in refusal("mmengine", source)


def test_mmengines_python_file_is_read_and_not_run() -> None:
    """A warm-up and milestones in iterations, with names above; other names of the file mean nothing."""
    text = (
        "max_iters = 60\nlr = 0.3\npipeline = [dict(type='Load'), build()]\n"
        "optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=lr))\n"
        "param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=11),\n"
        "    dict(type='MultiStepLR', by_epoch=False, milestones=[30, 40], gamma=0.1)]\n"
        "train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)\n"
    )
    expected = [0.3 * (0.1 + 0.9 * min(n / 10, 1)) * 0.1 ** ((n >= 30) + (n >= 40)) for n in range(61)]
    assert lrs("mmengine", text) == pytest.approx(expected)
    assert set(notes("mmengine", text)) == {"optim_wrapper.type", "optim_wrapper.optimizer.type"}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"lr_config": {"policy": "step"}}, "lr_config is MMCV 1's"),
        ({"_base_": ["x.py"]}, "_base_ has more fields in other files"),
        ({"param_scheduler": [{"type": "OneCycleLR"}]}, "param_scheduler[0].type (OneCycleLR) is not one of LinearLR"),
        (
            {"param_scheduler": [{"type": "StepLR", "step_size": 3, "lr_x": 3}]},
            "param_scheduler.lr_x may change the LR",
        ),
        (
            {"optim_wrapper": {"optimizer": {"lr": 0.1}, "paramwise_cfg": {"bias_lr_mult": 2}}},
            "paramwise_cfg gives param groups LRs of their own",
        ),
    ],
)
def test_what_mmengine_takes_from_elsewhere_is_refused(fields: dict[str, Any], reason: str) -> None:
    """By its name, with the reason."""
    whole = {
        "optim_wrapper": {"optimizer": {"lr": 0.1}},
        "param_scheduler": [{"type": "StepLR", "step_size": 3}],
        "train_cfg": {"max_epochs": 9},
    }
    assert reason in refusal("mmengine", {**whole, **fields})
