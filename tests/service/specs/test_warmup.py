"""Warm-ups by curve, start and convention, each a formula of its own."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import support.specs
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec

W, TARGET = 8, 0.4


def curve(total: int = 20, after_scheduler: Any = None, **warmup: Any) -> Curve:
    """The curve of a warm-up to 0.4."""
    fields = {"target_lr": TARGET, "total_iterations": total, "warmup": {"iterations": W, **warmup}}
    return support.specs.curve_after(after_scheduler, **fields)


def lrs(**warmup: Any) -> list[float]:
    """LRs of iterations 0 … 20."""
    column: list[float] = curve(**warmup).window(0, 21)[:, 0].tolist()
    return column


CURVES: list[tuple[dict[str, Any], Callable[[float], float]]] = [
    ({"shape": "linear"}, lambda p: TARGET * p),
    ({"shape": "linear", "start_lr": 0.1}, lambda p: 0.1 + 0.3 * p),
    ({"shape": "linear", "start_lr": 1.0}, lambda p: 1 - 0.6 * p),
    ({"shape": "linear", "start_factor": 0.5}, lambda p: TARGET * (0.5 + 0.5 * p)),
    ({"shape": "linear", "start_factor": 3.0}, lambda p: TARGET * (3 - 2 * p)),
    ({"shape": "cosine"}, lambda p: TARGET * math.sin(math.pi * p / 2) ** 2),
    ({"shape": "cosine", "start_lr": 0.1}, lambda p: 0.1 + 0.3 * math.sin(math.pi * p / 2) ** 2),
    ({"shape": "exponential", "start_lr": 0.001}, lambda p: 0.001 * 400**p),
    ({"shape": "exponential", "start_factor": 0.01}, lambda p: TARGET * 0.01 ** (1 - p)),
    ({"shape": "log"}, lambda p: TARGET * math.log(1 + W * p, 1 + W)),
    ({"shape": "1-sqrt"}, lambda p: TARGET * (1 - math.sqrt(1 - p))),
    ({"shape": "constant", "start_factor": 0.1}, lambda p: TARGET * (0.1 if p < 1 else 1)),
    ({"shape": "constant"}, lambda p: TARGET * (p >= 1)),
]


@pytest.mark.parametrize(
    ("fields", "expected"),
    CURVES,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_curve_goes_from_its_start_to_the_target(fields: dict[str, Any], expected: Callable[[float], float]) -> None:
    """A curve has its formula's LR at every iteration up to W, and exactly the target from W on."""
    actual = lrs(**fields)
    assert actual[: W + 1] == pytest.approx([expected(n / W) for n in range(W + 1)], rel=1e-12, abs=1e-17)
    assert actual[W:] == [TARGET] * 13


SHARES: dict[str, tuple[Callable[[int, int], float], Callable[[int], int]]] = {
    "n/W": (lambda n, w: n / w, lambda w: w),
    "(n+1)/W": (lambda n, w: (n + 1) / w, lambda w: w - 1),
    "(n+1)/(W+1)": (lambda n, w: (n + 1) / (w + 1), lambda w: w),
    "n/(W-1)": (lambda n, w: n / max(w - 1, 1), lambda w: max(w - 1, 1)),
    "(n-1)/W": (lambda n, w: max(n - 1, 0) / w, lambda w: w + 1),
}
"""Each convention's p at n, and the iteration at which it is 1."""


@pytest.mark.parametrize("convention", SHARES)
@pytest.mark.parametrize("start", [0.0, 0.1])
def test_a_convention_says_when_the_target_is_reached(convention: str, start: float) -> None:
    """Each convention reaches the target at its own iteration, to the last bit and whatever the start."""
    share, peak = SHARES[convention]
    actual = lrs(convention=convention, start_lr=start, decay_clock="from_peak")
    expected = [start + (TARGET - start) * min(share(n, W), 1) for n in range(21)]
    assert actual == pytest.approx(expected, rel=1e-12)
    assert actual.index(TARGET) == peak(W)


