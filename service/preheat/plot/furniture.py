"""Furniture of a picture: grids and ticks, title and axis labels, legend or colour bar, and notes."""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

from preheat.plot.content import Content, Style
from preheat.plot.fonts import cut, cut_middle, width_em
from preheat.plot.layout import Axis, Layout
from preheat.plot.scales import IterationScale, LogScale
from preheat.plot.scene import ASCENT, DESCENT, Area, Box, Stroke, Text, moved, segment, text_box
from preheat.plot.themes import Theme
from preheat.plot.ticks import Ticks, grouped, iteration_ticks

_BAR_BANDS = 64


class Furniture:
    """What surrounds the curves of a content."""

    def __init__(
        self, content: Content, layout: Layout, theme: Theme, colours: dict[str, str], scale: IterationScale
    ) -> None:
        self._content, self._layout = content, layout
        self._theme, self._colours, self._scale = theme, colours, scale
        self._size, self._small = layout.size, layout.small

    def frames(self, texts: list[Text]) -> list[Stroke | Text]:
        """Grid, axes and tick labels of every panel; the grid stops at texts."""
        boxes = [text.box.grown(1) for text in texts]
        items: list[Stroke | Text] = []
        for axis in self._layout.axes:
            items += self._grid(axis, boxes)
            items += self._left_axis(axis)
            items += self._value_labels(axis)
        items += self._iteration_labels()
        return items

    def surroundings(self) -> list[Area | Stroke | Text]:
        """Title, axis labels, legend or colour bar, and notes."""
        items: list[Area | Stroke | Text] = [*self._title(), *self._axis_labels()]
        items += self._legend()
        if self._layout.has_bar:
            items += self._bar()
        for row, note in enumerate(self._layout.notes):
            top = self._layout.notes_top + row * 1.2 * self._small
            items.append(self._text(note, self._size, top, self._small))
        return items

    @cached_property
    def _x_ticks(self) -> Ticks:
        """As many as have room for their labels."""
        start, last, box = self._content.start, self._content.last, self._layout.axes[0].box
        most = max(int(box.width / (4 * self._size)), 2)
        while most > 1:
            ticks = iteration_ticks(start, last, min(most, 14))
            places = [self._label_box(label, value) for label, value in zip(ticks.labels, ticks.values, strict=True)]
            if all(a.right + self._small <= b.left for a, b in pairwise(places)):
                return ticks
            most -= 1
        return iteration_ticks(start, last, 1)

    def _label_box(self, label: str, value: float) -> Box:
        box, axis = text_box(label, self._small), self._layout.axes[-1].box
        top = axis.bottom + 0.35 * self._size
        # a wide label moves inwards: off the value axis' lowest label, and off the edge of the picture
        least, most = axis.left - 0.4 * self._size, self._layout.width - box.width - 1
        return moved(box, max(min(self._scale.x(value) - box.width / 2, most), least), top)

    def _grid(self, axis: Axis, texts: list[Box]) -> list[Stroke]:
        box, colour, strokes = axis.box, self._theme.grid, []
        for value in self._x_ticks.values:
            x = self._scale.x(value)
            gaps = [(text.top, text.bottom) for text in texts if text.left < x < text.right]
            strokes += [segment(x, a, x, b, colour, 0.8) for a, b in _pieces(box.top, box.bottom, gaps)]
        for value in axis.ticks.values:
            y = axis.scale.y(value)
            gaps = [(text.left, text.right) for text in texts if text.top < y < text.bottom]
            strokes += [segment(a, y, b, y, colour, 0.8) for a, b in _pieces(box.left, box.right, gaps)]
        return strokes

    def _left_axis(self, axis: Axis) -> list[Stroke]:
        """The line beside the values and the one below; a break above the zeros of a logarithmic axis."""
        box, colour = axis.box, self._theme.axis
        below = segment(box.left, box.bottom, box.right, box.bottom, colour, 1.0)
        if not isinstance(axis.scale, LogScale) or axis.scale.zero is None:
            return [segment(box.left, box.top, box.left, box.bottom, colour, 1.0), below]
        # two slanted strokes with nothing between them
        middle, half = (axis.scale.bottom + axis.scale.zero) / 2, 0.15 * self._size
        slants = [
            segment(box.left - 3 * half, y + half, box.left + 0.5, y - half, colour, 1.0)
            for y in (middle - half, middle + half)
        ]
        return [
            segment(box.left, box.top, box.left, middle - half, colour, 1.0),
            segment(box.left, middle + half, box.left, box.bottom, colour, 1.0),
            *slants,
            below,
        ]

    def _value_labels(self, axis: Axis) -> list[Text]:
        labels = list(zip(axis.ticks.labels, (axis.scale.y(value) for value in axis.ticks.values), strict=True))
        if isinstance(axis.scale, LogScale) and axis.scale.zero is not None:
            labels.append(("0", axis.scale.zero))
        texts = []
        for label, y in labels:
            box = text_box(label, self._small)
            top = y - box.height / 2
            texts.append(self._text(label, axis.box.left - 0.5 * self._size - box.width, top, self._small))
        return texts

    def _iteration_labels(self) -> list[Text]:
        return [
            Text(self._label_box(label, value), label, self._small, self._theme.text)
            for label, value in zip(self._x_ticks.labels, self._x_ticks.values, strict=True)
        ]

    def _title(self) -> list[Text]:
        whole = self._content.title
        room = (self._layout.width - 2 * self._size) / 1.03
        size = 1.15 * self._size if width_em(whole) * 1.15 * self._size <= room else self._small
        title = cut(whole, room / size)
        width = text_box(title, size).width
        return [self._text(title, (self._layout.width - width) / 2, 0.6 * self._size, size)]

    def _axis_labels(self) -> list[Text]:
        main, *panels = self._layout.axes
        offset = self._x_ticks.offset
        label = f"iteration − {grouped(offset)}" if offset else "iteration"
        width = text_box(label, self._size).width
        texts = [self._text(label, (main.box.left + main.box.right - width) / 2, self._layout.label_top, self._size)]
        upright = text_box(main.panel.label, self._size, is_upright=True)
        top = max((main.box.top + main.box.bottom - upright.height) / 2, main.box.top - self._size)
        place = moved(upright, 0.5 * self._size, top)
        texts.append(Text(place, main.panel.label, self._size, self._theme.text, is_upright=True))
        for panel in panels:
            name = cut(panel.panel.label, panel.box.width / self._small)
            top = panel.box.top - (ASCENT + DESCENT) * self._small - 0.15 * self._size
            texts.append(self._text(name, panel.box.left, top, self._small))
            room = (panel.box.right - texts[-1].box.right) / self._small - 2
            if panel.panel.remark and room > 0:
                remark = cut(f"· {panel.panel.remark}", room)
                texts.append(self._text(remark, texts[-1].box.right + 0.4 * self._small, top, self._small))
        return texts

    def _legend(self) -> list[Stroke | Text]:
        """Below the axes, where it hides nothing."""
        legend, size = self._layout.legend, self._size
        left = (self._layout.width - legend.columns * legend.width) / 2 + 0.6 * size
        items: list[Stroke | Text] = []
        for place, (shown, name) in enumerate(zip(legend.names, self._layout.names, strict=False)):
            row, column = divmod(place, legend.columns)
            x, top = left + column * legend.width, self._layout.legend_top + row * 1.3 * size
            y = top + 0.5 * (ASCENT + DESCENT) * self._small
            line = segment(x, y, x + 1.8 * size, y, self._colours[name], size / 6)
            style = self._content.styles.get(name, Style())
            wide = size / 6 * style.width
            key = f"key-{name.replace(' ', '-')}" if name in self._content.styles else ""
            items.append(replace(line, width=wide, dashes=tuple(wide * each for each in style.dashes), id=key))
            items.append(self._text(shown, x + 2.4 * size, top, self._small))
        return items

    def _bar(self) -> list[Area | Text]:
        """A colour bar in the place of a legend, the first name at the bottom."""
        names, main = self._layout.names, self._layout.axes[0].box
        left, width = main.right + 0.6 * self._size, 0.8 * self._size
        bands = names[:: -(-len(names) // _BAR_BANDS)]
        high = main.height / len(bands)
        items: list[Area | Text] = [
            Area(
                Box(left, main.bottom - (place + 1) * high, left + width, main.bottom - place * high),
                self._colours[name],
            )
            for place, name in enumerate(bands)
        ]
        return items + self._bar_names(names, main, left + width + 0.4 * self._size)

    def _bar_names(self, names: list[str], main: Box, left: float) -> list[Text]:
        """The first and the last name, and as many others at even distances as have room."""
        room = (self._layout.bar_width - 1.9 * self._size) / self._small
        high = main.height / len(names)
        every = max(math.ceil(1.3 * self._small / high), 1)
        last = len(names) - 1
        texts: list[Text] = []
        for place in [last, *range(0, last, every)]:
            name = cut_middle(names[place], room)
            box = text_box(name, self._small)
            top = main.bottom - (place + 0.5) * high - box.height / 2
            box = moved(box, left, min(max(top, main.top), main.bottom - box.height))
            if not any(box.overlaps(text.box) for text in texts):
                texts.append(Text(box, name, self._small, self._theme.text))
        return texts

    def _text(self, text: str, left: float, top: float, size: float) -> Text:
        return Text(moved(text_box(text, size), left, top), text, size, self._theme.text)


def _pieces(begin: float, end: float, gaps: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """What is left of begin … end without the gaps."""
    pieces = []
    for first, last in sorted(gaps):
        if first > begin:
            pieces.append((begin, min(first, end)))
        begin = max(begin, last)
    return [*pieces, (begin, end)] if begin < end else pieces
