"""Lint: every rule with a spec that fires it and one that just does not."""

from typing import Any

import pytest

from preheat.budget import NO_DEADLINE
from preheat.curve import Curve
from preheat.lint import RULES, Finding, lint, refusals
from preheat.lint.curve import LintedCurve
from preheat.lint.track import LintedTrack
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, spec_of
from preheat.specs.recipes import recipes
from support.specs import curve_after


def findings(**fields: Any) -> list[Finding]:
    """What lint says of a spec: target 0.1, 1000 iterations, warm-up 100, unless said otherwise."""
    try:
        return lint(curve_after(**{"total_iterations": 1000, "warmup": {"iterations": 100}, **fields}))
    except InvalidSpec as error:
        return refusals(error)


def after(kind: str, **parameters: Any) -> dict[str, Any]:
    """A field after_scheduler."""
    return {"after_scheduler": {"type": kind, **parameters}}


def steps(*schedulers: dict[str, Any], milestones: list[int]) -> dict[str, Any]:
    """A field after_scheduler with turns."""
    return after("SequentialLR", schedulers=list(schedulers), milestones=milestones)


HOLD = {"type": "ConstantLR", "factor": 1.0}
GROUPS = [{"name": "head"}, {"name": "backbone", "factor": 0.1}]

CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], str, int | None]] = [
    # rule, severity, a spec that fires it, one that just does not, pointer, iteration
    (
        "first-update-at-zero",
        "warning",
        {"warmup": {"iterations": 100, "convention": "(n-1)/W"}},
        {"warmup": {"iterations": 100, "convention": "n/W"}, "severity": "warning"},
        "/warmup",
        1,
    ),
    (
        "first-update-at-zero",
        "info",
        {},
        {"warmup": {"iterations": 100, "start_lr": 1e-6}},
        "/warmup",
        0,
    ),
    (
        "jump-at-boundary",
        "warning",
        {"warmup": {"iterations": 100, "decay_clock": "from_zero"}, **after("PolynomialDecayLR", power=2)},
        {"warmup": {"iterations": 40, "decay_clock": "from_zero"}, **after("PolynomialDecayLR", power=2)},
        "/after_scheduler",
        100,
    ),
    (
        "jump-at-boundary",
        "warning",
        steps({"type": "CosineLR"}, HOLD, milestones=[500]),
        steps(HOLD, {"type": "CosineLR"}, milestones=[500]),
        "/after_scheduler",
        600,
    ),
    (
        "jump-at-boundary",
        "warning",
        after("PhasesLR", phases=[{"length": 100}, {"from": 0.089}]),
        after("PhasesLR", phases=[{"length": 100}, {"from": 0.091}]),
        "/after_scheduler",
        200,
    ),
    (
        "jump-at-boundary",
        "warning",
        {"warmup": None, **after("PhasesLR", phases=[{"length": 2}, {"from": 0.05}])},
        {"warmup": None, **after("PhasesLR", phases=[{"length": 1}, {"from": 0.05}])},
        "/after_scheduler",
        2,
    ),
    (
        "peak-never-reached",
        "warning",
        {"warmup": {"iterations": 200, "decay_clock": "dampened"}, **after("CosineLR")},
        {"warmup": {"iterations": 100, "decay_clock": "dampened"}, **after("CosineLR")},
        "/warmup",
        None,
    ),
    (
        "rising-at-end",
        "warning",
        after("CosineAnnealingLR", T_max=899),
        after("CosineAnnealingLR", T_max=900),
        "/after_scheduler",
        1000,
    ),
    (
        "rising-at-end",
        "warning",
        {"warmup": {"iterations": 998}, **after("CosineAnnealingLR", eta_min=0.2)},
        {"warmup": {"iterations": 999}, **after("CosineAnnealingLR", eta_min=0.2)},
        "/after_scheduler",
        1000,
    ),
    (
        "last-update-at-zero",
        "info",
        after("CosineLR"),
        after("CosineLR", min_lr=1e-9),
        "/after_scheduler",
        1000,
    ),
    (
        "length-mismatch",
        "warning",
        after("CosineAnnealingLR", T_max=901),
        after("CosineAnnealingLR", T_max=900),
        "/after_scheduler/T_max",
        1000,
    ),
    (
        "length-mismatch",
        "info",
        after("PolynomialDecayLR", length=899),
        after("PolynomialDecayLR", length=900),
        "/after_scheduler/length",
        999,
    ),
    (
        "length-mismatch",
        "info",
        after("OneCycleLR", max_lr=0.1, total_steps=900),
        after("OneCycleLR", max_lr=0.1, total_steps=901),
        "/after_scheduler/total_steps",
        999,
    ),
    (
        "length-mismatch",
        "error",
        after("OneCycleLR", max_lr=0.1, total_steps=902),
        after("OneCycleLR", max_lr=0.1, total_steps=901),
        "/after_scheduler/total_steps",
        None,
    ),
    (
        "min-lr-above-target",
        "warning",
        {"param_groups": [{"target_lr": 0.1}, {"target_lr": 0.01}], **after("CosineLR", min_lr=0.011)},
        {"param_groups": [{"target_lr": 0.1}, {"target_lr": 0.01}], **after("CosineLR", min_lr=0.01)},
        "/after_scheduler/min_lr",
        None,
    ),
    (
        "milestone-beyond-end",
        "error",
        after("MultiStepLR", milestones=[300, 901]),
        after("MultiStepLR", milestones=[300, 900]),
        "/after_scheduler/milestones/1",
        None,
    ),
    (
        "milestone-beyond-end",
        "warning",
        after("PiecewiseLR", points=[{"at": 0, "lr": 0.1}, {"at": 901, "lr": 0.0}]),
        after("PiecewiseLR", points=[{"at": 0, "lr": 0.1}, {"at": 900, "lr": 0.0}]),
        "/after_scheduler/points/1/at",
        None,
    ),
    (
        "milestone-beyond-end",
        "warning",
        after("TableLR", values=[0.1] * 10, hold=101),
        after("TableLR", values=[0.1] * 10, hold=100),
        "/after_scheduler/values/9",
        None,
    ),
    (
        "milestone-beyond-end",
        "warning",
        after("PhasesLR", phases=[{"length": 901}, {"length": 5, "to": 0.1}]),
        after("PhasesLR", phases=[{"length": 900}, {"length": 5, "to": 0.1}]),
        "/after_scheduler/phases/1",
        None,
    ),
    (
        "looks-like-epochs",
        "warning",
        {"total_iterations": 10_000, **after("StepLR", step_size=100)},
        {"total_iterations": 10_000, **after("StepLR", step_size=101)},
        "/after_scheduler/step_size",
        100,
    ),
    (
        "looks-like-epochs",
        "warning",
        {"total_iterations": 90_000, **after("MultiStepLR", milestones=[30, 60, 80])},
        {"total_iterations": 90_000, **after("MultiStepLR", milestones=[30_000, 60_000, 80_000])},
        "/after_scheduler/milestones",
        80,
    ),
    (
        "warmup-over-half",
        "warning",
        {"warmup": {"iterations": 501}},
        {"warmup": {"iterations": 500}},
        "/warmup/iterations",
        501,
    ),
    (
        "under-resolution",
        "warning",
        after("ExponentialLR", gamma=0.97),
        after("ExponentialLR", gamma=0.98),
        "/after_scheduler",
        None,
    ),
    (
        "restart-cut-off",
        "warning",
        after("CosineAnnealingWarmRestarts", T_0=300),
        after("CosineAnnealingWarmRestarts", T_0=301),
        "/after_scheduler",
        1000,
    ),
    (
        "restart-cut-off",
        "warning",
        after("CosineRestartsLR", T_0=200, T_mult=2.0),
        after("CosineRestartsLR", T_0=129, T_mult=2.0),
        "/after_scheduler",
        700,
    ),
    (
        "looks-like-epochs",
        "warning",
        {"total_iterations": 100_000, "warmup": {"iterations": 100}, **after("CosineLR")},
        {"total_iterations": 100_000, "warmup": {"iterations": 101}, **after("CosineLR")},
        "/warmup/iterations",
        100,
    ),
    (
        "decay-never-starts",
        "warning",
        after("StepLR", step_size=901),
        after("StepLR", step_size=900),
        "/after_scheduler",
        None,
    ),
    (
        "non-recursive-in-chain",
        "error",
        after("ChainedScheduler", schedulers=[{"type": "StepLR", "step_size": 9}, {"type": "CosineLR"}]),
        after("ChainedScheduler", schedulers=[{"type": "StepLR", "step_size": 9}, {"type": "CosineAnnealingLR"}]),
        "/after_scheduler/schedulers/1/type",
        None,
    ),
    (
        "stays-at-zero",
        "warning",
        after("PolynomialDecayLR", length=849),
        after("PolynomialDecayLR", length=850),
        "/after_scheduler",
        949,
    ),
    (
        "stays-at-zero",
        "warning",
        after("PiecewiseLR", points=[{"at": 0, "factor": 1.0}, {"at": 400, "lr": 0.0}]),
        after("PiecewiseLR", points=[{"at": 0, "factor": 1.0}, {"at": 400, "lr": 1e-6}, {"at": 900, "lr": 0.0}]),
        "/after_scheduler",
        500,
    ),
    (
        "stays-at-zero",
        "warning",
        after("MultiplicativeLR", lr_lambda=[0.5] * 400 + [0.0]),
        after("MultiplicativeLR", lr_lambda=[0.5] * 400),
        "/after_scheduler",
        501,
    ),
    (
        "stays-at-floor",
        "warning",
        after("CosineLR", length=566, min_ratio=0.1),
        after("CosineLR", length=567, min_ratio=0.1),
        "/after_scheduler",
        666,
    ),
    (
        "stays-at-floor",
        "warning",
        after("LinearLR", start_factor=1.0, end_factor=0.1, total_iters=400),
        after("MultiStepLR", milestones=[200, 400], gamma=0.1),
        "/after_scheduler",
        500,
    ),
    (
        "length-mismatch",
        "warning",
        after("PolynomialDecayLR", length=800),
        after("PolynomialDecayLR", length=900),
        "/after_scheduler/length",
        900,
    ),
    (
        "length-mismatch",
        "warning",
        {"warmup": {"iterations": 100, "decay_clock": "from_zero"}, **after("CosineLR", length=900)},
        {"warmup": {"iterations": 100, "decay_clock": "from_zero"}, **after("CosineLR", length=1000)},
        "/after_scheduler/length",
        900,
    ),
    (
        "never-restarts",
        "warning",
        after("CosineAnnealingWarmRestarts", T_0=900),
        after("CosineAnnealingWarmRestarts", T_0=899),
        "/after_scheduler",
        None,
    ),
    (
        "never-restarts",
        "warning",
        after("CosineRestartsLR", T_0=450, cycles=1),
        after("CosineRestartsLR", T_0=450, cycles=2),
        "/after_scheduler",
        None,
    ),
    (
        "never-restarts",
        "warning",
        after("CosineRestartsLR", periods=[900]),
        after("CosineRestartsLR", periods=[450, 450]),
        "/after_scheduler",
        None,
    ),
    (
        "never-restarts",
        "warning",
        after("CyclicLR", base_lr=0.001, max_lr=0.1, step_size_up=451),
        after("CyclicLR", base_lr=0.001, max_lr=0.1, step_size_up=450),
        "/after_scheduler",
        None,
    ),
    (
        "never-restarts",
        "warning",
        after("PolynomialDecayLR", cycle=True),
        after("PolynomialDecayLR", cycle=True, length=300),
        "/after_scheduler",
        None,
    ),
    (
        "group-target-ignored",
        "warning",
        {"param_groups": GROUPS, **after("TableLR", values=[0.1, 0.05], hold=450)},
        {"param_groups": GROUPS, **after("TableLR", values=[1.0, 0.5], hold=450, are_factors=True)},
        "/after_scheduler",
        None,
    ),
    (
        "group-target-ignored",
        "warning",
        {"param_groups": GROUPS, **after("OneCycleLR", max_lr=0.1)},
        {"param_groups": GROUPS, **after("OneCycleLR", max_lr=[0.1, 0.01])},
        "/after_scheduler",
        None,
    ),
    (
        "group-target-ignored",
        "warning",
        {"param_groups": GROUPS, **after("PiecewiseLR", points=[{"at": 0, "lr": 0.1}, {"at": 900, "lr": 0.0}])},
        {"param_groups": GROUPS, **after("PiecewiseLR", points=[{"at": 0, "factor": 1.0}, {"at": 900, "lr": 0.0}])},
        "/after_scheduler",
        None,
    ),
    (
        "max-lr-beside-target",
        "warning",
        after("OneCycleLR", max_lr=0.11),
        after("OneCycleLR", max_lr=0.1),
        "/after_scheduler/max_lr",
        None,
    ),
    (
        "max-lr-beside-target",
        "warning",
        {"param_groups": GROUPS, **after("OneCycleLR", max_lr=[0.1, 0.02])},
        {"param_groups": GROUPS, **after("OneCycleLR", max_lr=[0.1, 0.01])},
        "/after_scheduler/max_lr",
        None,
    ),
    (
        "max-lr-beside-target",
        "warning",
        after("CyclicLR", base_lr=0.01, max_lr=0.2, step_size_up=50),
        after("CyclicLR", base_lr=0.1, max_lr=0.2, step_size_up=50),
        "/after_scheduler/max_lr",
        None,
    ),
    (
        "value-without-effect",
        "warning",
        after("WSDLR", decay="linear", power=2.0),
        after("WSDLR", decay="power", power=2.0),
        "/after_scheduler/power",
        None,
    ),
    (
        "value-without-effect",
        "warning",
        after("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=50, gamma=0.99),
        after("CyclicLR", base_lr=0.01, max_lr=0.1, step_size_up=50, gamma=0.99, mode="exp_range"),
        "/after_scheduler/gamma",
        None,
    ),
    (
        "value-without-effect",
        "warning",
        after("OneCycleLR", max_lr=0.1, base_momentum=0.8, cycle_momentum=False),
        after("OneCycleLR", max_lr=0.1, base_momentum=0.8),
        "/after_scheduler/base_momentum",
        None,
    ),
    (
        "value-without-effect",
        "warning",
        after("PhasesLR", phases=[{"length": 100}, {"from": 0.05, "to": 0.02}]),
        after("PhasesLR", phases=[{"length": 100}, {"from": 0.02}]),
        "/after_scheduler/phases/1/from",
        None,
    ),
    (
        "value-without-effect",
        "info",
        {"warmup": {"start_lr": 1e-6}},
        {"warmup": {"iterations": 1, "start_lr": 1e-6}},
        "/warmup/start_lr",
        None,
    ),
    (
        "value-without-effect",
        "info",
        {"warmup": {"hold": 2}},
        {"warmup": {"iterations": 4, "hold": 2}},
        "/warmup/hold",
        None,
    ),
    (
        "value-without-effect",
        "warning",
        after("StaircaseLR", hold=1, scheduler={"type": "CosineLR"}),
        after("StaircaseLR", hold=2, scheduler={"type": "CosineLR"}),
        "/after_scheduler/hold",
        None,
    ),
    (
        "unusual-peak",
        "warning",
        {"target_lr": 33.0},
        {"target_lr": 31.0},
        "/target_lr",
        None,
    ),
    (
        "unusual-peak",
        "warning",
        {"target_lr": 9e-7},
        {"target_lr": 1.1e-6},
        "/target_lr",
        None,
    ),
]


@pytest.mark.parametrize(
    ("rule", "severity", "fires", "_not", "pointer", "iteration"),
    CASES,
    ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)],
)
def test_a_rule_fires_where_it_should(
    rule: str, severity: str, fires: dict[str, Any], _not: Any, pointer: str, iteration: int | None
) -> None:
    """A rule's finding has its severity, a pointer into the spec, the iteration, a detail and a remedy."""
    found = [finding for finding in findings(**fires) if finding.rule == rule and finding.severity == severity]
    assert len(found) == 1
    assert found[0].pointer == pointer
    if iteration is not None:
        assert found[0].iteration == iteration
    assert len(found[0].detail) > 20
    assert len(found[0].remedy) > 10


