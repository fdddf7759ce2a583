"""Mediastinal fat, great vessels, pericardial sac, chambers and airways painted into a canvas."""

from __future__ import annotations

import numpy as np

from CACScoringLib.phantom import sdf
from CACScoringLib.phantom.anatomy import Anatomy
from CACScoringLib.phantom.canvas import Canvas, Field
from CACScoringLib.phantom.draws import chance, normal, stream, uniform
from CACScoringLib.phantom.heart import Heart
from CACScoringLib.phantom.levels import front_of, heart_floor, spine_of
from CACScoringLib.phantom.parts import Part, ball, pipe, rod, union_field
from CACScoringLib.phantom.thorax import Thorax
from CACScoringLib.phantom.tissue import Tissue
from CACScoringLib.vocabulary import Structure

STRAND = 0.22
"""Half width, in SD of the texture, of the contour lines that are the fat's septa and small vessels."""
STRAND_HU = 32.0
RECESS_SHARE = 0.6


def sac_parts(anatomy: Anatomy, heart: Heart) -> list[Part]:
    """Return the pericardial sac: heart parts grown by their epicardial fat, thicker on the right (section 1)."""
    fat = anatomy.epicardial
    rv, groove = heart.right_ventricle, heart.points["sinus"]
    return [
        heart.myocardium.grown(0.5 * fat),
        *(part.grown(1.15 * fat) for part in rv),
        *(part.grown(0.6 * fat) for part in heart.right_atrium),
        *(part.grown(2.0) for part in heart.left_atrium),
        *(part.grown(0.6 * fat) for part in heart.pulmonary[:2]),
        *(part.grown(0.5 * fat) for part in heart.root[:3]),
        ball(groove, np.eye(3), (25 * anatomy.unit, 24 * anatomy.unit, 18 * anatomy.unit)),
    ]


def envelope_parts(anatomy: Anatomy, heart: Heart, oesophagus: list[Part], airways: list[Part]) -> list[Part]:
    """Return what the mediastinal fat wraps, besides the sac."""
    u = anatomy.unit
    parts = [
        part.grown(1.8) for part in (*heart.root, *heart.arch[:5], *heart.arch[-6:], *heart.cavae[:3], *heart.pulmonary)
    ]
    parts += [part.grown(1.2) for part in (*heart.arch[5:-6], *heart.cavae[3:4], *heart.veins)]
    parts += [part.grown(3.0) for part in oesophagus] + [part.grown(4.0) for part in airways[:3]]
    parts += [
        rod(
            heart.points["sinus"] + np.array([6.0, -10 * u, 35 * u]),
            heart.points["sinus"] + np.array([0.0, 0.0, 110 * u]),
            14 * u,
        )
    ]
    parts += [part.above(heart_floor(anatomy).grown(1.0)) for part in fat_pads(anatomy)]
    return parts


