"""LRs that the client computes are the service's bit for bit, and what the service would refuse is not computed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec
from preheat_client import InvalidFallback
from preheat_client._core.fields import NotComputed
from preheat_client._core.local_curve import LocalCurve, curve_of_fallback, curve_of_file, curve_of_spec
from preheat_client._core.request import Request
from reference import REFERENCE_ROWS, REFERENCE_SPEC

LRS = st.one_of(st.sampled_from([0, 0.0, 1, 1e-30, 1e6, 0.1, 1e-3, 3e-4]), st.floats(0, 1e6), st.floats(1e-6, 1))
FACTORS = st.one_of(st.sampled_from([0, 1, 0.1, 1 / 3, 1e-30]), st.floats(0, 1))
LENGTHS = st.one_of(st.integers(1, 12), st.integers(0, 60), st.integers(0, 5000), st.sampled_from([10**12, 2**53]))
EXPONENTS = st.sampled_from([0, 0.5, 0.9, 1, 1.0, 2, 3.7, 1000])
# What a field may never be, or what only the service understands; mixed in now and then.
ODD: list[Any] = [None, "10%", "5ep", -1, 2.0, True, False, 1e7, [], {}, "cosine", 2**53 + 1, 10**400, 1e-31, -0.0]
WARMUP = {
    "iterations": LENGTHS,
    "shape": st.sampled_from(["linear", "cosine", "exponential", "log", "1-sqrt", "constant", "radam"]),
    "start_lr": st.one_of(st.none(), LRS, LRS),
    "start_factor": st.one_of(st.none(), st.none(), FACTORS),
    "convention": st.sampled_from(["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]),
    "decay_clock": st.sampled_from(["after_warmup", "from_peak", "from_zero", "from_zero", "dampened"]),
}
DECAY = {"length": LENGTHS, "min_lr": LRS, "min_ratio": st.one_of(FACTORS, st.floats(1, 5))}
SCHEDULERS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "StepLR": {"step_size": LENGTHS, "gamma": FACTORS},
    "MultiStepLR": {"milestones": st.lists(LENGTHS, max_size=4, unique=True).map(sorted), "gamma": FACTORS},
    "ConstantLR": {"factor": FACTORS, "total_iters": LENGTHS},
    "LinearLR": {"start_factor": FACTORS, "end_factor": FACTORS, "total_iters": LENGTHS},
    "ExponentialLR": {"gamma": FACTORS},
    "PolynomialLR": {"total_iters": LENGTHS, "power": EXPONENTS},
    "CosineAnnealingLR": {"T_max": LENGTHS, "eta_min": LRS},
    "PolynomialDecayLR": {**DECAY, "power": EXPONENTS, "cycle": st.booleans()},
    "CosineLR": {**DECAY, "num_cycles": st.sampled_from([0.5, 1, 2, 0.3, 7.25, 1e-9]), "exponent": EXPONENTS},
    "WSDLR": {
        **DECAY,
        "decay_length": LENGTHS,
        "decay": st.sampled_from(["linear", "cosine", "1-sqrt", "power", "exponential"]),
        "power": st.sampled_from([0.5, 1, 2, 3.3]),
        "decay_ratio": st.sampled_from([0.5, 1e-9, 0.999, 0.3]),
    },
    "InverseSqrtLR": {"timescale": LENGTHS, "shift": LENGTHS},
    "REXLR": DECAY,
    "OneCycleLR": {"max_lr": LRS},
}


@st.composite
def some_of(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Some of the fields, once in a while with a value that is odd."""
    chosen = {name: draw(values) for name, values in fields.items() if draw(st.booleans())}
    if "min_lr" in chosen and draw(st.integers(0, 4)):
        chosen.pop("min_ratio", None)
    if chosen and draw(st.integers(0, 19)) == 0:
        chosen[draw(st.sampled_from(sorted(chosen)))] = draw(st.sampled_from(ODD))
    return chosen


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Specs of every kind that the client computes, with those around them that it does not."""
    total = draw(st.one_of(st.integers(100, 300), st.sampled_from([1, 2, 10**4, 10**12, 2**53])))
    spec: dict[str, Any] = {"target_lr": draw(LRS), "total_iterations": total}
    if draw(st.booleans()):
        spec["warmup"] = draw(some_of(WARMUP))
    if draw(st.integers(0, 5)):
        kind = draw(st.sampled_from(sorted(SCHEDULERS)))
        spec["after_scheduler"] = {"type": kind, **draw(some_of(SCHEDULERS[kind]))}
    if draw(st.integers(0, 3)) == 0:
        names = st.sampled_from([None, "a", "b", "", "é", "\ud800"])
        group = st.fixed_dictionaries({}, optional={"name": names, "target_lr": LRS, "factor": FACTORS})
        spec["param_groups"] = draw(st.lists(group, max_size=3))
    odd = st.fixed_dictionaries(
        {},
        optional={
            "label": st.sampled_from(["it", "", None, 3]),
            "units": st.sampled_from([{"iterations_per_epoch": 7}, {"iterations_per_epoch": 0}, {"x": 1}, None]),
            "recipe": st.sampled_from([None, "pythia-160m"]),
            "layer_decay": st.sampled_from([None, {"layers": 2, "factor": 0.5}]),
            "batch_scaling": st.sampled_from([None, {"rule": "linear", "reference_batch": 1, "batch": 2}]),
            "hyperparameters": st.sampled_from([None, {}, {"momentum": {"value": 0.5}}]),
            "warmup": st.sampled_from([None, 5]),
        },
    )
    return spec | draw(odd) if draw(st.integers(0, 5)) == 0 else spec


def computed(spec: Any) -> LocalCurve | None:
    """The client's own curve, if it has one, of a spec as it would be sent."""
    try:
        return curve_of_spec(Request.of_spec(spec).spec_dict)
    except NotComputed:
        return None


