"""Matching param groups by name, and the weight decay that some of them are not to have, with real optimizers."""

import copy
import logging
import math
from typing import Any

import pytest
import torch

from preheat_client import Preheat
from preheat_client.torch import RemoteLR

DECAY = {
    "target_lr": 0.01,
    "total_iterations": 100,
    "hyperparameters": {"weight_decay": {"value": 0.04, "after_scheduler": {"type": "CosineLR", "min_lr": 0.4}}},
}
"""DINO's: from 0.04 up to 0.4."""
ROLES = [{"name": "muon"}, {"name": "adam", "factor": 0.1}]


def grouped(*groups: dict[str, Any], weight_decay: float = 0.04) -> torch.optim.AdamW:
    """An optimizer with these param groups."""
    made = [{"params": [torch.zeros(1, requires_grad=True)], **group} for group in groups]
    return torch.optim.AdamW(made, lr=1e-3, weight_decay=weight_decay)


def decays(of: torch.optim.Optimizer) -> list[float]:
    """The weight decay of each param group."""
    return [float(group["weight_decay"]) for group in of.param_groups]


def test_a_group_without_weight_decay_keeps_none(preheat: Preheat, caplog: pytest.LogCaptureFixture) -> None:
    """DINO's two groups, and those of transformers' Trainer: only the decayed one is scheduled, which is said once."""
    on = grouped({}, {"weight_decay": 0.0, "name": "no_decay"})
    with caplog.at_level(logging.INFO, "preheat_client"):
        remote = RemoteLR(on, preheat.create(DECAY))
        for _ in range(50):
            on.step()
            remote.step()
        said = [record.getMessage() for record in caplog.records if "weight decay" in record.getMessage()]
    assert decays(on) == pytest.approx([0.4 - 0.36 * (1 + math.cos(0.51 * math.pi)) / 2, 0.0])
    assert said == ["param groups no_decay keep a weight decay of 0: the spec does not name them for its weight_decay"]


def test_an_optimizer_without_any_weight_decay_follows_it(preheat: Preheat) -> None:
    """Where every group is at 0 that is the default of an optimizer, and none is meant."""
    on = grouped({}, {}, weight_decay=0.0)
    RemoteLR(on, preheat.create(DECAY)).step(100)
    assert decays(on) == pytest.approx([0.4, 0.4])


def test_what_a_group_came_with_is_known_after_the_schedule_has_set_a_0(preheat: Preheat) -> None:
    """By a scheduler that is made again, by one that loads a state, and by a resumed run."""
    schedule = preheat.create(
        {
            "target_lr": 0.01,
            "total_iterations": 10,
            "hyperparameters": {"weight_decay": {"value": 0.4, "warmup": {"iterations": 10}}},
        }
    )
    on = grouped({}, {"weight_decay": 0.0})
    RemoteLR(on, schedule, first_iteration=0)
    assert decays(on) == [0.0, 0.0]
    saved = copy.deepcopy(on.state_dict())
    RemoteLR(on, schedule).step(10)
    assert decays(on) == pytest.approx([0.4, 0.0])

    resumed = grouped({}, {"weight_decay": 0.0})
    resumed.load_state_dict(copy.deepcopy(saved))
    RemoteLR(resumed, schedule).step(10)
    assert decays(resumed) == pytest.approx([0.4, 0.0])

    late = grouped({}, {"weight_decay": 0.0})
    remote = RemoteLR(late, schedule)
    late.load_state_dict(saved)
    late.add_param_group({"params": [torch.zeros(1)], "weight_decay": 0.0})
    remote.step(10)
    assert decays(late) == pytest.approx([0.4, 0.0, 0.0])


@pytest.mark.parametrize("named", [("no_decay",), ("decay", "no_decay"), None])
def test_a_group_that_the_spec_names_is_scheduled(preheat: Preheat, named: tuple[str, ...] | None) -> None:
    """Whatever it came with; one that is only a group of the spec is not named for it."""
    weight_decay = {"value": 0.4, **({"param_groups": list(named)} if named else {})}
    spec = {
        **DECAY,
        "param_groups": [{"name": "decay"}, {"name": "no_decay"}],
        "hyperparameters": {"weight_decay": weight_decay},
    }
    on = grouped({"name": "decay"}, {"name": "no_decay", "weight_decay": 0.0})
    RemoteLR(on, preheat.create(spec)).step(10)
    expected: dict[Any, list[float]] = {("no_decay",): [0.04, 0.4], ("decay", "no_decay"): [0.4, 0.4], None: [0.4, 0.0]}
    assert decays(on) == expected[named]


def test_groups_may_share_a_name(preheat: Preheat) -> None:
    """Roles that are split by weight decay: all of a name follow the spec's group of that name."""
    on = grouped(
        {"name": "muon"}, {"name": "muon", "weight_decay": 0.0}, {"name": "adam"}, {"name": "adam", "weight_decay": 0.0}
    )
    remote = RemoteLR(on, preheat.create({**DECAY, "param_groups": ROLES}))
    remote.step(100)
    assert [group["lr"] for group in on.param_groups] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert decays(on) == pytest.approx([0.4, 0.0, 0.4, 0.0])
    on.add_param_group({"params": [torch.zeros(1)], "name": "muon"})
    remote.step(100)
    assert on.param_groups[4]["lr"] == 0.01


def test_an_optimizer_may_have_one_of_the_names_only(preheat: Preheat) -> None:
    """Two optimizers take the groups that they have of one spec."""
    schedule = preheat.create({**DECAY, "param_groups": ROLES})
    muon, adam = grouped({"name": "muon"}, {"name": "muon"}), grouped({"name": "adam"})
    for on in (muon, adam):
        RemoteLR(on, schedule)
    assert [[group["lr"] for group in on.param_groups] for on in (muon, adam)] == [[0.01, 0.01], [0.001]]
