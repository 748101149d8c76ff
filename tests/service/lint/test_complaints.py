"""What people complain of after the run, seen by lint before it; and rules that hold for any spec."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from after_schedulers import ANY, COMPOSITIONS, EXAMPLES, SHAPES
from preheat.curve import Curve
from preheat.lint import REFUSALS, Finding, lint, refusals
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, spec_of
from preheat.specs.violations import Kind
from support.specs import content, curve


def warnings(spec: dict[str, Any], first: int = 0) -> dict[str, Finding]:
    """The warnings about a spec, by rule."""
    return {finding.rule: finding for finding in lint(curve(spec), first=first) if finding.severity == "warning"}


@pytest.mark.parametrize(
    ("total", "warmup", "length", "share"), [(60_000, 500, 19_500, "67%"), (100_000, 4000, 46_000, "50%")]
)
def test_a_decay_that_ends_in_the_middle_of_the_run_is_a_warning(
    total: int, warmup: int, length: int, share: str
) -> None:
    """A polynomial decay that is over after a third or a half of the updates leaves the rest at LR 0."""
    after = {"type": "PolynomialDecayLR", "length": length}
    run = {"target_lr": 5e-4, "total_iterations": total, "warmup": {"iterations": warmup}}
    finding = warnings({**run, "after_scheduler": after})["stays-at-zero"]
    assert (finding.iteration, finding.pointer) == (warmup + length, "/after_scheduler")
    assert f"from iteration {warmup + length} to the end: {share} of the updates" in finding.detail
    assert warnings({**run, "after_scheduler": {**after, "min_ratio": 0.1}})["stays-at-floor"].iteration == total - (
        total - warmup - length
    )


def test_a_short_tail_at_the_floor_is_no_warning() -> None:
    """A decay to a tenth within 87% of the run, and the floor after it, is what GPT-3 did."""
    assert (
        warnings(
            {
                "target_lr": 6e-5,
                "total_iterations": 100_000,
                "warmup": {"iterations": 1000},
                "after_scheduler": {"type": "CosineLR", "length": 86_000, "min_ratio": 0.1},
            }
        )
        == {}
    )


@pytest.mark.parametrize(
    ("length", "said"),
    [(9000, "it is one warm-up (500) short"), (10_000, "it is one warm-up too long")],
)
def test_a_length_that_is_one_warmup_off_is_said_to_be(length: int, said: str) -> None:
    """A decay from which the warm-up is taken off twice, and one that counts from the start of the run."""
    spec = {"target_lr": 1e-4, "total_iterations": 10_000, "warmup": {"iterations": 500}}
    finding = warnings({**spec, "after_scheduler": {"type": "CosineLR", "length": length}})["length-mismatch"]
    assert said in finding.detail
    assert finding.pointer == "/after_scheduler/length"
    floor = {"type": "CosineLR", "length": length, "min_ratio": 0.1}
    held = next(each for each in lint(curve({**spec, "after_scheduler": floor})) if each.rule == "length-mismatch")
    assert (said in held.detail, held.severity) == (True, "info" if length == 9000 else "warning")
    other = lint(curve({**spec, "after_scheduler": {"type": "CosineLR", "length": length + 1}}))
    assert "warm-up" not in next(each for each in other if each.rule == "length-mismatch").detail


def test_absolute_phases_bring_every_group_to_the_same_peak() -> None:
    """A backbone at a tenth of the head's target peaks at the head's LR: the phases' ends are absolute."""
    phases = [{"shape": "cosine", "length": 80, "to": 1e-2}, {"shape": "cosine", "to": 1e-4}]
    groups = [{"name": "head"}, {"name": "backbone", "factor": 0.1}]
    spec = {"target_lr": 1e-4, "total_iterations": 200, "param_groups": groups}
    found = warnings({**spec, "after_scheduler": {"type": "PhasesLR", "phases": phases}})["group-target-ignored"]
    assert "head (0.0001), backbone (1e-05), have the same highest LR after the warm-up, 0.01" in found.detail


