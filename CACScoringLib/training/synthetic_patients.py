"""Which synthetic patients are learned from, choose settings, and measure: protocol and seed of each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from CACScoringLib.phantom import PhantomOptions

PATIENTS = 480
"""Of a training on synthetic patients."""
FIRST_TRAINING_SEED = 1_000
LESION_PATIENTS = 320
"""Of a training, to fit the lesion classifier on what the network says about patients it was not trained on."""
FIRST_LEFT_MAIN_SEED = 50_000
"""Of a training that goes on with the network that says where the left main divides: the shipped one has learned from
seeds below."""
FIRST_LESION_SEED = 60_000
"""Seeds below train networks."""
VALIDATION_PATIENTS = 40
"""Of a training, to choose settings on."""
FIRST_VALIDATION_SEED = 800_000
"""Seeds from here to 899999 choose settings; they are neither trained on nor evaluated on."""
FIRST_LEFT_MAIN_VALIDATION_SEED = 820_000
"""Of patients that choose among the weights of the network that says where the left main divides."""
FIRST_EVALUATION_SEED = 900_000
"""Seeds from here on are never trained on."""


def training_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the training patients; the same list for the same count."""
    from CACScoringLib.phantom import PROTOCOLS

    return [(PROTOCOLS[n % len(PROTOCOLS)], FIRST_TRAINING_SEED + n) for n in range(count)]


def lesion_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the patients that the lesion classifier learns from.

    ``count`` of all protocols in turn, and as many again of SPECT-CTAC: the difficulty there is whether a speck
    is calcium, and a patient has few that are in doubt.

    >>> lesion_patients(4)[:4]
    [('gated', 60000), ('spect-ctac', 60001), ('pet-ctac', 60002), ('chest', 60003)]
    >>> lesion_patients(4)[4:]
    [('spect-ctac', 60005), ('spect-ctac', 60009), ('spect-ctac', 60013), ('spect-ctac', 60017)]
    """
    from CACScoringLib.phantom import PROTOCOLS

    turns = len(PROTOCOLS)
    all_protocols = [(PROTOCOLS[n % turns], FIRST_LESION_SEED + n) for n in range(count)]
    more = range(-(-count // turns), -(-count // turns) + count)
    spect = PROTOCOLS.index("spect-ctac")
    return all_protocols + [(PROTOCOLS[spect], FIRST_LESION_SEED + turns * n + spect) for n in more]


def lesion_options(protocol: str, seed: int) -> PhantomOptions:
    """Return what to generate for a patient of ``lesion_patients``.

    Most are of the plain population. Stents are in three of eight; in one of eight of SPECT-CTAC, whose difficulty are
    specks in patients without calcium.
    """
    from CACScoringLib.phantom import PROTOCOLS, PhantomOptions

    turn = (seed - FIRST_LESION_SEED) // len(PROTOCOLS) % 8
    plain, some, none = PhantomOptions(), PhantomOptions(zero_fraction=0.0), PhantomOptions(zero_fraction=1.0)
    enriched, stent = PhantomOptions(enriched=True), PhantomOptions(mimics=("stent",))
    some_and_stent = replace(stent, zero_fraction=0.0)
    if protocol == "spect-ctac":
        return (plain, plain, plain, none, none, some, enriched, some_and_stent)[turn]
    both = replace(some_and_stent, enriched=True)
    return (plain, plain, some, some, some_and_stent, stent, enriched, both)[turn]


def by_protocol(patients: list[tuple[str, int]]) -> dict[str, list[int]]:
    """Return the indices of patients by protocol.

    >>> by_protocol([("gated", 1000), ("chest", 1001), ("gated", 1002)])
    {'gated': [0, 2], 'chest': [1]}
    """
    names = [protocol for protocol, _ in patients]
    return {name: [n for n, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}


def evaluation_patients(count: int, first_seed: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the evaluation patients: ``count`` a protocol, all seeds different."""
    from CACScoringLib.phantom import PROTOCOLS

    return [(p, first_seed + n * len(PROTOCOLS) + k) for n in range(count) for k, p in enumerate(PROTOCOLS)]


def validation_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of at least ``count`` patients that choose settings, as many of every protocol."""
    from CACScoringLib.phantom import PROTOCOLS

    return evaluation_patients(-(-count // len(PROTOCOLS)), FIRST_VALIDATION_SEED)


def left_main_patients(count: int, first_seed: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the patients from which the network of the left main's division goes on learning.

    Raises
    ------
    ValueError
        If seeds are among those that fit classifiers, choose or measure.
    """
    from CACScoringLib.phantom import PROTOCOLS

    if not FIRST_TRAINING_SEED <= first_seed <= FIRST_LESION_SEED - count:
        raise ValueError(
            f"{count} patients from seed {first_seed} on do not all have seeds from {FIRST_TRAINING_SEED} to "
            f"{FIRST_LESION_SEED - 1}, which are those that train networks"
        )
    return [(PROTOCOLS[n % len(PROTOCOLS)], first_seed + n) for n in range(count)]


def left_main_validation_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of at least ``count`` patients that choose its weights, as many of every protocol."""
    from CACScoringLib.phantom import PROTOCOLS

    return evaluation_patients(-(-count // len(PROTOCOLS)), FIRST_LEFT_MAIN_VALIDATION_SEED)