def test_from_zero_the_warmup_takes_the_place_of_the_decay() -> None:
    """With from_zero iteration W is iteration W of the decay's own clock."""
    values = curve(after_scheduler={"type": "PolynomialDecayLR"}, decay_clock="from_zero").window(0, 21)[:, 0].tolist()
    assert values[W - 1] == pytest.approx(TARGET * (W - 1) / W)
    assert values[W:] == pytest.approx([TARGET * (1 - n / 20) for n in range(W, 21)], abs=1e-17)


HEIGHTS: dict[str, Callable[[float], float]] = {
    "linear": lambda p: p,
    "cosine": lambda p: math.sin(math.pi * p / 2) ** 2,
    "1-sqrt": lambda p: 1 - math.sqrt(1 - p),
    "constant": lambda p: float(p >= 1),
}


@given(
    shape=st.sampled_from(sorted({*HEIGHTS, "exponential"})),
    convention=st.sampled_from(sorted(SHARES)),
    w=st.integers(1, 30),
    start=st.sampled_from([0.01, 0.3, 1.0, 2.0, 3.3]) | st.floats(0.001, 10),
)
def test_a_dampened_warmup_goes_from_its_start_to_1(shape: str, convention: str, w: int, start: float) -> None:
    """Its factor is start + (1 − start) · g(p), on one side of 1 all the way, and exactly 1 from its peak on."""
    share, peak = SHARES[convention]
    warmup = {"iterations": w, "shape": shape, "convention": convention, "start_factor": start}
    found = support.specs.curve_after(
        None, target_lr=1.0, total_iterations=40, warmup={**warmup, "decay_clock": "dampened"}
    )
    factors = found.window(0, 41)[:, 0].tolist()
    for n, factor in enumerate(factors):
        p = min(share(n, w), 1.0)
        expected = start ** (1 - p) if shape == "exponential" else start + (1 - start) * HEIGHTS[shape](p)
        # A convention that comes to its target past W has not got there when the warm-up is over.
        assert factor == pytest.approx(expected if n <= w else 1.0, rel=1e-12)
    assert factors[min(peak(w), w + 1) :] == [1.0] * (41 - min(peak(w), w + 1))
    assert factors == sorted(factors, reverse=start > 1)


@given(shape=st.sampled_from(["log", "radam", "untuned_linear", "untuned_exponential"]), data=st.data())
def test_a_dampened_warmup_never_falls(shape: str, data: st.DataObject) -> None:
    """The factors that have no start of their own rise, and none is above 1."""
    fields: dict[str, Any] = {"beta2": data.draw(st.sampled_from([0.9, 0.95, 0.99]))}
    if shape == "log":
        fields = {"iterations": data.draw(st.integers(1, 30)), "convention": data.draw(st.sampled_from(sorted(SHARES)))}
    factors = support.specs.curve_after(
        None, target_lr=1.0, total_iterations=250, warmup={"shape": shape, "decay_clock": "dampened", **fields}
    ).window(0, 251)[:, 0]
    assert (factors[1:] >= factors[:-1]).all()
    assert factors[-1] <= 1.0
    if shape in {"log", "untuned_linear"}:
        assert factors[-1] == 1.0


def _rho(t: int, beta2: float) -> float:
    return 2 / (1 - beta2) - 1 - 2 * t * beta2**t / (1 - beta2**t)


