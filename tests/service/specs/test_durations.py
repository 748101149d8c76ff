"""Durations: which texts are one, and that every field which takes one resolves it as plain arithmetic does."""

import math
import re
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.after_schedulers.phases import Segment
from preheat.specs.after_schedulers.piecewise import Point
from preheat.specs.duration_text import Duration
from preheat.specs.durations import Iterations, IterationsOrZero
from support.specs import spec

TOTAL, WARMUP = 1000, 100
LEFT = TOTAL - WARMUP

RAMP: list[dict[str, float]] = [
    {"start": 0, "size": 10, "end_size": 40},
    {"start": 5000, "size": 40},
    {"start": 20_000, "size": 100},
]
UNITS = {"iterations_per_epoch": 12.5, "samples_per_iteration": 32, "tokens_per_iteration": RAMP}


def tokens_after(iterations: float) -> float:
    """Tokens of RAMP after so many iterations, added up step by step: a growing one by its mean size."""
    lengths = [5000 / 25, 15_000 / 40, math.inf]
    done = 0.0
    for step, length in zip(RAMP, lengths, strict=True):
        x = min(iterations, length)
        end = step["size"] + (step.get("end_size", step["size"]) - step["size"]) * (x / length)
        done += x * (step["size"] + end) / 2
        iterations -= x
        if iterations <= 0:
            break
    return done


