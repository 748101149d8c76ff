"""What lint has to say about a spec: one finding per mistake."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True)
class Finding:
    """One mistake, or what may be one.

    `severity` is error where the spec is refused, warning where it does what hardly anybody wants, info where it does
    what some do not expect. `pointer` leads to the place in the spec, `iteration` is where it happens, if anywhere.
    """

    severity: Severity
    rule: str
    pointer: str
    iteration: int | None
    detail: str
    remedy: str
