"""Letters: which of them can be drawn, how wide they are, and from which font families they come."""

import unicodedata
from functools import cache, lru_cache
from itertools import islice
from typing import Literal

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

Kind = Literal["png", "svg"]

_MOST_LETTERS = 400

_OTHER_SCRIPTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Symbols 2",
    "Noto Emoji",
)
"""Families with the letters that matplotlib's own font lacks, as systems and browsers call them."""

_EMOJI = ("Noto Color Emoji", "Apple Color Emoji", "Segoe UI Emoji")
"""For browsers only: in these files letters are coloured images, which FreeType does not draw as outlines."""

_MOST_LETTERS = 4096
"""Whose widths are kept: of all that Unicode has, which anybody may put into labels, they would take 200 MB."""

_WIDTH_UNKNOWN_EM = 1.3  # a letter of East Asia is as wide as high, an emoji somewhat wider


@cache
def families(kind: Kind) -> list[str]:
    """The families to draw with, first choice first: for a PNG those of this machine, for an SVG all that may be."""
    if kind == "svg":
        return ["DejaVu Sans", "Verdana", *_OTHER_SCRIPTS, *_EMOJI, "sans-serif"]
    # fonts are named more than once, by weight and slope; a family that is missing would be logged at every text
    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(family for family in _OTHER_SCRIPTS if family in installed)]


def drawable(text: str, kind: Kind) -> tuple[str, bool]:
    """The text with a space for each control character, and whether a letter is missing.

    A PNG has "…" in the place of letters that no font here has; an SVG keeps them for the fonts of whoever looks at it.
    """
    drawn: list[str] = []
    is_missing = False
    for letter in islice(text, _MOST_LETTERS):
        if unicodedata.category(letter)[0] in "CZ" and not (kind == "svg" and letter == "\u200d"):
            # unassigned and private letters too: XML forbids some, and a reversal of direction would spill
            drawn.append(letter if letter == "\u202f" else " ")
        elif kind == "svg" or _advance_em(letter) is not None:
            drawn.append(letter)
        elif not _is_invisible(letter):
            is_missing = True
            if drawn[-1:] != ["…"]:
                drawn.append("…")
    return "".join(drawn), is_missing


def width_em(text: str) -> float:
    """The width of a text in units of its size."""
    return sum(
        0.0 if _is_invisible(letter) else _WIDTH_UNKNOWN_EM if advance is None else advance
        for letter, advance in ((letter, _advance_em(letter)) for letter in text)
    )


def cut(text: str, most_em: float) -> str:
    """The text, or as many of its first letters as fit with an ellipsis after them."""
    if width_em(text) <= most_em + 1e-6:
        return text
    text = text[: int(most_em / 0.2) + 1]  # no letter is narrower
    while text and width_em(text) + width_em("…") > most_em:
        text = text[:-1]
    return text.rstrip() + "…"


def cut_middle(text: str, most_em: float) -> str:
    """The text, or its ends with an ellipsis between them: names of a list often differ in their last letters."""
    if width_em(text) <= most_em + 1e-6:
        return text
    end = text[-max(len(text) // 2, 1) :]
    while len(end) > 1 and width_em(end) > most_em / 2:
        end = end[1:]
    return cut(text[: -len(end)], most_em - width_em(end)) + end


@lru_cache(_MOST_LETTERS)
def _advance_em(letter: str) -> float | None:
    """How far a letter moves the next one; None if no font here has it."""
    for family in families("png"):
        font = get_font(findfont(FontProperties(family=[family])))
        if font.get_char_index(ord(letter)):
            font.set_size(100, 72)
            return font.load_char(ord(letter)).linearHoriAdvance / 0x10000 / 100
    return None


def _is_invisible(letter: str) -> bool:
    """Marks that only change the letter before, and joiners of emoji."""
    return unicodedata.category(letter) in {"Mn", "Me", "Cf"}
