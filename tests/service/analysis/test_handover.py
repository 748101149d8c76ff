"""Handovers from one schedule to another, against LRs in plain math."""

import math

import pytest

from preheat.analysis.handover import hand_over
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange, NotComparable, SeamRefused
from preheat.schedule import Schedule
from support.specs import COSINE, cosine_lr, curve


def test_keep_says_how_far_it_jumps() -> None:
    """The LRs on both sides of a handover to a longer run, and their ratio."""
    longer = curve(COSINE, total_iterations=2000)
    found = hand_over(curve(COSINE), 500, longer, "keep")
    new_lr = 0.05 * (1 + math.cos(math.pi * 401 / 1900))
    assert found.iteration == 501
    assert (found.groups[0].old_lr, found.groups[0].new_lr) == pytest.approx((cosine_lr(501), new_lr))
    assert found.groups[0].ratio == pytest.approx(new_lr / cosine_lr(501))
    assert not found.groups[0].is_continuous
    assert found.spec == longer.schedule.spec


@pytest.mark.parametrize("min_lr", [0.0, 0.02])
def test_rescale_goes_on_where_it_was(min_lr: float) -> None:
    """The new targets bring the LR to the old one, also where the end LR is absolute and not rescaled."""
    longer = curve(COSINE, total_iterations=2000, after_scheduler={"type": "CosineLR", "min_lr": min_lr})
    found = hand_over(curve(COSINE), 500, longer, "rescale")
    assert found.groups[0].is_continuous
    assert Curve(Schedule(found.spec)).lr(501) == pytest.approx([cosine_lr(501)])
    height = (1 + math.cos(math.pi * 401 / 1900)) / 2
    assert found.spec.target_lr == pytest.approx((cosine_lr(501) - min_lr) / height + min_lr)


def test_every_group_is_rescaled() -> None:
    """Each group goes on from its own LR."""
    old = curve(COSINE, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.3}])
    new = curve(COSINE, total_iterations=3000, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.1}])
    found = hand_over(old, 700, new, "rescale")
    assert Curve(Schedule(found.spec)).lr(701) == pytest.approx(old.lr(701))


def test_refuse_refuses_a_jump_and_nothing_else() -> None:
    """The same schedule under another label hands over without one."""
    with pytest.raises(SeamRefused, match=r"would jump from 0\.05\S+ to 0\.08\S+ at iteration 501"):
        hand_over(curve(COSINE), 500, curve(COSINE, total_iterations=2000), "refuse")
    assert hand_over(curve(COSINE), 500, curve(COSINE, label="another"), "refuse").groups[0].is_continuous


def test_a_run_that_has_ended_goes_on_from_its_last_lr() -> None:
    """A run that is trained to its end has its last LR from then on."""
    old = curve(COSINE, after_scheduler={"type": "CosineLR", "min_lr": 0.01})
    assert hand_over(old, 1000, curve(COSINE, total_iterations=2000), "keep").groups[0].old_lr == 0.01


def test_what_cannot_be_handed_over_is_refused() -> None:
    """Other groups, an iteration outside either run, and an LR that no target reaches have an error each."""
    with pytest.raises(NotComparable, match="the param groups differ: default and x, y"):
        hand_over(curve(COSINE), 5, curve(COSINE, param_groups=[{"name": "x"}, {"name": "y"}]), "keep")
    with pytest.raises(IterationOutOfRange, match=r"iteration \(1001\) must be in 0 … 1000"):
        hand_over(curve(COSINE), 1001, curve(COSINE, total_iterations=2000), "keep")
    with pytest.raises(IterationOutOfRange, match=r"iteration \(500\) must be in 0 … 499"):
        hand_over(curve(COSINE), 500, curve(COSINE, total_iterations=500), "keep")
    table = {"type": "TableLR", "values": [0.3]}
    with pytest.raises(NotComparable, match="no target LR brings the new schedule to"):
        hand_over(curve(COSINE), 500, curve(COSINE, after_scheduler=table), "rescale")
