"""From a seed and a protocol to a synthetic scan with its truth."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from pydicom.uid import generate_uid
from scipy import ndimage

from CACScoringLib.ct import Acquisition, CTVolume
from CACScoringLib.phantom.anatomy import Anatomy, draw_anatomy
from CACScoringLib.phantom.calcium import Lesion, draw_lesions, draw_target, particles_of, rescaled
from CACScoringLib.phantom.canvas import Canvas, Field, Grid
from CACScoringLib.phantom.coronaries import WALL_MM, build_tree
from CACScoringLib.phantom.deposits import Site
from CACScoringLib.phantom.draws import stream
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.lungs import paint_lung_vessels
from CACScoringLib.phantom.mediastinum import paint_mediastinum
from CACScoringLib.phantom.mimics import draw_mimics
from CACScoringLib.phantom.motion import motion_paths
from CACScoringLib.phantom.noise import add_noise
from CACScoringLib.phantom.particles import Cloud, splat
from CACScoringLib.phantom.parts import pipe
from CACScoringLib.phantom.patient import LesionTruth, PatientTruth, PhantomOptions, SyntheticPatient
from CACScoringLib.phantom.scanner import Scanner, draw_scanner, render_columns, scan_grid
from CACScoringLib.phantom.streaks import add_streaks
from CACScoringLib.phantom.table import paint_table
from CACScoringLib.phantom.thorax import paint_thorax
from CACScoringLib.phantom.tissue import draw_tissue
from CACScoringLib.phantom.truth import THRESHOLD_HU, agatston, expert_labels, noise_free_scores
from CACScoringLib.vocabulary import Vessel

EDGE_OF_FWHM = 0.72
"""Half length of the smoothstep edge for a point-spread function of a given width."""
TARGET_TOLERANCE = 0.12
MOST_GROWTH = 3.5
"""Lesions that blur hides are not made larger than this to reach a score: ungated scans may miss calcium."""


class Calcium:
    """Clean contrast of all particle clouds on the output grid, and which label contributes most to each voxel."""

    def __init__(self, grid: Grid, scanner: Scanner):
        self.grid, self.scanner = grid, scanner
        self._paths: dict[str, np.ndarray] = {}

    def image(self, clouds: list[Cloud]) -> list[tuple[int, tuple[slice, ...], np.ndarray]]:
        """Return label, block and contrast of every cloud that the scan sees."""
        out = []
        for cloud in clouds:
            if cloud.moving not in self._paths:
                self._paths[cloud.moving] = motion_paths(self.scanner, self.grid.shape[0], cloud.moving)
            found = splat(cloud, self.grid, self.scanner.fwhm, self.scanner.thickness, self._paths[cloud.moving])
            if found is not None:
                out.append((cloud.label, *found))
        return out


def synthesize(*, seed: int, protocol: str, options: PhantomOptions | None = None) -> SyntheticPatient:
    """Return a synthetic non-contrast CT with its truth.

    Parameters
    ----------
    seed : int
        The same seed, protocol and options give the same scan.
    protocol : str
        One of ``PROTOCOLS``.
    options : PhantomOptions, optional

    Returns
    -------
    SyntheticPatient
    """
    options = options or PhantomOptions()
    anatomy = draw_anatomy(seed, options.enriched)
    scanner = draw_scanner(seed, protocol, anatomy, options.matrix, options.enriched)
    return scan_patient(seed, anatomy, scanner, options)


def scan_patient(seed: int, anatomy: Anatomy, scanner: Scanner, options: PhantomOptions) -> SyntheticPatient:
    """Return the scan of a drawn patient by a drawn scanner."""
    protocol = scanner.protocol
    tissue = draw_tissue(anatomy, scanner.kvp, options.enriched)
    heart = build_heart(anatomy)
    branches, drawn_tree = build_tree(anatomy, heart)
    grid = scan_grid(scanner, anatomy, scanner.pixel)
    clean, structures = render_anatomy(anatomy, scanner, tissue, heart, branches, grid)
    calcium = Calcium(grid, scanner)
    mimics = draw_mimics(seed, Site(anatomy, heart, branches, tissue.calcium_slope), options.enriched)
    other = calcium.image([cloud for clouds in mimics.values() for cloud in clouds])
    lesions, coronary = reach_target(
        seed, branches, calcium, clean, tissue.calcium_slope, draw_target(seed, options), options
    )
    contrast, owner = combine(grid.shape, [*coronary, *other])
    clean += contrast
    scores = noise_free_scores(clean, contrast, owner, grid.spacing, lesions, seed)
    add_streaks(clean, [*coronary, *other], grid, seed)
    hu = finish(clean, scanner, anatomy, grid)
    labels = expert_labels(hu, contrast, owner, grid.spacing)
    total, vessels = scores
    truth = PatientTruth(
        seed, protocol, total, vessels, lesion_truths(lesions, seed), tuple(mimics),
        {"scanner": scanner.as_dict(), "tissue": asdict(tissue), "tree": drawn_tree, "anatomy": plain(anatomy), "options": asdict(options)},
    )  # fmt: skip
    ct = CTVolume(
        hu=hu, spacing_mm=grid.spacing, origin_mm=(grid.origin[2], grid.origin[1], grid.origin[0]),
        acquisition=acquisition_of(seed, scanner, anatomy, options),
    )  # fmt: skip
    tree = {branch.name: np.round(grid.to_scan(branch.points), 3) for branch in branches}
    return SyntheticPatient(ct, labels, structures, tree, truth)


def render_anatomy(anatomy, scanner, tissue, heart, branches, grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the noise-free image without calcium (float32) and the structure map on the output grid."""
    canvas_grid = scan_grid(scanner, anatomy, scanner.fov / render_columns(scanner))
    canvas = Canvas(canvas_grid, max(EDGE_OF_FWHM * scanner.fwhm, 0.6))
    thorax = paint_thorax(canvas, anatomy, tissue)
    paint_lung_vessels(canvas, anatomy, heart, tissue, thorax)
    swing = swing_of(scanner)
    paint_mediastinum(canvas, anatomy, heart, tissue, thorax, swing)
    paint_cords(canvas, branches, tissue, scanner)
    paint_table(canvas, anatomy, scanner)
    shade(canvas, scanner)
    if scanner.overshoot > 0.02:
        sharpen(canvas.hu, scanner.overshoot, 1.1 * scanner.fwhm / canvas_grid.spacing[2])
    if canvas_grid.shape == grid.shape:
        return canvas.hu, canvas.structures
    out = np.empty(grid.shape, dtype=np.float32)
    finer = Field(canvas.hu, grid, canvas_grid)
    for block in canvas.chunks(grid.everything):
        out[block] = finer(block)
    nearest = [
        np.clip(
            np.rint((grid.axis(i) - canvas_grid.origin[i]) / canvas_grid.spacing[i]).astype(np.intp),
            0,
            canvas_grid.shape[i] - 1,
        )
        for i in (1, 2)
    ]
    return out, canvas.structures[:, nearest[0][:, None], nearest[1][None, :]]


