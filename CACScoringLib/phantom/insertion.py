"""Synthetic vessels, calcium and noise in a given background scan, real or synthetic, with their truth."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from scipy import ndimage

from CACScoringLib.ct import CTVolume
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.phantom.anatomy import Anatomy, draw_anatomy
from CACScoringLib.phantom.calcium import draw_target
from CACScoringLib.phantom.canvas import Canvas, Grid
from CACScoringLib.phantom.coronaries import Branch, build_tree
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.noise import add_noise
from CACScoringLib.phantom.patient import PatientTruth, PhantomOptions, SyntheticPatient
from CACScoringLib.phantom.rendering import paint_cords
from CACScoringLib.phantom.scanner import Scanner, draw_scanner
from CACScoringLib.phantom.target import Image, Imager, combine, reach_target
from CACScoringLib.phantom.tissue import Tissue, draw_tissue
from CACScoringLib.phantom.truth import expert_labels, lesion_truths, noise_free_scores
from CACScoringLib.vocabulary import Structure

Box = tuple[tuple[float, float, float], tuple[float, float, float]]
HEART = (
    Structure.LEFT_VENTRICLE,
    Structure.MYOCARDIUM,
    Structure.RIGHT_VENTRICLE,
    Structure.LEFT_ATRIUM,
    Structure.RIGHT_ATRIUM,
    Structure.PULMONARY_ARTERY,
)
BOX_PERCENTILES = (0.5, 99.5)
SMOOTHING_MM = 1.6
"""SD of the blur that takes the background's noise off before scores without noise are computed."""
LUNG_HU = -300.0
"""Where the smoothed background is darker there is no wall of an artery to calcify."""
BOX_MM = ((60.0, 200.0), (55.0, 190.0), (50.0, 170.0))
"""Plausible sizes of a heart box (left-right, front-back, caudal-cranial)."""
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
AXIS_TOLERANCE = 1e-3


def heart_box(structures: np.ndarray, ct: CTVolume) -> Box:
    """Return the box (low and high x, y, z in mm) of chambers and pulmonary artery in a structure map (z, y, x).

    Raises
    ------
    InputRefusedError
        If the map shows no heart.
    """
    voxels = np.argwhere(np.isin(structures, [int(s) for s in HEART]))
    if len(voxels) < 100:
        raise InputRefusedError(refuse("no-heart", "The structure map shows no heart: give the heart's box instead."))
    low, high = (np.percentile(voxels, p, axis=0) for p in BOX_PERCENTILES)
    spacing, origin = np.array(ct.spacing_mm)[::-1], np.array(ct.origin_mm)
    ends = [np.round(end[::-1] * spacing + origin, 3) for end in (low, high)]
    return tuple(float(v) for v in ends[0]), tuple(float(v) for v in ends[1])


