"""CSV lists of scans: what is read of them, and the sentence where they would be read otherwise than meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from CACScoringLib.batch.scan_lists import NoInputError, read_list


def read(folder: Path, text: str | bytes) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the names of scans and masks in a list, and the notes on it."""
    notes: list[str] = []
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    pairs = read_list(path, notes.append)
    return [(Path(scan).name, Path(mask).name if mask else "") for scan, mask in pairs], notes


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_columns_may_be_separated_as_in_the_tables_of_a_cohort(tmp_path, separator) -> None:
    text = "Input,mask\na.nrrd,m.nrrd\nb.nrrd,\n".replace(",", separator)
    assert read(tmp_path, text) == ([("a.nrrd", "m.nrrd"), ("b.nrrd", "")], [])


def test_a_comma_in_a_name_is_no_separator_where_semicolons_are(tmp_path) -> None:
    assert read(tmp_path, "input;mask\na, b.nrrd;m.nrrd\n")[0] == [("a, b.nrrd", "m.nrrd")]


def test_columns_that_are_not_read_are_named(tmp_path) -> None:
    pairs, (note,) = read(tmp_path, "id,path,age\n1,a.nrrd,61\n")
    assert pairs == [("a.nrrd", "")]
    assert note == f"Not read of the list '{tmp_path / 'list.csv'}': columns id, age."


def test_rows_without_a_scan_are_named(tmp_path) -> None:
    pairs, (note,) = read(tmp_path, "input,mask\na.nrrd,\n\n,m.nrrd\n")
    assert pairs == [("a.nrrd", "")]
    assert note == f"The list '{tmp_path / 'list.csv'}' names no scan in row 4: left out."


def test_a_list_of_one_column_needs_no_header(tmp_path) -> None:
    (tmp_path / "p1").mkdir()
    for text in ("a.nrrd\nb\n", "p1\np2\n", "cohort/p1\np2\n", "a; b.nrrd\n"):
        expected = [(Path(line).name, "") for line in text.splitlines()]
        assert read(tmp_path, text) == (expected, [])


def test_a_list_from_a_spreadsheet_in_latin_1_is_read_as_tables_are(tmp_path) -> None:
    pairs, (note,) = read(tmp_path, "input;mask\nMüller.nrrd;\n".encode("latin-1"))
    assert pairs == [("Müller.nrrd", "")]
    assert "Latin-1" in note


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\n\n", "is empty: give one scan a row"),
        ("input,mask\n\n", "names no scan: give one scan a row below the column input"),
        ("patient,file\np1,a.nrrd\n", "has no column named input, path or scan, only patient, file: name"),
        ("patient;file\np1;a.nrrd\n", "only patient, file: name the column with the scans input"),
        ("input,Masks\na.nrrd,m.nrrd\n", "has a column masks, which is not read: name it mask"),
        ("scan,my_segmentation\na.nrrd,m.nrrd\n", "has a column my_segmentation, which is not read"),
        ("a.nrrd,m.nrrd\n", "has several columns in row 1 and no header: name them in a first row, as input,mask"),
        ("input,input\na.nrrd,b.nrrd\n", "has 2 columns named input: keep one"),
        ("input,mask,mask\na.nrrd,b.nrrd,c.nrrd\n", "has 2 columns named mask: keep one"),
        ("id,input\n1,a, b.nrrd\n", "has 3 cells in row 2, its header 2"),
        ("input\na\0.nrrd\n", "cannot be read as CSV"),
        ("input,mask\na.nrrd,\n".encode("utf-16"), "cannot be read as CSV: save it as CSV \\(UTF-8\\)"),
        ("input\n" + "a" * 200_000 + "\n", "cannot be read as CSV"),
    ],
)
def test_a_list_that_would_be_read_otherwise_than_meant_is_refused_in_one_sentence(tmp_path, text, words) -> None:
    with pytest.raises(NoInputError, match=words) as refused:
        read(tmp_path, text)
    message = str(refused.value)
    assert "list.csv" in message
    assert message.endswith(".")
    assert "\n" not in message