def paint_mediastinum(
    canvas: Canvas, anatomy: Anatomy, heart: Heart, tissue: Tissue, thorax: Thorax, swing: tuple[float, ...]
) -> Field:
    """Paint fat, airways, vessels and the heart; return the distance field of the pericardial sac.

    ``swing`` holds offsets in mm of the heart border over the acquisition: more than one doubles the border.
    """
    rng = stream(anatomy.seed, "mediastinum")
    a = anatomy
    oesophagus = oesophagus_of(anatomy, heart, rng)
    airways = airways_of(anatomy, heart, rng)
    sac = union_field(canvas, [part.above(heart_floor(a).grown(-2.0)) for part in sac_parts(a, heart)], 26.0)
    sac.data += canvas.coarse_noise(rng, 17.0) * np.float32(1.6)
    envelope = union_field(canvas, envelope_parts(a, heart, oesophagus, airways), 11.0)
    envelope.data = np.minimum(envelope.data, sac.data - np.float32(1.0))
    envelope.data = sdf.smooth_union(envelope.data, retrosternal(canvas, a, heart, rng), 12.0)
    texture = canvas.noise(rng, 4.0)
    slow = canvas.noise(rng, 14.0)
    corners = np.array([a.box(fx, fy, fz) for fx in (-0.4, 1.4) for fy in (-0.4, 1.6) for fz in (-1.4, 2.2)])
    low, high = corners.min(axis=0), corners.max(axis=0)
    fat, soft = np.float32(tissue.epicardial_fat), np.float32(tissue.muscle - 5.0)
    middle = np.float32(a.box(0.5, 0.5, 0.5)[1])
    reach = max(abs(s) for s in swing) + canvas.edge
    for block in canvas.chunks(canvas.grid.block(low, high)):
        e = envelope(block)
        if float(e.min()) > reach:
            continue
        inside = np.maximum(e, thorax.cavity(block) - np.float32(2.0))
        strand = np.maximum(np.float32(STRAND) - np.abs(texture(block) - np.float32(0.35)), 0.0)
        value = fat + strand * np.float32(STRAND_HU / STRAND) + slow(block) * np.float32(9.0)
        canvas.blend(block, swung(inside, swing, canvas.edge), value)
        s = sac(block)
        line = sdf.alpha(np.abs(s + np.float32(0.2)) - np.float32(0.4), canvas.edge)
        shown = np.clip(
            np.float32(0.28)
            + np.float32(0.3) * slow(block)
            + (middle - canvas.coordinates(block)[1]) * np.float32(0.006),
            0.0,
            0.6,
        )
        canvas.blend(block, shown * line, soft)
    for part in oesophagus:
        canvas.paint(part.low, part.high, part.shape, tissue.muscle - 14.0)
    for part, hu in recesses(anatomy):
        canvas.paint(part.low, part.high, part.shape, hu)
    paint_airways(canvas, airways, tissue)
    paint_heart(canvas, heart, tissue, rng)
    return sac


def recesses(anatomy: Anatomy) -> list[tuple[Part, float]]:
    """Return pockets of pericardial fluid with their HU: behind the ascending aorta, beside the pulmonary trunk."""
    rng = stream(anatomy.seed, "recesses")
    u, out = anatomy.unit, []
    for place, radii in (
        ((0.30, 0.68, 0.98), (13.0, 7.0, 9.0)),
        ((0.40, 0.60, 0.88), (9.0, 7.0, 8.0)),
        ((0.62, 0.50, 0.84), (6.0, 5.0, 8.0)),
    ):
        grown, hu = normal(rng, 1.0, 0.25) * u, normal(rng, 25.0, 8.0)
        if chance(rng, RECESS_SHARE):
            out.append((ball(anatomy.box(*place), np.eye(3), tuple(radius * grown for radius in radii)), hu))
    return out


def swung(distance: np.ndarray, swing: tuple[float, ...], edge: float) -> np.ndarray:
    """Return the cover of a moving border: the mean over its positions."""
    cover = sdf.alpha(distance + np.float32(swing[0]), edge)
    for offset in swing[1:]:
        cover = cover + sdf.alpha(distance + np.float32(offset), edge)
    return cover * np.float32(1.0 / len(swing))


def fat_pads(anatomy: Anatomy) -> list[Part]:
    """Return the fat in the angles between heart, diaphragm and chest wall, larger in the obese."""
    rng = stream(anatomy.seed, "pads")
    size = 0.7 + 0.03 * (anatomy.bmi - 22.0)
    left = anatomy.box(0.70, 0.02, 0.06) + np.array([normal(rng, 0, 6), 0.0, 0.0])
    right = anatomy.box(0.14, 0.16, 0.04)
    return [
        ball(left, np.eye(3), (normal(rng, 34, 7) * size, normal(rng, 17, 4) * size, normal(rng, 22, 5) * size)),
        ball(right, np.eye(3), (normal(rng, 20, 5) * size, normal(rng, 20, 5) * size, normal(rng, 18, 5) * size)),
        ball(
            anatomy.box(0.45, 0.0, 0.10),
            np.eye(3),
            (normal(rng, 34, 7) * size, normal(rng, 12, 4) * size, normal(rng, 24, 5) * size),
        ),
    ]


