"""The noise-free image of a patient without calcium, and the finished image: noise, rounding, padding."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas, Field, Grid
from CACScoringLib.phantom.coronaries import WALL_MM, Branch
from CACScoringLib.phantom.draws import direction, stream, uniform
from CACScoringLib.phantom.heart import Heart
from CACScoringLib.phantom.lungs import paint_lung_vessels
from CACScoringLib.phantom.mediastinum import paint_mediastinum
from CACScoringLib.phantom.noise import add_noise
from CACScoringLib.phantom.parts import pipe
from CACScoringLib.phantom.rim import add_rim
from CACScoringLib.phantom.scanner import Scanner, render_columns, scan_grid
from CACScoringLib.phantom.table import paint_table
from CACScoringLib.phantom.thorax import paint_thorax
from CACScoringLib.phantom.tissue import Tissue

EDGE_OF_FWHM = 0.72
"""Half length of the smoothstep edge for a point-spread function of a given width."""


def render_anatomy(
    anatomy: Anatomy, scanner: Scanner, tissue: Tissue, heart: Heart, branches: list[Branch], grid: Grid
) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise-free image without calcium (float32) and the structure map on the output grid."""
    canvas_grid = scan_grid(scanner, anatomy, render_columns(scanner))
    canvas = Canvas(canvas_grid, max(EDGE_OF_FWHM * scanner.fwhm, 0.6))
    thorax = paint_thorax(canvas, anatomy, tissue)
    paint_lung_vessels(canvas, anatomy, heart, tissue, thorax)
    sac = paint_mediastinum(canvas, anatomy, heart, tissue, thorax, swing_of(scanner))
    paint_cords(canvas, branches, tissue, scanner)
    add_rim(canvas, sac, scanner)
    paint_table(canvas, anatomy, scanner)
    shade(canvas, scanner)
    if scanner.overshoot > 0.02:
        sharpen(canvas.hu, scanner.overshoot, 1.1 * scanner.fwhm / canvas_grid.spacing[2])
    if canvas_grid.shape == grid.shape:
        return canvas.hu, canvas.structures
    out = np.empty(grid.shape, dtype=np.float32)
    finer = Field(canvas.hu, grid, canvas_grid)
    for block in canvas.chunks(grid.everything):
        out[block] = finer(block)
    rows, columns = (_nearest(grid, canvas_grid, axis) for axis in (1, 2))
    return out, canvas.structures[:, rows[:, None], columns[None, :]]


def _nearest(grid: Grid, other: Grid, axis: int) -> np.ndarray:
    position = (grid.axis(axis) - other.origin[axis]) / other.spacing[axis]
    return np.clip(np.rint(position).astype(np.intp), 0, other.shape[axis] - 1)


def swing_of(scanner: Scanner) -> tuple[float, ...]:
    """Return the positions of the heart border during the acquisition, in mm: at rest for most of it, then a ghost."""
    extent = 0.35 * scanner.motion
    return (0.0,) if extent < 0.8 else (0.0, 0.0, 0.0, extent)


def shade(canvas: Canvas, scanner: Scanner) -> None:
    """Add slow HU errors (beam hardening, scatter) inside the body."""
    field = canvas.noise(stream(scanner.seed, "shading", scanner.protocol), 22.0)
    for block in canvas.chunks(canvas.grid.everything):
        view = canvas.hu[block]
        view += (
            np.float32(scanner.shading) * field(block) * np.clip(view * np.float32(0.005) + np.float32(2.0), 0.0, 1.0)
        )


def sharpen(hu: np.ndarray, gain: float, sigma: float) -> None:
    """Enhance edges as a sharp kernel does, slice by slice, in place."""
    size = 2 * round(1.2 * sigma) + 1
    for z in range(len(hu)):
        soft = hu[z]
        for axis in (0, 1, 0, 1):
            soft = ndimage.uniform_filter1d(soft, size, axis=axis)
        hu[z] += np.float32(gain) * (hu[z] - soft)


def paint_cords(canvas: Canvas, branches: list[Branch], tissue: Tissue, scanner: Scanner) -> None:
    """Paint the arteries as soft-tissue cords in fat, fainter where motion blurs them."""
    faint = 1.0 if scanner.gated else 1.6
    for branch in branches:
        points = branch.points[::4]
        radii = branch.radius[::4] + WALL_MM
        if len(points) < 2:
            continue
        for part in pipe(list(points), list(radii)):
            canvas.paint(part.low, part.high, part.shape, tissue.blood, width=canvas.edge * faint)
    for points, radii in veins_beside(branches, scanner.seed):
        for part in pipe(list(points), list(radii)):
            canvas.paint(part.low, part.high, part.shape, tissue.blood, width=canvas.edge * faint)


def veins_beside(branches: list[Branch], seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the great cardiac vein as lines (n, 3) with radii: beside LAD and LCX in the same fat."""
    rng = stream(seed, "veins")
    out = []
    for name, radius in (("LAD", 1.5), ("LCX", 2.4)):
        points = next(branch.points for branch in branches if branch.name == name)
        points = points[len(points) // 5 : -len(points) // 4 : 4]
        aside = direction(rng) * uniform(rng, 3.5, 5.5)
        if len(points) > 2:
            out.append((points + aside, np.full(len(points), radius * uniform(rng, 0.7, 1.2))))
    return out


def finish(clean: np.ndarray, scanner: Scanner) -> np.ndarray:
    """Add noise, round, clip and pad: the image as stored."""
    add_noise(clean, scanner, noise_level(clean, scanner.gated), scanner.pixel)
    np.rint(clean, out=clean)
    np.clip(clean, -1024, 3071, out=clean)
    hu = clean.astype(np.int16)
    if scanner.circle:
        half = 0.5 * (scanner.matrix - 1)
        r = np.arange(scanner.matrix) - half
        hu[:, (r[:, None] ** 2 + r[None, :] ** 2) > (0.5 * scanner.matrix) ** 2] = scanner.padding
    return hu


def noise_level(clean: np.ndarray, gated: bool) -> np.ndarray:
    """Return relative noise per slice on a 64 x 64 grid: it grows towards the middle of the body, lungs included.

    About 1 in the heart; a gated field of view lies inside the body.
    """
    step = max(clean.shape[1] // 64, 1)
    small = clean[:, step // 2 :: step, step // 2 :: step]
    density = np.clip(small * np.float32(0.001) + np.float32(1.0), 0.0, 1.6)
    inside = np.ones(small.shape, dtype=bool)
    if not gated:
        inside = np.stack([ndimage.binary_fill_holes(plane > 0.6) for plane in density])
    density = np.maximum(density, np.float32(0.55) * inside)
    blurred = ndimage.uniform_filter(density, size=(0, 21, 21), mode="nearest" if gated else "constant")
    level = np.float32(0.22) + np.float32(0.82) * blurred + np.float32(0.06) * np.minimum(density, 1.0)
    return np.round(level, 4).astype(np.float32)
