"""Pictures of live runs: what stands in them, by the texts and lines of the SVG and by the content."""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from live_runs.script import Script
from preheat.errors import IterationOutOfRange
from preheat.plot.content import Content, Line, Panel, Style
from preheat.plot.drawing import compose
from preheat.plot.options import PlotOptions
from preheat.plot.run_picture import Reports, content_of_run, earlier_lanes, render_run
from preheat.plot.scene import Area, Box, Ring
from preheat.plot.themes import THEMES
from preheat.runs import making
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits
from support.pictures import crosses

SPEC = {"target_lr": 0.1, "total_iterations": 400, "warmup": 20, "after_scheduler": {"type": "CosineLR"}}


def rolled_back() -> Script:
    """A run that diverged at 120, went back to 100 with a factor, and has come to 150."""
    job = Script(SPEC, Limits(window_cap=64, first_window=30))
    job.attach()
    job.run_to(121)
    job.roll_back(99, "from-here")
    job.attach(100, checkpoint=True)
    job.change(factor=0.5, why="diverged at 120")
    job.run_to(150)
    job.change("hold", value=0.0, at=300, for_iterations=30, why="a pause", author="bob")
    return job


def picture(job: Script, reports: Any = (), gaps: Any = (), earlier: Any = None, **options: Any) -> str:
    """The SVG."""
    told = Reports("loss", reports, gaps, earlier or {})
    return render_run(job.run, job.shelf.curve, told, PlotOptions(**options), "svg").decode()


def values(
    *iterations: int, of: Callable[[int], float] = lambda n: 2 + 1 / (n + 1)
) -> list[tuple[int, int, float, float]]:
    """A number reported at each iteration."""
    return [(n, n, of(n), of(n)) for n in iterations]


def drawn(svg: str, name: str) -> Any:
    """The points x, y of all elements with the id of a name, which has a number behind it, one after the other."""
    root = ET.fromstring(svg)  # noqa: S314 - it is our own
    paths = [path for group in root.findall(".//{*}g") if re.fullmatch(rf"{name}_\d+", group.get("id", ""))
             for path in group.findall(".//{*}path")]  # fmt: skip
    numbers = [float(number) for path in paths for number in re.findall(r"-?[\d.]+", path.get("d", ""))]
    return np.array(numbers).reshape(-1, 2)


def places(svg: str, name: str, first: int = 0, last: int = 400) -> tuple[float, float]:
    """The iterations where what has a name begins and ends, on the scale of the whole line."""
    xs = np.concatenate([drawn(svg, each)[:, 0] for each in ("used", "committed", "planned", "unknown")])
    own = drawn(svg, name)[:, 0]
    per_px = (last - first) / (xs.max() - xs.min())
    return first + per_px * (own.min() - xs.min()), first + per_px * (own.max() - xs.min())


def near(*iterations: float) -> Any:
    """Iterations as nearly as they can be read in a picture."""
    return pytest.approx(iterations, abs=0.1)


def told(svg: str) -> list[str]:
    """What is said to those who point at a ring."""
    return [each.text or "" for each in ET.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}title")]  # noqa: S314 - it is our own


def test_a_picture_says_what_is_used_committed_and_planned() -> None:
    """Each has its line and its entry in the legend; changes have author and reason, earlier attempts are grey."""
    shown = picture(rolled_back(), [(n, n, 3 + 1 / n, 3 + 1 / n) for n in range(1, 150)])
    for said in ("used", "committed", "planned", "earlier attempts", "×0.5 ann: diverged at 120",
                 "hold 0 bob: a pause", "next: ", "llama: revision 3, attempt 2", ">loss<", ">warm-up<"):  # fmt: skip
        assert said in shown, said
    assert "unknown" not in shown
    assert shown.count("stroke-dasharray") >= 4


def test_a_picture_of_a_part_shows_that_part() -> None:
    """What is not in it has neither line nor legend nor flag."""
    shown = picture(rolled_back(), start=10, stop=60)
    for said in ("committed", "planned", "earlier attempts", "diverged", ">loss<"):
        assert said not in shown, said


