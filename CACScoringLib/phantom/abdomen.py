"""The upper abdomen: domes of the diaphragm, liver, stomach and spleen."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas, Field
from CACScoringLib.phantom.draws import stream, uniform
from CACScoringLib.phantom.levels import heart_floor
from CACScoringLib.phantom.parts import ball
from CACScoringLib.phantom.tissue import Tissue


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