def assert_equal(local: LocalCurve, curve: Curve) -> None:
    """Every LR near the start, the end, and where the warm-up or the decay is over has the same bits.

    Where torch's own rounding takes LinearLR a little below 0, there is none.
    """
    last = curve.total_iterations
    assert local.metadata.total_iterations == last
    assert local.metadata.group_names == curve.group_names
    turns = {turn for track in curve.schedule.spec.tracks for turn in track.turning_points(0, last + 1)}
    near = {turn + offset for turn in turns for offset in (-1, 0, 1)}
    for n in sorted({*range(min(last, 40) + 1), last // 3, last // 2, last - 1, last, *near}):
        if 0 <= n <= last:
            row, served = local.row(n), [float(lr) for lr in curve.lr(n)]
            if row is None:
                assert min(served) < 0, (n, curve.schedule.text)
                continue
            mine = row[0] if isinstance(row[0], list) else [row[0]]
            assert [lr.hex() for lr in mine] == [lr.hex() for lr in served], (n, curve.schedule.text)


@settings(max_examples=400)
@given(specs())
def test_what_is_computed_is_the_services_bit_for_bit(spec: dict[str, Any]) -> None:
    """A spec that the service refuses is not computed; of any other the LRs, groups and length are the service's."""
    local = computed(spec)
    try:
        schedule = Schedule.of(json.dumps(spec))
    except InvalidSpec:
        event("refused")
        assert local is None, spec
        return
    event("computed" if local else "only served")
    if local is not None:
        assert_equal(local, Curve(schedule))
        normalised = computed(schedule.spec_dict)  # as a service describes it
        assert normalised is not None
        assert_equal(normalised, Curve(schedule))


def lrs(fallback: Any, count: int) -> list[Any]:
    """The first LRs of a fallback."""
    curve = curve_of_fallback(fallback, "fallback", Request(schedule_id="f" * 32))
    rows = [curve.row(n) for n in range(count)]
    return [row and row[0] for row in rows]


def test_the_reference_spec_gives_the_reference_table() -> None:
    """A fallback of the reference spec has its LRs digit for digit."""
    assert [str(lr) for lr in lrs(REFERENCE_SPEC, 21)[1:]] == list(REFERENCE_ROWS)


def test_values_are_lrs_by_iteration_and_the_last_is_held() -> None:
    """A list's index is the iteration, and a number is the LR of all."""
    assert lrs([0.1, 0.2, 0.3], 3) == [0.1, 0.2, 0.3]
    assert lrs(0.5, 2000) == [0.5] * 2000


def test_groups_are_rows() -> None:
    """Param groups are in the order in which they are given, each of its own kind."""
    fallback = {"a": 0.5, "b": [0.1, 0.2], "c": REFERENCE_SPEC}
    curve = curve_of_fallback(fallback, "fallback", Request.of_spec(REFERENCE_SPEC))
    assert curve.metadata.group_names == ("a", "b", "c")
    assert [curve.row(n) for n in range(3)] == [([0.5, 0.1, 0.0], []), ([0.5, 0.2, 0.001], []), ([0.5, 0.2, 0.002], [])]
    assert curve.metadata.total_iterations == 20


def of(**fields: Any) -> dict[str, Any]:
    """A spec of 5 iterations with some fields."""
    return {"target_lr": 0.1, "total_iterations": 5, **fields}


def after(kind: Any, **fields: Any) -> dict[str, Any]:
    """A spec of 5 iterations with a scheduler."""
    return of(after_scheduler={"type": kind, **fields})


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        (-0.1, r"default \(-0.1\) must be a number in 0 … "),
        (float("nan"), r"default \(nan\)"),
        (True, r"default \(True\)"),
        ("0.1", r"default \('0.1'\)"),
        ([], r"default \(\[\]\) must have at least one LR"),
        ([0.1, float("inf")], r"default\[1\] \(inf\)"),
        ({}, "at least one param group"),
        ({"a": None}, r"a \(None\)"),
        ({"target_lr": 0.1}, r"total_iterations \(None\) must be iterations, a whole number in 1 … 2\*\*53"),
        ({"target_lr": 0.1, "total_iterations": "5ep"}, r"total_iterations \('5ep'\)"),
        (of(recipe="pythia-160m"), r"recipe \('pythia-160m'\) must not be given to be computed by the client"),
        (of(warm_up={}), "spec must have no 'warm_up'"),
        (of(warmup=3), r"warmup \(3\) must be an object"),
        (of(warmup={"iterations": 6}), r"\(6\) must not exceed .* \(5\)"),
        (of(warmup={"iterations": 1, "shape": "radam"}), r"warmup.shape \('radam'\) must be one of linear, cosine"),
        (of(param_groups=[{}, {"factor": 2, "target_lr": 1}]), r"param_groups\[1\].factor must not be given beside"),
        (of(param_groups=[{"name": "a"}, {}]), "param_groups must all have a name, or none"),
        (of(units={"iterations_per_epoch": 0}), r"units.iterations_per_epoch \(0\)"),
        (after("OneCycleLR"), r"after_scheduler.type \('OneCycleLR'\) must be one of StepLR"),
        (of(after_scheduler="StepLR"), r"after_scheduler.type \(None\)"),
        (after(["StepLR"]), r"after_scheduler.type \(\['StepLR'\]\)"),
        (after("MultiStepLR", milestones=3), r"after_scheduler.milestones \(3\) must be a list of"),
        (after("MultiStepLR", milestones=[6]), r"milestones \(6\) must not exceed the 5 iterations that are left"),
        (after("StepLR"), "after_scheduler.step_size is required"),
        (after("StepLR", step_size=2, x=1), "after_scheduler must have no 'x'"),
        (after("ExponentialLR", gamma=2), r"after_scheduler.gamma \(2\) must be a number in 0 … 1"),
        (after("CosineLR", min_lr=0, min_ratio=0), "after_scheduler.min_ratio must not be given beside min_lr"),
        ({"a": of(param_groups=[{}, {}])}, "a must be of one param group, not of group_0, group_1"),
    ],
)
def test_what_is_no_lr_is_refused(fallback: Any, message: str) -> None:
    """It raises with name, value and rule when the schedule is opened, not when the service is first away."""
    with pytest.raises(InvalidFallback, match=message):
        lrs(fallback, 1)


def test_a_file_is_a_fallback_in_json(tmp_path: Path) -> None:
    """An override file has any fallback, and an error in it names the file."""
    path = tmp_path / "override.json"
    path.write_text(json.dumps(REFERENCE_SPEC))
    read = curve_of_file(path, Request(schedule_id="f" * 32)).window(0)
    assert read is not None
    assert str(read.lrs[13]) == REFERENCE_ROWS[12]
    for text in ("", "{", "[[[", '{"a": "b"}', "[" * 100_000, "null"):
        path.write_text(text)
        with pytest.raises(InvalidFallback, match=r"override\.json: "):
            curve_of_file(path, Request(schedule_id="f" * 32))
