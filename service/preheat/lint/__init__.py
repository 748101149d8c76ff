"""Lint: what a schedule does that its author may not have meant."""

from preheat.lint.lint import RULES, lint, refusals
from preheat.lint.track import Finding

__all__ = ["RULES", "Finding", "lint", "refusals"]
