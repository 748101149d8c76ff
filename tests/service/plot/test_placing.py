"""Places of texts: in no picture does one lie on another or on a line."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preheat.curve import Curve
from preheat.plot.drawing import compose
from preheat.plot.encoding import encode
from preheat.plot.fonts import Kind
from preheat.plot.options import PlotOptions
from preheat.plot.render import content_of
from preheat.plot.scene import Ring, Scene, Text
from support.pictures import crosses, pixels
from support.specs import curve

_AFTER: list[dict[str, Any] | None] = [
    None,
    {"type": "CosineLR"},
    {"type": "CosineAnnealingLR"},
    {"type": "WSDLR"},
    {"type": "StepLR", "step_size": 7},
    {"type": "ExponentialLR", "gamma": 0.97},
    {"type": "CyclicLR", "cycle_momentum": False, "base_lr": 1e-5, "max_lr": 0.01, "step_size_up": 9},
    {"type": "CosineAnnealingWarmRestarts", "T_0": 11},
    {"type": "OneCycleLR", "max_lr": 0.01, "total_steps": 10**6},
    {
        "type": "SequentialLR",
        "schedulers": [{"type": "ConstantLR", "factor": 0.5}, {"type": "CosineLR"}, {"type": "CosineLR"}],
        "milestones": [3, 9],
    },
]
_LABELS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30),
    st.sampled_from(["日本語のラベル", "🚀🛸", "x" * 120, "W" * 30, "_a_", "$x^2$"]),
)


@st.composite
def _curves(draw: st.DrawFn) -> list[Curve]:
    """One to five schedules, with groups, hyperparameters and labels of any script."""
    curves = []
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3, 5]))):
        total = draw(st.sampled_from([1, 2, 20, 61, 1000, 10**5, 10**9, 10**12]) | st.integers(1, 3000))
        groups = draw(st.sampled_from([0, 0, 2, 5, 12, 40]))
        factors = draw(st.lists(st.sampled_from([0.0, 1e-6, 0.1, 0.5, 1.0]), min_size=groups, max_size=groups))
        after = draw(st.sampled_from(_AFTER if total > 20 else _AFTER[:-1]))
        if after is not None and after["type"] == "OneCycleLR":
            after = {**after, "total_steps": total}
        curves.append(
            curve(
                target_lr=draw(st.sampled_from([0.0, 1e-12, 6e-5, 0.01, 1.0, 12345.0])),
                total_iterations=total,
                warmup={
                    "iterations": 0
                    if after and "total_steps" in after
                    else draw(st.sampled_from([0, total // 200, total // 20, total // 2]))
                },
                after_scheduler=after,
                label=draw(_LABELS),
                param_groups=[{"name": f"layer {n}", "factor": f} for n, f in enumerate(factors)] or None,
                hyperparameters=draw(st.sampled_from([None, {"weight_decay": {"value": 0.04}}])),
            )
        )
    return curves


@st.composite
def _options(draw: st.DrawFn, curves: list[Curve]) -> PlotOptions:
    longest = max(each.total_iterations for each in curves)
    start = draw(st.sampled_from([0, 0, 0, longest // 2, longest]))
    return PlotOptions(
        start=start,
        stop=draw(st.sampled_from([None, None, min(start + 30, longest) + 1])),
        width_px=draw(st.sampled_from([320, 480, 960, 1600])),
        height_px=draw(st.sampled_from([200, 300, 480, 900])),
        scale=draw(st.sampled_from(["linear", "log"])),
        theme=draw(st.sampled_from(["light", "dark"])),
        at=draw(st.none() | st.integers(0, curves[0].total_iterations)),
    )


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_text_lies_on_another_or_on_a_line(data: st.DataObject) -> None:
    """Nor does any leave the picture: checked with the lines themselves, by another way than they were placed by."""
    curves = data.draw(_curves())
    options = data.draw(_options(curves))
    kinds: list[Kind] = ["png", "svg"]
    kind = data.draw(st.sampled_from(kinds))
    scene = compose(content_of(curves, options), options, kind)
    for one, other in combinations(scene.texts, 2):
        assert not one.box.overlaps(other.box), (one, other)
    for text in scene.texts:
        assert text.box.left >= 0 <= text.box.top, text
        assert text.box.right <= scene.width, text
        assert text.box.bottom <= scene.height, text
        for stroke in scene.strokes:
            assert not crosses(stroke, text.box), (text, stroke)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_every_mark_is_written_or_said_to_have_no_room(data: st.DataObject) -> None:
    """A text that is left out is in the notes, or is counted there; what is cut off there ends in an ellipsis."""
    curves = data.draw(_curves())
    options = data.draw(_options(curves))
    content = content_of(curves, options)
    written = [text.text for text in compose(content, options, "svg").texts]
    said = " ".join(written)  # notes may go on in a second row
    is_cut = any(text.endswith("…") for text in written)
    for mark in content.marks:
        assert mark.text in said or "more without room" in said or is_cut, (mark, written)


def _scene(options: PlotOptions, **fields: Any) -> Scene:
    return compose(content_of([curve(**fields)], options), options, "png")


@pytest.mark.parametrize("size", [(320, 200), (700, 400)])
@pytest.mark.parametrize("label", ["Wonderful jgpqy ÄÖÜ", "iiiiiiiiiiiiiiiiiiii", "MMMMMMMMMMMM", "1,234.5e-6 (a/b)"])
def test_a_text_is_drawn_within_its_box(size: tuple[int, int], label: str) -> None:
    """The pixels that differ when a text is left out all lie in its box."""
    whole = _scene(PlotOptions(width_px=size[0], height_px=size[1]), after_scheduler={"type": "CosineLR"}, label=label)
    drawn = pixels(encode(whole, "png"))
    for text in whole.texts:
        without = pixels(encode(replace(whole, items=[item for item in whole.items if item is not text]), "png"))
        rows, columns = np.nonzero((drawn != without).any(axis=2))
        assert len(rows) > 5, text
        assert text.box.left - 1 < columns.min(), text  # a pixel that a box covers in part is its own
        assert columns.max() < text.box.right, text
        assert text.box.top - 1 < rows.min(), text
        assert rows.max() < text.box.bottom, text


def test_the_text_of_the_end_does_not_hide_the_curve() -> None:
    """It did: of a cosine that ends at 0 the last iterations were under "final 0 at 20"."""
    scene = _scene(PlotOptions(), after_scheduler={"type": "CosineAnnealingLR"})
    final = next(text for text in scene.texts if text.text == "final 0 at 20")
    curves = [stroke for stroke in scene.strokes if len(stroke.xs) == 21]
    assert len(curves) == 1
    assert not crosses(curves[0], final.box)
    assert crosses(curves[0], replace(final.box, bottom=final.box.bottom + 40))


def test_a_phase_too_short_for_its_name_is_said_below() -> None:
    """A warm-up of two pixels: the note has its iterations."""
    scene = _scene(PlotOptions(), total_iterations=100_000, warmup={"iterations": 200}, param_groups=None)
    written = [text for text in scene.texts if "warm-up from" in text.text or text.text == "warm-up"]
    assert [text.text for text in written] in (["warm-up"], ["warm-up from 0 to 200"])
    window = PlotOptions(start=100, width_px=320)
    scene = _scene(window, total_iterations=100_000, warmup={"iterations": 200})
    assert "warm-up from 0 to 200" in " ".join(text.text for text in scene.texts)
    scene = _scene(window, total_iterations=10**7, warmup={"iterations": 12_000})
    assert "warm-up from 0 to 12\u202f000" in " ".join(text.text for text in scene.texts)


def test_the_text_of_a_mark_is_nearest_to_its_own_ring() -> None:
    """Of four peaks beside each other each text is nearest to its own, or is said below."""
    curves = [curve(total_iterations=1000, warmup={"iterations": 10 + 50 * n}, label=str(n)) for n in range(4)]
    options = PlotOptions()
    content = content_of(curves, options)
    scene = compose(content, options, "png")
    rings = {item.x: item for item in scene.items if isinstance(item, Ring)}
    at = {f"peak 0.01 at {10 + 50 * n}": sorted(rings.values(), key=lambda ring: ring.x)[n] for n in range(4)}
    placed = [text for text in scene.texts if text.text in at]
    assert placed
    for text in placed:
        nearest = min(rings.values(), key=lambda ring: _gap(text, ring.x, ring.y))
        assert _gap(text, nearest.x, nearest.y) >= _gap(text, at[text.text].x, at[text.text].y) - 1


def _gap(text: Text, x: float, y: float) -> float:
    box = text.box
    return float(np.hypot(max(box.left - x, x - box.right, 0), max(box.top - y, y - box.bottom, 0)))
