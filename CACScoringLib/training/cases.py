"""Training cases: a patient reduced to what the network sees, with the truth on the same grids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.candidates import Candidates, candidate_maps, find_candidates, footprint
from CACScoringLib.inference.fine import fine_grid_over
from CACScoringLib.inference.grids import Grid, ct_grid, resample_mean, sample_nearest
from CACScoringLib.inference.heart import HEART_MARGIN_MM, coarse_volume, heart_region
from CACScoringLib.methods.registry import candidate_threshold

CACHE_VERSION = 2


@dataclass(frozen=True, eq=False)
class TrainingCase:
    """One patient for the multi-branch network.

    Attributes
    ----------
    coarse_hu : ndarray of int16; coarse_structures : ndarray of uint8
        (z, y, x) on the coarse grid, whose first voxel lies at ``coarse_offset_mm``.
    fine_hu : ndarray of int16; fine_structures : ndarray of uint8
        (z, y, x) on the fine grid, whose first voxel lies at ``fine_offset_mm``.
    cell : ndarray of int32, shape (m, 3)
        Fine voxels that hold a candidate.
    peak, fraction, size : ndarray of float32, shape (m,)
        As ``candidate_maps`` draws them.
    label : ndarray of uint8, shape (m,)
        Vocabulary label of the brightest candidate in the voxel.
    weight : ndarray of float32, shape (m,)
        1 / sqrt(fine voxels of its island): large lesions count more, not in proportion.
    """

    coarse_hu: np.ndarray
    coarse_structures: np.ndarray
    coarse_offset_mm: np.ndarray
    fine_hu: np.ndarray
    fine_structures: np.ndarray
    fine_offset_mm: np.ndarray
    cell: np.ndarray
    peak: np.ndarray
    fraction: np.ndarray
    size: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    def save(self, path: Path) -> None:
        """Write the case (numpy archive, no pickle); an existing file is replaced at once."""
        temporary = path.with_name(path.stem + ".tmp.npz")
        np.savez_compressed(temporary, **{f.name: getattr(self, f.name) for f in fields(self)})
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> TrainingCase:
        """Read a case."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{f.name: archive[f.name] for f in fields(cls)})


def make_case(
    ct: CTVolume, labels: np.ndarray, structures: np.ndarray, margin_mm: float = HEART_MARGIN_MM
) -> TrainingCase:
    """Reduce a labelled patient to a training case.

    Parameters
    ----------
    ct : CTVolume
    labels, structures : ndarray of uint8, shape (z, y, x)
        Truth on the CT's grid.
    margin_mm : float
        How far round the true heart candidates are kept.

    Raises
    ------
    ValueError
        If no heart is labelled.
    """
    grid = ct_grid(ct.shape, ct.spacing_mm)
    coarse_hu, coarse = coarse_volume(ct)
    coarse_structures = sample_nearest(structures, grid, coarse)
    region = heart_region(coarse_structures, coarse, margin_mm)
    if not region.any():
        raise ValueError("no heart is labelled in this patient, so it cannot be trained on")
    candidates = find_candidates(ct.hu, grid, region, coarse, candidate_threshold(ct))
    fine = fine_grid_over(region, coarse, candidates, grid)
    maps = candidate_maps(candidates, grid, fine)
    cell = np.argwhere(maps["peak"] > 0)
    place = tuple(cell.T)
    truth, island = _paint_truth(candidates, labels, grid, fine)
    number = island[place]
    cells_of = np.bincount(number, minlength=1)
    return TrainingCase(
        coarse_hu=np.rint(coarse_hu).astype(np.int16),
        coarse_structures=coarse_structures,
        coarse_offset_mm=np.asarray(coarse.offset_mm),
        fine_hu=np.rint(resample_mean(ct.hu, grid, fine)).astype(np.int16),
        fine_structures=sample_nearest(structures, grid, fine),
        fine_offset_mm=np.asarray(fine.offset_mm),
        cell=cell.astype(np.int32),
        peak=maps["peak"][place],
        fraction=maps["fraction"][place],
        size=maps["size"][place],
        label=truth[place],
        weight=(1.0 / np.sqrt(cells_of[number])).astype(np.float32) if len(cell) else np.zeros(0, np.float32),
    )


def _paint_truth(candidates: Candidates, labels: np.ndarray, grid: Grid, fine: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Draw label and island number of the brightest candidate in every fine voxel."""
    truth = np.zeros(fine.shape, np.uint8)
    island = np.zeros(fine.shape, np.int32)
    if not candidates.count:
        return truth, island
    value = labels[tuple(candidates.index.T)]
    order = np.argsort(candidates.hu, kind="stable")
    parts = footprint(candidates.index[order], grid, fine)
    cell = np.concatenate([p[0] for p in parts])
    voxel = order[np.concatenate([p[1] for p in parts])]
    by_hu = np.argsort(candidates.hu[voxel], kind="stable")
    place = tuple(cell[by_hu].T)
    truth[place] = value[voxel[by_hu]]
    island[place] = candidates.lesion[voxel[by_hu]]
    return truth, island


def case_path(folder: Path, protocol: str, seed: int) -> Path:
    """Return where the case of a synthetic patient is cached."""
    return folder / f"{protocol}-{seed:06d}-v{CACHE_VERSION}.npz"


def make_synthetic_case(folder: Path, protocol: str, seed: int, enriched: bool) -> Path:
    """Generate one synthetic patient and cache its training case (worker entry point)."""
    from CACScoringLib.phantom import PhantomOptions, synthesize

    path = case_path(folder, protocol, seed)
    if not path.exists():
        patient = synthesize(seed=seed, protocol=protocol, options=PhantomOptions(enriched=enriched))
        margin = HEART_MARGIN_MM + float(np.random.default_rng(seed).uniform(-3, 5))
        make_case(patient.ct, patient.labels, patient.structures, margin).save(path)
    return path


def build_cache(
    folder: Path,
    wanted: Iterable[tuple[str, int]],
    *,
    enriched: bool = True,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
) -> list[Path]:
    """Generate and cache the cases that are not there yet.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    tick : callable, optional
        Called with a text after every case.
    """
    folder.mkdir(parents=True, exist_ok=True)
    jobs = list(wanted)
    missing = [job for job in jobs if not case_path(folder, *job).exists()]
    with ProcessPoolExecutor(max_workers=workers) as pool:
        running = {
            pool.submit(make_synthetic_case, folder, protocol, seed, enriched): seed for protocol, seed in missing
        }
        for future in as_completed(running):
            future.result()
            if tick is not None:
                tick(f"patient {running[future]}")
    return [case_path(folder, *job) for job in jobs]
