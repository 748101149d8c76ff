"""Pairwise selection: few rows of a table, found greedily, in which every pair of values occurs that the table has."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

Row = Mapping[str, str]
"""Value of each factor."""


def pairwise(rows: Sequence[Row], apart: Collection[tuple[str, str]] = ()) -> list[int]:
    """Indices of rows that have between them every pair of values of two factors that any row has.

    Factors that are named together in `apart` are not paired.
    """
    pairs = [_pairs(row, apart) for row in rows]
    missing = set().union(*pairs)
    chosen = []
    while missing:
        best = max(range(len(rows)), key=lambda index: len(pairs[index] & missing))
        chosen.append(best)
        missing -= pairs[best]
    return sorted(chosen)


def _pairs(row: Row, apart: Collection[tuple[str, str]]) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    return {
        ((one, row[one]), (other, row[other]))
        for one, other in combinations(sorted(row), 2)
        if not {(one, other), (other, one)} & set(apart)
    }
