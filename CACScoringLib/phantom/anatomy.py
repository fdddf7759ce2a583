"""The drawn size, habitus and pose of a synthetic patient, and the heart box that places everything else."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from CACScoringLib.phantom.draws import chance, normal, stream, uniform


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Sizes in mm.

    Patient frame LPS: x = 0 midline, y = 0 behind the sternum at mid heart, z = 0 lowest point of the heart.

    Attributes
    ----------
    box_size : (left-right, front-back, caudal-cranial) of the heart with its fat, apex to pulmonary bifurcation
    box_origin : right, front, caudal corner of the heart box
    chest_width, chest_depth : inner thorax at heart level
    spine_front : distance from sternum to the front of the vertebral bodies
    """

    sex: str
    age: float
    bmi: float
    scale: float
    box_size: np.ndarray
    box_origin: np.ndarray
    box_turn: np.ndarray
    chest_width: float
    chest_depth: float
    spine_front: float
    chest_tilt: float
    apex_height: float
    fat_front: float
    fat_side: float
    fat_back: float
    muscle: float
    dome_right: float
    dome_left: float
    dome_blur: float
    floor: float
    epicardial: float
    vertebra_width: float
    hemoglobin: float
    scoliosis: float
    seed: int

    def as_dict(self) -> dict[str, object]:
        """Return the drawn values as plain numbers and lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in values.items()}

    @property
    def unit(self) -> float:
        """Return the heart's size relative to the mean of the measured hearts (109 mm)."""
        return float(self.box_size.sum()) / 327.0

    def box(self, fx: float, fy: float, fz: float) -> np.ndarray:
        """Return the patient position (x, y, z) of heart-box coordinates: to the left, to the back, cranial."""
        local = (np.array([fx, fy, fz]) - 0.5) * self.box_size
        turned = np.array([float((row * local).sum()) for row in self.box_turn])
        return np.round(turned + self.box_origin + 0.5 * self.box_size, 4)


def rotation(azimuth: float, elevation: float, roll: float) -> np.ndarray:
    """Return the rotation matrix of small turns (radians) about z, x and y, rounded."""
    ca, sa, ce, se, cr, sr = (
        np.cos(azimuth),
        np.sin(azimuth),
        np.cos(elevation),
        np.sin(elevation),
        np.cos(roll),
        np.sin(roll),
    )
    about_z = np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, ce, -se], [0, se, ce]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    return np.round(np.einsum("ij,jk,kl->il", about_z, about_x, about_y), 6)


def draw_anatomy(seed: int, wide: bool) -> Anatomy:
    """Draw a patient; ``wide`` randomises past what is usual (SYNTHETIC numbers, section 1 and advice 3)."""
    rng = stream(seed, "anatomy")
    spread = 1.6 if wide else 1.0
    male = chance(rng, 0.6)
    age = normal(rng, 62, 10, 35, 90)
    bmi = normal(rng, 27.5, 4.5 * spread, 17.5, 46)
    scale = normal(rng, 1.0 if male else 0.92, 0.06 * spread, 0.8, 1.25)
    box_size = (
        np.array([normal(rng, 116, 7 * spread), normal(rng, 108, 8 * spread), normal(rng, 98, 5 * spread)]) * scale
    )
    width = min(max(box_size[0] / normal(rng, 0.455, 0.035, 0.36, 0.54), 195.0), 295.0)
    front = normal(rng, 3, 3, -2, 12)
    spine = front + box_size[1] + normal(rng, 17, 6, 3, 34)
    turn = rotation(*(normal(rng, 0.0, 0.09 * spread, -0.28, 0.28) for _ in range(3)))
    return Anatomy(
        sex="M" if male else "F",
        age=round(age, 1),
        bmi=bmi,
        scale=scale,
        box_size=np.round(box_size, 3),
        box_origin=np.round(np.array([normal(rng, 13, 6) - 0.5 * box_size[0], front, 0.0]), 3),
        box_turn=turn,
        chest_width=round(width, 3),
        chest_depth=round(spine + normal(rng, 46, 7), 3),
        spine_front=round(spine, 3),
        chest_tilt=normal(rng, 0.2, 0.06),
        apex_height=round(box_size[2] + normal(rng, 95, 12), 3),
        fat_front=max(3.0, 0.9 * (bmi - 18) + (4.0 if not male else 0.0) + normal(rng, 2, 3)),
        fat_side=max(4.0, 1.3 * (bmi - 18) + normal(rng, 3, 4)),
        fat_back=max(4.0, 1.1 * (bmi - 18) + normal(rng, 3, 4)),
        muscle=normal(rng, 7 if male else 5, 2, 2, 14),
        dome_right=normal(rng, 17, 11 * spread),
        dome_left=normal(rng, 3, 10 * spread),
        dome_blur=uniform(rng, 1.5, 5.0),
        floor=uniform(rng, -2.0, 6.0),
        epicardial=normal(rng, 5.5 + 0.12 * (bmi - 27), 1.5, 2.0, 11.0),
        vertebra_width=normal(rng, 33 * scale, 3),
        hemoglobin=normal(rng, 13.5, 1.5),
        scoliosis=normal(rng, 0, 4),
        seed=seed,
    )