def when_done(tokens: float) -> float:
    """The iteration after which so many tokens are done, by bisection."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if tokens_after(middle) < tokens else (low, middle)
    return high


def exact_iterations(amount: float, unit: str, *, start: int | None, stop: int | None = None) -> float:
    """Iterations of a duration that begins at `start`, or ends at `stop`, before they are rounded."""
    match unit:
        case "it":
            return amount
        case "%":
            return TOTAL * amount / 100
        case "ep":
            return amount * 12.5
        case "sp":
            return amount / 32
    if stop is not None:
        return stop - when_done(max(tokens_after(stop) - amount, 0.0))
    return when_done(tokens_after(start or 0) + amount) - (start or 0)


STEP = {"type": "StepLR", "step_size": 5}
HOLD = {"type": "ConstantLR"}

FIELDS: dict[tuple[str, str], tuple[dict[str, Any], int, bool]] = {
    # (type, field): the other fields, the least number of iterations, whether it ends with the run
    ("StepLR", "step_size"): ({}, 1, False),
    ("MultiStepLR", "milestones/0"): ({"milestones": [None]}, 1, False),
    ("ConstantLR", "total_iters"): ({}, 1, False),
    ("LinearLR", "total_iters"): ({}, 1, False),
    ("PolynomialLR", "total_iters"): ({}, 1, False),
    ("CosineAnnealingLR", "T_max"): ({}, 1, False),
    ("SWALR", "anneal_epochs"): ({"swa_lr": 0.1}, 0, False),
    ("CosineAnnealingWarmRestarts", "T_0"): ({}, 1, False),
    ("CyclicLR", "step_size_up"): ({"base_lr": 0.1, "max_lr": 1}, 1, False),
    ("CyclicLR", "step_size_down"): ({"base_lr": 0.1, "max_lr": 1}, 1, False),
    ("OneCycleLR", "total_steps"): ({"max_lr": 1}, 1, False),
    ("SequentialLR", "milestones/0"): ({"schedulers": [STEP, HOLD], "milestones": [None]}, 1, False),
    ("PolynomialDecayLR", "length"): ({}, 1, False),
    ("CosineLR", "length"): ({}, 1, False),
    ("KDecayLR", "length"): ({}, 1, False),
    ("TanhLR", "length"): ({}, 1, False),
    ("REXLR", "length"): ({}, 1, False),
    ("ExponentialDecayLR", "decay_length"): ({"decay_rate": 0.5}, 1, False),
    ("InverseTimeLR", "decay_length"): ({"decay_rate": 0.5}, 1, False),
    ("InverseSqrtLR", "timescale"): ({}, 1, False),
    ("NoamLR", "warmup_iterations"): ({"d_model": 8}, 1, False),
    ("CosineRestartsLR", "T_0"): ({}, 1, False),
    ("CosineRestartsLR", "periods/0"): ({"periods": [None, 5]}, 1, False),
    ("WSDLR", "length"): ({"decay_length": 0}, 1, False),
    ("WSDLR", "decay_length"): ({}, 0, True),
    ("FlatCosineLR", "length"): ({"flat_length": 0}, 1, False),
    ("FlatCosineLR", "flat_length"): ({}, 0, False),
    ("TriStageLR", "warmup_iterations"): ({"hold_iterations": 5, "decay_iterations": 5}, 0, False),
    ("TriStageLR", "hold_iterations"): ({"warmup_iterations": 0, "decay_iterations": 5}, 0, False),
    ("TriStageLR", "decay_iterations"): ({"warmup_iterations": 0, "hold_iterations": 0}, 1, False),
    ("SlantedTriangularLR", "length"): ({}, 1, False),
    ("RangeTestLR", "length"): ({}, 1, False),
    ("RangeTestLR", "stair_length"): ({}, 1, False),
    ("PiecewiseLR", "points/0/at"): ({"points": [{"at": None, "lr": 0.1}]}, 0, False),
    ("TableLR", "hold"): ({"values": [0.1]}, 1, False),
    ("ExpressionLR", "total_iterations"): ({"expression": "1"}, 1, False),
    ("ExpressionLR", "warmup_iterations"): ({"expression": "1"}, 0, False),
    ("ExpressionLR", "length"): ({"expression": "1"}, 0, False),
    ("PhasesLR", "phases/0/length"): ({"phases": [{"length": None}]}, 1, False),
    ("WindowLR", "begin"): ({"scheduler": HOLD}, 0, False),
    ("WindowLR", "end"): ({"scheduler": HOLD}, 1, False),
    ("StaircaseLR", "hold"): ({"scheduler": HOLD}, 1, False),
    ("CooldownLR", "length"): ({"scheduler": HOLD}, 1, True),
    ("CooldownLR", "start"): ({"scheduler": HOLD, "length": 1}, 0, False),
}
"""Every field of a scheduler that takes a duration."""


def with_value(fields: Any, path: list[str], value: Any) -> Any:
    """The fields with a value at a path."""
    if not path:
        return value
    if isinstance(fields, list):
        index = int(path[0])
        return [*fields[:index], with_value(fields[index], path[1:], value), *fields[index + 1 :]]
    return {**fields, path[0]: with_value(fields.get(path[0]), path[1:], value)}


def at_path(value: Any, path: list[str]) -> Any:
    """The value at a path."""
    for part in path:
        value = value[int(part) if part.isdigit() else part]
    return value


REPEATED = ("StaircaseLR", "hold")


def test_every_field_that_takes_a_duration_is_resolved_here() -> None:
    """A new field for a duration is not done before it is in the list that these tests go through."""
    found = set()
    models: dict[str, type[BaseModel]] = {
        **SCHEDULER_TYPES,
        "PiecewiseLR/points/0": Point,
        "PhasesLR/phases/0": Segment,
    }
    for path, model in models.items():
        schema = model.model_json_schema()
        for name, field in (schema.get("$defs", {}).get(path) or schema)["properties"].items():
            if "it|ep|sp|tok" in str(field):
                found.add(f"{path}/{name}")
    assert found == {f"{kind}/{field}".removesuffix("/0") for kind, field in FIELDS}


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind}-{field}" for kind, field in FIELDS])
@settings(max_examples=25)
@given(unit=st.sampled_from(["it", "%", "ep", "sp", "tok"]), share=st.floats(0, 1) | st.floats(0, 0.002))
def test_a_duration_is_resolved_in_every_field(kind: str, field: str, unit: str, share: float) -> None:
    """The field has the nearest iteration by plain arithmetic, or is refused by field, value and rule if that is 0."""
    others, least, is_at_end = FIELDS[kind, field]
    whole = {"it": LEFT, "%": 90, "ep": LEFT / 12.5, "sp": LEFT * 32, "tok": 40_000}[unit]
    text = f"{share * whole:.6f}{unit}"
    start, stop = (None, TOTAL) if is_at_end else (WARMUP, None)
    exact = exact_iterations(float(text.removesuffix(unit)), unit, start=start, stop=stop)
    assume(abs(exact % 1 - 0.5) > 1e-6)
    expected = math.floor(exact + 0.5)
    path = field.split("/")
    after = with_value({"type": kind, **others}, path, text)
    found, error = None, None
    try:
        found = spec(after, total_iterations=TOTAL, warmup={"iterations": WARMUP}, units=UNITS).after_scheduler
    except InvalidSpec as refused:
        error = refused
    if error is not None:
        message = error.violations[0].detail
        assert error.violations[0].pointer.startswith(f"/after_scheduler/{path[0]}") or kind == "WindowLR"
        if (kind, field) == REPEATED and "must be whole iterations" in message:  # counted from the start of the run
            assert exact != expected
        elif expected < least:
            assert f'("{text}") must be ≥ {least} iterations, and is {expected} here' in message
        else:  # another rule, about the number of iterations that it has become
            assert re.search(rf"\({expected}\)", message) or kind == "WindowLR"
        return
    assert expected >= least
    assert found is not None
    assert at_path(found.model_dump(by_alias=True), path) == expected


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("10%", 10.0, "%"),
        ("0.5%", 0.5, "%"),
        ("2000it", 2000.0, "it"),
        ("5ep", 5.0, "epoch"),
        ("4e6sp", 4e6, "samples"),
        ("4E+6sp", 4e6, "samples"),
        ("3.75e2tok", 375.0, "tokens"),
        ("5e-1ep", 0.5, "epoch"),
        ("007it", 7.0, "it"),
        ("0it", 0.0, "it"),
        ("5 ep", 5.0, "epoch"),
        ("100ba", 100.0, "it"),
        ("0.06dur", 6.0, "%"),
        ("0.29dur", 29.0, "%"),
        ("1dur", 100.0, "%"),
        ("9007199254740992e6it", 2**53 * 1e6, "it"),
    ],
)
@pytest.mark.parametrize(("field", "least"), [(Iterations, 1), (IterationsOrZero, 0)])
def test_a_duration_is_an_amount_and_a_unit(text: str, amount: float, unit: str, field: Any, least: int) -> None:
    """A text is a number, in decimal or scientific notation, and one of seven units; its field says the least."""
    assert TypeAdapter(field).validate_python(text) == Duration(text, amount, unit, least)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *[
            "",
            "5",
            "@",
            "@5",
            "@@5%",
            "5% @",
            "it",
            "%",
            " 5it",
            "5it ",
            "5  it",
            "5it\n",
            "+5it",
            "-5it",
            ".5it",
            "5.it",
            "1e it",
            "1_0it",
            "0x5it",
        ],
        *["5its", "inf%", "nan%", "5%%", "5ep5it", "5min", "\u0665it", "1" * 31 + "it", "\ud800it", "5IT"],
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Signs, other blanks, other units, other digits and more than 32 characters make a text no duration."""
    with pytest.raises(ValidationError, match="must be a whole number of iterations or a duration"):
        TypeAdapter(Iterations).validate_python(text)


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (0, "greater than or equal to 1"),
        (-1, "greater than or equal to 1"),
        (2**53 + 1, "less than or equal to 9007199254740992"),
        (10**400, "less than or equal to 9007199254740992"),
        (1.5, "valid integer"),
        ("9007199254740993e6it", "must be shorter"),
        ("1e999tok", "must be shorter"),
    ],
)
def test_iterations_and_amounts_have_bounds(value: Any, rule: str) -> None:
    """A whole number is 1 … 2⁵³, an amount at most a million times that: beyond it floats have gaps."""
    assert TypeAdapter(Iterations).validate_python(2**53) == 2**53
    with pytest.raises(ValidationError, match=rule):
        TypeAdapter(Iterations).validate_python(value)


