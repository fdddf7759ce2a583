"""One picture of a comparison: the same slices of every method side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.grids import Grid
from CACScoringLib.methods.score_prediction import ScorePrediction, structure_box
from CACScoringLib.report.attention import agatston_of_slices, calcium_of_slices, heat_of_slice
from CACScoringLib.report.comparison.result import Comparison, MethodResult
from CACScoringLib.report.comparison.slices import coronary_by_slice
from CACScoringLib.report.counted import counted_labels
from CACScoringLib.report.drawing import FAINT, TEXT, WARNING_COLOR, Page, View, heated_tile, outlined_tile, slice_view
from CACScoringLib.report.overview import (
    CAPTION_GAP_PX,
    LINE_PX,
    MARGIN_PX,
    choose_slices,
    draw_footer,
    fitting_words,
    footer_lines,
    slices_without_calcium,
)
from CACScoringLib.report.words import number
from CACScoringLib.vocabulary import CORONARY_LABELS, LABEL_BY_VALUE

TILE_PX = 260
GAP_PX = 6
CAPTION_PX = 24
HEADER_PX = 150
MINIMUM_COLUMNS = 3
"""The header needs the width of as many tiles."""
MOST_ROWS = 8
ROWS_FOR_SCORES = 2
"""Slices that are shown because a score without labels differs there, whatever the labels say."""
EVEN_SCORES = 1e-3
"""Weight of a slice's score against the difference of the methods in it: of slices alike, the largest scores stay."""


def render_comparison(ct: CTVolume, compared: Comparison, limit: int = MOST_ROWS) -> Page:
    """Draw a comparison: a column a method, a row a slice, those first in which the methods differ most.

    Parameters
    ----------
    ct : CTVolume
        The scan that was compared.
    compared : Comparison
    limit : int
        Largest number of slices.
    """
    columns = compared.done
    shown = {row.name: counted_labels(ct, row.labels, row.score) for row in compared.labelled}
    union = np.zeros(ct.shape, np.uint8)
    for labels in shown.values():
        np.maximum(union, labels, out=union)
    box = _heart_box(columns)
    chosen, left_out = _chosen_slices(ct, compared, union, box, limit)
    view = slice_view(ct, union, box, TILE_PX)
    width = max(len(columns), MINIMUM_COLUMNS) * (TILE_PX + GAP_PX) - GAP_PX + 2 * MARGIN_PX
    notes = footer_lines(_notes(compared, left_out), width)
    page = Page(width, HEADER_PX + len(chosen) * (TILE_PX + CAPTION_PX + GAP_PX) + 40 + LINE_PX * len(notes))
    page.text(MARGIN_PX, 36, "Methods compared", size=20, weight="bold")
    source = str(compared.acquisition.source or "")
    room = width - 3 * MARGIN_PX - page.text_width("Methods compared", 20, "bold")
    page.text(width - MARGIN_PX, 34, page.shorten(source, room, 10.5), size=10.5, color=FAINT, align="right")
    for number_of, row in enumerate(columns):
        x = MARGIN_PX + number_of * (TILE_PX + GAP_PX)
        _draw_head(page, x, row)
        by_slice = _words_of_slices(ct, row)
        highest = 0.0 if row.attention is None else float(row.attention.values.max(initial=0.0))
        for place, z in enumerate(chosen):
            y = HEADER_PX + place * (TILE_PX + CAPTION_PX + GAP_PX)
            labels = shown.get(row.name)
            page.image(x, y + CAPTION_PX, _tile(ct, row, labels, z, view, highest))
            _caption(page, x, y, z, None if labels is None else labels[z], by_slice.get(z))
    draw_footer(page, notes)
    return page


def write_comparison_picture(path: Path, ct: CTVolume, compared: Comparison) -> None:
    """Write the picture of a comparison as PNG."""
    render_comparison(ct, compared).save(path)


def _tile(ct: CTVolume, row: MethodResult, labels: np.ndarray | None, z: int, view: View, highest: float) -> np.ndarray:
    if labels is not None:
        return outlined_tile(ct, labels, z, view)
    if row.attention is not None:
        return heated_tile(ct, z, view, heat_of_slice(row.attention, ct, z), highest)
    return heated_tile(ct, z, view, np.zeros(ct.shape[1:], np.float32), 0.0)


def _heart_box(rows: tuple[MethodResult, ...]) -> np.ndarray | None:
    """Return the box (2, 3) round the heart of the first method that says where it is."""
    for row in rows:
        box = getattr(row.prediction, "heart_box", None)
        structures = getattr(row.prediction, "structures", None)
        if structures is not None:
            grid = Grid(row.prediction.structures_spacing_mm, row.prediction.structures_offset_mm, structures.shape)
            box = structure_box(structures, grid)
        if box is not None:
            return np.array([box.low_mm, box.high_mm])
    return None


def _agatston_of_slices(ct: CTVolume, row: MethodResult) -> dict[int, float]:
    """Return what each acquired slice adds to a method's total, as far as it says so."""
    if row.score is not None:
        return coronary_by_slice(row.score)
    return agatston_of_slices(ct, row.prediction) if isinstance(row.prediction, ScorePrediction) else {}


