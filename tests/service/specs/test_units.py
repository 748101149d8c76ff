"""Durations in epochs, samples, tokens and shares become iterations."""

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import support.specs
from preheat.specs import InvalidSpec, Spec, parse_spec
from preheat.specs.duration_text import Duration
from preheat.specs.durations import BatchSize, Clock, Ramp, Units


def spec(**fields: Any) -> Spec:
    """A normalised spec of 1000 iterations without a warm-up, unless said otherwise."""
    return support.specs.spec(**{"total_iterations": 1000, "warmup": None, **fields})


def refusal(**fields: Any) -> str:
    """What is said about a spec."""
    with pytest.raises(InvalidSpec) as caught:
        spec(**fields)
    return str(caught.value)


UNITS = {"iterations_per_epoch": 156.39, "samples_per_iteration": 8192, "tokens_per_iteration": 4e6}


@pytest.mark.parametrize(
    ("text", "iterations"),
    [
        ("10%", 100),
        ("0.26%", 3),
        ("2e1it", 20),
        ("5ep", 782),  # 781.95
        ("4e6sp", 488),  # 488.28
        ("375e6tok", 94),  # 93.75
        ("2e6tok", 1),  # half an iteration rounds up
    ],
)
def test_a_duration_is_the_nearest_iteration(text: str, iterations: int) -> None:
    """A text becomes the nearest iteration, in a warm-up, in a scheduler and in a list of milestones."""
    found = spec(units=UNITS, warmup={"iterations": text}, after_scheduler={"type": "CosineLR", "length": text})
    assert found.warmup.iterations == iterations
    assert found.after_scheduler is not None
    assert found.after_scheduler.model_dump()["length"] == iterations
    steps = spec(units=UNITS, after_scheduler={"type": "MultiStepLR", "milestones": [text, 900]})
    assert steps.after_scheduler is not None
    assert steps.after_scheduler.model_dump()["milestones"] == (iterations, 900)


@given(
    size=st.decimals("0.1", 9999, places=2),
    amount=st.decimals("0.5", 999, places=2),
    start=st.integers(0, 5000),
)
@example(size=Decimal("37.5"), amount=Decimal(3), start=0)
def test_a_half_of_an_iteration_rounds_up(size: Decimal, amount: Decimal, start: int) -> None:
    """Epochs become the nearest iteration by exact arithmetic, wherever they begin; floats lose some of the halves."""
    clock = Clock(None, Units(iterations_per_epoch=float(size)))
    exact = Fraction(amount) * Fraction(size) + start
    expected = math.floor(exact + Fraction(1, 2)) - start
    assume(expected > 0)
    assert clock.iterations(Duration(f"{amount}ep", float(amount), "epoch", 1), start) == expected


def test_the_length_of_the_run_may_be_a_duration() -> None:
    """The run's length may be given in epochs, and a share of the run is a share of that length."""
    found = spec(total_iterations="90ep", units={"iterations_per_epoch": 156}, warmup={"iterations": "10%"})
    assert (found.total_iterations, found.warmup.iterations) == (14040, 1404)


def test_a_normalised_spec_is_its_own_normal_form() -> None:
    """Resolving it again changes nothing, whatever it was written with."""
    once = spec(
        units=UNITS,
        total_iterations="9ep",
        after_scheduler={"type": "WSDLR", "decay": "1-sqrt"},
        batch_scaling={"rule": "sqrt", "reference_batch": 256, "batch": 1024},
        layer_decay={"layers": 2, "factor": 0.5},
        hyperparameters={"weight_decay": {"value": 0.1, "after_scheduler": {"type": "CosineLR", "length": "50%"}}},
    )
    assert parse_spec(once.model_dump_json(exclude_none=True)) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5ep", 'warmup.iterations ("5ep") counts epochs: give units.iterations_per_epoch'),
        ("4e6sp", "counts samples: give units.samples_per_iteration"),
        ("4e6tok", "counts tokens: give units.tokens_per_iteration"),
        ("5  ep", 'must be a whole number of iterations or a duration: "10%", "5ep", "2000it", "4e6sp" or "375e6tok"'),
        ("-5it", "must be a whole number of iterations or a duration"),
        ("5", "must be a whole number of iterations or a duration"),
        ("nan%", "must be a whole number of iterations or a duration"),
        ("5sec", "must be a whole number of iterations or a duration"),
        ("1e999it", "must be shorter"),
        ("1e30%", "must be shorter"),
        ("200%", "must not exceed total_iterations (1000)"),
    ],
)
def test_what_cannot_be_resolved_is_refused_by_name(text: str, message: str) -> None:
    """A duration that cannot be resolved is refused with the unit that is missing or the forms that there are."""
    assert message in refusal(warmup={"iterations": text})


def test_the_length_cannot_be_a_share_of_itself() -> None:
    """total_iterations cannot be a share of the run, since there is nothing yet to take a share of."""
    assert "is a share of total_iterations, which is not known here" in refusal(total_iterations="10%")


