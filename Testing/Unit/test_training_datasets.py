"""Reading labelled scans of others: what is in the files arrives, what is wrong with them is said in one sentence."""

from __future__ import annotations

import json
import plistlib

import numpy as np
import pytest
from ct_scans import AXIAL, ORIGIN, SPACING, chest, write_series
from dataset_samples import rois_of, write_image, write_orcascore, write_plain, write_polygons

from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.training.datasets import list_scans, load_dataset, merge_left_main, split_patients
from CACScoringLib.training.datasets.coca import read_polygons
from CACScoringLib.training.datasets.polygons import fill_polygon

BLOCKS = {1: (20, 28, 30), 2: (22, 24, 34), 3: (18, 30, 40), 4: (16, 26, 26)}
"""Vessel value -> first voxel of a block of 1 x 2 x 3 voxels, in the heart of the made-up chest."""


def a_patient():
    hu, labels = chest(), np.zeros((40, 64, 64), np.uint8)
    for vessel, (z, y, x) in BLOCKS.items():
        block = (slice(z, z + 1), slice(y, y + 2), slice(x, x + 3))
        hu[block], labels[block] = 400, vessel
    return CTVolume(hu, SPACING, ORIGIN), labels


@pytest.fixture
def coca(tmp_path):
    """One COCA patient whose slices are stored from caudal to cranial, and a writer of its polygons."""
    ct, labels = a_patient()
    root = tmp_path / "Gated_release_final"
    write_series(root / "patient" / "7" / "Pro_Gated", ct.hu, ImageOrientationPatient=list(AXIAL))
    (root / "calcium_xml").mkdir()

    def write(rois=None, **options):
        rois = rois_of(labels, ct) if rois is None else rois
        return write_polygons(root / "calcium_xml" / "7.xml", rois, slices=len(labels), **options)

    write.ct, write.labels, write.folder = ct, labels, tmp_path
    return write


def only(folder, layout, **options):
    (case,) = load_dataset(folder, layout, **options)
    return case


def test_a_filled_rectangle_has_its_outline_and_its_inside():
    rows, columns = fill_polygon(np.array([[1.0, 1.0], [1.0, 4.0], [3.0, 4.0], [3.0, 1.0]]), (10, 10))
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [
        (r, c) for r in (1, 2, 3) for c in (1, 2, 3, 4)
    ]


def test_a_filled_triangle_and_one_beyond_the_slice():
    rows, columns = fill_polygon(np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]]), (10, 10))
    assert len(rows) == 15
    assert (rows + columns).max() == 4
    rows, columns = fill_polygon(np.array([[-5.0, -5.0], [-5.0, 1.2], [1.2, 1.2], [1.2, -5.0]]), (10, 10))
    assert len(rows) == 4
    assert len(fill_polygon(np.array([[20.0, 20.0], [22.0, 20.0], [22.0, 22.0]]), (10, 10))[0]) == 0


def test_coca_polygons_label_their_bright_voxels_by_millimetres(coca):
    coca()
    case, ct, labels = only(coca.folder, "coca")
    assert case == "7"
    np.testing.assert_array_equal(ct.hu, coca.ct.hu)
    np.testing.assert_array_equal(labels, coca.labels)


@pytest.mark.parametrize("from_cranial", [False, True])
def test_coca_slices_without_millimetres_are_counted_from_the_end_where_the_calcium_is(coca, from_cranial):
    coca(rois_of(coca.labels, coca.ct, millimetres=False), from_cranial=from_cranial)
    _, ct, labels = only(coca.folder, "coca")
    np.testing.assert_array_equal(labels, coca.labels)
    assert ("polygons-from-cranial" in [f.code for f in ct.findings]) == from_cranial


def test_voxels_below_130_hu_and_the_second_polygon_over_a_voxel_do_not_count(coca):
    rois = rois_of(coca.labels, coca.ct)
    wide = [f"({x}.0, {y}.0)" for x, y in ((32, 22), (38, 22), (38, 27), (32, 27))]
    rois[22].append({**rois[22][0], "Name": "Right Coronary Artery", "Point_px": wide})
    coca(rois)
    np.testing.assert_array_equal(only(coca.folder, "coca")[2], coca.labels)


def test_a_coca_patient_without_polygons_has_no_calcium(coca):
    _, _, labels = only(coca.folder, "coca")
    assert labels.max() == 0


def test_polygons_beyond_the_scan_are_left_out_with_a_warning(coca):
    rois = rois_of(coca.labels, coca.ct)
    rois[39] = [{**rois[22][0], "Point_mm": ["(0, 0, 900)"] * 4}]
    path = coca(rois)
    text = path.read_bytes().replace(b"<integer>39</integer>", b"<integer>400</integer>")
    path.write_bytes(text)
    _, ct, labels = only(coca.folder, "coca")
    np.testing.assert_array_equal(labels, coca.labels)
    assert "polygons-outside" in [f.code for f in ct.findings]


