"""Published confusion matrices: rows are the reference, columns what was measured."""

from __future__ import annotations

import numpy as np

SARTORETTI = np.array([[0, 1, 0, 0], [0, 49, 0, 0], [0, 1, 23, 2], [0, 0, 0, 36]])
"""Sartoretti 2023, Table 2."""
NGUYEN = np.array(
    [
        [240, 3, 0, 1, 0, 0],
        [0, 142, 0, 0, 0, 0],
        [0, 0, 206, 4, 5, 1],
        [0, 0, 2, 238, 0, 12],
        [1, 0, 1, 1, 227, 0],
        [0, 2, 1, 12, 0, 286],
    ]
)
"""Nguyen 2025, Figure 3."""
