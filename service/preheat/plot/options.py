"""Options of a plot (window, size, axis, colours, mark); a window of iterations by itself."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from preheat.specs.fields import MAX_ITERATION

Iteration = Annotated[int, Field(ge=0, le=MAX_ITERATION + 1)]


class Window(BaseModel):
    """Iterations start … stop − 1 of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Iteration = Field(0, description="First iteration.", examples=[0])
    stop: Iteration | None = Field(
        None, description="Iteration before which to end; by default total_iterations + 1.", examples=[21]
    )

    def iterations(self, total_iterations: int) -> range:
        """The iterations of a run of this length, which may end before the window does."""
        return range(self.start, total_iterations + 1 if self.stop is None else self.stop)


class PlotOptions(Window):
    """How a picture looks; the fields of the plot routes and of `preheat plot`."""

    width_px: int = Field(960, ge=320, le=100_000, description="Width in pixels.", examples=[960])
    height_px: int = Field(480, ge=200, le=100_000, description="Height in pixels.", examples=[480])
    scale: Literal["linear", "log"] = Field("linear", description="LR axis.", examples=["linear"])
    theme: Literal["light", "dark"] = Field("light", description="Colours.", examples=["light"])
    at: Iteration | None = Field(None, description="Iteration to mark, with its LR.", examples=[12])
