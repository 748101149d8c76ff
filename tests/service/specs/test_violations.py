"""Violations: each names field, value and rule, and points to the value, in words that any document can hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from preheat.specs import InvalidSpec, Spec, Violation, from_pydantic, violation
from preheat.specs.fields import UNION_TAGS
from preheat.specs.violations import Location, pointer, unknown

LOCATIONS = st.lists(st.text() | st.integers(0, 99), max_size=4).map(tuple)


def resolved(document: Any, text: str) -> Any:
    """The value that a JSON pointer leads to, by the steps of RFC 6901."""
    for step in text.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ((), ""),
        (("foo",), "/foo"),
        (("foo", 0), "/foo/0"),
        (("",), "/"),
        (("a/b",), "/a~1b"),
        (("m~n",), "/m~0n"),
        (("~1",), "/~01"),
        (("c%d", 'k"l', " "), '/c%d/k"l/ '),
    ],
)
def test_a_pointer_is_that_of_rfc_6901(location: Location, text: str) -> None:
    """The examples of RFC 6901 §5: a tilde and a slash in a name are escaped, an index is a number."""
    assert pointer(location) == text


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_a_pointer_leads_to_the_value(names: list[str]) -> None:
    """Followed step by step, a pointer finds the value, whatever characters the names have."""
    document: Any = "here"
    for name in reversed(names):
        document = {name: document}
    assert resolved(document, pointer(tuple(names))) == "here"


@pytest.mark.parametrize(
    ("found", "detail"),
    [
        (violation(("warmup", "iterations"), "must be ≥ 0", -1), "warmup.iterations (-1) must be ≥ 0"),
        (violation(("groups", 1, "lr"), "must be a number", "x"), 'groups[1].lr ("x") must be a number'),
        (violation(("target_lr",), "is required"), "target_lr is required"),
        (violation(("target_lr",), "is required", None), "target_lr (null) is required"),
        (violation((), "must be an object", [1]), "the document ([1]) must be an object"),
        (violation((0, "a"), "must be 1", 2.0), "[0].a (2.0) must be 1"),
    ],
)
def test_a_detail_is_one_sentence(found: Violation, detail: str) -> None:
    """Field, value as JSON and rule make a sentence; a value that is missing is left out."""
    assert found.detail == detail


@given(location=LOCATIONS, rule=st.text(), value=st.none() | st.text() | st.integers() | st.floats() | st.binary())
def test_whatever_is_wrong_can_be_written_down(location: Location, rule: str, value: Any) -> None:
    """Field, value and rule of any characters, halves of some included, make texts that UTF-8 holds."""
    found = violation(location, rule, value)
    json.dumps([found.pointer, found.detail], ensure_ascii=False).encode("utf-8")
    assert found.value is not None
    assert len(found.value) <= 60


def test_a_long_name_is_cut_in_the_location() -> None:
    """A key of a megabyte is not sent back: sixty characters tell which one it was."""
    assert violation(("x" * 10**6,), "is not known").pointer == "/" + "x" * 60


def test_an_invalid_spec_says_everything_that_is_wrong() -> None:
    """The error's text has the sentence of each violation, in order."""
    error = InvalidSpec([violation(("a",), "is required"), violation(("b",), "must be 1", 2)])
    assert str(error) == "a is required; b (2) must be 1"


@pytest.mark.parametrize(
    ("name", "known", "rule"),
    [
        ("gama", ["gamma", "step"], "is not a known field; did you mean gamma? (known: gamma, step)"),
        ("GAMMA", ["gamma"], "is not a known field; did you mean gamma? (known: gamma)"),
        ("max", ["T_max", "eta"], "is not a known field; did you mean T_max? (known: T_max, eta)"),
        ("x", ["T_max"], "is not a known field (known: T_max)"),
        ("zzz", ["b", "a"], "is not a known field (known: a, b)"),
        ("zzz", [], "is not a known field: there are none here"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name: str, known: list[str], rule: str) -> None:
    """The rule lists the known names in order, and asks for the one that is alike or has the name in it."""
    assert unknown("field", name, known) == rule


def test_pydantics_errors_become_rules_in_our_words() -> None:
    """Every kind of error that a spec can make of wrong types and bounds is put as what the value must be."""
    document = {
        "target_lr": "x",
        "total_iterations": 1.5,
        "warmup": {"iterations": -1, "shape": "zigzag", "beta2": 1},
        "param_groups": (),
        "layer_decay": {"layers": 251},
        "units": [],
        "recipe": "",
        "label": 7,
        "after_scheduler": {"type": "CyclicLR", "base_lr": (), "max_lr": (-1,), "cycle_momentum": 1},
        "hyperparameters": {"Bad name": {"value": 1.0}, "wd": {"value": True}},
    }
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Spec).validate_python(document)
    found = from_pydantic(refused.value.errors(), tags={*UNION_TAGS, "CyclicLR"})
    assert {each.pointer: each.rule for each in found} == {
        "/target_lr": "must be a number",
        "/total_iterations": "must be a whole number",
        "/warmup/iterations": "must be ≥ 0",
        "/warmup/shape": (
            "must be one of 'linear', 'power', 'cosine', 'exponential', 'log', '1-sqrt', 'constant', 'radam', "
            "'untuned_linear' or 'untuned_exponential'"
        ),
        "/warmup/beta2": "must be < 1.0",
        "/param_groups": "must have at least 1 item(s)",
        "/layer_decay/layers": "must be ≤ 250",
        "/layer_decay/factor": "is required",
        "/units": "must be an object",
        "/recipe": "must have at least 1 character(s)",
        "/label": "must be a string",
        "/after_scheduler/base_lr": "must have at least 1 item(s)",
        "/after_scheduler/max_lr/0": "must be ≥ 0.0",
        "/after_scheduler/cycle_momentum": "must be true or false",
        "/hyperparameters/Bad name": "must match ^[a-z][a-z0-9_]*$",
        "/hyperparameters/wd/value": "must be a number",
    }


def test_a_list_is_not_called_too_short_for_the_entries_that_were_refused() -> None:
    """One wrong entry is one violation: pydantic does not count it, and calls the list too short as well."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Spec).validate_python({"target_lr": 1, "total_iterations": 5, "param_groups": (3,)})
    assert [each.pointer for each in from_pydantic(refused.value.errors())] == ["/param_groups/0"]


@pytest.mark.parametrize("content", [{"[key]": 1}, {"warmup": {"[key]": 1}}, {"hyperparameters": {"[key]": 1}}])
def test_a_key_may_have_any_name(content: dict[str, Any]) -> None:
    """The pointer leads to the key that the user wrote, one that is named as pydantic names its own steps too."""
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(Spec).validate_python({"target_lr": 1, "total_iterations": 5, **content})
    assert all(resolved(content, each.pointer) is not None for each in from_pydantic(refused.value.errors()))
