"""Durations in a spec: iterations, or an amount with a unit that is resolved once the run's length is known."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from preheat.specs.fields import MAX_ITERATION

Unit = Literal["epoch", "samples", "tokens"]
"""What a run is counted in besides iterations."""

_EXAMPLES = '"10%", "5ep", "2000it", "4e6sp" or "375e6tok"'
_PATTERN = r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(%|it|ep|sp|tok)$"
_MAX_CHARACTERS = 32
_UNITS: dict[str, Unit | Literal["%", "it"]] = {"%": "%", "it": "it", "ep": "epoch", "sp": "samples", "tok": "tokens"}

DurationText = Annotated[str, Field(pattern=_PATTERN, max_length=_MAX_CHARACTERS, examples=["10%"])]


@dataclass(frozen=True)
class Duration:
    """An amount of a unit, as written in `text`; it stands for at least `least` iterations.

    % is a share of the whole run. Epochs, samples and tokens take as many iterations as they take where the duration
    begins: fewer where the batch has grown.
    """

    text: str
    amount: float
    unit: Unit | Literal["%", "it"]
    least: int


def _validator(least: int) -> WrapValidator:
    def duration_or_iterations(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        return _duration(value, least) if isinstance(value, str) else handler(value)

    return WrapValidator(duration_or_iterations, json_schema_input_type=int | DurationText)


def _duration(text: str, least: int) -> Duration:
    match = re.fullmatch(_PATTERN, text) if len(text) <= _MAX_CHARACTERS else None
    if match is None:
        raise ValueError(f"must be a whole number of iterations or a duration: {_EXAMPLES}")
    amount = float(text.removesuffix(match[3]))
    # Of any unit, before it is known what one is: a bound against overflow, not the one on iterations.
    if amount > MAX_ITERATION * 1e6:
        raise ValueError("must be shorter")
    return Duration(text, amount, _UNITS[match[3]], least)


# For the type checker both are int: a spec whose durations are read has been normalised, and has no Duration left.
Iterations = Annotated[int, Field(ge=1, le=MAX_ITERATION), _validator(1)]
"""A duration of at least one iteration."""

IterationsOrZero = Annotated[int, Field(ge=0, le=MAX_ITERATION), _validator(0)]
"""A duration that may be 0."""
