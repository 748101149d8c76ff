"""Marks: their texts, each beside its ring or at the end of a line that leads there, whole or in brief."""

from dataclasses import dataclass, field

from preheat.plot.content import Content, Mark
from preheat.plot.labels import place_far, place_mark
from preheat.plot.obstacles import Obstacles
from preheat.plot.scene import Box, Ring, Stroke, Text
from preheat.plot.themes import Theme
from preheat.plot.ticks import count

_REACH, _NEAR = 5.0, 1.8
"""Farthest that a text lies from its point, in units of its size: farther off nobody would relate the two.

It is less where a line may lead to a text.
"""


@dataclass
class MarkTexts:
    """The texts of a content's marks, in letters of a size, with lines to those far off; what has no room is `left`."""

    content: Content
    rings: list[Ring]
    obstacles: Obstacles
    size: float
    theme: Theme
    leaders: list[Stroke] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def place(self, known: set[str]) -> None:
        """Places them: the current iteration first, then peaks, then ends; none of those that are `known` elsewhere."""
        marks = zip(self.content.marks, self.rings, strict=True)
        todo = [(mark, ring) for mark, ring in marks if mark.text and self._said(mark) not in known]
        todo.sort(key=lambda each: not each[0].is_current)
        for is_brief in (False, True):
            for way in (self._near, self._far):
                todo = [
                    (mark, ring) for mark, ring in todo if not way(mark, mark.brief if is_brief else mark.text, ring)
                ]
        self.left = [self._said(mark) for mark, _ in todo]

    def _said(self, mark: Mark) -> str:
        """What is said of a mark in the notes."""
        if self.content.styles and not mark.is_current:  # flags do not say where they stand
            return f"at {count(mark.iteration)}: {mark.text}"
        return f"{mark.name}: {mark.text}" if mark.name and len(self.content.phases) > 1 else mark.text

    def _near(self, mark: Mark, text: str, ring: Ring) -> bool:
        """Writes a text beside its ring; whether there was room."""
        others = [
            other
            for each, other in zip(self.content.marks, self.rings, strict=True)
            if (other.x, other.y) != (ring.x, ring.y) and (mark.crowd is None or each.crowd != mark.crowd)
        ]
        reach = (_NEAR if self._may_lead(mark) else _REACH) * self.size
        if mark.is_current:
            reach = self.obstacles.height
        box = place_mark(text, self.size, ring.x, ring.y, self.obstacles, others, reach) if text else None
        return self._write(text, box)

    def _far(self, mark: Mark, text: str, ring: Ring) -> bool:
        """Writes a text farther off, with a line that leads there; whether there was room."""
        if not text or not self._may_lead(mark):
            return False
        box, leader = place_far(text, self.size, ring, self.theme.leader, self.obstacles)
        self.leaders += [] if leader is None else [leader]
        return self._write(text, box)

    def _write(self, text: str, box: Box | None) -> bool:
        if box is not None:
            self.texts.append(Text(box, text, self.size, self.theme.text))
        return box is not None

    def _may_lead(self, mark: Mark) -> bool:
        """Whether a line may lead from a mark to its text."""
        return bool(self.content.styles) and not mark.is_current
