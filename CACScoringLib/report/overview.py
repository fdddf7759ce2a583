"""One picture of a scored scan: every calcified slice, the calcium outlined in its vessel's colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.report.drawing import (
    FAINT,
    TEXT,
    WARNING_COLOR,
    Page,
    View,
    outlined_tile,
    slice_view,
)
from CACScoringLib.report.words import (
    RESEARCH_USE_ONLY,
    acquisition_line,
    headline,
    number,
    preset_line,
    risk_line,
    warnings_of,
)
from CACScoringLib.vocabulary import CORONARY_LABELS, LABELS, NON_CORONARY_LABELS

TILE_PX = 300
GAP_PX = 6
CAPTION_PX = 26
CAPTION_SIZES = (10.5, 9.0)
"""Of the words above a tile; the smaller one where they would not fit otherwise."""
CAPTION_GAP_PX = 9
LEGEND_SIZES = (12.5, 10.5, 9.0)
"""Of the legend: the largest with which all of it fits."""
LEGEND_SQUARE_PX, LEGEND_GAP_PX = 19, 22
"""For the colour before a name, and between two names."""
MARGIN_PX = 24
NOTE_SIZE, LINE_PX = 10.5, 20
"""Of the text below the slices, and from one line of it to the next."""
FOOTER_PX = 34
"""Below the slices, without notes."""
HEADER_PX = 166
MINIMUM_WIDTH_PX = 930
"""Wide enough for the header when only one or two slices are shown."""
MAX_SLICES = 24
SLICES_WITHOUT_CALCIUM = 6


@dataclass(frozen=True)
class Choice:
    """Which slices a picture shows, and how many calcified ones it leaves out."""

    slices: tuple[int, ...]
    left_out: int = 0


def choose_slices(labels: np.ndarray, per_slice: Mapping[int, Mapping[str, float]], limit: int = MAX_SLICES) -> Choice:
    """Choose the calcified slices to show, from cranial to caudal.

    Slices with coronary calcium come first; where there are more than ``limit``, those with the highest
    score stay. Slices with calcium outside the coronary arteries fill what is left.

    Parameters
    ----------
    labels : ndarray of uint8, shape (z, y, x)
    per_slice : mapping of slice index to mapping of vessel name to Agatston score
    limit : int
        Largest number of slices.

    Returns
    -------
    Choice
    """
    calcified = np.flatnonzero(labels.reshape(labels.shape[0], -1).any(axis=1))
    coronary_values = [label.value for label in CORONARY_LABELS]

    def importance(z: int) -> tuple[bool, float, int]:
        here = labels[z][labels[z] > 0]
        return bool(np.isin(here, coronary_values).any()), sum(per_slice.get(z, {}).values()), here.size

    ranked = sorted((int(z) for z in calcified), key=importance, reverse=True)
    return Choice(tuple(sorted(ranked[:limit], reverse=True)), max(0, len(ranked) - limit))


def slices_without_calcium(shape: tuple[int, int, int], heart_z: tuple[float, float] | None) -> Choice:
    """Choose a few slices of the heart, or of the middle of the scan where the heart is unknown."""
    first, last = heart_z if heart_z is not None else (0.2 * shape[0], 0.8 * shape[0])
    wanted = np.linspace(last, first, SLICES_WITHOUT_CALCIUM + 2)[1:-1]
    return Choice(tuple(dict.fromkeys(int(np.clip(round(z), 0, shape[0] - 1)) for z in wanted)))


def columns_of(tiles: int) -> int:
    """Return how many tiles stand side by side: one row up to four, then the width that leaves the fewest gaps."""
    if tiles <= 4:
        return max(tiles, 1)
    if tiles <= 6:
        return 3
    candidates = (4,) if tiles <= 8 else (4, 5) if tiles <= 16 else (5, 6)
    return min(candidates, key=lambda columns: (-tiles % columns, columns))


def render_overview(
    ct: CTVolume,
    labels: np.ndarray,
    scores: Mapping[str, Any],
    *,
    per_slice: Mapping[int, Mapping[str, float]] | None = None,
    heart_box_mm: np.ndarray | None = None,
    limit: int = MAX_SLICES,
) -> Page:
    """Draw the overview of one scan.

    Parameters
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
        Only voxels that were scored.
    scores : mapping
        ``scores.json`` as a mapping.
    per_slice : mapping, optional
        Agatston score of each vessel in each slice, for the captions.
    heart_box_mm : ndarray of float, shape (2, 3), optional
        First and last corner (z, y, x) of the heart, in mm from the centre of the first voxel.
    limit : int
        Largest number of slices.

    Returns
    -------
    Page
        Save it with :meth:`Page.save`.
    """
    per_slice = per_slice or {}
    choice = choose_slices(labels, per_slice, limit)
    heart_z = None if heart_box_mm is None else tuple(heart_box_mm[:, 0] / ct.spacing_mm[0])
    shown = choice if choice.slices else slices_without_calcium(ct.shape, heart_z)
    view = slice_view(ct, labels, heart_box_mm, TILE_PX)
    columns = columns_of(len(shown.slices))
    rows = -(-len(shown.slices) // columns)
    grid_width = columns * (TILE_PX + GAP_PX) - GAP_PX
    left_out = f"{choice.left_out} more calcified slices are not shown." if choice.left_out else ""
    width = max(grid_width, MINIMUM_WIDTH_PX) + 2 * MARGIN_PX
    notes = footer_lines(notes_of(scores, left_out), width)
    footer = FOOTER_PX + LINE_PX * len(notes)
    page = Page(width, HEADER_PX + rows * (TILE_PX + CAPTION_PX + GAP_PX) + footer)
    draw_header(page, scores)
    left = (width - grid_width) // 2
    for i, z in enumerate(shown.slices):
        x = left + (i % columns) * (TILE_PX + GAP_PX)
        y = HEADER_PX + (i // columns) * (TILE_PX + CAPTION_PX + GAP_PX)
        page.image(x, y + CAPTION_PX, outlined_tile(ct, labels, z, view))
        _caption(page, x, y, z, labels[z], per_slice.get(z, {}))
        if i == 0:
            draw_orientation(page, x, y + CAPTION_PX, view)
    draw_footer(page, notes)
    return page


def write_overview(path: Path, ct: CTVolume, labels: np.ndarray, scores: Mapping[str, Any], **options: Any) -> None:
    """Write the overview of one scan as PNG; ``options`` are those of :func:`render_overview`."""
    render_overview(ct, labels, scores, **options).save(path)


def draw_header(page: Page, scores: Mapping[str, Any]) -> None:
    """Write the totals, the legend with each vessel's score, and what the numbers rest on."""
    page.text(MARGIN_PX, 40, headline(scores), size=25, weight="bold")
    source = str(scores.get("acquisition", {}).get("source") or "")
    room = page.width - 3 * MARGIN_PX - page.text_width(headline(scores), 25, "bold")
    page.text(page.width - MARGIN_PX, 36, page.shorten(source, room, 10.5), size=10.5, color=FAINT, align="right")
    page.text(MARGIN_PX, 66, risk_line(scores), size=12.5, color=TEXT)
    _legend(page, scores)
    for y, words in ((121, acquisition_line(scores)), (138, preset_line(scores))):
        page.text(MARGIN_PX, y, page.shorten(words, page.width - 2 * MARGIN_PX, 10.5), size=10.5, color=FAINT)


