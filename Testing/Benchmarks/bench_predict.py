"""Time and peak memory of ``predict`` + ``score`` on synthetic scans, model warm, disk excluded.

Run: ``python Testing/Benchmarks/bench_predict.py``. Prints seconds, and the ratio to one
threshold pass over the same scan measured in the same run. Nothing is asserted.
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from CACScoringLib import predict, score
from CACScoringLib.phantom import PROTOCOLS, synthesize

RUNS = 3
SEED = 910_000


def best_of(runs: int, function) -> float:
    """Return the shortest of a few runs in seconds."""
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    """Measure every protocol."""
    write = sys.stdout.write
    write("protocol    voxels              predict s  score s  ratio to one threshold pass\n")
    for protocol in PROTOCOLS:
        patient = synthesize(seed=SEED, protocol=protocol)
        prediction = predict(patient.ct)
        seconds = best_of(RUNS, lambda ct=patient.ct: predict(ct))
        scoring = best_of(RUNS, lambda ct=patient.ct, labels=prediction.labels: score(ct, labels))
        threshold = best_of(RUNS, lambda hu=patient.ct.hu: np.count_nonzero(hu >= 130))
        write(
            f"{protocol:11} {patient.ct.shape!s:19} {seconds:9.2f} {scoring:8.3f}  "
            f"{(seconds + scoring) / threshold:.0f} ({scoring / threshold:.1f} for scoring alone)\n"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    write(f"peak memory of the process, generating the patients included: {peak:.2f} GiB\n")


if __name__ == "__main__":
    main()
