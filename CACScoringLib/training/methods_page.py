"""The evaluation of all methods as a page: the papers' tables, attention, time, size, and what is missed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from CACScoringLib.cohort.agreement import Estimate, confusion_matrix
from CACScoringLib.methods.six_class import SCHEME as SIX_SCHEME
from CACScoringLib.scoring.risk import SCHEMES
from CACScoringLib.training.evaluated_patient import EvaluatedPatient
from CACScoringLib.training.evaluation_page import check_page, markdown_table, replace_measured
from CACScoringLib.training.floors import ATTENTION, MEGABYTES, SECONDS, SECONDS_SLICES
from CACScoringLib.training.method_figures import Figures, group_results
from CACScoringLib.training.paper_figures import (
    DE_VOS,
    DE_VOS_EXPERIMENTS,
    NGUYEN,
    NGUYEN_CLASSES,
    TABLES,
    PaperTable,
    Verdict,
    number,
    printed,
    verdict,
    with_interval,
)

Summary = Mapping[str, Mapping[str, Figures]]
"""Figures by method, then by group of patients (``all`` and the protocols)."""
WARNING = "Synthetic patients only: nothing here says how a method does on real patients. Research use only."
PAGE, DOCUMENT = "methods.md", "methods.json"


def as_markdown(
    summary: Summary,
    context: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
    figures: Mapping[str, str] | None = None,
    *,
    head: bool = True,
) -> str:
    """Return the evaluation of all methods in Markdown.

    Parameters
    ----------
    summary : mapping
        ``method_figures.summarize_method`` by method.
    context : mapping
        What was evaluated, written as a list.
    models : sequence of mapping
        ``method``, ``model``, ``sha256``, ``megabytes`` and ``run`` of each.
    figures : mapping of str to str, optional
        Captions by path.
    head : bool
        Whether to begin with the title and the warning of a page of its own.
    """
    lines = ["# Evaluation of all methods", "", WARNING, ""] if head else []
    lines += [*(f"- {key}: {value}" for key, value in context.items()), "", *_models(models)]
    for table in TABLES:
        lines += ["", f"### {table.title}", "", table.question, "", *paper_table(table, summary)]
        if table is NGUYEN:
            lines += _each_category(summary)
        if table is DE_VOS:
            lines += ["", "As printed, by experiment (target, kernels):", ""]
            head_row = ["experiment", "", "ICC Agatston", "ICC volume", "accuracy", "linear kappa"]
            lines += markdown_table(head_row, DE_VOS_EXPERIMENTS)
    lines += ["", "### Heart and attention", "", *_heart_and_attention(summary)]
    lines += ["", "### Time", "", *_time(summary), "", "### What is missed", "", *_missed(summary)]
    for path, caption in (figures or {}).items():
        lines += ["", f"![{caption}]({path})", "", f"*{caption}.*"]
    return "\n".join(lines) + "\n"


def _groups(summary: Summary) -> list[str]:
    """Return the groups of patients that any method was evaluated on."""
    return list(dict.fromkeys(group for figures in summary.values() for group in figures))


def _figure(summary: Summary, method: str, group: str, key: str) -> Estimate | None:
    return summary.get(method, {}).get(group, {}).get(key)


def paper_table(table: PaperTable, summary: Summary) -> list[str]:
    """Return a paper's figures for every method, all patients and every protocol, beside what the paper prints.

    Methods that do not give a figure on any patients have no row for it. The method that follows the paper is bold.
    """
    groups = _groups(summary)
    rows = []
    for figure in table.figures:
        for method, found in summary.items():
            if all(figure.key not in found[group] for group in found):
                continue
            verdicts = [
                verdict(table, figure, protocol, method, _figure(summary, method, protocol, figure.key)).words()
                for protocol in table.protocols
            ]
            name = f"**{method}**" if method == table.method else method
            cells = (with_interval(figure.key, _figure(summary, method, group, figure.key)) for group in groups)
            rows.append([figure.title, name, *cells, printed(figure), *verdicts])
    return markdown_table(["", "method", *groups, "printed", *(f"on {p}" for p in table.protocols)], rows)


def _each_category(summary: Summary) -> list[str]:
    """Return precision, recall and F1 of each of the six categories, on the protocol that the paper used."""
    protocol = NGUYEN.protocols[0]
    rows = []
    for family, what in (("six", "patients"), ("slices", "slices")):
        for method in summary:
            for group, values in zip(SCHEMES[SIX_SCHEME].groups, NGUYEN_CLASSES, strict=True):
                keys = [f"{family}:{figure}:{group}" for figure in ("precision", "recall", "f1")]
                found = [_figure(summary, method, protocol, key) for key in keys]
                if any(found):
                    cells = (
                        f"{with_interval(k, e)} / {number(k, v)}" for k, e, v in zip(keys, found, values, strict=True)
                    )
                    rows.append([what, method, group, *cells])
    text = f"Each category on {protocol}, measured / printed (Table 1, slices in the category of their patient):"
    return ["", text, "", *markdown_table(["of", "method", "category", "precision", "recall", "F1"], rows)]


def _models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return which weights were evaluated, and whether all of them together are small enough."""
    rows = [
        [m["method"], m["model"], m["sha256"][:12], f"{m['megabytes']:.1f}", m["run"]]
        for m in models
    ]  # fmt: skip
    total = sum(m["megabytes"] for m in models)
    words = "reached" if total <= MEGABYTES else f"**missed** by {total - MEGABYTES:.1f} MB"
    return [
        *markdown_table(["method", "model", "sha256", "weights, MB", "run"], rows),
        "",
        f"Weights of these methods together: {total:.1f} MB; at most {MEGABYTES:g} MB: {words}.",
    ]