@pytest.mark.parametrize("beta2", [0.9, 0.999])
def test_untuned_warmups_follow_from_beta2(beta2: float) -> None:
    """The untuned warm-ups and RAdam's have the factors of Ma and Yarats (arXiv 1910.04209)."""
    total = 3000
    period = round(2 / (1 - beta2))
    linear = curve(total, iterations=0, shape="untuned_linear", beta2=beta2, decay_clock="dampened")
    exponential = curve(total, iterations=0, shape="untuned_exponential", beta2=beta2, decay_clock="dampened")
    radam = curve(total, iterations=0, shape="radam", beta2=beta2, decay_clock="dampened")
    last = _rho(10**6, beta2)
    offset = next(t for t in range(1, 99) if _rho(t, beta2) > 4)
    for n in (0, 1, 7, period - 2, period - 1, period, 2500):
        rho = _rho(n + offset, beta2)
        factor = math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
        assert radam.lr(n) == pytest.approx([TARGET * factor], rel=1e-9)
        assert exponential.lr(n) == pytest.approx([TARGET * -math.expm1(-(n + 1) * 2 / period)], rel=2e-3)
    assert linear.schedule.spec.warmup.iterations in {period, period - 1}
    assert linear.lr(9) == pytest.approx([TARGET * min(10 / period, 1)], rel=1e-3)
    assert linear.lr(total) == [TARGET]


def test_radams_first_factors_are_those_of_pytorch_warmup() -> None:
    """RAdam's first two factors at β2 = 0.999 are 0.0173 and 0.0258, as pytorch-warmup 0.2.0 gives them."""
    factors = [curve(iterations=0, shape="radam", decay_clock="dampened").lr(n)[0] / TARGET for n in (0, 1)]
    assert factors == pytest.approx([0.0173, 0.0258], abs=5e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"start_lr": 0.1, "start_factor": 0.1}, "warmup.start_factor (0.1) must not be given beside start_lr"),
        ({"shape": "exponential"}, "warmup.start_lr (null) is required to be > 0"),
        ({"shape": "radam"}, 'warmup.decay_clock ("after_warmup") must be dampened with shape radam'),
        ({"shape": "radam", "decay_clock": "dampened", "start_lr": 0.1}, "warmup.start_lr (0.1) must not be given"),
        ({"decay_clock": "dampened", "start_lr": 0.1}, "warmup.start_lr (0.1) must not be given where"),
        ({"beta2": 0.99}, "warmup.beta2 (0.99) is for radam"),
        ({"shape": "untuned_linear", "decay_clock": "dampened"}, "warmup.iterations (8) must be 1999"),
        ({"iterations": "150%"}, "warmup.iterations (30) must not exceed total_iterations (20)"),
        ({"convention": "n/w"}, 'warmup.convention ("n/w") must be one of'),
    ],
)
def test_a_warmup_that_contradicts_itself_is_refused(fields: dict[str, Any], message: str) -> None:
    """A warm-up whose fields exclude each other is refused by field, value and rule."""
    with pytest.raises(InvalidSpec) as caught:
        curve(**fields)
    assert message in str(caught.value)


@pytest.mark.parametrize(("fields", "_expected"), CURVES, ids=range(len(CURVES)))
def test_a_group_with_target_0_has_a_warmup_too(fields: dict[str, Any], _expected: Any) -> None:
    """No curve divides by the target, which may be 0."""
    asked = support.specs.curve_after(target_lr=0.0, total_iterations=20, warmup={"iterations": W, **fields})
    assert asked.window(0, 21)[W:, 0].tolist() == [0.0] * 13


def test_every_group_is_dampened() -> None:
    """Each group's cosine is multiplied by the same factor, in a window and one by one."""
    asked = support.specs.curve_after(
        {"type": "CosineLR"},
        total_iterations=20,
        warmup={"iterations": W, "convention": "(n+1)/W", "decay_clock": "dampened"},
        param_groups=[{"target_lr": 0.4}, {"target_lr": 0.1}, {"target_lr": 3.0}],
    )
    expected = [
        [target * min((n + 1) / W, 1) * (1 + math.cos(math.pi * n / 20)) / 2 for target in (0.4, 0.1, 3.0)]
        for n in range(21)
    ]
    for n, row in enumerate(asked.window(0, 21).tolist()):
        assert row == pytest.approx(expected[n], rel=1e-12, abs=1e-17)
        assert asked.lr(n) == row


