"""A duration in a spec: iterations, or a text with a unit that is turned into iterations."""

from typing import Annotated, Any, Protocol, Self

from pydantic import Field, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

EXAMPLES = '"10%", "5ep", "2000it", "4e6sp" or "375e6tok"'
PATTERN = r"^[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(%|it|ep|sp|tok)$"

DurationText = Annotated[str, Field(pattern=PATTERN, max_length=32, examples=["10%"])]


class Amount(int):
    """Iterations that were written as an amount of epochs, samples or tokens, counted from the start of the run.

    Where a batch grows on the way, the same amount lasts for fewer iterations later.
    """

    unit: str
    amount: float

    @classmethod
    def of(cls, iterations: int, unit: str, amount: float) -> Self:
        """`amount` of a unit, which take `iterations` from the start of the run."""
        made = cls(iterations)
        made.unit, made.amount = unit, amount
        return made


class Resolver(Protocol):
    """What knows how long an epoch, a sample and a token are."""

    def iterations(self, text: str) -> int:
        """Iterations that a duration's text stands for. Raises ValueError if it cannot be told."""
        ...


def _in_iterations(value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return handler(value)
    resolver: Resolver | None = (info.context or {}).get("clock")
    if resolver is None:
        raise ValueError("must be a whole number of iterations here: there is no run to resolve a duration in")
    iterations = resolver.iterations(value)
    handler(int(iterations))
    return iterations


IN_ITERATIONS = WrapValidator(_in_iterations, json_schema_input_type=int | DurationText)
"""Reads a duration's text as whole iterations, by the `clock` in pydantic's context."""
