"""The Sphinx extension: fills in generated parts, and draws the pictures that pages show."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))

import live_run
import pages
import pictures


def setup(app: Sphinx) -> dict[str, Any]:
    """Registers the two hooks."""
    app.connect("builder-inited", _draw)
    app.connect("source-read", _fill_in)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}


def _draw(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "_generated"
    folder.mkdir(exist_ok=True)
    for theme in ("light", "dark"):
        drawn = live_run.picture("svg", theme=theme, width_px=760, height_px=420)
        (folder / f"live-run-{theme}.svg").write_bytes(drawn)
        for name in pictures.PICTURES:
            drawn = pictures.draw(name, "svg", theme=theme, width_px=760, height_px=360)
            (folder / f"{name}-{theme}.svg").write_bytes(drawn)


def _fill_in(_app: Sphinx, _docname: str, source: list[str]) -> None:
    source[0] = pages.filled_in(source[0])