@given(
    power=st.floats(0.1, 8),
    length=st.integers(1, 200),
    start=st.just(0.0) | st.floats(1e-6, 2),
    base=st.floats(1e-5, 2),
)
def test_a_warmup_by_power_is_yoloxs(power: float, length: int, start: float, base: float) -> None:
    """(base − start) · (n / W)^power + start up to W, then the decay from its own 0; YOLOX has the power 2."""
    warmup = {"iterations": length, "shape": "power", "power": power, "start_lr": start}
    after = {"type": "CosineLR", "length": 50}
    asked = support.specs.curve_after(after, target_lr=base, total_iterations=length + 50, warmup=warmup)
    for n in range(length + 51):
        expected = (base - start) * math.pow(n / length, power) + start if n < length else base
        if n > length:
            expected = base * (1 + math.cos(math.pi * (n - length) / 50)) / 2
        assert asked.lr(n)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12), n


def test_the_power_is_2_if_nothing_is_said_and_for_its_shape_alone() -> None:
    """It is written down, so that a stored spec does not depend on the default; elsewhere it has no effect."""
    assert curve(shape="power").schedule.id == curve(shape="power", power=2).schedule.id
    assert curve(shape="power").schedule.spec_dict["warmup"]["power"] == 2.0
    with pytest.raises(InvalidSpec, match=r"warmup.power \(2.0\) is for shape power"):
        curve(shape="linear", power=2.0)


def detectron2(
    n: int, total: int, length: int, factor: float, method: str, scheduler: Callable[[float], float]
) -> float:
    """Its WarmupParamScheduler, a composite of a line (or a constant) and the running schedule, by share of the run."""
    where = n / total
    if n >= length:
        return scheduler(where)
    first, last = factor * scheduler(0.0), scheduler(length / total)
    share = where / (length / total)
    return first if method == "constant" else first * (1 - share) + last * share


def half_cosine(where: float) -> float:
    """Fvcore's CosineParamScheduler from 1 to 0."""
    return (1 + math.cos(math.pi * where)) / 2


def two_steps(where: float) -> float:
    """Fvcore's MultiStepParamScheduler with steps at a tenth and at a half of the run."""
    return 0.1 ** ((where >= 0.1) + (where >= 0.5))


@pytest.mark.parametrize(("shape", "method"), [("linear", "linear"), ("constant", "constant")])
@pytest.mark.parametrize("length", [1, 7, 30, 99])
@pytest.mark.parametrize(
    ("after", "scheduler"),
    [
        ({"type": "CosineLR"}, half_cosine),
        ({"type": "CosineAnnealingLR"}, half_cosine),
        ({"type": "MultiStepLR", "milestones": [10, 50]}, two_steps),
    ],
)
def test_a_warmup_that_meets_the_decay_is_detectron2s(
    after: dict[str, Any], scheduler: Callable[[float], float], length: int, shape: str, method: str
) -> None:
    """From factor · target to the LR that the decay, which runs from 0, has at W; from W on the decay itself."""
    warmup = {"iterations": length, "shape": shape, "start_factor": 0.01, "decay_clock": "meets_decay"}
    groups = [{"name": "a"}, {"name": "b", "factor": 0.1}]
    asked = support.specs.curve_after(after, target_lr=TARGET, total_iterations=100, warmup=warmup, param_groups=groups)
    for n in range(101):
        expected = TARGET * detectron2(n, 100, length, 0.01, method, scheduler)
        assert asked.lr(n) == pytest.approx([expected, expected / 10], rel=1e-12, abs=1e-16), n


