"""The README: every block runs as it is written, every link leads somewhere, the pictures are what the code draws."""

import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import pictures
from markdown_blocks import ROOT, PageRunner, StoppableService, blocks_of, matches

README = ROOT / "README.md"


def test_every_block_does_what_it_shows(tmp_path: Path) -> None:
    """In an empty folder, beside a service that is stopped where the README says so."""
    folder = tmp_path / "reader"
    folder.mkdir()
    with StoppableService(tmp_path / "preheat.db") as service:
        PageRunner(folder, service.url, service.keep).run(blocks_of(README))


def test_the_training_loop_shows_the_recipes_lrs() -> None:
    """Warm-up over 1 % of 2,000 iterations to 6e-4, then a cosine to a tenth of it; by the formula in plain math."""
    shown = re.findall(r"^(\d+) (\S+)$", README.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(n) for n, _ in shown[:4]] == [500, 1000, 1500, 2000]
    for n, lr in shown:
        expected = 6e-4 * (0.1 + 0.9 * (1 + math.cos(math.pi * (int(n) - 20) / 1980)) / 2)
        assert math.isclose(float(lr), expected, rel_tol=1e-15)


def test_it_has_at_most_200_lines() -> None:
    """A reader has five minutes; the rest is in docs/."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


def test_every_relative_link_leads_to_a_file() -> None:
    """Links to pages, pictures and files of the repository."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README.read_text(encoding="utf-8"))
    assert len(targets) > 10
    assert [target for target in targets if not (ROOT / target).is_file()] == []


@pytest.mark.parametrize("name", pictures.README)
def test_its_pictures_are_what_the_code_draws(name: str) -> None:
    """Pixel by pixel, except for what another version of matplotlib does at the edges of letters."""
    assert looks_like(imread(io.BytesIO(pictures.draw(name))), name)


def looks_like(drawn: np.ndarray, name: str) -> bool:
    """Whether a picture is the README's: at most one pixel in 500 differs visibly."""
    committed = imread(ROOT / f".readme/{name}.png")
    if drawn.shape != committed.shape:
        return False
    return bool((np.abs(drawn - committed).max(axis=2) > 0.25).mean() <= 1 / 500)


@pytest.mark.parametrize(
    ("expected", "printed", "is_match"),
    [
        ("a\n", "a\n", True),
        ("a\n", "b\n", False),
        ("a\n", "a\nb\n", False),
        ("…\nb\n", "a\na\nb\n", True),
        ("…\nb\n", "b\n", True),
        ("x … z\n", "x y z\n", True),
        ("x … z\n", "x y\nz\n", False),
        ("1.5\n", "105\n", False),
    ],
)
def test_what_is_shown_is_compared_in_full(expected: str, printed: str, *, is_match: bool) -> None:
    """Only … stands for something else."""
    assert matches(expected, printed) == is_match
