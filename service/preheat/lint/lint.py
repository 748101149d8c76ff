"""Lint: what a schedule does that its author may not have meant."""

from preheat.budget import NO_DEADLINE, Deadline
from preheat.curve import Curve
from preheat.errors import UndefinedLR
from preheat.lint.examined import MOST_STEPS, Examined
from preheat.lint.finding import Finding
from preheat.lint.rules import RULES
from preheat.specs import InvalidSpec
from preheat.specs.tracks import LR_NAME

_ORDER = {"error": 0, "warning": 1, "info": 2}


def lint(curve: Curve, deadline: Deadline = NO_DEADLINE) -> list[Finding]:
    """Findings about a valid schedule, the gravest first; of what it does to LRs, not to other hyperparameters.

    Raises ComputeTimeout past the deadline.
    """
    found: list[Finding] = []
    for track in curve.schedule.spec.tracks:
        if all(curve.columns[column].hyperparameter == LR_NAME for column in track.columns):
            found += _findings(Examined(curve, track, deadline))
    if not curve.has_closed_form and curve.total_iterations > MOST_STEPS:
        detail = f"iterations past {MOST_STEPS} are not examined: this schedule must be stepped to them"
        remedy = "use a scheduler with a closed form to have the whole run examined"
        found.append(Finding("info", "not-examined", "", MOST_STEPS, detail, remedy))
    return sorted(found, key=lambda finding: _ORDER[finding.severity])


def _findings(examined: Examined) -> list[Finding]:
    try:
        return [finding for rule in RULES for finding in rule(examined)]
    except UndefinedLR as error:
        remedy = "let the formula have a finite value ≥ 0 at every iteration"
        pointer = examined.pointer("after_scheduler")
        return [Finding("error", "undefined-lr", pointer, error.iteration, str(error), remedy)]


def refusals(error: InvalidSpec) -> list[Finding]:
    """What an invalid spec is refused for, as findings."""
    return [
        Finding("error", violation.kind, violation.pointer, None, violation.detail, "see the rule in the detail")
        for violation in error.violations
    ]
