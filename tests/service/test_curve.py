"""The curve gives torch's LRs, whichever iteration is asked for and in whichever order."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from after_schedulers import ANY, COMPOSITIONS, EXAMPLES, LEFT, SHAPES, TOTAL, WARMUP, example_id
from preheat.budget import Deadline
from preheat.curve import Curve
from preheat.errors import ComputeTimeout, IterationOutOfRange
from preheat.schedule import Schedule
from preheat.schedulers import StandInOptimizer, build
from reference import REFERENCE_ROWS, REFERENCE_SPEC, torch_stepped

TARGETS = (0.01, 0.1)


def curve(after_scheduler: dict[str, Any] | None, total: int = TOTAL, warmup: int = WARMUP, **fields: Any) -> Curve:
    """The curve of a spec with one param group per target."""
    spec = {
        "target_lr": TARGETS[0],
        "total_iterations": total,
        "warmup": {"iterations": warmup},
        "param_groups": [{"target_lr": lr} for lr in TARGETS],
        **({} if after_scheduler is None else {"after_scheduler": after_scheduler}),
        **fields,
    }
    return Curve(Schedule.of(spec))


def stepped_one_by_one(of: Curve) -> list[list[float]]:
    """The LRs that a training loop meets which asks the warm-up class for 0, 1, 2, … in turn."""
    optimizer = StandInOptimizer(of.schedule.spec.target_lrs)
    scheduler = build(of.schedule.spec.tracks[0], optimizer)
    rows = []
    for iteration in range(of.total_iterations + 1):
        scheduler.step(iteration)
        rows.append([group["lr"] for group in optimizer.param_groups])
    return rows


def test_reference_table_comes_out_digit_for_digit() -> None:
    """Updates 1 … 20 of the reference spec have the design's printed digits; iteration 0 is 0."""
    window = Curve(Schedule.of(REFERENCE_SPEC)).window(0, 21)
    assert [str(lr) for lr in window[1:, 0].tolist()] == list(REFERENCE_ROWS)
    assert window[0, 0] == 0.0


@pytest.mark.parametrize("after_scheduler", EXAMPLES, ids=example_id)
def test_after_the_warmup_every_type_equals_torch_stepped_by_a_plain_loop(after_scheduler: dict[str, Any]) -> None:
    """Iteration W + s has the LR that torch's own scheduler has after s steps, to rel 1e-9 or 1e-12 of the target."""
    expected = torch_stepped(after_scheduler, TARGETS, LEFT)
    actual = curve(after_scheduler).window(0, TOTAL + 1)
    np.testing.assert_allclose(actual[WARMUP + 1 :], expected[1:], rtol=1e-9, atol=1e-12 * min(TARGETS))


@pytest.mark.parametrize("after_scheduler", EXAMPLES, ids=example_id)
def test_without_a_warmup_iteration_0_is_the_schedulers_own(after_scheduler: dict[str, Any]) -> None:
    """With W = 0 the list is torch's from its iteration 0 on."""
    expected = torch_stepped(after_scheduler, TARGETS, LEFT)
    actual = curve(after_scheduler, total=LEFT, warmup=0).window(0, LEFT + 1)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-12 * min(TARGETS))


def test_warmup_is_target_times_n_over_w() -> None:
    """At n ≤ W the LR is target · n / W to the last bit; 0 at 0."""
    actual = curve({"type": "StepLR", "step_size": 3}).window(0, WARMUP + 1).tolist()
    assert actual == [[target * n / WARMUP for target in TARGETS] for n in range(WARMUP + 1)]


@pytest.mark.parametrize(
    "after_scheduler", [None, *EXAMPLES, *SHAPES, *COMPOSITIONS], ids=lambda spec: example_id(spec) if spec else "none"
)
def test_random_access_equals_iteration_at_every_boundary(after_scheduler: dict[str, Any] | None) -> None:
    """A fresh curve asked for one iteration only answers, bit for bit, what a loop reaches step by step."""
    rows = stepped_one_by_one(curve(after_scheduler))
    for iteration in (0, 1, WARMUP - 1, WARMUP, WARMUP + 1, TOTAL - 1, TOTAL):
        assert curve(after_scheduler).lr(iteration) == rows[iteration]


