"""Exports: each script, run in a process of its own, prints the schedule's LRs."""

import ast
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from after_schedulers import COMPOSITIONS, EXAMPLES, SHAPES
from preheat.conversions import Target
from preheat.conversions.exporters import export
from preheat.curve import Curve
from preheat.errors import NotExpressible
from support.imports import lrs
from support.specs import curve

TOTAL = 60


def asked(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Curve:
    """The curve of target 0.02, 60 iterations and warm-up 10, with these fields."""
    return curve(target_lr=0.02, total_iterations=TOTAL, after_scheduler=after_scheduler, **fields)


def assert_same_lrs(curves: list[Curve], target: Target, folder: Path, **environment: str) -> None:
    """Every script prints its curve's LRs, to rel 1e-9.

    They run one after the other in a process of their own, because their libraries take seconds to import.
    """
    scripts = [export(each.schedule, target) for each in curves]
    in_float64 = ["import keras; keras.config.set_floatx('float64')"] if target == "keras" else []
    file = folder / "scripts.py"
    runs = [f"exec({script!r}, {{'__name__': '__main__'}})\n" for script in in_float64 + scripts]
    file.write_text("".join(runs), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = [[float(value) for value in line.split()] for line in done.stdout.splitlines()]
    assert len(printed) == len(curves) * (TOTAL + 1)
    for index, each in enumerate(curves):
        rows = printed[index * (TOTAL + 1) : (index + 1) * (TOTAL + 1)]
        np.testing.assert_allclose(
            rows, each.window(0, TOTAL + 1), rtol=1e-9, atol=1e-15, err_msg=str(each.schedule.spec_dict)
        )


LIST_OF_FACTORS = {"type": "MultiplicativeLR", "lr_lambda": [0.5, 2.0, 0.1]}
GOES_ON_FROM_LR = next(example for example in EXAMPLES if "SWALR" in str(example) and example["type"] == "SequentialLR")

EXPRESSIBLE = [
    example for example in [*EXAMPLES, *SHAPES, *COMPOSITIONS] if example not in (LIST_OF_FACTORS, GOES_ON_FROM_LR)
]


WARMUPS: list[dict[str, Any]] = [
    {"iterations": 0},
    {"iterations": 10, "start_lr": 0.001, "shape": "cosine"},
    {"iterations": 10, "convention": "(n+1)/W", "decay_clock": "from_peak"},
    {"iterations": 10, "convention": "(n-1)/W", "shape": "log"},
    {"iterations": 10, "decay_clock": "from_zero"},
    {"iterations": 10, "decay_clock": "dampened", "convention": "(n+1)/W"},
    {"iterations": 0, "shape": "radam", "decay_clock": "dampened"},
]


def test_torch_scripts_give_the_same_sequences(tmp_path: Path) -> None:
    """A LambdaLR of the exported functions has the schedule's LRs, for every type that has a formula.

    So it has for each convention of warm-up, and for a group with a schedule of its own.
    """
    groups = [
        {"name": "a"},
        {"name": 'b\'s "own"', "factor": 0.1, "after_scheduler": {"type": "StepLR", "step_size": 9}},
    ]
    warmups = [asked({"type": "CosineLR"}, warmup=warmup, param_groups=groups, label="ä\nb") for warmup in WARMUPS]
    assert_same_lrs([*map(asked, EXPRESSIBLE), *warmups], "torch", tmp_path)


IN_TRANSFORMERS: list[tuple[dict[str, Any] | None, dict[str, Any]]] = [
    (None, {}),
    (None, {"warmup": {"iterations": 0}}),
    ({"type": "PolynomialDecayLR"}, {}),
    ({"type": "PolynomialDecayLR", "power": 2.0, "min_lr": 0.001}, {}),
    ({"type": "CosineLR"}, {}),
    ({"type": "CosineLR", "min_ratio": 0.1}, {}),
    ({"type": "CosineLR", "num_cycles": 1.5, "min_lr": 0.001}, {}),
    ({"type": "CosineAnnealingLR"}, {}),
    ({"type": "CosineAnnealingLR", "eta_min": 0.001}, {}),
    ({"type": "CosineRestartsLR", "T_0": 25, "cycles": 2}, {}),
    ({"type": "InverseSqrtLR", "timescale": 33}, {}),
    ({"type": "WSDLR", "decay_length": 20}, {}),
    ({"type": "WSDLR", "decay_length": 20, "decay": "1-sqrt"}, {}),
    (
        {"type": "WSDLR", "decay_length": 20, "decay": "cosine", "min_ratio": 0.1},
        {"warmup": {"iterations": 10, "start_factor": 0.1}},
    ),
]


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="make conformance installs transformers")
def test_transformers_scripts_give_the_same_sequences(tmp_path: Path) -> None:
    """get_scheduler of the real library has the schedule's LRs."""
    assert_same_lrs([asked(after, **fields) for after, fields in IN_TRANSFORMERS], "transformers", tmp_path)


@pytest.mark.parametrize("target", ["optax", "keras"])
def test_traced_scripts_give_the_same_sequences(target: Target, tmp_path: Path) -> None:
    """In float64 the real library's schedule has the same LRs, for every type that has a formula."""
    if importlib.util.find_spec(target) is None:
        pytest.skip(f"make conformance installs {target}")
    assert_same_lrs(
        [asked(after) for after in EXPRESSIBLE], target, tmp_path, JAX_ENABLE_X64="1", KERAS_BACKEND="torch"
    )


@pytest.mark.parametrize(
    ("after", "warmup", "expected"),
    [
        (
            None,
            {"iterations": 10, "convention": "(n-1)/W", "shape": "log"},
            (
                "WarmupLR",
                {"warmup_min_lr": 0.0, "warmup_max_lr": 0.02, "warmup_num_steps": 10, "warmup_type": "log"},
            ),
        ),
        (
            {"type": "PolynomialDecayLR", "length": 50},
            {"iterations": 10, "convention": "(n-1)/W", "decay_clock": "from_peak"},
            (
                "WarmupDecayLR",
                {
                    "warmup_min_lr": 0.0,
                    "warmup_max_lr": 0.02,
                    "warmup_num_steps": 10,
                    "warmup_type": "linear",
                    "total_num_steps": 60,
                },
            ),
        ),
        (
            {"type": "CosineLR", "min_ratio": 0.1},
            {"iterations": 10, "convention": "(n-1)/W"},
            (
                "WarmupCosineLR",
                {
                    "warmup_min_ratio": 0.0,
                    "warmup_num_steps": 10,
                    "cos_min_ratio": 0.1,
                    "total_num_steps": 60,
                    "warmup_type": "linear",
                },
            ),
        ),
    ],
)
def test_deepspeed_gets_a_configuration(after: Any, warmup: dict[str, Any], expected: tuple[str, Any]) -> None:
    """A configuration has the scheduler's type and parameters, in DeepSpeed's own names."""
    config = json.loads(export(asked(after, warmup=warmup).schedule, "deepspeed"))
    assert (config["scheduler"]["type"], config["scheduler"]["params"]) == expected
    assert config["optimizer"]["params"]["lr"] == 0.02


@settings(max_examples=60)
@given(
    after=st.sampled_from(["None", "PolynomialDecayLR", "CosineLR"]),
    iterations=st.integers(2, 40),
    length=st.integers(1, 20),
    shape=st.sampled_from(["linear", "log"]),
    clock=st.sampled_from(["after_warmup", "from_peak"]),
    start=st.sampled_from([{}, {"start_lr": 0.001}, {"start_factor": 0.2}]),
    ratio=st.sampled_from([0.0, 0.1]),
)
def test_a_deepspeed_configuration_is_read_back(
    after: str, iterations: int, length: int, shape: str, clock: str, start: dict[str, float], ratio: float
) -> None:
    """What is exported has, when it is imported, the LRs of the schedule: the import is held against DeepSpeed."""
    decays: dict[str, dict[str, Any]] = {
        "PolynomialDecayLR": {"length": length},
        "CosineLR": {"length": length, "min_ratio": ratio},
    }
    scheduler = {"type": after, **decays[after]} if after in decays else None
    warmup = {"iterations": iterations, "shape": shape, "convention": "(n-1)/W", "decay_clock": clock, **start}
    schedule = asked(scheduler, warmup=warmup)
    try:
        text = export(schedule.schedule, "deepspeed")
    except NotExpressible:
        reject()
    source = json.loads(text)
    found = lrs("deepspeed", source, total_iterations=min(iterations + length, TOTAL))
    expected = schedule.window(0, len(found))[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


SWA = {"type": "SWALR", "swa_lr": 0.1}


def following(scheduler: dict[str, Any]) -> dict[str, Any]:
    """A scheduler that takes its turn after a cosine."""
    return {"type": "SequentialLR", "milestones": [5], "schedulers": [{"type": "CosineLR"}, scheduler]}


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        ("torch", {"after_scheduler": LIST_OF_FACTORS}, "a list of factors has no formula: use a TableLR"),
        ("torch", {"after_scheduler": GOES_ON_FROM_LR}, "goes on from the LR before it, which no formula knows"),
        *(
            ("torch", {"after_scheduler": following(wrapped)}, "goes on from the LR before it")
            for wrapped in (
                {"type": "ClampLR", "max_lr": 1.0, "scheduler": SWA},
                {"type": "WindowLR", "scheduler": SWA},
                {"type": "ProductLR", "schedulers": [{"type": "CosineLR"}, SWA]},
                {"type": "SequentialLR", "schedulers": [SWA], "milestones": []},
            )
        ),
        ("torch", {"hyperparameters": {"weight_decay": {"value": 0.1}}}, "schedules of weight_decay go beyond"),
        ("torch", {"after_scheduler": {"type": "OneCycleLR", "max_lr": 1}}, "schedules of momentum go beyond"),
        ("optax", {"param_groups": [{"target_lr": 0.1}, {"target_lr": 0.2}]}, "use optax.multi_transform"),
        ("keras", {"param_groups": [{"target_lr": 0.1}, {"target_lr": 0.2}]}, "a Keras schedule is one function"),
        ("transformers", {"param_groups": [{"target_lr": 0.1}, {}]}, "one schedule for all param groups"),
        ("transformers", {"warmup": {"iterations": 5, "convention": "(n+1)/W"}}, "warms up linearly by n/W from 0"),
        (
            "transformers",
            {"after_scheduler": {"type": "CosineLR", "length": 20}},
            "decays end with the run, 50 iterations",
        ),
        ("transformers", {"after_scheduler": {"type": "REXLR"}}, "no scheduler for this REXLR: export to torch"),
        ("transformers", {"after_scheduler": {"type": "CosineRestartsLR", "T_0": 7}}, "no scheduler for this"),
        (
            "transformers",
            {"after_scheduler": {"type": "PolynomialDecayLR", "min_lr": 0.02}},
            "needs an end LR (0.02) below",
        ),
        *(
            ("transformers", {"warmup": {"iterations": 8, **other}}, "warms up linearly by n/W from 0")
            for other in ({"shape": "power"}, {"hold": 2}, {"decay_clock": "meets_decay"})
        ),
        (
            "transformers",
            {"after_scheduler": {"type": "StaircaseLR", "hold": 5, "scheduler": {"type": "CosineLR"}}},
            "no scheduler for this StaircaseLR: export to torch",
        ),
        (
            "torch",
            {"param_groups": [{"hyperparameters": {"weight_decay": 0}}, {}]},
            "schedules of weight_decay go beyond",
        ),
        ("deepspeed", {"warmup": {"iterations": 8, "convention": "(n-1)/W", "hold": 2}}, "holds each LR for 2"),
        ("deepspeed", {}, "by (n-1)/W, one update later than other libraries"),
        ("deepspeed", {"param_groups": [{"target_lr": 0.1}, {}]}, "set one LR"),
        (
            "deepspeed",
            {"warmup": {"iterations": 5, "convention": "(n-1)/W"}, "after_scheduler": {"type": "REXLR"}},
            "no scheduler for REXLR",
        ),
        (
            "deepspeed",
            {"warmup": {"iterations": 5, "convention": "(n-1)/W"}, "after_scheduler": {"type": "PolynomialDecayLR"}},
            "begins its decay where the warm-up reaches its peak",
        ),
        (
            "deepspeed",
            {
                "warmup": {"iterations": 5, "convention": "(n-1)/W"},
                "after_scheduler": {"type": "CosineLR", "min_lr": 0.001},
            },
            "down to a ratio of the target",
        ),
        (
            "deepspeed",
            {
                "warmup": {"iterations": 5, "convention": "(n-1)/W", "start_factor": 0.01},
                "after_scheduler": {"type": "CosineLR", "min_ratio": 0.1},
            },
            "WarmupCosineLR starts at 0",
        ),
        (
            "transformers",  # 22 · (30 / 44) is 14.999…
            {"warmup": {"iterations": 16}, "after_scheduler": {"type": "CosineRestartsLR", "T_0": 2, "cycles": 22}},
            "rounds its restart 30 iterations after the warm-up to an LR of 0",
        ),
    ],
)
def test_what_a_target_cannot_express_is_refused_with_the_reason(
    target: Target, fields: dict[str, Any], reason: str
) -> None:
    """A target that cannot express a schedule gets no script that gives something else."""
    with pytest.raises(NotExpressible) as caught:
        export(asked(**fields).schedule, target)
    assert reason in str(caught.value)


def test_names_in_a_script_cannot_run() -> None:
    """A label stays within its comment, and a group's name within its string."""
    hostile = asked(label="x\nimport os\r\x00\u2028ä", param_groups=[{"name": "'], exit(3)) #"}])
    script = export(hostile.schedule, "torch")
    module = ast.parse(script)
    assert [alias.name for node in module.body if isinstance(node, ast.Import) for alias in node.names] == [
        "math",
        "torch",
    ]
    assert "exit" not in {node.id for node in ast.walk(module) if isinstance(node, ast.Name)}
    assert script.splitlines()[0].isascii()
