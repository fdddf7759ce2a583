"""What a picture of a scan is drawn with: a dark page with text, and slices with outlined calcium."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.vocabulary import LABELS

WINDOW_HU = (-200.0, 300.0)
"""Darkest and brightest grey: level 50, width 500. Fat and blood are told apart, calcium is white."""
MINIMUM_SIDE_MM = 130.0
"""A heart with some room round it (axial heart widths are 97 to 130 mm)."""
MARGIN_MM = 12.0
PAGE_DPI = 100
HEAT_COLORS = "inferno"
"""Colour map of heat maps: dark is little, and evenly brighter is more."""
MOST_COVERED = 0.75
"""How much the highest heat covers the slice."""

BACKGROUND_COLOR = (0.07, 0.07, 0.08)
TEXT = (0.93, 0.93, 0.93)
FAINT = (0.66, 0.66, 0.68)
WARNING_COLOR = (1.0, 0.75, 0.35)


@dataclass(frozen=True)
class View:
    """The square cut out of every slice.

    Attributes
    ----------
    center_mm : tuple of float
        (y, x) in mm from the centre of the first voxel.
    side_mm : float
    pixels : int
        Pixels along a side.
    flip : tuple of bool
        Whether (y, x) run against anterior to posterior and right to left.
    """

    center_mm: tuple[float, float]
    side_mm: float
    pixels: int
    flip: tuple[bool, bool]


def slice_view(ct: CTVolume, labels: np.ndarray, heart_box_mm: np.ndarray | None, pixels: int) -> View:
    """Return a square that holds the heart, where it is known, and every labelled voxel.

    Parameters
    ----------
    ct : CTVolume
    labels : ndarray of uint8, shape (z, y, x)
    heart_box_mm : ndarray of float, shape (2, 3), or None
        First and last corner (z, y, x) of the heart.
    pixels : int
        Pixels along a side of the square.

    Returns
    -------
    View
    """
    spacing = np.asarray(ct.spacing_mm[1:])
    boxes = []
    if heart_box_mm is not None:
        boxes.append(np.asarray(heart_box_mm)[:, 1:])
    if labels.any():
        in_plane = labels.any(axis=0)
        rows, columns = np.flatnonzero(in_plane.any(axis=1)), np.flatnonzero(in_plane.any(axis=0))
        boxes.append(np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]]) * spacing)
    if boxes:
        low = np.min([box[0] for box in boxes], axis=0)
        high = np.max([box[1] for box in boxes], axis=0)
    else:
        low = high = _body_center_mm(ct)
    side = max(MINIMUM_SIDE_MM, float((high - low).max()) + 2 * MARGIN_MM)
    direction = np.asarray(ct.direction).reshape(3, 3)
    flip = (bool(direction[1, 1] < 0), bool(direction[0, 0] < 0))
    center = (low + high) / 2
    return View((float(center[0]), float(center[1])), side, pixels, flip)


def _body_center_mm(ct: CTVolume) -> np.ndarray:
    """Return where the heart usually lies: a little in front of the middle of the body."""
    body = ct.hu[ct.shape[0] // 2] > -200
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    if rows.size == 0:
        return np.asarray(ct.shape[1:]) / 2 * np.asarray(ct.spacing_mm[1:])
    front = 0.4  # heart centre as a fraction of the body's depth, measured .29 to .39 in two scans
    y = rows[0] + front * (rows[-1] - rows[0])
    return np.array([y, (columns[0] + columns[-1]) / 2]) * np.asarray(ct.spacing_mm[1:])


def outlined_tile(ct: CTVolume, labels: np.ndarray, z: int, view: View) -> np.ndarray:
    """Return one slice as RGB, the labelled voxels outlined and left uncovered.

    Returns
    -------
    ndarray of float, shape (pixels, pixels, 3)
        Values 0 to 1, anterior at the top, the patient's right on the left.
    """
    sampling = _sampling(ct, view)
    grey = ndimage.affine_transform(ct.hu[z].astype(np.float32), order=1, mode="constant", cval=-1000.0, **sampling)
    marked = ndimage.affine_transform(labels[z], order=0, mode="constant", cval=0, **sampling)
    low, high = WINDOW_HU
    tile = np.repeat(np.clip((grey - low) / (high - low), 0.0, 1.0)[..., None], 3, axis=2)
    for label in LABELS:
        mask = marked == label.value
        if mask.any():
            tile[ndimage.binary_dilation(mask, iterations=2 if label.coronary else 1) & (marked == 0)] = label.color
            # Where two labels touch there is no room outside: each keeps a line inside its own edge.
            tile[mask & ndimage.binary_dilation((marked > 0) & ~mask)] = label.color
    return tile[:: -1 if view.flip[0] else 1, :: -1 if view.flip[1] else 1]


def heated_tile(ct: CTVolume, z: int, view: View, heat: np.ndarray, highest: float) -> np.ndarray:
    """Return one slice as RGB with a heat map over it: transparent where it is 0, the more covering the higher.

    Parameters
    ----------
    ct : CTVolume
    z : int
    view : View
    heat : ndarray of float, shape (y, x)
        0 or more, on the CT's pixels.
    highest : float
        The heat of the brightest colour.

    Returns
    -------
    ndarray of float, shape (pixels, pixels, 3)
        Values 0 to 1, anterior at the top, the patient's right on the left.
    """
    import matplotlib

    tile = outlined_tile(ct, np.zeros((z + 1, 1, 1), np.uint8), z, view)
    sampled = ndimage.affine_transform(
        np.asarray(heat, np.float32), order=1, mode="constant", cval=0.0, **_sampling(ct, view)
    )
    sampled = sampled[:: -1 if view.flip[0] else 1, :: -1 if view.flip[1] else 1]
    share = np.clip(sampled / highest, 0.0, 1.0) if highest > 0 else np.zeros_like(sampled)
    color = matplotlib.colormaps[HEAT_COLORS](share)[..., :3]
    cover = (MOST_COVERED * share)[..., None]
    return tile * (1 - cover) + color * cover


def _sampling(ct: CTVolume, view: View) -> dict[str, Any]:
    """Return how ``scipy.ndimage.affine_transform`` cuts a view out of a slice."""
    step = view.side_mm / view.pixels
    spacing = np.asarray(ct.spacing_mm[1:])
    offset_mm = np.asarray(view.center_mm) - view.side_mm / 2 + step / 2
    return {
        "matrix": np.diag(step / spacing),
        "offset": offset_mm / spacing,
        "output_shape": (view.pixels, view.pixels),
    }


class Page:
    """A dark page measured in pixels from its upper left corner."""

    def __init__(self, width: int, height: int):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / PAGE_DPI, height / PAGE_DPI), dpi=PAGE_DPI)
        self._renderer = FigureCanvasAgg(self._figure).get_renderer()
        self._pixels = np.empty((height, width, 3), np.float32)
        self._pixels[:] = BACKGROUND_COLOR

    def image(self, x: int, y: int, rgb: np.ndarray) -> None:
        """Put an RGB image, shape (height, width, 3), with its upper left corner at (x, y)."""
        self._pixels[y : y + rgb.shape[0], x : x + rgb.shape[1]] = rgb

    def square(self, x: float, y: float, side: int, color: Any) -> None:
        """Fill a square."""
        self._pixels[int(y) : int(y) + side, int(x) : int(x) + side] = color

    def line(self, x: float, y: float, length: float, color: Any) -> None:
        """Draw a horizontal line two pixels thick."""
        self._pixels[int(y) : int(y) + 2, int(x) : int(x + length)] = color

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        size: float,
        color: Any = TEXT,
        weight: str = "normal",
        align: str = "left",
    ) -> float:
        """Write ``words`` with their baseline at y; return where they end (or begin, aligned right)."""
        self._figure.text(
            x, self.height - y, words, fontsize=size * 72 / PAGE_DPI * 1.25, color=color, weight=weight, ha=align,
            va="baseline", transform=None, parse_math=False,
        )  # fmt: skip
        extent = self.text_width(words, size, weight)
        return x - extent if align == "right" else x + extent

    def text_width(self, words: str, size: float, weight: str = "normal") -> float:
        """Return the width of a text in pixels."""
        from matplotlib.font_manager import FontProperties

        font = FontProperties(size=size * 72 / PAGE_DPI * 1.25, weight=weight)
        # Spaces at the end have no ink: measured between two letters.
        measure = self._renderer.get_text_width_height_descent
        return measure(words + ".", font, False)[0] - measure(".", font, False)[0]

    def shorten(self, words: str, width: float, size: float) -> str:
        """Return ``words`` cut, at a blank if there is one, so that they fit into ``width`` pixels."""
        if self.text_width(words, size) <= width:
            return words
        kept = words
        while kept and self.text_width(kept + " …", size) > width:
            kept = kept.rpartition(" ")[0] if " " in kept else kept[:-1]
        return kept + " …"

    def lines(self, words: str, width: float, size: float) -> list[str]:
        """Return ``words`` broken at blanks into lines that fit into ``width`` pixels; a longer word is cut."""
        out: list[str] = []
        for word in words.split():
            longer = f"{out[-1]} {word}" if out else word
            if out and self.text_width(longer, size) <= width:
                out[-1] = longer
            else:
                out.append(self.shorten(word, width, size))
        return out

    def rgb(self) -> np.ndarray:
        """Return the page as drawn: uint8, shape (height, width, 3)."""
        self._place_pixels()
        self._figure.canvas.draw()
        return np.asarray(self._figure.canvas.buffer_rgba())[..., :3].copy()

    def save(self, path: Path) -> None:
        """Write the page as PNG."""
        self._place_pixels()
        self._figure.canvas.print_png(str(path), pil_kwargs={"compress_level": 4})

    def _place_pixels(self) -> None:
        if not self._figure.images:
            self._figure.figimage((self._pixels * 255.0).round().astype(np.uint8), origin="upper")
