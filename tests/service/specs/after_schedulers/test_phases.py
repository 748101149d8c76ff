"""PhasesLR: factors of the target, by which param groups keep their ratio."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.specs import InvalidSpec
from shape_reference import reference
from support.specs import curve_after

_shape = st.sampled_from(["linear", "cosine", "exponential", "1-sqrt"])
_factor = st.floats(0.01, 100)


def phase(shape: str, length: int, to_factor: float, from_factor: float | None) -> dict[str, Any]:
    """A phase whose ends are factors."""
    start = {} if from_factor is None else {"from_factor": from_factor}
    return {"shape": shape, "length": length, "to_factor": to_factor, **start}


@given(
    phases=st.lists(st.builds(phase, _shape, st.integers(1, 20), _factor, st.none() | _factor), min_size=1, max_size=4),
    ratio=st.floats(0.01, 10),
)
def test_param_groups_keep_their_ratio_under_factors(phases: list[dict[str, Any]], ratio: float) -> None:
    """At every iteration, to rel 1e-12, each group has its own target's schedule: factors are of b."""
    after = {"type": "PhasesLR", "phases": phases}
    asked = curve_after(
        after,
        target_lr=1e-4,
        total_iterations=100,
        warmup=None,
        param_groups=[{"name": "head"}, {"name": "backbone", "factor": ratio}],
    )
    expected = reference(after, 100, 0)
    for n in range(101):
        head, backbone = asked.lr(n)
        assert head == pytest.approx(expected(n, 1e-4), rel=1e-12), n
        assert backbone == pytest.approx(head * ratio, rel=1e-12), n


def test_a_cycle_up_to_a_hundredfold_leaves_the_backbone_at_a_tenth() -> None:
    """Up to 100 times the target and down to a hundredth: absolute ends would bring the backbone to the head's LR."""
    phases = [
        {"shape": "cosine", "length": 80, "to_factor": 100},
        {"shape": "cosine", "to_factor": 0.01},
    ]
    groups = [{"name": "head"}, {"name": "backbone", "factor": 0.1}]
    asked = curve_after(
        {"type": "PhasesLR", "phases": phases}, target_lr=1e-4, total_iterations=200, warmup=None, param_groups=groups
    )
    assert [asked.lr(n) for n in (0, 80, 200)] == [
        pytest.approx(lrs) for lrs in ([1e-4, 1e-5], [1e-2, 1e-3], [1e-6, 1e-7])
    ]


def test_a_group_at_0_stays_there() -> None:
    """A frozen group has no quotient for an exponential phase: its factors are of 0."""
    phases = [{"shape": "exponential", "length": 10, "to_factor": 0.1}, {"shape": "exponential", "to_factor": 2}]
    asked = curve_after(
        {"type": "PhasesLR", "phases": phases},
        warmup=None,
        param_groups=[{"name": "a"}, {"name": "frozen", "target_lr": 0}],
    )
    assert not asked.window(0, 61)[:, 1].any()


@pytest.mark.parametrize(
    ("phases", "pointer", "rule"),
    [
        ([{"shape": "linear", "to": 0.1, "to_factor": 1}], "/to_factor", "(1.0) must not be given beside to"),
        ([{"from": 0.1, "from_factor": 1}], "/from_factor", "(1.0) must not be given beside from"),
        ([{"shape": "linear"}], "/to", "is required in a linear phase, or to_factor"),
        ([{"shape": "exponential", "to_factor": 0}], "/to", "(0.0) must be > 0, as must `from`"),
        ([{"shape": "linear", "to_factor": -1}], "/to_factor", "(-1) must be ≥ 0"),
        ([{"shape": "linear", "factor": 1}], "/factor", "is not a known field; did you mean to_factor?"),
    ],
)
def test_ends_that_contradict_each_other_are_refused(phases: list[dict[str, Any]], pointer: str, rule: str) -> None:
    """By field, value and rule."""
    with pytest.raises(InvalidSpec) as refused:
        curve_after({"type": "PhasesLR", "phases": phases})
    found = {violation.pointer: violation.detail for violation in refused.value.violations}
    assert list(found) == [f"/after_scheduler/phases/0{pointer}"]
    assert rule in found[f"/after_scheduler/phases/0{pointer}"]