def _legend(page: Page, scores: Mapping[str, Any]) -> None:
    """Write each vessel with its score, and what else was found, in the colours of the outlines."""
    vessels, elsewhere = scores.get("vessels", {}), scores.get("non_coronary", {})
    entries = []
    for label in LABELS:
        entry = vessels.get(label.name) if label.coronary else elsewhere.get(label.name)
        if entry is not None and (label.coronary or entry.get("lesions")):
            name = f"{label.name} " if label.coronary else label.title.split(" and ")[0].split(" or ")[0]
            entries.append((label.color, name, number(entry["agatston"]) if label.coronary else ""))

    def width(size: float) -> float:
        words = sum(page.text_width(name, size) + page.text_width(score, size, "bold") for _, name, score in entries)
        return words + len(entries) * (LEGEND_SQUARE_PX + LEGEND_GAP_PX) - LEGEND_GAP_PX

    room = page.width - 2 * MARGIN_PX
    size = next((each for each in LEGEND_SIZES if width(each) <= room), LEGEND_SIZES[-1])
    x = MARGIN_PX
    for color, name, score in entries:
        page.square(x, 85, 13, color)
        x = page.text(x + LEGEND_SQUARE_PX, 97, name, size=size)
        x = page.text(x, 97, score, size=size, weight="bold") + LEGEND_GAP_PX


