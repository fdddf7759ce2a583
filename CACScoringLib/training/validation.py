"""What the network says about a patient whose truth is known, kept so that settings can be tried without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.inference.candidates import Candidates
from CACScoringLib.inference.lesion_features import FEATURES
from CACScoringLib.training.stored_arrays import StoredArrays
from CACScoringLib.vocabulary import Vessel, is_vessel

if TYPE_CHECKING:
    from CACScoringLib.methods.evidence import Evidence
    from CACScoringLib.models import ModelBundle
    from CACScoringLib.phantom import PhantomOptions

    OptionsOf = Callable[[str, int], PhantomOptions]


VERSION = 3
"""Of what is kept of a patient; files of another version are not used."""


@dataclass(frozen=True, eq=False)
class SeenPatient(StoredArrays):
    """A patient's candidates, what the network says about them, and the truth.

    Attributes
    ----------
    spacing_mm : ndarray of float64, shape (3,)
    kvp : ndarray of float64, shape ()
        NaN: unknown.
    index : ndarray of int32, shape (n, 3); hu : ndarray of int16, shape (n,); lesion : ndarray of int32, shape (n,)
        As in ``Candidates``.
    size_mm3 : ndarray of float32, shape (islands,)
    calcium, non_coronary : ndarray of float32, shape (n, 5)
        Probabilities, as ``decide`` takes them.
    network_calcium : ndarray of float32, shape (n, 5)
        What the network alone said: ``calcium`` before the lesion classifier looked at it.
    islands : ndarray of int64, shape (k,)
        Islands that the lesion classifier is asked about; none where the method has no such classifier.
    features : ndarray of float32, shape (k, len(FEATURES))
        Theirs (``inference/lesion_features.py``).
    truth : ndarray of uint8, shape (n,)
        True label of each candidate voxel.
    reference : ndarray of float64, shape (5,)
        Agatston of all true labels: total, LM, LAD, LCX, RCA.
    """

    spacing_mm: np.ndarray
    kvp: np.ndarray
    index: np.ndarray
    hu: np.ndarray
    lesion: np.ndarray
    size_mm3: np.ndarray
    calcium: np.ndarray
    non_coronary: np.ndarray
    network_calcium: np.ndarray
    islands: np.ndarray
    features: np.ndarray
    truth: np.ndarray
    reference: np.ndarray

    @property
    def candidates(self) -> Candidates:
        """Return the candidates."""
        return Candidates(self.index, self.hu, self.lesion, self.size_mm3)

    @property
    def ct(self) -> CTVolume:
        """Return a CT without voxels: what the scoring of candidates needs to know about the scan."""
        kvp = None if np.isnan(self.kvp) else float(self.kvp)
        spacing = tuple(float(step) for step in self.spacing_mm)
        return CTVolume(np.zeros((1, 1, 1), np.int16), spacing, acquisition=Acquisition(kvp=kvp))


def see(ct: CTVolume, truth: np.ndarray, folder: Path, *, left_main_is_lad: bool = False) -> SeenPatient:
    """Run the network of the bundle in ``folder`` on a labelled scan.

    Parameters
    ----------
    ct : CTVolume
    truth : ndarray of uint8, shape (z, y, x)
    folder : Path
    left_main_is_lad : bool
        Whether the truth labels the left main LAD.
    """
    from CACScoringLib.methods.evidence import NetworkView
    from CACScoringLib.methods.registry import candidate_threshold
    from CACScoringLib.models import open_bundle
    from CACScoringLib.scoring.parts import vessel_agatston

    if left_main_is_lad:
        truth = np.where(truth == Vessel.LM, np.uint8(Vessel.LAD), truth)
    bundle = open_bundle(folder)
    evidence = look_of(bundle)(ct, bundle=bundle, threshold_hu=candidate_threshold(ct))
    found = evidence.candidates
    none = np.zeros(0, np.int64), np.zeros((0, len(FEATURES)), np.float32)
    network = evidence.network or NetworkView(evidence.calcium, *none)
    place = np.argwhere(is_vessel(truth))
    at = tuple(place.T)
    return SeenPatient(
        spacing_mm=np.asarray(ct.spacing_mm, float),
        kvp=np.asarray(np.nan if ct.acquisition.kvp is None else ct.acquisition.kvp, float),
        index=found.index,
        hu=found.hu,
        lesion=found.lesion,
        size_mm3=found.size_mm3,
        calcium=evidence.calcium,
        non_coronary=evidence.non_coronary,
        network_calcium=network.calcium,
        islands=network.islands,
        features=network.features,
        truth=truth[tuple(found.index.T)],
        reference=vessel_agatston(ct, place, ct.hu[at], truth[at]),
    )


def look_of(bundle: ModelBundle) -> Callable[..., Evidence]:
    """Return the function that asks a bundle's network about every candidate, before anything is decided."""
    from CACScoringLib.methods import convlstm, multibranch_unet

    return convlstm.look if bundle.settings.get("method") == convlstm.NAME else multibranch_unet.look


