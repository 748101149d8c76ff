"""The corpus: 520 specs with the learning rates that version 0.1.0 of the service computed for them."""

import json
import re
from pathlib import Path
from typing import Any

CORPUS: list[dict[str, Any]] = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data/corpus.jsonl").read_text().splitlines()
]
"""Specs of every scheduler, warm-up, unit and composition, with what commit 0086bb8 answered under torch 2.13.0."""

_WRONG = (
    re.compile(r'"decay_length":0,.*"type":"WSDLR"'),  # never fell
    re.compile(r'"convention":"(\(n\+1\)/W|n/\(W-1\))","decay_clock":"dampened",.*"shape":"cosine"'),  # fell too early
)


def was_right(text: str) -> bool:
    """Whether the first version computed the schedule of a text right: of others the normalised form alone stays."""
    return not any(wrong.search(text) for wrong in _WRONG)
