"""The learning rates of 520 specs, as version 0.1.0 of the service computed them."""

import hashlib
from typing import Any

import numpy as np
import pytest

from preheat.curve import Curve
from preheat.schedule import Schedule
from support.corpus import CORPUS, was_right


@pytest.mark.parametrize("entry", CORPUS, ids=range(len(CORPUS)))
def test_the_learning_rates_are_those_of_the_first_version_bit_for_bit(entry: dict[str, Any]) -> None:
    """A spec has the normalised form and the learning rates that it had in the first version."""
    schedule = Schedule.of(entry["spec"])
    assert schedule.spec_dict == entry["normalised"]
    if not was_right(schedule.text):
        return
    curve = Curve(schedule)
    windows = [(window, curve.window(*window)) for window in entry["windows"]]
    rows = {str(n): row.tolist() for window, values in windows for n, row in zip(range(*window), values, strict=True)}
    for iteration, row in entry["some"].items():  # said first: a hash that differs does not tell where
        assert rows[iteration] == row, iteration
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(values, "<f8").tobytes() for _, values in windows))
    assert digest.hexdigest() == entry["sha256"]