@given(
    shape=st.sampled_from(["linear", "power", "cosine", "exponential", "log", "1-sqrt"]),
    convention=st.sampled_from(["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]),
    length=st.integers(0, 50),
)
def test_a_warmup_that_meets_the_decay_has_no_jump(shape: str, convention: str, length: int) -> None:
    """It only rises, from its start to the decay's own LR, whatever its curve and convention, and the decay runs on."""
    warmup = {"iterations": length, "shape": shape, "convention": convention, "start_factor": 0.001}
    after = {"type": "CosineLR"}
    fields = {"target_lr": TARGET, "total_iterations": 100}
    asked = support.specs.curve_after(after, **fields, warmup={**warmup, "decay_clock": "meets_decay"})
    decay = support.specs.curve_after(after, **fields, warmup=None)
    lrs, running = support.specs.first_column(asked), support.specs.first_column(decay)
    peak = asked.schedule.spec.warmup.last + 1
    assert lrs[peak:] == running[peak:]
    assert sorted(lrs[: peak + 1]) == pytest.approx(lrs[: peak + 1], rel=1e-12)
    assert abs(peak - length) <= 1


def test_a_decay_that_is_stepped_cannot_be_met() -> None:
    """What it has at W would be known only by stepping there first."""
    with pytest.raises(InvalidSpec, match=r"warmup\.decay_clock must not be meets_decay here"):
        curve(after_scheduler={"type": "MultiplicativeLR", "lr_lambda": 0.9}, decay_clock="meets_decay")


@given(
    hold=st.integers(1, 20),
    shape=st.sampled_from(["linear", "power", "cosine", "log", "1-sqrt"]),
    clock=st.sampled_from(["after_warmup", "from_zero"]),
)
def test_a_warmup_is_held_at_the_multiples(hold: int, shape: str, clock: str) -> None:
    """At every iteration of the warm-up the LR of the last multiple of `hold`, of the same warm-up without it."""
    free = lrs(shape=shape, decay_clock=clock)
    held = lrs(shape=shape, decay_clock=clock, hold=hold)
    last = W if clock == "after_warmup" else W - 1
    assert held == [free[n // hold * hold] if n <= last else free[n] for n in range(21)]


def test_timms_epochs_are_a_held_warmup_and_a_staircase() -> None:
    """Its CosineLRScheduler, asked once per epoch: 4 epochs of warm-up, then the cosine that ran from the start."""
    spec = {
        "target_lr": TARGET,
        "total_iterations": "20ep",
        "units": {"iterations_per_epoch": 7},
        "warmup": {"iterations": "4ep", "start_lr": 0.01, "decay_clock": "from_zero", "hold": "1ep"},
        "after_scheduler": {"type": "StaircaseLR", "hold": "1ep", "scheduler": {"type": "CosineLR"}},
    }
    asked = Curve(Schedule.of(spec))
    for n in range(141):
        epoch = n // 7
        rising, falling = 0.01 + epoch * (TARGET - 0.01) / 4, TARGET * (1 + math.cos(math.pi * epoch / 20)) / 2
        assert asked.lr(n)[0] == pytest.approx(rising if epoch < 4 else falling, rel=1e-12, abs=1e-17), n


def test_a_warmup_has_at_least_as_many_iterations_as_it_must() -> None:
    """The floor holds for a warm-up that is shorter, and not for none; the answer has what it has become."""
    assert curve(iterations=3, at_least=5).schedule.id == curve(iterations=5).schedule.id
    assert curve(iterations=7, at_least=5).schedule.id == curve(iterations=7).schedule.id
    assert curve(iterations=0, at_least=5).schedule.id == curve(iterations=0).schedule.id
    with pytest.raises(InvalidSpec, match=r"warmup.iterations \(30\) must not exceed total_iterations \(20\)"):
        curve(iterations=3, at_least=30)
    with pytest.raises(InvalidSpec, match=r"warmup.iterations is required beside at_least"):
        support.specs.curve({"target_lr": TARGET, "total_iterations": 20, "warmup": {"at_least": 5}})
