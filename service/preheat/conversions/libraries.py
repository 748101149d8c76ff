"""Names of the libraries that schedules are imported from and exported to."""

from typing import Literal

Source = Literal["torch", "transformers", "timm", "deepspeed", "keras"]
"""Libraries whose schedules can be imported."""

Target = Literal["torch", "transformers", "optax", "keras", "deepspeed"]
"""Libraries that a schedule can be exported to."""
