"""Parsing: every JSON or YAML body gives a spec, or a refusal that names what is wrong and can be written as JSON."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from after_schedulers import COMPOSITIONS, EXAMPLES, SHAPES
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, Spec, parse_spec, spec_of
from preheat.specs.parse import content_of_file
from support.specs import content


def answer(parse: Callable[[], Spec]) -> Spec | list[tuple[str, str]]:
    """The spec, or pointer and detail of what is refused, once they have been written as JSON in UTF-8."""
    try:
        return parse()
    except InvalidSpec as error:
        found = [(violation.pointer, violation.detail) for violation in error.violations]
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode("utf-8")
        assert found
        assert len(str(found)) < 100_000
        return found


def refusal(text: str | bytes) -> list[tuple[str, str]]:
    """Pointer and detail of everything that is refused in a JSON text."""
    found = answer(lambda: parse_spec(text))
    assert isinstance(found, list)
    return found


def document(target_lr: str = "0.1", total_iterations: str = "60", more: str = "") -> str:
    """A JSON text whose values are as they are written."""
    return f'{{"target_lr": {target_lr}, "total_iterations": {total_iterations}{more}}}'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        (document() + "x", "Extra data"),
        (document("01"), "Expecting ',' delimiter"),
        (document(".1"), "Expecting value"),
        (document("1."), "Expecting ',' delimiter"),
        (document(more=', "label": "a\tb"'), "Invalid control character"),
        (document(more=', "label": "\\x"'), "Invalid \\escape"),
        ("{'target_lr': 1}", "Expecting property name"),
        (b'\xff{"target_lr": 1}', "can't decode byte 0xff"),
        (document().encode("utf-16"), "can't decode byte 0xff"),
        ("\ufeff" + document(), "Unexpected UTF-8 BOM"),
        (b"\xef\xbb\xbf" + document().encode(), "Unexpected UTF-8 BOM"),
    ],
)
def test_what_is_no_json_is_refused_as_a_whole(text: str | bytes, reason: str) -> None:
    """A text that is not JSON, or not UTF-8, is refused with where and why; no part of it is read."""
    [(pointer, detail)] = refusal(text)
    assert pointer == ""
    assert detail.startswith("the document is not valid JSON: ")
    assert reason in detail


@pytest.mark.parametrize("opening", ["[", '{"a":', '{"after_scheduler":{"schedulers":['])
@pytest.mark.parametrize("depth", [5_000, 100_000])
def test_deep_nesting_is_refused(opening: str, depth: int) -> None:
    """However deep lists and objects are nested, the answer is one refusal, whole or cut off."""
    closing = "".join({"[": "]", "{": "}"}[each] for each in reversed(opening) if each in "[{")
    for text in (opening * depth, opening * depth + "1" + closing * depth):
        assert refusal(text) == [("", "the document is nested too deeply")]


def test_what_is_nested_below_the_parsers_own_bound_is_refused_too() -> None:
    """Nesting that JSON's parser can take but the spec's cannot is a refusal like any other."""
    for depth in (30, 100, 300, 700):
        nested = '{"type":"ChainedScheduler","schedulers":[' * depth + '{"type":"ConstantLR"}' + "]}" * depth
        assert refusal(document(more=f', "after_scheduler": {nested}'))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"target_lr": 1, "target_lr": 1, "total_iterations": 5}', '"target_lr"'),
        (document(more=', "warmup": {"iterations": 5, "iterations": 5}'), '"iterations"'),
        (document(more=', "x": [{"\\u0061": 1, "a": 2}]'), '"a"'),
        (document(more=', "x": {"\\ud800": 1, "\\ud800": 2}'), '"\\ud800"'),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: str, key: str) -> None:
    """A repeated key has two meanings, in any object of the document and however it is escaped."""
    assert refusal(text) == [("", f"the document has the key {key} more than once in one object")]


@pytest.mark.parametrize(
    ("number", "target_rule", "total_rule"),
    [
        ("NaN", "must be a finite number", "must be a whole number"),
        ("Infinity", "must be a finite number", "must be a whole number"),
        ("-Infinity", "must be a finite number", "must be a whole number"),
        ("1e999", "must be a finite number", "must be a whole number"),
        ("1" + "0" * 400, "must be a finite number", "must be ≤ 9007199254740992"),
        ("-1" + "0" * 400, "must be a finite number", "must be ≥ 1"),
        ("1e308", "must be ≤ 1000000", "must be ≤ 9007199254740992"),
        ("true", "must be a number", "must be a whole number"),
        ("null", "must be a number", "must be a whole number"),
        ('"5"', "must be a number", "must be a whole number"),
        ("[5]", "must be a number", "must be a whole number"),
        ("5.5", None, "must be a whole number"),
        ("0.1", None, 'a share of the run is written "10%"'),
    ],
)
def test_numbers_are_refused_by_field_and_rule(number: str, target_rule: str | None, total_rule: str) -> None:
    """Values that are not finite, huge, or of another type are refused where an LR and where a count is wanted."""
    if target_rule is not None:
        [(pointer, detail)] = refusal(document(target_lr=number))
        assert (pointer, target_rule in detail) == ("/target_lr", True), detail
    [(pointer, detail)] = refusal(document(total_iterations=number))
    assert (pointer, total_rule in detail) == ("/total_iterations", True), detail


@pytest.mark.parametrize("number", ["1000", "1000.0", "1e3", "1E+3", "10000e-1"])
def test_a_whole_number_may_be_written_as_a_float(number: str) -> None:
    """A count is the number that it is, however JSON writes it: the schedule is the same, in every field of a count."""

    def with_counts(count: str) -> Spec:
        after = f'{{"type": "NoamLR", "d_model": {count}, "warmup_iterations": {count}}}'
        return parse_spec(document(total_iterations=count, more=f', "warmup": {count}, "after_scheduler": {after}'))

    assert with_counts(number).total_iterations == 1000
    assert Schedule(with_counts(number)).id == Schedule(with_counts("1000")).id


def test_an_integer_of_thousands_of_digits_is_refused() -> None:
    """Python's own bound on the digits of an integer is a refusal too, and no error of another kind."""
    assert "not valid JSON" in refusal(document(total_iterations="1" + "0" * 5000))[0][1]


