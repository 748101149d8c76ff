"""Guess: a file tells its library, or the candidates are named; and the forms in which files come."""

from typing import Any

import pytest

from preheat.conversions.forms import read, read_text
from preheat.conversions.guess import guessed
from preheat.errors import NotImportable


@pytest.mark.parametrize(
    ("source", "library"),
    [
        ({"num_train_epochs": 3, "per_device_train_batch_size": 4}, "transformers"),
        ({"lr_scheduler": "cosine", "sequence_len": 2048}, "axolotl"),
        ({"lr_scheduler_type": "cosine", "finetuning_type": "lora"}, "llama-factory"),
        ("--lr 0.1 --lr-decay-style cosine", "megatron"),
        ("import torch\ns = StepLR(o, 3)", "torch"),
        ("SOLVER:\n  BASE_LR: 0.02\n", "detectron2"),
        ('[lr_scheduler]\nwarmup_steps = 200\ndecay_type = "linear"\n', "torchtitan"),
    ],
)
def test_a_library_is_told_by_its_own_names(source: Any, library: str) -> None:
    """Whatever form the source has."""
    assert guessed(read(source)) == library


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"lr_scheduler": "cosine", "warmup_steps": 100}, "may be one of transformers, axolotl, kohya, diffusers"),
        ({"sched": "cosine", "SOLVER": {}}, "may be one of timm, detectron2"),
        ({"x": 3}, "the source has no mark of one (known: torch, transformers"),
        ([], "the source has no mark of one"),
    ],
)
def test_a_source_of_several_or_none_is_not_guessed(source: Any, reason: str) -> None:
    """The candidates are named, so that the caller can say which."""
    with pytest.raises(NotImportable) as caught:
        guessed(read(source))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1, "b": "//x", }', {"a": 1, "b": "//x"}),
        ("{'a': 1e-3, # one\n b: [2,],}", {"a": 1e-3, "b": [2]}),
        ("a: 1e-3\nb: &x {c: on}\nd: *x\n", {"a": 1e-3, "b": {"c": True}, "d": {"c": True}}),
        ("a = 1_000\n[b]\nc = 1e-3\n", {"a": 1000, "b": {"c": 1e-3}}),
        ("run.py --a-b 3 --c=x --d --e 1 2 # no", {"a_b": "3", "c": "x", "d": True, "e": ["1", "2"]}),
        ("\ufeff3: x\n", {"3": "x"}),
        ("s = StepLR(o, 3)", "s = StepLR(o, 3)"),
    ],
)
def test_every_form_is_read_into_plain_values(text: str, values: Any) -> None:
    """JSON with comments and trailing commas, YAML, TOML, options; Python code stays a text."""
    assert read_text(text) == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "has the key a more than once"),
        ('{"a": ', "is not valid JSON"),
        ("--lr 1 --lr 2", "has the option --lr more than once"),
        ("a: &a [x, x]\n" + "".join(f"k{i}: &k{i} [*{'a' if i == 0 else f'k{i - 1}'}, *a]\n" for i in range(1)) * 1
         + "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
         + "".join(f"c{i}: &c{i} [{', '.join(['*b' if i == 0 else f'*c{i - 1}'] * 10)}]\n" for i in range(9)),
         "where its YAML aliases are followed"),
        ("a: &a [*a]\n", "where its YAML aliases are followed"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested at most 50 deep"),
        ("{" * 9000, "is not valid JSON"),
        ("a: " + "[" * 9000, "nested at most 50 deep"),
        ("a." * 9000 + "b = 1", "nested at most 50 deep"),
        ("lr: 0.1\n  wer: x\n", r"Python \(.*line 2\), and not YAML \(mapping values are not allowed here in line 2"),
        ("x" * 200_001, "at most 200000 characters"),
    ],
)  # fmt: skip
def test_a_text_that_is_too_large_or_twofold_is_refused(text: str, reason: str) -> None:
    """Before any work is done on it."""
    with pytest.raises(NotImportable, match=reason):
        read_text(text)