@pytest.mark.parametrize(
    ("amount", "refusal"), [("9007199254740992it", None), ("9007199254740994it", "must be ≤ 90071")]
)
def test_a_resolved_duration_is_held_against_the_most_iterations(amount: str, refusal: str | None) -> None:
    """What a text becomes may be as long as a number may be, and no longer."""
    after = {"type": "StepLR", "step_size": amount}
    if refusal is None:
        assert spec(after).after_scheduler.step_size == 2**53  # type: ignore[union-attr]
    else:
        with pytest.raises(InvalidSpec, match=refusal):
            spec(after)


def test_phases_begin_where_the_phases_before_have_ended() -> None:
    """In a growing batch the same tokens take fewer iterations in a later phase, and a phase knows where it begins."""
    phases = [{"length": "8000tok"}, {"length": "8000tok"}, {"length": "8000tok"}]
    found = spec(
        {"type": "PhasesLR", "phases": phases}, total_iterations=TOTAL, warmup={"iterations": WARMUP}, units=UNITS
    )
    lengths, begin = [], WARMUP
    for _ in phases:
        lengths.append(math.floor(exact_iterations(8000, "tok", start=begin) + 0.5))
        begin += lengths[-1]
    assert [phase["length"] for phase in found.after_scheduler.model_dump()["phases"]] == lengths  # type: ignore[union-attr]
    assert lengths[0] > lengths[1] > lengths[2]


