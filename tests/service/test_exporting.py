"""Exports: each script, run in a process of its own, prints the schedule's LRs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from after_schedulers import COMPOSITIONS, EXAMPLES, SHAPES
from preheat.conversions.exporters import export
from preheat.curve import Curve
from preheat.errors import NotExpressible
from preheat.schedule import Schedule

TOTAL = 60


def curve(after_scheduler: dict[str, Any] | None = None, **fields: Any) -> Curve:
    """Target 0.02, 60 iterations, warm-up 10, unless said otherwise."""
    spec = {"target_lr": 0.02, "total_iterations": TOTAL, "warmup": {"iterations": 10}, **fields}
    if after_scheduler is not None:
        spec["after_scheduler"] = after_scheduler
    return Curve(Schedule.of(spec))


def run(script: str, folder: Path, **environment: str) -> list[list[float]]:
    """What a script prints, as numbers."""
    file = folder / "script.py"
    file.write_text(script, encoding="utf-8")
    command = [sys.executable, "-W", "ignore", str(file)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [[float(value) for value in line.split()] for line in done.stdout.splitlines()]


def run_all(scripts: list[str], folder: Path, **environment: str) -> list[list[float]]:
    """What several scripts print, one after the other in one process: their libraries take seconds to import."""
    return run("".join(f"exec({script!r}, {{'__name__': '__main__'}})\n" for script in scripts), folder, **environment)


HAVE_NO_FORMULA = [EXAMPLES[18], EXAMPLES[20]]
"""A list of factors, and turns that go on from the LR before."""

EXPRESSIBLE = [
    example for example in [*EXAMPLES, *SHAPES, *COMPOSITIONS[:2], *COMPOSITIONS[3:]] if example not in HAVE_NO_FORMULA
]


def test_torch_scripts_give_the_same_sequences(tmp_path: Path) -> None:
    """Every type that has a formula: LambdaLR of the exported functions prints the schedule's LRs, to rel 1e-9."""
    curves = [curve(after) for after in EXPRESSIBLE]
    scripts = [export(each.schedule, "torch") for each in curves]
    values = run_all(scripts, tmp_path)
    for index, each in enumerate(curves):
        rows = values[index * (TOTAL + 1) : (index + 1) * (TOTAL + 1)]
        np.testing.assert_allclose(
            rows, each.window(0, TOTAL + 1), rtol=1e-9, atol=1e-15, err_msg=str(EXPRESSIBLE[index])
        )


WARMUPS: list[dict[str, Any]] = [
    {"iterations": 0},
    {"iterations": 10, "start_lr": 0.001, "shape": "cosine"},
    {"iterations": 10, "convention": "(n+1)/W", "decay_clock": "from_peak"},
    {"iterations": 10, "convention": "(n-1)/W", "shape": "log"},
    {"iterations": 10, "decay_clock": "from_zero"},
    {"iterations": 10, "decay_clock": "dampened", "convention": "(n+1)/W"},
    {"iterations": 0, "shape": "radam", "decay_clock": "dampened"},
]


def test_torch_scripts_have_the_warmup_and_every_group(tmp_path: Path) -> None:
    """Each convention, and groups with schedules of their own."""
    groups = [
        {"name": "a"},
        {"name": 'b\'s "own"', "factor": 0.1, "after_scheduler": {"type": "StepLR", "step_size": 9}},
    ]
    curves = [curve({"type": "CosineLR"}, warmup=warmup, param_groups=groups, label="ä\nb") for warmup in WARMUPS]
    scripts = [export(each.schedule, "torch") for each in curves]
    values = run_all(scripts, tmp_path)
    for index, each in enumerate(curves):
        rows = values[index * (TOTAL + 1) : (index + 1) * (TOTAL + 1)]
        np.testing.assert_allclose(rows, each.window(0, TOTAL + 1), rtol=1e-9, atol=1e-15)


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
    """get_scheduler of the real library prints the schedule's LRs, to rel 1e-9."""
    curves = [curve(after, **fields) for after, fields in IN_TRANSFORMERS]
    scripts = [export(each.schedule, "transformers") for each in curves]
    values = run_all(scripts, tmp_path)
    for index, each in enumerate(curves):
        rows = values[index * (TOTAL + 1) : (index + 1) * (TOTAL + 1)]
        np.testing.assert_allclose(
            rows, each.window(0, TOTAL + 1), rtol=1e-9, atol=1e-15, err_msg=str(IN_TRANSFORMERS[index])
        )


@pytest.mark.parametrize("target", ["optax", "keras"])
def test_traced_scripts_give_the_same_sequences(target: str, tmp_path: Path) -> None:
    """In float64 the real library's schedule is the schedule's own, to rel 1e-9, for every type that has a formula."""
    if importlib.util.find_spec(target) is None:
        pytest.skip(f"make conformance installs {target}")
    curves = [curve(after) for after in EXPRESSIBLE]
    scripts = [export(each.schedule, target) for each in curves]
    in_float64 = "import keras; keras.config.set_floatx('float64')" if target == "keras" else ""
    values = run_all([in_float64, *scripts], tmp_path, JAX_ENABLE_X64="1", KERAS_BACKEND="torch")
    for index, each in enumerate(curves):
        rows = values[index * (TOTAL + 1) : (index + 1) * (TOTAL + 1)]
        np.testing.assert_allclose(
            rows, each.window(0, TOTAL + 1), rtol=1e-9, atol=1e-15, err_msg=str(EXPRESSIBLE[index])
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
            {"iterations": 10, "convention": "(n-1)/W", "start_factor": 0.01},
            (
                "WarmupCosineLR",
                {
                    "warmup_min_ratio": 0.01,
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
    """The scheduler's type and parameters, in DeepSpeed's own names."""
    config = json.loads(export(curve(after, warmup=warmup).schedule, "deepspeed"))
    assert (config["scheduler"]["type"], config["scheduler"]["params"]) == expected
    assert config["optimizer"]["params"]["lr"] == 0.02


@pytest.mark.parametrize(
    ("target", "fields", "reason"),
    [
        ("torch", {"after_scheduler": EXAMPLES[18]}, "a list of factors has no formula: use a TableLR"),
        ("torch", {"after_scheduler": EXAMPLES[20]}, "goes on from the LR before it, which no formula knows"),
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
    ],
)
def test_what_a_target_cannot_say_is_refused_with_the_reason(target: str, fields: dict[str, Any], reason: str) -> None:
    """Never a script that gives something else."""
    with pytest.raises(NotExpressible) as caught:
        export(curve(**fields).schedule, target)
    assert reason in str(caught.value)


def test_names_in_a_script_cannot_run() -> None:
    """A label or a group's name stays a comment or a text."""
    asked = curve(label="x\nimport os", param_groups=[{"name": "'], exit(3)) #"}])
    script = export(asked.schedule, "torch")
    assert "\nimport os" not in script
    compile(script, "script", "exec")
