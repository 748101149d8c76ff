"""Amendments: folded on values, in order, bit for bit what their definitions say, on every kind of schedule."""

import json
import math
import time
from bisect import bisect_right
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preheat.analysis.difference import difference
from preheat.analysis.window import totals
from preheat.conversions.exporters import export
from preheat.curve import Curve
from preheat.errors import NotExpressible
from preheat.lint import lint
from preheat.plot.options import PlotOptions
from preheat.plot.render import render
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, Phase

TOTAL = 60
GROUPS = ("backbone", "head")

Fields = dict[str, Any]
Value = Callable[[int], float]

BASES: list[Fields | None] = [
    None,
    {"type": "CosineAnnealingLR"},
    {"type": "WSDLR", "decay_length": 20},
    {"type": "ExpressionLR", "expression": "1 + sin(n)"},
    {"type": "MultiplicativeLR", "lr_lambda": 0.97},
    {"type": "SWALR", "swa_lr": 0.001},
]


def spec(after: Fields | None, amendments: list[Fields] | None = None, **fields: Any) -> Fields:
    """Two param groups, a warm-up of 5, 60 iterations."""
    whole = {
        "target_lr": 0.1,
        "total_iterations": TOTAL,
        "warmup": 5,
        "param_groups": [{"name": "backbone"}, {"name": "head", "target_lr": 0.02}],
        "after_scheduler": after,
        "amendments": amendments,
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not None}


def curve(*args: Any, **fields: Any) -> Curve:
    """The curve of such a spec."""
    return Curve(Schedule.of(spec(*args, **fields)))


def folded(asked: Fields, group: int) -> Value:
    """The values of a group by the definitions of the amendments, one function around the other."""
    plain = {name: value for name, value in asked.items() if name != "amendments"}
    base = Curve(Schedule.of(plain))
    total = base.total_iterations
    table = base.window(0, total + 1)[:, group].tolist()
    value: Value = lambda n: table[min(n, base.total_iterations)]  # noqa: E731
    for amendment in asked.get("amendments", ()):
        value, total = _amended(value, amendment, group, total)
    return value


def _amended(before: Value, amendment: Fields, group: int, total: int) -> tuple[Value, int]:
    start, stop = amendment["start"], amendment.get("stop")
    end = math.inf if stop is None else stop
    own: Value | None = None
    if amendment.get("policy") == "move-cooldown":
        last, by = amendment["moved_from"], amendment["moved_by"]

        def moved(n: int) -> float:
            return before(max(last, n - by) if n > last and start <= n < end else n)

        return moved, amendment["total_iterations"] if stop is None else total
    if amendment["op"] == "extend":

        def longer(n: int) -> float:
            return before(total if total < n < start else n)

        return longer, amendment["total_iterations"] if stop is None else total
    if GROUPS[group] not in amendment.get("param_groups", GROUPS):
        is_whole = False
    else:
        is_whole = "param_groups" not in amendment and stop is None
        own = _own(before, amendment, group)
    if is_whole and amendment["op"] == "cooldown":
        total = start + amendment["iterations"] - 1
    if is_whole and amendment["op"] == "replace":
        total = amendment["schedule"]["total_iterations"] + (start - 1 if amendment["clock"] == "here" else 0)
    return (lambda n: own(n) if own is not None and start <= n < end else before(n)), total


def _own(before: Value, amendment: Fields, group: int) -> Value:
    start = amendment["start"]
    match amendment["op"]:
        case "scale":
            factor, floor = amendment["factor"], amendment.get("floor")
            if floor is None:
                return lambda n: before(n) * factor
            return lambda n: min(before(n), max(before(n) * factor, floor))
        case "hold":
            held = amendment["value"]
            return lambda _: held[GROUPS[group]] if isinstance(held, dict) else held
        case "rewarm":
            length, first = amendment["iterations"], amendment["start_factor"]

            def ramp(n: int) -> float:
                i = n - start + 1
                return before(n) * (first + (1.0 - first) * (i / length)) if i < length else before(n)

            return ramp
        case "cooldown":
            length, to, top = amendment["iterations"], amendment["to"], before(max(start - 1, 0))

            def fall(n: int) -> float:
                x = min((n - start + 1) / length, 1.0)
                height = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "1-sqrt": 1 - math.sqrt(x)}
                return float(to + (top - to) * height[amendment["shape"]])

            return fall
    own, by = folded(amendment["schedule"], group), start - 1 if amendment["clock"] == "here" else 0
    return lambda n: own(n - by)