def swing_of(scanner: Scanner) -> tuple[float, ...]:
    """Return the positions of the heart border during the acquisition, in mm."""
    extent = 0.35 * scanner.motion
    return (0.0,) if extent < 0.8 else (-extent, -0.25 * extent, 0.5 * extent, extent)


def shade(canvas: Canvas, scanner: Scanner) -> None:
    """Add slow HU errors (beam hardening, scatter) inside the body."""
    field = canvas.noise(stream(scanner.seed, "shading", scanner.protocol), 22.0)
    for block in canvas.chunks(canvas.grid.everything):
        view = canvas.hu[block]
        view += (
            np.float32(scanner.shading) * field(block) * np.clip(view * np.float32(0.005) + np.float32(2.0), 0.0, 1.0)
        )


def sharpen(hu: np.ndarray, gain: float, sigma: float) -> None:
    """Enhance edges as a sharp kernel does, slice by slice, in place."""
    size = 2 * int(round(1.2 * sigma)) + 1
    for z in range(len(hu)):
        soft = hu[z]
        for axis in (0, 1, 0, 1):
            soft = ndimage.uniform_filter1d(soft, size, axis=axis)
        hu[z] += np.float32(gain) * (hu[z] - soft)


def paint_cords(canvas: Canvas, branches, tissue, scanner: Scanner) -> None:
    """Paint the arteries as soft-tissue cords in fat, fainter where motion blurs them."""
    faint = 1.0 if scanner.gated else 1.6
    for branch in branches:
        points = branch.points[::4]
        radii = branch.radius[::4] + WALL_MM
        if len(points) < 2:
            continue
        for part in pipe(list(points), list(radii)):
            canvas.paint(part.low, part.high, part.shape, tissue.blood, width=canvas.edge * faint)


def reach_target(seed, branches, calcium: Calcium, clean, slope, target: float, options) -> tuple[list[Lesion], list]:
    """Draw lesions and scale them until the noise-free image has the wanted score."""
    lesions = draw_lesions(seed, branches, target, options)
    images: list = []
    grown = 1.0
    for _ in range(6):
        images = calcium.image([cloud for lesion in lesions for cloud in particles_of(lesion, seed, slope)])
        if not lesions:
            break
        score = quick_score(clean, images, calcium.grid.spacing)
        if abs(score - target) <= TARGET_TOLERANCE * target:
            break
        factor = float(np.clip((target + 0.5) / (score + 0.5), 0.3, 2.5)) ** 0.85
        factor = round(min(factor, MOST_GROWTH / grown), 4)
        grown *= factor
        lesions = rescaled(lesions, factor)
    return lesions, images


