"""The agreement of two score tables as files: figures, ``agreement.csv``, ``agreement.json``, ``agreement.html``."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from CACScoringLib import __version__
from CACScoringLib.cohort import figures as draw
from CACScoringLib.cohort import report_html as html
from CACScoringLib.cohort.agreement_analysis import Agreement
from CACScoringLib.cohort.agreement_continuous import TRANSFORMS
from CACScoringLib.cohort.agreement_sections import figure_name, quantity_title, report_lead, sections
from CACScoringLib.cohort.agreement_words import FIELDS, methods_paragraph, rows
from CACScoringLib.cohort.score_pairs import MEASURES, TOTAL, ScorePairs
from CACScoringLib.report.staging import write_text
from CACScoringLib.report.words import RESEARCH_USE_ONLY
from CACScoringLib.vocabulary import LABEL_BY_NAME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HTML, CSV, JSON, FIGURES = "agreement.html", "agreement.csv", "agreement.json", "figures"
MOST_SVG_BYTES = 400_000
"""Larger drawings become part of the page as PNG."""


def write_agreement(result: Agreement, folder: Path, title: str = "Agreement of calcium scores") -> list[Path]:
    """Write the report of an agreement; return the files.

    Parameters
    ----------
    result : Agreement
    folder : Path
        Gets ``agreement.html``, ``agreement.csv``, ``agreement.json`` and ``figures/*.png`` and ``*.svg``.
    title : str
    """
    written = []
    pictures: dict[str, Path] = {}
    for name, figure in figures_of(result).items():
        for ending in (".png", ".svg"):
            path = folder / FIGURES / f"{name}{ending}"
            draw.save_figure(figure, path)
            written.append(path)
        pictures[name] = path if path.stat().st_size <= MOST_SVG_BYTES else path.with_suffix(".png")
    write_text(folder / CSV, to_csv(result))
    write_text(folder / JSON, json.dumps(as_document(result), indent=1, allow_nan=False) + "\n")
    html.write_page(folder / HTML, title, report_lead(result), sections(result, pictures))
    return [folder / HTML, folder / CSV, folder / JSON, *written]


def as_document(result: Agreement) -> dict[str, object]:
    """Return every statistic, finding and sentence as plain values for JSON."""
    return {
        "schema": "cacscoring-agreement/1",
        "software": {"name": "CACScoring", "version": __version__},
        "note": RESEARCH_USE_ONLY,
        "tables": list(result.pairs.names) if result.pairs else [],
        "cases": len(result.pairs.cases) if result.pairs else None,
        "confidence": result.confidence,
        "statistics": list(rows(result)),
        "findings": [finding.as_dict() for finding in result.findings],
        "methods": methods_paragraph(result),
    }


def to_csv(result: Agreement) -> str:
    """Return the text of ``agreement.csv``: one statistic a row; what is not defined is empty."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows(result))
    return stream.getvalue()


def figures_of(result: Agreement) -> dict[str, Figure]:
    """Return the figures by name: scatter, vessels, Bland-Altman on three scales, a confusion matrix a scheme."""
    drawn: dict[str, Figure] = {}
    if result.pairs is not None and result.scores:
        main = pairs_to_draw(result.pairs, result.scores[0].quantity)
        drawn["scatter"] = draw.scatter_figure(main)
        for scale in TRANSFORMS:
            drawn["bland-altman" if scale == "plain" else f"bland-altman-{scale}"] = draw.bland_altman_figure(
                main, scale
            )
        vessels = [pairs_to_draw(result.pairs, score.quantity) for score in result.scores if score.quantity != TOTAL]
        if vessels:
            drawn["vessels"] = draw.scatter_grid(vessels)
    for entry in result.categories:
        title = f"Risk category, {entry.scheme}"
        drawn[f"confusion-{figure_name(entry.scheme)}"] = draw.confusion_figure(
            entry.matrix, entry.categories, title, ("Reference", "Measured")
        )
    return drawn


def pairs_to_draw(pairs: ScorePairs, quantity: str) -> draw.Pairs:
    """Return the scores of one quantity as figures take them."""
    reference, measured = pairs.complete(quantity)
    color = draw.POINT if quantity == TOTAL else LABEL_BY_NAME[quantity].color
    unit = MEASURES[pairs.measure]
    score = {"agatston": "Agatston", "volume_mm3": "volume", "mass_mg": "mass"}[pairs.measure]
    return draw.Pairs(
        quantity_title(quantity),
        reference,
        measured,
        color,
        categories=quantity == TOTAL and pairs.measure == "agatston",
        names=("Reference", "Measured"),
        score=f"{score}, {unit}" if unit else score,
    )
