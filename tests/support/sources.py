"""A source of each kind that every library has: valid ones, to be guessed and to be damaged, and the paths in them."""

from collections.abc import Iterator
from typing import Any

from preheat.conversions import Source

_PARAMS: dict[str, dict[str, Any]] = {
    "WarmupLR": {"warmup_num_steps": 4, "warmup_max_lr": 0.1, "warmup_min_lr": 0.01, "warmup_type": "linear"},
    "WarmupDecayLR": {"warmup_num_steps": "auto", "warmup_max_lr": "auto", "total_num_steps": "auto"},
    "WarmupCosineLR": {"warmup_num_steps": 4, "total_num_steps": 50, "warmup_min_ratio": 0.1, "cos_min_ratio": 0.1},
    "LRRangeTest": {"lr_range_test_step_size": 5, "lr_range_test_step_rate": 2.0, "lr_range_test_staircase": True},
    "OneCycle": {
        "cycle_min_lr": 0.01,
        "cycle_max_lr": 0.1,
        "cycle_first_step_size": 9,
        "decay_step_size": 2,
        "decay_lr_rate": 0.5,
    },
}
_KERAS: dict[str, dict[str, Any]] = {
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 40, "warmup_target": 0.2, "warmup_steps": 5},
    "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 40, "t_mul": 0.5, "alpha": 0.1},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 5, "decay_rate": 0.5, "staircase": True},
    "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 40, "power": 2.0, "cycle": False},
    "PiecewiseConstantDecay": {"boundaries": [3, 5], "values": [0.1, 0.2, 0.3]},
}
_HF: dict[str, dict[str, Any]] = {
    "cosine_with_min_lr": {"min_lr": 0.001, "num_cycles": 0.5},
    "cosine_with_restarts": {"num_cycles": 3},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.1},
    "polynomial": {"power": 2.0, "lr_end": 1e-7},
    "inverse_sqrt": {"timescale": 9},
    "warmup_stable_decay": {"num_decay_steps": 9, "min_lr_ratio": 0.1, "decay_type": "1-sqrt"},
}
_FAIRSEQ: dict[str, dict[str, Any]] = {
    "polynomial_decay": {"warmup_updates": 4, "power": 2.0},
    "cosine": {"warmup_updates": 4, "lr_period_updates": 9, "lr_shrink": 0.5, "min_lr": 0.01},
    "tri_stage": {"phase_ratio": [0.25, 0.25, 0.5]},
    "triangular": {"max_lr": 0.9, "lr_period_updates": 8},
    "inverse_sqrt": {"warmup_updates": 4, "warmup_init_lr": 1e-3},
}

