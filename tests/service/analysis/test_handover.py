"""Handovers from one schedule to another, against LRs in plain math."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from after_schedulers import ANY
from preheat.analysis.handover import Place, hand_over, rewarm
from preheat.curve import Curve
from preheat.errors import HandoverRefused, IterationOutOfRange, NotComparable
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec
from support.specs import COSINE, content, cosine_lr, curve, curve_after, first_column


def test_keep_says_how_far_it_jumps() -> None:
    """The LRs on both sides of a handover to a longer run, and their ratio."""
    longer = curve(COSINE, total_iterations=2000)
    found = hand_over(curve(COSINE), Place(500, 500), longer, "keep")
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
    found = hand_over(curve(COSINE), Place(500, 500), longer, "rescale")
    assert found.groups[0].is_continuous
    assert Curve(Schedule(found.spec)).lr(501) == pytest.approx([cosine_lr(501)])
    height = (1 + math.cos(math.pi * 401 / 1900)) / 2
    assert found.spec.target_lr == pytest.approx((cosine_lr(501) - min_lr) / height + min_lr)


def test_every_group_is_rescaled() -> None:
    """Each group goes on from its own LR."""
    old = curve(COSINE, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.3}])
    new = curve(COSINE, total_iterations=3000, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.1}])
    found = hand_over(old, Place(700, 700), new, "rescale")
    assert Curve(Schedule(found.spec)).lr(701) == pytest.approx(old.lr(701))


def test_refuse_refuses_a_jump_and_nothing_else() -> None:
    """The same schedule under another label hands over without one."""
    with pytest.raises(HandoverRefused, match=r"would jump from 0\.05\S+ to 0\.08\S+ at iteration 501"):
        hand_over(curve(COSINE), Place(500, 500), curve(COSINE, total_iterations=2000), "refuse")
    assert hand_over(curve(COSINE), Place(500, 500), curve(COSINE, label="another"), "refuse").groups[0].is_continuous


def test_a_run_that_has_ended_goes_on_from_its_last_lr() -> None:
    """A run that is trained to its end has its last LR from then on."""
    old = curve(COSINE, after_scheduler={"type": "CosineLR", "min_lr": 0.01})
    assert hand_over(old, Place(1000, 1000), curve(COSINE, total_iterations=2000), "keep").groups[0].old_lr == 0.01


def test_what_cannot_be_handed_over_is_refused() -> None:
    """Other groups, an iteration outside either run, and an LR that no target reaches have an error each."""
    with pytest.raises(NotComparable, match="the param groups differ: default and x, y"):
        hand_over(curve(COSINE), Place(5, 5), curve(COSINE, param_groups=[{"name": "x"}, {"name": "y"}]), "keep")
    with pytest.raises(IterationOutOfRange, match=r"iteration \(1001\) must be in 0 … 1000"):
        hand_over(curve(COSINE), Place(1001, 1001), curve(COSINE, total_iterations=2000), "keep")
    with pytest.raises(IterationOutOfRange, match=r"iteration \(500\) must be in 0 … 499"):
        hand_over(curve(COSINE), Place(500, 500), curve(COSINE, total_iterations=500), "keep")
    table = {"type": "TableLR", "values": [0.3]}
    with pytest.raises(NotComparable, match="no target LR brings the new schedule to"):
        hand_over(curve(COSINE), Place(500, 500), curve(COSINE, after_scheduler=table), "rescale")


LINEAR = {"target_lr": 5e-5, "total_iterations": 30_000, "after_scheduler": {"type": "PolynomialDecayLR"}}


@pytest.mark.parametrize("done", [29_990, 29_999, 30_000])
def test_a_run_that_has_come_to_its_end_is_not_rescaled_to_nothing(done: int) -> None:
    """Where the old LR is 0, or within a thousandth of it, rescale is refused with the ways out."""
    longer = curve(LINEAR, total_iterations=60_000)
    with pytest.raises(NotComparable, match=r"from 5e-05 to \S+, and all that is left .*Choose rewarm"):
        hand_over(curve(LINEAR), Place(done, done), longer, "rescale")
    assert hand_over(curve(LINEAR), Place(done, done), longer, "keep").groups[0].new_lr == pytest.approx(
        5e-5 * (1 - (done + 1) / 60_000)
    )
    left = hand_over(curve(LINEAR), Place(29_900, 29_900), longer, "rescale").spec.target_lr
    assert left == pytest.approx(5e-5 * (99 / 30_000) / (1 - 29_901 / 60_000))


@pytest.mark.parametrize(
    ("shape", "rise"),
    [
        ("linear", lambda low, high, x: low + (high - low) * x),
        ("cosine", lambda low, high, x: low + (high - low) * (1 - math.cos(math.pi * x)) / 2),
    ],
)
def test_rewarm_goes_up_from_the_lr_of_now_and_then_down(shape: str, rise: Callable[..., float]) -> None:
    """From the LR of the last update to the new peak within the warm-up, then the decay over what is left."""
    new = {
        "target_lr": 0.2,
        "total_iterations": 2000,
        "warmup": {"iterations": 50, "shape": shape},
        "after_scheduler": {"type": "CosineLR", "min_ratio": 0.1},
    }
    found = rewarm(curve(COSINE), Place(500, 500), curve(new), new)
    lrs = first_column(Curve(Schedule(found.spec)))
    for n in (500, 501, 525, 549, 550):
        assert lrs[n] == pytest.approx(rise(cosine_lr(500), 0.2, (n - 500) / 50), rel=1e-12)
    for n in (550, 551, 1000, 1999, 2000):
        height = (1 + math.cos(math.pi * (n - 550) / 1450)) / 2
        assert lrs[n] == pytest.approx(0.2 * (0.1 + 0.9 * height), rel=1e-12)
    assert found.groups[0].last_lr == pytest.approx(cosine_lr(500))
    assert found.groups[0].new_lr == lrs[501]
    assert found.groups[0].is_ordinary


def test_a_rewarmed_spec_can_be_posted_and_is_the_same() -> None:
    """What is filled in may be sent again: the answer's spec has the answer's schedule."""
    new = {**COSINE, "total_iterations": 2000, "label": "again", "units": {"iterations_per_epoch": 100}}
    spec = rewarm(curve(LINEAR), Place(1000, 1000), curve(new), new).spec
    assert Schedule.of(Schedule(spec).spec_dict) == Schedule(spec)
    assert (spec.label, spec.total_iterations, spec.warmup.iterations) == ("again", 2000, 0)


def test_every_group_rewarms_from_its_own_lr() -> None:
    """Each group goes from its own LR to its own target, by its own warm-up and scheduler where it has one."""
    old = curve(COSINE, param_groups=[{"name": "x"}, {"name": "y", "target_lr": 0.3}, {"name": "z", "factor": 0.5}])
    groups = [{"name": "x"}, {"name": "y", "factor": 4}, {"name": "z", "warmup": {"iterations": 10}}]
    new = {"target_lr": 0.2, "total_iterations": 2000, "warmup": {"iterations": 50}, "param_groups": groups}
    found = Curve(Schedule(rewarm(old, Place(500, 500), curve(new), new).spec))
    assert found.group_names == ("x", "y", "z")
    now = [cosine_lr(500), 3 * cosine_lr(500), cosine_lr(500) / 2]
    assert found.lr(500) == pytest.approx(now)
    assert found.lr(505) == pytest.approx(
        [now[0] + (0.2 - now[0]) / 10, now[1] + (0.8 - now[1]) / 10, now[2] + (0.2 - now[2]) / 2]
    )
    assert found.lr(550) == found.lr(2000) == pytest.approx([0.2, 0.8, 0.2])


@given(after=ANY, done=st.integers(0, 100))
@settings(max_examples=100, deadline=None)
def test_after_the_new_peak_any_scheduler_goes_as_after_a_first_warmup(after: dict[str, Any], done: int) -> None:
    """After the peak the LRs are those of the same scheduler after a warm-up at the start of a run."""
    # By default a WSDLR decays for a tenth of the whole run, which is longer where much of it is done.
    assume('"WSDLR"' not in json.dumps(after) or "decay_length" in json.dumps(after))
    new = content(after, total_iterations=done + 60)
    try:
        found = Curve(Schedule(rewarm(curve(total_iterations=1000), Place(done, done), curve(new), new).spec))
    except NotComparable as refusal:
        assume("cannot place" not in str(refusal) and "cannot move" not in str(refusal))
        raise
    except InvalidSpec:  # what does not fit into such a run, or turns negative in it
        assume(False)
    expected = first_column(curve_after(after))[11:]
    assert first_column(found)[done + 11 :] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert first_column(found)[: done + 1] == pytest.approx([curve().lr(min(done, 20))[0]] * (done + 1))


def test_a_default_that_follows_from_the_warmup_still_does() -> None:
    """The timescale of an InverseSqrtLR is the warm-up's length, wherever the warm-up stands."""
    new = {"target_lr": 0.2, "total_iterations": 900, "warmup": {"iterations": 50}}
    whole = {**new, "after_scheduler": {"type": "InverseSqrtLR"}}
    found = Curve(Schedule(rewarm(curve(COSINE), Place(500, 500), curve(whole), whole).spec))
    assert found.lr(700) == pytest.approx([0.2 * math.sqrt(50 / (150 + 50))])


