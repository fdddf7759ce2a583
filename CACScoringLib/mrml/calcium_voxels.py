"""The calcium segments as a list of labelled voxels, read again and again while they are edited.

Reading looks at every byte of the segmentation's layers, eight at a time, since not every edit can be told from the
outside; only layers whose bytes differ from the last reading are put on the volume's grid again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.mrml.geometry import node_to_node, volume_ijk_to_ras
from CACScoringLib.mrml.segmentation import calcium_layers, image_matrix, place_voxels, recoded_voxels, whole_shift
from CACScoringLib.scoring.voxels import N_LABELS, nonzero_index

_WORD = 8
"""Bytes that are looked at in one go."""


@dataclass(frozen=True, eq=False)
class LayerBytes:
    """The bytes of a layer that are not 0, and all that says where and what they are."""

    extent: tuple[int, ...]
    to_ijk: np.ndarray
    values: dict[int, int]
    kind: str
    place: np.ndarray
    words: np.ndarray
    rest: np.ndarray

    def same_as(self, other: LayerBytes | None) -> bool:
        """Return whether both mean the same labels at the same places."""
        if other is None or (self.extent, self.values, self.kind) != (other.extent, other.values, other.kind):
            return False
        arrays = (self.to_ijk, self.place, self.words, self.rest), (other.to_ijk, other.place, other.words, other.rest)
        return all(np.array_equal(mine, theirs) for mine, theirs in zip(*arrays, strict=True))

    @property
    def voxels_of_word(self) -> int:
        """Return how many voxels are looked at in one go."""
        return _WORD // np.dtype(self.kind).itemsize

    @property
    def shift(self) -> np.ndarray | None:
        """Return by how many voxels (x, y, z) the layer's grid is shifted, None where it is another grid."""
        return whole_shift(self.to_ijk, np.asarray(self.extent, float).reshape(3, 2))

    def changed_words(self, before: LayerBytes) -> tuple[slice, int, int] | None:
        """Return which of the words are not as before, and the first and one past the last voxel that may have changed.

        None where more than words has changed, or the layer lies on a grid of its own.
        """
        if (self.extent, self.values, self.kind) != (before.extent, before.values, before.kind):
            return None
        if not np.array_equal(self.to_ijk, before.to_ijk) or not np.array_equal(self.rest, before.rest):
            return None
        if self.shift is None:
            return None
        shorter = min(len(self.place), len(before.place))
        head = _first_difference(self, before, np.arange(shorter), np.arange(shorter))
        back = np.arange(1, shorter - head + 1)
        tail = _first_difference(self, before, len(self.place) - back, len(before.place) - back)
        changed = [layer.place[head : len(layer.place) - tail] for layer in (self, before)]
        places = np.concatenate(changed)
        each = self.voxels_of_word
        return slice(head, len(self.place) - tail), int(places.min()) * each, (int(places.max()) + 1) * each


@dataclass(frozen=True, eq=False)
class LayerVoxels:
    """The calcium of a layer on the volume's grid.

    Attributes
    ----------
    flat : ndarray of int64, shape (n,)
        Where each voxel lies in the layer, ascending; none for a layer that had to be resampled.
    index : ndarray of int64, shape (n,)
        Where it lies in the volume, ascending.
    label : ndarray of uint8, shape (n,)
    """

    flat: np.ndarray
    index: np.ndarray
    label: np.ndarray

    def between(self, low: int, high: int, fresh: LayerVoxels) -> LayerVoxels:
        """Return the voxels with those from ``low`` to before ``high`` in the layer replaced."""
        first, last = np.searchsorted(self.flat, (low, high)).tolist()
        pairs = ((self.flat, fresh.flat), (self.index, fresh.index), (self.label, fresh.label))
        return LayerVoxels(*(np.concatenate([old[:first], new, old[last:]]) for old, new in pairs))


