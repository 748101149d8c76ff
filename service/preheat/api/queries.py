"""Query parameters: one closed model per route, so that a mistyped name is refused and not ignored."""

import base64
import binascii
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Self

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import override

from preheat.analysis import Policy
from preheat.analysis.handover import Place
from preheat.conversions import Target
from preheat.curve import Curve
from preheat.messages import listed
from preheat.plot.options import Iteration, PlotOptions, Window
from preheat.runs.states import State
from preheat.specs import Column
from preheat.specs.duration_text import Unit
from preheat.specs.durations import Units
from preheat.specs.fields import MAX_ITERATION
from preheat.store import Search
from preheat.store.run_lists import RunSearch


class NoQuery(BaseModel):
    """No query parameter: any that is given is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ScheduleQuery(NoQuery):
    """What to say about a schedule."""

    lint: bool = Field(True, description="Whether to lint it, which takes longest of all.", examples=[True])


class BoundsQuery(Window):
    """Iterations start … stop − 1."""

    def window(self, curve: Curve) -> range:
        """The iterations asked for. Raises IterationOutOfRange if they leave the run."""
        window = self.iterations(curve.total_iterations)
        curve.check_window(window.start, window.stop)
        return window


class WindowQuery(BoundsQuery):
    """Iterations start, start + step, … below stop."""

    step: int = Field(1, ge=1, le=MAX_ITERATION, description="Distance of two iterations.", examples=[1])

    @property
    def is_given(self) -> bool:
        """Whether a window was asked for."""
        return bool(self.model_fields_set)

    @override
    def window(self, curve: Curve) -> range:
        # Sliced after the check: a slice of a window that ends before its start would begin and end at its start.
        return super().window(curve)[:: self.step]


class CrossingQuery(BoundsQuery):
    """A value, and the column in which it is looked for."""

    value: float = Field(ge=0, le=1e15, description="Value to be reached.", examples=[0.005])
    group: str | None = Field(
        None, max_length=100, description="Name of the param group; by default the first.", examples=["default"]
    )
    hyperparameter: str = Field("lr", max_length=100, description="lr, momentum, weight_decay, …", examples=["lr"])

    def column(self, columns: Sequence[Column]) -> int:
        """The index of the column. Raises RequestValidationError if the schedule has no such column."""
        for index, column in enumerate(columns):
            if column.hyperparameter == self.hyperparameter and self.group in {None, column.group}:
                return index
        known = listed(column.name for column in columns)
        raise _refusal(f"must name a column of the schedule (known: {known})", {"group": self.group})


class DifferenceQuery(WindowQuery):
    """Two schedules, and which of their iterations to compare."""

    a: str = Field(max_length=32, description="Id of the first.", examples=["630e8304e0352e14c20ae59b8f487901"])
    b: str = Field(max_length=32, description="Id of the second.", examples=["630e8304e0352e14c20ae59b8f487901"])
    rows: int = Field(
        20, ge=0, le=1000, description="Iterations in the table, and at most 20,000 values.", examples=[20]
    )


class ExportQuery(NoQuery):
    """What to export to."""

    to: Target = Field(description="The library.", examples=["torch"])


class UnitQuery(NoQuery):
    """A place in a run, in one of the units."""

    iteration: Iteration | None = Field(None, description="The iteration, from 0.", examples=[None])
    epoch: float | None = Field(None, ge=0, le=1e15, description="Epochs that are done.", examples=[2.5])
    samples: float | None = Field(None, ge=0, le=1e24, description="Samples that are done.", examples=[None])
    tokens: float | None = Field(None, ge=0, le=1e24, description="Tokens that are done.", examples=[None])

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(value is not None for value in (self.iteration, self.epoch, self.samples, self.tokens)) != 1:
            raise ValueError("must be exactly one of iteration, epoch, samples, tokens")
        return self

    def iteration_in(self, units: Units, whose: str = "the schedule's spec") -> int:
        """The nearest iteration. Raises RequestValidationError if the schedule does not say how long its units are."""
        if self.iteration is not None:
            return self.iteration
        named: dict[Unit, float | None] = {"epoch": self.epoch, "samples": self.samples, "tokens": self.tokens}
        unit, amount = next((unit, amount) for unit, amount in named.items() if amount is not None)
        try:
            return units.iterations(unit, amount)
        except ValueError as reason:
            raise _refusal(f"{reason} in {whose}", {unit: amount}) from None


class HandoverQuery(UnitQuery):
    """Where a run goes over to another schedule, and what to do about a jump."""

    iteration: Iteration | None = Field(
        None, description="The last update of the old schedule, and as many of the new one.", examples=[11]
    )
    policy: Policy = Field(
        "keep",
        description=(
            "Take the new schedule as it is (keep), rescale it to the old LR, rewarm from the LR of now to its target, "
            "or refuse a jump (409)."
        ),
        examples=["keep"],
    )

    def place(self, old: Units, new: Units) -> Place:
        """The last update of the old schedule, by the units of each. Raises RequestValidationError."""
        return Place(self.iteration_in(old), self.iteration_in(new, "the posted spec"))


async def refuse_repeated_parameters(request: Request) -> None:
    """Raises RequestValidationError if a parameter that has one value is given several: neither is taken in silence."""
    # `compare` alone is a list; of any other parameter FastAPI would take the last value.
    given = Counter(name for name, _ in request.query_params.multi_items())
    repeated = [name for name, times in given.items() if times > 1 and name != "compare"]
    if repeated:
        raise _refusal("must be given once", {name: request.query_params[name] for name in repeated})


def _refusal(rule: str, parameters: Mapping[str, object]) -> RequestValidationError:
    """A rule that parameters break, as FastAPI raises those that it checks: both are answered alike."""
    error = {"type": "value_error", "ctx": {"error": rule}}
    return RequestValidationError(
        [{**error, "loc": ("query", name), "input": value} for name, value in parameters.items()]
    )


def _cursor_number(cursor: str) -> str:
    try:
        number = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise ValueError("must be the `next` of an earlier page") from error
    if not (number.isdecimal() and len(number) < 19):  # noqa: PLR2004 - a row has a 64-bit number, which holds any 18 digits
        raise ValueError("must be the `next` of an earlier page")
    return number


def cursor(number: int) -> str:
    """The opaque name of the place in the list below schedule `number`."""
    # Encoded so that nobody computes with it: what a cursor holds may change with the store.
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


class ListQuery(NoQuery):
    """A page of the list of schedules."""

    limit: int = Field(50, ge=1, le=200, description="Most schedules on a page.", examples=[50])
    cursor: Annotated[str, AfterValidator(_cursor_number)] | None = Field(
        None, max_length=30, description="`next` of the page before.", examples=["MTI"]
    )
    label: str | None = Field(
        None, min_length=1, max_length=200, description="Only schedules with this label.", examples=["resnet-50"]
    )
    label_prefix: str | None = Field(
        None, min_length=1, max_length=200, description="Only those whose label begins so.", examples=["resnet"]
    )
    label_contains: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Only those whose label has this in it; a to z stand for A to Z too.",
        examples=["net"],
    )

    @property
    def search(self) -> Search:
        """What the label is like."""
        return Search(self.label, self.label_prefix, self.label_contains)

    @property
    def before(self) -> int | None:
        """Number that the page stays below."""
        return None if self.cursor is None else int(self.cursor)


class RunListQuery(NoQuery):
    """A page of the list of runs."""

    limit: int = Field(50, ge=1, le=200, description="Most runs on a page.", examples=[50])
    cursor: Annotated[str, AfterValidator(_cursor_number)] | None = Field(
        None, max_length=30, description="`next` of the page before.", examples=["MTI"]
    )
    label: str | None = Field(
        None, min_length=1, max_length=200, description="Only runs with this label.", examples=["llama-7b"]
    )
    label_prefix: str | None = Field(
        None, min_length=1, max_length=200, description="Only those whose label begins so.", examples=["llama"]
    )
    state: State | None = Field(None, description="Only those in this state.", examples=["RUNNING"])

    @property
    def search(self) -> RunSearch:
        """Which runs are asked for."""
        return RunSearch(self.label, self.label_prefix, self.state)

    @property
    def before(self) -> int | None:
        """Number that the page stays below."""
        return None if self.cursor is None else int(self.cursor)


class DryRunQuery(NoQuery):
    """Whether a change or a restart is only tried."""

    dry_run: bool = Field(False, description="Say what it would do, and do nothing.", examples=[True])


class AttemptQuery(NoQuery):
    """Of which attempt."""

    attempt: int | None = Field(None, ge=0, le=MAX_ITERATION, description="By default the present one.", examples=[1])


class RunWindowQuery(WindowQuery, AttemptQuery):
    """Iterations start, start + step, … below stop of an attempt's line."""


