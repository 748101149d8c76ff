"""Which scenarios are tests: few, and between them every pair of what may go wrong, where, when, and with what."""

from itertools import combinations, product

import pytest

from faults.pairwise import pairwise
from faults.scenarios import PAIRS, SCENARIOS

FULL = [dict(zip("abc", values, strict=True)) for values in product(("1", "2", "3"), ("4", "5", "6"), ("7", "8"))]


def pairs_of(rows: list[dict[str, str]]) -> set[tuple[str, ...]]:
    """Every two values that occur in one row."""
    return {pair for row in rows for pair in combinations(sorted(row.values()), 2)}


def test_every_pair_of_a_product_is_selected_in_few_rows() -> None:
    """Three factors of 3, 3 and 2 values need no fewer than 9 rows, and are given no more than 11 of their 18."""
    chosen = [FULL[index] for index in pairwise(FULL)]
    assert pairs_of(chosen) == {
        tuple(sorted(pair)) for one, other in combinations(("123", "456", "78"), 2) for pair in product(one, other)
    }
    assert 9 <= len(chosen) <= 11


def test_only_pairs_that_a_row_has_are_asked_for() -> None:
    """What cannot occur together does not, and factors that are kept apart need not meet."""
    rows = [row for row in FULL if (row["a"], row["b"]) != ("1", "4")]
    assert pairs_of([rows[index] for index in pairwise(rows)]) == pairs_of(rows)
    assert len(pairwise(FULL, [("a", "b"), ("b", "c"), ("a", "c")])) == 0
    assert len(pairwise(FULL, [("a", "b")])) == 6


@pytest.mark.parametrize("factor", ["kind", "place", "when", "lasts", "stock", "family", "trick", "moment"])
def test_every_value_of_a_factor_is_tested(factor: str) -> None:
    """Each fault, place, time and answer that `make soak` draws from is in a test."""
    everything = {scenario.factors.get(factor) for scenario in SCENARIOS.values()}
    assert {SCENARIOS[name].factors.get(factor) for name in PAIRS} == everything


@pytest.mark.parametrize("factors", [("kind", "when"), ("kind", "stock"), ("place", "stock"), ("family", "moment")])
def test_two_factors_meet_in_the_tests_wherever_they_can(factors: tuple[str, str]) -> None:
    """Each kind of fault at each time and with each stock, each family of answers at each moment."""

    def met(names: list[str]) -> set[tuple[str | None, ...]]:
        return {tuple(SCENARIOS[name].factors.get(factor) for factor in factors) for name in names}

    assert met(PAIRS) == met(list(SCENARIOS))
