"""Lung vessels: a branching tree from the hila, thick branches painted, thin ones splatted."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas
from CACScoringLib.phantom.draws import stream
from CACScoringLib.phantom.heart import Heart
from CACScoringLib.phantom.parts import rod
from CACScoringLib.phantom.thorax import Thorax
from CACScoringLib.phantom.tissue import Tissue

GENERATIONS = 6
PAINTED_RADIUS_MM = 1.6


def paint_lung_vessels(canvas: Canvas, anatomy: Anatomy, heart: Heart, tissue: Tissue, thorax: Thorax) -> None:
    """Grow a tree from each hilum and add it where there is lung."""
    rng = stream(anatomy.seed, "lungs")
    hila = [(anatomy.box(-0.04, 0.90, z), -1.0) for z in (0.95, 0.62, 0.42)] + [
        (anatomy.box(1.0, 1.0, z), 1.0) for z in (0.95, 0.66, 0.42)
    ]
    thin: list[np.ndarray] = []
    for start, side in hila:
        for _ in range(4):
            heading = rng.normal(size=3) * np.array([0.5, 0.9, 1.0]) + np.array([0.8 * side, 0.0, 0.0])
            grow(canvas, rng, start, heading, 3.1 * anatomy.unit, 26.0, 0, tissue, thin)
    if thin:
        splat_lines(canvas, np.concatenate(thin), thorax, tissue)


def grow(canvas, rng, start, heading, radius: float, length: float, generation: int, tissue, thin: list) -> None:
    """Add one branch and its two children."""
    heading = heading / np.sqrt((heading * heading).sum())
    end = start + heading * length * (0.7 + 0.6 * float(rng.random()))
    if radius > PAINTED_RADIUS_MM:
        part = rod(start, end, radius, 0.85 * radius)
        canvas.paint(part.low, part.high, part.shape, tissue.blood)
    else:
        t = np.arange(0.0, 1.0, 0.6 / length)[:, None]
        line = start + t * (end - start)
        thin.append(np.hstack([line, np.full((len(line), 1), np.pi * radius**2 * 0.6)]))
    if generation >= GENERATIONS:
        return
    for _ in range(2):
        turned = heading + 0.62 * rng.normal(size=3)
        grow(canvas, rng, end, turned, radius * 0.79, length * 0.84, generation + 1, tissue, thin)


def splat_lines(canvas: Canvas, rows: np.ndarray, thorax: Thorax, tissue: Tissue) -> None:
    """Add thin vessels (x, y, z, mm3) to lung voxels by trilinear weights."""
    grid = canvas.grid
    points = grid.to_scan(rows[:, :3])
    index = np.stack(
        [
            (points[:, 2] - grid.origin[0]) / grid.spacing[0],
            (points[:, 1] - grid.origin[1]) / grid.spacing[1],
            (points[:, 0] - grid.origin[2]) / grid.spacing[2],
        ],
        axis=1,
    )
    inside = ((index >= 0) & (index < np.array(grid.shape) - 1.001)).all(axis=1)
    index, mass = index[inside], 0.7 * rows[inside, 3] * (tissue.blood - tissue.lung) / float(np.prod(grid.spacing))
    if not len(index):
        return
    cell = np.floor(index).astype(np.intp)
    w = index - cell
    flat = np.ravel_multi_index(tuple(cell.T), grid.shape)
    keys, values = [], []
    for dz in (0, 1):
        for dy in (0, 1):
            for dx in (0, 1):
                part = (
                    (w[:, 0] if dz else 1 - w[:, 0])
                    * (w[:, 1] if dy else 1 - w[:, 1])
                    * (w[:, 2] if dx else 1 - w[:, 2])
                )
                keys.append(flat + (dz * grid.shape[1] + dy) * grid.shape[2] + dx)
                values.append(part * mass)
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    added = np.bincount(inverse, weights=np.concatenate(values))
    hu = canvas.hu.reshape(-1)
    lung = hu[unique] < -700.0
    hu[unique[lung]] = np.minimum(hu[unique[lung]] + added[lung], tissue.blood)