def test_the_largest_whole_number_is_taken() -> None:
    """Numbers up to 2⁵³ are kept to the last digit, and one more is refused."""
    assert parse_spec(document(total_iterations=str(2**53))).total_iterations == 2**53
    assert refusal(document(total_iterations=str(2**53 + 1)))[0][0] == "/total_iterations"


def test_a_whole_number_may_stand_for_a_float_and_not_the_other_way() -> None:
    """1 is an LR of 1.0; -0.0 is 0.0; true is no number."""
    assert repr(parse_spec(document("1")).target_lr) == "1.0"
    assert repr(parse_spec(document("-0.0")).target_lr) == "0.0"


@pytest.mark.parametrize(
    "text",
    [
        document(more=', "label": "\\ud83d"'),
        document(more=', "recipe": "\\ud800"'),
        document(more=', "param_groups": [{"name": "\\udfff"}]'),
        document(more=', "warmup": {"shape": "\\ud800"}'),
        document(more=', "warmup": {"iterations": "\\ud800"}'),
        document(more=', "after_scheduler": {"type": "\\ud800"}'),
        document(more=', "after_scheduler": {"type": "ExpressionLR", "expression": "\\ud800"}'),
        document(more=', "hyperparameters": {"\\ud800": {"value": 1}}'),
        document(more=', "\\udfff": 1'),
        document(more=', "units": {"\\ud800": 1}'),
    ],
)
def test_a_lone_surrogate_is_refused(text: str) -> None:
    """Half a character, in a key or in a value, makes a refusal that UTF-8 can hold."""
    assert refusal(text)


def test_a_pair_of_surrogates_is_a_character() -> None:
    """An escaped character outside the basic plane is itself."""
    assert parse_spec(document(more=', "label": "\\ud83d\\ude00"')).label == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("value", "shown"), [([], "[]"), ([1], "[1]"), ({}, "{}"), (5, "5"), (None, "null"), (True, "true")]
)
def test_a_type_that_is_no_name_is_shown_as_json(value: Any, shown: str) -> None:
    """The value in a message is the user's own JSON, of a scheduler's type too."""
    [(pointer, detail)] = refusal(json.dumps(content({"type": value})))
    assert pointer == "/after_scheduler/type"
    assert detail.startswith(f"after_scheduler.type ({shown}) is not a known scheduler")


def test_at_most_a_hundred_violations_are_told() -> None:
    """Of a document that breaks more rules than anybody reads, a hundred are told and the rest is counted."""
    text = json.dumps({f"x{index}": 1 for index in range(250)})
    found = refusal(text)
    assert len(found) == 101
    assert found[-1] == ("", "the document breaks 152 rules more")


@pytest.mark.parametrize(
    "value", [None, True, 3, "text", [], [1], {"a": 1}, 1.5, float("nan"), {1: 2}, {None: 3}, b"x", {1, 2}]
)
def test_plain_values_are_parsed_as_json_is(value: Any) -> None:
    """Whatever stands in the place of a spec or of any of its fields, there is an answer."""
    for whole in (value, *({**content(), field: value} for field in Spec.model_fields)):
        answer(lambda whole=whole: spec_of(whole))  # type: ignore[misc]


_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9)
_DOCUMENTS = st.recursive(
    _LEAVES,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=9), children, max_size=4),
)


@settings(max_examples=300)
@given(
    st.text() | st.text('{}[]":,.0123456789eE+-truefalsn\\ud8 \n') | _DOCUMENTS.map(json.dumps) | st.binary().map(bytes)
)
def test_every_text_has_an_answer(text: str | bytes) -> None:
    """Of any characters, any bytes and any JSON there is a spec or a refusal, as JSON and as a file."""
    answer(lambda: parse_spec(text))
    if isinstance(text, str):
        answer(lambda: spec_of(content_of_file(text)))