def synthesize_into(
    ct: CTVolume,
    *,
    seed: int,
    protocol: str = "chest",
    box: Box | None = None,
    structures: np.ndarray | None = None,
    background_labels: np.ndarray | None = None,
    options: PhantomOptions | None = None,
    fwhm_mm: float | None = None,
    extra_noise_hu: float = 0.0,
    vessels: bool = True,
) -> SyntheticPatient:
    """Return a background scan with synthetic coronary arteries, calcium and noise, and their truth.

    Parameters
    ----------
    ct : CTVolume
        Axial, not contrast-enhanced. Calcium that it already has keeps ``background_labels``, or none: choose
        backgrounds without coronary calcium, or give their labels.
    seed : int
        The same scan, seed and settings give the same result.
    protocol : str
        Whose motion, blur and noise spectrum are drawn; what the scan's header says comes first.
    box : low and high corner (x, y, z) in mm of the heart with its fat, apex to pulmonary bifurcation
    structures : ndarray of uint8 (z, y, x), optional
        Structure map, such as a prediction's; gives the box where none is given, and is returned.
    background_labels : ndarray of uint8 (z, y, x), optional
    options : PhantomOptions, optional
        ``target_agatston`` and ``zero_fraction`` count; ``matrix`` does not.
    fwhm_mm : float, optional
        In-plane blur of the scan; drawn where it is not given.
    extra_noise_hu : float
        SD of noise to add.
    vessels : bool
        Paint the arteries as cords where the background shows fat.

    Raises
    ------
    InputRefusedError
        If the scan is not axial or the heart box is missing or impossible.
    """
    options = options or PhantomOptions()
    if max(abs(a - b) for a, b in zip(ct.direction, IDENTITY, strict=True)) > AXIS_TOLERANCE:
        raise InputRefusedError(refuse("not-axial", "The background scan is not axial: reformat it first."))
    if box is None and structures is None:
        raise InputRefusedError(refuse("no-heart", "Give the heart's box or a structure map of the background scan."))
    anatomy, shift = anatomy_in(box or heart_box(structures, ct), seed, options.enriched)
    scanner = scanner_of(ct, seed, protocol, fwhm_mm)
    origin = np.array(ct.origin_mm) - shift
    grid = Grid(ct.shape, tuple(ct.spacing_mm), (float(origin[2]), float(origin[1]), float(origin[0])))
    tissue = draw_tissue(anatomy, scanner.kvp, options.enriched)
    heart = build_heart(anatomy)
    branches, drawn_tree = build_tree(anatomy, heart)
    image = ct.hu.astype(np.float32)
    sigma = [SMOOTHING_MM / step for step in ct.spacing_mm]
    smooth = ndimage.gaussian_filter(image, sigma)
    if vessels:
        added = cords(grid, branches, tissue, scanner, smooth)
        image += added
        smooth += added
    imager = Imager(grid, scanner)
    lesions, clouds = reach_target(
        seed, branches, imager, smooth, tissue.calcium_slope, draw_target(seed, options), options
    )
    contrast, owner = combine(grid.shape, [_in_soft_tissue(each, smooth) for each in clouds])
    image += contrast
    total, truths = noise_free_scores(smooth + contrast, contrast, owner, grid.spacing, lesions, seed)
    if extra_noise_hu > 0.0:
        level = np.ones((grid.shape[0], 8, 8), np.float32)
        add_noise(image, replace(scanner, noise_sd=float(extra_noise_hu)), level, scanner.pixel)
    outside = ct.hu < -1024  # what the scanner never saw keeps its padding
    hu = np.where(outside, ct.hu, np.clip(np.rint(image), -1024, 3071)).astype(np.int16)
    labels = expert_labels(hu, contrast, owner)
    if background_labels is not None:
        labels = np.where(labels > 0, labels, background_labels).astype(np.uint8)
    moved = tuple(
        replace(lesion, center_mm=tuple(round(float(v), 2) for v in np.array(lesion.center_mm) + shift))
        for lesion in lesion_truths(lesions, seed, grid)
    )
    drawn = {"scanner": scanner.as_dict(), "tissue": asdict(tissue), "tree": drawn_tree, "anatomy": anatomy.as_dict()}
    source = f"synthetic calcium {seed} in {ct.acquisition.source or 'a background scan'}"
    return SyntheticPatient(
        ct=replace(ct, hu=hu, acquisition=replace(ct.acquisition, source=source)),
        labels=labels,
        structures=np.zeros(ct.shape, np.uint8) if structures is None else structures.astype(np.uint8),
        vessel_tree={branch.name: np.round(grid.to_scan(branch.points) + shift, 3) for branch in branches},
        branch_vessels={branch.name: branch.vessel for branch in branches},
        truth=PatientTruth(seed, protocol, total, truths, moved, (), drawn | {"options": asdict(options)}),
    )


def anatomy_in(box: Box, seed: int, wide: bool) -> tuple[Anatomy, np.ndarray]:
    """Return a drawn patient whose heart fills a box, and what to add to his coordinates to get the scan's.

    Raises
    ------
    InputRefusedError
        If no heart has such a box.
    """
    low, high = np.array(box[0], dtype=float), np.array(box[1], dtype=float)
    size = high - low
    if any(not a <= s <= b for s, (a, b) in zip(size, BOX_MM, strict=True)):
        said = " x ".join(f"{s:.0f}" for s in size)
        raise InputRefusedError(refuse("no-heart", f"No heart has a box of {said} mm: check its corners (x, y, z)."))
    drawn = draw_anatomy(seed, wide)
    anatomy = replace(
        drawn,
        box_size=np.round(size, 3),
        box_origin=np.array([drawn.box_origin[0], drawn.box_origin[1], 0.0]),
        box_turn=np.eye(3),
    )
    return anatomy, np.round(low - anatomy.box_origin, 4)


def scanner_of(ct: CTVolume, seed: int, protocol: str, fwhm_mm: float | None) -> Scanner:
    """Return an acquisition of a protocol with what is known of a scan put in."""
    known = ct.acquisition
    scanner = draw_scanner(seed, protocol, ct.shape[2], wide=False, gated=known.gated)
    return replace(
        scanner,
        kvp=float(known.kvp or scanner.kvp),
        gated=scanner.gated if known.gated is None else bool(known.gated),
        thickness=float(known.slice_thickness_mm or ct.spacing_mm[0]),
        increment=float(ct.spacing_mm[0]),
        fov=float(ct.spacing_mm[2] * ct.shape[2]),
        fwhm=float(fwhm_mm or scanner.fwhm),
    )


def cords(grid: Grid, branches: list[Branch], tissue: Tissue, scanner: Scanner, smooth: np.ndarray) -> np.ndarray:
    """Return what the arteries add to a background (HU): they fill fat up to blood and leave the rest as it is."""
    canvas = Canvas(grid, max(0.72 * scanner.fwhm, 0.6), background=0.0)
    paint_cords(canvas, branches, replace(tissue, blood=1.0), scanner)
    gap = np.clip(np.float32(tissue.blood) - smooth, 0.0, None)
    return canvas.hu * gap * (smooth > LUNG_HU)


def _in_soft_tissue(image: Image, smooth: np.ndarray) -> Image:
    label, block, added = image
    return label, block, added * (smooth[block] > LUNG_HU)
