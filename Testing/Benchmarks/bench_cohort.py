"""How long the report of a large cohort takes, and how much memory.

Run ``python Testing/Benchmarks/bench_cohort.py [ROWS]`` from the repository root. The aim for 100,000 rows is an
agreement report within 60 s and 2 GiB.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

ROWS = 100_000
VESSELS = ("LM", "LAD", "LCX", "RCA")
AIM_S, AIM_GIB = 60.0, 2.0


def write_tables(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write the scores of a simulated cohort by a reference and by a noisy method."""
    import pandas as pd

    rng = np.random.default_rng(0)
    truth = rng.lognormal(3, 1.6, (rows, 4)) * (rng.random((rows, 4)) < (0.2, 0.5, 0.3, 0.4))
    measured = np.maximum(truth * rng.normal(1, 0.15, truth.shape), 0) + (rng.random(truth.shape) < 0.02) * 5
    paths = []
    for name, scores in (("reference", truth), ("measured", measured)):
        scores = scores.round(2)
        table = pd.DataFrame(scores, columns=[f"agatston_{vessel}" for vessel in VESSELS])
        table.insert(0, "case", [f"case-{i:06d}" for i in range(rows)])
        table.insert(1, "agatston", scores.sum(1).round(2))
        table["heart_rate"] = rng.normal(65, 10, rows).round(1)
        paths.append(folder / f"{name}.csv")
        table.sample(frac=1.0, random_state=1).to_csv(paths[-1], index=False)
    return paths[0], paths[1]


def main() -> None:
    """Print the seconds of each step, and the memory of all of them."""
    from CACScoringLib.cohort.agreement_analysis import analyse
    from CACScoringLib.cohort.agreement_report import write_agreement
    from CACScoringLib.cohort.score_pairs import pair_scores
    from CACScoringLib.cohort.tables import read_table

    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    lines, spent = [], 0.0

    def timed(what: str, work: Callable[[], object]) -> object:
        nonlocal spent
        start = time.perf_counter()
        done = work()
        seconds = time.perf_counter() - start
        spent += seconds
        lines.append(f"{what:28s} {seconds:7.2f} s")
        return done

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_tables(folder, rows)
        tables = timed("read both tables", lambda: [read_table(path) for path in paths])
        pairs = timed("match", lambda: pair_scores(*tables))
        result = timed("analyse, with a covariate", lambda: analyse(pairs, covariates=["heart_rate"]))
        timed("write report and figures", lambda: write_agreement(result, folder / "out"))
        page = (folder / "out" / "agreement.html").stat().st_size / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    lines += [f"{rows:,} rows: {spent:.1f} s = {spent / AIM_S:.2f} of the aim; page {page:.1f} MiB"]
    lines += [f"peak memory of the process {peak:.2f} GiB = {peak / AIM_GIB:.2f} of the aim"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
