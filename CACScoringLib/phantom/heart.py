"""Heart chambers and great vessels as soft shapes placed by heart-box coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.draws import normal, stream
from CACScoringLib.phantom.levels import heart_floor, spine_of
from CACScoringLib.phantom.parts import Part, ball, nearest, pipe, rod


@dataclass(frozen=True, eq=False)
class Heart:
    """Parts of the heart, painted in the order of the attributes (later ones win).

    Attributes
    ----------
    right_ventricle, right_atrium, left_atrium, pulmonary, veins, cavae, aorta : list of Part
    myocardium, left_ventricle : Part
    points : named landmarks (x, y, z) in mm
    wall_radius : list of (points, radii) of the aorta's tube, for calcification of its wall
    """

    right_ventricle: list[Part]
    right_atrium: list[Part]
    left_atrium: list[Part]
    pulmonary: list[Part]
    veins: list[Part]
    cavae: list[Part]
    myocardium: Part
    left_ventricle: Part
    root: list[Part]
    arch: list[Part]
    points: dict[str, np.ndarray]
    aorta_line: tuple[np.ndarray, np.ndarray]
    lv_axes: np.ndarray

    @property
    def aorta(self) -> list[Part]:
        """Return root, ascending aorta, arch and descending aorta."""
        return [*self.root, *self.arch]

    @property
    def muscle(self) -> list[Part]:
        """Return what the coronary arteries lie on."""
        return [
            self.myocardium,
            *self.right_ventricle,
            *self.right_atrium,
            *self.left_atrium,
            *self.pulmonary[:3],
            *self.root,
        ]

    def surface(self, points: np.ndarray) -> np.ndarray:
        """Return the distance of points (n, 3) to the outside of heart muscle, root and pulmonary trunk."""
        return nearest(self.muscle, points)


def frame(axis: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return three orthonormal rows; the first along ``axis``, the third as near ``up`` as can be."""
    first = axis / np.sqrt((axis * axis).sum())
    second = np.cross(up, first)
    second = second / np.sqrt((second * second).sum())
    return np.round(np.stack([first, second, np.cross(first, second)]), 6)


