"""PhasesLR: phase after phase, each from one LR to another."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, ClassVar, Literal, Self

from pydantic import ConfigDict, Field
from typing_extensions import override

from preheat.formula.easing import between, number
from preheat.specs.after_schedulers.scheduler import Named, Shape, Stage
from preheat.specs.durations import Iterations
from preheat.specs.fields import LR, Closed, Ratio
from preheat.specs.span import Span
from preheat.specs.violations import Location

_End = tuple[float | None, float | None]
"""An end of a phase: an LR, or a factor of b; with neither it is not given, or is b where a phase is normalised."""

_NOT_GIVEN: _End = (None, None)


class Segment(Closed):
    """One phase of a PhasesLR: the LR goes from `from` to `to`, or between factors of b, within `length`."""

    # Aliases, because `from` is a keyword in Python and cannot name a field.
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

    start_factor: Ratio | None = Field(
        None, alias="from_factor", description="LR at the start as a factor of b, instead of `from`.", examples=[1.0]
    )
    end_factor: Ratio | None = Field(
        None, alias="to_factor", description="LR at the end as a factor of b, instead of `to`.", examples=[0.1]
    )

    @property
    def start(self) -> _End:
        """LR or factor at the start."""
        return self.start_lr, self.start_factor

    @property
    def end(self) -> _End:
        """LR or factor at the end."""
        return self.end_lr, self.end_factor

    def after(self, last: _End) -> Self:
        """The phase with both ends filled in, where the phase before has ended at `last`."""
        start = last if self.start == _NOT_GIVEN else self.start
        end = start if self.end == _NOT_GIVEN and self.shape == "constant" else self.end
        names = ("start_lr", "start_factor", "end_lr", "end_factor")
        return self.model_copy(update=dict(zip(names, (*start, *end), strict=True)))

    def check(self, span: Span, index: int) -> None:
        """Refuses ends that the shape cannot have, of a phase as it was written down."""
        if self.start_lr is not None and self.start_factor is not None:
            span.refuse(("phases", index, "from_factor"), "must not be given beside from", self.start_factor)
        if self.end_lr is not None and self.end_factor is not None:
            span.refuse(("phases", index, "to_factor"), "must not be given beside to", self.end_factor)
        if self.shape != "constant" and self.end == _NOT_GIVEN:
            span.refuse(("phases", index, "to"), f"is required in a {self.shape} phase, or to_factor", None)

    def check_ends(self, span: Span, index: int) -> None:
        """Refuses an exponential phase that begins or ends at 0, of a phase whose ends are filled in."""
        if self.shape == "exponential" and 0 in {self.start_lr, self.end_lr, self.start_factor, self.end_factor}:
            end = self.end_lr if self.end_factor is None else self.end_factor
            span.refuse(("phases", index, "to"), "must be > 0, as must `from`, in an exponential phase", end)

    def formula(self, start: int) -> str:
        """The LR of a normalised phase that begins at the scheduler's own iteration `start`."""
        end = _lr(*self.end)
        if self.shape == "constant":
            return end
        first, x = _lr(*self.start), f"((s - {start}) / {self.length})"
        text = between(self.shape, first, end, x)
        # b may be 0, and both ends with it: of an exponential phase the quotient is taken only where it is not.
        are_factors = self.start_lr is None and self.end_factor is not None
        return f"({text} if b > 0 else 0.0)" if self.shape == "exponential" and are_factors else text


