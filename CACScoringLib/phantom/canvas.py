"""A volume that shapes are painted into, box by box, and smooth fields kept on a coarse grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom.sdf import alpha

CHUNK = 160_000
"""Voxels handled at once: a few temporaries of this size stay in the second-level cache."""
FIELD_STEP_MM = 3.0
Block = tuple[slice, slice, slice]
Shape = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Grid:
    """Voxel positions of a scan: axes (z, y, x), the patient turned by an angle about the table axis.

    ``origin`` is the scan position (z, y, x) of the first voxel; patient = rotation of scan about ``pivot`` (y, x).
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    cosine: float = 1.0
    sine: float = 0.0
    pivot: tuple[float, float] = (0.0, 0.0)

    def axis(self, index: int) -> np.ndarray:
        """Return the scan coordinates in mm along one axis (0 z, 1 y, 2 x)."""
        return self.origin[index] + self.spacing[index] * np.arange(self.shape[index], dtype=np.float64)

    def plane(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the patient's x and y (float32, shape (y, x)) of the voxels of a slice."""
        sy = (self.axis(1) - self.pivot[0])[:, None]
        sx = (self.axis(2) - self.pivot[1])[None, :]
        x = self.cosine * sx + self.sine * sy + self.pivot[1]
        y = self.cosine * sy - self.sine * sx + self.pivot[0]
        return x.astype(np.float32), y.astype(np.float32)

    def to_scan(self, points: np.ndarray) -> np.ndarray:
        """Return scan coordinates (x, y, z) of patient points, shape (n, 3)."""
        points = np.asarray(points, dtype=np.float64)
        px, py = points[:, 0] - self.pivot[1], points[:, 1] - self.pivot[0]
        x = self.cosine * px - self.sine * py + self.pivot[1]
        y = self.cosine * py + self.sine * px + self.pivot[0]
        return np.stack([x, y, points[:, 2]], axis=1)

    def block(self, low, high, margin: float = 0.0) -> Block | None:
        """Return the voxels around the patient box from ``low`` to ``high`` (x, y, z), or None outside the scan."""
        corners = np.array([[a, b, c] for a in (low[0], high[0]) for b in (low[1], high[1]) for c in (low[2], high[2])])
        corners = self.to_scan(corners)
        slices = []
        for index, column in ((0, 2), (1, 1), (2, 0)):
            lo, hi = corners[:, column].min() - margin, corners[:, column].max() + margin
            first = int(np.floor((lo - self.origin[index]) / self.spacing[index]))
            last = int(np.ceil((hi - self.origin[index]) / self.spacing[index])) + 1
            first, last = max(first, 0), min(last, self.shape[index])
            if first >= last:
                return None
            slices.append(slice(first, last))
        return tuple(slices)

    @property
    def everything(self) -> Block:
        """Return the block of all voxels."""
        return tuple(slice(0, n) for n in self.shape)

    def coarse(self, step: float = FIELD_STEP_MM) -> Grid:
        """Return a grid of about ``step`` mm that covers this one."""
        spacing, shape, origin = [], [], []
        for index in range(3):
            extent = self.spacing[index] * (self.shape[index] - 1)
            cells = max(int(np.ceil(extent / step)), 1)
            spacing.append(step)
            shape.append(cells + 2)
            origin.append(self.origin[index] - 0.5 * (step * (cells + 1) - extent))
        return Grid(tuple(shape), tuple(spacing), tuple(origin), self.cosine, self.sine, self.pivot)


def _weights(fine: Grid, coarse: Grid, index: int) -> tuple[np.ndarray, np.ndarray]:
    position = (fine.axis(index) - coarse.origin[index]) / coarse.spacing[index]
    cell = np.clip(np.floor(position).astype(np.intp), 0, coarse.shape[index] - 2)
    return cell, (position - cell).astype(np.float32)


class Field:
    """A smooth quantity on a coarse grid, read on a fine one by trilinear interpolation."""

    def __init__(self, data: np.ndarray, fine: Grid, coarse: Grid):
        self.data = np.ascontiguousarray(data, dtype=np.float32)
        self._weights = [_weights(fine, coarse, index) for index in range(3)]

    def __call__(self, block: Block) -> np.ndarray:
        """Return the values in a block, float32 (z, y, x)."""
        (iz, wz), (iy, wy), (ix, wx) = ((i[s], w[s]) for (i, w), s in zip(self._weights, block, strict=True))
        ylo, yhi, xlo, xhi = iy[0], iy[-1] + 2, ix[0], ix[-1] + 2
        data = self.data[:, ylo:yhi, xlo:xhi]
        if data.shape[0] == 1:
            out = data
        else:
            base = data[iz]
            out = base + (data[iz + 1] - base) * wz[:, None, None]
        column = ix - xlo
        step = out[:, :, 1:] - out[:, :, :-1]
        out = np.take(out, column, axis=2) + np.take(step, column, axis=2) * wx
        step = out[:, 1:] - out[:, :-1]
        row = iy - ylo
        return np.take(out, row, axis=1) + np.take(step, row, axis=1) * wy[:, None]


class Canvas:
    """Hounsfield units and structure labels on one grid, painted back to front."""

    def __init__(self, grid: Grid, edge_mm: float, background: float = -1000.0):
        self.grid = grid
        self.edge = edge_mm
        self.hu = np.full(grid.shape, background, dtype=np.float32)
        self.structures = np.zeros(grid.shape, dtype=np.uint8)
        self._x, self._y = grid.plane()
        self._z = grid.axis(0).astype(np.float32)
        self.coarse = grid.coarse()
        self._cx, self._cy = self.coarse.plane()
        self._cz = self.coarse.axis(0).astype(np.float32)

    def coordinates(self, block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return broadcastable patient coordinates x, y, z of a block."""
        zs, ys, xs = block
        return self._x[None, ys, xs], self._y[None, ys, xs], self._z[zs][:, None, None]

    def field(self, shape: Shape) -> Field:
        """Evaluate a shape or quantity on the coarse grid."""
        data = shape(self._cx[None], self._cy[None], self._cz[:, None, None])
        return Field(np.array(np.broadcast_to(data, self.coarse.shape)), self.grid, self.coarse)

    def noise(self, rng: np.random.Generator, step: float) -> Field:
        """Return a random field of unit variance at grid points ``step`` mm apart."""
        coarse = self.grid.coarse(step)
        return Field(rng.standard_normal(coarse.shape, dtype=np.float32), self.grid, coarse)

    def coarse_noise(self, rng: np.random.Generator, step: float) -> np.ndarray:
        """Return a random array of unit variance on the coarse grid, smooth over ``step`` mm."""
        coarser = self.grid.coarse(step)
        data = rng.standard_normal(coarser.shape, dtype=np.float32)
        return Field(data, self.coarse, coarser)(self.coarse.everything)

    def chunks(self, block: Block | None) -> Iterator[Block]:
        """Split a block along z into pieces that fit the cache."""
        if block is None:
            return
        zs, ys, xs = block
        size = max(1, CHUNK // max((ys.stop - ys.start) * (xs.stop - xs.start), 1))
        for start in range(zs.start, zs.stop, size):
            yield slice(start, min(start + size, zs.stop)), ys, xs

    def blend(self, block: Block, cover: np.ndarray, value: float | np.ndarray, structure: int | None = None) -> None:
        """Mix a tissue into a block with cover fractions 0..1."""
        view = self.hu[block]
        view += cover * (value - view)
        if structure is not None:
            self.structures[block][cover >= 0.5] = structure

    def paint(
        self, low, high, shape: Shape, value: float, *, width: float | None = None, structure: int | None = None
    ) -> None:
        """Paint a shape, given by its signed distance, that lies between the corners low and high (x, y, z)."""
        width = self.edge if width is None else width
        for block in self.chunks(self.grid.block(low, high, width + 0.5)):
            self.blend(block, alpha(shape(*self.coordinates(block)), width), np.float32(value), structure)
