"""Each library, stepped for real, gives the LRs of the spec that says the same, to rel 1e-9.

`make test` runs those whose library is installed, `make conformance` installs all and runs all.
"""

import importlib.metadata
import importlib.util
import math
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD, lr_scheduler

from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from support.specs import curve, first_column

TOTAL, W = 100, 10
LR = 0.02


def lrs(after_scheduler: dict[str, Any] | None = None, total: int = TOTAL, **warmup: Any) -> list[float]:
    """LRs of our spec: target 0.02, 100 iterations, warm-up 10."""
    own_warmup = {"iterations": W, **warmup}
    return first_column(curve(target_lr=LR, total_iterations=total, warmup=own_warmup, after_scheduler=after_scheduler))


def optimizer() -> SGD:
    """An optimizer at the target LR."""
    return SGD([torch.zeros(1)], lr=LR)


def stepped(on: SGD, step: Callable[[int], Any], total: int = TOTAL) -> list[float]:
    """The LR before each step."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(total + 1):
            found.append(float(on.param_groups[0]["lr"]))
            step(n)
    return found


@pytest.fixture(scope="module")
def timm() -> Any:
    """Timm's scheduler files alone: timm itself imports torchvision, of which there is no build for every CPU."""
    spec = importlib.util.find_spec("timm")
    if spec is None or spec.origin is None:
        pytest.skip("make conformance installs timm")
    package = types.ModuleType("timm")
    package.__path__ = [str(Path(spec.origin).parent)]
    sys.modules["timm"] = package
    yield importlib.import_module("timm.scheduler.scheduler_factory")
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        del sys.modules[name]


TIMM: list[tuple[str, dict[str, Any]]] = [
    ("cosine", {"epochs": 90, "warmup_epochs": 10, "warmup_prefix": True}),
    ("cosine, from zero", {"epochs": 100, "warmup_epochs": 10, "min_lr": 0.001}),
    ("k-decay", {"epochs": 90, "warmup_epochs": 10, "warmup_prefix": True, "lr_k_decay": 1.5}),
    ("cycles", {"epochs": 30, "lr_cycle_limit": 3, "lr_cycle_decay": 0.5, "warmup_epochs": 0}),
    ("tanh", {"sched": "tanh", "epochs": 90, "warmup_epochs": 10, "warmup_prefix": True, "min_lr": 0.001}),
    ("poly", {"sched": "poly", "epochs": 90, "warmup_epochs": 10, "warmup_prefix": True, "decay_rate": 0.5}),
    ("poly, k", {"sched": "poly", "epochs": 100, "warmup_epochs": 10, "decay_rate": 0.5, "lr_k_decay": 2.0}),
    ("step", {"sched": "step", "epochs": 100, "decay_epochs": 30, "warmup_epochs": 10}),
    ("multistep", {"sched": "multistep", "epochs": 100, "decay_milestones": [40, 80], "warmup_epochs": 10}),
    ("wsd", {"sched": "wsd", "epochs": 100, "decay_epochs": 0.3, "warmup_epochs": 10}),
    ("wsd exp", {"sched": "wsd", "epochs": 100, "decay_epochs": 40, "lr_decay_fn": "exp", "warmup_epochs": 10}),
    (
        "wsd cosine",
        {
            "sched": "wsd",
            "epochs": 90,
            "decay_epochs": 0.2,
            "lr_decay_fn": "cosine",
            "warmup_prefix": True,
            "warmup_epochs": 10,
        },
    ),
    (
        "updates",
        {"epochs": 9, "sched_on_updates": True, "updates_per_epoch": 10, "warmup_epochs": 1, "warmup_prefix": True},
    ),
]


@pytest.mark.parametrize("arguments", [arguments for _, arguments in TIMM], ids=[name for name, _ in TIMM])
def test_timm(timm: Any, arguments: dict[str, Any]) -> None:
    """Timm's factory and our import give the same LRs for the same arguments of its train script."""
    on = optimizer()
    config = types.SimpleNamespace(
        lr=LR, sched="cosine", eval_metric="top1", **{k: v for k, v in arguments.items() if k != "sched"}
    )
    config.sched = arguments.get("sched", "cosine")
    scheduler, _ = timm.create_scheduler(config, on, updates_per_epoch=arguments.get("updates_per_epoch", 0))
    step = scheduler.step_update if arguments.get("sched_on_updates") else scheduler.step
    found = import_schedule("timm", {"lr": LR, **arguments}, Known())
    expected = stepped(on, lambda n: step(n + 1), found.spec["total_iterations"])
    actual = first_column(curve(found.spec))
    if arguments.get("sched") == "tanh":  # as the import says, iteration W is at the target itself
        assert [left.field for left in found.not_carried] == ["sched"]
        assert (actual[W], expected[W]) == pytest.approx((LR, LR * (1 - math.tanh(-7)) / 2), rel=1e-6)
        del actual[W], expected[W]
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-15)