_BASES = [*EXAMPLES, *SHAPES, *COMPOSITIONS]
_FIELDS: list[dict[str, Any]] = [
    {},
    {"param_groups": [{"name": "a"}, {"name": "b", "factor": 0.5, "warmup": {"iterations": 3}}]},
    {"hyperparameters": {"wd": {"value": 0.1, "after_scheduler": {"type": "CosineLR", "length": "50%"}}}},
    {"units": {"tokens_per_iteration": [{"start": 0, "size": 10, "end_size": 20}, {"start": 100, "size": 20}]}},
    {"layer_decay": {"layers": 3, "factor": 0.5}, "batch_scaling": {"rule": "sqrt", "reference_batch": 1, "batch": 4}},
    {"recipe": "llama-2-7b"},
]
_ODD = (
    _DOCUMENTS
    | st.sampled_from(
        [
            0,
            1,
            -1,
            2**53,
            2**53 + 1,
            10**400,
            1e-31,
            1e6,
            1e300,
            0.5,
            60,
            61,
            "10%",
            "0.001%",
            "3ep",
            "7it",
            "5tok",
            "200%",
        ]
    )
    | st.sampled_from(
        ["CosineLR", "linear", "cosine", {"type": "CosineLR"}, {"type": "PhasesLR", "phases": [{}]}, [0.1, 0.2], [3, 2]]
    )
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to every value below a value."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for key in keys for place in ((*path, key), *places(value[key], (*path, key)))]


@settings(max_examples=400)
@given(data=st.data(), base=st.sampled_from(_BASES), fields=st.sampled_from(_FIELDS))
def test_every_mutated_spec_has_an_answer(data: st.DataObject, base: dict[str, Any], fields: dict[str, Any]) -> None:
    """Whatever is put into the place of a value of a valid spec, the result is its own normal form or is refused."""
    whole = copy.deepcopy(content(base, **fields))
    for _ in range(data.draw(st.integers(1, 3), "mutations")):
        *way, last = data.draw(st.sampled_from(places(whole)), "place")
        holder = whole
        for part in way:
            holder = holder[part]
        holder[last] = copy.deepcopy(data.draw(_ODD, "value"))
    found = answer(lambda: parse_spec(json.dumps(whole)))
    if isinstance(found, Spec):
        assert parse_spec(found.model_dump_json(exclude_none=True)) == found


YAML = """
target_lr: 1e-3
total_iterations: 60
label: 2026-01-31
warmup: &short
  iterations: 10
param_groups:
  - {name: a}
  - {name: b, warmup: *short}
"""


def test_yaml_is_read_with_anchors_and_without_its_surprises() -> None:
    """An anchor stands for what it names, 1e-3 is a number and a date is a text."""
    found = spec_of(content_of_file(YAML))
    assert (found.target_lr, found.label) == (0.001, "2026-01-31")
    assert found.param_groups is not None
    assert found.param_groups[1].warmup == found.warmup


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("target_lr: 1\ntarget_lr: 2\n", "found the key 'target_lr' twice"),
        ("target_lr: [1\n", "is not valid YAML"),
        ("target_lr: !!python/object:os.system 1\n", "is not valid YAML"),
        ("target_lr: *nowhere\n", "is not valid YAML"),
        ("? [a, b]\n: 1\n", "is not valid YAML"),
        ("{a: 1}: 2\n", "is not valid JSON"),
        ("x: &a {y: 1}\n<<: *a\n", "is not valid YAML"),
        ("a: " + "[" * 5000, "is not valid YAML"),
        ("x: \x00", "is not valid YAML"),
        ("just a text\n", "must be an object"),
        ("", "must be an object"),
        ("- 1\n", "must be an object"),
        ("1: 2\n", "must have names as keys"),
        ("null: 2\n", "must have names as keys"),
        ("true: 2\n", "must have names as keys"),
        ("2.5: 2\n", "must have names as keys"),
        ("target_lr: .nan\ntotal_iterations: 5\n", "must be a finite number"),
        ("target_lr: .inf\ntotal_iterations: 5\n", "must be a finite number"),
        ("target_lr: 1\ntotal_iterations: 5\nlabel: !!binary aGk=\n", "must be a string"),
        ("target_lr: 1\ntotal_iterations: 5\nlabel: !!set {a}\n", "must be a string"),
        ("a: &a [*a]\n", "at most 100000 values where its YAML aliases are followed"),
        ("target_lr: 1\ntotal_iterations: 5\nlabel: &a {b: *a}\n", "at most 100000 values"),
    ],
)
def test_yaml_that_is_no_spec_is_refused(text: str, message: str) -> None:
    """Repeated keys, tags of Python, keys that are no names and anchors within themselves are refused."""
    found = answer(lambda: spec_of(content_of_file(text)))
    assert isinstance(found, list)
    assert message in " ".join(detail for _, detail in found)


@pytest.mark.parametrize("kind", [{}, {"type": "CosineLR"}, [], [1], 3, None])
def test_a_type_that_is_no_name_is_refused_beside_a_recipe(kind: Any) -> None:
    """A recipe's own scheduler is laid under the user's by its type, whatever stands there."""
    found = answer(lambda: spec_of({"recipe": "llama-2-7b", "after_scheduler": {"type": kind}}))
    assert isinstance(found, list)
    assert found[0][0].startswith("/after_scheduler")