@settings(max_examples=150, deadline=None)
@given(after_scheduler=ANY, data=st.data())
def test_random_access_equals_iteration_for_any_spec(after_scheduler: dict[str, Any], data: st.DataObject) -> None:
    """Whatever the spec and the order of asking, the answers are bit for bit those of iterating."""
    asked = curve(after_scheduler)
    rows = stepped_one_by_one(asked)
    for iteration in data.draw(st.lists(st.integers(0, TOTAL), min_size=1, max_size=6)):
        assert asked.lr(iteration) == rows[iteration]
    assert asked.window(0, TOTAL + 1).tolist() == rows


@pytest.mark.parametrize("after_scheduler", [{"type": "ExponentialLR", "gamma": 0.9999}, EXAMPLES[-1], EXAMPLES[-2]])
def test_windows_across_checkpoints_agree(after_scheduler: dict[str, Any]) -> None:
    """A curve of many checkpoints gives the same values for any window and step, first asked or last."""
    whole = curve(after_scheduler, total=20_000).window(0, 20_001)
    pieces = curve(after_scheduler, total=20_000)
    for start, stop, step in ((19_990, 20_001, 1), (4_000, 9_000, 7), (8_191, 8_193, 1), (0, 20_001, 4_097), (5, 5, 1)):
        np.testing.assert_array_equal(pieces.window(start, stop, step), whole[start:stop:step])


def test_blocks_that_left_the_memory_come_back_the_same() -> None:
    """With many param groups few blocks are kept; going back steps again from a checkpoint, as often as it must."""
    turns = [
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1},
        {"type": "SWALR", "swa_lr": 0.5},
        EXAMPLES[-1],
    ]
    sequence = {"type": "SequentialLR", "schedulers": turns, "milestones": [5_000, 12_000]}
    asked = curve(sequence, total=20_000, param_groups=[{"target_lr": 0.01 * n} for n in range(1, 41)])
    first = asked.window(0, 20_001, 500)
    for _ in range(2):
        np.testing.assert_array_equal(asked.window(0, 20_001, 500), first)
    assert asked.nbytes < 20_000_000


def test_checkpoints_are_thinned_and_every_iteration_is_still_found() -> None:
    """Where states are large, few are kept; what lies between two is stepped to again, and is the same."""
    milestones = list(range(1, 1000))
    chain = [{"type": "MultiStepLR", "milestones": milestones, "gamma": 0.999 + n / 1e5} for n in range(10)]
    hyperparameters = {f"h{n}": {"value": 0.1} for n in range(20)}
    asked = curve(
        {"type": "ChainedScheduler", "schedulers": chain},
        total=3000,
        param_groups=[{"target_lr": 0.01 * n} for n in range(1, 101)],
        hyperparameters=hyperparameters,
    )
    expected = stepped_one_by_one(asked)
    weights = []
    for iteration in (3000, 17, 2990, 1501, 1499, 1, 2222, 0):
        assert asked.lr(iteration)[:100] == expected[iteration]
        weights.append(asked.nbytes)
    assert max(weights) < 30_000_000, weights


@pytest.mark.parametrize("after_scheduler", [None, {"type": "CosineLR"}, {"type": "CosineAnnealingLR"}])
def test_a_point_of_a_closed_form_is_at_hand(after_scheduler: dict[str, Any] | None) -> None:
    """It is what `lr` gives; outside the run nothing is."""
    asked = curve(after_scheduler)
    for iteration in (0, 1, WARMUP, WARMUP + 1, TOTAL):
        assert asked.row_at_hand(iteration) == curve(after_scheduler).lr(iteration)
    assert (asked.row_at_hand(-1), asked.row_at_hand(TOTAL + 1)) == (None, None)


def test_a_point_that_must_be_stepped_to_is_at_hand_once_its_block_was_computed() -> None:
    """Before, and after the block has left the memory, it is not, and nothing is stepped for it."""
    stepped = {"type": "MultiplicativeLR", "lr_lambda": 0.99999}
    asked = curve(stepped, total=400_000)
    assert asked.row_at_hand(100) is None
    expected = asked.lr(100)
    assert asked.row_at_hand(100) == expected
    assert asked.row_at_hand(4096) is None
    asked.lr(400_000)
    assert asked.row_at_hand(100) is None
    assert (asked.lr(100), asked.row_at_hand(100)) == (expected, expected)