HF: list[tuple[str, dict[str, Any], dict[str, Any] | None, dict[str, Any]]] = [
    ("linear", {}, {"type": "PolynomialDecayLR"}, {}),
    ("cosine", {}, {"type": "CosineLR"}, {}),
    ("cosine", {"num_cycles": 2.5}, {"type": "CosineLR", "num_cycles": 2.5}, {}),
    ("cosine_with_restarts", {"num_cycles": 3}, {"type": "CosineRestartsLR", "T_0": 30, "cycles": 3}, {}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-4}, {"type": "PolynomialDecayLR", "power": 2.0, "min_lr": 1e-4}, {}),
    ("constant_with_warmup", {}, None, {}),
    ("inverse_sqrt", {}, {"type": "InverseSqrtLR"}, {}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}, {"type": "CosineLR", "min_ratio": 0.1}, {}),
    ("warmup_stable_decay", {"num_decay_steps": 30}, {"type": "WSDLR", "decay_length": 30, "decay": "cosine"}, {}),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 30, "decay_type": "1-sqrt", "warmup_type": "cosine"},
        {"type": "WSDLR", "decay_length": 30, "decay": "1-sqrt"},
        {"shape": "cosine"},
    ),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 30, "decay_type": "linear", "warmup_type": "1-sqrt", "min_lr_ratio": 0.1},
        {"type": "WSDLR", "decay_length": 30, "min_ratio": 0.1},
        {"shape": "1-sqrt", "start_factor": 0.1},
    ),
]


