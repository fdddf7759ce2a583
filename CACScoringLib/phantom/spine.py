"""The thoracic spine: bodies, discs, canal and processes, repeated along z."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas
from CACScoringLib.phantom.draws import normal, stream, uniform
from CACScoringLib.phantom.levels import spine_of
from CACScoringLib.phantom.tissue import Tissue

VERTEBRA_PITCH_MM = 27.0


def paint_spine(canvas: Canvas, anatomy: Anatomy, tissue: Tissue) -> None:
    """Paint vertebral bodies, discs, canal and processes, repeated along z."""
    half_w, half_d = 0.5 * anatomy.vertebra_width, 0.43 * anatomy.vertebra_width
    pitch = np.float32(VERTEBRA_PITCH_MM * anatomy.scale)
    rng = stream(anatomy.seed, "spine")
    shift = np.float32(uniform(rng, 0, 27))
    texture = canvas.noise(rng, 5.0)
    spurs = max(normal(rng, 0.05 * (anatomy.age - 50.0), 1.2), 0.0)
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
        lip = np.clip((np.abs(u) - np.float32(7.0)) * np.float32(0.25), 0.0, 1.0) * np.clip(
            x * np.float32(-0.1), 0.0, 1.0
        )
        body = body - lip * np.float32(spurs)
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