@pytest.mark.parametrize("after_scheduler", [{"type": "CosineLR"}, {"type": "SWALR", "swa_lr": 0.1}], ids=example_id)
def test_a_point_does_not_wait_for_a_block(after_scheduler: dict[str, Any]) -> None:
    """While another thread computes a long window, points that are at hand are answered."""
    asked = curve(after_scheduler, total=10**6)
    expected = asked.lr(4000)
    with ThreadPoolExecutor(1) as pool:
        window = pool.submit(asked.window, 0, 200_000)
        for _ in range(20):
            assert asked.row_at_hand(4000) in (expected, None)
        assert not window.done()


@pytest.mark.parametrize("iteration", [-1, TOTAL + 1, 10**18])
def test_an_iteration_outside_the_run_is_refused(iteration: int) -> None:
    """The error has the valid range."""
    with pytest.raises(IterationOutOfRange, match=rf"iteration \({iteration}\) must be in 0 … {TOTAL}"):
        curve(None).lr(iteration)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (5, TOTAL + 2), (5, 4), (TOTAL + 1, TOTAL + 1)])
def test_a_window_outside_the_run_is_refused(start: int, stop: int) -> None:
    """Start and stop are held against 0 … T and start … T + 1."""
    with pytest.raises(IterationOutOfRange):
        curve(None).window(start, stop)


def test_a_point_of_a_billion_iterations_is_the_closed_formula() -> None:
    """Asking for one iteration of 10⁹ materialises nothing and equals the cosine written out."""
    total, iteration = 10**9 + WARMUP, 123_456_789
    started = time.process_time()
    lr = curve({"type": "CosineAnnealingLR"}, total=total).lr(iteration)[0]
    expected = TARGETS[0] * (1 + math.cos(math.pi * (iteration - WARMUP) / 10**9)) / 2
    assert lr == pytest.approx(expected, rel=1e-12)
    assert time.process_time() - started < 1


def test_past_the_deadline_computing_stops_and_goes_on_later() -> None:
    """Each attempt is cut off after a few blocks, keeps what it has, and enough attempts arrive at the answer."""
    slow = curve({"type": "MultiplicativeLR", "lr_lambda": 0.9999}, total=40_000)
    expected = curve({"type": "MultiplicativeLR", "lr_lambda": 0.9999}, total=40_000).lr(40_000)
    attempts = 0
    for _ in range(20):
        ticks: Iterator[float] = count(0.0)
        attempts += 1
        try:
            assert slow.lr(40_000, Deadline(3, clock=ticks.__next__)) == expected
            break
        except ComputeTimeout:
            continue
    assert 3 <= attempts < 20


def test_a_long_closed_form_window_is_cut_off_too() -> None:
    """A window of 10⁹ iterations with a spent deadline raises before it computes."""
    with pytest.raises(ComputeTimeout, match="compute_timeout_s"):
        curve({"type": "CosineAnnealingLR"}, total=10**6).window(0, 10**6, 1, Deadline(-1))


@settings(max_examples=100, deadline=None)
@given(after_scheduler=ANY, window=st.tuples(st.integers(0, TOTAL), st.integers(0, TOTAL)).map(sorted))
def test_an_envelope_has_the_extremes_of_every_part(after_scheduler: dict[str, Any], window: list[int]) -> None:
    """Lows and highs are those of looking at every iteration of each part."""
    start, stop = window[0], window[1] + 1
    asked = curve(after_scheduler)
    firsts, lows, highs = asked.envelope(start, stop, parts=7)
    values = asked.window(0, TOTAL + 1)
    bounds = [*firsts.tolist(), stop]
    for part, (first, last) in enumerate(pairwise(bounds)):
        np.testing.assert_allclose(lows[part], values[first:last].min(axis=0), rtol=1e-12)
        np.testing.assert_allclose(highs[part], values[first:last].max(axis=0), rtol=1e-12)


