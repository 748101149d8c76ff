"""Fields of requests about live runs: names, counts and values, with what each of them may be."""

import math
from typing import Annotated, Any

from pydantic import AfterValidator, AllowInfNan, BeforeValidator, Field

from preheat.specs.fields import MAX_ITERATION, Int

_TEXTS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _readable(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be printable, and not blank")
    return text


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity: they travel as texts."""
    return _TEXTS.get(value, value) if isinstance(value, str) else value


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_readable)]
Label = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_readable)]
Count = Annotated[Int, Field(ge=0, le=MAX_ITERATION)]
Seconds = Annotated[float, Field(gt=0, le=1e9)]
GroupKey = Annotated[str, Field(min_length=1, max_length=100)]
Token = Annotated[str, Field(min_length=16, max_length=100, pattern=r"^[!-~]+$")]
Value = Annotated[float, AllowInfNan(), BeforeValidator(_number)]
Duration = Annotated[Any, Field(json_schema_extra={"type": ["integer", "string", "null"]})]
Why = Annotated[str, Field(max_length=2_000)]
