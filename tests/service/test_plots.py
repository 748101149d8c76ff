"""Pictures, looked at through their pixels and their SVG text."""

import io
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from after_schedulers import EXAMPLES, example_id
from preheat.budget import Deadline
from preheat.curve import Curve
from preheat.errors import IterationOutOfRange
from preheat.plot.contents import render
from preheat.plot.options import PlotOptions
from preheat.schedule import Schedule

SVG = "svg"
LINE = np.array([0x00, 0x72, 0xB2]) / 255


def curve(total: int = 20, warmup: int = 10, after: dict[str, Any] | None = None, **fields: Any) -> Curve:
    """The curve of a spec."""
    spec = {"target_lr": 0.01, "total_iterations": total, "warmup": {"iterations": warmup}, **fields}
    return Curve(Schedule.of(spec | ({"after_scheduler": after} if after else {})))


def texts(svg: bytes) -> list[str]:
    """What is written in an SVG."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())


def pixels(png: bytes) -> Any:
    """Height × width × RGB of a PNG, 0 … 1."""
    return imread(io.BytesIO(png), format="png")[:, :, :3]


def line_extent(png: bytes) -> tuple[Any, Any]:
    """Highest and lowest row in which each column has the line's colour; columns without it are left out."""
    on_line = np.abs(pixels(png) - LINE).max(axis=2) < 0.1
    columns = np.flatnonzero(on_line.any(axis=0))
    tops = on_line.argmax(axis=0)[columns]
    bottoms = on_line.shape[0] - 1 - on_line[::-1].argmax(axis=0)[columns]
    return tops, bottoms


def test_title_phases_peak_and_end_are_written() -> None:
    """From the spec where there is no label."""
    svg = texts(render([curve(after={"type": "CosineAnnealingLR"})], PlotOptions(), SVG))
    for text in (
        "target LR 0.01: warm-up 10, CosineAnnealingLR, 20 iterations",
        "warm-up",
        "CosineAnnealingLR",
        "peak 0.01 at 10",
        "final 0 at 20",
        "iteration",
        "learning rate",
    ):
        assert text in svg


def test_the_current_iteration_is_marked_with_its_lr() -> None:
    """`at` writes the LR of every group."""
    groups = [{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]
    written = texts(render([curve(param_groups=groups)], PlotOptions(at=5), SVG))
    assert {"0.005 at 5", "0.0005 at 5", "backbone", "head"} <= set(written)


@pytest.mark.parametrize(
    "label", ["a $x^2$ label", "_underscore", "<b>&amp;", "tab\tand\nline", "日本 🚀", "x" * 200, "%"]
)
def test_any_label_can_be_drawn(label: str) -> None:
    """No label is taken for markup, and none breaks the picture."""
    labelled = curve(label=label, param_groups=[{"name": label[:100]}, {"name": "other"}])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render([labelled], PlotOptions()).startswith(b"\x89PNG")
        assert render([labelled, curve()], PlotOptions(), SVG).startswith(b"<?xml")


@pytest.mark.parametrize("after", [None, *EXAMPLES], ids=lambda spec: example_id(spec) if spec else "none")
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_every_type_can_be_drawn(after: dict[str, Any] | None, scale: Any) -> None:
    """On both axes, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert render([curve(60, 10, after)], PlotOptions(scale=scale)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "drawn",
    [curve(1, 0), curve(1, 1), curve(3, 0, target_lr=0.0), curve(10**12, 10**6, {"type": "CosineAnnealingLR"})],
    ids=["one iteration", "one warm-up", "all zero", "a trillion"],
)
@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("size", [(200, 150), (480, 300), (1600, 900)])
def test_extremes_can_be_drawn(drawn: Curve, scale: Any, size: tuple[int, int]) -> None:
    """Short, flat, empty of positive values, endless; small and large; without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = render([drawn], PlotOptions(width_px=size[0], height_px=size[1], scale=scale))
    assert pixels(picture).shape[:2] == size[::-1]


def test_the_same_arguments_give_the_same_bytes() -> None:
    """PNG and SVG, one after another and on several threads at once."""
    drawn = curve(500, 50, {"type": "CosineAnnealingLR"})
    for kind in ("png", SVG):
        with ThreadPoolExecutor(4) as pool:
            pictures = set(pool.map(lambda _, kind=kind: render([drawn], PlotOptions(), kind), range(8)))
        assert len(pictures) == 1


def test_a_single_spike_in_a_million_is_seen() -> None:
    """One iteration at ten times the LR reaches the top of the picture at its place, and nowhere else."""
    turns = [{"type": "ConstantLR", "factor": 0.1, "total_iters": 10**7}] * 3
    turns[1] = {"type": "ConstantLR", "factor": 1.0, "total_iters": 1}
    spike = {"type": "SequentialLR", "schedulers": turns, "milestones": [700_000, 700_001]}
    tops, _ = line_extent(render([curve(10**6, 0, spike)], PlotOptions()))
    high = np.flatnonzero(tops < tops.max() - 100)
    assert 1 <= len(high) <= 4
    assert high.mean() / len(tops) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("total", [10**4, 10**6, 10**9])
def test_teeth_closer_than_pixels_fill_the_picture(total: int) -> None:
    """A saw-tooth of 6 iterations spans from bottom to top in every column, however long the run."""
    saw = {
        "type": "CyclicLR",
        "cycle_momentum": False,
        "base_lr": 0.002,
        "max_lr": 0.01,
        "step_size_up": 3,
        "step_size_down": 3,
    }
    tops, bottoms = line_extent(render([curve(total, 0, saw)], PlotOptions(width_px=480)))
    inner = slice(5, -30)
    assert np.ptp(tops[inner]) <= 30
    assert (bottoms[inner] - tops[inner]).min() > 100


@pytest.mark.parametrize(
    "after",
    [
        {"type": "CosineAnnealingLR"},
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1},
        {"type": "StepLR", "step_size": 9},
    ],
)
def test_a_billion_costs_what_ten_thousand_cost(after: dict[str, Any]) -> None:
    """The parts of the curve that are looked at do not grow with the run."""
    looks = {}
    for total in (10**4, 10**9):
        ticks = count(0.0)
        render([curve(total, 100, after)], PlotOptions(), deadline=Deadline(float("inf"), clock=ticks.__next__))
        looks[total] = next(ticks)
    assert looks[10**9] < 2 * looks[10**4]


def test_dark_is_dark() -> None:
    """The corner has the theme's background."""
    assert pixels(render([curve()], PlotOptions(theme="dark")))[0, 0].max() < 0.2
    assert pixels(render([curve()], PlotOptions()))[0, 0].min() == 1.0


def test_many_param_groups_say_how_many_are_not_drawn() -> None:
    """Twenty lines are drawn, the legend counts the rest."""
    groups = [{"target_lr": 0.001 * n} for n in range(1, 31)]
    written = texts(render([curve(param_groups=groups)], PlotOptions(), SVG))
    assert "group_19 (… 10 more not drawn)" in written


@pytest.mark.parametrize(
    "options", [PlotOptions(at=21), PlotOptions(start=21), PlotOptions(stop=22), PlotOptions(start=3, stop=3)]
)
def test_outside_the_run_is_refused(options: PlotOptions) -> None:
    """With the valid range."""
    with pytest.raises(IterationOutOfRange):
        render([curve()], options)
