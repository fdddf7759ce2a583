"""The patient table below the back."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas
from CACScoringLib.phantom.draws import chance, stream, uniform
from CACScoringLib.phantom.scanner import Scanner


def paint_table(canvas: Canvas, anatomy: Anatomy, scanner: Scanner) -> None:
    """Paint a curved shell with a foam core, level in the scan, some way below the skin."""
    rng = stream(scanner.seed, "table")
    back = anatomy.chest_depth + anatomy.fat_back + anatomy.muscle + 18.0
    gap = uniform(rng, 4, 25) if chance(rng, 0.6) else uniform(rng, 30, 75)
    top, thick, bend = back + gap, uniform(rng, 6, 40), uniform(rng, 0.0, 0.0012)
    half, shell = uniform(rng, 170, 240), uniform(rng, 1.5, 4.0)
    ys, xs = canvas.grid.axis(1).astype(np.float32)[:, None], canvas.grid.axis(2).astype(np.float32)[None, :]
    rows = np.flatnonzero((ys[:, 0] > top - 60) & (ys[:, 0] < top + thick + 12))
    if not rows.size:
        return
    ys = ys[rows[0] : rows[-1] + 1]
    upper = np.float32(top) - np.float32(bend) * xs * xs - ys
    plate = np.maximum(np.maximum(upper, ys - np.float32(top + thick)), np.abs(xs) - np.float32(half))
    cover = sdf.alpha(np.abs(plate) - np.float32(shell), canvas.edge)
    core = sdf.alpha(plate, canvas.edge)
    view = canvas.hu[:, rows[0] : rows[-1] + 1]
    outside = view < -900.0
    painted = np.maximum(-1000.0 + core * np.float32(40.0), -1000.0 + cover * np.float32(uniform(rng, 900, 1500)))
    view[...] = np.where(outside, painted[None], view)
