"""One sentence, "peak 1, warm-up 4, total 10", as every library understands it: each row is a spec of ours.

Printed digits: executed in the libraries themselves (torch 2.13, transformers 5.23, timm 1.0.31, optax 0.2.8,
pytorch-warmup 0.2.0, DeepSpeed, Megatron-LM, torchtitan, fairseq, NeMo, ignite 0.5.5), or their formulas retyped.
"""

from typing import Any

import pytest

from preheat.specs import InvalidSpec, spec_of
from support.specs import curve_after

COSINE = {"type": "CosineLR"}
COSINE_OF_10 = {"type": "CosineLR", "length": 10}
LINEAR = {"type": "PolynomialDecayLR"}


def warmup(**fields: Any) -> dict[str, Any]:
    """A warm-up of 4."""
    return {"iterations": 4, **fields}


def sequence(first: dict[str, Any], *, until: int, then: dict[str, Any]) -> dict[str, Any]:
    """Two turns."""
    return {"type": "SequentialLR", "schedulers": [first, then], "milestones": [until]}


HOLD = {"type": "ConstantLR", "factor": 1.0}

ROWS: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "torch Sequential, HF, Megatron, timm prefix, optax cosine": (
        warmup(),
        COSINE,
        "0 .25 .5 .75 1 .933 .75 .5 .25 .067 0",
    ),
    "HF cosine_warmup_with_min_lr": (
        warmup(convention="(n+1)/W", decay_clock="from_peak"),
        {"type": "CosineAnnealingLR", "T_max": 6, "eta_min": 0.1},
        ".25 .5 .75 1 .940 .775 .55 .325 .160 .1 .160",
    ),
    "torchtitan cosine": (warmup(convention="(n+1)/W"), COSINE, ".25 .5 .75 1 1 .933 .75 .5 .25 .067 0"),
    "NeMo CosineAnnealing, nanoGPT": (
        warmup(convention="(n+1)/(W+1)"),
        COSINE,
        ".2 .4 .6 .8 1 .933 .75 .5 .25 .067 0",
    ),
    "NeMo CosineAnnealing constant_steps=2": (
        warmup(),
        {"type": "CosineLR", "length": 4},
        "0 .25 .5 .75 1 .854 .5 .146 0 0 0",
    ),
    "ignite with_warmup": (
        warmup(convention="n/(W-1)", decay_clock="from_peak"),
        {"type": "CosineLR", "length": 6},
        "0 .333 .667 1 .933 .75 .5 .25 .067 0",
    ),
    "DINO, ConvNeXt": (warmup(convention="n/(W-1)"), COSINE, "0 .333 .667 1 1 .933 .75 .5 .25 .067"),
    "OLMo": (warmup(start_factor=0.1), COSINE, ".1 .325 .55 .775 1 .933 .75 .5 .25 .067 0"),
    "timm cosine, prefix False": (
        warmup(decay_clock="from_zero"),
        COSINE,
        "0 .25 .5 .75 .655 .5 .345 .206 .095 .024 0",
    ),
    "BERT": (warmup(decay_clock="from_zero"), LINEAR, "0 .25 .5 .75 .6 .5 .4 .3 .2 .1 0"),
    "pytorch_warmup LinearWarmup": (
        warmup(convention="(n+1)/W", decay_clock="dampened"),
        COSINE_OF_10,
        ".25 .488 .678 .794 .655 .5 .345 .206 .095 .024 0",
    ),
    "fairseq cosine, lr_shrink .1": (
        warmup(),
        {"type": "CosineRestartsLR", "T_0": 6, "decay": 0.1},
        "0 .25 .5 .75 1 .933 .75 .5 .25 .067 .1",
    ),
    "DeepSpeed WarmupDecayLR linear": (
        warmup(convention="(n-1)/W", decay_clock="from_peak"),
        {"type": "PolynomialDecayLR", "length": 6},
        "0 0 .25 .5 .75 1 .833 .667 .5 .333 .167",
    ),
    "DeepSpeed WarmupDecayLR log": (
        warmup(convention="(n-1)/W", shape="log", decay_clock="from_peak"),
        {"type": "PolynomialDecayLR", "length": 6},
        "0 0 .5 .79 1 1 .833 .667 .5 .333 .167",
    ),
    "DeepSpeed WarmupCosineLR linear": (
        warmup(convention="(n-1)/W"),
        COSINE,
        "0 0 .25 .5 .75 .933 .75 .5 .25 .067 0",
    ),
    "ildoonet multiplier 1": (
        warmup(),
        sequence(HOLD, until=1, then={"type": "CosineLR", "length": 6}),
        "0 .25 .5 .75 1 1 .933 .75 .5 .25 .067",
    ),
    "ildoonet multiplier 10, StepLR(3)": (
        warmup(start_factor=0.1),
        sequence(HOLD, until=1, then={"type": "ExpressionLR", "expression": "0.1 * 0.1 ** (s // 3)"}),
        ".1 .325 .55 .775 1 .1 .1 .1 .01 .01 .01",
    ),
    "torch Chained[LinearLR(.1), Cos(8)]": (
        {},
        {
            "type": "ChainedScheduler",
            "schedulers": [
                {"type": "LinearLR", "start_factor": 0.1, "total_iters": 4},
                {"type": "CosineAnnealingLR", "T_max": 8},
            ],
        },
        ".1 .313 .469 .536 .5 .309 .146 .038 0 .038 .146",
    ),
    "HF linear, fairseq polynomial, Megatron linear": (warmup(), LINEAR, "0 .25 .5 .75 1 .833 .667 .5 .333 .167 0"),
    "torchtitan linear": (warmup(convention="(n+1)/W"), LINEAR, ".25 .5 .75 1 1 .833 .667 .5 .333 .167 0"),
    "NeMo WarmupAnnealing": (warmup(convention="(n+1)/(W+1)"), LINEAR, ".2 .4 .6 .8 1 .833 .667 .5 .333 .167 0"),
    "HF, fairseq, Megatron inverse sqrt": (
        warmup(),
        {"type": "InverseSqrtLR"},
        "0 .25 .5 .75 1 .894 .816 .756 .707 .667 .632",
    ),
    "NeMo InverseSquareRootAnnealing": (
        warmup(convention="(n+1)/(W+1)"),
        {"type": "InverseSqrtLR", "timescale": 5},
        ".2 .4 .6 .8 1 .913 .845 .791 .745 .707 .674",
    ),
    "HF WSD linear": (warmup(), {"type": "WSDLR", "decay_length": 3}, "0 .25 .5 .75 1 1 1 1 .667 .333 0"),
    "HF WSD linear, min_lr_ratio .1": (
        warmup(start_factor=0.1),
        {"type": "WSDLR", "decay_length": 3, "min_ratio": 0.1},
        ".1 .325 .55 .775 1 1 1 1 .7 .4 .1",
    ),
    "timm WSD 1-sqrt, Megatron minus_sqrt": (
        warmup(),
        {"type": "WSDLR", "decay_length": 3, "decay": "1-sqrt"},
        "0 .25 .5 .75 1 1 1 1 .423 .184 0",
    ),
    "Megatron WSD exponential": (
        warmup(),
        {"type": "WSDLR", "decay_length": 3, "decay": "exponential"},
        "0 .25 .5 .75 1 1 1 1 .587 .260 0",
    ),
    "Megatron WSD cosine": (
        warmup(),
        {"type": "WSDLR", "decay_length": 3, "decay": "cosine"},
        "0 .25 .5 .75 1 1 1 1 .75 .25 0",
    ),
    "torchtitan sqrt(.3)": (
        warmup(convention="(n+1)/W"),
        {"type": "WSDLR", "decay_length": 3, "decay": "1-sqrt"},
        ".25 .5 .75 1 1 1 1 1 .423 .184 0",
    ),
}