@pytest.mark.parametrize(
    ("rule", "severity", "_fires", "quiet", "_pointer", "_iteration"),
    CASES,
    ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)],
)
def test_a_rule_is_quiet_where_it_just_should_not_fire(
    rule: str, severity: str, _fires: Any, quiet: dict[str, Any], _pointer: str, _iteration: Any
) -> None:
    """A rule says nothing of the nearest spec that is right."""
    fields = {name: value for name, value in quiet.items() if name != "severity"}
    found = [finding for finding in findings(**fields) if finding.rule == rule]
    assert [finding for finding in found if "severity" not in quiet or finding.severity == severity] == []


@pytest.mark.parametrize(
    ("decay", "amendments", "fires"),
    [
        ({}, [{"op": "scale", "factor": 0.5, "floor": 0.04, "start": 300}], False),
        ({}, [{"op": "scale", "factor": 0.5, "floor": {"default": 0.04}, "start": 300}], False),
        ({}, [{"op": "hold", "value": 0.01, "start": 400}], False),
        ({}, [{"op": "extend", "total_iterations": 2000, "start": 900}], False),
        # The decay itself is too short: none of these is why it stays.
        ({"length": 400, "min_ratio": 0.1}, [{"op": "scale", "factor": 0.5, "floor": 0.001, "start": 300}], True),
        ({"length": 400, "min_ratio": 0.5}, [{"op": "scale", "factor": 0.5, "floor": 0.05, "start": 800}], True),
        ({"length": 400, "min_ratio": 0.1}, [{"op": "hold", "value": 0.05, "start": 300, "stop": 310}], True),
    ],
)
def test_what_an_amendment_keeps_is_no_decay_that_ends_too_soon(
    decay: dict[str, Any], amendments: list[dict[str, Any]], fires: bool
) -> None:
    """A plateau's reduction to its least LR, a hold, a run that was made longer."""
    fields = after("CosineLR", **({"min_ratio": 0.5} | decay))
    assert ("stays-at-floor" in {each.rule for each in findings(**fields, amendments=amendments)}) is fires