def test_layers_and_recipes_rewarm_too() -> None:
    """Groups that a layer_decay makes keep their targets, and a recipe's fields are those of the new spec."""
    old = curve(COSINE, layer_decay={"layers": 2, "factor": 0.5})
    new = {**COSINE, "target_lr": 0.2, "total_iterations": 2000, "layer_decay": {"layers": 2, "factor": 0.5}}
    found = Curve(Schedule(rewarm(old, Place(900, 900), curve(new), new).spec))
    assert found.lr(1000) == pytest.approx([0.025, 0.05, 0.1, 0.2])
    recipe = {"recipe": "pythia-160m", "total_iterations": 2000}
    spec = rewarm(curve(LINEAR), Place(1000, 1000), Curve(Schedule.of(recipe)), recipe).spec
    assert (spec.target_lr, spec.label) == (6e-4, "pythia-160m")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target_lr": 0.01}, r"target_lr of param group default \(0.01\) must not be below the LR of now \(0.058"),
        ({"warmup": None}, r"warmup.iterations \(0\) must be > 0"),
        ({"total_iterations": 550}, r"warmup.iterations \(50\) must .* total_iterations \(550\), which counts the 500"),
        ({"warmup": {"iterations": 50, "start_lr": 0.01}}, "starts from the LR of now"),
        ({"warmup": {"iterations": 50, "convention": "(n+1)/W"}}, "starts from the LR of now"),
        ({"warmup": {"iterations": 50, "decay_clock": "from_zero"}}, "starts from the LR of now"),
        ({"warmup": {"iterations": 50, "shape": "log"}}, r"a shape alone \(linear, cosine\)"),
        ({"after_scheduler": {"type": "ExpressionLR", "expression": "1 / (1 + n)"}}, "write it in s and N"),
        ({"after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.99}}, "cannot place a MultiplicativeLR"),
        (
            {
                "after_scheduler": {
                    "type": "SequentialLR",
                    "schedulers": [{"type": "SWALR", "swa_lr": 0.1}, {"type": "CosineLR"}],
                    "milestones": [100],
                }
            },
            "cannot place a SWALR",
        ),
    ],
)
def test_what_cannot_be_rewarmed_is_refused(fields: dict[str, Any], message: str) -> None:
    """A peak below the LR of now, no room for a warm-up, and a warm-up that starts elsewhere are named."""
    whole = {"target_lr": 0.2, "total_iterations": 2000, "warmup": {"iterations": 50}, **fields}
    new = {name: value for name, value in whole.items() if value is not None}
    with pytest.raises(NotComparable, match=message):
        rewarm(curve(COSINE), Place(500, 500), curve(new), new)


@pytest.mark.parametrize(
    ("old", "done", "new"),
    [
        # the decay of a WSD run begins at the checkpoint
        (
            {"total_iterations": 100_000},
            6000,
            {"total_iterations": 7000, "after": {"type": "WSDLR", "decay_length": 1000}},
        ),
        # a stair that goes down with the first update of the new schedule
        ({"total_iterations": 1000}, 499, {"total_iterations": 1000, "after": {"type": "StepLR", "step_size": 500}}),
        # two decays that are almost the same
        (
            {"total_iterations": 1000, "after": {"type": "CosineLR"}},
            500,
            {"total_iterations": 1001, "after": {"type": "CosineLR"}},
        ),
        # a run that was at its end goes on with its end
        (
            {"total_iterations": 500, "after": {"type": "CosineLR", "min_lr": 0.01}},
            500,
            {"total_iterations": 1000, "after": {"type": "TableLR", "values": [0.01]}},
        ),
    ],
)
def test_an_ordinary_step_is_not_refused(old: dict[str, Any], done: int, new: dict[str, Any]) -> None:
    """A step that is no larger than those beside it, or that the new schedule takes from the same LR, is no jump."""
    before, following = (curve_after(side.get("after"), **_run(side)) for side in (old, new))
    (group,) = hand_over(before, Place(done, done), following, "refuse").groups
    assert group.is_ordinary
    assert group.last_lr == before.lr(done)[0]
    assert group.new_lr == following.lr(done + 1)[0]


@pytest.mark.parametrize(
    ("old", "done", "new"),
    [
        # the new stair goes down there from another LR
        ({"target_lr": 0.05}, 499, {"after": {"type": "StepLR", "step_size": 500}}),
        # a tenth above a decay that falls by a thousandth
        ({"after": {"type": "PolynomialDecayLR"}}, 100, {"target_lr": 0.11, "after": {"type": "PolynomialDecayLR"}}),
        # up from the end
        ({"total_iterations": 500, "after": {"type": "CosineLR"}}, 500, {"after": {"type": "CosineLR"}}),
    ],
)
def test_a_step_larger_than_those_beside_it_is_refused(old: dict[str, Any], done: int, new: dict[str, Any]) -> None:
    """Neither the last step of the old schedule nor the next of the new one is as large."""
    before, following = (curve_after(side.get("after"), **_run(side)) for side in (old, new))
    assert not hand_over(before, Place(done, done), following, "keep").groups[0].is_ordinary
    with pytest.raises(HandoverRefused, match="keep to accept that, rescale to go on from where it is, or rewarm"):
        hand_over(before, Place(done, done), following, "refuse")


def _run(side: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in side.items() if name != "after"}
    return {"total_iterations": 1000, "warmup": None, **fields}


def test_a_run_goes_on_at_the_same_sample_with_twice_the_devices() -> None:
    """Update 400 of 1000 is update 200 of 500: the LR there is the same, and the next step twice as long."""
    half = curve(COSINE, total_iterations=500, warmup={"iterations": 50})
    found = hand_over(curve(COSINE), Place(400, 200), half, "refuse")
    assert (found.iteration, found.old_iteration) == (201, 401)
    assert found.groups[0].last_lr == pytest.approx(cosine_lr(400))
    assert found.groups[0].new_lr == pytest.approx(cosine_lr(402))
    with pytest.raises(IterationOutOfRange, match=r"iteration \(500\) must be in 0 … 499"):
        hand_over(curve(COSINE), Place(400, 500), half, "keep")
