"""Staged schedulers: hold, then decay (WSD, flat cosine, tri-stage), slanted triangle and range test."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import between, falling, number
from preheat.specs.after_schedulers.scheduler import Decay, Shape, Stage
from preheat.specs.durations import Iterations, IterationsOrZero
from preheat.specs.fields import LR, Positive, Share
from preheat.specs.span import Span


class WSDLR(Decay):
    """b until s = length − decay_length, then low + (b − low) · g(x), x the share of decay_length that is over.

    g is 1 − x (linear), (1 + cos(πx)) / 2 (cosine), 1 − √x (1-sqrt), 1 − x^power (power), or (q^x − q) / (1 − q) with
    q = decay_ratio (exponential). The last iteration at b is length − decay_length; low from s = length on. With a
    decay_length of 0 the last iteration at b is length − 1.

    Source: Hu et al., MiniCPM (arXiv 2404.06395); Hägele et al. (arXiv 2405.18392) for 1-sqrt; transformers
    `get_wsd_schedule`, timm `WSDLRScheduler`, Megatron WSD (exponential is q = 1/2), torchtitan.
    """

    resolved_apart: ClassVar[frozenset[str]] = frozenset({"decay_length"})
    brief_fields: ClassVar[tuple[str, ...]] = ("decay_length",)
    type: Literal["WSDLR"]
    decay_length: IterationsOrZero | None = Field(
        None, description="Iterations of the decay at the end; by default a tenth of the run.", examples=["10%"]
    )
    decay: Literal["linear", "cosine", "1-sqrt", "power", "exponential"] = Field(
        "linear", description="Shape of the decay.", examples=["1-sqrt"]
    )
    power: Positive = Field(0.5, description="Exponent of the power decay; 0.5 is 1-sqrt, 2 1-square.", examples=[2.0])
    decay_ratio: Annotated[float, Field(ge=1e-9, le=0.999)] = Field(
        0.5, description="How steep the exponential decay is: 1/2 is Megatron's.", examples=[0.5]
    )

    @property
    def decay_start(self) -> int:
        """The last iteration at b."""
        # A decay of no iterations has its fall between two, at length.
        return (self.length or 1) - (self.decay_length or 1)

    @property
    @override
    def stages(self) -> list[Stage]:
        return [("stable", 0), (f"{self.decay} decay", self.decay_start + 1)]

    @override
    def filled_in(self, span: Span) -> Self:
        filled = super().filled_in(span)
        length = filled.length or 1
        given = span.resolved_at_end(self.decay_length, ("decay_length",))
        # A tenth of the whole run, warm-up included, as papers state it, but never more than the scheduler has.
        decay_length = min(span.share(0.1), length) if given is None else given
        if isinstance(decay_length, int) and decay_length > length:
            span.refuse(("decay_length",), f"must not exceed length ({length})", decay_length)
        return filled.model_copy(update={"decay_length": decay_length})

    @override
    def formula(self, group: int = 0) -> str:
        if not self.decay_length:
            return f"b if s < {self.length} else {self.low}"
        x = f"((s - {self.decay_start}) / {self.decay_length})"
        q = number(self.decay_ratio)
        match self.decay:
            case "power":
                height = f"1 - {x} ** {number(self.power)}"
            case "exponential":
                height = f"({q} ** {x} - {q}) / {1 - self.decay_ratio!r}"
            case form:
                height = falling(form, x)
        return f"b if s <= {self.decay_start} else {self.between(height)} if s < {self.length} else {self.low}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.decay_start, self.length or 1)


class FlatCosineLR(Decay):
    """b until s = flat_length, then low + (b − low) · (1 + cos(π · x)) / 2, x the share of the rest that is over.

    b at s = flat_length, low from s = length on. Source: fastai `fit_flat_cos` (pct_start is the flat share, 0.75).
    """

    brief_fields: ClassVar[tuple[str, ...]] = ("flat_length",)
    type: Literal["FlatCosineLR"]
    flat_length: IterationsOrZero | None = Field(
        None, description="Iterations at b; by default three quarters of length.", examples=["75%"]
    )

    @property
    @override
    def stages(self) -> list[Stage]:
        return [("flat", 0), ("cosine", (self.flat_length or 0) + 1)]

    @override
    def filled_in(self, span: Span) -> Self:
        filled = super().filled_in(span)
        length = filled.length or 1
        flat_length = length * 3 // 4 if self.flat_length is None else self.flat_length
        if flat_length >= length:
            span.refuse(("flat_length",), f"must be less than length ({length})", flat_length)
        return filled.model_copy(update={"flat_length": flat_length})

    @override
    def formula(self, group: int = 0) -> str:
        flat, length = self.flat_length or 0, self.length or 1
        decay = self.between(falling("cosine", f"((s - {flat}) / {length - flat})"))
        return f"b if s <= {flat} else {decay} if s < {length} else {self.low}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.flat_length or 0, self.length or 1)


class TriStageLR(Shape):
    """Up from init_ratio · b to b, hold, and down to final_ratio · b, exponentially; then final_ratio · b.

    Linear at s < warmup_iterations, b from there to s = warmup_iterations + hold_iterations, final_ratio · b from s =
    warmup_iterations + hold_iterations + decay_iterations on. Source: Park et al., SpecAugment (arXiv 1904.08779);
    fairseq `tri_stage` (phase_ratio in shares, init_lr_scale, final_lr_scale).
    """

    epoch_fields: ClassVar[tuple[str, ...]] = ("hold_iterations", "decay_iterations")
    brief_fields: ClassVar[tuple[str, ...]] = ("warmup_iterations",)
    resolved_apart: ClassVar[frozenset[str]] = frozenset({"hold_iterations", "decay_iterations"})
    type: Literal["TriStageLR"]
    warmup_iterations: IterationsOrZero = Field(description="Iterations up.", examples=["10%"])
    hold_iterations: IterationsOrZero = Field(description="Iterations at b.", examples=["40%"])
    decay_iterations: Iterations = Field(description="Iterations down.", examples=["50%"])
    init_ratio: Share = Field(0.01, description="Factor of b at the start.", examples=[0.01])
    final_ratio: Annotated[float, Field(ge=1e-12, le=1)] = Field(
        0.01, description="Factor of b at the end.", examples=[0.05]
    )

    @override
    def filled_in(self, span: Span) -> Self:
        # In order: in a ramp of the batch a duration depends on where its stage begins.
        hold = span.resolved(self.hold_iterations, ("hold_iterations",), self.warmup_iterations)
        if not isinstance(hold, int):
            return self
        decay = span.resolved(self.decay_iterations, ("decay_iterations",), self.warmup_iterations + hold)
        return self.model_copy(update={"hold_iterations": hold, "decay_iterations": decay})

    @property
    def _bounds(self) -> tuple[int, int, int]:
        hold = self.warmup_iterations
        decay = hold + self.hold_iterations
        return hold, decay, decay + self.decay_iterations

    @property
    @override
    def stages(self) -> list[Stage]:
        hold, decay, _ = self._bounds
        return [("warm-up", 0), ("hold", hold + 1), ("decay", decay + 1)]

    @override
    def formula(self, group: int = 0) -> str:
        hold, decay, end = self._bounds
        # `or 1`: as arrays both branches of a choice are computed, and a warm-up of 0 would divide there.
        rising = f"b * ({number(self.init_ratio)} + {1 - self.init_ratio!r} * s / {hold or 1})"
        falling = f"b * {number(self.final_ratio)} ** ((s - {decay}) / {self.decay_iterations})"
        final = f"b * {number(self.final_ratio)}"
        return f"{rising} if s < {hold} else b if s <= {decay} else {falling} if s < {end} else {final}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return self._bounds


class SlantedTriangularLR(Shape):
    """b · (1 + p · (ratio − 1)) / ratio: p rises to 1 within cut iterations, then falls to 0 at s = length.

    cut = ⌊length · cut_share⌋. b / ratio at s = 0, b at s = cut, b / ratio from s = length on. Source: Howard and
    Ruder, ULMFiT (arXiv 1801.06146) §3.2.
    """

    length_field: ClassVar[str | None] = "length"
    epoch_fields: ClassVar[tuple[str, ...]] = ("length",)
    type: Literal["SlantedTriangularLR"]
    length: Iterations | None = Field(
        None, description="Iterations; by default what is left of the run.", examples=[90]
    )
    cut_share: Share = Field(0.1, description="Share of the length in which the LR rises.", examples=[0.1])
    ratio: Annotated[float, Field(ge=1, le=1e12)] = Field(32.0, description="b over the lowest LR.", examples=[32.0])

    @property
    def cut(self) -> int:
        """The iteration of the peak."""
        return int((self.length or 1) * self.cut_share)

    @property
    @override
    def stages(self) -> list[Stage]:
        return [("rise", 0), ("fall", self.cut + 1)]

    @override
    def filled_in(self, span: Span) -> Self:
        return self.model_copy(update={"length": self.length or span.default_length("length")})

    @override
    def formula(self, group: int = 0) -> str:
        # With cut_share 1 nothing is left to fall: the fall of one iteration keeps the division sound.
        cut, length = self.cut, self.length or 1
        falling = f"max(1 - (s - {cut}) / {max(length - cut, 1)}, 0.0)"
        p = f"(s / {cut or 1} if s < {cut} else {falling})"
        return f"b * (1 + {p} * {self.ratio - 1!r}) / {self.ratio!r}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.cut, self.length or 1)


class RangeTestLR(Shape):
    """start_lr + (b − start_lr) · s / length (linear) or start_lr · (b / start_lr)^(s / length) (exponential).

    start_lr at s = 0, b from s = length on; with `stair_length` the LR stays for that long. Source: Smith, Cyclical
    Learning Rates (arXiv 1506.01186) §3.3; torch-lr-finder, fastai `LRFinder`, DeepSpeed `LRRangeTest`.
    """

    may_rise: ClassVar[bool] = True
    length_field: ClassVar[str | None] = "length"
    epoch_fields: ClassVar[tuple[str, ...]] = ("length",)
    type: Literal["RangeTestLR"]
    start_lr: Annotated[LR, Field(gt=0)] = Field(1e-7, description="LR at the start.", examples=[1e-7])
    length: Iterations | None = Field(
        None, description="Iterations; by default what is left of the run.", examples=[90]
    )
    mode: Literal["linear", "exponential"] = Field("exponential", description="How it rises.", examples=["exponential"])
    stair_length: Iterations = Field(1, description="Iterations at each LR.", examples=[1])

    @override
    def filled_in(self, span: Span) -> Self:
        return self.model_copy(update={"length": self.length or span.default_length("length")})

    @override
    def formula(self, group: int = 0) -> str:
        s = f"(s // {self.stair_length} * {self.stair_length})" if self.stair_length > 1 else "s"
        return between(self.mode, number(self.start_lr), "b", f"min({s} / {self.length}, 1.0)")