VALID: dict[Source, list[Any]] = {
    "torch": [
        "epochs = 90\nopt = SGD(p, lr=0.1)\ns = CosineAnnealingLR(opt, T_max=epochs)",
        "a = LinearLR(o, 0.1, total_iters=5)\nb = StepLR(o, 9)\ns = SequentialLR(o, [a, b], milestones=[5])",
        "lf = lambda x: max(0.0, float(1 - x / 100)) ** 2\ns = LambdaLR(o, lr_lambda=lf)",
        {"T_max": 50, "eta_min": 0, "base_lrs": [0.1, 0.2], "last_epoch": 7, "_last_lr": [0.1, 0.2]},
        {"milestones": {"7": 1, "20": 1}, "gamma": 0.1, "base_lrs": [0.1], "last_epoch": 3},
        {
            "total_size": 9.0,
            "step_ratio": 0.5,
            "max_lrs": [1.0],
            "mode": "triangular",
            "gamma": 1.0,
            "base_lrs": [0.1],
        },
        {"_target_": "torch.optim.lr_scheduler.MultiStepLR", "milestones": [3, 5], "gamma": "0.5"},
    ],
    "transformers": [
        {
            "learning_rate": 0.1,
            "max_steps": 100,
            "warmup_steps": 5,
            "lr_scheduler_type": kind,
            "lr_scheduler_kwargs": own,
            "output_dir": "x",
        }
        for kind, own in _HF.items()
    ]
    + [{"log_history": [{"step": 1, "learning_rate": 0.1}, {"step": 9, "learning_rate": 0.0}], "max_steps": 9}],
    "timm": [
        {
            "lr_base": 0.1,
            "global_batch_size": 512,
            "opt": "adamw",
            "epochs": 50,
            "warmup_epochs": 5,
            "warmup_prefix": True,
            "warmup_lr": 0.01,
            "decay_epochs": 9,
            "sched_on_updates": True,
            "updates_per_epoch": 2,
            "cooldown_epochs": 1,
            "decay_milestones": [10, 20],
            "sched": sched,
        }
        for sched in ("cosine", "tanh", "poly", "step", "multistep", "wsd", "rsqrt")
    ],
    "deepspeed": [
        {"optimizer": {"params": {"lr": 0.1}}, "scheduler": {"type": kind, "params": params}, "fp16": {}}
        for kind, params in _PARAMS.items()
    ],
    "keras": [{"class_name": kind, "config": config} for kind, config in _KERAS.items()]
    + [
        {
            "class_name": "WarmUp",
            "config": {
                "initial_learning_rate": 0.1,
                "decay_schedule_fn": {"class_name": "PolynomialDecay", "config": _KERAS["PolynomialDecay"]},
                "warmup_steps": 5,
                "power": 2.0,
            },
        }
    ],
    "axolotl": [
        {
            "base_model": "x",
            "learning_rate": 2e-4,
            "lr_scheduler": kind,
            "warmup_steps": 10,
            "max_steps": 100,
            "micro_batch_size": 2,
            **own,
        }
        for kind, own in (
            ("cosine", {"cosine_min_lr_ratio": 0.1, "cosine_constant_lr_ratio": 0.8}),
            ("cosine", {"lr_quadratic_warmup": True}),
            ("rex", {}),
            ("one_cycle", {"lr_scheduler_kwargs": {"div_factor": 10}}),
        )
    ],
    "llama-factory": [
        {
            "stage": "sft",
            "finetuning_type": "lora",
            "template": "llama3",
            "model_name_or_path": "x",
            "learning_rate": 1e-4,
            "lr_scheduler_type": "warmup_stable_decay",
            "warmup_ratio": 0.1,
            "max_steps": 100,
        }
    ],
    "kohya": [
        {
            "learning_rate": 1e-4,
            "lr_scheduler": kind,
            "lr_scheduler_num_cycles": 3,
            "lr_warmup_steps": 0.1,
            "max_train_steps": 100,
            "network_module": "networks.lora",
            "lr_scheduler_args": ["last_epoch=-1"] if kind == "x" else [],
            **own,
        }
        for kind, own in (
            ("cosine_with_restarts", {}),
            ("warmup_stable_decay", {"lr_scheduler_num_cycles": 1, "lr_decay_steps": 0.2}),
        )
    ],
    "diffusers": [
        {"learning_rate": 1e-4, "lr_scheduler": "polynomial", "lr_power": 2, "max_train_steps": 999}
    ],
    "torchtitan": [
        {
            "optimizer": {"name": "AdamW", "lr": 3e-4},
            "lr_scheduler": {"warmup_steps": 4, "decay_ratio": 0.3, "decay_type": "sqrt", "min_lr_factor": 0.1},
            "training": {"steps": 100},
        }
    ],
    "megatron": [
        {
            "lr": 6e-5,
            "min_lr": 6e-6,
            "lr_decay_style": style,
            "train_iters": 100,
            "lr_decay_iters": 90,
            "lr_warmup_fraction": 0.1,
            "lr_wsd_decay_iters": 9,
        }
        for style in ("cosine", "linear", "inverse-square-root", "WSD")
    ]
    + ["pretrain_gpt.py --lr 6e-5 --lr-decay-style cosine --train-iters 100 --lr-warmup-iters 10 --bf16"],
    "detectron2": [
        {"SOLVER": {"BASE_LR": 0.02, "MAX_ITER": 99, "STEPS": "(60, 80)", "WARMUP_ITERS": 9, "LR_SCHEDULER_NAME": name}}
        for name in ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")
    ],
    "mmengine": [
        {
            "optim_wrapper": {"optimizer": {"type": "SGD", "lr": 0.1}},
            "param_scheduler": [
                {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "begin": 0, "end": 5},
                {"type": "CosineAnnealingLR", "by_epoch": False, "begin": 5, "end": 60, "eta_min": 1e-3},
                {"type": "MultiStepLR", "by_epoch": False, "milestones": [70, 80], "begin": 61},
            ][: 2 if two else 3],
            "train_cfg": {"max_iters": 100},
        }
        for two in (True, False)
    ]
    + [
        ("param_scheduler = [dict(type='StepLR', step_size=3)]\n"
        "optim_wrapper = dict(optimizer=dict(lr=0.1))\ntrain_cfg = dict(max_epochs=9)")
    ],
    "nanotron": [
        {
            "optimizer": {
                "learning_rate_scheduler": {
                    "learning_rate": 3e-4,
                    "lr_decay_starting_step": 50,
                    "lr_decay_steps": 40,
                    "lr_decay_style": "1-sqrt",
                    "lr_warmup_steps": 2,
                    "lr_warmup_style": "linear",
                    "min_decay_lr": 1e-5,
                }
            },
            "tokens": {"train_steps": 100},
        }
    ],
    "nemo": [
        {
            "model": {"optim": {"lr": 0.1, "sched": {"name": name, "warmup_steps": 10, "min_lr": 1e-5, **own}}},
            "trainer": {"max_steps": 100},
        }
        for name, own in (
            ("CosineAnnealing", {"constant_steps": 10}),
            ("NoamAnnealing", {"d_model": 512}),
            ("SquareRootAnnealing", {}),
        )
    ],
    "fairseq": [
        {"lr_scheduler": {"_name": name, **own}, "optimization": {"lr": [0.3], "max_update": 100}}
        for name, own in _FAIRSEQ.items()
    ],
}  # fmt: skip


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a source."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield (*path, key)
        yield from paths(entry, (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path; None where there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else value[key] if isinstance(value, list) else None
    return value


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with another value, or one more, at a path."""
    if not path:
        return new
    if isinstance(value, list):
        return [replaced(entry, path[1:], new) if index == path[0] else entry for index, entry in enumerate(value)]
    return {**value, path[0]: replaced(value.get(path[0]), path[1:], new)}