def roi(**changes):
    return {
        "Name": "Right Coronary Artery",
        "Point_px": ["(1, 1)", "(1, 5)", "(5, 5)"],
        "Point_mm": ["(1, 1, 3)"],
        **changes,
    }


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"", "no readable property list"),
        (b"<plist><dict><key>Images</key>", "no readable property list"),
        (plistlib.dumps([1, 2]), "lists no images"),
        (plistlib.dumps({"Images": [3]}), "lists no images"),
        (plistlib.dumps({"Images": [{"ROIs": [5]}]}), "holds a polygon that is none"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Name="Aorta")]}]}), "names the vessel 'Aorta'"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Point_px=["(1, x)"])]}]}), "is not 2 numbers"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Point_px=["(nan, 1)"] * 3)]}]}), "is not 2 numbers"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Point_px=["__import__('os')"])]}]}), "is not 2 numbers"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Point_px=["(1, 1)"] * 3000)]}]}), "more than 2000"),
        (plistlib.dumps({"Images": [{"ROIs": [roi(Point_mm=[])]}]}), "of no slice"),
        (plistlib.dumps({"Images": [{"ImageIndex": "1", "ROIs": [roi()]}]}), "no whole number"),
        (plistlib.dumps({"Images": [{"ImageIndex": 0, "ROIs": [roi()] * 6000}]}), "6000 polygons"),
    ],
)
def test_files_of_polygons_that_are_none_are_refused_in_one_sentence(tmp_path, document, says):
    path = tmp_path / "7.xml"
    path.write_bytes(document)
    with pytest.raises(InputRefusedError) as caught:
        read_polygons(path)
    assert says in caught.value.finding.message
    assert caught.value.finding.message.count("\n") == 0


