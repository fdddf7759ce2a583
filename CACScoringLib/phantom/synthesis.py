"""From a seed and a protocol to a synthetic scan with its truth."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from pydicom.uid import generate_uid

from CACScoringLib.ct import Acquisition, CTVolume
from CACScoringLib.phantom.anatomy import Anatomy, draw_anatomy
from CACScoringLib.phantom.calcium import draw_target
from CACScoringLib.phantom.coronaries import build_tree
from CACScoringLib.phantom.deposits import Site
from CACScoringLib.phantom.heart import build_heart
from CACScoringLib.phantom.mimics import draw_mimics
from CACScoringLib.phantom.patient import PatientTruth, PhantomOptions, SyntheticPatient
from CACScoringLib.phantom.protocols import gated_kinds
from CACScoringLib.phantom.rendering import finish, render_anatomy
from CACScoringLib.phantom.scanner import Scanner, draw_scanner, scan_grid
from CACScoringLib.phantom.streaks import add_streaks
from CACScoringLib.phantom.target import Imager, combine, reach_target
from CACScoringLib.phantom.tissue import draw_tissue
from CACScoringLib.phantom.truth import expert_labels, lesion_truths, noise_free_scores

STUDY_DATE = "20240101"


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

    Raises
    ------
    ValueError
        If there is no such protocol, or it has no scans of the kind that is asked for.
    """
    options = options or PhantomOptions()
    anatomy = draw_anatomy(seed, options.enriched)
    scanner = draw_scanner(seed, protocol, options.matrix, options.enriched, options.gated)
    if options.gated not in (None, *gated_kinds(protocol)):
        raise ValueError(f"{protocol} scans are {'never' if options.gated else 'always'} ECG-gated")
    return scan_patient(seed, anatomy, scanner, options)


def scan_patient(seed: int, anatomy: Anatomy, scanner: Scanner, options: PhantomOptions) -> SyntheticPatient:
    """Return the scan of a drawn patient by a drawn scanner."""
    tissue = draw_tissue(anatomy, scanner.kvp, options.enriched)
    heart = build_heart(anatomy)
    branches, drawn_tree = build_tree(anatomy, heart)
    grid = scan_grid(scanner, anatomy, scanner.matrix)
    image, structures = render_anatomy(anatomy, scanner, tissue, heart, branches, grid)
    imager, slope = Imager(grid, scanner), tissue.calcium_slope
    mimics = draw_mimics(
        seed, Site(anatomy, heart, branches, slope), scanner.protocol, options.enriched, options.mimics
    )
    other = imager.image([cloud for clouds in mimics.values() for cloud in clouds])
    lesions, coronary = reach_target(seed, branches, imager, image, slope, draw_target(seed, options), options)
    contrast, owner = combine(grid.shape, [*coronary, *other])
    image += contrast
    total, vessels = noise_free_scores(image, contrast, owner, grid.spacing, lesions, seed)
    add_streaks(image, [*coronary, *other], grid, seed)
    hu = finish(image, scanner)
    drawn = {
        "scanner": scanner.as_dict(),
        "tissue": asdict(tissue),
        "tree": drawn_tree,
        "anatomy": anatomy.as_dict(),
        "options": asdict(options),
    }
    return SyntheticPatient(
        ct=CTVolume(
            hu=hu,
            spacing_mm=grid.spacing,
            origin_mm=(grid.origin[2], grid.origin[1], grid.origin[0]),
            acquisition=acquisition_of(seed, scanner, anatomy, options),
        ),
        labels=expert_labels(hu, contrast, owner),
        structures=structures,
        vessel_tree={branch.name: np.round(grid.to_scan(branch.points), 3) for branch in branches},
        branch_vessels={branch.name: branch.vessel for branch in branches},
        truth=PatientTruth(
            seed, scanner.protocol, total, vessels, lesion_truths(lesions, seed, grid), tuple(mimics), drawn
        ),
    )


def acquisition_of(seed: int, scanner: Scanner, anatomy: Anatomy, options: PhantomOptions) -> Acquisition:
    """Return what a DICOM header would say; the identifiers follow from seed, protocol and options."""
    name = f"CACScoring/{scanner.protocol}/{seed}/{asdict(options)}"

    def uid(what: str) -> str:
        return str(generate_uid(entropy_srcs=[name, what]))

    return Acquisition(
        kvp=scanner.kvp,
        slice_thickness_mm=scanner.thickness,
        increment_mm=scanner.increment,
        kernel=scanner.kernel.upper(),
        manufacturer="CACScoring synthetic",
        model="phantom",
        exposure_mas=scanner.mas,
        gated=scanner.gated,
        contrast=False,
        series_uid=uid("series"),
        study_uid=uid("study"),
        frame_of_reference_uid=uid("frame"),
        series_description=f"Synthetic {scanner.protocol}",
        patient_age_years=anatomy.age,
        patient_sex=anatomy.sex,
        study_date=STUDY_DATE,
        source=f"synthetic:{scanner.protocol}:{seed}",
    )