TURNING: list[dict[str, Any]] = [
    *(shape for shape in SHAPES if shape["type"] not in {"TriStageLR", "ExpressionLR"}),
    {"type": "PolynomialDecayLR", "length": 77, "cycle": True},
    {"type": "CosineLR", "num_cycles": 37.3},
    {"type": "CosineRestartsLR", "T_0": 70, "T_mult": 0.93, "decay": 0.9},
    {"type": "CosineRestartsLR", "T_0": 3, "T_mult": 1.1, "decay": 1.02},
    {"type": "TableLR", "values": [0.001 * (n * 37 % 101) for n in range(300)], "hold": 3},
    {"type": "WindowLR", "scheduler": {"type": "CosineAnnealingLR", "T_max": 11}, "begin": 300, "end": 700},
    {"type": "ClampLR", "scheduler": {"type": "CosineAnnealingLR", "T_max": 11}, "min_lr": 0.001},
    {"type": "CooldownLR", "scheduler": {"type": "CosineAnnealingLR", "T_max": 11}, "length": 100},
    {"type": "CosineAnnealingLR", "T_max": 13, "eta_min": 0.001},
    {"type": "CosineAnnealingLR", "T_max": 170},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 7, "eta_min": 0.001},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 3, "T_mult": 2},
    *(
        {
            "type": "CyclicLR",
            "cycle_momentum": False,
            "base_lr": 0.001,
            "max_lr": 0.02,
            "step_size_up": 4,
            "step_size_down": 7,
            **mode,
        }
        for mode in (
            {},
            {"mode": "triangular2"},
            {"mode": "exp_range", "gamma": 0.7},
            {"mode": "exp_range", "gamma": 0.999},
            {"mode": "exp_range", "gamma": 1.001},
        )
    ),
    {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 0.1},
    {"type": "OneCycleLR", "cycle_momentum": False, "max_lr": 0.1, "three_phase": True, "pct_start": 0.2},
    {
        "type": "SequentialLR",
        "schedulers": [
            {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.001, "max_lr": 0.02, "step_size_up": 4},
            {"type": "StepLR", "step_size": 40},
            {"type": "CosineAnnealingLR", "T_max": 11},
        ],
        "milestones": [333, 700],
    },
]


@pytest.mark.parametrize("columns", [1, 2, 3, 10, 61, 400])
@pytest.mark.parametrize("after_scheduler", TURNING, ids=example_id)
def test_no_turning_point_is_missed(after_scheduler: dict[str, Any], columns: int) -> None:
    """Wherever the parts begin and end, their extremes are those of looking at every iteration."""
    asked = curve(after_scheduler, total=1000)
    values = asked.window(0, 1001)
    for start, stop in ((0, 1001), (11, 990), (37, 1000)):
        firsts, lows, highs = asked.envelope(start, stop, columns)
        np.testing.assert_allclose(lows, np.minimum.reduceat(values[start:stop], firsts - start), rtol=1e-12)
        np.testing.assert_allclose(highs, np.maximum.reduceat(values[start:stop], firsts - start), rtol=1e-12)


def test_an_envelope_of_a_billion_keeps_every_tooth() -> None:
    """A saw-tooth of 20 iterations reaches from bottom to top in each of 100 parts of 10⁹."""
    saw = {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.001, "max_lr": 0.02, "step_size_up": 10}
    _, lows, highs = curve(saw, total=10**9, warmup=0).envelope(0, 10**9, parts=100)
    np.testing.assert_allclose(lows, 0.001, rtol=1e-6)
    np.testing.assert_allclose(highs, 0.02, rtol=1e-6)


def test_a_light_text_has_a_quick_point_and_a_heavy_one_is_never_at_hand() -> None:
    """Many groups with one short scheduler are light; many groups, each with a long one, are not."""
    steps = {"type": "MultiStepLR", "milestones": list(range(1, 41))}
    groups = [{"name": f"g{n}", "target_lr": 0.1} for n in range(150)]
    light = curve({"type": "CosineLR"}, param_groups=groups)
    heavy = curve(None, param_groups=[{**group, "after_scheduler": steps} for group in groups])
    assert (light.is_light, heavy.is_light) == (True, False)
    assert light.row_at_hand(20) == light.lr(20)
    assert heavy.row_at_hand(20) is None
    assert len(heavy.lr(20)) == 150


def test_near_is_what_is_kept_and_one_block_further() -> None:
    """Of a closed form every iteration is near; of a stepped one those up to the block after the last one kept."""
    assert curve({"type": "CosineLR"}, total=10**9).is_near(0, 10**9)
    stepped = curve({"type": "MultiplicativeLR", "lr_lambda": 0.999}, total=40_000)
    assert (stepped.is_near(0, 4095), stepped.is_near(0, 4096), stepped.is_near(9000, 9000)) == (True, False, False)
    stepped.lr(4095)
    assert (stepped.is_near(0, 8191), stepped.is_near(0, 8192)) == (True, False)
    many = curve({"type": "ChainedScheduler", "schedulers": [{"type": "MultiplicativeLR", "lr_lambda": 1}] * 50})
    assert not many.is_near(0, 0)