class SeriesQuery(AttemptQuery):
    """Which reports."""

    name: str = Field(max_length=100, description="Name of the number.", examples=["loss"])
    start: int = Field(0, ge=0, le=MAX_ITERATION, description="First iteration.", examples=[0])
    stop: int = Field(MAX_ITERATION, ge=0, le=MAX_ITERATION, description="The iteration to end before.", examples=[99])
    limit: int = Field(5000, ge=1, le=100_000, description="Most values.", examples=[5000])


class EventsQuery(NoQuery):
    """Which events."""

    after: int | None = Field(
        None, ge=0, le=MAX_ITERATION, description="The number of the last one that is known.", examples=[0]
    )
    limit: int = Field(1000, ge=1, le=1000, description="Most events; a stream has no end.", examples=[1000])


class PlotQuery(PlotOptions):
    """How a picture looks, and what else it shows."""

    compare: list[Annotated[str, Field(max_length=32)]] = Field(
        [], max_length=8, description="Ids of schedules to draw beside it.", examples=[[]]
    )


class RunPlotQuery(PlotOptions):
    """How a run's picture looks, and which reported number it shows."""

    metric: str | None = Field(
        None, max_length=100, description="Name of the reported number; by default loss.", examples=["loss"]
    )


class SpecPlotQuery(PlotQuery):
    """A picture of a spec that is not stored."""

    spec: str = Field(
        max_length=4000,
        description="The spec, as JSON; a longer one can be posted.",
        examples=['{"target_lr": 0.01, "total_iterations": 20, "warmup": {"iterations": 10}}'],
    )
