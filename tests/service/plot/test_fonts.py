"""Letters: widths as the renderer has them, and names that are cut but still told apart."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties

from preheat.plot.fonts import Kind, cut, cut_middle, drawable, width_em


@pytest.mark.parametrize(
    "text", ["final 0 at 1 000", "CosineAnnealingWarmRestarts", "Ünïcödé", "iiii", "WWWW", "−1.5e-4"]
)
def test_widths_are_those_of_the_renderer(text: str) -> None:
    """But for kerning, which is narrower."""
    renderer: Any = RendererAgg(10, 10, 72)  # type: ignore[no-untyped-call]
    width, _, _ = renderer.get_text_width_height_descent(text, FontProperties(size=1000), ismath=False)
    assert width_em(text) * 1000 == pytest.approx(width, rel=0.03)
    assert width_em(text) * 1000 > 0.98 * width


@given(st.text(min_size=1, max_size=100), st.floats(2.5, 40))
def test_cut_texts_fit(text: str, most_em: float) -> None:
    """Whatever is cut is as wide as asked at most, and what fits stays as it is."""
    for shortened in (cut(text, most_em), cut_middle(text, most_em)):
        assert width_em(shortened) <= most_em + 1e-6
        assert (shortened == text) == (width_em(text) <= most_em + 1e-6) or "…" in text


def test_names_that_differ_at_their_ends_are_told_apart() -> None:
    """Layers mostly do."""
    names = [f"model.encoder.layers.{n}.weight" for n in range(12)]
    assert len({cut_middle(name, 12.0) for name in names}) == 12
    assert len({cut(name, 8.0) for name in names}) == 1


def test_control_characters_are_spaces() -> None:
    """Also reversals of direction, which would turn what comes after, and what XML forbids."""
    kinds: list[Kind] = ["png", "svg"]
    for kind in kinds:
        assert drawable("a\tb\u202ec\ufffed", kind) == ("a b c d", False)
