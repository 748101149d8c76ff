"""Real files: what people feed an importer, retold from public repositories, has its library's LRs or a stated refusal.

Each case names the repository and the file or thread that it retells; the LRs are those of the library's own formula,
in plain math.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from preheat.cli import app
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.specs import parse_spec

AXOLOTL = """
base_model: NousResearch/Llama-2-7b-hf
model_type: LlamaForCausalLM
datasets:
  - path: mhenrichsen/alpaca_2k_test
    type: alpaca
sequence_len: 4096
sample_packing: true
micro_batch_size: 1
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 0.0002
bf16: auto
early_stopping_patience:
warmup_steps: 100
weight_decay: 0.1
"""
LLAMA_FACTORY = """
### method
stage: sft
finetuning_type: full
use_galore: true
galore_scale: 2.0
### dataset
template: llama3
cutoff_len: 2048
### train
per_device_train_batch_size: 1
learning_rate: 1.0e-5
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
"""
NANOTRON = """
optimizer:
  clip_grad: 1.0
  learning_rate_scheduler:
    learning_rate: 0.0003
    lr_decay_starting_step: null
    lr_decay_steps: 13
    lr_decay_style: cosine
    lr_warmup_steps: 2
    lr_warmup_style: linear
    min_decay_lr: 1.0e-05
  optimizer_factory: {adam_beta1: 0.9, name: adamW}
tokens: {train_steps: 15, sequence_length: 256}
"""
TORCHTITAN = """
[job]
dump_folder = "./outputs"
[optimizer]
name = "AdamW"
lr = 3e-4
[lr_scheduler]
warmup_steps = 200  # 20 % of the training steps
[training]
local_batch_size = 1
steps = 1000
"""
FAIRSEQ = """
optimization:
  clip_norm: 1
  lr: [3e-4]
  max_update: 100
optimizer:
  _name: composite
  groups:
    default:
      lr_float: 1e-4
      optimizer: {_name: adam, weight_decay: 0.01}
      lr_scheduler: {_name: cosine, warmup_updates: 4}
    decoder:
      lr_float: 1e-3
      optimizer: {_name: adam}
      lr_scheduler: {_name: cosine, warmup_updates: 10}
lr_scheduler: pass_through
"""
MMPRETRAIN = """
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.001, eps=1e-8), clip_grad=dict(max_norm=5.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, end=5, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=5)]
train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
auto_scale_lr = dict(base_batch_size=1024)
"""
TIMM = "epochs: 100\nlr: null\nlr_base: 0.1\nlr_base_scale: ''\nopt: adamw\nglobal_batch_size: 1024\nsched: cosine\n"
MEGATRON = (
    "torchrun --nproc_per_node 8 pretrain_gpt.py --lr 6e-5 --lr-decay-style cosine --train-iters 500000 \\\n"
    "  --lr-decay-iters 430000 --lr-warmup-fraction .001 --min-lr 6e-6 --fp16\n"
)
DETECTRON2 = "SOLVER:\n  IMS_PER_BATCH: 16\n  BASE_LR: 0.02\n  STEPS: (60000, 80000)\n  MAX_ITER: 90000\n"
DEEPSPEED = """{ // as accelerate has it
  "scheduler": {"type": "WarmupDecayLR", "params": {"warmup_min_lr": "auto", "warmup_max_lr": "auto",
    "warmup_num_steps": "auto", "total_num_steps": "auto"}},
  "fp16": {"enabled": "auto"}, "train_batch_size": "auto", "gradient_accumulation_steps": "auto",
}"""
DIFFUSERS = "--learning_rate 1e-4 --lr_scheduler polynomial --lr_power 2 --lr_warmup_steps 100 --max_train_steps 2000"
KOHYA = {
    "learning_rate": 1e-4,
    "lr_scheduler": "cosine_with_restarts",
    "lr_scheduler_num_cycles": 3,
    "lr_warmup_steps": 100,
    "max_train_steps": 2000,
}
WARM_UP = {
    "class_name": "WarmUp",
    "config": {
        "initial_learning_rate": 3e-5,
        "decay_schedule_fn": {
            "class_name": "PolynomialDecay",
            "config": {
                "initial_learning_rate": 3e-5,
                "decay_steps": 3034,
                "end_learning_rate": 0.0,
                "power": 1.0,
                "cycle": False,
                "name": None,
            },
            "__passive_serialization__": True,
        },
        "warmup_steps": 50,
        "power": 1.0,
        "name": None,
    },
}
NEMO = """
trainer: {devices: 8, max_steps: 1000}
model:
  optim:
    name: adamw
    lr: 1e-3
    sched: {name: CosineAnnealing, warmup_steps: 50, warmup_ratio: null, min_lr: 1e-6}
