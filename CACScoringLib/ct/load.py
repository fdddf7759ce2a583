"""Any supported input -> :class:`CTVolume` in Hounsfield units, or a refusal in one sentence."""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from CACScoringLib.ct.acquisition import acquisition_of
from CACScoringLib.ct.archive import extracted
from CACScoringLib.ct.checks import check_volume
from CACScoringLib.ct.contrast import ContrastMeasure, measure_contrast
from CACScoringLib.ct.geometry import stack_slices
from CACScoringLib.ct.headers import HeaderScan, list_files, scan_headers
from CACScoringLib.ct.image_file import is_image_file, load_image_file
from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.ct.pixels import pixel_findings, read_hu
from CACScoringLib.ct.plain_text import plain, plain_finding, plain_refusals
from CACScoringLib.ct.series import Series, group_series
from CACScoringLib.ct.series_choice import (
    Candidate,
    choice_finding,
    choose_by_uid,
    contrast_hint,
    rank_series,
    refuse_all,
)
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

MAX_TRIED = 4
"""So many series are read at most in search of one without contrast agent."""


def load_ct(path: str | Path, *, series_uid: str | None = None, allow_contrast: bool = False) -> CTVolume:
    """Load a CT scan for calcium scoring.

    Parameters
    ----------
    path : str or Path
        A folder of DICOM files of any depth, a zip of one, a multi-frame DICOM file, or a NIfTI, NRRD
        or MetaImage file. Of several series the most suitable is taken, and the choice explained in the
        finding ``series-chosen``.
    series_uid : str, optional
        SeriesInstanceUID of the series to take.
    allow_contrast : bool
        Accept contrast-enhanced blood, with a warning.

    Returns
    -------
    CTVolume
        int16 HU, at least -1024; slices from caudal to cranial, axes nearest to LPS. Voxels are never
        resampled. ``findings`` holds what was noticed (info, warning).

    Raises
    ------
    InputRefusedError
        For anything that cannot be scored; ``finding`` says why in one sentence.
    """
    path = Path(path)
    with plain_refusals(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's remarks on odd values; what matters becomes a finding
        try:
            ct = _load(path, plain(path.name or path.resolve().name, 200), series_uid, allow_contrast)
            return replace(ct, findings=tuple(plain_finding(item) for item in ct.findings))
        except PermissionError as error:
            raise InputRefusedError(
                refuse("unreadable", f"{path.name} may not be read: check its permissions.")
            ) from error
        except MemoryError as error:
            raise InputRefusedError(refuse("too-large", f"{path.name} does not fit into memory.")) from error


def _load(path: Path, source: str, series_uid: str | None, allow_contrast: bool) -> CTVolume:
    if not path.exists():
        raise InputRefusedError(refuse("not-found", f"There is no file or folder {path}."))
    if path.is_dir():
        return _load_files(list_files(path), source, series_uid, allow_contrast)
    if path.stat().st_size == 0:
        raise InputRefusedError(refuse("unreadable", f"{path.name} is empty."))
    if is_image_file(path):
        return _accept(load_image_file(path), allow_contrast, hint=False)
    if zipfile.is_zipfile(path):
        with extracted(path) as folder:
            return _load_files(list_files(folder), source, series_uid, allow_contrast)
    if path.suffix.lower() == ".zip":
        raise InputRefusedError(refuse("unreadable", f"The archive {path.name} is cut off or no zip: make it again."))
    return _load_files([path], source, series_uid, allow_contrast)


def _load_files(files: list[Path], source: str, series_uid: str | None, allow_contrast: bool) -> CTVolume:
    if not files:
        raise InputRefusedError(refuse("empty-folder", f"{source} holds no files: give a folder with a CT."))
    scan = scan_headers(files)
    if not scan.slices:
        images = [item for item in files if is_image_file(item)]
        if len(images) == 1 and not scan.unreadable:
            return _accept(_renamed(load_image_file(images[0]), source), allow_contrast, hint=False)
        raise _no_dicom(scan, source, len(images))
    series = group_series(scan.slices)
    wanted = choose_by_uid(series, series_uid) if series_uid else series
    candidates, rejected = rank_series(wanted)
    if not candidates:
        raise refuse_all(rejected)
    damaged = _unreadable_findings(scan)
    findings = [*damaged, *_study_findings(candidates, source)]
    try:
        return _first_without_contrast(candidates, rejected, findings, source, allow_contrast)
    except InputRefusedError as error:
        if error.finding.code in ("missing-slices", "too-few-slices") and damaged:
            raise InputRefusedError(refuse(error.finding.code, f"{error} {damaged[0].message}")) from error
        raise


def _first_without_contrast(
    candidates: list[Candidate],
    rejected: list[tuple[Series, str, str]],
    findings: list[Finding],
    source: str,
    allow_contrast: bool,
) -> CTVolume:
    """Load candidates in turn until one can be scored; if none can, the best one's refusal stands."""
    refusal: InputRefusedError | None = None
    fallback: tuple[CTVolume, Candidate] | None = None
    enhanced: list[Candidate] = []
    for index, candidate in enumerate(candidates[:MAX_TRIED]):
        try:
            ct = _accept(_load_series(candidate.series, source), allow_contrast, hint=contrast_hint(candidate.series))
        except InputRefusedError as error:
            refusal = refusal or error
            if error.finding.code == "contrast-enhanced":
                enhanced.append(candidate)
            else:
                rejected = [*rejected, (candidate.series, error.finding.code, f"refused: {error.finding.code}")]
            continue
        if ct.acquisition.contrast:  # allowed, but one without contrast agent is better
            fallback = fallback or (ct, candidate)
            enhanced.append(candidate)
            continue
        return _with_choice(ct, candidate, candidates[index + 1 :], rejected, enhanced, findings)
    if fallback is not None:
        ct, candidate = fallback
        tried = [item for item in enhanced if item is not candidate]
        return _with_choice(ct, candidate, candidates[MAX_TRIED:], rejected, tried, findings)
    if refusal is None:
        raise RuntimeError("no candidate was tried")
    raise refusal


def _with_choice(
    ct: CTVolume,
    chosen: Candidate,
    others: list[Candidate],
    rejected: list[tuple[Series, str, str]],
    enhanced: list[Candidate],
    findings: list[Finding],
) -> CTVolume:
    choice = choice_finding(chosen, others, rejected, enhanced)
    return replace(ct, findings=(*([choice] if choice else []), *findings, *ct.findings))


def _load_series(series: Series, source: str) -> CTVolume:
    stack = stack_slices(series)
    findings = [*stack.findings, *pixel_findings(stack.slices)]
    voxels, spacing, origin, direction, changed = orient_to_lps(
        read_hu(stack.slices), stack.spacing_mm, stack.origin_mm, stack.direction
    )
    if changed:
        findings.append(
            info(
                "reoriented",
                "Rows or columns were turned to the usual axial order (prone or decubitus scan); no value was changed.",
            )
        )
    middle = stack.slices[len(stack.slices) // 2]
    return CTVolume(
        hu=np.ascontiguousarray(voxels),
        spacing_mm=spacing,
        origin_mm=origin,
        direction=tuple(float(item) for item in direction.ravel()),
        acquisition=acquisition_of(middle, increment_mm=spacing[0], source=source),
        findings=tuple(findings),
    )


def _accept(ct: CTVolume, allow_contrast: bool, *, hint: bool) -> CTVolume:
    """Return the CT with the findings of every check, and its measured contrast."""
    findings = check_volume(ct)
    measured = measure_contrast(ct)
    findings.extend(_contrast_findings(measured, allow_contrast, hint))
    return replace(
        ct,
        acquisition=replace(ct.acquisition, contrast=measured.enhanced),
        findings=(*ct.findings, *findings),
    )


def _contrast_findings(measured: ContrastMeasure, allow_contrast: bool, hint: bool) -> list[Finding]:
    if measured.enhanced:
        blood = f"The blood measures {measured.mean_hu:.0f} HU in {measured.volume_ml:.0f} ml"
        text = f"{blood}: the scan is contrast-enhanced"
        if not allow_contrast:
            raise InputRefusedError(
                refuse(
                    "contrast-enhanced", f"{text} and cannot be scored; give a non-contrast scan or --allow-contrast."
                )
            )
        return [warning("contrast-enhanced", f"{text}: contrast counts as calcium, the score is not valid.")]
    if hint:
        return [
            warning(
                "contrast-tag",
                "The header speaks of contrast agent, but the blood does not measure as enhanced: check the images.",
            )
        ]
    return []


def _unreadable_findings(scan: HeaderScan) -> list[Finding]:
    if not scan.unreadable:
        return []
    number = len(scan.unreadable)
    names = ", ".join(scan.unreadable[:4]) + (f" and {number - 4} more" if number > 4 else "")
    text = f"{number} DICOM files are" if number > 1 else "1 DICOM file is"
    return [warning("unreadable-files", f"{text} damaged, empty or may not be read, and left out: {names}.")]


def _study_findings(candidates: list[Candidate], source: str) -> list[Finding]:
    studies = {str(item.series.first.get("StudyInstanceUID") or "") for item in candidates}
    if len(studies) < 2:
        return []
    return [
        warning(
            "several-studies",
            f"{source} holds CT series of {len(studies)} studies, and only one is scored: give one study.",
        )
    ]


def _no_dicom(scan: HeaderScan, source: str, images: int) -> InputRefusedError:
    if scan.unreadable:
        return InputRefusedError(
            refuse(
                "unreadable",
                f"{scan.unreadable[0]} could not be read (truncated or damaged), and nothing else can be scored.",
            )
        )
    if images > 1:
        return InputRefusedError(
            refuse("no-dicom", f"{source} holds {images} image files and no DICOM: give one of them.")
        )
    return InputRefusedError(
        refuse(
            "no-dicom",
            f"{source} holds no DICOM image: give a DICOM folder, a zip of one, or a NIfTI, NRRD or MHA file.",
        )
    )


def _renamed(ct: CTVolume, source: str) -> CTVolume:
    """Return the CT named after the input it was found in."""
    return replace(ct, acquisition=replace(ct.acquisition, source=source))