class PhasesLR(Shape):
    """Phase after phase, each from its `from` to its `to`; a phase that names no `from` goes on where the last ended.

    The first begins at b. Phase k is in force from the end of phase k − 1 (where it is at `from`) to the iteration
    before its own end; at that iteration the next one is at its `from`. x is the share that is over: constant from;
    linear from + (to − from) · x; cosine from + (to − from) · (1 − cos πx) / 2; exponential from · (to / from)^x;
    1-sqrt to + (from − to) · (1 − √x). After the last phase its `to` stays. With from_factor and to_factor, factors
    of b, param groups keep their ratio. Source: DeepSeek-V3 (arXiv 2412.19437).
    """

    resolved_apart: ClassVar[frozenset[str]] = frozenset({"phases"})
    formula_field: ClassVar[Location] = ("phases",)
    type: Literal["PhasesLR"]
    phases: Annotated[tuple[Segment, ...], Field(min_length=1, max_length=50, fail_fast=True)] = Field(
        description="The phases, in order.",
        examples=[[{"length": 60}, {"shape": "cosine", "length": 30, "to": 0.001}, {"to": 0.0005}]],
    )

    @property
    def starts(self) -> list[int]:
        """The iteration at which each phase begins, and the one at which the last has ended."""
        return [0, *accumulate(phase.length or 0 for phase in self.phases)]

    @property
    @override
    def stages(self) -> list[Stage]:
        # `starts` has one entry more than there are phases: the end of the last.
        return [(phase.shape, start) for phase, start in zip(self.phases, self.starts, strict=False)]

    @override
    def named_beginnings(self) -> list[Named]:
        return [(("phases", index), start) for index, start in enumerate(self.starts[:-1])]

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """The longest phase's."""
        lengths = {index: phase.length or 0 for index, phase in enumerate(self.phases)}
        longest = max(lengths, key=lengths.__getitem__)
        return [(("phases", longest, "length"), lengths[longest])]

    @override
    def named_briefs(self) -> list[Named]:
        """Those before the longest, which may be a warm-up's. A tail after it is often as brief as it says."""
        (((_, longest, _), _),) = self.named_epochs(0)
        return [(("phases", index, "length"), self.phases[index].length or 0) for index in range(int(longest))]

    @override
    def idle_fields(self) -> list[Location]:
        """The start of a constant phase that has another end, at which all of it is."""
        before = [_NOT_GIVEN, *(phase.end for phase in self.phases)]
        found: list[Location] = []
        for index, (phase, last) in enumerate(zip(self.phases, before, strict=False)):
            # Where it is the one that the phase before ends at, it is filled in.
            if phase.shape == "constant" and phase.start not in {_NOT_GIVEN, phase.end, last}:
                found.append(("phases", index, "from" if phase.start_factor is None else "from_factor"))
        return found

    @override
    def filled_in(self, span: Span) -> Self:
        phases: list[Segment] = []
        used, last = 0, _NOT_GIVEN
        # In order: in a ramp of the batch a duration depends on where its phase begins.
        for index, phase in enumerate(self.phases):
            length = span.resolved(phase.length, ("phases", index, "length"), used)
            if length is None:
                length = self._rest(index, used, span)
            phase.check(span, index)
            whole = phase.after(last).model_copy(update={"length": length})
            whole.check_ends(span, index)
            last = whole.end
            phases.append(whole)
            if not isinstance(length, int):  # refused: the phases after it cannot be placed
                return self
            used += length
        return self.model_copy(update={"phases": tuple(phases)})

    def _rest(self, index: int, used: int, span: Span) -> int:
        """The length of a last phase that names none."""
        if index < len(self.phases) - 1:
            span.refuse(("phases", index, "length"), "is required in every phase but the last", None)
        elif used >= span.iterations:
            rule = f"has no default here: the phases before take all {span.iterations} iterations"
            span.refuse(("phases", index, "length"), rule, None)
        return max(span.iterations - used, 1)

    @override
    def formula(self, group: int = 0) -> str:
        text = _lr(*self.phases[-1].end)
        # From the last phase back, since each is the `else` of the one before.
        for phase, (start, end) in reversed(list(zip(self.phases, pairwise(self.starts), strict=True))):
            text = f"({phase.formula(start)} if s < {end} else {text})"
        return text

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (point for begin in self.starts for point in (begin - 1, begin))

    @override
    def suspects(self, length: int) -> Sequence[int]:
        """Where a phase begins: an exponential one divides by its `from`, which may be b, and b may be 0."""
        return [start for start in self.starts if start <= length]


def _lr(lr: float | None, factor: float | None) -> str:
    if factor is not None:
        return f"(b * {number(factor)})"
    return "b" if lr is None else number(lr)
