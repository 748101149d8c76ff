"""Specs as users have them: with numbers of numpy, torch and JAX in them, and what is no value of JSON."""

import json
from datetime import date
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from preheat_client import InvalidFallback, Preheat
from preheat_client._core.local_curve import curve_of_fallback
from preheat_client._core.request import Request

FLOAT32 = 0.10000000149011612
"""The float32 nearest to 0.1 (IEEE 754)."""


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (np.float64(0.1), 0.1),
        (np.float32(0.1), FLOAT32),
        (np.int64(7), 7),
        (np.bool_(1), True),
        (np.array(0.1), 0.1),
        (np.array([3, 8]), [3, 8]),
        (torch.tensor(0.1), FLOAT32),
        (torch.tensor(0.1, dtype=torch.float64), 0.1),
        (torch.tensor(7), 7),
        (torch.nn.Parameter(torch.tensor([1.0, 2.0])), [1.0, 2.0]),
        ((1, 2), [1, 2]),
        (MappingProxyType({"iterations": np.int32(7)}), {"iterations": 7}),
        ([{"factor": torch.tensor(0.5)}], [{"factor": 0.5}]),
        (None, None),
        ("5ep", "5ep"),
    ],
)
def test_numbers_of_libraries_are_numbers(given: Any, sent: Any) -> None:
    """Scalars and arrays are what is in them, wherever they stand in a spec."""
    spec = Request.of_spec({"a": given, "b": {"c": [given]}}).spec
    assert json.loads(str(spec)) == {"a": sent, "b": {"c": [sent]}}
    assert type(json.loads(str(spec))["a"]) is type(sent)


def test_the_service_takes_them(url: str) -> None:
    """A spec of numpy and torch numbers is the schedule of the same plain numbers."""
    after = {"type": "MultiStepLR", "milestones": np.array([5, 9]), "gamma": np.float64(0.5)}
    spec = {
        "target_lr": torch.tensor(0.1, dtype=torch.float64),
        "total_iterations": np.int64(20),
        "after_scheduler": after,
    }
    numbers = {
        "target_lr": 0.1,
        "total_iterations": 20,
        "after_scheduler": {**after, "milestones": [5, 9], "gamma": 0.5},
    }
    with Preheat(url) as preheat:
        assert preheat.create(spec).id == preheat.create(numbers).id


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Decimal("0.1"), "decimal.Decimal"),
        (Fraction(1, 3), "fractions.Fraction"),
        (1j, "complex"),
        (b"0.1", "bytes"),
        ({1, 2}, "set"),
        (date(2026, 1, 1), "datetime.date"),
        (np.array([1j]), "complex"),
        (torch.zeros(2, device="meta"), "has no values"),
    ],
)
def test_what_json_does_not_have_is_named(value: Any, kind: str) -> None:
    """The error has the field's place, its value and its type."""
    with pytest.raises(TypeError, match=r"warmup\.parts\[1\]") as refused:
        Request.of_spec({"warmup": {"parts": [0, value]}})
    assert kind in str(refused.value)


def test_keys_are_texts_and_nesting_ends() -> None:
    """Json would make 1 the text "1", and never come back from a dict that contains itself."""
    with pytest.raises(TypeError, match=r"a key \(1\) of units must be a text"):
        Request.of_spec({"units": {1: 2}})
    spec: dict[str, Any] = {}
    spec["warmup"] = spec
    with pytest.raises(ValueError, match="nested so deeply"):
        Request.of_spec(spec)


def test_a_fallback_has_them_too() -> None:
    """A table of numpy is a list of LRs; a Decimal is refused."""
    curve = curve_of_fallback(np.array([0.1, 0.2]), "fallback", Request(schedule_id="f" * 32))
    assert [curve.row(n) for n in (0, 1)] == [(0.1, []), (0.2, [])]
    with pytest.raises(InvalidFallback, match="a fallback's"):
        curve_of_fallback({"a": Decimal("0.1")}, "fallback", Request(schedule_id="f" * 32))
