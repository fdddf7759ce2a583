"""What the generator is asked for and what it returns."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np

from CACScoringLib.ct import CTVolume
from CACScoringLib.vocabulary import Vessel


@dataclass(frozen=True)
class PhantomOptions:
    """What to generate.

    Attributes
    ----------
    zero_fraction : probability of a patient without coronary calcium
    enriched : for training: more and smaller lesions, more mimics, wider randomisation of patient and scanner
    target_agatston : lowest and highest total Agatston wanted, or None for the population's spread
    matrix : pixels along one side of a slice
    mimics : names of ``mimics.MAKERS`` that the patient has for certain, such as ``stent``
    gated : whether the scan is ECG-gated, where a protocol has both kinds (``spect-ctac``); None: as drawn
    """

    zero_fraction: float = 1.0 / 3.0
    enriched: bool = False
    target_agatston: tuple[float, float] | None = None
    matrix: int = 512
    mimics: tuple[str, ...] = ()
    gated: bool | None = None


@dataclass(frozen=True)
class LesionTruth:
    """One calcification: where it is, what it counts as, physical size and what the noise-free image shows."""

    vessel: str
    center_mm: tuple[float, float, float]
    physical_volume_mm3: float
    density_mg_ml: float
    mass_mg: float


@dataclass(frozen=True)
class VesselTruth:
    """Noise-free score of one vessel and the physical mass of hydroxyapatite in it."""

    agatston: float
    volume_mm3: float
    mass_mg: float
    lesions: int


@dataclass(frozen=True)
class PatientTruth:
    """What is known about a synthetic scan.

    ``agatston`` and ``volume_mm3`` are of the noise-free image with all blur, motion and partial volume; ``mass_mg`` is
    the physical mass.
    """

    seed: int
    protocol: str
    total: VesselTruth
    vessels: dict[str, VesselTruth]
    lesions: tuple[LesionTruth, ...]
    mimics: tuple[str, ...]
    drawn: dict[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return everything as plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class SyntheticPatient:
    """A synthetic scan with its truth.

    Attributes
    ----------
    ct : CTVolume
    labels : ndarray of uint8 (z, y, x): what an expert would mark on this image (``vocabulary`` values)
    structures : ndarray of uint8 (z, y, x): ``vocabulary.Structure``
    vessel_tree : centrelines (n, 3) as x, y, z in mm (LPS, the CT's frame) by branch name
    branch_vessels : the vessel each branch of the tree counts under (``vocabulary.Vessel``)
    truth : PatientTruth
    """

    ct: CTVolume
    labels: np.ndarray
    structures: np.ndarray
    vessel_tree: dict[str, np.ndarray]
    branch_vessels: dict[str, Vessel]
    truth: PatientTruth