def test_every_rule_has_a_case() -> None:
    """A new rule is not done before it has been seen to fire."""
    named = {rule.__name__.replace("_", "-") for rule in RULES}
    assert named <= {case[0] for case in CASES}


@pytest.mark.parametrize("name", recipes())
def test_recipes_get_no_warning(name: str) -> None:
    """A recipe gets no error and no warning."""
    found = lint(Curve(Schedule(spec_of({"recipe": name}))))
    assert {finding.rule for finding in found if finding.severity != "info"} == set()


def test_groups_are_examined_one_by_one() -> None:
    """A finding about a group with a schedule of its own points into that group."""
    groups = [{"name": "a"}, {"name": "b", "warmup": {"iterations": 900}}]
    found = [finding for finding in findings(param_groups=groups) if finding.rule == "warmup-over-half"]
    assert [finding.pointer for finding in found] == ["/param_groups/1/warmup/iterations"]


def test_a_long_stepped_schedule_says_what_was_not_examined() -> None:
    """A schedule that must be stepped is examined for its first 100 000 iterations, and a finding says so."""
    found = findings(total_iterations=1_000_000, **after("MultiplicativeLR", lr_lambda=0.99999))
    assert "not-examined" in {finding.rule for finding in found}
    assert "last-update-at-zero" not in {finding.rule for finding in found}


