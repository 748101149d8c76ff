"""Fields of a spec: the kinds of value it is made of, and the closed model they stand in."""

from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
)
from pydantic_core import CoreSchema

MAX_LR = 1e6
"""Largest LR a spec may name; above it no optimizer takes a meaningful step, and sums stay far from overflow."""

MIN_RATE = 1e-30
"""Smallest LR or factor above 0: below it quotients overflow, and no optimizer takes a step."""

MAX_ITERATION = 2**53
"""Largest iteration count a spec may name: the last integer up to which float64 counts without gaps."""

MAX_PARAM_GROUPS = 256
"""Most param groups of a spec. Lists fail fast: a million wrong entries are not worth a million messages."""


class Closed(BaseModel):
    """A strict, frozen model that refuses fields it does not know."""

    # strict: "5" is no number and 5.0 no count; an int may stand for a float.
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The JSON schema, with every bound under JSON Schema's name."""
        schema = handler(core_schema)
        handler.resolve_ref_schema(schema).update(_with_bounds(handler.resolve_ref_schema(schema)))
        return schema


_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def _with_bounds(schema: Any) -> Any:
    # pydantic leaves its own names where a bound stands behind a validator, and readers of JSON Schema pass over these
    if isinstance(schema, list):
        return [_with_bounds(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {_BOUNDS.get(name, name): _with_bounds(value) for name, value in schema.items()}


def _without_negative_zero(value: float) -> float:
    # -0.0 + 0.0 is 0.0: equal specs must have equal texts, since ids are hashes of them.
    return value + 0.0


def _zero_or_a_rate(value: float) -> float:
    if 0 < value < MIN_RATE:
        raise ValueError(f"must be 0 or at least {MIN_RATE:g}")
    return value + 0.0


def whole(value: Any) -> Any:
    """The int that a float with nothing behind its point stands for, as 1e3 does in JSON; else the value itself."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Int = Annotated[int, BeforeValidator(whole)]
"""A whole number, which may be written as 1e3 or 1000.0."""


def number_or_list(value: Any) -> str:
    """The tag of a union's member: what pydantic puts into an error's location though no JSON pointer has it."""
    return "list" if isinstance(value, list | tuple) else "number"


UNION_TAGS = frozenset({"number", "list", "a number", "an object"})
"""What `number_or_list` gives, and what tells a number from an object where either may stand."""

NonNegative = Annotated[float, Field(ge=0), AfterValidator(_zero_or_a_rate)]
LR = Annotated[float, Field(ge=0, le=MAX_LR), AfterValidator(_zero_or_a_rate)]
Share = Annotated[float, Field(ge=0, le=1), AfterValidator(_without_negative_zero)]
Ratio = Annotated[float, Field(ge=0, le=1e6), AfterValidator(_zero_or_a_rate)]

Positive = Annotated[float, Field(ge=1e-9, le=1e6)]
"""An exponent, a rate or a ratio above 0."""

_Value = TypeVar("_Value")
# With a discriminator pydantic reports the errors of one member; without, those of both.
_OnePerGroup = Annotated[
    Annotated[_Value, Tag("number")]
    | Annotated[tuple[_Value, ...], Field(min_length=1, max_length=MAX_PARAM_GROUPS, fail_fast=True), Tag("list")],
    Discriminator(number_or_list),
]

PerGroupLR = _OnePerGroup[LR]
"""One LR for every param group, or a list with one per group."""

PerGroupMomentum = _OnePerGroup[Share]
"""One momentum (or β1) for every param group, or a list with one per group."""

FactorOrList = Annotated[
    Annotated[NonNegative, Tag("number")]
    | Annotated[tuple[NonNegative, ...], Field(min_length=1, max_length=100_000, fail_fast=True), Tag("list")],
    Discriminator(number_or_list),
]
"""One factor for every iteration, or a list with one per iteration."""
