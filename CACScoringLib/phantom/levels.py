"""Where the front and back of the chest lie at each height."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.parts import Part, ball


def front_of(anatomy: Anatomy, z: np.ndarray) -> np.ndarray:
    """Return y of the inner chest wall behind the sternum at heights z: the sternum leans back cranially."""
    high = np.maximum(z - np.float32(0.5 * anatomy.box_size[2]), np.float32(0.0))
    return np.float32(anatomy.chest_tilt) * high


def spine_of(anatomy: Anatomy, z: np.ndarray) -> np.ndarray:
    """Return y of the front of the vertebral bodies: the thoracic kyphosis."""
    d = (z - np.float32(45.0)) * np.float32(0.01)
    return np.float32(anatomy.spine_front) - np.float32(9.0) * d * d


def heart_floor(anatomy: Anatomy) -> Part:
    """Return the part of the diaphragm that the heart rests on: nearly flat, lower to the left and front."""
    x0 = float(anatomy.box_origin[0] + 0.5 * anatomy.box_size[0])
    radius = 190.0
    return ball(
        (x0 - 22.0, 0.36 * anatomy.chest_depth + 22.0, anatomy.floor - radius), np.eye(3), (radius, radius, radius)
    )
