"""One picture of a scan that was scored without labels: the slices that count most, and what their score rests on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.report.attention import heat_of_slice
from CACScoringLib.report.drawing import FAINT, TEXT, Page, View, heated_tile, slice_view
from CACScoringLib.report.overview import (
    CAPTION_PX,
    FOOTER_PX,
    GAP_PX,
    HEADER_PX,
    LINE_PX,
    MARGIN_PX,
    MINIMUM_WIDTH_PX,
    TILE_PX,
    columns_of,
    draw_footer,
    draw_header,
    draw_orientation,
    footer_lines,
    notes_of,
    slices_without_calcium,
)
from CACScoringLib.report.words import number

if TYPE_CHECKING:
    from CACScoringLib.methods.score_prediction import AttentionMap, ScorePrediction

MAX_SLICES = 12
LEAST_AGATSTON, LEAST_PROBABILITY = 0.5, 0.5
"""Slices below these are not shown as calcified."""
ATTENTION_WORDS = "Colours show where in a slice its score comes from. They mark no calcium."
NO_ATTENTION_WORDS = "The method does not say where in a slice it sees calcium."


def render_overview_without_labels(
    ct: CTVolume, prediction: ScorePrediction, scores: Mapping[str, Any], limit: int = MAX_SLICES
) -> Page:
    """Draw the overview of a scan that was scored without labels.

    Parameters
    ----------
    ct : CTVolume
    prediction : ScorePrediction
    scores : mapping
        ``scores.json``, from ``report.without_labels``.
    limit : int
        Largest number of slices.
    """
    box = prediction.heart_box
    heart = None if box is None else np.array([box.low_mm, box.high_mm])
    shown, more = _slices(scores["slices"], limit)
    if not shown:
        heart_z = None if heart is None else tuple(heart[:, 0] / ct.spacing_mm[0])
        shown = slices_without_calcium(ct.shape, heart_z).slices
    view = slice_view(ct, np.zeros(ct.shape, np.uint8), heart, TILE_PX)
    columns = columns_of(len(shown))
    rows = -(-len(shown) // columns)
    grid_width = columns * (TILE_PX + GAP_PX) - GAP_PX
    words = NO_ATTENTION_WORDS if prediction.attention is None else ATTENTION_WORDS
    width = max(grid_width, MINIMUM_WIDTH_PX) + 2 * MARGIN_PX
    told = notes_of(scores, f"{more} more slices are not shown." if more else "")
    notes = footer_lines([(words, FAINT), *told], width)
    page = Page(width, HEADER_PX + rows * (TILE_PX + CAPTION_PX + GAP_PX) + FOOTER_PX + LINE_PX * len(notes))
    draw_header(page, scores)
    left = (width - grid_width) // 2
    known = {row["slice"]: row for row in scores["slices"]}
    highest = 0.0 if prediction.attention is None else float(prediction.attention.values.max(initial=0.0))
    for place, z in enumerate(shown):
        x = left + (place % columns) * (TILE_PX + GAP_PX)
        y = HEADER_PX + (place // columns) * (TILE_PX + CAPTION_PX + GAP_PX)
        page.image(x, y + CAPTION_PX, _tile(ct, z, view, prediction.attention, highest))
        page.text(x + 2, y + 19, f"slice {z}", size=10.5, color=FAINT)
        page.text(x + TILE_PX - 2, y + 19, _caption(known.get(z, {})), size=10.5, color=TEXT, align="right")
        if place == 0:
            draw_orientation(page, x, y + CAPTION_PX, view)
    draw_footer(page, notes)
    return page


def write_overview_without_labels(
    path: Path, ct: CTVolume, prediction: ScorePrediction, scores: Mapping[str, Any]
) -> None:
    """Write the overview of a scan that was scored without labels as PNG."""
    render_overview_without_labels(ct, prediction, scores).save(path)


def _slices(rows: list[Mapping[str, float]], limit: int) -> tuple[tuple[int, ...], int]:
    """Return the slices with most calcium, from cranial to caudal, and how many calcified ones are left out."""

    def worth(row: Mapping[str, float]) -> float:
        if "agatston" in row:
            return row["agatston"] if row["agatston"] >= LEAST_AGATSTON else 0.0
        return row["calcium_probability"] if row["calcium_probability"] >= LEAST_PROBABILITY else 0.0

    calcified = sorted((row for row in rows if worth(row) > 0), key=worth, reverse=True)
    shown = sorted((int(row["slice"]) for row in calcified[:limit]), reverse=True)
    return tuple(shown), max(len(calcified) - limit, 0)


def _tile(ct: CTVolume, z: int, view: View, attention: AttentionMap | None, highest: float) -> np.ndarray:
    heat = np.zeros(ct.shape[1:], np.float32) if attention is None else heat_of_slice(attention, ct, z)
    return heated_tile(ct, z, view, heat, highest)


def _caption(row: Mapping[str, float]) -> str:
    if "agatston" in row:
        return f"Agatston {number(row['agatston'])}"
    return f"calcium {row['calcium_probability']:.0%}" if "calcium_probability" in row else ""
