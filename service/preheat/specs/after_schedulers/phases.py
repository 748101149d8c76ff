"""Phase after phase, each going on where the one before ended."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field
from typing_extensions import override

from preheat.formula.language import number
from preheat.specs.after_schedulers.scheduler import Stage
from preheat.specs.after_schedulers.shape import Shape
from preheat.specs.fields import LR, Closed, Iterations
from preheat.specs.span import Stretch


class Phase(Closed):
    """One phase: the LR goes from `from` to `to` within `length`; both are factors of b if is_ratio is set."""

    model_config = ConfigDict(serialize_by_alias=True)

    shape: Literal["constant", "linear", "cosine", "exponential", "1-sqrt"] = Field(
        "constant", description="How the LR goes from one end to the other.", examples=["cosine"]
    )
    length: Iterations | None = Field(
        None, description="Iterations; may be left out in the last phase, which then takes what is left.", examples=[50]
    )
    start_lr: LR | None = Field(
        None, alias="from", description="LR at the start; by default where the phase before ended.", examples=[2.2e-4]
    )
    end_lr: LR | None = Field(
        None, alias="to", description="LR at the end; by default that at the start.", examples=[2.2e-5]
    )


class PhasesLR(Shape):
    """Phase after phase, each from its `from` to its `to`; a phase that names no `from` goes on where the last ended.

    The first begins at b. Phase k is in force from the end of phase k − 1 (where it is at `from`) to the iteration
    before its own end; at that iteration the next one is at its `from`. x is the share that is over: constant from;
    linear from + (to − from) · x; cosine from + (to − from) · (1 − cos πx) / 2; exponential from · (to / from)^x;
    1-sqrt to + (from − to) · (1 − √x). After the last phase its `to` stays. Source: DeepSeek-V3 (arXiv 2412.19437).
    """

    type: Literal["PhasesLR"]
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=50, fail_fast=True)] = Field(
        description="The phases, in order.",
        examples=[[{"length": 60}, {"shape": "cosine", "length": 30, "to": 0.001}, {"to": 0.0005}]],
    )

    @property
    def starts(self) -> list[int]:
        """The iteration at which each phase begins, and the one at which the last has ended."""
        starts = [0]
        for phase in self.phases:
            starts.append(starts[-1] + (phase.length or 0))
        return starts

    @property
    @override
    def stages(self) -> list[Stage]:
        return [(phase.shape, start) for phase, start in zip(self.phases, self.starts, strict=False)]

    @override
    def filled_in(self, stretch: Stretch) -> Self:
        phases: list[Phase] = []
        used, last_lr = 0, None
        for index, phase in enumerate(self.phases):
            length = None if phase.length is None else stretch.placed(phase.length, used)
            if length is None:
                length = max(stretch.iterations - used, 1)
                if index < len(self.phases) - 1:
                    stretch.refuse(("phases", index, "length"), "is required in every phase but the last", None)
                elif used >= stretch.iterations:
                    rule = f"has no default here: the phases before take all {stretch.iterations} iterations"
                    stretch.refuse(("phases", index, "length"), rule, None)
            start_lr = last_lr if phase.start_lr is None else phase.start_lr
            last_lr = self._end(phase, start_lr)
            self._check(index, phase, start_lr, stretch)
            update: dict[str, Any] = {"length": length, "start_lr": start_lr, "end_lr": last_lr}
            phases.append(phase.model_copy(update=update))
            used += length
        return self.model_copy(update={"phases": tuple(phases)})

    @staticmethod
    def _end(phase: Phase, start_lr: float | None) -> float | None:
        if phase.shape == "constant":
            return start_lr if phase.end_lr is None else phase.end_lr
        return phase.end_lr

    @staticmethod
    def _check(index: int, phase: Phase, start_lr: float | None, stretch: Stretch) -> None:
        if phase.shape != "constant" and phase.end_lr is None:
            stretch.refuse(("phases", index, "to"), f"is required in a {phase.shape} phase", None)
        if phase.shape == "exponential" and 0 in {start_lr, phase.end_lr}:
            stretch.refuse(
                ("phases", index, "to"), "must be > 0, as must `from`, in an exponential phase", phase.end_lr
            )

    @override
    def formula(self) -> str:
        starts = self.starts
        text = _lr(self.phases[-1].end_lr)
        for phase, start, end in reversed(list(zip(self.phases, starts, starts[1:], strict=False))):
            text = f"({_of_phase(phase, start)} if s < {end} else {text})"
        return text

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (point for begin in self.starts for point in (begin - 1, begin))


def _of_phase(phase: Phase, start: int) -> str:
    first, last, x = _lr(phase.start_lr), _lr(phase.end_lr), f"((s - {start}) / {phase.length})"
    return {
        "constant": last if phase.start_lr != phase.end_lr else first,
        "linear": f"{first} + ({last} - {first}) * {x}",
        "cosine": f"{last} + ({first} - {last}) * (1 + cos(pi * {x})) / 2",
        "exponential": f"{first} * ({last} / {first}) ** {x}",
        "1-sqrt": f"{last} + ({first} - {last}) * (1 - sqrt({x}))",
    }[phase.shape]


def _lr(lr: float | None) -> str:
    return "b" if lr is None else number(lr)