_SHARES = st.floats(0, 1).map(lambda share: round(share, 3))
_LRS = st.floats(1e-6, 0.5).map(lambda lr: round(lr, 6))
_STARTS = st.integers(0, TOTAL + 10)
_IN = {"param_groups": st.sampled_from([["head"], ["backbone"]])}


@st.composite
def amendments(draw: st.DrawFn) -> list[Fields]:
    """A few amendments, of which some end again, and some are of one group."""
    own = st.one_of(
        st.fixed_dictionaries({"op": st.just("scale"), "factor": _SHARES}, optional={**_IN, "floor": st.just(0.003)}),
        st.fixed_dictionaries({"op": st.just("scale"), "factor": st.floats(1, 3)}, optional=_IN),
        st.fixed_dictionaries({"op": st.just("hold"), "value": _LRS}, optional=_IN),
        st.fixed_dictionaries(
            {"op": st.just("hold"), "value": st.fixed_dictionaries({"backbone": _LRS, "head": _LRS})}
        ),
        st.fixed_dictionaries(
            {"op": st.just("rewarm"), "iterations": st.integers(1, 20), "start_factor": _SHARES}, optional=_IN
        ),
        st.fixed_dictionaries(
            {
                "op": st.just("cooldown"),
                "iterations": st.integers(1, 30),
                "to": _LRS,
                "shape": st.sampled_from(["linear", "cosine", "1-sqrt"]),
            },
            optional=_IN,
        ),
        st.fixed_dictionaries(
            {
                "op": st.just("replace"),
                "clock": st.sampled_from(["run", "here"]),
                "schedule": st.sampled_from(BASES).map(lambda after: spec(after, total_iterations=40)),
            },
            optional=_IN,
        ),
        st.fixed_dictionaries({"op": st.just("extend"), "total_iterations": st.integers(TOTAL, 90)}),
        st.fixed_dictionaries(
            {
                "op": st.just("extend"),
                "policy": st.just("move-cooldown"),
                "total_iterations": st.integers(TOTAL, 90),
                "moved_from": st.integers(0, 60),
                "moved_by": st.integers(1, 30),
            }
        ),
    )
    found = []
    for amendment in draw(st.lists(own, min_size=1, max_size=7)):
        start = draw(_STARTS)
        length = draw(st.none() | st.integers(1, 40))
        found.append({**amendment, "start": start, **({} if length is None else {"stop": start + length})})
    return found


@given(st.sampled_from(BASES), amendments())
@settings(max_examples=150)
def test_every_value_is_that_of_the_definitions(after: Fields | None, changes: list[Fields]) -> None:
    """To the last bit, in blocks and as points, in any order, past the end of every schedule within."""
    asked = spec(after, changes)
    found = Curve(Schedule.of(asked))
    columns = [[value(n) for n in range(found.total_iterations + 1)] for value in (folded(asked, 0), folded(asked, 1))]
    expected = [list(row) for row in zip(*columns, strict=True)]
    assert found.window(0, found.total_iterations + 1).tolist() == expected
    points = Curve(Schedule.of(asked))
    for n in [found.total_iterations, 0, *range(found.total_iterations, 0, -7)]:
        assert points.lr(n) == expected[n]


@given(st.sampled_from(BASES[:4]), amendments(), st.integers(1, 9))
@settings(max_examples=60)
def test_an_envelope_loses_no_peak(after: Fields | None, changes: list[Fields], parts: int) -> None:
    """In every part of a picture the lowest and the highest value are those of all its iterations."""
    found = curve(after, changes)
    firsts, lows, highs = found.envelope(0, found.total_iterations + 1, parts)
    values = found.window(0, found.total_iterations + 1)
    np.testing.assert_array_equal(lows, np.minimum.reduceat(values, firsts))
    np.testing.assert_array_equal(highs, np.maximum.reduceat(values, firsts))


@given(st.sampled_from(BASES[:4]), amendments())
@settings(max_examples=40)
def test_the_torch_script_prints_the_same(after: Fields | None, changes: list[Fields]) -> None:
    """The exported functions, run by Python alone, give every LR; torch's LambdaLR multiplies them by 1.0."""
    found = curve(after, changes)
    names: Fields = {"__name__": "exported"}
    exec(compile(export(found.schedule, "torch"), "exported", "exec"), names)  # noqa: S102 - our own script
    rows = [[names["lr_0"](n), names["lr_1"](n)] for n in range(found.total_iterations + 1)]
    np.testing.assert_allclose(rows, found.window(0, found.total_iterations + 1), rtol=1e-12, atol=0)


