"""Body wall, ribs, sternum, spine, lungs and upper abdomen painted into a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.abdomen import paint_abdomen
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas, Field
from CACScoringLib.phantom.draws import normal, stream, uniform
from CACScoringLib.phantom.levels import front_of, spine_of
from CACScoringLib.phantom.parts import ball
from CACScoringLib.phantom.spine import paint_spine
from CACScoringLib.phantom.tissue import Tissue

RIB_PITCH_MM = 27.0
CARTILAGE_CALCIUM_HU = 700.0
"""Contrast of calcified rib cartilage, more of it with age; without a label, for nobody marks it."""


@dataclass(frozen=True, eq=False)
class Thorax:
    """Smooth fields that later painters need: distance to the inner chest wall, and the sternum's and spine's front."""

    cavity: Field
    body: Field


def paint_thorax(canvas: Canvas, anatomy: Anatomy, tissue: Tissue) -> Thorax:
    """Paint everything but the mediastinum; return the fields that place it."""
    rng = stream(anatomy.seed, "thorax")
    a = anatomy
    shapes = WallShapes(a, rng)
    wobble = canvas.coarse_noise(rng, 38.0)
    cavity = canvas.field(shapes.cavity)
    cavity.data += wobble * np.float32(1.2)
    muscle = canvas.field(shapes.muscle)
    muscle.data += canvas.coarse_noise(rng, 26.0) * np.float32(1.8)
    body = canvas.field(shapes.body)
    body.data = np.minimum(body.data + wobble * np.float32(1.5), muscle.data - np.float32(3.5))
    phase = canvas.field(shapes.rib_phase)
    texture = canvas.noise(rng, 10.0)
    lung_slope = np.float32(normal(rng, 75, 25, 0, 150) / a.chest_depth)
    offset = uniform(rng, 0.0, RIB_PITCH_MM)
    reach = shapes.reach
    box = canvas.grid.block((-reach[0], -reach[1], -1e4), (reach[0], reach[2], 1e4))
    for block in canvas.chunks(box):
        b = body(block)
        if float(b.min()) > canvas.edge:
            continue
        x, y, _ = canvas.coordinates(block)
        c, m, grain = cavity(block), muscle(block), texture(block)
        canvas.blend(block, sdf.alpha(b, canvas.edge), np.float32(tissue.skin))
        canvas.blend(block, sdf.alpha(b + np.float32(2.2), canvas.edge), np.float32(tissue.fat))
        canvas.blend(block, sdf.alpha(m, canvas.edge * 1.3), np.float32(tissue.muscle))
        between = np.float32(0.75) * sdf.alpha(np.maximum(c - np.float32(11.0), m), canvas.edge)
        canvas.blend(
            block, between * np.clip(np.float32(0.45) + np.float32(0.5) * grain, 0.0, 1.0), np.float32(tissue.fat)
        )
        plane = np.abs(c - np.float32(13.0)) - np.float32(0.3) - np.float32(1.0) * grain
        canvas.blend(block, np.float32(0.85) * sdf.alpha(np.maximum(plane, m), canvas.edge), np.float32(tissue.fat))
        ribs(canvas, block, c, phase(block), grain, x, y, offset, a, tissue)
        lung = np.float32(tissue.lung) + grain * np.float32(30.0) + (y - np.float32(0.5 * a.chest_depth)) * lung_slope
        canvas.blend(block, sdf.alpha(c, canvas.edge), lung)
    paint_sternum(canvas, a, tissue)
    paint_abdomen(canvas, a, tissue, cavity)
    paint_spine(canvas, a, tissue)
    return Thorax(cavity, body)


class WallShapes:
    """Outlines of the inner chest wall, the muscles on it and the skin."""

    def __init__(self, anatomy: Anatomy, rng: np.random.Generator):
        self.a = a = anatomy
        self.middle = 0.45 * float(a.box_size[2])
        self.square = uniform(rng, 0.12, 0.35)
        self.breast = []
        if a.sex == "F":
            size = uniform(rng, 0.3, 1.0)
            self.breast = [
                ball(
                    (side * normal(rng, 82, 8), -a.fat_front - 8.0, 0.42 * a.box_size[2]),
                    np.eye(3), (58.0, (18.0 + 0.8 * a.fat_front) * (0.5 + size), 68.0),
                )
                for side in (-1.0, 1.0)
            ]  # fmt: skip
        width = 0.5 * a.chest_width + 24.0 + a.muscle + a.fat_side
        self.reach = (width + 70.0, a.fat_front + 110.0, a.chest_depth + a.fat_back + 90.0)

    def _inner(self, x, y, z, shrink: bool):
        a = self.a
        up = np.maximum(z - np.float32(self.middle), np.float32(0.0)) * np.float32(1.0 / (a.apex_height - self.middle))
        narrow = np.sqrt(np.maximum(np.float32(1.0) - up * up, np.float32(0.02))) if shrink else np.float32(1.0)
        front, back = front_of(a, z), spine_of(a, z) + np.float32(a.chest_depth - a.spine_front)
        half_depth = np.float32(0.5) * (back - front)
        if shrink:
            half_depth = half_depth * (np.float32(0.35) + np.float32(0.65) * narrow)
        half_width = np.float32(0.5 * a.chest_width) * narrow
        center = np.float32(0.5) * (front + back)
        return sdf.superellipse(x, y - center, half_width, half_depth, 0.30), (y - center) / half_depth, x / half_width

    def cavity(self, x, y, z):
        """Return the distance to the inner chest wall; the lungs taper to their apex."""
        return self._inner(x, y, z, True)[0]

    def muscle(self, x, y, z):
        """Return the distance to the outside of ribs and muscles: thicker at pectoral, latissimus and erector."""
        a = self.a
        d, ny, nx = self._inner(x, y, z, False)
        high = np.clip((z - np.float32(a.box_size[2])) * np.float32(0.014), 0.0, 1.0)
        ahead, back, side = np.clip(-ny, 0.0, 1.0), np.clip(ny, 0.0, 1.0), np.abs(nx)
        pectoral = (
            np.clip(np.float32(1.0) - np.abs(side - np.float32(0.45)) * np.float32(2.6), 0.0, 1.0) * ahead * ahead
        )
        pectoral = pectoral * np.clip((z - np.float32(0.2 * a.box_size[2])) * np.float32(0.012), 0.0, 1.0)
        lateral = np.clip(side - np.float32(0.45), 0.0, 1.0) * np.clip(ny + np.float32(0.65), 0.0, 1.0)
        erector = np.clip(np.float32(1.0) - np.abs(x) * np.float32(1 / 75.0), 0.0, 1.0) * back * back
        thick = np.float32(9.5) + pectoral * np.float32(2.2 * a.muscle) + lateral * np.float32(2.0 * a.muscle)
        thick = thick + erector * np.float32(9.0 + 1.2 * a.muscle)
        wide = np.clip(side - np.float32(0.3), 0.0, 1.0)
        return d - thick - high * (np.float32(26.0) * wide + np.float32(5.0))

    def body(self, x, y, z):
        """Return the distance to the skin: an ellipse of its own, flat where the patient lies on the table."""
        a = self.a
        front, back = front_of(a, z) * np.float32(0.8), spine_of(a, z) + np.float32(a.chest_depth - a.spine_front)
        ahead = front - np.float32(13.0 + a.fat_front + 0.3 * a.muscle)
        behind = back + np.float32(17.0 + a.fat_back + a.muscle)
        high = np.clip((z - np.float32(a.box_size[2])) * np.float32(0.010), 0.0, 1.0)
        half_width = np.float32(0.5 * a.chest_width + 15.0 + 1.1 * a.muscle + a.fat_side) + np.float32(26.0) * high
        half_depth = np.float32(0.5) * (behind - ahead) + np.float32(4.0)
        d = sdf.superellipse(x, y - np.float32(0.5) * (ahead + behind), half_width, half_depth, self.square)
        for part in self.breast:
            d = sdf.smooth_union(d, part.shape(x, y, z), 20.0)
        return -sdf.smooth_union(-d, behind - np.float32(2.0) - y, 14.0)

    def rib_phase(self, x, y, z):
        """Return height along the rib cage: ribs run down from the spine to the front."""
        _, ny, nx = self._inner(x, y, z, True)
        return (
            z
            - np.float32(62.0) * (np.float32(0.5) + np.float32(0.5) * np.clip(ny, -1.2, 1.2))
            + np.float32(8.0) * nx * nx
        )


def ribs(canvas: Canvas, block, cavity, phase, grain, x, y, offset: float, anatomy: Anatomy, tissue: Tissue) -> None:
    """Paint all ribs at once: shells between the inner wall and 10 mm outside, repeated along the rib phase."""
    view = canvas.hu[block]
    chosen = np.flatnonzero((cavity > 0.2) & (cavity < 12.5))
    if not chosen.size:
        return
    d = cavity.ravel()[chosen]
    u = phase.ravel()[chosen] + np.float32(offset)
    u = u - np.float32(RIB_PITCH_MM) * np.rint(u * np.float32(1.0 / RIB_PITCH_MM))
    xx = np.broadcast_to(x, cavity.shape).ravel()[chosen]
    yy = np.broadcast_to(y, cavity.shape).ravel()[chosen]
    qx, qu = (d - np.float32(5.6)) * np.float32(1 / 4.2), u * np.float32(1 / 7.2)
    r = np.sqrt(qx * qx + qu * qu + sdf.TINY)
    outside = (r - np.float32(1.0)) * np.float32(4.6)
    front = np.clip((np.float32(0.30 * anatomy.chest_depth) - yy) * np.float32(0.05), 0.0, 1.0)
    front = front * np.clip((np.float32(0.36 * anatomy.chest_width) - np.abs(xx)) * np.float32(0.1), 0.0, 1.0)
    shell = np.float32(tissue.cortical) + front * np.float32(tissue.cartilage - tissue.cortical)
    marrow = np.float32(tissue.rib_marrow) + front * np.float32(tissue.cartilage - tissue.rib_marrow)
    grain = grain.ravel()[chosen]
    shell = shell * (np.float32(1.0) + np.float32(0.3) * grain)
    spots = front * np.clip(grain - np.float32(1.9 - 0.014 * anatomy.age), 0.0, 1.0) * np.float32(CARTILAGE_CALCIUM_HU)
    shell, marrow = shell + spots, marrow + spots
    flat = view.reshape(-1)[chosen]
    cover = sdf.alpha(outside, canvas.edge)
    flat += cover * (shell - flat)
    cover = sdf.alpha(outside + np.float32(1.5), canvas.edge)
    flat += cover * (marrow - flat)
    values = view.reshape(-1).copy()
    values[chosen] = flat
    view[...] = values.reshape(view.shape)


def paint_sternum(canvas: Canvas, anatomy: Anatomy, tissue: Tissue) -> None:
    """Paint the sternum: a thin plate that widens to the manubrium, with a cortical shell."""
    s = float(anatomy.box_size[2])

    def plate(x, y, z):
        center = front_of(anatomy, z) - np.float32(6.5)
        half = np.float32(15.0) + np.float32(7.0) * np.clip((z - np.float32(s + 10.0)) * np.float32(0.02), -0.8, 1.0)
        return sdf.rounded_box(x / half * np.float32(17.0), y - center, z, (0, 0, s * 0.9), (17.0, 5.5, s * 0.62), 4.5)

    low, high = np.array([-26.0, -14.0, 0.1 * s]), np.array([26.0, 40.0, 1.8 * s])
    canvas.paint(low, high, plate, tissue.cortical * 0.85)
    canvas.paint(low, high, lambda x, y, z: plate(x, y, z) + np.float32(1.6), tissue.rib_marrow * 0.8)