def quick_score(clean: np.ndarray, images: list, spacing) -> float:
    """Return the Agatston score of coronary contrast alone on the clean image."""
    if not images:
        return 0.0
    low = [min(block[i].start for _, block, _ in images) for i in range(3)]
    high = [max(block[i].stop for _, block, _ in images) for i in range(3)]
    total = clean[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].copy()
    added = np.zeros_like(total)
    for _, block, contrast in images:
        added[tuple(slice(s.start - a, s.stop - a) for s, a in zip(block, low, strict=True))] += contrast
    total += added
    return agatston(total, (total >= THRESHOLD_HU) & (added > 15.0), spacing)[0]


def combine(shape, images: list) -> tuple[np.ndarray, np.ndarray]:
    """Return the summed contrast (float32) and the label that contributes most (uint8)."""
    contrast, best, owner = np.zeros(shape, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for label, block, added in images:
        contrast[block] += added
        wins = added > best[block]
        best[block][wins] = added[wins]
        owner[block][wins & (added > 1.0)] = label
    return contrast, owner


def finish(clean: np.ndarray, scanner: Scanner, anatomy, grid: Grid) -> np.ndarray:
    """Add noise, round, clip and pad: the image as stored."""
    add_noise(clean, scanner, noise_level(clean, scanner.gated), scanner.pixel)
    np.rint(clean, out=clean)
    np.clip(clean, -1024, 3071, out=clean)
    hu = clean.astype(np.int16)
    if scanner.circle:
        half = 0.5 * (scanner.matrix - 1)
        r = np.arange(scanner.matrix) - half
        hu[:, (r[:, None] ** 2 + r[None, :] ** 2) > (0.5 * scanner.matrix) ** 2] = scanner.padding
    return hu


def noise_level(clean: np.ndarray, gated: bool) -> np.ndarray:
    """Return relative noise per slice on a 64 x 64 grid: it grows towards the middle of the body, lungs included.

    About 1 in the heart; a gated field of view lies inside the body.
    """
    step = max(clean.shape[1] // 64, 1)
    small = clean[:, step // 2 :: step, step // 2 :: step]
    density = np.clip(small * np.float32(0.001) + np.float32(1.0), 0.0, 1.6)
    inside = np.ones(small.shape, dtype=bool)
    if not gated:
        inside = np.stack([ndimage.binary_fill_holes(plane > 0.6) for plane in density])
    density = np.maximum(density, np.float32(0.55) * inside)
    blurred = ndimage.uniform_filter(density, size=(0, 21, 21), mode="nearest" if gated else "constant")
    level = np.float32(0.22) + np.float32(0.82) * blurred + np.float32(0.06) * np.minimum(density, 1.0)
    return np.round(level, 4).astype(np.float32)


def lesion_truths(lesions: list[Lesion], seed: int) -> tuple[LesionTruth, ...]:
    """Return the physical truth of every lesion."""
    out = []
    for lesion in lesions:
        clouds = particles_of(lesion, seed, 1.0)
        main = max(clouds, key=lambda cloud: float(cloud.volume.sum()))
        volume = sum(float(cloud.volume.sum()) for cloud in clouds)
        center = np.round(np.concatenate([cloud.points for cloud in clouds]).mean(axis=0), 2)
        out.append(
            LesionTruth(
                Vessel(main.label).name,
                tuple(float(v) for v in center),
                round(volume, 4),
                lesion.density,
                round(volume * lesion.density * 1e-3, 4),
            )
        )
    return tuple(out)


def plain(anatomy) -> dict[str, object]:
    """Return the anatomy's drawn values as plain numbers and lists."""
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(anatomy).items()}


def acquisition_of(seed: int, scanner: Scanner, anatomy, options: PhantomOptions) -> Acquisition:
    """Return what a DICOM header would say."""
    name = f"CACScoring/{scanner.protocol}/{seed}/{asdict(options)}"

    def uid(what: str) -> str:
        return str(generate_uid(entropy_srcs=[name, what]))

    return Acquisition(
        kvp=scanner.kvp, slice_thickness_mm=scanner.thickness, increment_mm=scanner.increment, kernel=scanner.kernel.upper(),
        manufacturer="CACScoring synthetic", model="phantom", exposure_mas=scanner.mas, gated=scanner.gated, contrast=False,
        series_uid=uid("series"), study_uid=uid("study"), frame_of_reference_uid=uid("frame"),
        series_description=f"Synthetic {scanner.protocol}", patient_age_years=anatomy.age, patient_sex=anatomy.sex,
        study_date="20240101", source=f"synthetic:{scanner.protocol}:{seed}",
    )  # fmt: skip
