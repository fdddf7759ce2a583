"""Tables of many patients: read as they are, matched by case, refused where a number would be wrong."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from CACScoringLib.batch.table import COLUMNS as BATCH_COLUMNS
from CACScoringLib.cohort import extras
from CACScoringLib.cohort.score_pairs import pair_scores
from CACScoringLib.cohort.tables import MAX_BYTES, numbers, read_table, rows_named
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.worklist_table import CaseReview, Status, review_row, to_csv


def write(folder, name: str, text: str):
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def table(folder, text: str, name: str = "scores.csv") -> pd.DataFrame:
    return read_table(write(folder, name, text))


def refusal(work) -> tuple[str, str]:
    with pytest.raises(InputRefusedError) as caught:
        work()
    return caught.value.finding.code, caught.value.finding.message


def codes(pairs) -> list[str]:
    return [finding.code for finding in pairs.findings]


def scores(n: int, **columns) -> pd.DataFrame:
    frame = pd.DataFrame({"case": [f"c{i}" for i in range(n)], "agatston": np.arange(n) * 10.0, **columns})
    frame.index = range(2, n + 2)
    return frame


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_every_usual_separator_is_found(tmp_path, separator) -> None:
    read = table(tmp_path, "\ufeff" + "case,agatston\nann,12.5\nbob,\n".replace(",", separator))
    assert list(read.columns) == ["case", "agatston"]
    assert read["agatston"].tolist()[0] == 12.5
    assert np.isnan(read["agatston"].iloc[1])


def test_identifiers_keep_their_zeros_and_digits_and_rows_are_counted_as_a_spreadsheet_does(tmp_path) -> None:
    read = table(tmp_path, "case,series\n007,12345678901234567\n\n008,12345678901234568\n")
    assert read["case"].tolist() == ["007", "008"]
    assert read["series"].tolist() == ["12345678901234567", "12345678901234568"]
    assert read.index.tolist() == [2, 4]


def test_a_decimal_comma_is_one_where_semicolons_separate(tmp_path) -> None:
    assert table(tmp_path, "case;agatston\na;12,5\nb;3\n")["agatston"].tolist() == [12.5, 3.0]


@pytest.mark.parametrize("word", ["", "NA", "n/a", "NaN", "-", "null"])
def test_words_for_missing_are_missing(tmp_path, word) -> None:
    read = table(tmp_path, f"case,agatston\na,{word}\nb,4\n")
    assert read["agatston"].isna().tolist() == [True, False]
    assert read["agatston"].dtype == float


def test_a_short_row_ends_in_missing_values_and_a_long_one_is_refused(tmp_path) -> None:
    short = table(tmp_path, "case,agatston,LM\na,1,2\nb,3\n")
    assert np.isnan(short["LM"].iloc[1])
    assert refusal(lambda: table(tmp_path, "case,agatston\na,1\nb,3,4\n"))[0] == "table-unreadable"
    assert refusal(lambda: table(tmp_path, "case,agatston\na,1,2\nb,3,4\n"))[0] == "table-unreadable"


def test_excel_and_parquet_say_the_same_as_csv(tmp_path) -> None:
    frame = pd.DataFrame({"case": ["001", "002"], "agatston": [1.5, np.nan], "site": ["x", None]})
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.set_index("case").to_parquet(tmp_path / "indexed.parquet")
    frame.to_csv(tmp_path / "t.csv", index=False)
    expected = read_table(tmp_path / "t.csv")
    for name in ("t.xlsx", "t.parquet", "indexed.parquet"):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), expected, check_dtype=False)


def test_a_second_sheet_is_named_and_not_read(tmp_path) -> None:
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        scores(3).to_excel(book, sheet_name="first", index=False)
        scores(5).to_excel(book, sheet_name="second", index=False)
    read = read_table(tmp_path / "t.xlsx")
    assert len(read) == 3
    assert "'second'" in read.attrs["findings"][0].message


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("t.csv", "case,agatston\n", "table-empty"),
        ("t.csv", "1,2,3\n4,5,6\n", "table-columns"),
        ("t.csv", "case,agatston,agatston\na,1,2\n", "table-columns"),
        ("t.xlsx", "not a workbook", "table-unreadable"),
        ("t.parquet", "not parquet", "table-unreadable"),
        ("t.docx", "x", "table-format"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, name, text, code) -> None:
    assert refusal(lambda: table(tmp_path, text, name))[0] == code


def test_a_missing_file_and_one_too_large_are_refused(tmp_path, monkeypatch) -> None:
    assert refusal(lambda: read_table(tmp_path / "none.csv"))[0] == "table-not-found"
    monkeypatch.setattr("CACScoringLib.cohort.tables.MAX_BYTES", 4)
    assert MAX_BYTES > 2**20
    assert refusal(lambda: table(tmp_path, "case,agatston\na,1\n"))[0] == "table-too-large"


def test_the_missing_extra_is_named_in_one_sentence(monkeypatch, tmp_path) -> None:
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(extras, "import_module", missing)
    code, message = refusal(lambda: read_table(tmp_path / "t.csv"))
    assert code == "cohort-extra-missing"
    assert "pip install 'cacscoring[cohort]'" in message


def test_text_among_numbers_is_refused_with_its_rows(tmp_path) -> None:
    read = table(tmp_path, "case,agatston\na,1\nb,high\nc,2\n")
    assert "row 3 (high)" in refusal(lambda: numbers(read, "agatston"))[1]


def test_many_rows_are_named_by_the_first_and_their_number() -> None:
    assert rows_named(range(2, 1002)).endswith("and 992 more")


def test_cases_are_matched_by_name_not_by_place(tmp_path) -> None:
    reference = table(tmp_path, "case,agatston\na,1\nb,20\nc,300\nd,4\n", "r.csv")
    measured = table(tmp_path, "ID,Total Agatston\nc,310\na,2\nx,9\nb,21\n", "m.csv")
    pairs = pair_scores(reference, measured)
    assert pairs.cases == ("a", "b", "c")
    assert pairs.reference["total"].tolist() == [1, 20, 300]
    assert pairs.measured["total"].tolist() == [2, 21, 310]
    (first, second) = [f.message for f in pairs.findings if f.code == "unmatched-case"]
    assert "row 5 (d)" in first
    assert "row 4 (x)" in second


def test_results_of_a_batch_are_taken_as_they_are(tmp_path) -> None:
    def rows(add: float) -> str:
        lines = [",".join(BATCH_COLUMNS)]
        for i in range(4):
            values = {"case": f"c{i}", "status": "done", "agatston": 10.0 * i + add, "agatston_LAD": 10.0 * i + add}
            values |= {f"agatston_{v}": 0 for v in ("LM", "LCX", "RCA")} | {"preset": "agatston-1990"}
            lines.append(",".join(str(values.get(column, "")) for column in BATCH_COLUMNS))
        failed = {"case": "c9", "status": "failed", "code": "unreadable"}
        lines.append(",".join(failed.get(column, "") for column in BATCH_COLUMNS))
        return "\n".join(lines) + "\n"

    pairs = pair_scores(table(tmp_path, rows(0), "results.csv"), table(tmp_path, rows(1), "results2.csv"))
    assert pairs.quantities == ("total", "LM", "LAD", "LCX", "RCA")
    assert (pairs.measured["LAD"] - pairs.reference["LAD"])[:4].tolist() == [1, 1, 1, 1]
    assert int(pairs.has("total").sum()) == 4
    missing = [f.message for f in pairs.findings if f.code == "missing-score"]
    assert all("row 6 (c9)" in message for message in missing)
    assert pairs.basis[0] == {"preset": ("agatston-1990",)}


def test_one_review_table_compares_the_network_with_the_reader(tmp_path) -> None:
    rows = [
        review_row(
            CaseReview(f"c{i}", "ct", status=Status.EDITED, automatic={"agatston": i}, reviewed={"agatston": i + 5})
        )
        for i in range(4)
    ]
    review = table(tmp_path, to_csv(rows), "review.csv")
    pairs = pair_scores(review)
    assert pairs.columns["total"] == ("reviewed_agatston", "automatic_agatston")
    assert (pairs.reference["total"] - pairs.measured["total"]).tolist() == [5, 5, 5, 5]


def test_columns_that_the_user_names_count(tmp_path) -> None:
    both = table(tmp_path, "case,manual,dl\na,1,2\nb,3,4\nc,5,7\n")
    pairs = pair_scores(both, columns={"total": ("manual", "dl")})
    assert pairs.measured["total"].tolist() == [2, 4, 7]
    assert refusal(lambda: pair_scores(both, columns={"total": ("manual", "manual")}))[0] == "compared-with-itself"
    assert refusal(lambda: pair_scores(both, columns={"total": ("manual", "nn")}))[0] == "column-not-found"
    assert refusal(lambda: pair_scores(both))[0] == "no-score-columns"


def test_two_columns_that_may_be_the_same_score_are_refused() -> None:
    twice = scores(4, cac_score=1.0)
    assert refusal(lambda: pair_scores(twice, scores(4)))[0] == "columns-ambiguous"


def test_repeated_cases_are_refused_unless_a_second_column_tells_them_apart(tmp_path) -> None:
    text = "patient,scan,agatston\np1,1,5\np1,2,6\np2,1,7\np2,2,8\n"
    twice = table(tmp_path, text)
    code, message = refusal(lambda: pair_scores(twice, twice.copy()))
    assert code == "repeated-case"
    assert "rows 2 (p1), 3 (p1), 4 (p2), 5 (p2)" in message
    pairs = pair_scores(twice, table(tmp_path, text, "m.csv"), case=("patient", "scan"))
    assert pairs.cases == ("p1 1", "p1 2", "p2 1", "p2 2")


def test_negative_scores_are_refused_with_their_rows() -> None:
    wrong = scores(4)
    wrong.loc[4, "agatston"] = -1
    code, message = refusal(lambda: pair_scores(scores(4), wrong))
    assert code == "negative-score"
    assert "row 4 (c2)" in message


def test_infinite_scores_and_words_are_refused() -> None:
    wrong = scores(4)
    wrong.loc[3, "agatston"] = np.inf
    assert refusal(lambda: pair_scores(wrong, scores(4)))[0] == "score-not-a-number"


def test_a_row_without_a_case_and_tables_without_common_cases_are_refused() -> None:
    nameless = scores(4)
    nameless.loc[3, "case"] = None
    code, message = refusal(lambda: pair_scores(nameless, scores(4)))
    assert code == "missing-case"
    assert "row 3" in message
    others = scores(4).assign(case=["w", "x", "y", "z"])
    assert refusal(lambda: pair_scores(scores(4), others))[0] == "no-common-case"


def test_a_missing_score_leaves_its_case_out_of_that_score_only() -> None:
    reference = scores(5, agatston_LM=1.0)
    measured = scores(5, agatston_LM=2.0)
    measured.loc[4, "agatston_LM"] = np.nan
    pairs = pair_scores(reference, measured)
    assert len(pairs.complete("total")[0]) == 5
    assert len(pairs.complete("LM")[0]) == 4
    (message,) = [f.message for f in pairs.findings if f.code == "missing-score"]
    assert "agatston_LM" in message
    assert "row 4 (c2)" in message


def test_ten_rows_are_reported_with_a_warning_that_names_them_and_two_are_refused() -> None:
    ten = pair_scores(scores(10), scores(10).assign(agatston=np.arange(10) * 11.0))
    (message,) = [f.message for f in ten.findings if f.code == "few-cases"]
    assert "Only 10 cases" in message
    assert "rows 2 (c0), 3 (c1)" in message
    assert refusal(lambda: pair_scores(scores(2), scores(2)))[0] == "too-few-cases"
    assert "few-cases" not in codes(pair_scores(scores(30), scores(30)))


def test_scores_that_do_not_vary_get_a_finding() -> None:
    flat = scores(5).assign(agatston=0.0)
    assert "no-variation" in codes(pair_scores(flat, flat.copy()))


def test_different_presets_are_said() -> None:
    pairs = pair_scores(scores(4, preset="agatston-1990"), scores(4, preset="ge-smartscore"))
    (message,) = [f.message for f in pairs.findings if f.code == "different-presets"]
    assert "ge-smartscore" in message
    assert "different-presets" not in codes(pair_scores(scores(4, preset="a"), scores(4, preset="a")))


def test_case_numbers_of_excel_match_those_of_csv(tmp_path) -> None:
    frame = pd.DataFrame({"case": [1, 2, 3], "agatston": [5.0, 6.0, 7.0]})
    frame.to_excel(tmp_path / "m.xlsx", index=False)
    stream = io.StringIO()
    frame.astype({"case": float}).to_csv(stream, index=False)
    pairs = pair_scores(table(tmp_path, stream.getvalue()), read_table(tmp_path / "m.xlsx"))
    assert pairs.cases == ("1", "2", "3")