def test_findings_are_sorted_by_severity() -> None:
    """Errors come before warnings, and warnings before remarks."""
    found = findings(total_iterations=100_000, **after("CosineAnnealingLR", T_max=90))
    assert [finding.severity for finding in found] == sorted(
        (finding.severity for finding in found), key=["error", "warning", "info"].index
    )
    assert {"looks-like-epochs", "length-mismatch"} <= {finding.rule for finding in found}


def test_a_formula_without_a_value_is_one_finding() -> None:
    """A formula that has no value where only lint looks gives one finding, with the iteration."""
    total = 1_000_003
    looked_at = curve_after(total_iterations=total, warmup=None)
    places = [n for n, _ in LintedTrack(LintedCurve(looked_at, NO_DEADLINE), looked_at.schedule.spec.tracks[0]).samples]
    pole = next(n for n in places if n % (total // 10_000))
    found = findings(total_iterations=total, warmup=None, **after("ExpressionLR", expression=f"1 / abs(n - {pole})"))
    assert [(finding.rule, finding.severity, finding.iteration) for finding in found] == [
        ("undefined-lr", "error", pole)
    ]


@pytest.mark.parametrize(("total", "length"), [(450_000, 90), (450_000, 50), (90_000, 90), (360_000, 90)])
def test_a_decay_with_a_period_that_divides_the_distance_of_the_samples_is_seen(total: int, length: int) -> None:
    """A cosine that comes back to the target again and again does change something."""
    found = findings(total_iterations=total, warmup=None, **after("CosineAnnealingLR", T_max=length))
    assert "decay-never-starts" not in {finding.rule for finding in found}