def build_heart(anatomy: Anatomy) -> Heart:
    """Place the chambers and great vessels."""
    rng = stream(anatomy.seed, "heart")
    u = anatomy.unit

    def at(fx: float, fy: float, fz: float, jitter: float = 0.02) -> np.ndarray:
        return anatomy.box(*(np.array([fx, fy, fz]) + np.clip(rng.normal(0, jitter, 3), -2.5 * jitter, 2.5 * jitter)))

    def size(value: float, sd: float = 0.07) -> float:
        return value * u * normal(rng, 1.0, sd)

    up = np.array([0.0, 0.0, 1.0])
    floor = heart_floor(anatomy)
    eye = np.eye(3)
    mitral, apex = at(0.56, 0.73, 0.40, 0.015), at(0.92, 0.38, 0.075, 0.015)
    axis = apex - mitral
    length = float(np.sqrt((axis * axis).sum()))
    axes = frame(axis, up)
    wall, short = size(8.8, 0.12), size(20.5)
    half = 0.56 * length + 7.5 * u
    center = apex + axes[0] * (2.0 - half)
    outer = ball(center, axes, (half, short + wall, short + wall))
    cavity = ball(center, axes, (half - wall, short, short))
    base_cut = mitral - axes[0] * 2.0
    left = normal(rng, 0.0, 0.02)
    rv_axes = frame(np.array([1.0, -0.12, -0.30 + left]), up)
    outflow = [at(0.50, 0.27, 0.50), at(0.51, 0.36, 0.66), at(0.51, 0.45, 0.80), at(0.56, 0.62, 1.0)]
    trunk = size(13.0, 0.1)
    rv = [
        ball(at(0.46, 0.34, 0.28), rv_axes, (size(45, 0.04), size(31), size(31))).above(floor),
        rod(outflow[0], outflow[1], size(18), trunk * 1.1),
    ]
    pulmonary = [
        *pipe(outflow[1:], [trunk * 1.08, trunk, trunk]),
        *pipe(
            [outflow[3], at(0.36, 0.72, 1.02), at(0.10, 0.78, 1.0), at(-0.08, 0.82, 0.97)],
            [trunk * 0.9, size(11), size(9), size(7)],
        ),
        *pipe(
            [outflow[3], at(0.66, 0.80, 1.06), at(0.82, 0.98, 1.04), at(0.92, 1.04, 0.88)],
            [trunk * 0.9, size(11), size(9.5), size(7)],
        ),
    ]
    atrium_axes = frame(np.array([1.0, 0.05, 0.10]), up)
    la = [
        ball(at(0.49, 0.83, 0.54), atrium_axes, (size(28), size(19.5, 0.12), size(28))),
        ball(at(0.45, 0.66, 0.32), eye, (size(22), size(19), size(22))),
        ball(at(0.68, 0.64, 0.70), eye, (size(10), size(13), size(11))),
    ]
    veins = [
        *pipe([at(0.29, 0.86, 0.62), at(0.16, 0.90, 0.70), at(0.02, 0.88, 0.84)], [size(7.5), size(5.5), size(4.5)]),
        *pipe([at(0.74, 0.88, 0.64), at(0.84, 0.86, 0.74), at(0.95, 0.82, 0.90)], [size(7.5), size(5.5), size(4.5)]),
        *pipe([at(0.32, 0.94, 0.48), at(0.16, 1.04, 0.42), at(0.02, 1.14, 0.28)], [size(7.5), size(5.5), size(4.5)]),
        *pipe([at(0.70, 0.96, 0.48), at(0.84, 1.06, 0.43), at(0.96, 1.16, 0.28)], [size(7.5), size(5.5), size(4.5)]),
    ]
    ra = [
        ball(
            at(0.22, 0.59, 0.37),
            frame(np.array([0.12, 0.05, 1.0]), np.array([1.0, 0.0, 0.0])),
            (size(31), size(26), size(21)),
        ).above(floor),
        ball(at(0.21, 0.44, 0.66), eye, (size(10), size(13), size(11))),
    ]
    svc = size(9.0)
    svc_line = [at(0.12, 0.64, 0.62), at(0.09, 0.62, 1.05), at(0.12, 0.55, 1.55), at(0.20, 0.45, 1.95)]
    cavae = [
        *pipe(svc_line, [svc * 1.1, svc, svc, svc * 0.8]),
        *pipe([at(0.17, 0.64, 0.26), at(0.15, 0.70, 0.12), at(0.17, 0.78, -0.5)], [size(12), size(12), size(12)]),
    ]
    growth = normal(rng, 1.0 + 0.003 * (anatomy.age - 60), 0.09, 0.8, 1.4)
    asc, desc = size(16.0, 0.02) * growth, size(13.0, 0.06) * growth
    annulus, sinus = at(0.46, 0.63, 0.50, 0.01), at(0.39, 0.58, 0.63, 0.01)
    root_points = [annulus, sinus, at(0.34, 0.56, 0.75), at(0.25, 0.54, 0.92), at(0.22, 0.55, 1.14)]
    root = pipe(root_points, [size(12.5), size(16.5), asc * 0.95, asc, asc])
    beside = normal(rng, 18, 4)

    def before_spine(x: float, fz: float) -> np.ndarray:
        z = fz * float(anatomy.box_size[2])
        return np.array([x, float(spine_of(anatomy, np.float32(z))) - 0.75 * desc, z])

    arch_points = [
        root_points[-1],
        at(0.25, 0.64, 1.40),
        at(0.34, 0.80, 1.54),
        0.5 * (at(0.46, 1.02, 1.46) + before_spine(beside + 5, 1.46)),
        before_spine(beside + 5, 1.25),
        before_spine(beside + 3, 1.0),
        before_spine(beside, 0.43),
        before_spine(0.8 * beside, 0.0),
        before_spine(0.35 * beside, -0.8),
        before_spine(0.2 * beside, -1.6),
    ]
    arch_radii = [
        asc,
        asc * 0.95,
        asc * 0.9,
        desc * 1.08,
        desc * 1.03,
        desc,
        desc * 0.97,
        desc * 0.95,
        desc * 0.93,
        desc * 0.9,
    ]
    branches = []
    for offset in ((0.24, 0.60), (0.36, 0.72), (0.44, 0.86)):
        start = at(offset[0], offset[1], 1.50)
        branches += pipe(
            [start, start + np.array([normal(rng, 0, 6), normal(rng, -2, 4), 45.0 * u])], [size(5.0), size(4.0)]
        )
    return Heart(
        right_ventricle=rv,
        right_atrium=ra,
        left_atrium=la,
        pulmonary=pulmonary,
        veins=veins,
        cavae=cavae,
        myocardium=outer.above(floor).cut(base_cut, -axes[0]),
        left_ventricle=cavity.above(floor.grown(wall)).cut(base_cut, -axes[0]),
        root=root,
        arch=[*pipe(arch_points, arch_radii), *branches],
        points={
            "mitral": mitral,
            "apex": apex,
            "annulus": annulus,
            "sinus": sinus,
            "lv": center,
            "rv": at(0.49, 0.34, 0.31, 0.0),
        },
        aorta_line=(
            np.array([*root_points[1:], *arch_points[1:]]),
            np.array([size(16.5, 0.0), asc * 0.95, asc, asc, *arch_radii[1:]]),
        ),
        lv_axes=axes,
    )
