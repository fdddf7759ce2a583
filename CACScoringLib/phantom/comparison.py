"""The generator's protocols beside real scans, row by row: the table by which a generator version is accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from CACScoringLib.ct import load_ct
from CACScoringLib.phantom.measures import measure_scan
from CACScoringLib.phantom.realism import CASES, RealCase, matching_patient

ACCEPTED = 0.25
"""A row of ``JUDGED`` passes within this share of the real scan's value."""
JUDGED = (
    "noise SD, HU",
    "noise spectrum peak, 1/mm",
    "noise spectrum mean, 1/mm",
    "correlation with the next slice",
    "air-skin edge FWHM, mm",
    "lung-heart edge FWHM, mm",
    "islands >= 130 HU per slice (25 cm2)",
)
FEW_ISLANDS = 1.0
"""Islands per slice up to which counts are compared by difference: a ratio of nearly nothing says nothing."""
FIRST_SEED = 101
BEGIN, END = "<!-- realism table: begin -->", "<!-- realism table: end -->"


@dataclass(frozen=True)
class Comparison:
    """One real scan and what synthetic scans with its settings measure.

    Attributes
    ----------
    title : of the real scan
    real : measures by row name
    synthetic : mean over the synthetic patients
    spread : their standard deviation
    patients : how many
    """

    title: str
    real: dict[str, float]
    synthetic: dict[str, float]
    spread: dict[str, float]
    patients: int

    def agrees(self, row: str) -> bool:
        """Return whether a row's synthetic mean is within 25 % of the real value."""
        real, synthetic = self.real[row], self.synthetic[row]
        if row.startswith("islands") and max(real, synthetic) <= FEW_ISLANDS:
            return True
        return bool(abs(synthetic - real) <= ACCEPTED * abs(real))

    @property
    def accepted(self) -> bool:
        """Return whether every judged row agrees."""
        return all(self.agrees(row) for row in JUDGED)


def compare(
    data: Path,
    patients: int = 4,
    cases: Sequence[RealCase] = CASES,
    progress: Callable[[float, str], None] = lambda share, text: None,
) -> list[Comparison]:
    """Measure each real scan below ``data`` and ``patients`` synthetic ones with its settings (seeds from 101)."""
    out = []
    steps = len(cases) * (patients + 1)
    for i, case in enumerate(cases):
        progress(i * (patients + 1) / steps, f"Measuring {case.title}")
        real = measure_scan(load_ct(data / case.folder)).rows()
        rows = []
        for k in range(patients):
            progress((i * (patients + 1) + k + 1) / steps, f"Synthetic patient {k + 1} of {patients}: {case.protocol}")
            rows.append(measure_scan(matching_patient(case, FIRST_SEED + k).ct).rows())
        columns = {name: np.array([row[name] for row in rows], dtype=float) for name in real}
        columns = {name: values[np.isfinite(values)] for name, values in columns.items()}
        out.append(
            Comparison(
                title=case.title,
                real=real,
                synthetic={n: round(float(v.mean()), 4) if v.size else float("nan") for n, v in columns.items()},
                spread={n: round(float(v.std()), 4) if v.size else float("nan") for n, v in columns.items()},
                patients=patients,
            )
        )
    return out


def shown(value: float) -> str:
    """Return a value with three digits, or a dash where there is none."""
    return "-" if not np.isfinite(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def comparison_rows(comparisons: Sequence[Comparison]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows: for every real scan its value, the synthetic mean and SD; judged rows say yes or no."""
    header = ["measure"]
    for comparison in comparisons:
        header += [comparison.title, "synthetic", "within 25 %"]
    rows = []
    for name in comparisons[0].real:
        row = [name]
        for c in comparisons:
            synthetic = shown(c.synthetic[name])
            if np.isfinite(c.spread[name]):
                synthetic += f" ± {shown(c.spread[name])}"
            row += [shown(c.real[name]), synthetic, ("yes" if c.agrees(name) else "NO") if name in JUDGED else ""]
        rows.append(row)
    return header, rows


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def write_table(text: str, page: Path) -> None:
    """Write a table to a page: between its two marks where it has them, else as the whole file."""
    if page.is_file():
        old = page.read_text(encoding="utf-8")
        if BEGIN in old and END in old:
            before, after = old.split(BEGIN, 1)[0], old.split(END, 1)[1]
            text = f"{before}{BEGIN}\n{text}{END}{after}"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")
