"""Body wall, ribs, sternum, spine, lungs and upper abdomen painted into a canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas, Field
from CACScoringLib.phantom.draws import normal, stream, uniform
from CACScoringLib.phantom.parts import ball
from CACScoringLib.phantom.spine_line import front_of, heart_floor, spine_of
from CACScoringLib.phantom.tissue import Tissue

RIB_PITCH_MM = 27.0
VERTEBRA_PITCH_MM = 27.0


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
    lung_slope = np.float32(normal(rng, 45, 15) / a.chest_depth)
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
        lung = np.float32(tissue.lung) + grain * np.float32(16.0) + (y - np.float32(0.5 * a.chest_depth)) * lung_slope
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
        """Return the distance to the outside of ribs and muscles: pectoral in front, latissimus at the side, erector at the back."""
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
    shell = shell * (np.float32(1.0) + np.float32(0.3) * grain.ravel()[chosen])
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


def paint_spine(canvas: Canvas, anatomy: Anatomy, tissue: Tissue) -> None:
    """Paint vertebral bodies, discs, canal and processes, repeated along z."""
    half_w, half_d = 0.5 * anatomy.vertebra_width, 0.43 * anatomy.vertebra_width
    pitch = np.float32(VERTEBRA_PITCH_MM * anatomy.scale)
    rng = stream(anatomy.seed, "spine")
    shift = np.float32(uniform(rng, 0, 27))
    texture = canvas.noise(rng, 5.0)
    back = anatomy.spine_front + 2.0 * half_d

    def local(z):
        u = z + shift
        return u - pitch * np.rint(u / pitch)

    def center_x(z):
        return np.float32(anatomy.scoliosis) * np.clip((z - np.float32(40.0)) * np.float32(0.01), -1.5, 1.5)

    low = np.array([-52.0, anatomy.spine_front - 25.0, -300.0])
    high = np.array([52.0, anatomy.spine_front + 95.0, 500.0])
    for block in canvas.chunks(canvas.grid.block(low, high)):
        x, y, z = canvas.coordinates(block)
        x = x - center_x(z)
        y = y - (spine_of(anatomy, z) - np.float32(anatomy.spine_front))
        u = local(z)
        body = sdf.superellipse(x, y - np.float32(anatomy.spine_front + half_d), np.float32(half_w), np.float32(half_d))
        beside = sdf.superellipse(x, y - np.float32(back + 12.0), np.float32(half_w + 3.0), np.float32(31.0))
        soft = np.minimum(body - np.float32(2.0), beside)
        canvas.blend(block, sdf.alpha(soft, canvas.edge * 1.5), np.float32(tissue.muscle))
        canal = sdf.superellipse(x, y - np.float32(back + 7.0), np.float32(10.0), np.float32(8.0))
        arch = np.maximum(np.abs(canal - np.float32(2.5)) - np.float32(3.0), np.abs(u) - np.float32(9.0))
        ax = np.abs(x)
        transverse = sdf.capsule(ax, y, u, (10.0, back + 12.0, 3.0), (37.0, back + 22.0, 7.0), 5.5, 4.5)
        spinous = sdf.capsule(ax, y, u, (0.0, back + 18.0, 2.0), (0.0, back + 42.0, -12.0), 4.0, 3.0)
        bone = np.minimum(np.minimum(body, arch), np.minimum(transverse, spinous))
        disc = np.maximum(body, np.float32(0.5) * pitch - np.float32(2.6) - np.abs(u))
        grain = texture(block)
        hard = np.float32(tissue.cortical) * (np.float32(0.85) + np.float32(0.25) * grain)
        canvas.blend(block, sdf.alpha(bone, canvas.edge), hard)
        rim = np.clip(np.float32(1.0) + body * np.float32(1 / 7.0), 0.0, 1.0)
        rim = np.maximum(rim, np.clip((np.abs(u) - np.float32(4.0)) * np.float32(1 / 6.0), 0.0, 1.0))
        inner = np.float32(tissue.marrow) + grain * np.float32(30.0) + rim * np.float32(110.0)
        canvas.blend(block, sdf.alpha(bone + np.float32(1.5), canvas.edge), inner)
        end_plate = np.maximum(body, np.abs(np.abs(u) - (np.float32(0.5) * pitch - np.float32(3.2))) - np.float32(0.7))
        canvas.blend(block, np.float32(0.6) * sdf.alpha(end_plate, canvas.edge), np.float32(tissue.cortical * 0.7))
        canvas.blend(block, sdf.alpha(disc, canvas.edge), np.float32(80.0))
        canvas.blend(block, sdf.alpha(canal, canvas.edge), np.float32(28.0))


def paint_abdomen(canvas: Canvas, anatomy: Anatomy, tissue: Tissue, cavity: Field) -> None:
    """Paint the domes of the diaphragm with liver, stomach, spleen and fat below, their edge blurred by breathing."""
    a = anatomy
    rng = stream(a.seed, "abdomen")
    w, d = a.chest_width, a.chest_depth
    eye = np.eye(3)
    x0 = float(a.box_origin[0] + 0.5 * a.box_size[0])
    floor = a.floor
    right = ball((-0.23 * w, 0.50 * d, a.dome_right - 90.0), eye, (0.31 * w, 0.50 * d, 90.0))
    left = ball((0.25 * w, 0.52 * d, a.dome_left - 85.0), eye, (0.28 * w, 0.50 * d, 85.0))
    bridge, below = heart_floor(a), ball((x0, 0.36 * d, floor - 60.0), eye, (0.36 * w, 0.42 * d, 90.0))
    lobe = ball(
        (x0 - 14.0, 0.30 * d, floor - 60.0 - uniform(rng, 0, 9)), eye, (uniform(rng, 0.24, 0.36) * w, 0.36 * d, 62.0)
    )
    spleen = ball((0.33 * w, 0.76 * d, a.dome_left - uniform(rng, 42, 60)), eye, (30.0, 40.0, 46.0))
    stomach = ball((0.27 * w, 0.48 * d, a.dome_left - uniform(rng, 40, 60)), eye, (36.0, 42.0, 44.0))
    content = np.float32(uniform(rng, -20, 45))
    air = np.float32(a.spine_front * uniform(rng, 0.1, 0.5))
    top = max(a.dome_right, a.dome_left, floor) + 8.0
    low, high = np.array([-0.56 * w, -20.0, -400.0]), np.array([0.56 * w, d + 15.0, top])
    blur = canvas.edge + a.dome_blur
    wobble = canvas.coarse_noise(rng, 34.0)
    wobble = Field(wobble * np.float32(2.0), canvas.grid, canvas.coarse)
    for block in canvas.chunks(canvas.grid.block(low, high)):
        x, y, z = canvas.coordinates(block)
        c = cavity(block)
        inside = sdf.alpha(c, canvas.edge)
        shift = wobble(block)
        liver_dome = right.shape(x, y, z) + shift
        domes = sdf.smooth_union(liver_dome, left.shape(x, y, z) + shift, 24.0)
        domes = sdf.smooth_union(domes, np.maximum(bridge.shape(x, y, z), below.shape(x, y, z)), 20.0)
        canvas.blend(block, sdf.alpha(domes, blur) * inside, np.float32(tissue.muscle - 8.0))
        canvas.blend(
            block,
            sdf.alpha(domes + np.float32(3.5), blur) * sdf.alpha(c + np.float32(3.0), canvas.edge),
            np.float32(tissue.fat - 3.0),
        )
        inside = sdf.alpha(c + np.float32(2.5), canvas.edge)
        liver = np.minimum(liver_dome, lobe.shape(x, y, z)) + np.float32(1.5)
        canvas.blend(
            block, sdf.alpha(np.maximum(liver, domes + np.float32(1.0)), blur) * inside, np.float32(tissue.liver)
        )
        canvas.blend(
            block, sdf.alpha(np.maximum(spleen.shape(x, y, z), domes), blur) * inside, np.float32(tissue.spleen)
        )
        gut = np.maximum(np.maximum(stomach.shape(x, y, z), domes + np.float32(3.0)), c + np.float32(4.0))
        canvas.blend(block, sdf.alpha(gut, blur), np.float32(tissue.muscle))
        filling = np.where(y < air, np.float32(-980.0), content)
        canvas.blend(block, sdf.alpha(gut + np.float32(5.0), canvas.edge), filling)
