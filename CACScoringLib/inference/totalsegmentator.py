"""The heart as TotalSegmentator sees it, for those who have it installed.

TotalSegmentator (Wasserthal 2023, doi 10.1148/ryai.230024) is neither shipped nor installed by this project. Its task
``total`` names the heart as a whole and the aorta (version 2), or the chambers one by one (version 1).
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import Finding, info
from CACScoringLib.inference.grids import Grid, ct_grid, resample_mean
from CACScoringLib.models import ModelError
from CACScoringLib.vocabulary import Structure

Segmenter = Callable[[CTVolume], dict[str, np.ndarray]]
"""CT -> masks (bool, on the CT's grid) by TotalSegmentator's class names."""

WHOLE_HEART = "heart"
"""The heart with all chambers and the myocardium, undivided (version 2)."""
STRUCTURE_OF: dict[str, Structure] = {
    "heart_ventricle_left": Structure.LEFT_VENTRICLE,
    "heart_myocardium": Structure.MYOCARDIUM,
    "heart_ventricle_right": Structure.RIGHT_VENTRICLE,
    "heart_atrium_left": Structure.LEFT_ATRIUM,
    "atrial_appendage_left": Structure.LEFT_ATRIUM,
    "heart_atrium_right": Structure.RIGHT_ATRIUM,
    "aorta": Structure.AORTA,
    "pulmonary_artery": Structure.PULMONARY_ARTERY,
}
"""TotalSegmentator's classes of both versions in our vocabulary; what is not here (veins, lungs ...) is not used."""
CHAMBERS = slice(int(Structure.LEFT_VENTRICLE), int(Structure.RIGHT_ATRIUM) + 1)
LEAST_SHARE = 1e-3
"""Below this the coarse branch has no opinion on which chamber a voxel belongs to."""
TASK = "total"


class TotalSegmentatorHeart:
    """Finds the heart with TotalSegmentator; the coarse branch only tells its chambers apart.

    Parameters
    ----------
    segment : callable, optional
        Used in place of the installed TotalSegmentator.
    device : str
        As torch names it.
    """

    def __init__(self, segment: Segmenter | None = None, device: str = "cpu"):
        self._segment = segment or (lambda ct: run_totalsegmentator(ct, device))

    @property
    def finding(self) -> Finding:
        """Return what a result made with it has to say."""
        return info(
            "heart-totalsegmentator",
            "The heart was found by TotalSegmentator, not by the network that the published figures belong to.",
        )

    def __call__(self, ct: CTVolume, hu: np.ndarray, coarse: Grid, network: Callable[[], np.ndarray]) -> np.ndarray:
        """Return structure probabilities on the coarse grid; see ``inference.heart.HeartFinder``."""
        masks = self._segment(ct)
        wrong = [name for name, mask in masks.items() if mask.shape != ct.shape]
        if wrong:
            raise ModelError(f"TotalSegmentator's {wrong[0]} does not lie on the scan's grid: use --heart network.")
        grid = ct_grid(ct.shape, ct.spacing_mm)
        share = {
            name: resample_mean(mask.astype(np.float32), grid, coarse, fill=0.0)
            for name, mask in masks.items()
            if name in STRUCTURE_OF or name == WHOLE_HEART
        }
        return structures_from(share, coarse.shape, network)


def structures_from(
    share: dict[str, np.ndarray], shape: tuple[int, int, int], network: Callable[[], np.ndarray]
) -> np.ndarray:
    """Turn the shares that TotalSegmentator's classes have of each coarse voxel into structure probabilities.

    A heart that comes undivided is divided among the chambers as the coarse branch would divide it; a voxel that the
    branch holds for no chamber goes to the nearest one. A pulmonary artery that does not come is the branch's own,
    outside of what did come.

    Parameters
    ----------
    share : dict of str to ndarray of float32, shape (z, y, x)
    shape : tuple of int
    network : callable
        Returns the coarse branch's probabilities (8, z, y, x); called at most once, and only where needed.

    Returns
    -------
    ndarray of float32, shape (8, z, y, x)
    """
    out = np.zeros((len(Structure) + 1, *shape), np.float32)
    for name, value in share.items():
        if name != WHOLE_HEART:
            out[STRUCTURE_OF[name]] = np.maximum(out[STRUCTURE_OF[name]], value)
    divided = bool(out[CHAMBERS].any())
    if WHOLE_HEART in share and not divided and share[WHOLE_HEART].any():
        branch = network()
        out[CHAMBERS] = share[WHOLE_HEART] * _chamber_shares(branch[CHAMBERS])
        if "pulmonary_artery" not in share:
            out[Structure.PULMONARY_ARTERY] = branch[Structure.PULMONARY_ARTERY]
            out[Structure.PULMONARY_ARTERY] *= np.clip(1.0 - out[1 : Structure.PULMONARY_ARTERY].sum(axis=0), 0.0, 1.0)
    total = out.sum(axis=0)
    out /= np.maximum(total, 1.0)
    out[0] = 1.0 - np.minimum(total, 1.0)
    return out


def _chamber_shares(chambers: np.ndarray) -> np.ndarray:
    """Return chamber probabilities (5, z, y, x) that sum to 1 everywhere."""
    total = chambers.sum(axis=0)
    known = total > LEAST_SHARE
    if not known.any():
        undivided = np.zeros_like(chambers)
        undivided[Structure.MYOCARDIUM - Structure.LEFT_VENTRICLE] = 1.0
        return undivided
    nearest = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    return (chambers / np.maximum(total, LEAST_SHARE))[(slice(None), *nearest)]


def run_totalsegmentator(ct: CTVolume, device: str = "cpu") -> dict[str, np.ndarray]:
    """Run the installed TotalSegmentator's task ``total`` on a CT.

    Raises
    ------
    ModelError
        If it is not installed or fails.
    """
    try:
        from totalsegmentator.map_to_binary import class_map
        from totalsegmentator.python_api import totalsegmentator
    except ImportError as error:
        raise ModelError(
            "TotalSegmentator is not installed in this Python: install it yourself (pip install TotalSegmentator), "
            "or leave the heart to the network (--heart network)."
        ) from error
    names = {int(value): name for value, name in class_map[TASK].items()}
    wanted = [name for name in names.values() if name in STRUCTURE_OF or name == WHOLE_HEART]
    with tempfile.TemporaryDirectory(prefix="cacscoring-heart-") as folder:
        source, target = Path(folder) / "ct.nii.gz", Path(folder) / "out" / "structures.nii.gz"
        target.parent.mkdir()
        image = _as_image(ct)
        _write(image, source)
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints, and standard output is for results
                totalsegmentator(
                    source,
                    target,
                    ml=True,
                    task=TASK,
                    roi_subset=wanted,
                    quiet=True,
                    device="gpu" if device.startswith("cuda") else device,
                )
        except (Exception, SystemExit) as error:
            words = " ".join(str(error).split())[:160] or type(error).__name__
            raise ModelError(f"TotalSegmentator failed ({words}): use --heart network.") from error
        values = _read_onto(target.parent, image)
    return {name: values == value for value, name in names.items() if name in wanted}


def _as_image(ct: CTVolume):
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(ct.hu)
    image.SetSpacing(tuple(map(float, ct.spacing_mm[::-1])))
    image.SetOrigin(tuple(map(float, ct.origin_mm)))
    image.SetDirection(tuple(map(float, ct.direction)))
    return image


def _write(image: object, path: Path) -> None:
    import SimpleITK as sitk  # noqa: N813

    sitk.WriteImage(image, str(path), True)


def _read_onto(folder: Path, reference: object) -> np.ndarray:
    """Read the one label map that was written, on the grid of the CT."""
    import SimpleITK as sitk  # noqa: N813

    written = sorted(folder.glob("*.nii*"))
    if not written:
        raise ModelError("TotalSegmentator wrote no segmentation: use --heart network.")
    labels = sitk.ReadImage(str(written[0]))
    on_ct = sitk.Resample(labels, reference, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return sitk.GetArrayFromImage(on_ct)
