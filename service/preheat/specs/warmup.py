"""Warm-up: from a start to the target LR, by one of the index conventions that libraries use."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from preheat.formula.easing import number, power, rising
from preheat.formula.language import substituted
from preheat.specs.duration_text import Duration, DurationText
from preheat.specs.durations import Clock, Iterations, IterationsOrZero
from preheat.specs.fields import LR, Closed, Positive, Ratio
from preheat.specs.violations import Location, Violation, violation

_Convention = Literal["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]
_Shape = Literal[
    "linear",
    "power",
    "cosine",
    "exponential",
    "log",
    "1-sqrt",
    "constant",
    "radam",
    "untuned_linear",
    "untuned_exponential",
]

_OFFSETS = {"(n+1)/W": -1, "n/(W-1)": -1, "(n-1)/W": 1}
"""Where a convention reaches the target, counted from W."""

_QUADRATIC = 2.0

_UNTUNED = {"radam", "untuned_linear", "untuned_exponential"}
_ENDLESS = {"radam", "untuned_exponential"}


class Warmup(Closed):
    """The warm-up: start + (target − start) · g(p) at iteration n, p the share of it that is over.

    p is n / W by default: the start at n = 0, the target at n = W, and after_scheduler's own clock is 0 there. With
    W = `iterations`, g(p) is p (linear), p^power, (1 − cos πp) / 2, (target / start)^p as a factor of the start
    (exponential), ln(1 + i) / ln(1 + d) for p = i / d (log), 1 − √(1 − p), or 0 until the end (constant). radam,
    untuned_linear and untuned_exponential are factors that follow from β2 (Ma and Yarats, arXiv 1910.04209, as
    pytorch_warmup has them). With `hold`, n is the last multiple of it. With decay_clock meets_decay the warm-up goes
    not to the target but to the LR that after_scheduler has at W (detectron2's WarmupParamScheduler).
    """

    iterations: IterationsOrZero = Field(
        0,
        description="Iterations until the target LR; 0 for none. A share of the run or a duration, too.",
        examples=[10],
    )
    at_least: Iterations | None = Field(
        None,
        description="Fewest iterations of a warm-up that is not 0, for `iterations` in epochs (Ultralytics: 100).",
        examples=[100],
    )
    shape: _Shape = Field("linear", description="Curve from start to target.", examples=["linear"])
    start_lr: LR | None = Field(None, description="LR at the start, absolute; 0 by default.", examples=[1e-6])
    start_factor: Ratio | None = Field(
        None, description="LR at the start as a factor of the target, instead of start_lr.", examples=[0.01]
    )
    convention: _Convention = Field(
        "n/W",
        description=(
            "p at iteration n, at most 1. n/W: torch, HF, Megatron, optax, Keras; (n+1)/W: torchtitan, nanochat; "
            "(n+1)/(W+1): NeMo, nanoGPT; n/(W-1): ignite, DINO, ConvNeXt; (n-1)/W: DeepSpeed."
        ),
        examples=["n/W"],
    )
    decay_clock: Literal["after_warmup", "from_peak", "from_zero", "dampened", "meets_decay"] = Field(
        "after_warmup",
        description=(
            "Where after_scheduler's own clock is 0: at n = W; at the iteration where the convention first reaches the "
            "target (from_peak); at 0, the warm-up taking its place (from_zero: BERT, timm's default); at 0, the "
            "warm-up's factor multiplying its LR (dampened: pytorch_warmup); or at 0, the warm-up ending at its LR "
            "(meets_decay: detectron2)."
        ),
        examples=["after_warmup"],
    )
    power: Positive | None = Field(
        None, description="Exponent of the shape power; 2 by default there (YOLOX).", examples=[2.0]
    )
    hold: Iterations = Field(
        1, description="Iterations for which each LR of the warm-up is held: an epoch, say.", examples=["1ep"]
    )
    beta2: Annotated[float, Field(gt=0.6, lt=1)] | None = Field(
        None, description="Adam's β2, from which radam and the untuned warm-ups follow; 0.999 there.", examples=[0.999]
    )

    @property
    def dampens(self) -> bool:
        """Whether the warm-up multiplies what follows instead of going before it."""
        return self.decay_clock == "dampened" and self.iterations > 0

    @property
    def meets_decay(self) -> bool:
        """Whether the warm-up goes to the LR that what follows has at its end, and not to the target."""
        return self.decay_clock == "meets_decay" and self.iterations > 0

    @property
    def peak(self) -> int:
        """The first iteration at which the convention has reached the target."""
        # max: without a warm-up the target is there at 0, whatever the convention.
        return max(self.iterations + _OFFSETS.get(self.convention, 0), 0)

    @property
    def origin(self) -> int:
        """The iteration at which after_scheduler's own clock is 0."""
        if self.iterations == 0 or self.decay_clock in {"from_zero", "dampened", "meets_decay"}:
            return 0
        return self.peak if self.decay_clock == "from_peak" else self.iterations

    @property
    def last(self) -> int:
        """The last iteration at which the warm-up is in force; −1 if there is none."""
        if self.iterations == 0:
            return -1
        if self.decay_clock == "from_zero":
            return self.iterations - 1
        if self.decay_clock == "meets_decay":  # at the peak itself the decay has its own LR
            return self.peak - 1
        return self.peak if self.decay_clock == "from_peak" else self.iterations

    def normalised(self, clock: Clock, location: Location, violations: list[Violation]) -> Self:
        """The warm-up with every default filled in; what breaks a rule goes to `violations`."""
        before = len(violations)
        if self.at_least is not None and "iterations" not in self.model_fields_set:
            violations.append(violation((*location, "iterations"), "is required beside at_least"))
        ways = {"iterations": clock.iterations, "at_least": clock.iterations, "hold": clock.period}
        resolved = {
            field: _resolved(getattr(self, field), way, (*location, field), violations) for field, way in ways.items()
        }
        if len(violations) > before:
            return self
        return self.model_copy(update=resolved).filled_in(clock, location, violations)

    def filled_in(self, clock: Clock, location: Location, violations: list[Violation]) -> Self:
        """As `normalised`, of a warm-up whose durations are whole iterations."""
        before = len(violations)
        # radam and untuned_exponential last as long as the run, untuned_linear as long as β2 says.
        total_iterations = clock.total or 0
        self._check_fields(location, violations)
        beta2 = (self.beta2 or 0.999) if self.shape in _UNTUNED else None
        iterations = max(self.iterations, self.at_least or 0) if self.iterations else 0
        if self.shape in _ENDLESS:
            iterations = self.iterations or total_iterations
        elif self.shape == "untuned_linear":
            # Rounded down, as in pytorch_warmup.
            derived = int(2 / (1 - (beta2 or 0.999)))
            if self.iterations not in {0, derived}:
                rule = f"must be {derived}, which follows from beta2, or left out"
                violations.append(violation((*location, "iterations"), rule, self.iterations))
            iterations = derived
        if iterations > total_iterations and len(violations) == before:
            rule = f"must not exceed total_iterations ({total_iterations})"
            violations.append(violation((*location, "iterations"), rule, iterations))
        exponent = (self.power or _QUADRATIC) if self.shape == "power" else None
        update = {"iterations": iterations, "at_least": None, "beta2": beta2, "power": exponent}
        if self.shape == "untuned_linear":
            # pytorch_warmup has a factor above 0 at its first step.
            update["convention"] = "(n+1)/W"  # type: ignore[assignment]
        return self.model_copy(update=update)

    def formula(self) -> str:
        """The LR in the names `n` and `b` (the target), and `m` (the LR it ends at) where it meets the decay.

        Of a warm-up that dampens, the factor. W must be above 0.
        """
        text = self._to_decay() if self.meets_decay else self._to_target()
        return substituted(text, {"n": f"(n // {self.hold} * {self.hold})"}) if self.hold > 1 else text

    def _to_target(self) -> str:
        """The formula of a warm-up that is not held."""
        if self.shape in _ENDLESS:
            return self._untuned()
        i, d = self._steps()
        start = self._start()
        p = f"({i} / {d})"
        if self.dampens:
            # Past its peak a convention has p > 1, of which a cosine would fall again.
            return f"{self._as_factor(p, i, d)} if {i} < {d} else 1.0"
        if self.shape == "linear" and start == "0.0":
            # Two conventions reach 1 at their last iteration; the others would pass it, or reach it early.
            is_exact = self.convention in {"n/W", "(n+1)/(W+1)"}
            return f"b * {i} / {d}" if is_exact else f"b * {i} / {d} if {i} < {d} else b"
        if self.shape == "exponential":
            if self.start_factor:
                # With a factor the target cancels out of the quotient, so a target of 0 is no division by 0.
                return f"b * {number(self.start_factor)} ** (1 - min({p}, 1.0)) if {i} < {d} else b"
            return f"{start} * (b / {start}) ** min({p}, 1.0) if {i} < {d} else b"
        return f"{start} + (b - {start}) * {self._height(p, i, d)} if {i} < {d} else b"

    def _to_decay(self) -> str:
        """From the start to `m`, the LR that the decay has at the peak."""
        i, d = self._steps()
        start, p = self._start(), f"min({i} / {d}, 1.0)"
        if self.shape == "exponential":
            # Where the target is 0, a start that is a factor of it is 0 too.
            return f"({start} * (m / ({start})) ** {p} if {start} > 0 else 0.0)"
        return f"{start} + (m - {start}) * {self._height(p, i, d)}"

    def _height(self, p: str, i: str, d: int) -> str:
        """From 0 at the start to 1 at the target, as a formula."""
        match self.shape:
            case "log":
                # DeepSpeed, whose convention this is, divides by ln W. `or`: ln 1 is 0.
                last = math.log(d if self.convention == "(n-1)/W" else d + 1) or 1.0
                return f"min(log(1 + {i}) / {number(last)}, 1.0)"
            case "constant":
                return f"(0.0 if {p} < 1 else 1.0)"
            case "1-sqrt":
                return rising("1-sqrt", f"min({p}, 1.0)")
            case "cosine":
                return rising("cosine", p)
            case "power":
                return power(f"min({p}, 1.0)", self.power or _QUADRATIC)
        return p

    def _as_factor(self, p: str, i: str, d: int) -> str:
        """From start_factor, which may be above 1, to 1 at the target."""
        start = number(self.start_factor or 0.0)
        if self.shape == "exponential":
            return f"{start} ** (1 - {p})"
        height = self._height(p, i, d)
        return f"{start} + (1 - {start}) * ({height})" if self.start_factor else f"({height})"

    def _start(self) -> str:
        if self.start_factor:
            return f"{number(self.start_factor)} * b"
        return number(self.start_lr or 0.0)

    def _steps(self) -> tuple[str, int]:
        """Numerator and denominator of p."""
        warmup = self.iterations
        return {
            "n/W": ("n", warmup),
            "(n+1)/W": ("(n + 1)", warmup),
            "(n+1)/(W+1)": ("(n + 1)", warmup + 1),
            # max: a warm-up of one iteration has no W − 1 to divide by.
            "n/(W-1)": ("n", max(warmup - 1, 1)),
            "(n-1)/W": ("max(n - 1, 0)", warmup),
        }[self.convention]

    def _untuned(self) -> str:
        """Factors that never quite reach 1."""
        beta2 = self.beta2 or 0.999
        if self.shape == "untuned_exponential":
            return f"1 - exp(-(n + 1) / {int(1 / (1 - beta2))})"
        longest = 2 / (1 - beta2) - 1
        # n counts from 0, RAdam from the first step at which its variance is tractable.
        t = f"(n + {_first_radam_step(beta2)})"
        rho = f"({longest!r} - 2 * {t} * {beta2!r} ** {t} / (1 - {beta2!r} ** {t}))"
        return f"sqrt(({rho} - 4) * ({rho} - 2) * {longest!r} / ({(longest - 4) * (longest - 2)!r} * {rho}))"

    def _check_fields(self, location: Location, violations: list[Violation]) -> None:
        def refuse(field: str, rule: str) -> None:
            violations.append(violation((*location, field), rule, getattr(self, field)))

        if self.start_lr is not None and self.start_factor is not None:
            refuse("start_factor", "must not be given beside start_lr")
        if self.shape in _UNTUNED and self.decay_clock != "dampened":
            refuse("decay_clock", f"must be dampened with shape {self.shape}, which is a factor")
        if self.shape in _UNTUNED and (self.start_lr or self.start_factor):
            refuse("start_lr" if self.start_lr else "start_factor", f"must not be given with shape {self.shape}")
        if self.shape not in _UNTUNED and self.beta2 is not None:
            refuse("beta2", "is for radam and the untuned warm-ups")
        if self.shape == "exponential" and not self.start_lr and not self.start_factor:
            refuse("start_lr", "is required to be > 0, or start_factor, with shape exponential")
        if self.shape != "power" and self.power is not None:
            refuse("power", "is for shape power")
        if self.decay_clock == "dampened" and self.start_lr:
            refuse("start_lr", "must not be given where the warm-up is a factor: give start_factor")


def _resolved(
    value: Any, iterations: Callable[[Duration], int], location: Location, violations: list[Violation]
) -> Any:
    """A field's value, a duration in iterations; what breaks a rule goes to `violations`."""
    if not isinstance(value, Duration):
        return value
    try:
        return iterations(value)
    except ValueError as error:
        violations.append(violation(location, str(error), value.text))
        return value


def warmup_fields(value: Any) -> Any:
    """The fields of a warm-up that is written as its iterations alone; anything else as it is."""
    # A bool is an int in Python, and no number of iterations.
    is_length = isinstance(value, int | float | str) and not isinstance(value, bool)
    return {"iterations": value} if is_length else value


WarmupOrIterations = Annotated[
    Warmup, BeforeValidator(warmup_fields, json_schema_input_type=int | DurationText | Warmup)
]
"""A warm-up, or its iterations alone."""


def _first_radam_step(beta2: float) -> int:
    """The first step at which RAdam's variance is tractable: ρ_t > 4."""
    longest = 2 / (1 - beta2) - 1
    step = 1
    while longest - 2 * step * beta2**step / (1 - beta2**step) <= 4:  # noqa: PLR2004 - the paper's bound
        step += 1
    return step
