"""Lint: what a schedule does that its author may not have meant."""

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import UndefinedLR
from preheat.lint import effects, ends, lengths
from preheat.lint.curve import MOST_STEPS, LintedCurve
from preheat.lint.track import Finding, LintedTrack
from preheat.specs import InvalidSpec, Violation
from preheat.specs.tracks import LR_NAME
from preheat.specs.violations import Kind

__all__ = ["OTHERS", "REFUSALS", "RULES", "Finding", "lint", "refusals"]

RULES = (*ends.RULES, *lengths.RULES, *effects.RULES)
"""Every rule; the reasons for which a spec is refused are in REFUSALS."""

REFUSALS: dict[Kind, tuple[str, str | None]] = {
    "invalid": ("A value breaks a rule, which the detail says.", None),
    "length-mismatch": (
        "A `total_steps` of a OneCycleLR that is not what is left of the run.",
        "leave it out: by default it is what is left of the run",
    ),
    "milestone-beyond-end": (
        "A milestone of torch's schedulers after the end of the run.",
        "take it out, or lengthen the run",
    ),
    "non-recursive-in-chain": (
        "A scheduler in a ChainedScheduler that would overwrite the LRs before it.",
        "use a ProductLR, which multiplies any schedulers",
    ),
}
"""Every kind of violation for which a spec is refused: what it means, and what to change where that is known."""

OTHERS = {
    "undefined-lr": "A formula has no finite value ≥ 0 at an iteration.",
    "not-examined": f"A schedule that must be stepped is longer than the {MOST_STEPS:,} iterations that are examined.",
}
"""Findings that no rule gives, with what they mean."""

_ORDER = {"error": 0, "warning": 1, "info": 2}


def lint(curve: Curve, deadline: Deadline = NO_DEADLINE, first: int = 0) -> list[Finding]:
    """Findings about a valid schedule, the most severe first; of what it does to LRs, not to other hyperparameters.

    Of a run that is about to do iteration `first`: what begins before it is no finding. Raises ComputeTimeout past the
    deadline.
    """
    findings: list[Finding] = []
    linted = LintedCurve(curve, deadline)
    for track in curve.schedule.spec.tracks:
        if all(curve.columns[column].hyperparameter == LR_NAME for column in track.columns):
            findings += _findings(LintedTrack(linted, track, first))
    # Said once, of the curve: each rule itself passes over what it cannot see.
    if not linted.reaches_the_end:
        detail = f"iterations past {MOST_STEPS} are not examined: this schedule must be stepped to them"
        remedy = "use a scheduler with a closed form to have the whole run examined"
        findings.append(Finding("info", "not-examined", "", MOST_STEPS, detail, remedy))
    # sorted is stable: within a severity the order of tracks and rules stays.
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def refusals(error: InvalidSpec) -> list[Finding]:
    """What an invalid spec is refused for, as findings; a remedy says what to change, or where the fields are told."""
    return [
        Finding("error", each.kind, each.pointer, None, each.detail, REFUSALS[each.kind][1] or _where(each))
        for each in error.violations
    ]


def _where(violation: Violation) -> str:
    if not violation.location:
        return 'a spec is one object, in JSON or YAML, such as {"target_lr": 0.01, "total_iterations": 2000}'
    is_in_scheduler = "after_scheduler" in violation.location
    whose = "a scheduler" if is_in_scheduler else "a spec"
    # Not the reference's pages: in the repository they have no tables before `make docs`.
    return f"/docs of a running service shows the fields of {whose}, with bounds and examples"


def _findings(track: LintedTrack) -> list[Finding]:
    try:
        return [finding for rule in RULES for finding in rule(track)]
    except UndefinedLR as error:
        remedy = "change the field so that every iteration has a finite value ≥ 0"
        return [track.finding("error", "undefined-lr", ("after_scheduler",), error.iteration, str(error), remedy)]