def test_what_a_run_has_behind_it_is_no_finding() -> None:
    """Of a run that goes on at iteration 500, the first update and a jump before it are over."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 1000,
        "warmup": {"iterations": 100, "convention": "(n-1)/W"},
        "after_scheduler": {"type": "PhasesLR", "phases": [{"length": 100}, {"from": 0.01}]},
    }
    assert {"first-update-at-zero", "jump-at-boundary"} <= set(warnings(spec))
    assert set(warnings(spec, first=500)) & {"first-update-at-zero", "jump-at-boundary"} == set()


def test_the_share_at_zero_is_of_what_is_to_come() -> None:
    """The last 40 of 1000 iterations at LR 0 are few of the run, and half of its last 80."""
    spec = {
        "target_lr": 0.1,
        "total_iterations": 1000,
        "after_scheduler": {"type": "PolynomialDecayLR", "length": 960},
    }
    assert "stays-at-zero" not in warnings(spec)
    assert "50% of the updates" in warnings(spec, first=920)["stays-at-zero"].detail


@pytest.mark.parametrize(
    ("after", "kind", "remedy"),
    [
        ({"type": "StepLR"}, "invalid", "/docs of a running service shows the fields of a scheduler"),
        (None, "invalid", "/docs of a running service shows the fields of a spec"),
        ({"type": "OneCycleLR", "max_lr": 0.1, "total_steps": 7}, "length-mismatch", "leave it out"),
        ({"type": "MultiStepLR", "milestones": [99]}, "milestone-beyond-end", "take it out, or lengthen the run"),
        (
            {"type": "ChainedScheduler", "schedulers": [{"type": "CosineLR"}]},
            "non-recursive-in-chain",
            "use a ProductLR",
        ),
    ],
)
def test_a_refusal_says_what_to_change_or_where_the_fields_are(after: Any, kind: Kind, remedy: str) -> None:
    """Every kind of refusal has a remedy of its own, and the others say where the fields are described."""
    with pytest.raises(InvalidSpec) as refused:
        spec_of(content(after, label=3 if after is None else "label"))
    (finding,) = refusals(refused.value)
    assert (finding.severity, finding.rule) == ("error", kind)
    assert finding.remedy.startswith(remedy)
    assert kind in REFUSALS


_WARMUPS = st.fixed_dictionaries(
    {
        "iterations": st.integers(0, 60),
        "shape": st.sampled_from(["linear", "cosine", "log", "constant"]),
        "convention": st.sampled_from(["n/W", "(n+1)/W", "(n-1)/W"]),
        "decay_clock": st.sampled_from(["after_warmup", "from_peak", "from_zero", "dampened"]),
    }
)
_GROUPS = st.lists(st.fixed_dictionaries({"factor": st.sampled_from([0.0, 0.1, 1.0])}), min_size=1, max_size=3)
_SCHEDULERS = st.one_of(ANY, st.sampled_from([*EXAMPLES, *SHAPES, *COMPOSITIONS]))


@given(
    after=st.none() | _SCHEDULERS,
    warmup=st.none() | _WARMUPS,
    groups=st.none() | _GROUPS,
    total=st.sampled_from([1, 2, 3, 20, 60, 1000, 20_000, 10**12]),
    target=st.sampled_from([0.0, 1e-30, 1e-3, 0.1]),
    first=st.integers(0, 60),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_rule_fails_on_a_valid_spec(
    after: Any, warmup: Any, groups: Any, total: int, target: float, first: int
) -> None:
    """Lint answers for every spec that is taken, with pointers into it and iterations of the run."""
    spec = content(after, warmup=warmup, param_groups=groups, total_iterations=total, target_lr=target)
    try:
        made = Curve(Schedule(spec_of(spec)))
    except InvalidSpec:
        return
    for finding in lint(made, first=min(first, total)):
        assert finding.iteration is None or 0 <= finding.iteration <= total
        assert finding.severity in {"warning", "info"}
        assert finding.detail
        assert finding.remedy
        place: Any = made.schedule.spec_dict
        for part in finding.pointer.split("/")[1:]:
            place = place[int(part)] if isinstance(place, list) else place.get(part)
            if place is None:
                break