class CalciumReader:
    """Labelled voxels of a segmentation on a volume's grid, as ``labels_from_segmentation`` has them."""

    def __init__(self) -> None:
        self._seen: list[LayerBytes] = []
        self._voxels: list[LayerVoxels] = []
        self._result: tuple[np.ndarray, np.ndarray] | None = None
        self._grid: tuple[Any, ...] = ()

    def read(
        self, segmentation_node: Any, volume_node: Any, ct: CTVolume, *, convert: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the labelled voxels on the grid of ``oriented_ct(ct)``.

        Parameters
        ----------
        segmentation_node : vtkMRMLSegmentationNode
        volume_node : vtkMRMLScalarVolumeNode
        ct : CTVolume
            Of the volume, on its own grid.
        convert : bool
            Make binary labelmaps of segments that have none.

        Returns
        -------
        index : ndarray of int64, shape (n,)
            Flat (C order) indices, ascending.
        label : ndarray of uint8, shape (n,)

        Raises
        ------
        ValueError
            If a warp lies between segmentation and volume, or a segment has no voxels to be read.
        """
        to_ijk = np.linalg.inv(node_to_node(volume_node, segmentation_node) @ volume_ijk_to_ras(volume_node))
        grid = (ct.shape, ct.direction)
        same = self._result is not None and grid == self._grid
        known = self._seen if same else []
        layers = calcium_layers(segmentation_node, convert=convert)
        seen = [layer_bytes(image, values, to_ijk) for image, values in layers]
        voxels = []
        for number, layer in enumerate(seen):
            before = known[number] if number < len(known) else None
            if layer.same_as(before):
                voxels.append(self._voxels[number])
                continue
            same = False
            changed = None if before is None else layer.changed_words(before)
            image = layers[number][0]
            if changed is None:
                voxels.append(layer_voxels(layer, image, ct.shape))
            else:
                part, low, high = changed
                fresh = layer_voxels(layer, image, ct.shape, part)
                voxels.append(self._voxels[number].between(low, high, fresh))
        if not same or len(seen) != len(known):
            self._result = oriented_voxels(*_later_wins([(layer.index, layer.label) for layer in voxels]), ct)
        self._seen, self._voxels, self._grid = seen, voxels, grid
        return self._result


def _first_difference(one: LayerBytes, other: LayerBytes, mine: np.ndarray, theirs: np.ndarray) -> int:
    """Return how many of the words at these positions are the same in both before the first that is not."""
    same = (one.place[mine] == other.place[theirs]) & (one.words[mine] == other.words[theirs])
    return len(same) if same.all() else int(np.argmin(same))


def layer_bytes(image: Any, values: dict[int, int], world_to_ijk: np.ndarray) -> LayerBytes:
    """Return what is in a layer, read at the speed of memory."""
    extent = image.GetExtent()
    flat = _flat(image)
    data = flat.view(np.uint8)
    whole = len(data) // _WORD
    words = data[: whole * _WORD].view(np.uint64)
    place = np.flatnonzero(words != 0)
    rest = data[whole * _WORD :].copy()
    return LayerBytes(
        extent, world_to_ijk @ image_matrix(image), dict(values), flat.dtype.str, place, words[place], rest
    )


def layer_voxels(layer: LayerBytes, image: Any, shape: tuple[int, int, int], part: slice | None = None) -> LayerVoxels:
    """Return a layer's voxels that stand for calcium.

    Parameters
    ----------
    layer : LayerBytes
    image : vtkOrientedImageData
    shape : tuple of int
        (z, y, x) of the volume.
    part : slice, optional
        Of the layer's words, instead of all there is.
    """
    nowhere = np.zeros(0, np.int64)
    if not len(layer.place) and not layer.rest.any():
        return LayerVoxels(nowhere, nowhere, np.zeros(0, np.uint8))
    shift = layer.shift
    if shift is None:
        labels = np.zeros(shape, np.uint8)
        place_voxels(labels, recoded_voxels(image, layer.values), layer.extent, layer.to_ijk)
        index = nonzero_index(labels)
        return LayerVoxels(nowhere, index, labels.reshape(-1)[index])
    voxels, each = _flat(image), layer.voxels_of_word
    flat = (layer.place[part or slice(None), None] * each + np.arange(each)).reshape(-1)
    if part is None:
        flat = np.concatenate([flat, np.arange(len(voxels) - len(layer.rest) // voxels.itemsize, len(voxels))])
    label = _recoded(voxels[flat], layer.values)
    flat, label = flat[label != 0], label[label != 0]
    first, size = np.asarray(layer.extent[::2]) + shift, np.asarray(layer.extent[1::2]) - layer.extent[::2] + 1
    corners = np.unravel_index(flat, tuple(size[::-1].tolist()))
    z, y, x = (axis + start for axis, start in zip(corners, first[::-1].tolist(), strict=True))
    inside = (z >= 0) & (z < shape[0]) & (y >= 0) & (y < shape[1]) & (x >= 0) & (x < shape[2])
    return LayerVoxels(flat[inside], ((z * shape[1] + y) * shape[2] + x)[inside], label[inside])


def oriented_voxels(index: np.ndarray, label: np.ndarray, ct: CTVolume) -> tuple[np.ndarray, np.ndarray]:
    """Return voxels of the grid of ``ct`` as voxels of the grid of ``oriented_ct(ct)``, in that one's order."""
    direction = np.asarray(ct.direction, float).reshape(3, 3)
    names = np.broadcast_to(np.zeros(1, np.uint8), ct.shape)  # a volume that takes no memory
    turned, *_, changed = orient_to_lps(names, ct.spacing_mm, ct.origin_mm, direction)
    if not changed:
        return index, label
    moved = np.zeros(len(index), np.int64)
    corners = np.unravel_index(index, ct.shape)
    for axis, (place, size) in enumerate(zip(corners, ct.shape, strict=True)):
        # one line along this axis says where it goes, and which way round
        line = np.arange(size, dtype=np.int64).reshape([-1 if other == axis else 1 for other in range(3)])
        line = orient_to_lps(np.broadcast_to(line, ct.shape), ct.spacing_mm, ct.origin_mm, direction)[0]
        target = next(other for other in range(3) if line.strides[other] != 0) if size > 1 else None
        if target is None:
            continue
        reverse = line.strides[target] < 0
        step = int(np.prod(turned.shape[target + 1 :], dtype=np.int64))
        moved += (size - 1 - place if reverse else place) * step
    order = np.argsort(moved)
    return moved[order], label[order]


def _flat(image: Any) -> np.ndarray:
    """Return a layer's voxels in one row, none where it is empty."""
    from vtk.util.numpy_support import vtk_to_numpy

    scalars = image.GetPointData().GetScalars()
    if scalars is None or not image.GetNumberOfPoints():
        return np.zeros(0, np.uint8)
    return vtk_to_numpy(scalars).reshape(-1)


def _recoded(values: np.ndarray, meaning: dict[int, int]) -> np.ndarray:
    if values.dtype == np.uint8:
        table = np.zeros(N_LABELS, np.uint8)
        for stored, label in meaning.items():
            if 0 <= stored < N_LABELS:
                table[stored] = label
        return table[values]
    labels = np.zeros(len(values), np.uint8)
    for stored, label in meaning.items():
        labels[values == stored] = label
    return labels


def _later_wins(layers: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels of all layers, where they overlap those of the later one."""
    if not layers:
        return np.zeros(0, np.int64), np.zeros(0, np.uint8)
    if len(layers) == 1:
        return layers[0]
    index, label = (np.concatenate(part) for part in zip(*layers, strict=True))
    order = np.argsort(index, kind="stable")
    index, label = index[order], label[order]
    last = np.r_[index[1:] != index[:-1], True] if len(index) else np.zeros(0, bool)
    return index[last], label[last]
