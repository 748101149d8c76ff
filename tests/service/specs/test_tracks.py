"""Param groups with schedules of their own, and hyperparameters besides the LR: a column each."""

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD, Adam, lr_scheduler

import support.specs
from preheat.curve import Curve
from preheat.specs import InvalidSpec, parse_spec

curve = partial(support.specs.curve_after, total_iterations=50)
"""The curve of a spec of 50 iterations, the warm-up of 10 included."""


def column(of: Curve, name: str) -> list[float]:
    """Every value of a column, by its CSV header."""
    place = [each.name for each in of.columns].index(name)
    values: list[float] = of.window(0, 51)[:, place].tolist()
    return values


CYCLES = [
    {"type": "OneCycleLR", "max_lr": 0.3, "total_steps": 51},
    {"type": "OneCycleLR", "max_lr": [0.3, 0.1], "total_steps": 51, "three_phase": True, "anneal_strategy": "linear"},
    {"type": "OneCycleLR", "max_lr": 0.3, "total_steps": 51, "base_momentum": 0.7, "max_momentum": [0.8, 0.9]},
    {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7, "step_size_down": 3},
    {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.3, "step_size_up": 7, "mode": "triangular2"},
]


@pytest.mark.parametrize("after", CYCLES, ids=lambda after: after["type"])
@pytest.mark.parametrize("optimizer", [SGD, Adam])
def test_momentum_runs_against_the_lr_as_in_torch(after: dict[str, Any], optimizer: Any) -> None:
    """Every group's momentum (β1 of Adam) is what torch's own scheduler sets at every iteration."""
    groups = [{"params": [torch.zeros(1)], "lr": 0.1} for _ in range(2)]
    on = optimizer(groups, lr=0.1, **({"momentum": 0.5} if optimizer is SGD else {}))
    parameters = {name: value for name, value in after.items() if name != "type"}
    scheduler = getattr(lr_scheduler, after["type"])(on, **parameters)
    expected = []
    for _ in range(51):
        expected.append([group["momentum"] if "momentum" in group else group["betas"][0] for group in on.param_groups])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scheduler.step() if len(expected) < 51 else None
    asked = curve(warmup={"iterations": 0}, param_groups=[{}, {}], after_scheduler=after)
    assert [each.name for each in asked.columns] == ["group_0", "group_1", "group_0.momentum", "group_1.momentum"]
    np.testing.assert_allclose(asked.window(0, 51)[:, 2:], expected, rtol=1e-12)


def test_before_its_cycle_begins_momentum_is_at_its_first() -> None:
    """In the warm-up momentum stands at max_momentum."""
    asked = curve(after_scheduler={"type": "OneCycleLR", "max_lr": 0.3})
    assert column(asked, "default.momentum")[:11] == [0.95] * 11


def test_momentum_stays_as_it_is_where_it_is_not_cycled() -> None:
    """Momentum has no column where cycle_momentum is false, or where its scheduler is inside another."""
    alone = {"type": "OneCycleLR", "max_lr": 0.3, "cycle_momentum": False}
    nested = {"type": "SequentialLR", "milestones": [], "schedulers": [{"type": "OneCycleLR", "max_lr": 0.3}]}
    for after in (alone, nested):
        assert [each.name for each in curve(after_scheduler=after).columns] == ["default"]