def weights_name(bundle: ModelBundle) -> str:
    """Return what tells apart the weights that a method uses: the bundle's, and those that find the heart."""
    from CACScoringLib.models import open_bundle

    heart = bundle.settings.get("heart_model")
    return bundle.sha256[:16] if heart is None else f"{bundle.sha256[:16]}-{open_bundle(heart).sha256[:8]}"


def see_synthetic(
    protocol: str, seed: int, folders: Sequence[Path], cache: Path | None = None, options: OptionsOf | None = None
) -> list[SeenPatient]:
    """Generate a synthetic patient and run the network of each bundle on it, as far as that is not cached.

    Worker entry point. The patient is generated once, which takes longer than one network.
    """
    from CACScoringLib.models import open_bundle
    from CACScoringLib.phantom import PhantomOptions, synthesize

    patient, out, path = None, [], None
    for folder in folders:
        if cache is not None:
            path = cache / f"{protocol}-{seed:06d}-{weights_name(open_bundle(folder))}-v{VERSION}.npz"
            if path.exists():
                out.append(SeenPatient.load(path))
                continue
        if patient is None:
            wanted = PhantomOptions() if options is None else options(protocol, seed)
            patient = synthesize(seed=seed, protocol=protocol, options=wanted)
        seen = see(patient.ct, patient.labels, folder)
        if path is not None:
            cache.mkdir(parents=True, exist_ok=True)
            seen.save(path)
        out.append(seen)
    return out


def see_patients(
    wanted: Iterable[tuple[str, int]],
    folder: Path,
    *,
    cache: Path | None = None,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
    options: OptionsOf | None = None,
) -> list[SeenPatient]:
    """Run the network of one bundle on synthetic patients; as ``see_with_all``."""
    seen = see_with_all(wanted, [folder], cache=cache, workers=workers, tick=tick, options=options)
    return [one for (one,) in seen]


def see_with_all(
    wanted: Iterable[tuple[str, int]],
    folders: Sequence[Path],
    *,
    cache: Path | None = None,
    workers: int = 1,
    tick: Callable[[str], None] | None = None,
    options: OptionsOf | None = None,
) -> list[list[SeenPatient]]:
    """Run the networks of some bundles on synthetic patients.

    Parameters
    ----------
    wanted : iterable of (protocol, seed)
    folders : sequence of Path
        Of the networks' bundles.
    cache : Path, optional
        Where what a network says is kept, so that a stopped run goes on; of other weights nothing is used.
    tick : callable, optional
        Called with a text after every patient.
    options : callable, optional
        What to generate, from protocol and seed; a function of a module. The plain population when absent.

    Returns
    -------
    list of list of SeenPatient
        A list for every patient, in the order of the seeds; in it, the bundles in their order.
    """
    from CACScoringLib.training.evaluation import one_thread

    seen: dict[tuple[int, str], list[SeenPatient]] = {}
    with ProcessPoolExecutor(max_workers=workers, initializer=one_thread) as pool:
        running = {pool.submit(see_synthetic, *job, folders, cache, options): job for job in wanted}
        for future in as_completed(running):
            protocol, seed = running[future]
            seen[seed, protocol] = future.result()
            if tick is not None:
                tick(f"patient {seed}")
    return [seen[key] for key in sorted(seen)]
