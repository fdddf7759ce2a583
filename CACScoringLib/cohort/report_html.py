"""One self-contained HTML file of a cohort: tables, figures, methods; nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from CACScoringLib import __version__
from CACScoringLib.findings import Finding, Severity
from CACScoringLib.report.staging import write_text
from CACScoringLib.report.words import RESEARCH_USE_ONLY

CSS_PIXELS = 96
"""To the inch: so that the letters of all figures are of one size on the page."""
INCH_M = 0.0254
PNG_HEAD = 4096
"""A PNG's size and resolution stand within these first bytes."""
MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
STYLE = """
:root { --ink: #1d2329; --soft: #5c6670; --line: #d5dade; --tint: #f4f6f8; --mark: #2f6690; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.5rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 2px solid var(--mark); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
p { margin: .5rem 0; max-width: 48rem; }
.lead, figcaption, caption, .note { color: var(--soft); }
.key { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.key div { flex: 1 1 9rem; background: var(--tint); border-left: 3px solid var(--mark); padding: .6rem .9rem; }
.key b { display: block; font-size: 1.35rem; font-weight: 600; }
.key span { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums; font-size: .86rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; border-bottom-color: var(--soft); vertical-align: bottom; white-space: normal; }
.counts th, .counts td { min-width: 3.2rem; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.text, th.text { text-align: left; white-space: normal; }
figure { margin: 1rem 0 1.4rem; break-inside: avoid; }
figure img { max-width: 100%; height: auto; }
figcaption { font-size: .88rem; max-width: 48rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); gap: 1rem;
  align-items: start; }
.findings { list-style: none; padding: 0; }
.findings li { padding: .45rem .8rem; margin: .35rem 0; background: var(--tint); border-left: 3px solid var(--line); }
.findings li.warning { background: #fff7e6; border-left-color: #d9921a; }
.findings li.refuse { background: #fdecea; border-left-color: #c0392b; }
blockquote { margin: .6rem 0; padding: .8rem 1.1rem; background: var(--tint); max-width: 50rem; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .85rem; }
@media print { body { font-size: 12px; } main { max-width: none; padding: 0; } .wide { overflow: visible; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph; ``kind`` is empty, ``note`` or ``quote``."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    header : sequence of str
    rows : sequence of sequences of str
    caption : str
    text_columns : sequence of int
        Columns of words, set to the left, besides the first.
    shade : sequence of sequences of float, optional
        0 to 1 for each cell behind the first column: how dark its ground is.
    name : str
        Short, for where tables are listed; not on the page.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    text_columns: Sequence[int] = ()
    shade: Sequence[Sequence[float]] | None = None
    name: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture file (PNG or SVG), which becomes part of the page."""

    path: Path
    caption: str = ""


@dataclass(frozen=True)
class Grid:
    """Blocks beside each other."""

    blocks: Sequence[Paragraph | Table | Figure]


@dataclass(frozen=True)
class KeyNumbers:
    """The few numbers that a reader looks for first: (value, what it is)."""

    numbers: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Findings:
    """What was noticed; warnings first."""

    findings: Sequence[Finding]


Block = Paragraph | Table | Figure | Grid | KeyNumbers | Findings


@dataclass(frozen=True)
class Section:
    """A heading and what follows it; without a heading at the top of the page."""

    title: str
    blocks: Sequence[Block]


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Return the HTML of a report.

    Parameters
    ----------
    title : str
    lead : str
        One sentence under the title.
    sections : sequence of Section
    """
    body = "\n".join(_section(section) for section in sections)
    footer = f"CACScoring {__version__}. {RESEARCH_USE_ONLY}"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{_text(title)}</h1>\n<p class="lead">{_text(lead)}</p>\n{body}\n'
        f"<footer>{_text(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write a report as a whole."""
    write_text(path, page(title, lead, sections))


def _section(section: Section) -> str:
    heading = f"<h2>{_text(section.title)}</h2>\n" if section.title else ""
    blocks = "\n".join(map(_block, section.blocks))
    return f"<section>\n{heading}{blocks}\n</section>"


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        if block.kind == "quote":
            return f"<blockquote><p>{_text(block.text)}</p></blockquote>"
        return f'<p class="{block.kind}">{_text(block.text)}</p>' if block.kind else f"<p>{_text(block.text)}</p>"
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Figure):
        return _figure(block)
    if isinstance(block, Grid):
        return '<div class="grid">\n' + "\n".join(map(_block, block.blocks)) + "\n</div>"
    if isinstance(block, KeyNumbers):
        cells = "".join(f"<div><b>{_text(value)}</b><span>{_text(what)}</span></div>" for value, what in block.numbers)
        return f'<div class="key">{cells}</div>'
    return _findings(block.findings)


def _table(table: Table) -> str:
    def cell(tag: str, column: int, text: str, ground: float | None = None) -> str:
        kind = ' class="text"' if column in table.text_columns else ""
        style = "" if ground is None else f' style="background: rgba(47, 102, 144, {0.75 * ground:.2f})"'
        return f"<{tag}{kind}{style}>{_text(text)}</{tag}>"

    head = "".join(cell("th", i, text) for i, text in enumerate(table.header))
    rows = []
    for r, row in enumerate(table.rows):
        shade = [None, *table.shade[r]] if table.shade is not None else [None] * len(row)
        rows.append(f"<tr>{''.join(cell('td', i, t, shade[i]) for i, t in enumerate(row))}</tr>")
    caption = f"<caption>{_text(table.caption)}</caption>" if table.caption else ""
    kind = ' class="counts"' if table.shade is not None else ""
    inside = f"{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    return f'<div class="wide"><table{kind}>{inside}</table></div>'


def _figure(figure: Figure) -> str:
    kind = MEDIA_TYPES[figure.path.suffix.lower()]
    data = base64.b64encode(figure.path.read_bytes()).decode("ascii")
    caption = f"<figcaption>{_text(figure.caption)}</figcaption>" if figure.caption else ""
    inches = _png_inches(figure.path) if figure.path.suffix.lower() == ".png" else None
    width = "" if inches is None else f' style="width: {inches * CSS_PIXELS:.0f}px"'
    return f'<figure><img alt="{_text(figure.caption)}"{width} src="data:{kind};base64,{data}">{caption}</figure>'


def _png_inches(path: Path) -> float | None:
    """Return the width that a PNG says it is to have on paper; None where it does not say."""
    head = path.read_bytes()[:PNG_HEAD]
    at = head.find(b"pHYs")
    if at < 0 or len(head) < at + 12:
        return None
    pixels = int.from_bytes(head[16:20], "big")
    per_meter = int.from_bytes(head[at + 4 : at + 8], "big")
    return pixels / per_meter / INCH_M if per_meter else None


def _findings(findings: Sequence[Finding]) -> str:
    order = {Severity.REFUSE: 0, Severity.WARNING: 1, Severity.INFO: 2}
    entries = sorted(findings, key=lambda finding: order[finding.severity])
    lines = "\n".join(f'<li class="{f.severity.value}">{_text(f.message)}</li>' for f in entries)
    return f'<ul class="findings">\n{lines}\n</ul>' if lines else '<p class="note">Nothing was noticed.</p>'


def _text(text: object) -> str:
    return html.escape(str(text), quote=True)
