"""The evaluation as a page: the table, the floors, the figures, and where they are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.training.evaluation import SCHEME
from CACScoringLib.training.floors import check_floors
from CACScoringLib.training.patient_result import NAMES, PatientResult
from CACScoringLib.vocabulary import LABEL_BY_NAME

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
"""Between these lines of a page lies what ``update_page`` replaces."""
ROWS_OF_TABLE: tuple[tuple[str, str], ...] = (
    ("patients", "patients"),
    *((f"icc:{name}", f"ICC(2,1) {name} [95 % CI]") for name in NAMES),
    ("kappa_linear", "linear kappa, 4 categories [95 % CI]"),
    ("kappa_quadratic", "quadratic kappa, 4 categories [95 % CI]"),
    ("reclassified", "reclassified"),
    ("zero", "calcium-free patients scored 0"),
    ("lesion_sensitivity", "lesion sensitivity"),
    ("right_vessel", "found lesions in the right vessel"),
    ("false_lesions_per_scan", "false lesions a scan"),
    ("calibration_error", "calibration error (ECE), stated category"),
    ("calibration_error_all", "calibration error (ECE), all categories"),
    ("brier", "Brier score, 4 categories"),
    ("review", "wrong categories that were flagged for review"),
    ("review_share", "scans flagged for review"),
    ("interval_coverage", "totals within the 90 % interval"),
    ("seconds_mean", "seconds a scan, mean"),
    ("seconds_max", "seconds a scan, longest"),
)
PERCENT = {"reclassified", "lesion_sensitivity", "right_vessel", "review_share", "interval_coverage"}
THREE_DECIMALS = {"calibration_error", "calibration_error_all", "brier"}
FIGURES = {
    "scatter.png": "Total Agatston, reference against automatic, with the regression line",
    "bland-altman.png": "Bland-Altman: difference over mean, bias and 95 % limits of agreement",
    "confusion.png": "Risk categories, reference against automatic",
    "vessels.png": "Agatston of each vessel",
    "protocols.png": "Total Agatston in each protocol",
    "reliability.png": "Reliability of the stated category's probability, with 95 % intervals",
}


def cell(summary: Mapping[str, Any], key: str) -> str:
    """Return one figure as a table shows it."""
    if key.startswith("icc:"):
        icc = summary["icc"][key[4:]]
        return _with_interval(icc["value"], icc["low"], icc["high"])
    if key.startswith("kappa"):
        return _with_interval(summary[key], *summary[f"{key}_interval"])
    if key == "zero":
        known = summary["zero_scored_zero"] is not None
        return f"{summary['zero_scored_zero']} of {summary['zero_patients']}" if known else "-"
    if key == "review":
        return _flagged(summary)
    value = summary[key]
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{100 * value:.1f} %" if key in PERCENT else f"{value:.3f}" if key in THREE_DECIMALS else f"{value:.2f}"


def _with_interval(value: float | None, low: float | None, high: float | None) -> str:
    return "-" if None in (value, low, high) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _flagged(summary: Mapping[str, Any]) -> str:
    wrong, sensitivity = summary["review_wrong"], summary["review_sensitivity"]
    if wrong is None:
        return "-"
    return f"{round(sensitivity * wrong) if wrong else 0} of {wrong}"


def as_markdown(
    summary: Mapping[str, Any],
    context: Mapping[str, Any],
    figures: Mapping[str, str] | None = None,
    *,
    head: bool = True,
) -> str:
    """Return the evaluation in Markdown.

    Parameters
    ----------
    summary : mapping
        ``evaluation.summarize``.
    context : mapping
        What was evaluated, written as a list.
    figures : mapping of str to str, optional
        Captions by path.
    head : bool
        Whether to begin with the title and the warning of a page of its own.
    """
    title = [f"# Evaluation of {context['method']}", ""] if head else []
    warn = ["Synthetic patients only: nothing here says how the method does on real patients. Research use only.", ""]
    lines = [*title, *(warn if head else []), *(f"- {key}: {value}" for key, value in context.items()), ""]
    lines += markdown_table(
        ["", *summary], [[title, *(cell(group, key) for group in summary.values())] for key, title in ROWS_OF_TABLE]
    )
    floors = check_floors(summary)
    met = sum(entry.passed for entry in floors)
    lines += ["", f"Of the {len(floors)} floors that the project has set itself, {met} are reached:", ""]
    lines += markdown_table(["protocol", "figure", "floor", "value", ""], [entry.cells() for entry in floors])
    for path, caption in (figures or {}).items():
        lines += ["", f"![{caption}]({path})", "", f"*{caption}.*"]
    return "\n".join(lines) + "\n"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def write_evaluation(
    folder: Path, results: list[PatientResult], summary: Mapping[str, Any], context: Mapping[str, Any]
) -> list[str]:
    """Write ``evaluation.json``, ``evaluation.md`` and the figures beside the patients' lines; return their names."""
    floors = [{**vars(entry.floor), "value": entry.value, "passed": entry.passed} for entry in check_floors(summary)]
    document = {**context, "summary": summary, "floors": floors}
    (folder / "evaluation.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    figures = write_figures(folder / "figures", results, summary)
    page = as_markdown(summary, context, {f"figures/{name}": FIGURES[name] for name in figures})
    (folder / "evaluation.md").write_text(page, encoding="utf-8")
    return ["evaluation.md", "evaluation.json", *(f"figures/{name}" for name in figures)]


def write_figures(folder: Path, results: list[PatientResult], summary: Mapping[str, Any]) -> list[str]:
    """Draw every figure of ``FIGURES`` that the results allow; return the names of the files."""
    from CACScoringLib.cohort import figures as draw
    from CACScoringLib.cohort.reliability import ReliabilityBin

    if len(results) < 2:
        return []

    def pairs(name: str, title: str, of: list[PatientResult] = results, **more: Any) -> draw.Pairs:
        reference, measured = (np.array([getattr(r, side)[name] for r in of]) for side in ("reference", "predicted"))
        return draw.Pairs(title, reference, measured, **more)

    everyone = summary["all"]
    drawn = {}
    if all("total" in r.predicted for r in results):
        protocols = sorted({r.protocol for r in results})
        drawn["scatter.png"] = draw.scatter_figure(pairs("total", "Total"))
        drawn["bland-altman.png"] = draw.bland_altman_figure(pairs("total", "Total Agatston"))
        drawn["protocols.png"] = draw.scatter_grid(
            [pairs("total", p, [r for r in results if r.protocol == p]) for p in protocols]
        )
    if everyone["confusion"] is not None:
        matrix = np.array(everyone["confusion"]["rows_reference_columns_predicted"])
        drawn["confusion.png"] = draw.confusion_figure(
            matrix, everyone["confusion"]["categories"], f"Agatston, {SCHEME}"
        )
    if all(name in r.predicted for r in results for name in NAMES[1:]):
        drawn["vessels.png"] = draw.scatter_grid(
            [pairs(n, n, color=LABEL_BY_NAME[n].color, categories=False) for n in NAMES[1:]]
        )
    if everyone["reliability"]:
        bins = [ReliabilityBin(**entry) for entry in everyone["reliability"]]
        drawn["reliability.png"] = draw.reliability_figure(bins, everyone["calibration_error"], f"Category, {SCHEME}")
    for name, figure in drawn.items():
        draw.save_figure(figure, folder / name)
    return [name for name in FIGURES if name in drawn]


def update_page(
    page: Path, results: list[PatientResult], summary: Mapping[str, Any], context: Mapping[str, Any]
) -> None:
    """Replace what a page of the documentation says was measured, and its figures in ``figures/evaluation``.

    Raises
    ------
    ValueError
        If the page has not exactly one place between ``BEGIN`` and ``END``.
    """
    check_page(page)
    names = write_figures(page.parent / "figures" / "evaluation", results, summary)
    measured = as_markdown(
        summary, context, {f"figures/evaluation/{name}": FIGURES[name] for name in names}, head=False
    )
    replace_measured(page, measured)


def check_page(page: Path) -> str:
    """Return the text of a page that has a place for what was measured.

    Raises
    ------
    ValueError
        If it has not exactly one place between ``BEGIN`` and ``END``.
    """
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{page} needs one line '{BEGIN}' and below it one line '{END}'.")
    return text


def replace_measured(page: Path, measured: str) -> None:
    """Put Markdown between ``BEGIN`` and ``END`` of a page; raises ``ValueError`` as ``check_page`` does."""
    text = check_page(page)
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    page.write_text(f"{before}{BEGIN}\n\n{measured}\n{after}", encoding="utf-8")
