"""The calcified voxels of a scan as a list: everything after this works on them alone, never on the whole volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

N_LABELS = 256
"""Values that a uint8 label map can hold."""
_WORD = 8
"""Bytes that are looked at in one go."""
_CHUNK = 1 << 24
"""Voxels that are looked at before the next ones: bounds the memory that a mask of the whole body costs."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """Labelled voxels in the order (z, y, x) of the volume.

    Attributes
    ----------
    z, y, x : ndarray of int64, shape (n,)
        Voxel indices.
    label : ndarray of uint8, shape (n,)
        Value in the label map (``vocabulary``).
    hu : ndarray of int32, shape (n,)
        Hounsfield units.
    """

    z: np.ndarray
    y: np.ndarray
    x: np.ndarray
    label: np.ndarray
    hu: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    def select(self, keep: np.ndarray) -> Voxels:
        """Return the voxels where ``keep`` (bool, shape (n,)) is True."""
        if keep.all():
            return self
        return Voxels(self.z[keep], self.y[keep], self.x[keep], self.label[keep], self.hu[keep])

    def flat_index(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Return the index of each voxel in a flat (C order) volume whose slices are as large as ``shape`` says."""
        return (self.z * shape[1] + self.y) * shape[2] + self.x

    def joined(self, other: Voxels) -> Voxels:
        """Return these voxels and others, one after the other."""
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Voxels(*(np.concatenate(pair) for pair in pairs))

    def ordered(self, shape: tuple[int, int, int]) -> Voxels:
        """Return the voxels in the order (z, y, x)."""
        order = np.argsort(self.flat_index(shape))
        return Voxels(*(column[order] for column in self._columns()))

    def _columns(self) -> tuple[np.ndarray, ...]:
        return self.z, self.y, self.x, self.label, self.hu


def no_voxels() -> Voxels:
    """Return an empty list of voxels."""
    nowhere = np.zeros(0, dtype=np.int64)
    return Voxels(nowhere, nowhere, nowhere, np.zeros(0, np.uint8), np.zeros(0, np.int32))


def reaches(hu: np.ndarray, threshold: float, *, strict: bool = False) -> np.ndarray:
    """Return where ``hu`` is at or above (``strict``: above) a threshold."""
    return hu > threshold if strict else hu >= threshold


def labelled_voxels(
    hu: np.ndarray, labels: np.ndarray, threshold_hu: float, *, strict: bool = False
) -> tuple[Voxels, np.ndarray]:
    """Return the labelled voxels that reach a threshold, and the label values that occur at all.

    Parameters
    ----------
    hu : ndarray of int16, shape (z, y, x)
    labels : ndarray of uint8, shape (z, y, x)
    threshold_hu : float
    strict : bool
        Above the threshold instead of at or above it.

    Returns
    -------
    voxels : Voxels
    present : ndarray of int
        Label values other than background, of voxels at any HU.
    """
    _, rows, columns = labels.shape
    step = max(1, _CHUNK // (rows * columns))
    counts = np.zeros(N_LABELS, dtype=np.int64)
    places, values, dense = [], [], []
    for first in range(0, len(labels), step):
        index = nonzero_index(labels[first : first + step])
        label = labels[first : first + step].reshape(-1)[index]
        value = hu[first : first + step].reshape(-1)[index]
        counts += np.bincount(label, minlength=N_LABELS)
        keep = reaches(value, threshold_hu, strict=strict)
        places.append(index[keep] + first * rows * columns)
        values.append(label[keep])
        dense.append(value[keep])
    z, rest = np.divmod(np.concatenate(places), rows * columns)
    y, x = np.divmod(rest, columns)
    return Voxels(z, y, x, np.concatenate(values), np.concatenate(dense).astype(np.int32)), np.flatnonzero(counts)


def nonzero_index(labels: np.ndarray) -> np.ndarray:
    """Return the flat (C order) indices of the nonzero voxels; eight voxels are looked at in one go."""
    if not labels.flags.c_contiguous or labels.size % _WORD or labels.dtype != np.uint8:
        return np.flatnonzero(labels)
    flat = labels.reshape(-1)
    words = np.flatnonzero(flat.view(np.uint64) != 0)
    index = (words[:, None] * _WORD + np.arange(_WORD)).reshape(-1)
    return index[flat[index] != 0]


def voxel_keys(voxels: Voxels) -> tuple[np.ndarray, tuple[int, int]]:
    """Return one sorted number for each voxel, and the key steps of one slice and of one row.

    A row and a column of padding keep the neighbours of an edge voxel from wrapping round.
    """
    row = int(voxels.x.max() - voxels.x.min()) + 2
    plane = row * (int(voxels.y.max() - voxels.y.min()) + 2)
    return voxels.z * plane + (voxels.y - voxels.y.min()) * row + (voxels.x - voxels.x.min()), (plane, row)
