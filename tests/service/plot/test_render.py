"""Rendered pictures: titles, marks, lines and differences, read from the SVG and the PNG."""

from itertools import count
from typing import Any

import numpy as np
import pytest

from preheat.budget import Deadline
from preheat.errors import IterationOutOfRange
from preheat.plot.options import PlotOptions
from preheat.plot.render import render, render_difference
from reference import REFERENCE_ROWS
from support.pictures import FIRST_LINE, SECOND_LINE, TEXT, line_extent, points, texts
from support.specs import curve

COSINE = {"type": "CosineAnnealingLR"}
LRS = [0.0, *map(float, REFERENCE_ROWS)]


def distance(drawn: Any, values: list[float]) -> float:
    """How far coordinates are from where a linear axis has these values, rising with them."""
    slope, offset = np.polyfit(values, drawn, 1)
    assert slope > 0
    return float(np.abs(slope * np.array(values) + offset - drawn).max())


def test_title_phases_peak_and_end_are_written() -> None:
    """Where there is no label the title is made of the spec."""
    svg = texts(render([curve(after_scheduler=COSINE)], PlotOptions(), "svg"))
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


def test_iterations_are_counted_in_words_from_ten_million_on() -> None:
    """Thousands are written out, millions and more by their letter."""
    for total, text in ((9_999_999, "9\u202f999\u202f999"), (10**7, "10M"), (25 * 10**8, "2.5G"), (10**12, "1T")):
        assert f"target LR 0.01: constant, {text} iterations" in texts(
            render([curve(total_iterations=total, warmup=None)], PlotOptions(), "svg")
        )