@given(st.sampled_from(BASES), amendments())
@settings(max_examples=40)
def test_an_answer_may_be_sent_again(after: Fields | None, changes: list[Fields]) -> None:
    """The normal form is its own: the same text and id, read back from the store too."""
    first = Schedule.of(spec(after, changes))
    assert Schedule.of(first.spec_dict).id == first.id
    assert Schedule.stored(first.id, first.text).spec == first.spec


def test_moving_the_cooldown_holds_the_lr_before_it() -> None:
    """Iteration 40 is the last stable iteration of a WSD with a tail of 20: twenty more hold it, then the same tail."""
    plain = curve({"type": "WSDLR", "decay_length": 20})
    longer = curve(
        {"type": "WSDLR", "decay_length": 20},
        [{"op": "extend", "start": 30, "total_iterations": 80, "policy": "move-cooldown"}],
    )
    before, after = plain.window(0, 61).tolist(), longer.window(0, 81).tolist()
    assert longer.schedule.spec.amendments is not None
    assert after == before[:41] + [before[40]] * 20 + before[41:]
    assert longer.schedule.spec.phases == [
        Phase("warm-up", 0, 6),
        Phase("stable", 6, 61),
        Phase("linear decay", 61, 81),
    ]


def test_a_move_of_something_else_than_the_last_phase_is_what_it_says() -> None:
    """Everything after 20 comes 7 later, from 25 on: 21 to 24 stay, 25 to 27 are as 20, and 28 is as 21."""
    plain = curve({"type": "CosineLR"}).window(0, 61).tolist()
    moved = {"op": "extend", "start": 25, "total_iterations": 80, "policy": "move-cooldown", "moved_from": 20}
    found = curve({"type": "CosineLR"}, [{**moved, "moved_by": 7}])
    assert found.window(0, 81).tolist() == plain[:25] + [plain[20]] * 3 + plain[21:] + [plain[60]] * 13
    assert found.schedule.spec.phases == [Phase("warm-up", 0, 6), Phase("CosineLR", 6, 81)]


def test_a_hold_at_0_for_300_iterations_and_then_as_before() -> None:
    """BLOOM-104B's night: LR 0 for 300 iterations, then the schedule as if nothing had been."""
    fields = {"total_iterations": 2000, "after_scheduler": {"type": "CosineAnnealingLR"}}
    plain = curve(None, **fields).window(0, 2001)
    held = curve(None, [{"op": "hold", "start": 1000, "stop": 1300, "value": 0}], **fields).window(0, 2001)
    plain[1000:1300] = 0.0
    np.testing.assert_array_equal(held, plain)


def test_a_hyperparameter_may_be_amended() -> None:
    """OPT-175B's gradient clip, 1.0 to 0.3 from an iteration on; LRs stay."""
    plain = curve(None, hyperparameters={"gradient_clip": 1.0})
    changed = curve(
        None,
        [{"op": "hold", "start": 30, "value": 0.3, "hyperparameter": "gradient_clip"}],
        hyperparameters={"gradient_clip": 1.0},
    )
    expected = plain.window(0, 61)
    expected[30:, 2:] = 0.3
    np.testing.assert_array_equal(changed.window(0, 61), expected)


@pytest.mark.parametrize("after", [{"type": "CosineAnnealingLR"}, {"type": "MultiplicativeLR", "lr_lambda": 0.9999}])
def test_a_thousand_amendments_answer_a_point_in_less_than_a_millisecond(after: Fields) -> None:
    """All of them in force at the last iteration; the value is that of a thousand multiplications."""
    changes = [{"op": "scale", "start": 10 * i, "factor": 0.999} for i in range(1, 1001)]
    asked = curve(after, changes, total_iterations=12_000)
    plain = curve(after, total_iterations=12_000)
    expected = plain.lr(11_000)[0]
    for _ in range(1000):
        expected *= 0.999
    assert asked.lr(11_000)[0] == expected
    begun = time.perf_counter()
    for n in range(11_000, 11_100):
        asked.lr(n)
    assert (time.perf_counter() - begun) / 100 < 1e-3
    index = bisect_right([10 * i for i in range(1, 1001)], 5_005)
    expected = plain.lr(5_005)[1]
    for _ in range(index):
        expected *= 0.999
    assert asked.lr(5_005)[1] == expected