def test_a_nested_scheduler_counts_from_where_it_begins() -> None:
    """In a sequence and in a window a duration in tokens begins at the child's own iteration 0."""
    step = {"type": "StepLR", "step_size": "8000tok"}
    expected = math.floor(exact_iterations(8000, "tok", start=WARMUP + 500) + 0.5)
    sequence = {"type": "SequentialLR", "schedulers": [HOLD, step], "milestones": [500]}
    window = {"type": "WindowLR", "scheduler": step, "begin": 500}
    fields = {"total_iterations": TOTAL, "warmup": {"iterations": WARMUP}, "units": UNITS}
    assert spec(sequence, **fields).after_scheduler.schedulers[1].step_size == expected  # type: ignore[union-attr]
    assert spec(window, **fields).after_scheduler.scheduler.step_size == expected  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["0.01%", "0.3it", "0.01ep", "1sp", "1tok"])
def test_a_duration_of_no_iteration_is_refused_where_one_is_needed(text: str) -> None:
    """What rounds to 0 iterations is refused by field, value and rule in every unit, and is 0 where that may be."""
    fields = {"total_iterations": TOTAL, "warmup": {"iterations": WARMUP}, "units": UNITS}
    with pytest.raises(InvalidSpec) as refused:
        spec({"type": "CosineLR", "length": text}, **fields)
    assert str(refused.value) == f'after_scheduler.length ("{text}") must be ≥ 1 iterations, and is 0 here'
    assert spec({"type": "SWALR", "swa_lr": 0.1, "anneal_epochs": text}, **fields).after_scheduler.anneal_epochs == 0  # type: ignore[union-attr]


def test_every_duration_whose_unit_is_not_known_is_named_at_once() -> None:
    """A warm-up, a scheduler and one inside another are told together, before any length is checked."""
    inner = {"type": "SWALR", "swa_lr": 0.1, "anneal_epochs": "2ep"}
    after = {"type": "CooldownLR", "length": "5sp", "scheduler": inner}
    with pytest.raises(InvalidSpec) as refused:
        spec(after, warmup={"iterations": "42000tok"})
    assert {violation.pointer for violation in refused.value.violations} == {
        "/warmup/iterations",
        "/after_scheduler/length",
        "/after_scheduler/scheduler/anneal_epochs",
    }


@pytest.mark.parametrize("length", ["2ep", "66it", 66])
def test_a_tail_that_would_begin_before_the_run_is_refused_however_it_is_written(length: int | str) -> None:
    """66 iterations do not fit into 5, in any unit."""
    after = {"type": "CooldownLR", "length": length, "scheduler": {"type": "CosineLR"}}
    with pytest.raises(InvalidSpec, match=r"length \(66\) must not exceed the 5 iterations"):
        spec(after, total_iterations=5, warmup=None, units={"iterations_per_epoch": 33})


