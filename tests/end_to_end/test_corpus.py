"""The learning rates of 520 specs, as version 0.1.0 of the service computed them."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preheat.curve import Curve
from preheat.schedule import Schedule

CORPUS = [json.loads(line) for line in (Path(__file__).parents[1] / "data/corpus.jsonl").read_text().splitlines()]
"""Specs of every scheduler, warm-up, unit and composition, with what commit 0086bb8 answered under torch 2.13.0."""

WRONG = (
    re.compile('"decay_length":0,.*"type":"WSDLR"'),  # never fell
    re.compile(
        '"convention":"(\\(n\\+1\\)/W|n/\\(W-1\\))","decay_clock":"dampened",.*"shape":"cosine"'
    ),  # fell once reached
)
"""What the first version computed wrong: of these the normalised form alone is as it was."""


@pytest.mark.parametrize("entry", CORPUS, ids=range(len(CORPUS)))
def test_the_learning_rates_are_those_of_the_first_version_bit_for_bit(entry: dict[str, Any]) -> None:
    """A spec has the normalised form and the learning rates that it had in the first version."""
    schedule = Schedule.of(entry["spec"])
    assert schedule.spec_dict == entry["normalised"]
    if any(wrong.search(schedule.text) for wrong in WRONG):
        return
    curve = Curve(schedule)
    windows = [(window, curve.window(*window)) for window in entry["windows"]]
    rows = {str(n): row.tolist() for window, values in windows for n, row in zip(range(*window), values, strict=True)}
    for iteration, row in entry["some"].items():  # said first: a hash that differs does not tell where
        assert rows[iteration] == row, iteration
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(values, "<f8").tobytes() for _, values in windows))
    assert digest.hexdigest() == entry["sha256"]
