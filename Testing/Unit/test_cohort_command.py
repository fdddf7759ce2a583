"""``cacscoring cohort agreement`` as a person uses it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from CACScoringLib.cli import main

TABLE_2 = ",0,1-100,101-400,>400\n0,0,1,0,0\n1-100,0,49,0,0\n101-400,0,1,23,2\n>400,0,0,0,36\n"


def call(*words: object) -> int:
    return main(["cohort", "agreement", *map(str, words)])


@pytest.fixture
def tables(tmp_path):
    """Write reference and measured scores of 24 scans of 12 patients."""
    rng = np.random.default_rng(5)
    lines = {"reference": ["case,patient,rate,agatston,agatston_LAD"], "measured": ["case,agatston,agatston_LAD"]}
    for i in range(24):
        total = 0.0 if i < 4 else round(rng.lognormal(4.5, 1.2), 1)
        measured = round(total * rng.normal(1, 0.1), 1)
        lines["reference"].append(f"c{i},p{i // 2},{60 + i % 7},{total},{total / 2}")
        lines["measured"].append(f"c{i},{measured},{measured / 2}")
    paths = []
    for name, rows in lines.items():
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text("\n".join(rows) + "\n")
    return paths


def test_the_report_has_every_file(tables, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert call(*tables, "--patient", "patient", "--covariates", "rate", "--output", out) == 0
    said = capsys.readouterr().out
    assert "ICC(2,1)" in said
    assert "warning: Only 24 cases" in said
    assert "Research use only" in said
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.*")}
    assert {"agreement.html", "agreement.csv", "agreement.json"} <= names
    for figure in ("scatter", "vessels", "bland-altman", "bland-altman-log", "confusion-spect-pet-4"):
        assert {f"figures/{figure}.png", f"figures/{figure}.svg"} <= names
    document = json.loads((out / "agreement.json").read_text())
    with (out / "agreement.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(document["statistics"])
    groups = {row["group"] for row in rows}
    assert groups >= {"agreement", "regression", "Bland-Altman", "tests", "categories", "covariates", "scan-rescan"}


def test_json_goes_to_standard_output(tables, capsys) -> None:
    assert call(*tables, "--format", "json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["cases"] == 24
    assert "CACScoring" in document["methods"]
    assert "few-cases" in [finding["code"] for finding in document["findings"]]


def test_table_2_of_sartoretti_2023_from_a_category_table(tmp_path, capsys) -> None:
    path = tmp_path / "table-2.csv"
    path.write_text(TABLE_2)
    assert call("--category-table", path, "--output", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "0.977" in said
    assert "4 (3.6 %)" in said
    assert (tmp_path / "out" / "figures" / "confusion-table-2.png").is_file()
    page = (tmp_path / "out" / "agreement.html").read_text()
    assert "0.977" in page
    assert "3.6 %" in page


def test_one_table_with_both_columns(tables, capsys, tmp_path) -> None:
    both = tmp_path / "both.csv"
    both.write_text("nr,manual,dl\n" + "".join(f"{i},{i * 20},{i * 21}\n" for i in range(30)))
    assert call(both, "--case", "nr", "--columns", "total=manual:dl") == 0
    assert "total" in capsys.readouterr().out


def test_a_file_named_twice_holds_both_sides(tables, tmp_path, monkeypatch, capsys) -> None:
    both = tmp_path / "both.csv"
    both.write_text("nr,manual,dl\n" + "".join(f"{i},{i * 20},{i * 21}\n" for i in range(30)))
    monkeypatch.chdir(tmp_path)
    assert call(both, "both.csv", "--case", "nr", "--columns", "total=manual:dl") == 0
    assert "total" in capsys.readouterr().out
    assert call(both, "both.csv", "--case", "nr", "--columns", "total=manual") == 3
    assert "Column 'manual' of 'both.csv' would be compared with itself" in capsys.readouterr().err


def test_the_same_scores_in_two_files_are_a_warning(tables, tmp_path, capsys) -> None:
    again = tmp_path / "again.csv"
    again.write_text(tables[0].read_text())
    assert call(tables[0], again, "--output", tmp_path / "out") == 0
    words = "Every score of 'reference.csv' is the same in 'again.csv': check that these are two measurements"
    assert f"warning: {words}" in capsys.readouterr().out
    assert "identical-scores" in (tmp_path / "out" / "agreement.json").read_text()


def test_a_rival_and_another_scheme(tables, capsys) -> None:
    reference, measured = tables
    assert call(reference, measured, "--against", measured, "--scheme", "nguyen-6", "--rescan") == 0
    assert capsys.readouterr().out.index("nguyen-6") < 2000


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ((), 2, "Give either a table"),
        (("none.csv", "none.csv"), 3, "There is no table"),
        (("{r}", "{m}", "--scheme", "x"), 3, "There is no risk scheme"),
        (("{r}", "{m}", "--columns", "left=a:b"), 2, "is not understood"),
        (("{r}", "{m}", "--covariates", "weight"), 3, "no column 'weight' in 'reference.csv and measured.csv'"),
        (("{r}", "{m}", "--confidence", "95"), 2, "no confidence between"),
        (("{r}",), 3, "compared with itself"),
        (("{r}", "{r}"), 3, "Column 'agatston' of 'reference.csv' would be compared with itself"),
        (("{r}", "{m}", "--against", "{r}"), 3, "Column 'agatston' of 'reference.csv' would be compared with itself"),
        (("{r}", "{m}", "--case", "patient"), 3, "'reference.csv' has more than one row of the same case"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tables, capsys, words, status, sentence) -> None:
    reference, measured = map(str, tables)
    assert call(*(word.format(r=reference, m=measured) for word in words)) == status
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_the_output_may_not_be_a_file(tables, capsys) -> None:
    assert call(*tables, "--output", tables[0]) == 2
    assert f"cannot be made: '{tables[0]}' is a file." in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_refused_before_the_tables_are_read(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("CACScoringLib.commands.targets.os.access", lambda *args: False)
    assert call("none.csv", "none.csv", "--output", tmp_path / "out" / "deeper") == 2
    said = capsys.readouterr().err
    assert f"cannot be made: nothing may be written into '{tmp_path}'." in said
    assert said.count("\n") == 1