def _caption(page: Page, x: float, y: float, z: int, labels: np.ndarray, agatston: Mapping[str, float]) -> None:
    """Write above a tile: the slice, and each vessel in it with its share of the score."""
    left = page.text(x + 2, y + 19, f"slice {z}", size=CAPTION_SIZES[0], color=FAINT)
    present = set(np.flatnonzero(np.bincount(labels.ravel())).tolist())
    pieces = [
        (f"{label.name} {number(agatston.get(label.name, 0.0))}", label.color)
        for label in CORONARY_LABELS
        if label.value in present
    ]
    pieces += [(label.name.replace("_", " "), label.color) for label in NON_CORONARY_LABELS if label.value in present]
    right = x + TILE_PX - 2
    shown, size = fitting_words(page, pieces, right - left - CAPTION_GAP_PX)
    for words, color in reversed(shown):
        right = page.text(right, y + 19, words, size=size, color=color, align="right") - CAPTION_GAP_PX


def fitting_words(page: Page, pieces: list[tuple[str, object]], room: float) -> tuple[list[tuple[str, object]], float]:
    """Return what of a caption fits into ``room`` pixels, and its size: the last pieces become a number of them."""

    def fits(shown: list[tuple[str, object]], size: float) -> bool:
        widths = (page.text_width(words, size) + CAPTION_GAP_PX for words, _ in shown)
        return sum(widths) - CAPTION_GAP_PX <= room

    for size in CAPTION_SIZES:
        if fits(pieces, size):
            return pieces, size
    for kept in range(len(pieces) - 1, 0, -1):
        shown = [*pieces[:kept], (f"+{len(pieces) - kept}", FAINT)]
        if fits(shown, size):
            return shown, size
    return [], size


def draw_orientation(page: Page, x: float, y: float, view: View) -> None:
    """Mark the patient's right side and a length on one tile."""
    page.text(x + 6, y + TILE_PX / 2, "R", size=11, color=TEXT)
    page.text(x + TILE_PX - 6, y + TILE_PX / 2, "L", size=11, color=TEXT, align="right")
    length = 20.0 / view.side_mm * TILE_PX
    page.line(x + 10, y + TILE_PX - 10, length, color=TEXT)
    page.text(x + 10, y + TILE_PX - 16, "20 mm", size=9, color=TEXT)


def notes_of(scores: Mapping[str, Any], left_out: str = "") -> list[tuple[str, object]]:
    """Return the lines below the slices, each with its colour: what is left out, then the warnings."""
    notes: list[tuple[str, object]] = [(left_out, TEXT)] if left_out else []
    warnings = warnings_of(scores)
    notes += [(f"Warning: {message}", WARNING_COLOR) for message in warnings[:3]]
    if len(warnings) > 3:
        notes.append((f"{len(warnings) - 3} more warnings in scores.json.", WARNING_COLOR))
    return notes


def footer_lines(notes: list[tuple[str, object]], width: int) -> list[tuple[str, object]]:
    """Return the notes in lines that fit a page of ``width`` pixels: only a word that is longer is cut."""
    page, room = Page(width, 1), width - 2 * MARGIN_PX
    return [(line, color) for words, color in notes for line in page.lines(words, room, NOTE_SIZE)]


def draw_footer(page: Page, lines: list[tuple[str, object]]) -> None:
    """Write the lines of the notes, and that of research use, at the bottom."""
    y = page.height - 14
    page.text(MARGIN_PX, y, RESEARCH_USE_ONLY, size=NOTE_SIZE, color=TEXT, weight="bold")
    for words, color in reversed(lines):
        y -= LINE_PX
        page.text(MARGIN_PX, y, words, size=NOTE_SIZE, color=color)
