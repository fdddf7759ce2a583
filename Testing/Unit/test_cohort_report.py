"""The HTML report: whole, self-contained, and what it says."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from CACScoringLib import __version__
from CACScoringLib.cohort import report_html as html
from CACScoringLib.cohort.agreement_analysis import analyse
from CACScoringLib.cohort.agreement_report import HTML, figures_of, write_agreement
from CACScoringLib.cohort.agreement_words import methods_paragraph
from CACScoringLib.cohort.score_pairs import pair_scores
from CACScoringLib.findings import info, warning

VOID = {"meta", "img", "br"}


class Balance(HTMLParser):
    """Checks that every element is closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag


def balanced(text: str) -> list[str]:
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    return parser.seen


def result(n: int = 40, **options):
    rng = np.random.default_rng(6)
    truth = np.where(np.arange(n) % 5 == 0, 0, rng.lognormal(4, 1.5, n)).round(1)
    reference = pd.DataFrame({"case": range(n), "agatston": truth, "LM": truth / 4, "preset": "agatston-1990"})
    measured = reference.assign(agatston=(truth * 1.1).round(1), model="multibranch-unet")
    return analyse(pair_scores(reference, measured), **options)


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("report")
    write_agreement(result(), folder, "A <cohort> & more")
    return (folder / HTML).read_text(encoding="utf-8")


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(report) -> None:
    tags = balanced(report)
    assert tags.count("img") == 6
    assert "script" not in tags
    assert "link" not in tags
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', report)
    assert all(source.startswith("data:image/") for source in sources)
    assert "url(" not in report


def test_what_users_wrote_is_text_and_no_markup(report) -> None:
    assert "<title>A &lt;cohort&gt; &amp; more</title>" in report
    assert "<cohort>" not in report


def test_the_page_has_the_sections_in_order_and_the_version(report) -> None:
    titles = re.findall(r"<h2>(.*?)</h2>", report)
    expected = ["What to know before reading on", "Agreement of scores", "Differences", "Risk categories", "Methods"]
    assert titles == expected
    assert f"CACScoring {__version__}. Research use only" in report


def test_the_numbers_of_the_page_are_those_of_the_result(report) -> None:
    score = result().score("total")
    assert f"{score.icc_agreement.value:.3f}" in report
    assert f"{score.limits['plain'].bias.value:+.1f}" in report


def test_the_methods_name_software_presets_model_and_statistics() -> None:
    text = methods_paragraph(result())
    for words in (f"CACScoring {__version__}", "preset agatston-1990", "model multibranch-unet", "ICC(2,1)", "scipy"):
        assert words in text
    assert "Scan-rescan" not in text
    assert "Scan-rescan" in methods_paragraph(result(rescan=True))


def test_figures_have_the_names_of_the_data() -> None:
    figures = figures_of(result())
    ax = figures["bland-altman-log"].axes[0]
    assert ax.get_ylabel() == "(1 + measured) / (1 + reference)"
    assert figures["confusion-scct-2017"].axes[0].get_xlabel() == "Measured category"
    assert figures["vessels"].axes[0].get_title(loc="left") == "LM"


def test_many_points_are_one_picture_within_an_svg(tmp_path) -> None:
    n = 3000
    rng = np.random.default_rng(7)
    table = pd.DataFrame({"case": range(n), "agatston": rng.lognormal(4, 1, n)})
    both = pair_scores(table, table.assign(agatston=table["agatston"] * rng.normal(1, 0.1, n)))
    write_agreement(analyse(both), tmp_path)
    assert (tmp_path / "figures" / "scatter.svg").stat().st_size < 500_000
    assert (tmp_path / HTML).stat().st_size < 6_000_000


def test_findings_are_shown_with_warnings_first() -> None:
    page = html.page("t", "l", [html.Section("", [html.Findings([info("a", "later"), warning("b", "first")])])])
    balanced(page)
    assert page.index("first") < page.index("later")
    assert "Nothing was noticed" in html.page("t", "l", [html.Section("", [html.Findings([])])])


def test_a_table_is_shaded_where_asked() -> None:
    table = html.Table(("", "a", "b"), [("x", "1", "2")], shade=[[1.0, 0.0]])
    page = html.page("t", "l", [html.Section("", [html.Grid([table, html.Paragraph("<b>", "note")])])])
    balanced(page)
    assert "rgba(47, 102, 144, 0.75)" in page
    assert "&lt;b&gt;" in page


def test_a_png_is_as_wide_on_the_page_as_it_says_it_is_on_paper(tmp_path) -> None:
    """600 pixels at 300 to the inch are 2 inches, 192 CSS pixels; without a resolution the page decides."""
    from matplotlib.figure import Figure

    Figure(figsize=(2, 1)).savefig(tmp_path / "a.png", dpi=300)
    assert ' style="width: 192px"' in html.page("", "", [html.Section("", [html.Figure(tmp_path / "a.png")])])
    raw = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(raw.replace(b"pHYs", b"tEXt"))
    assert 'style="width' not in html.page("", "", [html.Section("", [html.Figure(tmp_path / "b.png")])])
