"""Flags of a run's picture: which changes have one text together, and what it says; by hand from a list of changes."""

from itertools import count, pairwise
from typing import Any

from preheat.plot.run_flags import Flag, flags_of
from preheat.runs.run import Change, Placement, Run

_NUMBERS = count(1)


def change(at: int | None, operation: Any = None, author: str = "ann", why: str = "spike", **fields: Any) -> Change:
    """A change that stands at an iteration."""
    operation = operation or {"op": "scale", "factor": 0.5}
    return Change(f"c{next(_NUMBERS)}", operation, why, author, 0.0, (Placement(2, 1, at, "accepted"),), **fields)


def flags(*changes: Change, window: range = range(1001), apart: float = 10) -> list[Flag]:
    """The flags of a run with these changes."""
    run = Run("r", "llama", "{}", "s", 1000, 0.0, changes=changes)
    return flags_of(run, window, apart)


def test_changes_that_stand_by_themselves_have_a_text_each() -> None:
    """By place, whatever the order in which they were accepted; those out of force or outside have no flag."""
    found = flags(change(300, why="late"), change(100, why="early"), change(None), change(900), window=range(900))
    assert [(flag.place, flag.text, flag.brief, flag.is_small) for flag in found] == [
        (100, "×0.5 ann: early", "×0.5 ann: …", False),
        (300, "×0.5 ann: late", "×0.5 ann: …", False),
    ]
    assert len({flag.crowd for flag in found}) == 2


def test_what_a_program_repeats_has_one_text_and_a_ring_each() -> None:
    """As often as it did the same without anybody in between; what a person repeats has a reason each time."""
    plateau = [change(at, author="plateau", why=f"loss of {at}", is_automated=True) for at in range(0, 1000, 50)]
    found = flags(*plateau)
    assert [flag.place for flag in found] == list(range(0, 1000, 50))
    assert [flag.text for flag in found if flag.text] == ["×0.5 plateau, 20 times: loss of 950"]
    assert not any(flag.is_small for flag in found)
    between = flags(*plateau, change(525, author="bob", why="mine"))
    assert [(flag.place, flag.text) for flag in between if flag.text] == [
        (0, "×0.5 plateau, 11 times: loss of 500"),
        (525, "×0.5 bob: mine"),
        (550, "×0.5 plateau, 9 times: loss of 950"),
    ]
    assert len([flag for flag in flags(*(change(at) for at in range(0, 1000, 50))) if flag.text]) == 20


def test_a_crowd_has_one_text_and_as_many_rings_as_have_room() -> None:
    """At the first of those that are less than a ring apart; each ring says, when pointed at, all that stands there."""
    crowd = [change(100 + n, {"op": "scale", "factor": 0.5 + n}, "abcd"[n % 4], f"why {n}") for n in range(30)]
    found = flags(*crowd, change(200))
    assert [flag.text for flag in found if flag.text] == ["30 changes by a, b, c and 1 more: why 29", "×0.5 ann: spike"]
    assert {flag.crowd for flag in found[:-1]} == {found[0].crowd} != {found[-1].crowd}
    assert [flag.is_small for flag in found] == [True] * (len(found) - 1) + [False]
    assert [each for flag in found[:-1] for each in flag.changes] == crowd
    places = [flag.place for flag in found[:-1]]
    assert all(after - before >= 10 / 3 for before, after in pairwise(places))
    assert found[0].told == (
        "at 100: ×0.5 a: why 0 · at 101: ×1.5 b: why 1 · at 102: ×2.5 c: why 2 · at 103: ×3.5 d: why 3"
    )


def test_two_at_one_iteration_are_one_ring_with_both() -> None:
    """A program and a person, say."""
    (flag,) = flags(change(7), change(7, {"op": "hold", "value": 1e-05}, "bob", "enough"))
    assert (flag.text, flag.is_small) == ("×0.5, hold 1e-5 ann, bob: enough", False)
    assert flag.told == "at 7: ×0.5 ann: spike · at 7: hold 1e-5 bob: enough"


def test_a_text_says_what_is_done_to_what() -> None:
    """Every operation in a few letters, the hyperparameter unless it is the LR; long authors and reasons are cut."""
    for said, operation in (
        ("rewarm 100", {"op": "rewarm", "iterations": 100, "start_factor": 0.1}),
        ("cooldown 12\u202f000", {"op": "cooldown", "iterations": 12_000, "to": 0}),
        ("extend to 2000", {"op": "extend", "total_iterations": 2000, "policy": "keep"}),
        ("hold", {"op": "hold", "value": {"default": 0.1}}),
        ("hold current", {"op": "hold", "value": "current"}),
        ("replace", {"op": "replace", "schedule": {}}),
        ("weight_decay ×0.5", {"op": "scale", "factor": 0.5, "hyperparameter": "weight_decay"}),
    ):
        (flag,) = flags(change(7, operation))
        assert flag.text == f"{said} ann: spike"
    reverted = change(5)
    revert = change(600, {"op": "revert", "change": reverted.id}, "bob")
    assert flags(reverted, revert)[-1].text == "revert ×0.5 bob: spike"
    (flag,) = flags(change(7, author="a" * 100, why="b" * 500))
    assert flag.text == f"×0.5 {'a' * 15}…: {'b' * 33}…"
    assert "b" * 500 in flag.told
