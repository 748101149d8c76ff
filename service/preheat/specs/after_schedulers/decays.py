"""Decays: schedulers that go from the target LR to an end LR in one piece, by one formula."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field
from typing_extensions import override

from preheat.formula.easing import falling, number, power
from preheat.specs.after_schedulers.sampling import are_sampled, sampled_numbers
from preheat.specs.after_schedulers.scheduler import Decay, Named, Shape, is_over, log_growth_to
from preheat.specs.durations import Iterations
from preheat.specs.fields import LR, MAX_ITERATION, Int, NonNegative, Positive
from preheat.specs.span import Span

_LOW = 100
"""A divisor of an inverse-time decay that no run is meant to end with."""


class PolynomialDecayLR(Decay):
    """low + (b − low) · (1 − r)^power with r = min(s, length) / length.

    b at s = 0, low from s = length on. With `cycle` the length doubles, triples, … as s passes it, and the LR leaps up
    to a new decay (Keras). Source: transformers `get_polynomial_decay_schedule_with_warmup`, Keras `PolynomialDecay`,
    fairseq `polynomial_decay`; power 1 is every library's linear decay.
    """

    type: Literal["PolynomialDecayLR"]
    power: NonNegative = Field(1.0, le=1000, description="Exponent; 1 is a straight line.", examples=[2.0])
    cycle: bool = Field(False, description="Whether a longer decay begins at the end of each.", examples=[False])

    @override
    def formula(self, group: int = 0) -> str:
        if not self.cycle:
            return self.between(power(f"1 - {self.progress}", self.power))
        # max: at s = 0 ceil gives 0, and the first decay is already in force.
        length = f"({self.length} * max(1, ceil(s / {self.length})))"
        return self.between(power(f"1 - s / {length}", self.power))

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        length = self.length or 1
        # In cycle mode each end is low, and one iteration later begins the next, lower decay.
        first, last = start // length * length, (stop - 1) // length * length
        return {point for end in (first, first + length, last) for point in (end, end + 1)}

    @override
    def repeats(self, stop: int) -> bool:
        return self.cycle and stop > (self.length or 1)

    @override
    def restarts_within(self, iterations: int) -> bool | None:
        return (self.length or 1) < iterations if self.cycle else None


class CosineLR(Decay):
    """low + (b − low) · ((1 + cos(2π · num_cycles · r)) / 2)^exponent with r = min(s, length) / length.

    With num_cycles 0.5: b at s = 0, half-way at s = length / 2, low from s = length on (torch's CosineAnnealingLR rises
    again). Source: transformers `get_cosine_with_min_lr_schedule_with_warmup`, optax `cosine_decay_schedule` (exponent,
    alpha = min_ratio), Megatron, Keras `CosineDecay`.
    """

    type: Literal["CosineLR"]
    num_cycles: Positive = Field(
        0.5, description="Waves within the length; half a wave goes down once.", examples=[0.5]
    )
    exponent: NonNegative = Field(1.0, le=1000, description="Exponent of the cosine part.", examples=[1.0])

    @override
    def formula(self, group: int = 0) -> str:
        half_waves = 2 * self.num_cycles
        # The plain cosine, half a wave, has no factor that could keep its end from being exact.
        x = self.progress if half_waves == 1 else f"{number(half_waves)} * {self.progress}"
        return self.between(power(falling("cosine", x), self.exponent))

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        half, first, last = self._half_waves(start, stop)
        # Waves need not end on an iteration: the ones on either side are looked at.
        return {int(wave * half) + offset for wave in sampled_numbers(first, last) for offset in (0, 1)} | {
            self.length or 1
        }

    @override
    def unproved(self, start: int, stop: int) -> range:
        _, first, last = self._half_waves(start, stop)
        return range(start, stop) if are_sampled(first, last) else range(0)

    def _half_waves(self, start: int, stop: int) -> tuple[float, int, int]:
        """The length of a half wave, and the numbers of the first and the last in a window."""
        length = self.length or 1
        half = length / (2 * self.num_cycles)
        return half, int(start / half), int(min(stop, length + 1) / half) + 1


class KDecayLR(Decay):
    """low + (b − low) · g(r^k), r = min(s, length) / length; g is the cosine, or (1 − r^k)^power.

    k > 1 stays high for longer, k < 1 falls sooner. b at s = 0, low from s = length on. Source: Zhang and Li, k-decay
    (arXiv 2004.05909), timm `CosineLRScheduler` and `PolyLRScheduler` (k_decay).
    """

    type: Literal["KDecayLR"]
    k: Positive = Field(1.0, description="Exponent of the progress.", examples=[1.5])
    shape: Literal["cosine", "polynomial"] = Field(
        "cosine", description="What the progress goes into.", examples=["cosine"]
    )
    power: NonNegative = Field(1.0, le=1000, description="Exponent of the polynomial.", examples=[1.0])

    @override
    def formula(self, group: int = 0) -> str:
        progress = power(self.progress, self.k)
        if self.shape == "cosine":
            return self.between(falling("cosine", progress))
        return self.between(power(f"1 - {progress}", self.power))


class TanhLR(Decay):
    """low + (b − low) · (1 − tanh(lower · (1 − r) + upper · r)) / 2 with r = min(s, length) / length.

    Almost b at s = 0 and almost low just before s = length, low from there on. Source: Hsueh, Li and Wu, Stochastic
    Gradient Descent with Hyperbolic-Tangent Decay (arXiv 1806.01593), timm `TanhLRScheduler` (lb, ub).
    """

    type: Literal["TanhLR"]
    lower: float = Field(-7.0, ge=-100, le=100, description="Argument of tanh at s = 0.", examples=[-7.0])
    upper: float = Field(3.0, ge=-100, le=100, description="Argument of tanh at s = length.", examples=[3.0])

    @override
    def formula(self, group: int = 0) -> str:
        argument = f"{number(self.lower)} * (1 - s / {self.length}) + {number(self.upper)} * (s / {self.length})"
        # A tanh comes close to its end and never reaches it: at s = length the LR drops to it.
        return f"{self.between(f'0.5 * (1 - tanh({argument}))')} if s < {self.length} else {self.low}"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        length = self.length or 1
        return (length - 1, length)  # with lower > upper it rises, and falls to the end LR in its last step


class REXLR(Decay):
    """low + (b − low) · (1 − r) / (1 − r / 2) with r = min(s, length) / length.

    b at s = 0, two thirds of the way up at s = length / 2, low from s = length on. Source: Chen, Wolfe and Kyrillidis,
    REX: Revisiting Budgeted Training with an Improved Schedule (arXiv 2107.04197).
    """

    type: Literal["REXLR"]

    @override
    def formula(self, group: int = 0) -> str:
        return self.between(f"(1 - {self.progress}) / (1 - {self.progress} / 2)")


class ExponentialDecayLR(Shape):
    """max(b · decay_rate^(s / decay_length), min_lr); with `staircase` the exponent is rounded down.

    b at s = 0, b · decay_rate at s = decay_length: by default the end of the run, so that decay_rate is the ratio to
    decay to. Source: Keras `ExponentialDecay`, optax `exponential_decay` (end_value = min_lr), fastai `SchedExp`.
    """

    epoch_fields: ClassVar[tuple[str, ...]] = ("decay_length",)
    type: Literal["ExponentialDecayLR"]
    decay_rate: Positive = Field(description="Factor reached after decay_length.", examples=[0.1])
    decay_length: Iterations | None = Field(
        None, description="Iterations of one decay; by default what is left of the run.", examples=[1000]
    )
    staircase: bool = Field(False, description="Whether the LR stays between two decays.", examples=[False])
    min_lr: LR = Field(0.0, description="LR below which it does not fall.", examples=[0.0])

    @override
    def filled_in(self, span: Span) -> Self:
        return self.model_copy(update={"decay_length": self.decay_length or span.default_length("decay_length")})

    @override
    def formula(self, group: int = 0) -> str:
        exponent = f"(s // {self.decay_length})" if self.staircase else f"(s / {self.decay_length})"
        decayed = f"b * {number(self.decay_rate)} ** {exponent}"
        return f"max({decayed}, {number(self.min_lr)})" if self.min_lr else decayed

    @override
    def log_growth(self, iterations: int) -> float:
        return log_growth_to(self.decay_rate, iterations / (self.decay_length or 1))

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of many decays by a factor near 1 there is none: only of those that leave nothing of the LR."""
        is_dead = is_over(self.decay_rate, iterations // (self.decay_length or 1))
        return super().named_epochs(iterations) if is_dead else []


class InverseTimeLR(Shape):
    """b / (1 + decay_rate · s / decay_length); with `staircase` the fraction is rounded down.

    b at s = 0, b / (1 + decay_rate) at s = decay_length. Source: Keras `InverseTimeDecay`.
    """

    epoch_fields: ClassVar[tuple[str, ...]] = ("decay_length",)
    type: Literal["InverseTimeLR"]
    decay_rate: Positive = Field(description="Growth of the divisor within decay_length.", examples=[0.5])
    decay_length: Iterations = Field(description="Iterations of one unit of decay.", examples=[1000])
    staircase: bool = Field(False, description="Whether the LR stays between two units.", examples=[False])

    @override
    def formula(self, group: int = 0) -> str:
        units = f"(s // {self.decay_length})" if self.staircase else f"s / {self.decay_length}"
        return f"b / (1 + {number(self.decay_rate)} * {units})"

    @override
    def named_epochs(self, iterations: int) -> list[Named]:
        """Of many units at a small rate there is none: only of those that leave little of the LR."""
        is_low = self.decay_rate * iterations / self.decay_length > _LOW
        return super().named_epochs(iterations) if is_low else []


class InverseSqrtLR(Shape):
    """b · √(timescale / (s + shift + timescale)).

    b at s = 0 (without shift), b / √2 at s = timescale. The timescale is the warm-up by default, 10 000 without one.
    Source: transformers `get_inverse_sqrt_schedule`, fairseq `inverse_sqrt`, Megatron, big_vision `rsqrt`; with a
    timescale of warm-up + 1 NeMo's InverseSquareRootAnnealing.
    """

    brief_fields: ClassVar[tuple[str, ...]] = ("timescale",)
    type: Literal["InverseSqrtLR"]
    timescale: Iterations | None = Field(
        None, description="Iterations until the LR is b / √2; by default the warm-up's.", examples=[4000]
    )
    shift: Annotated[Int, Field(ge=0, le=MAX_ITERATION)] = Field(
        0, description="Iterations the decay is ahead.", examples=[0]
    )

    @override
    def filled_in(self, span: Span) -> Self:
        return self.model_copy(update={"timescale": self.timescale or span.warmup or 10_000})

    @override
    def formula(self, group: int = 0) -> str:
        return f"b * sqrt({self.timescale} / (s + {self.shift + (self.timescale or 0)}))"


class NoamLR(Shape):
    """b · factor · d_model^−0.5 · min(s^−0.5, s · warmup_iterations^−1.5), at s = 0 as at s = 1.

    Rises to b · factor · (d_model · warmup_iterations)^−0.5 at s = warmup_iterations, then falls as 1 / √s: the target
    LR is a multiplier, usually 1. Source: Vaswani et al., Attention Is All You Need (arXiv 1706.03762) §5.3.
    """

    peaks_at_target: ClassVar[bool] = False
    brief_fields: ClassVar[tuple[str, ...]] = ("warmup_iterations",)
    type: Literal["NoamLR"]
    d_model: Annotated[Int, Field(ge=1, le=10**9)] = Field(description="Width of the model.", examples=[512])
    warmup_iterations: Iterations = Field(description="Iterations until the peak.", examples=[4000])
    factor: Positive = Field(1.0, description="Factor of every LR.", examples=[1.0])

    @override
    def formula(self, group: int = 0) -> str:
        scale = number(self.factor * self.d_model**-0.5)
        rising = number(float(self.warmup_iterations) ** -1.5)
        # max(s, 1): 0 ** -0.5 is a division by zero.
        return f"b * {scale} * min(max(s, 1) ** -0.5, max(s, 1) * {rising})"

    @override
    def turns(self, start: int, stop: int) -> Iterable[int]:
        return (self.warmup_iterations,)