def test_the_current_iteration_is_marked_with_the_lr_of_every_group() -> None:
    """`at` writes what each param group has there."""
    groups = [{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]
    written = texts(render([curve(param_groups=groups)], PlotOptions(at=5), "svg"))
    assert {"0.005 at 5", "0.0005 at 5", "backbone", "head"} <= set(written)


def test_the_points_of_a_line_are_the_reference_table() -> None:
    """Every iteration is drawn at even distances, as high as its LR."""
    line = points(render([curve(after_scheduler=COSINE)], PlotOptions(), "svg"), FIRST_LINE)
    assert len(line) == 21
    assert distance(line[:, 0], list(range(21))) < 0.01
    assert distance(-line[:, 1], LRS) < 0.01


def test_a_window_shows_its_iterations_alone() -> None:
    """Nothing before `start` or from `stop` on is drawn, and the peak is that of the window."""
    svg = render([curve(after_scheduler=COSINE)], PlotOptions(start=3, stop=9), "svg")
    line = points(svg, FIRST_LINE)
    assert len(line) == 6
    assert distance(-line[:, 1], LRS[3:9]) < 0.01
    assert "peak 0.008 at 8" in texts(svg)


def test_curves_are_compared_in_the_same_axes() -> None:
    """A second curve is drawn on the scale of the first, as long as it is, under its own name."""
    other = curve(target_lr=0.005, total_iterations=40, label="the other one")
    svg = render([curve(after_scheduler=COSINE), other], PlotOptions(), "svg")
    first, second = points(svg, FIRST_LINE), points(svg, SECOND_LINE)
    assert (len(first), len(second)) == (21, 41)
    heights = [*LRS, *(min(n, 10) * 0.0005 for n in range(41))]
    assert distance(-np.concatenate([first[:, 1], second[:, 1]]), heights) < 0.01
    assert "the other one" in texts(svg)


def test_every_schedule_of_a_comparison_is_marked() -> None:
    """Title, phases, peaks and ends are those of each schedule, and what all have in common is written once."""
    other = curve(target_lr=0.005, total_iterations=40, after_scheduler={"type": "WSDLR"}, label="the other one")
    written = texts(render([curve(after_scheduler=COSINE, label="this one"), other], PlotOptions(), "svg"))
    assert "this one and the other one" in written
    assert written.count("warm-up") == 2
    assert {"CosineAnnealingLR", "stable", "linear decay"} <= set(written)
    assert {"peak 0.01 at 10", "final 0 at 20", "peak 0.005 at 10", "final 0 at 40"} <= set(written)


def test_a_title_names_three_schedules_at_most() -> None:
    """The legend has the others."""
    curves = [curve(target_lr=0.01 * n, label=f"number {n}") for n in range(1, 6)]
    for shown, title in (
        (curves[:3], "number 1, number 2 and number 3"),
        (curves, "number 1, number 2 and 3 more"),
    ):
        assert title in texts(render(shown, PlotOptions(), "svg"))


def test_schedules_of_the_same_label_are_told_apart_by_their_ids() -> None:
    """Title and legend have label and id."""
    curves = [curve(target_lr=lr, label="same") for lr in (0.01, 0.02)]
    names = [f"same ({each.schedule.id[:8]})" for each in curves]
    assert {" and ".join(names), *names} <= set(texts(render(curves, PlotOptions(), "svg")))


def test_final_is_said_of_the_end_of_the_run_alone() -> None:
    """The last iteration of a window that ends before is not called so."""
    for stop, is_said in ((20, False), (21, True)):
        written = texts(render([curve(after_scheduler=COSINE)], PlotOptions(start=3, stop=stop), "svg"))
        assert any("final" in text for text in written) == is_said


def test_each_hyperparameter_has_a_panel() -> None:
    """With its name and with ticks for its own values."""
    hyperparameters = {
        "weight_decay": {"value": 300.0, "after_scheduler": {"type": "CosineLR", "min_lr": 100.0}},
        "momentum": {"value": 0.9, "after_scheduler": {"type": "CosineLR", "min_lr": 0.5}},
    }
    written = texts(render([curve(hyperparameters=hyperparameters)], PlotOptions(height_px=600), "svg"))
    assert {"learning rate", "weight decay", "momentum", "100", "200", "300", "0.6", "0.8"} <= set(written)


def test_a_panel_that_has_no_room_is_named_below() -> None:
    """Ten hyperparameters do not fit into a small picture, and none is drawn too small to be read."""
    hyperparameters = {f"number_{n}": {"value": n + 1.0} for n in range(10)}
    written = texts(render([curve(hyperparameters=hyperparameters)], PlotOptions(height_px=240), "svg"))
    panels = sum(text.startswith("number ") for text in written)
    assert panels >= 1
    (note,) = [text for text in written if "no room for" in text]
    assert note.count("no room for number ") == 2
    assert note.endswith(f" · {10 - panels - 2} more without room")


def test_a_hyperparameter_of_all_groups_is_one_line() -> None:
    """Groups with the same weight decay have one line for it in the panel, and the name without a group."""
    groups = [{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]
    decay = {"weight_decay": {"value": 0.3}}
    written = texts(render([curve(param_groups=groups, hyperparameters=decay)], PlotOptions(), "svg"))
    assert [text for text in written if "decay" in text] == ["weight decay"]


def test_the_difference_is_drawn_below_both_curves() -> None:
    """The line in the colour of text is b − a, at every iteration that both have, and its panel says so."""
    a, b = curve(after_scheduler=COSINE, label="a"), curve(total_iterations=30, label="b")
    svg = render_difference(a, b, PlotOptions(), "svg")
    panel = points(svg, TEXT)
    assert len(panel) == 21
    assert distance(-panel[:, 1], [min(n, 10) * 0.001 - LRS[n] for n in range(21)]) < 0.01
    assert "difference: b − a" in texts(svg)


def test_a_single_spike_in_a_million_is_seen() -> None:
    """One iteration at ten times the LR reaches the top of the picture where it is, and nowhere else."""
    turns = [{"type": "ConstantLR", "factor": 0.1, "total_iters": 10**7}] * 3
    turns[1] = {"type": "ConstantLR", "factor": 1.0, "total_iters": 1}
    spike = {"type": "SequentialLR", "schedulers": turns, "milestones": [700_000, 700_001]}
    asked = curve(total_iterations=10**6, warmup=None, after_scheduler=spike)
    tops, _ = line_extent(render([asked], PlotOptions()))
    high = np.flatnonzero(tops < tops.max() - 100)
    assert 1 <= len(high) <= 4
    assert high.mean() / len(tops) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("total", [10**4, 10**6, 10**9])
def test_teeth_closer_than_pixels_fill_the_picture(total: int) -> None:
    """A saw-tooth of 6 iterations spans from bottom to top in every column, however long the run."""
    saw = {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.002, "max_lr": 0.01, "step_size_up": 3}
    asked = curve(total_iterations=total, warmup=None, after_scheduler=saw)
    tops, bottoms = line_extent(render([asked], PlotOptions(width_px=480)))
    inner = slice(5, -30)
    assert np.ptp(tops[inner]) <= 30
    assert (bottoms[inner] - tops[inner]).min() > 100


@pytest.mark.parametrize(
    "after",
    [
        COSINE,
        {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 0.1, "max_lr": 1},
        {"type": "StepLR", "step_size": 9},
    ],
)
def test_a_billion_iterations_cost_what_ten_thousand_cost(after: dict[str, Any]) -> None:
    """The parts of the curve that are looked at do not grow with the run."""
    looks = {}
    for total in (10**4, 10**9):
        ticks = count(0.0)
        asked = curve(total_iterations=total, warmup={"iterations": 100}, after_scheduler=after)
        render([asked], PlotOptions(), deadline=Deadline(float("inf"), clock=ticks.__next__))
        looks[total] = next(ticks)
    assert looks[10**9] < 2 * looks[10**4]


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        (PlotOptions(at=21), r"at \(21\) must be in 0 … 20"),
        (PlotOptions(start=21), r"start \(21\) must be in 0 … 20"),
        (PlotOptions(stop=22), r"stop \(22\) must be in 0 … 21"),
        (PlotOptions(start=3, stop=3), r"start \(3\) must be in 0 … 2"),
    ],
)
def test_a_window_outside_the_run_is_refused(options: PlotOptions, refusal: str) -> None:
    """The refusal names the option, its value and the valid range."""
    with pytest.raises(IterationOutOfRange, match=refusal):
        render([curve()], options)