def _heart_and_attention(summary: Summary) -> list[str]:
    groups = _groups(summary)
    rows = []
    for key, title in (
        ("heart_found", "heart found"),
        ("heart_overlap", "overlap with the true heart box, mean"),
        ("attention", "calcified slices with the highest attention on calcium"),
    ):
        for method, found in summary.items():
            if all(key not in found[group] for group in found):
                continue
            cells = [with_interval(key, _figure(summary, method, group, key)) for group in groups]
            rows.append([title, method, *cells, attention_words(summary, method) if key == "attention" else "-"])
    return markdown_table(["", "method", *groups, f"at least {number('attention', ATTENTION)}, all"], rows)


def attention_words(summary: Summary, method: str) -> str:
    """Return whether a method's attention lies on calcium as often as it should, in all patients."""
    found = _figure(summary, method, "all", "attention")
    if found is None:
        return "-"
    if found.value >= ATTENTION:
        return "reached"
    return f"**missed** by {number('attention', ATTENTION - found.value)}"


def _time(summary: Summary) -> list[str]:
    rows = []
    for protocol in [group for group in _groups(summary) if group != "all"]:
        for method in summary:
            keys = ("ct_slices", "seconds_mean", "seconds_max", "seconds_within")
            found = [_figure(summary, method, protocol, key) for key in keys]
            cells = [with_interval(key, estimate) for key, estimate in zip(keys, found, strict=True)]
            rows.append([protocol, method, *cells, *_time_words(protocol, found[1])])
    head = ["protocol", "method", "slices, mean", "seconds, mean", "longest", "scans within the limit", "limit", "mean"]
    return markdown_table(head, rows)


def _time_words(protocol: str, mean: Estimate | None) -> tuple[str, str]:
    """Return the limit of a protocol, and whether the mean time keeps it."""
    if protocol not in SECONDS:
        return "-", "-"
    limit = SECONDS[protocol]
    slices = f" for {SECONDS_SLICES[protocol]} slices" if protocol in SECONDS_SLICES else ""
    if mean is None:
        return f"{limit:g} s{slices}", "-"
    words = "reached" if mean.value <= limit else f"**missed** by {mean.value - limit:.2f} s"
    return f"{limit:g} s{slices}", words


def verdicts_of(summary: Summary) -> list[Verdict]:
    """Return every printed figure beside what the method that follows its paper has on the paper's protocols."""
    return [
        verdict(table, figure, protocol, table.method, _figure(summary, table.method, protocol, figure.key))
        for table in TABLES
        for figure in table.figures
        if figure.value is not None
        for protocol in table.protocols
    ]


