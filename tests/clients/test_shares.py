"""Param groups that come with LRs of their own, under a schedule with one LR for all, by the real torch."""

import copy
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR

from preheat_client import ParamGroupMismatch, Preheat
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer

COSINE = {"target_lr": 0.001, "total_iterations": 20, "after_scheduler": {"type": "CosineAnnealingLR"}}


def grouped(*groups: dict[str, Any]) -> torch.optim.AdamW:
    """An optimizer with these param groups; 1e-3 is the LR of those that have none."""
    return torch.optim.AdamW([{"params": [torch.zeros(1, requires_grad=True)], **group} for group in groups], lr=1e-3)


def lrs(of: torch.optim.Optimizer) -> list[float]:
    """The LR of each param group."""
    return [float(group["lr"]) for group in of.param_groups]


@pytest.mark.parametrize(
    ("groups", "found"),
    [
        ([{"lr": 1e-5}, {"lr": 1e-3}], r"\(0: 1e-05, 1: 0.001\).*at 0.01, 1 times"),
        ([{"lr": 0.0, "name": "frozen"}, {"name": "head"}], r"\(frozen: 0, head: 0.001\).*at 0, 1 times"),
        ([{"lr_scale": 0.5}, {"lr_scale": 1.0}], r"\(0: 0.001 with lr_scale 0.5, 1: 0.001\).*at 0.5, 1 times"),
        ([{"lr_scale": 0.5}], "at 0.5 times"),
    ],
)
def test_lrs_of_their_own_need_a_word(preheat: Preheat, groups: list[dict[str, Any]], found: str) -> None:
    """The error names groups, LRs and every way out, and nothing is set."""
    on = grouped(*groups)
    before = lrs(on)
    with pytest.raises(ParamGroupMismatch, match=f'{found}.*group_lrs="set".*param_groups'):
        RemoteLR(on, preheat.create(COSINE))
    assert lrs(on) == before


@pytest.mark.parametrize("bases", [(1e-5, 1e-3), (1e-3, 3e-4, 0.0), (1e-3, 1e-3)])
def test_scaled_groups_run_as_under_torchs_own_scheduler(preheat: Preheat, bases: tuple[float, ...]) -> None:
    """Each group has its own base, as in torch: the schedule's LR is that of the group with the highest."""
    on, theirs = optimizer(*bases), optimizer(*bases)
    remote = RemoteLR(on, preheat.create(COSINE), first_iteration=0, group_lrs="scale")
    cosine = CosineAnnealingLR(theirs, T_max=20)
    for _ in range(20):
        assert lrs(on) == pytest.approx(lrs(theirs), rel=1e-12, abs=1e-18)
        assert remote.get_last_lr() == lrs(on)
        for each in (on, theirs):
            each.step()
        remote.step()
        cosine.step()


def test_lr_scale_multiplies_as_in_beit_and_mae(preheat: Preheat) -> None:
    """`group["lr"] = lr * group.get("lr_scale", 1)`, bit for bit; those loops do not look at the groups' own LRs."""
    scales = [0.75**depth for depth in range(5, -1, -1)]
    on = grouped(*({"lr_scale": scale} for scale in scales), {})
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC), group_lrs="scale")
    for row in REFERENCE_ROWS:
        assert lrs(on) == [float(row) * scale for scale in [*scales, 1.0]]
        on.step()
        remote.step()


def test_a_checkpoint_of_a_loop_that_multiplied_is_not_multiplied_again(preheat: Preheat) -> None:
    """Its LRs have lr_scale in them already, and torch's initial_lr is not there."""
    on = grouped({"lr_scale": 0.5, "lr": 0.0002}, {"lr": 0.0004})
    RemoteLR(on, preheat.create(REFERENCE_SPEC), group_lrs="scale").step(10)
    assert lrs(on) == [0.005, 0.01]
    at_0 = grouped({"lr_scale": 0.5, "lr": 0.0}, {"lr": 0.0})
    RemoteLR(at_0, preheat.create(REFERENCE_SPEC), group_lrs="scale").step(10)
    assert lrs(at_0) == [0.005, 0.01]


def test_set_runs_all_of_them_at_the_schedules_lr(preheat: Preheat) -> None:
    """Also one that was at 0."""
    on = grouped({"lr": 1e-5}, {"lr": 0.0}, {"lr_scale": 0.5})
    RemoteLR(on, preheat.create(REFERENCE_SPEC), group_lrs="set").step(10)
    assert lrs(on) == [0.01, 0.01, 0.01]


def test_equal_lrs_are_no_lrs_of_their_own(preheat: Preheat) -> None:
    """Whatever they are, also 0 and Tensors: the schedule's LR takes their place."""
    for lr in (0.0, 5, torch.tensor(3.0)):
        on = grouped({"lr": lr}, {"lr": lr})
        RemoteLR(on, preheat.create(REFERENCE_SPEC)).step(10)
        assert lrs(on) == pytest.approx([0.01, 0.01])


