"""Hostile sources: whatever stands in a configuration, an import gives a spec that is taken, or says why not."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preheat.conversions import Source
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable
from preheat.specs import InvalidSpec, spec_of
from support.sources import VALID, paths, replaced

KNOWN = [Known(), Known(0.1, 100), Known(0.1, 100, 5, 1000, 2, 3, 4, 1.5)]
NEEDED: dict[Source, Known] = {
    "torch": Known(0.1, 50),
    "deepspeed": Known(0.1, 50),
    "keras": Known(None, 45),
    "transformers": Known(None, 100),
}
NUMBERS: list[Any] = [-1, 0, 0.5, 1.5, 2, 10**30, 10**400, 1e308, -1e308, float("nan"), float("inf"), 3e9, 5e-324]
TEXTS = [
    "auto",
    "x",
    "",
    "inf",
    "nan",
    "1e999",
    "1j",
    "1e308*10",
    "1_000",
    "-0",
    "min_lr=0.1",
    "\ud800",
    "lr",
    "warmup",
    "${oc.env:X}",
    "0x10",
    "9" * 5000,
]
DEEP: Any = 1
for _ in range(60):
    DEEP = {"scheduler": [DEEP]}
WILD = st.one_of(
    st.sampled_from(
        [None, True, False, [], {}, ["x"], [[1], "x"], {"x": "y"}, {"lr": [1, {}]}, DEEP, [[]] * 9, *NUMBERS, *TEXTS]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
)
LONGEST_S = 15.0
"""Far more than any source takes, on a busy machine too, and far less than what no bound holds back."""


def take(library: Source, source: Any, known: Known) -> None:
    """Imports a source, whatever it is, in bounded time."""
    begun = time.monotonic()
    with suppress(NotImportable, InvalidSpec):
        spec_of(import_schedule(library, source, known).spec)
    with suppress(NotImportable, InvalidSpec):
        spec_of(import_schedule(None, source, known).spec)
    assert time.monotonic() - begun < LONGEST_S


@pytest.mark.parametrize("library", get_args(Source))
def test_valid_sources_are_imported_and_their_library_is_guessed(library: Source) -> None:
    """Every source that the fuzzer damages is whole before: it has a spec, and one library that it can be of."""
    for source in VALID[library]:
        known = NEEDED.get(library, Known())
        if "auto" in str(source):
            known = replace(known, warmup_iterations=5)
        spec_of(import_schedule(library, source, known).spec)
        assert import_schedule(None, source, known).library == library


def damaged(library: Source, data: st.DataObject) -> Any:
    """A valid source, of which up to three fields have wild values, with a field more, or another piece of text."""
    source = data.draw(st.sampled_from(VALID[library]))
    if isinstance(source, str):
        return damaged_text(source, data)
    for _ in range(data.draw(st.integers(1, 3))):
        everywhere = list(paths(source))
        if not everywhere:
            break
        source = replaced(source, data.draw(st.sampled_from(everywhere)), data.draw(WILD))
    names = st.sampled_from(["lr", "warmup_x", "seed", "", "\ud800", "x" * 300, "type", "_schedulers", "lr_scheduler"])
    return {**source, data.draw(names): data.draw(WILD)} if data.draw(st.booleans()) else source


@pytest.mark.parametrize("library", get_args(Source))
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_configuration_is_imported_or_refused(library: Source, data: st.DataObject) -> None:
    """Nothing is raised but a refusal with its reason, whether the library is said or guessed."""
    take(library, damaged(library, data), data.draw(st.sampled_from(KNOWN)))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_configuration_is_no_error_of_the_service(http: httpx.Client, data: st.DataObject) -> None:
    """Over REST the answer is a spec or a 4xx that says why, and it is JSON."""
    library: Source = data.draw(st.sampled_from(get_args(Source)))
    body = {"source": damaged(library, data), "target_lr": 0.1, "total_iterations": 100}
    body |= {"library": library} if data.draw(st.booleans()) else {}
    answer = http.post("/v1/import", content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in {200, 400, 413, 422}, (body, answer.text)
    assert answer.json()["spec"] if answer.status_code == 200 else answer.json()["detail"]


PIECES = [
    "1e308*10", "1j", "[", ")", "lambda x: x", "x", "-1", "10**400", "'x'", "{1: 2}", "o", "*", "**k", "None", "\n",
    "9**9**9", "\x00", "max_lr=[1, 2]", "float('inf')", "if True:\n  ", "a.b.c", "[0.1]*9", "int(2.5)",
    "def f(x):\n return x\n",
]  # fmt: skip


def damaged_text(text: str, data: st.DataObject) -> str:
    """A text with a part of it replaced by a piece of Python."""
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 12)))
    return text[:start] + data.draw(st.sampled_from(PIECES)) + text[stop:]


@pytest.mark.parametrize("library", get_args(Source))
def test_no_body_of_another_kind_is_more_than_refused(library: Source) -> None:
    """Lists, numbers and deep or endless texts are refused by every importer."""
    deep: Any = {}
    for _ in range(3000):
        deep = {"scheduler": deep}
    bomb = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24)
    )
    doubling = "a0 = StepLR(o, 3)\n" + "".join(f"a{i + 1} = SequentialLR(o, [a{i}, a{i}], [1])\n" for i in range(22))
    sources: list[Any] = [
        [],
        3,
        None,
        deep,
        "{" * 10_000,
        "[" * 10_000,
        "a: " * 10_000,
        bomb,
        doubling,
        "(" * 500,
        "{'a': &a *a}",
        "x" * 10**6,
    ]
    for source in sources:
        take(library, source, Known(0.1, 100))


def test_a_state_with_a_milestone_counted_a_billion_times_takes_no_time() -> None:
    """Counts are bounded before anything is made of them."""
    state = {"milestones": {"7": 10**9}, "gamma": 0.1, "base_lrs": [0.1]}
    take("torch", state, Known(0.1, 100))
    assert import_schedule("torch", state, Known(0.1, 100)).spec["after_scheduler"]["milestones"] == [7, 7]
