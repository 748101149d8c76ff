"""Options of a plot: size, axis, colours, window, mark."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from preheat.specs.fields import MAX_ITERATION

Iteration = Annotated[int, Field(ge=0, le=MAX_ITERATION + 1)]


class PlotOptions(BaseModel):
    """How a picture looks; the fields of the plot routes and of `preheat plot`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width_px: int = Field(960, ge=200, le=100_000, description="Width in pixels.", examples=[960])
    height_px: int = Field(480, ge=150, le=100_000, description="Height in pixels.", examples=[480])
    scale: Literal["linear", "log"] = Field("linear", description="LR axis.", examples=["linear"])
    theme: Literal["light", "dark"] = Field("light", description="Colours.", examples=["light"])
    start: Iteration = Field(0, description="First iteration shown.", examples=[0])
    stop: Iteration | None = Field(
        None, description="Iteration before which the picture ends; by default total_iterations + 1.", examples=[21]
    )
    at: Iteration | None = Field(None, description="Iteration to mark, with its LR.", examples=[12])