def test_a_run_without_a_job_and_one_past_its_end_have_pictures() -> None:
    """All planned before the first attempt; an overrun past the end holds the last LR."""
    waiting = picture(Script(SPEC))
    assert "llama: revision 1" in waiting
    assert "attempt" not in waiting
    job = Script({"target_lr": 0.1, "total_iterations": 20}, Limits(first_window=30, window_cap=64))
    job.attach()
    job.ask(1)
    job.ask(35, 21, overrun=Overrun(21, 40, 1))
    assert "next: 0.1 at 35" in picture(job)
    with pytest.raises(IterationOutOfRange, match="stop"):
        picture(job, stop=41)


def test_what_is_looked_at_lies_on_top_of_what_is_over() -> None:
    """A replay, bit for bit: what the present attempt used is drawn after what ran there before."""
    lrs, iterations = np.linspace(0.1, 0.05, 50), np.arange(50.0)
    styles = {"used": Style(), "earlier attempts": Style(is_faint=True)}
    lines = [Line(name, iterations, iterations, lrs, lrs) for name in styles]
    content = Content("", 0, 49, Panel("", lines), {"": []}, {"": "used"}, [], [], [], styles)
    colours = [stroke.colour for stroke in compose(content, PlotOptions(), "svg").strokes if len(stroke.xs) > 2]
    assert colours == [THEMES["light"].axis, THEMES["light"].lines[0]]


def test_flags_without_room_say_where_they_stand_and_neighbours_of_a_name_are_one_phase() -> None:
    """In the notes, with the iteration; two holds in a row have one name along the top."""
    job = Script(SPEC)
    for n in range(12):
        job.change("hold", value=0.02, why="long enough to have no room", at=200 + 12 * n, author=f"ann{n}")
    shown = picture(job, width_px=400, height_px=220)
    assert re.search(r"<text[^>]*>[^<]*at [23]\d\d: hold 0.02 ann\d+: long enough", shown)
    assert shown.count(">hold<") == 1


def test_a_picture_may_be_of_one_iteration() -> None:
    """Iteration 0 too, which a job that counts its updates from 1 has not run."""
    job = rolled_back()
    for start in (0, 1, 99, 100, 149, 400):
        assert picture(job, start=start, stop=start + 1, at=12).startswith("<?xml")


def test_the_same_run_gives_the_same_picture() -> None:
    """Bit for bit, as PNG too."""
    job = rolled_back()
    first, again = (render_run(job.run, job.shelf.curve, Reports("loss", ()), PlotOptions(), "png") for _ in range(2))
    assert first == again
    assert first.startswith(b"\x89PNG")


def test_an_overrun_is_marked_where_it_was() -> None:
    """From the end of what had been handed out to what any rank was told, whether it has been run or not."""
    job = Script(SPEC, Limits(window_cap=64, first_window=30))
    job.attach()
    job.run_to(61)
    before, end = job.run.horizon, job.run.horizon + 40
    assert "overrun" not in picture(job)
    job.ask(before, before, overrun=Overrun(before, end, 1))
    for at in (before, end):
        job.run_to(at)
        shown = picture(job)
        assert places(shown, "overrun") == near(before, end - 1)
        assert ">overrun<" in shown
    job.run_to(end + 20)
    assert "overrun" not in picture(job, start=end)


