"""Draws the README's pictures anew: `python .readme/draw.py`."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "docs/_ext"))

import pictures

for name in pictures.README:
    (HERE / f"{name}.png").write_bytes(pictures.draw(name))