@pytest.mark.parametrize(("name", "arguments", "after", "warmup"), HF, ids=lambda value: str(value)[:30])
def test_transformers(name: str, arguments: dict[str, Any], after: Any, warmup: dict[str, Any]) -> None:
    """get_scheduler gives the LRs of the spec."""
    transformers = pytest.importorskip("transformers", reason="make conformance installs it")
    on = optimizer()
    scheduler = transformers.get_scheduler(name, on, W, TOTAL, scheduler_specific_kwargs=arguments)
    np.testing.assert_allclose(lrs(after, **warmup), stepped(on, lambda _: scheduler.step()), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("kind", ["linear", "exponential", "untuned_linear", "untuned_exponential", "radam"])
def test_pytorch_warmup(kind: str) -> None:
    """Each of its warm-ups dampens a cosine as the spec with the same name does."""
    library = pytest.importorskip("pytorch_warmup", reason="make conformance installs it")
    on = torch.optim.Adam([torch.zeros(1)], lr=LR, betas=(0.9, 0.99))
    scheduler = lr_scheduler.CosineAnnealingLR(on, 300)
    make: dict[str, Callable[[], Any]] = {
        "linear": lambda: library.LinearWarmup(on, W),
        "exponential": lambda: library.ExponentialWarmup(on, W),
        "untuned_linear": lambda: library.UntunedLinearWarmup(on),
        "untuned_exponential": lambda: library.UntunedExponentialWarmup(on),
        "radam": lambda: library.RAdamWarmup(on),
    }
    warmup = make[kind]()

    def step(_: int) -> None:
        with warmup.dampening():
            scheduler.step()

    expected = stepped(on, step, 300)  # type: ignore[arg-type]
    fields: dict[str, Any] = {"decay_clock": "dampened"}
    if kind == "linear":
        fields["convention"] = "(n+1)/W"
    elif kind == "exponential":
        product = {"type": "ExpressionLR", "expression": f"(1 - exp(-(n + 1) / {W})) * (1 + cos(pi * n / 300)) / 2"}
        ours = curve(target_lr=LR, total_iterations=300, warmup=None, after_scheduler=product)
        np.testing.assert_allclose(first_column(ours), expected, rtol=1e-9, atol=1e-15)
        return
    else:
        fields |= {"iterations": 0, "shape": kind, "beta2": 0.99}
    np.testing.assert_allclose(lrs({"type": "CosineLR"}, 300, **fields), expected, rtol=1e-9, atol=1e-15)


def _optax_cases(optax: Any) -> dict[str, tuple[Any, Callable[[], list[float]]]]:
    left = TOTAL - W
    return {
        "warmup_cosine": (
            optax.warmup_cosine_decay_schedule(0.0, LR, W, TOTAL, end_value=0.002, exponent=1.3),
            lambda: lrs({"type": "CosineLR", "min_ratio": 0.1, "exponent": 1.3}),
        ),
        "polynomial": (
            optax.join_schedules(
                [optax.linear_schedule(0.0, LR, W), optax.polynomial_schedule(LR, 0.001, 2.0, left)], [W]
            ),
            lambda: lrs({"type": "PolynomialDecayLR", "power": 2.0, "min_lr": 0.001}),
        ),
        "exponential": (
            optax.exponential_decay(LR, 20, 0.5, staircase=True, end_value=0.003),
            lambda: lrs(
                {
                    "type": "ExponentialDecayLR",
                    "decay_rate": 0.5,
                    "decay_length": 20,
                    "staircase": True,
                    "min_lr": 0.003,
                },
                iterations=0,
            ),
        ),
        "piecewise_constant": (
            optax.piecewise_constant_schedule(LR, {30: 0.1, 60: 0.5}),
            lambda: lrs(
                {
                    "type": "PiecewiseLR",
                    "interpolation": "step",
                    "points": [{"at": 0, "factor": 1.0}, {"at": 30, "factor": 0.1}, {"at": 60, "factor": 0.05}],
                },
                iterations=0,
            ),
        ),
        "piecewise_cosine": (
            optax.piecewise_interpolate_schedule("cosine", LR, {30: 0.1, 60: 5.0}),
            lambda: lrs(
                {
                    "type": "PiecewiseLR",
                    "interpolation": "cosine",
                    "points": [{"at": 0, "factor": 1.0}, {"at": 30, "factor": 0.1}, {"at": 60, "factor": 0.5}],
                },
                iterations=0,
            ),
        ),
    }


@pytest.mark.parametrize(
    "case", ["warmup_cosine", "polynomial", "exponential", "piecewise_constant", "piecewise_cosine"]
)
def test_optax(case: str) -> None:
    """Each of its schedules, called for every count in float64, gives the LRs of the spec."""
    optax = pytest.importorskip("optax", reason="make conformance installs it")
    jax = importlib.import_module("jax")
    with jax.enable_x64(True):
        schedule, ours = _optax_cases(optax)[case]
        expected = [float(schedule(float(n))) for n in range(TOTAL + 1)]
    np.testing.assert_allclose(ours(), expected, rtol=1e-9, atol=1e-15)


def test_ignite() -> None:
    """create_lr_scheduler_with_warmup has its peak at W − 1, and the decay from there."""
    handlers = pytest.importorskip("ignite.handlers", reason="make conformance installs it")
    on = optimizer()
    after = lr_scheduler.CosineAnnealingLR(on, TOTAL)
    found: list[Any] = [None] * (TOTAL + 1)
    handlers.create_lr_scheduler_with_warmup(after, 0.0, W, LR, output_simulated_values=found)
    ours = lrs({"type": "CosineLR", "length": TOTAL}, convention="n/(W-1)", decay_clock="from_peak")
    np.testing.assert_allclose(ours, [lr for _, lr in found], rtol=1e-9, atol=1e-15)


def test_ignites_piecewise_linear() -> None:
    """PiecewiseLinear gives the LRs of a PiecewiseLR through its milestones."""
    handlers = pytest.importorskip("ignite.handlers", reason="make conformance installs it")
    milestones = [(5, 0.01), (40, 0.05), (90, 0.001)]
    found = handlers.PiecewiseLinear.simulate_values(
        num_events=TOTAL + 1, param_name="lr", milestones_values=milestones
    )
    points = [{"at": at, "lr": lr} for at, lr in milestones]
    ours = lrs({"type": "PiecewiseLR", "points": points}, iterations=0)
    np.testing.assert_allclose(ours, [lr for _, lr in found], rtol=1e-9, atol=1e-15)


COMPOSER: list[tuple[str, Callable[[float], float], dict[str, Any] | None]] = [
    # formulas of composer/optim/scheduler.py, retyped: t is the batch, warm-up W, end of training TOTAL
    ("LinearWithWarmup", lambda x: 1 + (0.1 - 1) * x, {"type": "PolynomialDecayLR", "min_ratio": 0.1}),
    (
        "CosineWithWarmup",
        lambda x: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * x)),
        {"type": "CosineLR", "min_ratio": 0.1},
    ),
    (
        "PolynomialWithWarmup",
        lambda x: 0.1 + 0.9 * (1 - x) ** 2,
        {"type": "PolynomialDecayLR", "power": 2.0, "min_ratio": 0.1},
    ),
    ("ConstantWithWarmup", lambda _: 1.0, None),
]


@pytest.mark.parametrize(("_name", "formula", "after"), COMPOSER, ids=[name for name, _, _ in COMPOSER])
def test_composer(_name: str, formula: Callable[[float], float], after: Any) -> None:
    """Its schedulers have n / W, then the formula of the share of the rest that is over."""
    expected = [LR * (n / W if n < W else formula((n - W) / (TOTAL - W))) for n in range(TOTAL + 1)]
    np.testing.assert_allclose(lrs(after), expected, rtol=1e-9, atol=1e-15)


def test_the_versions_are_those_that_were_read() -> None:
    """A newer major version may do something else: look again before believing this file."""
    read = {"transformers": "5", "optax": "0", "keras": "3", "pytorch-ignite": "0", "pytorch-warmup": "0", "timm": "1"}
    for name, major in read.items():
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert installed.partition(".")[0] == major, f"{name} {installed}"
