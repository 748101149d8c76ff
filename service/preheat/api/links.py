"""Models of links: where an answer says that more about a schedule is found; what is in braces is to be filled in."""

from pydantic import BaseModel, Field

from preheat.conversions import Target

_PATH = "/v1/schedules/630e8304e0352e14c20ae59b8f487901"


class Links(BaseModel):
    """Where to find a schedule, its learning rates and its pictures."""

    self: str = Field(description="The schedule.", examples=[_PATH])
    lr: str = Field(description="Its learning rates.", examples=[f"{_PATH}/lr"])
    plot_png: str = Field(description="Its picture as PNG.", examples=[f"{_PATH}/plot.png"])
    plot_svg: str = Field(description="Its picture as SVG.", examples=[f"{_PATH}/plot.svg"])


class ScheduleLinks(Links):
    """Where to find everything about a schedule."""

    point: str = Field(description="The LR of one iteration.", examples=[f"{_PATH}/lr/{{iteration}}"])
    at: str = Field(
        description="The LR at an epoch, or (`samples=`, `tokens=`) at another place; the spec must have units.",
        examples=[f"{_PATH}/at?epoch={{epoch}}"],
    )
    lint: str = Field(description="The schedule with what lint says.", examples=[f"{_PATH}?lint=true"])
    sum: str = Field(description="Sum and mean of its LRs.", examples=[f"{_PATH}/sum"])
    crossing: str = Field(description="When its LR reaches a value.", examples=[f"{_PATH}/crossing?value={{value}}"])
    diff: str = Field(
        description="What tells it from another schedule.",
        examples=["/v1/diff?a=630e8304e0352e14c20ae59b8f487901&b={other_id}"],
    )
    resume: str = Field(
        description="POST a spec here: what happens when a run goes over to it.",
        examples=[f"{_PATH}/resume?iteration={{iteration}}"],
    )
    export: dict[Target, str] = Field(
        description="The schedule for each library that it can be exported to.",
        examples=[{"torch": f"{_PATH}/export?to=torch"}],
    )
    delete: str = Field(description="DELETE removes it.", examples=[_PATH])


class _Next(BaseModel):
    next: str | None = Field(
        description="The LRs that follow, as many again; null at the end of the run and after an empty window.",
        examples=[f"{_PATH}/lr?start=5000&stop=10000&step=1"],
    )


class WindowLinks(Links, _Next):
    """Where to find a schedule, and the learning rates that follow a window of them."""


class ScheduleWindowLinks(ScheduleLinks, _Next):
    """Where to find everything about a schedule, and the learning rates that follow a window of them."""
