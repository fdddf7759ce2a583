"""A synthetic scan with a real scanner's settings measures as that scan does: the rows a generator is accepted by."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path

import pytest

from CACScoringLib.phantom.comparison import (
    BEGIN,
    END,
    JUDGED,
    Comparison,
    compare,
    comparison_rows,
    markdown,
    write_table,
)
from CACScoringLib.phantom.realism import CASES
from CACScoringLib.phantom.scanner import Scanner, draw_scanner

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CACSCORING_DATA", ROOT.parent / "shared" / "data"))
ISLANDS = "islands >= 130 HU per slice (25 cm2)"
PRIOR_DRAWS = 400


def comparison(real: float, synthetic: float, row: str = JUDGED[0]) -> Comparison:
    return Comparison("real", {row: real}, {row: synthetic}, {row: 0.0}, 1)


@pytest.mark.real
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder)
def test_matched_scan_measures_as_the_real_one(case):
    if not (DATA / case.folder).is_dir():
        pytest.skip(f"the real scan {case.folder} is not at {DATA}")
    (found,) = compare(DATA, patients=1, cases=[case])
    for row in set(JUDGED) - {ISLANDS}:
        assert found.agrees(row), f"{row}: {found.real[row]} and {found.synthetic[row]}"
    # one patient's blood and shading move the count of specks more than the scanner does
    assert found.synthetic[ISLANDS] == pytest.approx(found.real[ISLANDS], rel=0.6, abs=1.0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.folder)
def test_random_protocols_reach_every_matched_setting(case):
    drawn = [draw_scanner(seed, case.protocol, 512, wide=True) for seed in range(PRIOR_DRAWS)]
    names = {field.name for field in fields(Scanner)}
    for name, value in case.scanner.items():
        assert name in names
        if name in ("padding", "circle", "fov"):
            continue
        values = [getattr(scanner, name) for scanner in drawn]
        assert min(values) <= value <= max(values), f"{name}: {value} not in {min(values)}..{max(values)}"


def test_page_shows_the_accepted_table():
    page = (ROOT / "Resources" / "Documentation" / "phantom.md").read_text(encoding="utf-8")
    table = page.split(BEGIN)[1].split(END)[0]
    judged = [line for line in table.splitlines() if any(line.startswith(f"| {row} |") for row in JUDGED)]
    assert len(judged) == len(JUDGED)
    assert all(line.count("| yes |") == len(CASES) for line in judged)


@pytest.mark.parametrize(("synthetic", "agrees"), [(75.0, True), (125.0, True), (74.9, False), (125.1, False)])
def test_a_row_agrees_within_a_quarter_of_the_real_value(synthetic, agrees):
    assert comparison(100.0, synthetic).agrees(JUDGED[0]) is agrees


def test_island_counts_below_one_a_slice_agree():
    assert comparison(0.0, 0.8, ISLANDS).agrees(ISLANDS)
    assert not comparison(0.0, 1.2, ISLANDS).agrees(ISLANDS)


def test_table_is_written_between_its_marks_and_the_page_around_it_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(markdown(*comparison_rows([comparison(10.0, 12.0)])), page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n| measure | real | synthetic | within 25 % |\n")
    assert f"| {JUDGED[0]} | 10 | 12 ± 0 | yes |\n{END}\nafter\n" in text
    assert "old" not in text
