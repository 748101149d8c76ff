"""Epochs given for iterations: every duration of every scheduler is looked at, and no short one that is usual."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import TypeAdapter

from preheat.lint import Finding, lint
from preheat.specs import SCHEDULER_TYPES
from preheat.specs.duration_text import DurationText
from support.specs import curve

TOTAL = 450_000
PATTERN = json.dumps(TypeAdapter(DurationText).json_schema()["pattern"])

INSIDE: dict[tuple[str, str], tuple[Any, str]] = {
    ("PiecewiseLR", "points"): ([{"at": 0, "factor": 1.0}, {"at": 5, "factor": 0.1}], "points/1/at"),
    ("PhasesLR", "phases"): ([{"length": 3}, {"shape": "linear", "length": 5, "to": 0.01}], "phases/1/length"),
}
"""Fields with durations in what they are lists of: a value, and where the finding points."""

HARMLESS = {
    ("CooldownLR", "start"): "is filled in, and refused where it is another",
    ("ExpressionLR", "length"): "is filled in, and refused where it is another",
    ("ExpressionLR", "total_iterations"): "is filled in, and refused where it is another",
    ("ExpressionLR", "warmup_iterations"): "is filled in, and refused where it is another",
    ("OneCycleLR", "total_steps"): "is refused unless it is what is left of the run",
    ("RangeTestLR", "stair_length"): "may be as short as one iteration, which is its default",
}
"""Durations that need no look, with the reason."""


def durations() -> Iterator[tuple[str, str]]:
    """Every type and field that has a duration in it, itself or in what it is a list of."""
    for name, model in SCHEDULER_TYPES.items():
        schema = model.model_json_schema()
        # A type that may contain itself is a reference to one of its definitions.
        own = schema if "properties" in schema else schema["$defs"][name]
        for field, content in own["properties"].items():
            named = set(re.findall(r"\$defs/(\w+)", json.dumps(content))) - {*SCHEDULER_TYPES, "AfterScheduler"}
            if any(PATTERN in json.dumps(each) for each in (content, *(schema["$defs"][each] for each in named))):
                yield name, field


def epochs(after: dict[str, Any], **fields: Any) -> list[Finding]:
    """The findings about epochs of a schedule of 450,000 iterations with a warm-up of 4000."""
    spec = {"target_lr": 0.1, "total_iterations": TOTAL, "warmup": {"iterations": 4000}, "after_scheduler": after}
    return [finding for finding in lint(curve(spec, **fields)) if finding.rule == "looks-like-epochs"]


@pytest.mark.parametrize(("name", "field"), [each for each in durations() if each not in HARMLESS])
def test_five_epochs_are_seen_in_every_duration(name: str, field: str) -> None:
    """A duration of 5 in a run of 450,000 is a finding about its own field, whichever type has it."""
    model = SCHEDULER_TYPES[name]
    required = {
        each: info.examples[0] for each, info in model.model_fields.items() if info.is_required() and info.examples
    }
    is_list = field in {"milestones", "periods"}
    value, pointer = INSIDE.get((name, field), ([5] if is_list else 5, field))
    instead = {"T_0": None} if field == "periods" else {}
    found = epochs({"type": name, **required, **instead, field: value})
    assert f"/after_scheduler/{pointer}" in {finding.pointer for finding in found}
    assert {finding.severity for finding in found} == {"warning"}


def test_the_durations_of_every_type_are_known() -> None:
    """What the schema says is found: of a type with a length there is at least that."""
    found = set(durations())
    assert {
        ("CosineLR", "length"),
        ("MultiStepLR", "milestones"),
        ("PhasesLR", "phases"),
        ("StepLR", "step_size"),
    } <= found
    assert set(HARMLESS) | set(INSIDE) <= found


@pytest.mark.parametrize(
    "after",
    [
        {"type": "CosineAnnealingLR", "T_max": 90},
        {"type": "CosineLR", "length": 90},
        {"type": "PolynomialDecayLR", "length": 90},
        {"type": "WSDLR", "length": 90, "decay_length": 9},
        {"type": "FlatCosineLR", "length": 90, "flat_length": 9},
        {"type": "KDecayLR", "length": 90},
        {"type": "REXLR", "length": 90},
        {"type": "CosineRestartsLR", "T_0": 90},
        {"type": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 90},
        {"type": "InverseTimeLR", "decay_rate": 0.5, "decay_length": 90},
        {"type": "ProductLR", "schedulers": [{"type": "CosineLR", "length": 90}]},
    ],
    ids=lambda after: after["type"],
)
def test_ninety_epochs_are_seen_in_what_decays(after: dict[str, Any]) -> None:
    """A decay over 90 iterations of 450,000 reads like epochs, with what to write instead."""
    assert 'write "90ep" and give units.iterations_per_epoch' in {finding.remedy for finding in epochs(after)}


def test_a_cosine_of_a_thousand_epochs_is_seen() -> None:
    """1000 in a run of 250,000 iterations is 1/250 of it."""
    (found,) = epochs({"type": "CosineLR", "length": 1000}, total_iterations=250_000)
    assert found.detail.startswith("length (1000) is 1/250 of the run")


@pytest.mark.parametrize(
    "after",
    [
        {"type": "StepLR", "step_size": 100, "gamma": 0.999},
        {"type": "ExponentialDecayLR", "decay_rate": 0.99999, "decay_length": 1},
        {"type": "InverseTimeLR", "decay_rate": 1e-5, "decay_length": 1},
        {"type": "CosineAnnealingWarmRestarts", "T_0": 10, "T_mult": 2},
        {"type": "CosineRestartsLR", "T_0": 10, "T_mult": 2.0},
        {"type": "FlatCosineLR", "flat_length": 1},
        {"type": "InverseSqrtLR"},
        {"type": "ConstantLR", "factor": 1.0},
        {"type": "CooldownLR", "length": 1000, "scheduler": {"type": "InverseSqrtLR"}},
        {"type": "WSDLR", "decay_length": 1000},
        {
            "type": "SequentialLR",
            "schedulers": [{"type": "LinearLR", "total_iters": 500}, {"type": "CosineLR"}],
            "milestones": [500],
        },
        {"type": "WindowLR", "end": 1000, "scheduler": {"type": "LinearLR", "total_iters": 1000}},
    ],
    ids=lambda after: after["type"],
)
def test_short_durations_that_are_usual_are_no_finding(after: dict[str, Any]) -> None:
    """Small steps by little, first cycles that grow, warm-ups in a chain and short tails are meant as they are."""
    total = 50_000 if after["type"] == "StepLR" else TOTAL
    assert epochs(after, total_iterations=total) == []


def test_a_warmup_that_follows_from_beta2_is_no_finding() -> None:
    """Nobody wrote the 40 iterations that a β2 of 0.95 gives."""
    warmup = {"shape": "untuned_linear", "beta2": 0.95, "decay_clock": "dampened"}
    assert epochs({"type": "CosineLR"}, warmup=warmup) == []
    assert [finding.pointer for finding in epochs({"type": "CosineLR"}, warmup={"iterations": 40})] == [
        "/warmup/iterations"
    ]


@pytest.mark.parametrize(
    ("after", "pointer"),
    [
        (
            {"type": "PhasesLR", "phases": [{"shape": "linear", "length": 5, "from": 0, "to": 0.1}, {}]},
            "phases/0/length",
        ),
        ({"type": "PiecewiseLR", "points": [{"at": 5, "factor": 1}, {"at": 440_000, "factor": 0.1}]}, "points/0/at"),
    ],
    ids=lambda each: each["type"] if isinstance(each, dict) else "",
)
def test_a_brief_first_part_is_seen_before_a_long_one(after: dict[str, Any], pointer: str) -> None:
    """A warm-up of 5 that is a phase, or ends at a point, is seen though what follows it takes the rest of the run."""
    (found,) = epochs(after)
    assert found.pointer == f"/after_scheduler/{pointer}"


def test_five_epochs_are_seen_in_the_hold_of_a_warmup() -> None:
    """Hold 5 of a warm-up in a run of 450,000 was meant as an epoch or more; 312, an epoch, was not."""
    after = {"type": "CosineLR"}
    (found,) = epochs(after, warmup={"iterations": 4000, "hold": 5})
    assert found.pointer == "/warmup/hold"
    assert found.detail == "hold (5) is 1/90000 of the run: it reads like epochs"
    assert epochs(after, warmup={"iterations": 4000, "hold": 312}) == []
