"""Drawing: sizes, axes, themes, marks and texts, read from the pixels and the SVG."""

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from after_schedulers import EXAMPLES, example_id
from preheat.curve import Curve
from preheat.plot.contents import render
from preheat.plot.options import PlotOptions
from support.pictures import FIRST_LINE, dashed_lines, line_extent, pixels, points, texts
from support.specs import curve

COSINE = {"type": "CosineAnnealingLR"}


@pytest.mark.parametrize(
    "label", ["a $x^2$ label", "_underscore", "<b>&amp;", "tab\tand\nline", "日本 🚀", "x" * 200, "%"]
)
def test_any_label_can_be_drawn(label: str) -> None:
    """No label is taken for markup, and none breaks the picture."""
    labelled = curve(label=label, param_groups=[{"name": label[:100]}, {"name": "other"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render([labelled], PlotOptions()).startswith(b"\x89PNG")
        assert render([labelled, curve()], PlotOptions(), "svg").startswith(b"<?xml")


@pytest.mark.parametrize("after", [None, *EXAMPLES], ids=lambda spec: example_id(spec) if spec else "none")
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_type_can_be_drawn(after: dict[str, Any] | None, scale: Any) -> None:
    """Every scheduler is drawn on both axes without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = render([curve(total_iterations=60, after_scheduler=after)], PlotOptions(scale=scale))
    assert len(line_extent(picture)[0]) > 100


@pytest.mark.parametrize(
    "drawn",
    [
        curve(total_iterations=1, warmup=None),
        curve(total_iterations=1, warmup={"iterations": 1}),
        curve(total_iterations=3, warmup=None, target_lr=0.0),
        curve(total_iterations=10**12, warmup={"iterations": 10**6}, after_scheduler=COSINE),
    ],
    ids=["one iteration", "one warm-up", "all zero", "a trillion"],
)
@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("size", [(200, 150), (480, 300), (1600, 900)])
def test_extremes_can_be_drawn(drawn: Curve, scale: Any, size: tuple[int, int]) -> None:
    """Runs of one iteration and of a trillion, and without a positive LR, have the size asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = render([drawn], PlotOptions(width_px=size[0], height_px=size[1], scale=scale))
    assert pixels(picture).shape[:2] == size[::-1]


def test_the_same_arguments_give_the_same_bytes() -> None:
    """PNG and SVG do not differ from one thread to another."""
    drawn = curve(total_iterations=500, warmup={"iterations": 50}, after_scheduler=COSINE)
    for kind in ("png", "svg"):
        with ThreadPoolExecutor(4) as pool:
            pictures = set(pool.map(lambda _, kind=kind: render([drawn], PlotOptions(), kind), range(8)))
        assert len(pictures) == 1


def test_an_exponential_is_straight_on_a_logarithmic_axis() -> None:
    """scale=log draws equal ratios at equal distances, and scale=linear does not."""
    drawn = curve(total_iterations=40, warmup=None, after_scheduler={"type": "ExponentialLR", "gamma": 0.9})
    steps = {
        scale: np.diff(points(render([drawn], PlotOptions(scale=scale), "svg"), FIRST_LINE)[::2, 1])
        for scale in ("linear", "log")
    }
    assert np.ptp(steps["log"]) < 0.01
    assert steps["linear"][0] / steps["linear"][-1] == pytest.approx(0.9**-39, rel=0.01)


def test_what_is_not_positive_is_left_out_of_a_logarithmic_axis() -> None:
    """The first LR of a warm-up is 0: it has neither a point nor a mark."""
    linear, log = (render([curve()], PlotOptions(scale=scale, at=0), "svg") for scale in ("linear", "log"))
    assert "0 at 0" in texts(linear)
    assert "0 at 0" not in texts(log)
    assert len(points(log, FIRST_LINE)) == len(points(linear, FIRST_LINE)) - 2


def test_a_dashed_line_goes_through_the_current_iteration() -> None:
    """`at` draws it from bottom to top, where the line has that iteration; without `at` there is none."""
    svg = render([curve(after_scheduler=COSINE)], PlotOptions(at=12), "svg")
    (dashes,) = dashed_lines(svg)
    assert dashes[:, 0] == pytest.approx(points(svg, FIRST_LINE)[2 * 12, 0], abs=0.01)
    assert "0.00904508 at 12" in texts(svg)
    assert dashed_lines(render([curve()], PlotOptions(), "svg")) == []


def test_the_dark_theme_is_dark() -> None:
    """The corner of the picture has the theme's background."""
    assert pixels(render([curve()], PlotOptions(theme="dark")))[0, 0].max() < 0.2
    assert pixels(render([curve()], PlotOptions()))[0, 0].min() == 1.0


def test_a_title_is_shortened_to_the_width_of_the_picture() -> None:
    """A long label ends in an ellipsis, and has more letters in a wider picture."""
    titles = {
        width: next(
            text for text in texts(render([curve(label="x" * 200)], PlotOptions(width_px=width), "svg")) if "x" in text
        )
        for width in (200, 960)
    }
    assert all(title == "x" * (len(title) - 1) + "…" for title in titles.values())
    assert 10 < len(titles[200]) < len(titles[960]) / 2


def test_a_legend_says_how_many_groups_are_not_drawn() -> None:
    """Twenty lines are drawn, and the last of their names counts the rest."""
    groups = [{"target_lr": 0.001 * n} for n in range(1, 31)]
    written = texts(render([curve(param_groups=groups)], PlotOptions(), "svg"))
    assert "group_19 (… 10 more not drawn)" in written
    assert "group_20" not in written