"""
LIGHTNING = """
trainer: {max_epochs: 90, accelerator: gpu}
model: {class_path: Net}
optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1e-1, weight_decay: 1e-4}}
lr_scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 90}}
"""
HF = {"learning_rate": 1e-4, "max_steps": "1000", "warmup_steps": 100.0, "lr_scheduler_type": "cosine", "seed": 1}
SCRIPT = "epochs = 90\nopt = torch.optim.SGD(model.parameters(), lr=0.1)\ns = CosineAnnealingLR(opt, T_max=epochs)\n"


HEIGHTS = Callable[[int], float | None]
"""The share of the peak at an iteration; None where it is not compared."""


def half_cosine(x: float, low: float = 0.0) -> float:
    """From 1 at 0 down to `low` at 1, and held there."""
    return low + (1 - low) * (1 + math.cos(math.pi * min(max(x, 0.0), 1.0))) / 2


def warmed(n: int, warmup: int, height: float) -> float:
    """A linear warm-up from 0, and a height after it."""
    return n / warmup if n < warmup else height


def detectron(n: int) -> float:
    """The default warm-up of 1000 iterations from a thousandth, and two steps."""
    return 0.001 + 0.999 * n / 1000 if n < 1000 else 0.1 ** ((n >= 60_000) + (n >= 80_000))


FILES: list[tuple[str, Any, dict[str, Any], float, int, HEIGHTS, str]] = [
    ("axolotl", AXOLOTL, {"total_iterations": 1000}, 2e-4, 1000,
     lambda n: warmed(n, 100, half_cosine((n - 100) / 900)), "axolotl examples/llama-2/fft_optimized.yml"),
    ("axolotl", {"base_model": "x", "lr_scheduler": "cosine", "learning_rate": 2e-4, "warmup_steps": 100,
                 "cosine_min_lr_ratio": 0.1}, {"total_iterations": 1000}, 2e-4, 1000,
     lambda n: warmed(n, 100, half_cosine((n - 100) / 900, 0.1)), "axolotl#3435"),
    ("llama-factory", LLAMA_FACTORY, {"dataset_size": 1000}, 1e-5, 3000,
     lambda n: warmed(n, 300, half_cosine((n - 300) / 2700)), "hiyouga/LLaMA-Factory examples/extras/galore"),
    ("kohya", KOHYA, {}, 1e-4, 2000,
     lambda n: warmed(n, 100, 0.0 if n == 2000 else half_cosine(3 * (n - 100) / 1900 % 1)), "bmaltais/kohya_ss#1889"),
    ("diffusers", DIFFUSERS, {}, 1e-4, 2000,
     lambda n: warmed(n, 100, ((1e-4 - 1e-7) * (1 - (n - 100) / 1900) ** 2 + 1e-7) / 1e-4), "diffusers#1232"),
    ("deepspeed", DEEPSPEED, {"target_lr": 1e-3, "total_iterations": 1000, "warmup_iterations": 100}, 1e-3, 1000,
     lambda n: (math.log(max(n - 1, 0) + 1) / math.log(100) if n <= 100 else (1001 - n) / 900) if n else 0.0,
     "huggingface/accelerate#1095"),
    ("timm", TIMM, {}, 0.2, 100,
     lambda n: 5e-5 + (1 - 5e-5) * n / 5 if n < 5 else half_cosine(n / 100), "pytorch-image-models train.py"),
    ("torch", SCRIPT, {}, 0.1, 90, lambda n: half_cosine(n / 90), "scripts like pytorch/vision's references"),
    ("torch", LIGHTNING, {}, 0.1, 90, lambda n: half_cosine(n / 90), "Lightning's command line"),
    ("torch", {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "T_max": 100}, {"target_lr": 1.0}, 1.0, 100,
     lambda n: half_cosine(n / 100), "Hydra's configuration of a scheduler"),
    ("keras", WARM_UP, {}, 3e-5, 3084, lambda n: warmed(n, 50, 1 - (n - 50) / 3034), "TensorFlow model cards"),
    ("torchtitan", TORCHTITAN, {}, 3e-4, 1000,
     lambda n: (n + 1) / 200 if n < 200 else 1 - (n - 200) / 800, "torchtitan configs/llama3_8b-8xb200-8k.toml"),
    ("megatron", MEGATRON, {}, 6e-5, 500_000,
     lambda n: warmed(n, 430, half_cosine((n - 430) / 429_570, 0.1)), "NVIDIA/Megatron-LM's arguments"),
    ("detectron2", DETECTRON2, {}, 0.02, 90_000, detectron, "facebookresearch/detectron2 configs/Base-RCNN-FPN.yaml"),
    ("mmengine", MMPRETRAIN, {"dataset_size": 1280, "batch_size": 128}, 1e-3, 1000,
     lambda n: 1e-3 + 0.999 * n / 49 if n < 50 else half_cosine((n // 10 - 5) / 95, 0.01) if n < 1000 else None,
     "open-mmlab/mmpretrain configs/_base_/schedules/imagenet_bs1024_adamw_swin.py"),
    ("nanotron", NANOTRON, {}, 3e-4, 15,
     lambda n: warmed(n, 2, half_cosine((n - 2) / 13, 1 / 30)), "huggingface/nanotron examples/config_tiny_llama.yaml"),
    ("nemo", NEMO, {}, 1e-3, 1000,
     lambda n: (n + 1) / 51 if n <= 50 else half_cosine((n - 50) / 950, 1e-3), "NVIDIA/NeMo examples/asr/conf"),
    ("fairseq", FAIRSEQ, {}, 1e-4, 100,
     lambda n: warmed(n, 4, half_cosine((n - 4) / 96) if n < 100 else 0.1),
     "facebookresearch/fairseq examples/data2vec/config/v2/large_text_only_task_pgrp_1M.yaml"),
    ("transformers", HF, {}, 1e-4, 1000,
     lambda n: warmed(n, 100, half_cosine((n - 100) / 900)), "huggingface/transformers training_args.bin as JSON"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("library", "source", "known", "lr", "total", "height", "origin"), FILES, ids=[file[-1][:60] for file in FILES]
)
def test_a_real_file_is_guessed_and_has_its_librarys_lrs(
    library: str, source: Any, known: dict[str, Any], lr: float, total: int, height: HEIGHTS, origin: str
) -> None:
    """Without --from: the library is told by the names, and every LR is that of its formula."""
    found = import_schedule(None, source, Known(**known))
    assert found.library == library, origin
    curve = Curve(Schedule(parse_spec(json.dumps(found.spec))))
    assert curve.total_iterations == total
    step = max(total // 500, 1)
    iterations = [n for n in (*range(0, total + 1, step), total) if height(n) is not None]
    expected = [lr * (height(n) or 0.0) for n in iterations]
    assert [curve.lr(n)[0] for n in iterations] == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_every_group_of_a_composite_optimizer_has_its_own_schedule() -> None:
    """Groups of fairseq: each its own LR, warm-up and cosine; the LR above them is named, as it has no effect."""
    found = import_schedule("fairseq", FAIRSEQ, Known())
    curve = Curve(Schedule(parse_spec(json.dumps(found.spec))))
    for index, (lr, warmup) in enumerate(((1e-4, 4), (1e-3, 10))):
        # min_lr is 0, and the last update is the first of a second period, of a tenth of the height
        expected = [lr * warmed(n, warmup, half_cosine((n - warmup) / (100 - warmup))) for n in range(100)]
        assert curve.window(0, 100)[:, index] == pytest.approx(expected, abs=1e-15)
    assert {"optimization.lr"} <= {note.field for note in found.not_carried}


REFUSED: list[tuple[str | None, Any, dict[str, Any], str, str]] = [
    ("transformers", {"lr_scheduler": "cosine", "learning_rate": 2e-4, "warmup_steps": 100}, {"total_iterations": 1000},
     "lr_scheduler may change the LR, and an import from transformers does not know it (it is a field of axolotl",
     "axolotl's YAML retyped as JSON"),
    ("transformers", KOHYA, {"total_iterations": 2000}, "lr_scheduler may change the LR", "kohya's arguments"),
    ("transformers", {"max_steps": 1000, "lr_scheduler_type": "warmup_stable_decay",
                      "lr_scheduler_kwargs": {"decay_ratio": 0.1}}, {},
     "lr_scheduler_kwargs.decay_ratio is not a parameter of warmup_stable_decay", "LoserCheems/WonderfulMatrices#3"),
    ("transformers", {"max_steps": 5000, "lr_scheduler_type": "cosine_with_min_lr",
                      "lr_scheduler_kwargs": "min_lr=0.00001"}, {},
     "lr_scheduler_kwargs must be an object, or the JSON of one", "an argument as typed on a command line"),
    ("transformers", {"num_train_epochs": 3, "per_device_train_batch_size": 0}, {"dataset_size": 1000},
     "per_device_train_batch_size (0) must be a whole number ≥ 1", "an empty batch"),
    (None, DEEPSPEED, {"target_lr": 1e-3, "total_iterations": 1000},
     'warmup_iterations required: scheduler.params.warmup_num_steps "auto"', "huggingface/accelerate#1095"),
    (None, {"scheduler": {"type": "WarmupCosineLR", "params": {"warmup_max_lr": 1e-3, "total_num_steps": 9}}}, {},
     "scheduler.params.warmup_max_lr is not a parameter of WarmupCosineLR", "a DeepSpeed file of another scheduler"),
    ("timm", {"epochs": 100, "lr": None, "lr_base": 0.1, "opt": "sgd", "batch_size": 128}, {},
     "the source has no global_batch_size", "a vendor's training block with timm's names"),
    (None, {"epochs": 100, "lr": "auto", "sched": "cosine"}, {}, "lr ('auto') must be a number", "an LR of auto"),
    (None, {"epochs": 10, "lr": 0.1, "sched_on_updates": True}, {},
     "updates_per_epoch is required with sched_on_updates: timm finds it from its loader", "timm --sched-on-updates"),
    (None, {"sched": "cosine", "epochs": 100, "lr": 1e-3, "layer_decay": 0.75}, {},
     "layer_decay gives each layer an LR of its own", "timm --layer-decay"),
    (None, "_BASE_: ../Base-RCNN-FPN.yaml\nMODEL:\n  WEIGHTS: x\n", {}, "_BASE_ has more fields in another file",
     "facebookresearch/detectron2 configs/COCO-Detection"),
    (None, "scheduler:\n  name: cosine_with_warmup\n  t_warmup: 100ba\n  alpha_f: 0.1\nmax_duration: 1ep\n", {},
     "library is required: the source has no mark of one", "mosaicml/llm-foundry's YAML, of Composer"),
    ("torch", "s = GradualWarmupScheduler(o, multiplier=8, total_epoch=5, after_scheduler=StepLR(o, 10))",
     {"target_lr": 0.1, "total_iterations": 40}, "is lost after the warm-up", "ildoonet/pytorch-gradual-warmup-lr#26"),
    ("torch", {"_schedulers": 3, "_milestones": [5]}, {"total_iterations": 9}, "_schedulers must be a list",
     "a state with something else for its schedulers"),
    ("torch", "s = CosineAnnealingLR(o, 90)", {"target_lr": 0.1, "warmup_iterations": 5},
     "warmup_iterations (5) has no place in an import of torch's schedulers", "a warm-up that nothing would run"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("library", "source", "known", "reason", "origin"), REFUSED, ids=[case[-1][:60] for case in REFUSED]
)
def test_a_real_mistake_is_refused_by_name(
    library: str | None,
    source: Any,
    known: dict[str, Any],
    reason: str,
    origin: str,
    http: httpx.Client,
    tmp_path: Path,
) -> None:
    """Over REST as a 422, and on the command line with exit code 1: the same reason, and no spec."""
    body = {"source": source, **known} | ({"library": library} if library else {})
    answer = http.post("/v1/import", json=body)
    assert (answer.status_code, reason in answer.json()["detail"]) == (422, True), (origin, answer.json())
    path = tmp_path / "source"
    path.write_text(source if isinstance(source, str) else json.dumps(source))
    options = [part for name, value in known.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    result = CliRunner().invoke(app, ["import", str(path), *options, *(["--from", library] if library else [])])
    assert (result.exit_code, result.stdout) == (1, "")
    assert reason in " ".join(result.stderr.split()), origin


def test_the_command_line_says_which_library_was_read(tmp_path: Path) -> None:
    """On stderr, where the library was guessed; so that a wrong guess is seen."""
    path = tmp_path / "llama.toml"
    path.write_text(TORCHTITAN)
    result = CliRunner().invoke(app, ["import", str(path)])
    assert result.exit_code == 0
    assert "read as torchtitan" in result.stderr