def test_earlier_attempts_have_lanes_of_their_own_with_what_they_reported() -> None:
    """From where the next one left them to where they came to; their loss on the axis of the present one's, in grey."""
    job = rolled_back()
    assert [(lane.number, own) for lane, own in earlier_lanes(job.run, range(401))] == [(1, range(100, 401))]
    assert earlier_lanes(job.run, range(100)) == []
    shown = picture(
        job, values(*range(1, 150), of=lambda n: 8 - n / 50), earlier={1: values(*range(100, 121), of=float)}
    )
    assert places(shown, "earlier-1") == near(100, 120)
    assert places(shown, "reported-earlier-1") == near(100, 120)
    present, earlier = drawn(shown, "reported"), drawn(shown, "reported-earlier-1")
    (top, bottom), per_unit = (present[0, 1], present[-1, 1]), (present[-1, 1] - present[0, 1]) / (149 - 1) * 50
    assert top < bottom
    assert earlier[[0, -1], 1] == pytest.approx([top + per_unit * (7.98 - n) for n in (100, 120)], abs=0.05)
    assert shown.index('id="reported-earlier-1_1"') < shown.index('id="reported_1"')
    alone = picture(job, earlier={1: values(110)})
    assert ">loss<" in alone


def test_a_replay_bit_for_bit_can_be_seen() -> None:
    """What ran there before is the same line, and wider."""
    job = Script(SPEC, Limits(window_cap=64, first_window=40))
    job.attach()
    job.run_to(100)
    job.attach(80, checkpoint=True)
    job.run_to(160)
    shown = picture(job)
    wide, usual = (
        float(re.findall(rf'id="{name}_1">.*?stroke-width: ([\d.]+)', shown, re.DOTALL)[0])
        for name in ("earlier-1", "used")
    )
    assert wide > 1.5 * usual
    assert places(shown, "earlier-1") == near(80, 99)


def test_only_the_last_attempts_are_drawn_and_the_picture_says_so() -> None:
    """Of 25 that were left 20."""
    job = Script(SPEC, Limits(window_cap=64, first_window=40))
    job.attach()
    for _ in range(25):
        job.run_to(20)
        job.attach(10, checkpoint=True)
    shown = picture(job)
    assert [n for n in range(1, 30) if len(drawn(shown, f"earlier-{n}"))] == list(range(6, 26))
    assert "the last 20 of 25 earlier attempts" in shown


def test_every_name_of_the_legend_has_a_line_that_is_seen() -> None:
    """Dashes come at least three times in it; what is unknown has one, too."""
    job = rolled_back()
    job.attach(200)
    job.run_to(230)
    shown = picture(job)
    for name in ("used", "committed", "planned", "unknown", "earlier-attempts"):
        (left, _), (right, _) = drawn(shown, f"key-{name}")
        dashes = re.findall(rf'id="key-{name}_1">[^/]*stroke-dasharray: ([\d.]+), ?([\d.]+)', shown)
        assert right - left > 10
        assert all((right - left) / (float(dash) + float(gap)) >= 2.5 for dash, gap in dashes), name
    assert places(shown, "unknown")[1] == pytest.approx(199, abs=0.1)


def test_a_fork_without_a_job_has_the_history_that_it_shares() -> None:
    """Used where both were, unknown where the job had it and had not come there, then planned; no place of a job."""
    job = rolled_back()
    job.save(making.fork(job.run, making.ForkRequest(2, 155, "a fork"), "run-2", job.now, job.shelf))
    shown = picture(job, values(*range(1, 150)), earlier={1: values(*range(100, 121))})
    assert places(shown, "used")[1] == pytest.approx(149, abs=0.1)
    assert places(shown, "unknown") == near(149, 155)
    assert places(shown, "planned") == near(155, 400)
    assert places(shown, "earlier-1") == near(100, 120)
    assert "next: " not in shown


def test_what_was_no_number_has_bands() -> None:
    """Where it was, with how often; alone, too, without ticks of values that there are not."""
    job = rolled_back()
    gaps = [(30, 39, 10), (60, 60, 1)]
    shown = picture(job, values(*range(1, 30), *range(61, 150)), gaps)
    least, most = places(shown, "gap")
    assert (least, most) == pytest.approx((30, 60), abs=1)  # a band of one is as wide as two px
    assert "bands: NaN or infinite 11 times from 30 on" in shown
    alone = picture(job, (), gaps)
    assert places(alone, "gap") == near(least, most)
    assert ">loss<" in alone
    assert "bands: NaN or infinite at 60<" in picture(job, (), gaps[1:])
    assert "gap_1" not in picture(job, values(1))


