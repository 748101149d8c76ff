"""Lint: what a schedule does that its author may not have meant."""

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import UndefinedLR
from preheat.lint import ends, lengths
from preheat.lint.curve import MOST_STEPS, LintedCurve
from preheat.lint.track import Finding, LintedTrack
from preheat.specs import InvalidSpec
from preheat.specs.tracks import LR_NAME

__all__ = ["RULES", "Finding", "lint", "refusals"]

RULES = (*ends.RULES, *lengths.RULES)
"""Every rule; two more, milestone-beyond-end and non-recursive-in-chain, are among the reasons to refuse a spec."""

_ORDER = {"error": 0, "warning": 1, "info": 2}


def lint(curve: Curve, deadline: Deadline = NO_DEADLINE) -> list[Finding]:
    """Findings about a valid schedule, the most severe first; of what it does to LRs, not to other hyperparameters.

    Raises ComputeTimeout past the deadline.
    """
    findings: list[Finding] = []
    linted = LintedCurve(curve, deadline)
    for track in curve.schedule.spec.tracks:
        if all(curve.columns[column].hyperparameter == LR_NAME for column in track.columns):
            findings += _findings(LintedTrack(linted, track))
    # Said once, of the curve: each rule itself passes over what it cannot see.
    if not curve.has_closed_form and curve.total_iterations > MOST_STEPS:
        detail = f"iterations past {MOST_STEPS} are not examined: this schedule must be stepped to them"
        remedy = "use a scheduler with a closed form to have the whole run examined"
        findings.append(Finding("info", "not-examined", "", MOST_STEPS, detail, remedy))
    # sorted is stable: within a severity the order of tracks and rules stays.
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def refusals(error: InvalidSpec) -> list[Finding]:
    """What an invalid spec is refused for, as findings."""
    return [
        Finding("error", violation.kind, violation.pointer, None, violation.detail, "see the rule in the detail")
        for violation in error.violations
    ]


def _findings(track: LintedTrack) -> list[Finding]:
    try:
        return [finding for rule in RULES for finding in rule(track)]
    except UndefinedLR as error:
        remedy = "let the formula have a finite value ≥ 0 at every iteration"
        return [track.finding("error", "undefined-lr", ("after_scheduler",), error.iteration, str(error), remedy)]
