"""Pictures of live runs: what stands in them, by the texts and lines of the SVG and by the content."""

import re
from typing import Any

import numpy as np
import pytest

from live_runs.script import Script
from preheat.errors import IterationOutOfRange
from preheat.plot.content import Content, Line, Panel, Style
from preheat.plot.drawing import compose
from preheat.plot.options import PlotOptions
from preheat.plot.run_picture import Reports, render_run
from preheat.plot.themes import THEMES
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits

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


def picture(job: Script, reports: Any = (), **options: Any) -> str:
    """The SVG."""
    found = render_run(job.run, job.shelf.curve, Reports("loss", reports), PlotOptions(**options), "svg")
    return found.decode()


def test_a_picture_says_what_is_used_committed_and_planned() -> None:
    """Each has its line and its entry in the legend; changes have author and reason, earlier attempts are grey."""
    shown = picture(rolled_back(), [(n, n, 3 + 1 / n, 3 + 1 / n) for n in range(1, 150)])
    for said in ("used", "committed", "planned", "earlier attempts", "×0.5 ann: diverged at 120",
                 "hold 0.0 bob: a pause", "next: ", "llama: revision 3, attempt 2", ">loss<", ">warm-up<"):  # fmt: skip
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
    values = np.linspace(0.1, 0.05, 50)
    places = np.arange(50.0)
    styles = {"used": Style(), "earlier attempts": Style(is_faint=True)}
    lines = [Line(name, places, places, values, values) for name in styles]
    content = Content("", 0, 49, Panel("", lines), {"": []}, {"": "used"}, [], [], [], styles)
    drawn = [stroke.colour for stroke in compose(content, PlotOptions(), "svg").strokes if len(stroke.xs) > 2]
    assert drawn == [THEMES["light"].axis, THEMES["light"].lines[0]]


def test_flags_without_room_say_where_they_stand_and_neighbours_of_a_name_are_one_phase() -> None:
    """In the notes, with the iteration; two holds in a row have one name along the top."""
    job = Script(SPEC)
    for at, author in ((200, "ann"), (203, "bob"), (206, "carol"), (209, "dora")):
        job.change("hold", value=0.02, why="long enough to have no room", at=at, author=author)
    shown = picture(job, width_px=400, height_px=220)
    assert re.search(r">[^<]*at 2\d\d: hold 0.02 \w+: long enough", shown)
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