def test_everything_takes_an_amended_schedule() -> None:
    """Lint, sums and differences compute with its values, over its own length."""
    plain = curve({"type": "CosineAnnealingLR"})
    amended = curve({"type": "CosineAnnealingLR"}, [{"op": "cooldown", "start": 31, "iterations": 10, "to": 0.0}])
    assert amended.total_iterations == 40
    assert b"40 iterations, 1 amendment" in render([amended], PlotOptions(), "svg")
    assert "amended" not in {finding.rule for finding in lint(amended)}
    total = totals(amended, 0, 41)[0].sum
    assert total == pytest.approx(math.fsum(plain.window(0, 31)[:, 0]) + plain.lr(30)[0] * 4.5)
    found = difference(plain, amended, range(41), 0)
    assert found.first is not None
    assert found.first.iteration == 31
    with pytest.raises(NotExpressible, match="export to torch"):
        export(amended.schedule, "optax")


def test_what_grows_beyond_numbers_is_refused() -> None:
    """A factor of a million at each of twenty iterations would make the LR infinite with some base."""
    with pytest.raises(InvalidSpec, match="grow beyond 1e100"):
        curve(None, [{"op": "scale", "start": 1, "factor": 1e6}] * 20)


@pytest.mark.parametrize(
    ("amendment", "pointer", "rule"),
    [
        ({"op": "scale", "start": 1}, "/amendments/0/factor", "is required"),
        ({"op": "scal", "start": 1}, "/amendments/0/op", "did you mean scale"),
        ({"start": 1}, "/amendments/0/op", "is required: the name of an operation"),
        ({"op": "scale", "start": 1, "factor": 2, "floor": 0.1}, "/amendments/0/floor", "above 1"),
        ({"op": "scale", "start": 9, "stop": 9, "factor": 2}, "/amendments/0/stop", "greater than start (9)"),
        (
            {"op": "hold", "start": 1, "value": 1, "facto": 2},
            "/amendments/0/facto",
            "known: change, hyperparam",
        ),
        ({"op": "hold", "start": 1, "value": {"head": 1}}, "/amendments/0/value/backbone", "is required"),
        (
            {"op": "hold", "start": 1, "value": 1, "param_groups": ["h"]},
            "/amendments/0/param_groups/0",
            "backbone, head",
        ),
        ({"op": "hold", "start": 1, "value": 1, "hyperparameter": "beta"}, "/amendments/0/hyperparameter", "one of lr"),
        ({"op": "rewarm", "start": "3tok", "iterations": 3}, "/amendments/0/start", "units.tokens_per_iteration"),
        (
            {"op": "replace", "start": 1, "schedule": {"target_lr": 1, "total_iterations": 5}},
            "/amendments/0/schedule",
            "must have the columns backbone, head",
        ),
        (
            {"op": "replace", "start": 1, "schedule": {"target_lr": -1, "total_iterations": 5}},
            "/amendments/0/schedule/target_lr",
            "≥ 0",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 50, "policy": "move-cooldown"},
            "/amendments/0/total_iterations",
            "greater than that of the schedule so far (60)",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "policy": "move-cooldown", "moved_by": 5},
            "/amendments/0/moved_from",
            "is required beside moved_by",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "moved_by": 5},
            "/amendments/0/moved_by",
            "where nothing is moved",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "policy": "move-cooldown", "held_from": 5},
            "/amendments/0/held_from",
            "where the last phase is moved",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "held_from": "0%"},
            "/amendments/0/held_from",
            "whole number",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "moved_from": "10%", "moved_by": 5},
            "/amendments/0/moved_from",
            "whole number",
        ),
        (
            {"op": "extend", "start": 1, "total_iterations": 90, "moved_from": 5, "moved_by": "10%"},
            "/amendments/0/moved_by",
            "whole number",
        ),
    ],
)
def test_a_bad_amendment_is_refused_at_its_place(amendment: Fields, pointer: str, rule: str) -> None:
    """With field, value and rule."""
    with pytest.raises(InvalidSpec) as refused:
        curve(None, [amendment])
    found = {each.pointer: each.detail for each in refused.value.violations}
    assert rule in found[pointer], found


def test_schedules_without_amendments_keep_their_ids() -> None:
    """An empty list is none, and none is not written down."""
    assert Schedule.of(spec(None, [])).id == Schedule.of(spec(None)).id
    assert "amendments" not in json.loads(Schedule.of(spec(None)).text)["spec"]