def retrosternal(canvas: Canvas, anatomy: Anatomy, heart: Heart, rng: np.random.Generator) -> np.ndarray:
    """Return the distance to the fat between heart and sternum (coarse grid): a thin line, wide near the sternum."""
    x, y = canvas.coarse.plane()
    z = canvas.coarse.axis(0).astype(np.float32)[:, None, None]
    s = float(anatomy.box_size[2])
    lean = uniform(rng, 0.0, 10.0)
    y = y[None] - front_of(anatomy, z)
    depth = np.float32(0.5 * anatomy.box_size[1])
    low = np.clip(np.float32(0.5 * s) - z, 0.0, 60.0)
    flare = np.clip(np.float32(9.0) - y, 0.0, 14.0) * np.float32(uniform(rng, 0.3, 1.6))
    thick = np.float32(uniform(rng, 0.3, 3.0)) + np.float32(0.10) * low + flare
    plate = np.abs(x[None] - np.float32(lean) - np.float32(uniform(rng, 0.0, 0.3)) * y) - thick
    plate = np.maximum(plate, y - depth)
    return np.maximum(plate, np.float32(-0.15 * s) - z)


def oesophagus_of(anatomy: Anatomy, heart: Heart, rng: np.random.Generator) -> list[Part]:
    """Return the oesophagus between left atrium and spine, right of the descending aorta."""
    s = float(anatomy.box_size[2])
    course = ((1.0, -10.0, 2.0), (0.0, -9.0, 1.1), (0.0, -10.0, 0.5), (6.0, -20.0, 0.1), (20.0, -34.0, -0.4))
    points = [np.array([x, float(spine_of(anatomy, np.float32(fz * s))) + dy, fz * s]) for x, dy, fz in course]
    return pipe(points, [normal(rng, 5.2, 0.9) for _ in points])


def airways_of(anatomy: Anatomy, heart: Heart, rng: np.random.Generator) -> list[Part]:
    """Return trachea and main bronchi down to the lobes (outer wall)."""
    a = anatomy
    carina = a.box(0.42, 0.92, 1.22)
    right = [carina, a.box(0.22, 0.96, 1.08), a.box(0.08, 1.0, 0.85), a.box(0.02, 1.08, 0.6)]
    left = [carina, a.box(0.62, 0.98, 1.02), a.box(0.78, 1.04, 0.85), a.box(0.86, 1.12, 0.62)]
    top = a.box(0.38, 0.80, 2.1)
    return [rod(top, carina, 9.5), *pipe(right, [8.0, 7.0, 5.0, 3.5]), *pipe(left, [7.5, 6.5, 4.5, 3.2])]


def paint_airways(canvas: Canvas, airways: list[Part], tissue: Tissue) -> None:
    """Paint the walls, then the air inside."""
    for part in airways:
        canvas.paint(part.low, part.high, part.shape, tissue.muscle)
    for part in airways:
        inner = part.grown(-1.4)
        canvas.paint(part.low, part.high, inner.shape, -985.0)


def paint_heart(canvas: Canvas, heart: Heart, tissue: Tissue, rng: np.random.Generator) -> None:
    """Paint chambers and vessels back to front and note the structures."""
    blood, muscle = tissue.blood, tissue.myocardium
    wobble = canvas.noise(rng, 15.0)
    plan = (
        (heart.veins, blood, None),
        (heart.cavae, blood, None),
        (heart.left_atrium, blood, Structure.LEFT_ATRIUM),
        (heart.right_atrium, blood, Structure.RIGHT_ATRIUM),
        ([part.grown(2.5) for part in heart.right_ventricle], muscle, None),
        (heart.right_ventricle, blood, Structure.RIGHT_VENTRICLE),
        (heart.pulmonary, blood, Structure.PULMONARY_ARTERY),
        ([heart.myocardium], muscle, Structure.MYOCARDIUM),
        ([heart.left_ventricle], blood, Structure.LEFT_VENTRICLE),
        (heart.arch, blood, Structure.AORTA),
        (heart.root, blood, Structure.AORTA),
    )
    for parts, value, structure in plan:
        for part in parts:
            for block in canvas.chunks(canvas.grid.block(part.low, part.high, 3.0)):
                distance = part.shape(*canvas.coordinates(block)) + wobble(block) * np.float32(0.8)
                canvas.blend(block, sdf.alpha(distance, canvas.edge), np.float32(value), structure)