BOMB = b"""<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<plist version="1.0"><dict><key>Images</key><string>&b;</string></dict></plist>"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_in_files_of_polygons_are_not_expanded(tmp_path, encoding):
    path = tmp_path / "7.xml"
    path.write_bytes(BOMB.decode().encode(encoding))
    with pytest.raises(InputRefusedError):
        read_polygons(path)


def test_a_huge_file_of_polygons_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "7.xml"
    path.write_bytes(plistlib.dumps({"Images": []}))
    monkeypatch.setattr("CACScoringLib.training.datasets.coca.LARGEST_BYTES", 10)
    with pytest.raises(InputRefusedError, match="larger than any"):
        read_polygons(path)


def test_a_polygon_that_was_begun_and_left_is_no_polygon(tmp_path):
    path = tmp_path / "7.xml"
    path.write_bytes(plistlib.dumps({"Images": [{"ImageIndex": 1, "ROIs": [roi(Point_px=[], Name="")]}]}))
    assert read_polygons(path) == []


def test_polygons_of_another_scan_are_refused_and_the_case_is_named(coca):
    rois = {5: [{**roi(), "Point_mm": [f"(0, 0, {ORIGIN[2] + 15})"]}]}
    coca(rois)
    with pytest.raises(InputRefusedError, match=r"^Case 7: No polygon holds a voxel of 130 HU"):
        list(load_dataset(coca.folder, "coca"))


def test_orcascore_values_become_vessels_and_the_missing_left_main_is_said(tmp_path):
    ct, labels = a_patient()
    write_orcascore(tmp_path, {"TRV1P1": (ct, labels)})
    write_image(ct.hu, ct, tmp_path / "Images" / "TRV1P1CTAI.mhd")
    write_image(ct.hu, ct, tmp_path / "Images" / "TEV1P2CTI.mhd")
    case, read, found = only(tmp_path, "orcascore")
    assert case == "TRV1P1"
    np.testing.assert_array_equal(found, merge_left_main(labels))
    assert "left-main-is-lad" in [f.code for f in read.findings]
    (scan,) = list_scans(tmp_path, "orcascore")
    assert scan.load().left_main_is_lad
    assert not scan.load().names_non_coronary


def test_a_value_that_orcascore_does_not_have_names_the_case_and_the_value(tmp_path):
    ct, labels = a_patient()
    write_orcascore(tmp_path, {"TRV1P1": (ct, labels)})
    write_image(labels, ct, tmp_path / "Reference standard" / "TRV1P1R.mhd")
    with pytest.raises(InputRefusedError, match=r"^Case TRV1P1: .* holds the values 4; expected are 0, 1, 2, 3"):
        list(load_dataset(tmp_path, "orcascore"))


def test_pairs_in_two_folders_and_folders_of_pairs_are_both_plain(tmp_path):
    ct, labels = a_patient()
    write_plain(tmp_path / "a", {"p1": (ct, labels), "p2": (ct, labels)})
    (tmp_path / "a" / "images" / "p2.nii.gz").rename(tmp_path / "a" / "images" / "p2_0000.nii.gz")
    write_series(tmp_path / "b" / "p3" / "ct", ct.hu)
    write_image(labels, ct, tmp_path / "b" / "p3" / "labels.nrrd")
    write_image((labels > 0).astype(np.uint8), ct, tmp_path / "b" / "p3" / "structures.nrrd")
    assert [case for case, _, _ in load_dataset(tmp_path / "a", "plain")] == ["p1", "p2"]
    for _, _, found in load_dataset(tmp_path / "a", "plain"):
        np.testing.assert_array_equal(found, labels)
    np.testing.assert_array_equal(only(tmp_path / "b", "plain")[2], labels)
    (scan,) = list_scans(tmp_path / "b", "plain")
    assert scan.load().structures.max() == 1


def test_a_label_map_translates_values_in_any_case_of_letters(tmp_path):
    ct, labels = a_patient()
    theirs = np.array([0, 9, 9, 7, 5], np.uint8)[labels]
    write_plain(tmp_path, {"p1": (ct, theirs)})
    (tmp_path / "labels.json").write_text(json.dumps({"labels": {"9": "lm+lad", "7": "LCX", "5": "rca"}}))
    _, read, found = only(tmp_path, "plain")
    np.testing.assert_array_equal(found, merge_left_main(labels))
    assert "left-main-is-lad" in [f.code for f in read.findings]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[1]", "no JSON object"),
        ("{}", "declares no labels"),
        ('{"labels": {"x": "LAD"}}', "label value 'x'"),
        ('{"labels": {"900": "LAD"}}', "label value '900'"),
        ('{"labels": {"1": "LAX"}}', "choose one of background, LM"),
        ('{"1": 2}', "meaning '2'"),
        ("[" * 100_000, "too large|not valid JSON"),
    ],
)
def test_label_maps_that_are_none_are_refused(tmp_path, text, says):
    ct, labels = a_patient()
    write_plain(tmp_path, {"p1": (ct, labels)})
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(InputRefusedError, match=says):
        list_scans(tmp_path, "plain", label_map=tmp_path / "map.json")


def test_cases_of_one_patient_are_named_in_a_file(tmp_path):
    ct, labels = a_patient()
    write_plain(tmp_path, {"before": (ct, labels), "after": (ct, labels), "else": (ct, labels)})
    (tmp_path / "patients.json").write_text(json.dumps({"before": "anna", "after": "anna"}))
    assert {s.case_id: s.patient_id for s in list_scans(tmp_path, "plain")} == {
        "before": "anna",
        "after": "anna",
        "else": "else",
    }


def test_a_bad_case_is_told_and_left_out_where_somebody_listens(tmp_path):
    ct, labels = a_patient()
    write_plain(tmp_path, {"good": (ct, labels), "bad": (ct, labels)})
    (tmp_path / "images" / "bad.nii.gz").write_bytes(b"no image")
    told = []
    cases = list(load_dataset(tmp_path, "plain", refused=lambda case, finding: told.append((case, finding.message))))
    assert [case for case, _, _ in cases] == ["good"]
    assert told[0][0] == "bad"
    assert told[0][1].startswith("Case bad: ")
    with pytest.raises(InputRefusedError, match="Case bad"):
        list(load_dataset(tmp_path, "plain"))


@pytest.mark.parametrize(("layout", "says"), [("nnunet", "choose one of coca"), ("coca", "holds no labelled scan")])
def test_folders_and_layouts_that_are_none_are_refused(tmp_path, layout, says):
    with pytest.raises(InputRefusedError, match=says):
        list_scans(tmp_path, layout)
    with pytest.raises(InputRefusedError, match=r"There is no folder|choose one of"):
        list_scans(tmp_path / "nowhere", layout)


def test_patients_never_stand_on_both_sides_of_a_split():
    ids = [f"p{n % 10}" for n in range(40)]
    training, validation = split_patients(ids, 0.2, seed=3)
    assert len(validation) == 2
    assert sorted([*training, *validation]) == sorted(set(ids))
    assert split_patients(reversed(ids), 0.2, seed=3) == (training, validation)
    assert split_patients(["a", "b"], 0.01)[1] != []
    assert split_patients(["a"], 0.5) == (["a"], [])
    assert split_patients(["a", "b"], 0.0)[1] == []
