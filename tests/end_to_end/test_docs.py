"""The documentation: its blocks run as they are written, and its generated pages have all that is in the code."""

import importlib.util
import json
import re
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

import curves
import facts
import pages
from markdown_blocks import ROOT, Block, PageRunner, StoppableService, blocks_of
from preheat.settings import Settings
from preheat.store import Database
from reference import REFERENCE_ROWS, REFERENCE_SPEC

DOCS = ROOT / "docs"
PAGES = sorted(
    str(page.relative_to(DOCS))
    for page in DOCS.rglob("*.md")
    if not page.relative_to(DOCS).parts[0].startswith("_") and blocks_of(page)
)
CASES = [
    (page, module)
    for page in PAGES
    for module in dict.fromkeys([None, *(block.argument("needs") for block in blocks_of(DOCS / page))])
]


@pytest.mark.parametrize(("page", "module"), CASES)
def test_every_block_does_what_the_page_shows(page: str, module: str | None, tmp_path: Path, url: str) -> None:
    """In an empty folder, beside a service that is stopped where the page says so."""
    needed = {None: (), "transformers": ("transformers", "accelerate")}.get(module, (module,))
    if not all(importlib.util.find_spec(str(name)) for name in needed):
        pytest.skip(f"{module} is not installed: make adapters")
    folder = tmp_path / "reader"
    folder.mkdir()
    blocks = [block for block in blocks_of(DOCS / page) if block.argument("needs") == module]
    if not any(block.has("stop-service") for block in blocks):
        # Where `preheat serve` keeps schedules, if nobody says otherwise.
        with closing(Database(f"sqlite:///{tmp_path}/data/preheat/preheat.db", 30)) as database:
            database.check()
        PageRunner(folder, url, XDG_DATA_HOME=str(tmp_path / "data")).run(blocks)
        return
    with StoppableService(tmp_path / "preheat.db") as service:
        PageRunner(folder, service.url, service.keep, PREHEAT_DATABASE_URL=service.database_url).run(blocks)


def test_no_two_pages_make_runs_of_one_label() -> None:
    """Who tries several pages beside one service would be told that the run of the other page has another spec."""
    making = re.compile(r'"label": "([^"]+)", "spec"|preheat\.run\("([^"]+)"|preheat runs make (\S+)')
    found: dict[str, set[str]] = {}
    for page in (ROOT / "README.md", *(DOCS / page for page in PAGES)):
        for block in blocks_of(page):
            for names in making.findall(block.text):
                found.setdefault("".join(names), set()).add(page.name)
    assert len(found) > 4
    assert {label: pages for label, pages in found.items() if len(pages) > 1} == {}


def test_every_scheduler_of_the_api_has_a_section_with_its_curve(http: httpx.Client) -> None:
    """As the OpenAPI document has them, in a page that nobody writes by hand."""
    schemas = http.get("/openapi.json").json()["components"]["schemas"]
    known = {name for name, schema in schemas.items() if schema.get("properties", {}).get("type", {}).get("const")}
    text = pages.schedulers()
    sections = dict(pairwise(re.split(r"^## (\w+)$", text, flags=re.MULTILINE)[1:]))
    names = re.findall(r"^## (\w+)$", text, re.MULTILINE)
    assert set(names) == known
    assert len(known) > 30
    for name in names:
        assert "<polyline" in sections[name], name


def test_a_curve_has_the_reference_tables_lrs() -> None:
    """Heights above the axis, as shares of the highest: those of the printed table."""
    drawn = curves.svg(REFERENCE_SPEC)
    points = [tuple(map(float, pair.split(","))) for pair in re.findall(r'points="([^"]*)"', drawn)[0].split()]
    bottom, top = points[-1][1], points[10][1]
    heights = [(bottom - y) / (bottom - top) for _, y in points[1:]]
    assert heights == pytest.approx([float(row) / 0.01 for row in REFERENCE_ROWS], abs=0.001)


def test_every_setting_is_on_its_page() -> None:
    """With the variable that an operator sets."""
    text = pages.settings()
    assert [name for name in Settings.model_fields if f"`PREHEAT_{name.upper()}`" not in text] == []


def test_every_route_is_on_its_page(http: httpx.Client) -> None:
    """Each method of each path that the service describes."""
    text, paths = pages.routes(), http.get("/openapi.json").json()["paths"]
    missing = [
        (method, path)
        for path, methods in paths.items()
        for method in methods
        if f"## {method.upper()} {path}\n" not in text
    ]
    assert missing == []


@pytest.mark.parametrize("name", list(pages.GENERATED))
def test_every_generated_part_is_on_a_page(name: str) -> None:
    """And is written without an exception."""
    marker = pages.MARKER.format(name)
    assert sum(marker in page.read_text("utf-8") for page in DOCS.rglob("*.md")) == 1
    assert pages.filled_in(marker).count("\n") > 1


def test_a_marker_that_nobody_knows_is_an_error() -> None:
    """So that a page with a mistyped name is not built."""
    with pytest.raises(KeyError):
        pages.filled_in(pages.MARKER.format("nothing"))


def test_a_benchmark_row_shows_its_own_ratio() -> None:
    """Ours over the peer's, from the file's numbers."""
    found = json.loads(pages.BENCHMARKS.read_text("utf-8"))
    text = pages.benchmarks()
    for row in found["ratios"]:
        assert f"| {row['ours'] / row['peers']:.3g}× |" in text
    assert found["commit"] in text
    assert found["date"] in text


def test_a_scheduler_that_nobody_has_pictured_gets_a_section() -> None:
    """From its docstring and the examples of its required fields alone, as one that was just added."""
    name, about, schema, _ = next(found for found in facts.schedulers() if found[0] == "StepLR")
    assert name not in curves.EXAMPLES
    section = pages.scheduler(name, about, schema)
    assert section.startswith("(steplr)=\n## StepLR\n")
    assert "<polyline" in section
    assert "| `step_size` | integer or duration | required |" in section


@pytest.mark.parametrize(
    ("marks", "language", "text"),
    [
        ("", "python", "print(1)\n"),
        ("run", "sh", "false\n"),
        ("run", "python", "raise SystemExit(3)\n"),
        ("fails", "sh", "true\n"),
        ("prints", "text", "something\n"),
        ("trains", "python", "print(1, 0.002)\n"),
        ("spec", "json", '{"target_lr": 0.1}\n'),
        ("diff a.py", "diff", "--- a.py\n+++ a.py\n@@ -1,2 +1,1 @@\n-x = 1\n y = 2\n+z = 3\n"),
    ],
)
def test_a_block_that_does_not_do_what_it_says_fails(
    marks: str, language: str, text: str, tmp_path: Path, url: str
) -> None:
    """No mark, another exit code, other output, a spec that is refused, a diff that is none."""
    with pytest.raises(AssertionError):
        PageRunner(tmp_path, url).run([Block(language, tuple(marks.split(", ")), text)])
