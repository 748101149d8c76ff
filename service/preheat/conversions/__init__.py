"""Conversions: schedules of other libraries read as specs (import), and schedules written for them (export).

The names of the libraries are written here without the code behind them, so that a command line knows them before torch
is imported; the tables `importers.SOURCES` and `exporters.TARGETS` have an entry for each.
"""

from typing import Literal

Source = Literal[
    "torch",
    "transformers",
    "timm",
    "deepspeed",
    "keras",
    "axolotl",
    "llama-factory",
    "kohya",
    "diffusers",
    "torchtitan",
    "megatron",
    "detectron2",
    "mmengine",
    "nanotron",
    "nemo",
    "fairseq",
]
"""Libraries whose schedules can be imported."""

Target = Literal["torch", "transformers", "optax", "keras", "deepspeed"]
"""Libraries that a schedule can be exported to."""
