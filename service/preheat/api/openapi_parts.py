"""Parts of the OpenAPI document that several routes share."""

from typing import Any

from preheat.api.media_types import CSV, JSON, NPY, PNG, SVG

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_TEXT = {"schema": {"type": "string"}}
OTHER_FORMATS: dict[str, Any] = {PNG: _BINARY, SVG: _TEXT, CSV: _TEXT, NPY: _BINARY}
"""Content of a window besides JSON."""

SPEC_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        JSON: {
            "schema": {"$ref": "#/components/schemas/Spec"},
            "examples": {
                "reference": {
                    "summary": "Warm-up 10, then cosine over the remaining 10",
                    "value": {
                        "target_lr": 0.01,
                        "total_iterations": 20,
                        "warmup": {"iterations": 10},
                        "after_scheduler": {"type": "CosineAnnealingLR"},
                    },
                }
            },
        }
    },
}


def answers(status: int, description: str, model: type[Any], **content: Any) -> dict[int | str, dict[str, Any]]:
    """The entry of an answer: its model, and its content in other formats."""
    return {status: {"description": description, "model": model, "content": content or {}}}


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}
"""The entry of 304."""
