"""Drawing: sizes, axes, themes, marks and texts, read from the pixels and the SVG."""

import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from xml.parsers import expat

import numpy as np
import pytest
from pydantic import ValidationError

from after_schedulers import EXAMPLES, example_id
from preheat.curve import Curve
from preheat.plot.drawing import compose
from preheat.plot.options import PlotOptions
from preheat.plot.render import content_of, render
from preheat.plot.scene import Area
from preheat.plot.themes import THEMES, blend
from support.pictures import FIRST_LINE, SECOND_LINE, dashed_lines, has_colour, line_extent, pixels, points, texts
from support.specs import curve

COSINE = {"type": "CosineAnnealingLR"}


@pytest.mark.parametrize(
    "label",
    ["a $x^2$ label", "_underscore", "<b>&amp;", "tab\tand\nline", "日本 🚀", "x" * 200, "%", "\ufffe\u202e\ue000"],
)
def test_any_label_can_be_drawn(label: str) -> None:
    """No label is taken for markup, and none breaks the picture."""
    labelled = curve(label=label, param_groups=[{"name": label[:100]}, {"name": "other"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render([labelled], PlotOptions()).startswith(b"\x89PNG")
        svg = render([labelled, curve()], PlotOptions(), "svg")
    assert expat.ParserCreate().Parse(svg, True) == 1


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
@pytest.mark.parametrize("size", [(320, 200), (480, 300), (1600, 900)])
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
        scale: np.diff(points(render([drawn], PlotOptions(scale=scale), "svg"), FIRST_LINE)[:, 1])
        for scale in ("linear", "log")
    }
    assert np.ptp(steps["log"]) < 0.01
    assert steps["linear"][0] / steps["linear"][-1] == pytest.approx(0.9**-39, rel=0.01)


def test_zeros_lie_on_the_bottom_line_of_a_logarithmic_axis() -> None:
    """The LR is 0 at the start and at the end: both points are at the tick "0", below all others."""
    svg = render([curve(after_scheduler=COSINE)], PlotOptions(scale="log"), "svg")
    ys = points(svg, FIRST_LINE)[:, 1]
    assert len(ys) == 21
    assert ys[0] == ys[20] == ys.max()
    assert ys[1:20].max() < ys[0] - 10
    zero = re.search(r'translate\([\d.]+ ([\d.]+)\)">0</text>', svg.decode())
    assert zero is not None
    assert float(zero[1]) == pytest.approx(ys[0], abs=5)
    assert {"1e-3", "1e-2", "final 0 at 20"} <= set(texts(svg))


def test_a_logarithmic_axis_without_zeros_has_no_zero() -> None:
    """Nor a break."""
    exponential = curve(total_iterations=40, warmup=None, after_scheduler={"type": "ExponentialLR", "gamma": 0.9})
    assert texts(render([exponential], PlotOptions(scale="log"), "svg")).count("0") == 1  # of the iterations


def test_a_dashed_line_goes_through_the_current_iteration() -> None:
    """`at` draws it from bottom to top, where the line has that iteration; without `at` there is none."""
    svg = render([curve(after_scheduler=COSINE)], PlotOptions(at=12), "svg")
    (dashes,) = dashed_lines(svg)
    assert dashes[:, 0] == pytest.approx(points(svg, FIRST_LINE)[12, 0], abs=0.01)
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
            text for text in texts(render([curve(label="x" * 200)], PlotOptions(width_px=width), "svg")) if "xx" in text
        )
        for width in (320, 960)
    }
    assert all(title == "x" * (len(title) - 1) + "…" for title in titles.values())
    assert 10 < len(titles[320]) < len(titles[960]) / 1.5


def test_all_groups_are_drawn_with_a_colour_bar() -> None:
    """Thirty groups have thirty lines in thirty colours, and names along a bar from the first to the last."""
    groups = [{"target_lr": 0.001 * n} for n in range(1, 31)]
    options = PlotOptions(height_px=800)
    scene = compose(content_of([curve(param_groups=groups)], options), options, "png")
    colours = {stroke.colour for stroke in scene.strokes if len(stroke.xs) > 10}
    assert len(colours) == 30
    bar = {area.colour for area in scene.items if isinstance(area, Area)}
    assert colours <= bar
    assert {"group_0", "group_29"} <= {text.text for text in scene.texts}


def test_lines_that_run_over_each_other_are_both_seen() -> None:
    """Two groups with the same LRs: the first is wider, so that its colour is on both sides of the second's."""
    groups = [{"name": "decay"}, {"name": "no_decay"}]
    picture = render([curve(param_groups=groups, after_scheduler=COSINE)], PlotOptions())
    assert min(has_colour(picture, colour).sum() for colour in (FIRST_LINE, SECOND_LINE)) > 500


def test_a_strip_of_phases_has_the_colour_of_its_own_schedule() -> None:
    """Also where the name of one schedule begins with all of another's."""
    options = PlotOptions()
    curves = [curve(label="run 10", after_scheduler=COSINE), curve(label="run 1", after_scheduler={"type": "CosineLR"})]
    scene = compose(content_of(curves, options), options, "png")
    strips = {area.box.top: area.colour for area in scene.items if isinstance(area, Area)}
    for top, line in zip(sorted(strips), (FIRST_LINE, SECOND_LINE), strict=True):
        assert strips[top] in {blend(line, THEMES["light"].background, share) for share in (0.3, 0.16)}


def test_a_hyperparameter_may_have_the_name_of_the_lrs_own_panel() -> None:
    """Each panel has its own lines, also where two have the same label."""
    options = PlotOptions()
    scene = compose(content_of([curve(hyperparameters={"learning_rate": 3.0})], options), options, "png")
    lr, constant = (stroke for stroke in scene.strokes if len(stroke.xs) == 21)
    assert np.ptp(lr.ys) > 100
    assert np.ptp(constant.ys) == 0


def test_an_svg_has_every_letter_and_families_that_may_have_it() -> None:
    """Letters that are on no machine of ours may be on the reader's."""
    svg = render([curve(label="学習率 🚀")], PlotOptions(), "svg").decode()
    assert ">学習率 🚀</text>" in svg
    assert "'Noto Sans CJK SC'" in svg
    assert "sans-serif" in svg


def test_a_png_says_which_letters_are_missing() -> None:
    """No boxes: an ellipsis in their place, a note, and names that are still told apart."""
    options = PlotOptions()
    lacking = "\U0001f680\U0001f6f8"  # a rocket and a saucer, which come as coloured images alone
    groups = [{"name": lacking[0]}, {"name": lacking[1], "factor": 0.5}]
    scene = compose(content_of([curve(label=f"to {lacking}", param_groups=groups)], options), options, "png")
    written = [text.text for text in scene.texts]
    assert {"to …", "… (1)", "… (2)"} <= set(written)
    assert any("letters that no font of the service has" in text for text in written)


@pytest.mark.parametrize("size", [{"width_px": 319}, {"height_px": 199}])
def test_pictures_too_small_to_be_read_are_refused(size: dict[str, int]) -> None:
    """320 × 200 is the least."""
    with pytest.raises(ValidationError, match="greater than or equal"):
        PlotOptions(**size)