def _words_of_slices(ct: CTVolume, row: MethodResult) -> dict[int, str]:
    """Return what a method says of each acquired slice: its share of the total, else how probably it is calcified."""
    score = _agatston_of_slices(ct, row)
    if score or not isinstance(row.prediction, ScorePrediction):
        return {z: number(value) for z, value in score.items()}
    return {z: f"calcium {share:.0%}" for z, share in calcium_of_slices(ct, row.prediction).items()}


def _chosen_slices(
    ct: CTVolume, compared: Comparison, union: np.ndarray, box: np.ndarray | None, limit: int
) -> tuple[tuple[int, ...], int]:
    """Return the slices to show, from cranial to caudal, and the calcified ones that are left out."""
    choice = choose_slices(union, _importance(compared), limit)
    strongest = sorted(compared.slices, key=lambda entry: -abs(entry.difference))
    extra = list(dict.fromkeys(entry.slice for entry in strongest))[:ROWS_FOR_SCORES]
    if not choice.slices and not extra:
        by_score: dict[int, float] = {}
        for row in compared.done:
            for z, value in _agatston_of_slices(ct, row).items():
                by_score[z] = by_score.get(z, 0.0) + value
        extra = sorted((z for z, value in by_score.items() if value > 0), key=lambda z: -by_score[z])[:limit]
    slices = tuple(sorted({*choice.slices, *extra}, reverse=True))
    if not slices:
        heart_z = None if box is None else tuple(box[:, 0] / ct.spacing_mm[0])
        slices = slices_without_calcium(ct.shape, heart_z).slices
    return slices, choice.left_out


def _importance(compared: Comparison) -> dict[int, dict[str, float]]:
    """Return for each slice how far the methods' scores of its vessels lie apart."""
    scores = [row.score.slices for row in compared.labelled]
    names = [label.name for label in CORONARY_LABELS]
    out = {}
    for z in sorted({z for by_slice in scores for z in by_slice}):
        values = np.array([[by_slice.get(z, {}).get(name, 0.0) for name in names] for by_slice in scores])
        apart = float((values.max(axis=0) - values.min(axis=0)).sum())
        out[z] = {"apart": apart, "even": EVEN_SCORES * float(values.sum(axis=1).max())}
    return out


def _draw_head(page: Page, x: int, row: MethodResult) -> None:
    """Write above a column: the method, its total, its category, its vessels."""
    page.text(x, 66, page.shorten(row.name, TILE_PX, 13), size=13, weight="bold")
    total = "no total" if row.agatston is None else f"Agatston {number(row.agatston)}"
    page.text(x, 87, total, size=13)
    category = "" if row.category is None else f"{row.scheme} {row.category}"
    if row.needs_review:
        category += "  needs review"
    color = WARNING_COLOR if row.needs_review else TEXT
    page.text(x, 107, page.shorten(category, TILE_PX, 11), size=11, color=color)
    if row.score is None:
        words = "attention of the score" if row.attention is not None else "labels no voxels"
        page.text(x, 128, words, size=10.5, color=FAINT)
        return
    for place, label in enumerate(CORONARY_LABELS):
        left = x + place * TILE_PX / len(CORONARY_LABELS)
        page.square(left, 120, 8, label.color)
        page.text(left + 11, 128, f"{label.name} {number(row.score.vessels[label.name].agatston)}", size=8.5)


def _caption(page: Page, x: int, y: int, z: int, labels: np.ndarray | None, words: str | None) -> None:
    """Write above a tile: the slice, what the method says of it, and the labels in it."""
    right = x + TILE_PX - 2
    end = page.text(x + 2, y + 17, f"slice {z}", size=10, color=FAINT)
    if words is not None:
        end = page.text(end + 10, y + 17, words, size=10)
    present = [] if labels is None else np.flatnonzero(np.bincount(labels.ravel()))[1:].tolist()
    pieces = [(LABEL_BY_VALUE[value].name.replace("_", " "), LABEL_BY_VALUE[value].color) for value in present]
    shown, size = fitting_words(page, pieces, right - end - CAPTION_GAP_PX)
    for name, color in reversed(shown):
        right = page.text(right, y + 17, name, size=size, color=color, align="right") - CAPTION_GAP_PX


def _notes(compared: Comparison, left_out: int) -> list[tuple[str, object]]:
    """Return the lines below the slices, each with its colour."""
    notes: list[tuple[str, object]] = []
    if left_out:
        notes.append((f"{left_out} more calcified slices, in which the methods differ less, are not shown.", TEXT))
    notes += [(finding.message, TEXT) for finding in compared.findings if finding.code == "scores-by-own-rules"]
    notes += [(f"{row.name}: {row.failure.message}", WARNING_COLOR) for row in compared.methods if row.failure]
    notes.append((f"Preset {compared.preset['name']}, threshold {compared.preset['threshold_hu']:.4g} HU.", FAINT))
    return notes