def test_triangular2_ends_at_its_first_momentum_when_its_amplitude_is_gone() -> None:
    """Past cycle 1024, where torch overflows, momentum is max_momentum, asked directly or in a window."""
    after = {"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1, "step_size_up": 1, "mode": "triangular2"}
    asked = curve(total_iterations=5000, after_scheduler=after)
    assert asked.lr(4001)[1] == 0.9
    assert asked.window(3990, 4002)[-1, 1] == 0.9


def test_every_hyperparameter_follows_its_own_schedule() -> None:
    """DINO's weight decay goes from 0.04 to 0.4, nanochat's momentum from 0.85 to 0.97, and a clip is held."""
    asked = curve(
        param_groups=[{"name": "decay"}, {"name": "bias"}],
        hyperparameters={
            "weight_decay": {
                "value": 0.04,
                "after_scheduler": {"type": "CosineLR", "min_lr": 0.4},
                "param_groups": ["decay"],
            },
            "momentum": {"value": 0.97, "warmup": {"iterations": 20, "start_lr": 0.85}},
            "gradient_clip": {"value": 1.0},
        },
    )
    assert [each.name for each in asked.columns] == [
        "decay",
        "bias",
        "decay.gradient_clip",
        "bias.gradient_clip",
        "decay.momentum",
        "bias.momentum",
        "decay.weight_decay",
    ]
    cosine = [0.4 + (0.04 - 0.4) * (1 + np.cos(np.pi * n / 50)) / 2 for n in range(51)]
    assert column(asked, "decay.weight_decay") == pytest.approx(cosine, rel=1e-12)
    assert column(asked, "bias.momentum") == pytest.approx([0.85 + 0.12 * min(n / 20, 1) for n in range(51)])
    assert set(column(asked, "bias.gradient_clip")) == {1.0}


def test_a_group_may_have_a_warmup_and_a_scheduler_of_its_own() -> None:
    """YOLO's biases fall to the target while the rest rises to it, and a head decays in steps."""
    asked = curve(
        after_scheduler={"type": "CosineLR"},
        param_groups=[
            {"name": "weights"},
            {"name": "biases", "warmup": {"iterations": 10, "start_lr": 0.5}},
            {"name": "head", "factor": 10.0, "after_scheduler": {"type": "StepLR", "step_size": 20}},
        ],
    )
    cosine = [0.05 * (1 + np.cos(np.pi * (n - 10) / 40)) for n in range(10, 51)]
    assert column(asked, "weights") == pytest.approx([*(0.01 * n for n in range(10)), *cosine])
    assert column(asked, "biases") == pytest.approx([*(0.5 - 0.04 * n for n in range(10)), *cosine])
    steps = [1.0 * 0.1 ** ((n - 10) // 20) for n in range(10, 51)]
    assert column(asked, "head") == pytest.approx([*(0.1 * n for n in range(10)), *steps])


def test_a_group_with_a_warmup_of_its_own_has_its_own_length_left() -> None:
    """The shared cosine ends with the run for every group, however long each warms up, and the answer says so."""
    asked = curve(
        after_scheduler={"type": "CosineAnnealingLR"},
        param_groups=[{"name": "slow"}, {"name": "quick", "warmup": {"iterations": 2}}],
    )
    assert asked.lr(50) == [0.0, 0.0]
    assert column(asked, "quick") == pytest.approx(
        [0.0, 0.05, *(0.05 * (1 + np.cos(np.pi * s / 48)) for s in range(49))], abs=1e-17
    )
    again = parse_spec(asked.schedule.spec.model_dump_json(exclude_none=True))
    assert again == asked.schedule.spec


def test_stepped_and_closed_tracks_stand_side_by_side() -> None:
    """Where one group must be stepped and another need not, any iteration that is asked for first gives the same."""
    fields: dict[str, Any] = {
        "total_iterations": 12_000,
        "param_groups": [
            {"name": "a", "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.9999}},
            {"name": "b", "after_scheduler": {"type": "CosineLR"}},
            {"name": "c"},
        ],
        "hyperparameters": {"weight_decay": {"value": 0.1, "after_scheduler": {"type": "SWALR", "swa_lr": 0.3}}},
    }
    whole = curve(**fields).window(0, 12_001)
    for n in (11_999, 3, 9_000, 4_096, 0):
        assert curve(**fields).lr(n) == whole[n].tolist()
    assert whole[11_999, 0] == pytest.approx(0.1 * 0.9999**11_989)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hyperparameters": {"lr": {"value": 1.0}}}, "hyperparameters.lr must not be lr"),
        ({"hyperparameters": {"Weight decay": {"value": 1.0}}}, "must match"),
        ({"hyperparameters": {"wd": {}}}, "hyperparameters.wd.value is required"),
        (
            {"hyperparameters": {"wd": {"value": 1.0, "param_groups": ["x"]}}},
            '("x") must be a param group (known: default)',
        ),
        ({"hyperparameters": {"wd": {"value": 1.0, "param_groups": ["default"] * 2}}}, "must not name a group twice"),
        (
            {"hyperparameters": {"wd": {"value": 1.0, "warmup": {"iterations": 99}}}},
            "hyperparameters.wd.warmup.iterations (99)",
        ),
        (
            {"hyperparameters": {"wd": {"value": 1.0, "after_scheduler": {"type": "StepLR", "step_size": 0}}}},
            "hyperparameters.wd.after_scheduler.step_size (0) must be ≥ 1",
        ),
        (
            {"hyperparameters": {"momentum": {"value": 0.9}}, "after_scheduler": {"type": "OneCycleLR", "max_lr": 1}},
            "hyperparameters.momentum must not have a schedule beside a scheduler that cycles it",
        ),
        (
            {"param_groups": [{"target_lr": 0.1, "factor": 0.1}]},
            "param_groups[0].factor (0.1) must not be given beside",
        ),
        ({"param_groups": [{"warmup": {"iterations": 51}}]}, "param_groups[0].warmup.iterations (51) must not exceed"),
        (
            {"param_groups": [{"after_scheduler": {"type": "MultiStepLR", "milestones": [41]}}]},
            "param_groups[0].after_scheduler.milestones[0] (41) must not exceed the 40 iterations",
        ),
        (
            {
                "after_scheduler": {
                    "type": "SequentialLR",
                    "milestones": [],
                    "schedulers": [{"type": "OneCycleLR", "max_lr": 0.3, "cycle_momentum": True}],
                }
            },
            "schedulers[0].cycle_momentum (true) must be false where",
        ),
        (
            {
                "hyperparameters": {
                    "wd": {
                        "value": 1.0,
                        "after_scheduler": {"type": "OneCycleLR", "max_lr": 1, "cycle_momentum": True},
                    }
                }
            },
            "hyperparameters.wd.after_scheduler.cycle_momentum (true) must be false where",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    """A contradiction in a group or a hyperparameter is refused by field, value and rule, with its place."""
    with pytest.raises(InvalidSpec) as caught:
        curve(**fields)
    assert message in str(caught.value)