def test_a_ramp_is_summed_step_by_step() -> None:
    """A batch that grows in steps, as Llama 3's did, gives the tokens that one counts iteration by iteration."""
    stretches = [(0, 4e6), (252e6, 8e6), (1000e6, 16e6)]
    ramp = Ramp(tuple(BatchSize(start=start, size=size) for start, size in stretches))
    done = 0.0
    for iteration in range(300):
        assert ramp.amount(iteration) == pytest.approx(done, rel=1e-12)
        assert ramp.iterations(done) == pytest.approx(iteration, abs=1e-9)
        # a change inside an iteration takes effect within it, as on a continuous clock
        size = [size for start, size in stretches if start <= done][-1]
        ahead = next((start for start, _ in stretches if done < start < done + size), None)
        if ahead is None:
            done += size
        else:
            following = next(each for start, each in stretches if start == ahead)
            done = ahead + following * (1 - (ahead - done) / size)


def test_a_growing_batch_is_integrated() -> None:
    """A batch that grows evenly, as DeepSeek-V3's did, counts with its mean size, and with the last one after."""
    ramp = Ramp((BatchSize(start=0, size=3072, end_size=15360), BatchSize(start=1e6, size=15360)))
    length = 1e6 / ((3072 + 15360) / 2)
    assert ramp.iterations(1e6) == pytest.approx(length)
    assert ramp.amount(length / 2) == pytest.approx((3072 + (3072 + 15360) / 2) / 2 * length / 2)
    assert ramp.iterations(ramp.amount(40.0)) == pytest.approx(40)
    assert ramp.iterations(2e6) == pytest.approx(length + 1e6 / 15360)


def test_the_same_tokens_last_shorter_later_in_a_ramp() -> None:
    """The same tokens are fewer iterations where the batch has grown: in a later phase, a tail, after a warm-up."""
    units = {"tokens_per_iteration": [{"start": 0, "size": 10}, {"start": 1000, "size": 100}]}
    found = spec(
        total_iterations="11000tok",
        units=units,
        after_scheduler={"type": "PhasesLR", "phases": [{"length": "1000tok"}, {"length": "1000tok"}, {}]},
    )
    assert found.total_iterations == 200
    assert found.after_scheduler is not None
    assert [phase["length"] for phase in found.after_scheduler.model_dump()["phases"]] == [100, 10, 90]
    tail = spec(total_iterations="11000tok", units=units, after_scheduler={"type": "WSDLR", "decay_length": "5000tok"})
    assert tail.after_scheduler is not None
    assert tail.after_scheduler.model_dump()["decay_length"] == 50
    late = spec(
        total_iterations="11000tok",
        units=units,
        warmup={"iterations": "1000tok"},
        after_scheduler={"type": "CosineLR", "length": "1000tok"},
    )
    assert late.after_scheduler is not None
    assert (late.warmup.iterations, late.after_scheduler.model_dump()["length"]) == (100, 10)


@pytest.mark.parametrize(
    ("ramp", "message"),
    [
        ([{"start": 5, "size": 1}], "units.tokens_per_iteration[0].start (5.0) must be 0"),
        (
            [{"start": 0, "size": 1}, {"start": 0, "size": 1}],
            "[1].start (0.0) must be greater than that of the step",
        ),
        ([{"start": 0, "size": 1, "end_size": 2}], "[0].end_size (2.0) must not be given: no step follows"),
        ([{"start": 0, "size": 0}], "[0].size (0) must be ≥ 1e-06"),
        ([], "units.tokens_per_iteration ([]) must have at least 1 item"),
    ],
)
def test_a_ramp_that_breaks_its_rules_is_refused(ramp: Any, message: str) -> None:
    """A ramp that does not begin at 0, ascend or end level is refused by field, value and rule."""
    assert message in refusal(units={"tokens_per_iteration": ramp})


def test_batch_scaling_multiplies_every_target() -> None:
    """A target of 0.1 at batch 256 becomes 3.2 at 8192 by the linear rule (Goyal et al.), or 0.1 · √32."""
    scaling = {"reference_batch": 256, "batch": 8192}
    groups = [{"target_lr": 0.2}, {"factor": 0.5}, {}]
    linear = spec(batch_scaling={"rule": "linear", **scaling}, param_groups=groups)
    assert linear.target_lr == pytest.approx(3.2)
    assert linear.target_lrs == pytest.approx((6.4, 1.6, 3.2))
    assert spec(batch_scaling={"rule": "sqrt", **scaling}).target_lr == pytest.approx(0.1 * 32**0.5)
    assert linear.batch_scaling is None


def test_layer_decay_writes_the_groups_out() -> None:
    """With 12 layers and a factor of 0.75 the head is at the target and the embedding at 0.75^13 of it."""
    found = spec(layer_decay={"layers": 12, "factor": 0.75})
    assert found.group_names == tuple(f"layer_{i}" for i in range(14))
    assert found.target_lrs == pytest.approx([0.1 * 0.75 ** (13 - i) for i in range(14)])
    assert "must not be given beside param_groups" in refusal(
        layer_decay={"layers": 12, "factor": 0.75}, param_groups=[{"target_lr": 0.1}]
    )


def test_targets_are_held_against_their_bounds_when_every_factor_is_applied() -> None:
    """A target that is scaled past the highest LR, or decayed past the lowest, is refused."""
    assert "target_lr (2000000.0) must be ≤ 1e+06 when every factor" in refusal(
        target_lr=1000.0, batch_scaling={"rule": "linear", "reference_batch": 1, "batch": 2000}
    )
    assert "must be 0 or at least 1e-30 when every factor" in refusal(layer_decay={"layers": 12, "factor": 1e-6})
