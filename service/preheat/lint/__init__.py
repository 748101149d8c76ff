"""What a schedule does that its author may not have meant."""

from preheat.lint.finding import Finding
from preheat.lint.lint import lint, refusals

__all__ = ["Finding", "lint", "refusals"]