def test_what_was_no_number_in_earlier_attempts_has_grey_bands() -> None:
    """Below those of the present one, where there are both; said with how often, alone and where nothing else is."""
    job = rolled_back()
    of_both = Reports("loss", values(*range(1, 150)), [(60, 60, 1), (104, 110, 7)], {}, {1: [(101, 120, 20)]})
    shown = render_run(job.run, job.shelf.curve, of_both, PlotOptions(), "svg").decode()
    assert places(shown, "gap-earlier-1") == near(101, 120)
    assert shown.index('id="gap-earlier-1_1"') < shown.index('id="gap_1"')
    assert "· bands: NaN or infinite 8 times from 60 on · grey bands (earlier attempts): NaN or infinite 20 " in shown
    alone = Reports("loss", earlier_gaps={1: [(117, 118, 2)], 2: [(110, 110, 1)]})
    shown = render_run(job.run, job.shelf.curve, alone, PlotOptions(), "svg").decode()
    assert places(shown, "gap-earlier-1") == pytest.approx((117, 118), abs=0.5)  # as wide as two px
    assert "· grey bands (earlier attempts): NaN or infinite 3 times from 110 on<" in shown
    scene = compose(content_of_run(job.run, job.shelf.curve, of_both, PlotOptions()), PlotOptions(), "svg")
    reds, greys = ([item.colour for item in scene.items if isinstance(item, Area) and item.id == name]
                   for name in ("gap", "gap-earlier-1"))  # fmt: skip
    assert (len(set(reds)), len(greys)) == (1, 1)
    assert max(rgb := to_rgb(greys[0])) - min(rgb) < 0.1 < max(rgb := to_rgb(reds[0])) - min(rgb)


def test_a_spike_leaves_the_rest_to_be_seen() -> None:
    """From a hundred times the lowest value on the axis is logarithmic; not where there are values below 0."""
    job = rolled_back()
    shown = picture(job, values(10, 20, 30, of=lambda n: {10: 1.0, 20: 1e3, 30: 1e6}[n]))
    (_, low), (_, middle), (_, high) = drawn(shown, "reported")[:3]
    assert low - middle == pytest.approx(middle - high, rel=1e-3)
    assert "· logarithmic<" in shown
    assert "logarithmic" not in picture(job, values(10, 20, of=lambda n: {10: 1.0, 20: 99.0}[n]))
    assert "logarithmic" not in picture(job, values(10, 20, of=lambda n: {10: -1.0, 20: 1e6}[n]))
    earlier = picture(job, values(10, of=lambda _: 1.0), earlier={1: values(110, of=lambda _: 1e6)})
    assert "· logarithmic<" in earlier


_MOST = sys.float_info.max


@pytest.mark.parametrize(
    ("low", "middle", "high", "tick"),
    [(-_MOST, 0.0, _MOST, ">1e308<"), (0.0, _MOST / 2, _MOST, ">1.0e308<"), (1.0, 1e154, 1e308, ">1e200<"),
     (-1e308, -0.95e308, -0.9e308, ">-0.95e308<"), (1e308, 1.3e308, 1.6e308, ">1.2e308<")],
)  # fmt: skip
def test_a_job_may_report_any_float(low: float, middle: float, high: float, tick: str) -> None:
    """Up to the highest; also as the lowest and highest of one part. What is half way is drawn half way."""
    parts = [(10, 19, low, high), *((n, n, value, value) for n, value in ((20, low), (30, middle), (40, high)))]
    shown = picture(rolled_back(), parts)
    assert tick in shown
    ys = drawn(shown, "reported")[-3:, 1]
    assert ys[0] > ys[1] + 10
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.1)


@pytest.mark.parametrize("reported", [(5e-324,), (-5e-324, 0.0), (1e-310, 2e-310)])
def test_floats_next_to_0_are_drawn(reported: tuple[float, ...]) -> None:
    """As a level line: there is no room for ticks between them."""
    shown = picture(rolled_back(), [(10 * n, 10 * n, value, value) for n, value in enumerate(reported)])
    assert np.ptp(drawn(shown, "reported")[:, 1]) < 0.1


