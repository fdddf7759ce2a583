"""Time and peak memory of ``predict`` + ``score`` of every method on synthetic scans, models warm, disk excluded.

Run: ``python Testing/Benchmarks/bench_predict.py [METHOD ...]``. Prints seconds, and the ratio to the first method and
to one threshold pass over the same scan, measured in the same run. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from CACScoringLib import predict, score
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.registry import METHODS
from CACScoringLib.phantom import PROTOCOLS, synthesize

RUNS = 3
SEED = 910_000
LIMITS_S = {"gated": 1.0, "spect-ctac": 1.0, "pet-ctac": 1.0, "chest": 3.0}
"""What a scan may take on two cores that do nothing else: gated and chest are the project's aims."""


def best_of(runs: int, function: Callable[[], object]) -> float:
    """Return the shortest of a few runs in seconds."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def predict_and_score(ct: CTVolume, method: str) -> None:
    """Do all that ``cacscoring score`` does between reading and writing."""
    prediction = predict(ct, method=method)
    if prediction.labels is not None:
        score(ct, prediction.labels)


def main(methods: list[str]) -> None:
    """Measure every method on every protocol."""
    write = sys.stdout.write
    write("protocol    voxels              method            seconds  limit  to the first  to one threshold pass\n")
    for protocol in PROTOCOLS:
        ct = synthesize(seed=SEED, protocol=protocol).ct
        threshold = best_of(RUNS, lambda hu=ct.hu: np.count_nonzero(hu >= 130))
        first = None
        for method in methods:
            predict_and_score(ct, method)
            seconds = best_of(RUNS, lambda ct=ct, method=method: predict_and_score(ct, method))
            first = first or seconds
            write(
                f"{protocol:11} {ct.shape!s:19} {method:17} {seconds:7.2f} {LIMITS_S[protocol]:6.1f} "
                f"{seconds / first:13.2f} {seconds / threshold:22.0f}\n"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    write(f"peak memory of the process, generating the patients included: {peak:.2f} GiB\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(METHODS)} (default: all)")
    chosen = parser.parse_args().methods
    if not set(chosen) <= set(METHODS):
        parser.error(f"choose from {', '.join(METHODS)}")
    main(chosen or list(METHODS))