def _missed(summary: Summary) -> list[str]:
    """Return which printed figures the method that follows the paper does not reach, and by how much."""
    verdicts = verdicts_of(summary)
    reached = sum(entry.reached for entry in verdicts)
    lines = [
        f"Of the {len(verdicts)} printed figures (each on each protocol of its paper), {reached} are reached by the "
        "method that follows the paper.",
    ]
    left = [entry for entry in verdicts if not entry.reached]
    rows = []
    for entry in left:
        value = "not measured" if entry.value is None else number(entry.figure.key, entry.value)
        rows.append(
            [entry.method, entry.protocol, entry.figure.title, value, printed(entry.figure), entry.words()]
        )  # fmt: skip
    return lines + (["", *markdown_table(["method", "protocol", "", "value", "printed", ""], rows)] if rows else [])


def write_methods(
    folder: Path,
    results: Mapping[str, Sequence[EvaluatedPatient]],
    summary: Summary,
    context: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Write ``methods.json``, ``methods.md`` and a figure for each method; return their names."""
    captions = write_figures(folder / "figures", results)
    document = {
        **context,
        "models": list(models),
        "summary": {
            method: {group: {key: _as_dict(e) for key, e in figures.items()} for group, figures in groups.items()}
            for method, groups in summary.items()
        },
        "printed": [_verdict_as_dict(entry) for entry in verdicts_of(summary)],
    }
    (folder / DOCUMENT).write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    page = as_markdown(summary, context, models, {f"figures/{name}": words for name, words in captions.items()})
    (folder / PAGE).write_text(page, encoding="utf-8")
    return [PAGE, DOCUMENT, *(f"figures/{name}" for name in captions)]


def _as_dict(estimate: Estimate) -> dict[str, float | int | None]:
    values = {key: getattr(estimate, key) for key in ("value", "low", "high")}
    return {key: None if math.isnan(value) else value for key, value in values.items()} | {"n": estimate.n}


def _verdict_as_dict(entry: Verdict) -> dict[str, Any]:
    return {
        "paper": entry.table.paper,
        "place": entry.figure.place,
        "figure": entry.figure.key,
        "printed": entry.figure.value,
        "method": entry.method,
        "protocol": entry.protocol,
        "value": entry.value,
        "reached": entry.reached,
    }


def write_figures(folder: Path, results: Mapping[str, Sequence[EvaluatedPatient]]) -> dict[str, str]:
    """Draw a figure for each method; return the captions by file name.

    The totals by protocol; the six categories where a method gives no totals, and nothing where it gives neither.
    """
    from CACScoringLib.cohort import figures as draw

    captions = {}
    for method, rows in results.items():
        groups = SCHEMES[SIX_SCHEME].groups
        if all("total" in r.patient.predicted for r in rows):
            panels = [_pairs(protocol, of) for protocol, of in group_results(rows).items() if protocol != "all"]
            figure, words = draw.scatter_grid(panels), f"{method}: total Agatston in each protocol"
        elif all(r.six_category[1] is not None for r in rows):
            a, b = ([groups.index(r.six_category[side]) for r in rows] for side in (0, 1))
            figure = draw.confusion_figure(confusion_matrix(a, b, len(groups)), groups, f"Agatston, {SIX_SCHEME}")
            words = f"{method}: categories of all patients, since it gives no totals"
        else:
            continue
        draw.save_figure(figure, folder / f"{method}.png")
        captions[f"{method}.png"] = words
    return captions


def _pairs(title: str, rows: Sequence[EvaluatedPatient]) -> Any:
    from CACScoringLib.cohort.figures import Pairs

    reference, measured = (
        np.array([getattr(r.patient, side)["total"] for r in rows]) for side in ("reference", "predicted")
    )
    return Pairs(title, reference, measured)


def update_page(
    page: Path,
    results: Mapping[str, Sequence[EvaluatedPatient]],
    summary: Summary,
    context: Mapping[str, Any],
    models: Sequence[Mapping[str, Any]],
) -> None:
    """Replace what a page of the documentation says was measured, and its figures in ``figures/methods``.

    Raises
    ------
    ValueError
        If the page has no place for it (``evaluation_page.check_page``).
    """
    check_page(page)
    captions = write_figures(page.parent / "figures" / "methods", results)
    shown = {f"figures/methods/{name}": words for name, words in captions.items()}
    replace_measured(page, as_markdown(summary, context, models, shown, head=False))