def test_the_base_is_initial_lr_once_a_scheduler_has_been_there(preheat: Preheat) -> None:
    """So it is in the checkpoint of a run whose LRs are the scheduled ones, of torch's schedulers and of ours."""
    schedule = preheat.create(REFERENCE_SPEC)
    theirs = grouped({"lr": 1e-4}, {})
    torchs = LambdaLR(theirs, [lambda _: 0.5, lambda n: 0.9**n])
    theirs.step()
    torchs.step()
    ours = grouped({"lr": 1e-4}, {})
    RemoteLR(ours, schedule, group_lrs="scale")
    for saved in (theirs, ours):
        on = grouped({}, {})
        on.load_state_dict(copy.deepcopy(saved.state_dict()))
        RemoteLR(on, schedule, group_lrs="scale").step(10)
        assert lrs(on) == pytest.approx([0.001, 0.01], rel=1e-12)


def test_groups_that_are_added_later_scale_too(preheat: Preheat) -> None:
    """Against the LRs that the others began with; with the LR that another one runs at now they are alike."""
    on = grouped({"lr": 1e-4}, {})
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC), group_lrs="scale")
    remote.step(5)
    parameter = [torch.zeros(1, requires_grad=True)]
    for added in ({}, {"lr": 2e-3}, {"lr": on.param_groups[0]["lr"]}, {"lr": 0.0}):
        on.add_param_group({"params": [parameter[0].clone().detach()], **added})
    remote.step(10)
    assert lrs(on) == pytest.approx([0.001, 0.01, 0.01, 0.02, 0.001, 0.0], rel=1e-12)

    state, optimizers = remote.state_dict(), on.state_dict()
    again = grouped({"lr": 1e-4}, {}, {}, {}, {}, {})
    resumed = RemoteLR(again, preheat.create(REFERENCE_SPEC), group_lrs="scale")
    again.load_state_dict(optimizers)
    resumed.load_state_dict(state)
    again.step()
    resumed.step()
    assert lrs(again) == pytest.approx([float(REFERENCE_ROWS[10]) * share for share in (0.1, 1, 1, 2, 0.1, 0)])


def test_a_frozen_group_may_be_added_while_the_others_are_at_0(preheat: Preheat) -> None:
    """It has the LR that they run at, and yet is not alike."""
    on = grouped({})
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC), 0, group_lrs="scale")
    on.add_param_group({"params": [torch.zeros(1)], "lr": 0.0})
    remote.step(10)
    assert lrs(on) == [0.01, 0.0]


def test_without_a_word_a_group_may_be_added_that_is_no_different(preheat: Preheat) -> None:
    """With the optimizer's LR or with the one that the others run at now; another one raises."""
    on = grouped({})
    remote = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    remote.step(5)
    for added in ({}, {"lr": on.param_groups[0]["lr"]}):
        on.add_param_group({"params": [torch.zeros(1)], **added})
    remote.step(10)
    assert lrs(on) == [0.01] * 3
    on.add_param_group({"params": [torch.zeros(1)], "lr": 0.005})
    with pytest.raises(ParamGroupMismatch, match=r"3: 0.005"):
        remote.step(11)


def test_a_word_without_effect_is_refused(preheat: Preheat) -> None:
    """group_lrs beside param_groups, "scale" of LRs that are all 0, and any other word."""
    groups = preheat.create({**REFERENCE_SPEC, "param_groups": [{"name": "a"}, {"name": "b"}]})
    with pytest.raises(ParamGroupMismatch, match=r"group_lrs \(scale\) must not be given.*\(a, b\)"):
        RemoteLR(grouped({}, {}), groups, group_lrs="scale")
    with pytest.raises(ParamGroupMismatch, match="an LR above 0"):
        RemoteLR(grouped({"lr": 0.0}, {"lr": 0.0}), preheat.create(REFERENCE_SPEC), group_lrs="scale")
    with pytest.raises(ValueError, match=r"group_lrs \('keep'\) must be one of 'scale', 'set'"):
        RemoteLR(grouped({}), preheat.create(REFERENCE_SPEC), group_lrs="keep")  # type: ignore[arg-type]


def test_a_spec_with_param_groups_has_the_word_itself(preheat: Preheat) -> None:
    """What the groups had is overwritten by what the spec says of each."""
    on = grouped({"lr": 1e-5, "lr_scale": 0.5}, {})
    RemoteLR(on, preheat.create({**REFERENCE_SPEC, "param_groups": [{"factor": 0.1}, {}]})).step(10)
    assert lrs(on) == pytest.approx([0.001, 0.01])