@pytest.mark.parametrize("library", ROWS)
def test_every_library_reads_its_own_sequence(library: str) -> None:
    """The spec that stands for a library's words has the library's LRs, to the digits that are printed."""
    warmup_fields, after_scheduler, printed = ROWS[library]
    values = printed.split()
    asked = curve_after(after_scheduler, target_lr=1.0, total_iterations=10, warmup=warmup_fields)
    actual = asked.window(0, len(values))[:, 0].tolist()
    for iteration, value in enumerate(values):
        half_a_digit = 0.51 * 0.1 ** len(value.partition(".")[2])
        assert actual[iteration] == pytest.approx(float(value), abs=half_a_digit if "." in value else 1e-15)


def test_a_one_cycle_after_the_end_of_the_run_is_refused() -> None:
    """With (n-1)/W a warm-up as long as the run reaches its peak one iteration later: no cycle of 0 values is left."""
    warmup = {"iterations": 20, "convention": "(n-1)/W", "decay_clock": "from_peak"}
    whole = {"target_lr": 0.1, "total_iterations": 20, "after_scheduler": {"type": "OneCycleLR", "max_lr": 0.1}}
    with pytest.raises(InvalidSpec, match="has no iteration left of the run"):
        spec_of({**whole, "warmup": warmup})
    assert spec_of({**whole, "warmup": {**warmup, "iterations": 19}}).after_scheduler is not None
