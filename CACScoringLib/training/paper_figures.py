"""What the four papers print, figure by figure, and whether a method reaches it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from CACScoringLib.cohort.agreement import Estimate

NAN = math.nan
SHARE_FIGURES = ("reclassified", "right:", "attention", "heart_found", "seconds_within")
"""Beginnings of the keys that are written in percent."""


@dataclass(frozen=True)
class PrintedFigure:
    """A figure of a paper.

    Attributes
    ----------
    key : str
        Of ``method_figures.figures_of``.
    title : str
    value : float or None
        As printed; None where the paper's text does not print it.
    low, high : float
        95 % interval as printed; NaN where none is.
    place : str
        Table, figure or section of the paper.
    at_most : bool
        True: smaller is better.
    note : str
        Added to the printed figure.
    decimals : int
        As printed; shares are written in percent.
    """

    key: str
    title: str
    value: float | None
    low: float = NAN
    high: float = NAN
    place: str = ""
    at_most: bool = False
    note: str = ""
    decimals: int = 3


@dataclass(frozen=True)
class PaperTable:
    """The figures of a paper that are measured here too.

    Attributes
    ----------
    paper : str
        Number of the paper.
    title : str
    method : str
        The method that follows it.
    protocols : tuple of str
        On which its figures are to be reached: those most like the scans that the paper used.
    question : str
        What is compared, for a reader.
    figures : tuple of PrintedFigure
    """

    paper: str
    title: str
    method: str
    protocols: tuple[str, ...]
    question: str
    figures: tuple[PrintedFigure, ...]


SARTORETTI = PaperTable(
    "000",
    "Sartoretti 2023: vessels, total and four categories",
    "multibranch-unet",
    ("gated", "spect-ctac"),
    "Agatston scores of labels, preset of the evaluation; four categories of `spect-pet-4`. Printed: 112 ECG-triggered "
    "SPECT CTAC of 56 patients against two readers.",
    (
        PrintedFigure("icc:total", "ICC total", 0.986, 0.979, 0.99, "Results"),
        PrintedFigure("icc:LM", "ICC LM", 0.635, 0.511, 0.734, "Results"),
        PrintedFigure("icc:LAD", "ICC LAD", 0.95, 0.928, 0.965, "Results"),
        PrintedFigure("icc:LCX", "ICC LCX", 0.928, 0.897, 0.95, "Results"),
        PrintedFigure("icc:RCA", "ICC RCA", 0.991, 0.988, 0.994, "Results"),
        PrintedFigure("kappa_quadratic", "quadratic kappa", 0.977, place="Table 2"),
        PrintedFigure("reclassified", "reclassified", 4 / 112, place="Table 2", at_most=True),
    ),
)
"""The paper does not name the weights of its kappa; its Table 2 gives 0.977 with quadratic ones."""
PIESZKO = PaperTable(
    "001",
    "Pieszko 2022: four categories",
    "convlstm",
    ("pet-ctac",),
    "Four categories of `spect-pet-4`, preset of the evaluation. Printed: 956 scans of the internal test, 744 CTAC and "
    "212 gated, against experts on the same scan. The share that is right in each category is drawn in the paper's "
    "Figure 2, whose numbers its text does not give.",
    (
        PrintedFigure("kappa_linear", "linear kappa", 0.83, 0.80, 0.85, "Results, internal testing", decimals=2),
        PrintedFigure("right:0", "right of 0", None, place="Figure 2"),
        PrintedFigure("right:>0-100", "right of >0-100", None, place="Figure 2"),
        PrintedFigure("right:>100-400", "right of >100-400", None, place="Figure 2"),
        PrintedFigure("right:>400", "right of >400", None, place="Figure 2"),
    ),
)
NGUYEN = PaperTable(
    "003",
    "Nguyen 2025: six categories",
    "six-class",
    ("gated",),
    "Six categories of `nguyen-6`, preset of the evaluation; precision, recall and F1 are means over the categories, "
    "kappa is unweighted. Printed: 1,385 slices of 68 gated scans, every slice in the category of its patient.",
    tuple(
        PrintedFigure(f"{family}:{key}", f"{title}, {words}", value, place=place)
        for family, title in (("six", "patients"), ("slices", "slices, their patient's category"))
        for key, words, value, place in (
            ("precision", "precision", 0.965, "Table 1"),
            ("recall", "recall", 0.965, "Table 1"),
            ("f1", "F1", 0.965, "Table 1"),
            ("accuracy", "accuracy", 0.965, "Abstract"),
            ("kappa", "kappa", 0.962, "Results"),
        )
    )
    + tuple(
        PrintedFigure(f"own:{key}", f"slices, category of their own score, {words}", None)
        for key, words in (("accuracy", "accuracy"), ("kappa", "kappa"))
    ),
)
DE_VOS = PaperTable(
    "004",
    "de Vos 2017, Tables 1 and 2: totals and five groups",
    "slice-regression",
    ("chest",),
    "Agatston score and volume by `nlst-de-vos-2017`, five groups of `screening-5`, for all methods. Printed: 387 "
    "chest CT, the best of the paper's four experiments.",
    (
        PrintedFigure("screening:icc_agatston", "ICC Agatston", 0.98, 0.97, 0.98, "Table 1", note="i", decimals=2),
        PrintedFigure("screening:icc_volume", "ICC volume", 0.97, 0.96, 0.97, "Table 1", note="i", decimals=2),
        PrintedFigure("screening:accuracy", "accuracy, 5 groups", 0.85, place="Table 2", note="iii", decimals=2),
        PrintedFigure("screening:kappa", "linear kappa, 5 groups", 0.90, place="Table 2", note="iii", decimals=2),
    ),
)
TABLES = (SARTORETTI, PIESZKO, NGUYEN, DE_VOS)

NGUYEN_CLASSES: tuple[tuple[float, float, float], ...] = (
    (0.998, 0.976, 0.986),
    (0.970, 0.996, 0.984),
    (0.972, 0.952, 0.964),
    (0.932, 0.928, 0.932),
    (0.970, 0.990, 0.978),
    (0.948, 0.952, 0.948),
)
"""Nguyen 2025, Table 1: precision, recall and F1 of each category, of slices."""

DE_VOS_EXPERIMENTS: tuple[tuple[str, str, str, str, str, str], ...] = (
    ("i", "plain, separate", "0.98 [0.97, 0.98]", "0.97 [0.96, 0.97]", "0.80", "0.85"),
    ("ii", "plain, shared", "0.97 [0.97, 0.98]", "0.96 [0.95, 0.97]", "0.57", "0.67"),
    ("iii", "ln(y + 1), separate", "0.96 [0.95, 0.97]", "0.95 [0.94, 0.96]", "0.85", "0.90"),
    ("iv", "ln(y + 1), shared", "0.94 [0.93, 0.95]", "0.93 [0.92, 0.95]", "0.82", "0.88"),
)
"""de Vos 2017, Tables 1 and 2: experiment, target and kernels, ICC of Agatston, of volume, accuracy, linear kappa."""


@dataclass(frozen=True)
class Verdict:
    """A printed figure beside the one that was reached on a protocol.

    Attributes
    ----------
    table : PaperTable
    figure : PrintedFigure
    protocol : str
    method : str
    value : float or None
        None: not measured.
    """

    table: PaperTable
    figure: PrintedFigure
    protocol: str
    method: str
    value: float | None

    @property
    def reached(self) -> bool:
        """Return whether the value is at least as good as the printed one; what was not measured is not."""
        if self.value is None or self.figure.value is None:
            return False
        return self.missed_by <= 0

    @property
    def missed_by(self) -> float:
        """Return how far the value stays behind the printed one; negative where it is better."""
        gap = self.figure.value - self.value
        return -gap if self.figure.at_most else gap

    def words(self) -> str:
        """Return the verdict as a table shows it; ``-`` where there is nothing to compare."""
        if self.value is None or self.figure.value is None:
            return "-"
        return "reached" if self.reached else f"**missed** by {_gap(self.figure.key, self.missed_by)}"


def verdict(table: PaperTable, figure: PrintedFigure, protocol: str, method: str, value: Estimate | None) -> Verdict:
    """Return what a method's figure on a protocol is beside the printed one."""
    return Verdict(table, figure, protocol, method, None if value is None else value.value)


def number(key: str, value: float) -> str:
    """Return a number as its figure is written: in percent, in seconds or with three decimals."""
    if key.startswith(SHARE_FIGURES):
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if key.startswith("seconds") else f"{value:.0f}" if key == "ct_slices" else f"{value:.3f}"


def _gap(key: str, value: float) -> str:
    """Return a difference that is not 0 as its figure is written."""
    least = 0.001
    return f"less than {number(key, least)}" if value < least else number(key, value)


def with_interval(key: str, estimate: Estimate | None) -> str:
    """Return a figure with its interval as a table shows it; ``-`` where there is none."""
    if estimate is None:
        return "-"
    value = number(key, estimate.value)
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return value
    return f"{value} [{number(key, estimate.low)}, {number(key, estimate.high)}]"


def printed(figure: PrintedFigure) -> str:
    """Return a printed figure as a table shows it."""
    if figure.value is None:
        return "-"
    if figure.key.startswith(SHARE_FIGURES):
        words = number(figure.key, figure.value)
    else:
        words, low, high = (f"{v:.{figure.decimals}f}" for v in (figure.value, figure.low, figure.high))
        words = words if math.isnan(figure.low) else f"{words} [{low}, {high}]"
    return f"{words} ({figure.note})" if figure.note else words