@pytest.mark.parametrize(
    ("after", "fields"),
    [
        (
            {"type": "TriStageLR", **dict.fromkeys(("warmup_iterations", "hold_iterations", "decay_iterations"), None)},
            ["warmup_iterations", "hold_iterations", "decay_iterations"],
        ),
        ({"type": "CosineRestartsLR", "periods": [None, None, None]}, ["periods/0", "periods/1", "periods/2"]),
    ],
)
def test_stages_begin_where_the_stages_before_have_ended(after: dict[str, Any], fields: list[str]) -> None:
    """As phases do: of a growing batch the same tokens take fewer iterations in a later stage or cycle."""
    begin, expected = WARMUP, []
    for _ in fields:
        expected.append(math.floor(exact_iterations(8000, "tok", start=begin) + 0.5))
        begin += expected[-1]
    for field in fields:
        after = with_value(after, field.split("/"), "8000tok")
    found = spec(after, total_iterations=TOTAL, warmup={"iterations": WARMUP}, units=UNITS).after_scheduler
    assert found is not None
    assert [at_path(found.model_dump(), field.split("/")) for field in fields] == expected
    assert expected[0] > expected[-1]


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=[f"{kind}-{field}" for kind, field in FIELDS])
@settings(max_examples=15)
@given(unit=st.sampled_from(["it", "ba", "%", "dur", "ep", "sp", "tok"]), share=st.floats(0, 1))
def test_a_point_of_the_run_is_until_then_in_every_field(kind: str, field: str, unit: str, share: float) -> None:
    """From where the field begins to the point, or from the point to the end of the run; else it is refused."""
    others, least, is_at_end = FIELDS[kind, field]
    whole = {"it": TOTAL, "ba": TOTAL, "%": 100, "dur": 1, "ep": 80, "sp": 32_000, "tok": 40_000}[unit]
    text = f"@{share * whole:.6f}{unit}"
    amount, known = float(text[1:].removesuffix(unit)), {"ba": "it", "dur": "%"}.get(unit, unit)
    exact = exact_iterations(amount * 100 if unit == "dur" else amount, known, start=0)
    assume(abs(exact % 1 - 0.5) > 1e-4)
    point = math.floor(exact + 0.5)
    expected = TOTAL - point if is_at_end else point - WARMUP
    path = field.split("/")
    after = with_value({"type": kind, **others}, path, text)
    fields = {"total_iterations": TOTAL, "warmup": {"iterations": WARMUP}, "units": UNITS}
    try:
        found = spec(after, **fields).after_scheduler
    except InvalidSpec as refused:
        message = refused.violations[0].detail
        if (kind, field) == REPEATED:
            assert "must be a duration and no point of the run" in message
        elif expected < 0:
            assert f'("{text}") must be a point after the iteration at which this begins' in message
        elif expected < least:
            assert f'("{text}") must be ≥ {least} iterations, and is {expected} here' in message
        elif (kind, field) == REPEATED:  # from the start of the run on, and so to be whole
            assert "must be whole iterations" in message
            assert exact != expected
        else:  # another rule, about the number of iterations that it has become
            assert re.search(rf"\({expected}\)", message) or kind == "WindowLR"
        return
    assert found is not None
    assert (kind, field) != REPEATED
    assert at_path(found.model_dump(by_alias=True), path) == expected


def test_a_decay_may_end_at_a_share_of_the_run_whatever_the_warmup() -> None:
    """A cosine until 80 % of 1000 iterations, after a warm-up of 100, is one of 700, to the last bit."""
    fields = {"target_lr": 2e-4, "total_iterations": 1000, "warmup": 100}
    at = Schedule(spec({"type": "CosineLR", "length": "@80%", "min_ratio": 0.1}, **fields))
    assert at.id == Schedule(spec({"type": "CosineLR", "length": 700, "min_ratio": 0.1}, **fields)).id
    lrs = Curve(at).window(0, 1001)[:, 0].tolist()
    expected = [2e-4 * (0.1 + 0.9 * (1 + math.cos(math.pi * min((n - 100) / 700, 1))) / 2) for n in range(100, 1001)]
    assert lrs[100:] == pytest.approx(expected, rel=1e-12)
    # In fields that begin with the run a point and a share are the same.
    assert spec(total_iterations=1000, warmup="@10%") == spec(total_iterations="@1000it", warmup="10%")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("5epochs", "5ep"),
        ("5 Epochs", "5ep"),
        ("100 steps", "100it"),
        ("100 batches", "100it"),
        ("2T tokens", "2e12tok"),
        ("5btok", "5e9tok"),
        ("10percent", "10%"),
        ("@80 pct", "@80%"),
        ("5  ep", "5ep"),
        ("5IT", "5it"),
        (".5it", "0.5it"),
        ("0.1", "10%"),
        (".05", "5%"),
    ],
)
def test_what_is_nearly_a_duration_is_refused_with_the_one_that_is_meant(text: str, meant: str) -> None:
    """Another name of a unit, a scale, other blanks and a share without its sign are answered with what to write."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Iterations).validate_python(text)
    message = refused.value.errors()[0]["msg"]
    assert message.endswith(f'; did you mean "{meant}"?')
    duration_of = TypeAdapter(IterationsOrZero).validate_python(meant)
    assert isinstance(duration_of, Duration)


@pytest.mark.parametrize("text", ["5min", "5 x", "x", "5s", "1h", "-5it", "5t"])
def test_what_has_no_meaning_is_refused_without_a_suggestion(text: str) -> None:
    """Seconds are no duration here, and a letter that may be several units is none."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Iterations).validate_python(text)
    assert "did you mean" not in refused.value.errors()[0]["msg"]


def test_a_number_in_quotes_is_refused_as_one() -> None:
    """The text "1000" is no duration; what is meant is told."""
    with pytest.raises(InvalidSpec, match=r'\("1000"\) .*; did you mean 1000, without quotes\?'):
        spec({"type": "CosineLR", "length": "1000"})
