"""Which synthetic patients are learned from, choose settings, and measure: protocol and seed of each."""

from __future__ import annotations

PATIENTS = 480
"""Of a training on synthetic patients."""
FIRST_TRAINING_SEED = 1_000
FIRST_VALIDATION_SEED = 800_000
"""Seeds from here to 899999 choose settings; they are neither trained on nor evaluated on."""
FIRST_EVALUATION_SEED = 900_000
"""Seeds from here on are never trained on."""


def training_patients(count: int) -> list[tuple[str, int]]:
    """Return protocol and seed of the training patients; the same list for the same count."""
    from CACScoringLib.phantom import PROTOCOLS

    return [(PROTOCOLS[n % len(PROTOCOLS)], FIRST_TRAINING_SEED + n) for n in range(count)]


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