def test_every_change_has_a_ring_that_says_all_of_it() -> None:
    """At its iteration, whole, whether its text has room or not; what is not drawn in letters is said to be so."""
    job = Script({**SPEC, "total_iterations": 4000}, Limits(window_cap=64, first_window=30))
    places_of = [200 + 120 * n for n in range(30)]
    made = [job.change("hold", value=0.01 + n / 1e4, at=at, why=f"{n}: " + "because " * 60)
            for n, at in enumerate(places_of)]  # fmt: skip
    shown = picture(job)
    assert sorted(told(shown)) == sorted(
        f"at {at}: hold {0.01 + n / 1e4:g} ann: {n}: {'because ' * 60}" for n, at in enumerate(places_of)
    )
    for change, at in zip(made, places_of, strict=True):
        assert sum(places(shown, f"change-{change.change.id}", last=4000)) / 2 == pytest.approx(at, abs=2)
    assert "texts at the last 24 of 30 places" in shown


def test_hostile_texts_are_texts() -> None:
    """In label, author and reason: no markup, no formulas, no letters that XML forbids; the revision stays readable."""
    job = Script(SPEC)
    hostile = [
        "$x^2$ \\frac{1}{0}",
        "<script>alert(1)</script> & ]]>",
        "\N{FIRE} \N{RIGHT-TO-LEFT OVERRIDE}x",
        "الخسارة ارتفعت",
        "line\nbreak \x00\ufffe",
        "w" * 500,
    ]
    for n, each in enumerate(hostile):
        job.change("hold", value=0.02, at=30 + 60 * n, why=each, author=each)
    job.run = replace(job.run, label="".join(hostile))
    for options in ({}, {"width_px": 320, "height_px": 200}, {"scale": "log", "theme": "dark"}):
        shown = picture(job, **options)
        root = ET.fromstring(shown)  # noqa: S314 - it is our own
        assert not list(root.findall(".//{*}script"))
        assert sum("<script>alert(1)</script> & ]]>" in each for each in told(shown)) == 1
        assert re.search(r">[^<]*: revision 7<", shown)
        png = render_run(job.run, job.shelf.curve, Reports("loss"), PlotOptions(**options), "png")
        assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "options", [{}, {"width_px": 420, "height_px": 300, "scale": "log"}, {"start": 90, "stop": 200}]
)
def test_no_text_lies_on_another_and_lines_lead_from_rings_to_texts(options: dict[str, Any]) -> None:
    """With 30 changes, 20 of them in a crowd: nor on a line; one that leads to a text crosses no other text."""
    job = rolled_back()
    for n in range(30):
        job.change(factor=0.95, at=160 + (n if n < 20 else 10 * (n - 15)), why=f"reason {n}", author="abc"[n % 3])
    chosen = PlotOptions(**options)
    content = content_of_run(job.run, job.shelf.curve, Reports("loss", values(*range(chosen.start, 150))), chosen)
    scene = compose(content, chosen, "svg")
    for one, other in combinations(scene.texts, 2):
        assert not one.box.overlaps(other.box), (one, other)
    for text in scene.texts:
        assert 0 <= text.box.left < text.box.right <= scene.width, text
        for stroke in scene.strokes:
            assert not crosses(stroke, text.box), (text, stroke)
    rings = [item for item in scene.items if isinstance(item, Ring)]
    leaders = [each for each in scene.strokes if each.colour == THEMES["light"].leader]
    assert leaders or options
    for leader in leaders:
        ends = list(zip(leader.xs, leader.ys, strict=True))
        assert any(math.dist(ends[0], (ring.x, ring.y)) < 3 * ring.radius + 2 for ring in rings)
        assert any(text.box.grown(3).holds(Box(*ends[1], *ends[1])) for text in scene.texts)
