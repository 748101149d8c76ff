"""Findings: what lint says of a schedule."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from preheat_client.errors import ServiceUnavailable

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """Something that a schedule does and its author may not have meant.

    `severity`: warning for what hardly anybody wants, info for what some do not expect. `pointer`: a JSON pointer to
    the value in the spec. `iteration`: where it happens, None if nowhere in particular. `remedy`: what to do about it.
    """

    severity: Severity
    rule: str
    pointer: str
    iteration: int | None
    detail: str
    remedy: str

    def __str__(self) -> str:
        place = "" if self.iteration is None else f" at iteration {self.iteration}"
        return f"{self.severity} {self.rule}{place}: {self.detail} ({self.pointer}: {self.remedy})"


def findings_of(answer: dict[str, Any]) -> tuple[Finding, ...]:
    """The findings in a schedule's document. Raises ServiceUnavailable if it has none, or other things."""
    served = answer.get("lint")
    if served is None:
        raise ServiceUnavailable("the service has not linted the schedule: it takes too long, or its torch is another")
    try:
        return tuple(map(_finding, served))
    except KeyError as error:
        raise ServiceUnavailable(f"the service answered a finding without {error}, which this client needs") from error
    except TypeError as error:
        raise ServiceUnavailable(f"the service answered something that is no finding ({error!r})") from error


def _finding(served: dict[str, Any]) -> Finding:
    texts = {name: str(served[name]) for name in ("rule", "pointer", "detail", "remedy")}
    severity, iteration = served["severity"], served["iteration"]
    if severity not in get_args(Severity) or not isinstance(iteration, int | None):
        raise TypeError(f"severity {severity!r:.80} at iteration {iteration!r:.80}")
    return Finding(severity=severity, iteration=iteration, **texts)
