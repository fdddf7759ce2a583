"""Which series of a folder is scored."""

from __future__ import annotations

import numpy as np
import pytest
from ct_scans import ORIGIN, chest, codes, finding, slice_dataset, write_series
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from CACScoringLib.ct import load_ct
from CACScoringLib.ct.acquisition import kernel_is_sharp
from CACScoringLib.ct.headers import texts_of
from CACScoringLib.findings import InputRefusedError, Severity

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def write_localiser(folder, **values):
    folder.mkdir(parents=True, exist_ok=True)
    ds = slice_dataset(
        chest()[0],
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        SeriesInstanceUID=generate_uid(),
        SeriesDescription="Topogram",
        SeriesNumber=1,
        **values,
    )
    ds.save_as(folder / "localiser.dcm", enforce_file_format=True)


def test_the_axial_ct_is_taken_among_localiser_capture_report_and_pet(tmp_path):
    hu = chest()
    uid = write_series(tmp_path / "ct", hu, SeriesNumber=3, SeriesDescription="CT 3.0")
    write_localiser(tmp_path / "loc")
    write_series(tmp_path / "pet", SeriesNumber=4, Modality="PT", SOPClassUID="1.2.840.10008.5.1.4.1.1.128")
    write_series(
        tmp_path / "dose", hu[:1], SeriesNumber=999, SOPClassUID=SECONDARY_CAPTURE, SeriesDescription="Dose Report"
    )
    report = slice_dataset(hu[0], Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.67", PixelData=None, Rows=None)
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    ct = load_ct(tmp_path)
    assert ct.acquisition.series_uid == uid
    np.testing.assert_array_equal(ct.hu, hu)
    assert codes(ct.findings) == ["series-chosen"]
    found = finding(ct, "series-chosen")
    assert found.severity is Severity.INFO
    for words in (
        "Series 3 'CT 3.0' (40 slices, 3 mm apart) is scored",
        "localiser",
        "secondary capture",
        "PET",
        "a report",
    ):
        assert words in found.message


def test_a_localiser_inside_the_same_series_is_left_out(tmp_path):
    hu = chest()
    uid = write_series(tmp_path, hu)
    ds = slice_dataset(hu[0], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID=uid)
    ds.save_as(tmp_path / "zz.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


def test_the_gated_soft_3_mm_series_is_preferred_to_a_thin_sharp_one(tmp_path):
    good = write_series(tmp_path / "b", SeriesNumber=7, SeriesDescription="CaSc 3.0", ConvolutionKernel="Qr36d")
    write_series(
        tmp_path / "a",
        chest((120, 64, 64)),
        z=[ORIGIN[2] + float(i) for i in range(120)],
        SeriesNumber=2,
        SeriesDescription="Lung 1.0",
        ConvolutionKernel="B70f",
        SliceThickness=1.0,
    )
    ct = load_ct(tmp_path)
    assert ct.acquisition.series_uid == good
    message = finding(ct, "series-chosen").message
    assert "series 2 'Lung 1.0' (thin slices of 1 mm, sharp kernel B70f)" in message
    assert "gated or made for calcium scoring" in message


def test_an_enhanced_series_is_passed_over_for_one_without_contrast(tmp_path):
    write_series(tmp_path / "cta", chest(blood=380), SeriesNumber=2, SeriesDescription="Cardiac 3.0")
    plain = write_series(tmp_path / "plain", SeriesNumber=5, SeriesDescription="Thorax")
    ct = load_ct(tmp_path)
    assert ct.acquisition.series_uid == plain
    assert "series 2 'Cardiac 3.0' (blood measured as contrast-enhanced)" in finding(ct, "series-chosen").message


def test_allowing_contrast_still_prefers_a_series_without(tmp_path):
    enhanced = write_series(tmp_path / "cta", chest(blood=380), SeriesNumber=2, SeriesDescription="Cardiac 3.0")
    plain = write_series(tmp_path / "plain", SeriesNumber=5, SeriesDescription="Thorax")
    assert load_ct(tmp_path, allow_contrast=True).acquisition.series_uid == plain
    assert load_ct(tmp_path, series_uid=enhanced, allow_contrast=True).acquisition.series_uid == enhanced


def test_series_of_several_studies_in_one_folder_are_pointed_out(tmp_path):
    write_series(tmp_path / "a", StudyInstanceUID="1.2.3")
    write_series(tmp_path / "b", StudyInstanceUID="1.2.4", SeriesNumber=4)
    found = finding(load_ct(tmp_path), "several-studies")
    assert found.severity is Severity.WARNING
    assert "2 studies" in found.message


def test_a_named_series_is_taken_and_an_unknown_one_refused(tmp_path):
    write_series(tmp_path / "a", SeriesDescription="CaSc")
    other = write_series(tmp_path / "b", chest(seed=1), SeriesNumber=9)
    assert load_ct(tmp_path, series_uid=other).acquisition.series_uid == other
    with pytest.raises(InputRefusedError, match=r"No series 1\.2\.3 is there") as caught:
        load_ct(tmp_path, series_uid="1.2.3")
    assert caught.value.finding.code == "series-not-found"


def test_cardiac_phases_in_one_series_are_not_mixed(tmp_path):
    uid = generate_uid()
    first, second = chest(seed=1), chest(seed=2)
    write_series(tmp_path / "a", first, uid=uid, NominalPercentageOfCardiacPhase=40.0)
    write_series(
        tmp_path / "b", second, uid=uid, NominalPercentageOfCardiacPhase=75.0,
        edit=lambda ds, i: setattr(ds, "SOPInstanceUID", generate_uid()),
    )  # fmt: skip
    ct = load_ct(tmp_path)
    assert any(np.array_equal(ct.hu, phase) for phase in (first, second))
    assert codes(ct.findings) == ["series-chosen"]
    assert "cardiac phase" in finding(ct, "series-chosen").message


def test_maximum_intensity_projections_are_not_scored(tmp_path):
    write_series(tmp_path, ImageType=["DERIVED", "SECONDARY", "AXIAL", "MIP"])
    with pytest.raises(InputRefusedError, match="projections") as caught:
        load_ct(tmp_path)
    assert caught.value.finding.code == "not-axial-ct"


def test_derived_axial_reformats_are_scored(tmp_path):
    write_series(tmp_path, ImageType=["DERIVED", "PRIMARY", "MPR"])
    assert load_ct(tmp_path).findings == ()


@pytest.mark.parametrize(
    ("kernel", "sharp"),
    [("B35f", False), ("Qr36d", False), ("B70f", True), ("Br60", True), ("STANDARD", False), ("LUNG", True),
     ("BONEPLUS", True), ("FC12", False), ("FC51", True), ("B", False), ("YB", True), ("I30f\\3", False),
     ("strange", None), (None, None)],
)  # fmt: skip
def test_kernels_are_told_apart_by_their_vendors_names(kernel, sharp):
    assert kernel_is_sharp(kernel) is sharp


@pytest.mark.parametrize(
    ("values", "gated"),
    [({"SeriesDescription": "CTAC ungated"}, False), ({"SeriesDescription": "AX 5mm"}, None), ({"HeartRate": 64}, True),
     ({"CardiacSynchronizationTechnique": "PROSPECTIVE", "SeriesDescription": "Chest"}, True),
     ({"CardiacSynchronizationTechnique": "NONE", "SeriesDescription": "Cardiac"}, False),
     ({"ScanOptions": ["AXIAL MODE", "CARDIAC_GATED"], "SeriesDescription": "CTAC"}, True),
     ({"ScanOptions": "HEARTBEAT_PROSP", "SeriesDescription": "AX 3mm"}, True),
     ({"ScanOptions": "RESP_TRIGGERED", "SeriesDescription": "CTAC"}, False),
     ({"ScanOptions": ["HELICAL MODE", "NON_GATED"], "SeriesDescription": "AX 3mm"}, None),
     ({"SeriesDescription": "", "ProtocolName": "Calcium Score    (Volume)"}, True)],
)  # fmt: skip
def test_gating_is_known_from_tags_before_words(tmp_path, values, gated):
    write_series(tmp_path, chest((30, 64, 64)), **values)
    assert load_ct(tmp_path).acquisition.gated is gated


@pytest.mark.parametrize(
    ("values", "texts"),
    [(["I30f ", "3"], ("I30f", "3")), ("B35f", ("B35f",)), ("", ()), (None, ()), (["A", "", "C"], ("A", "", "C"))],
)
def test_an_element_of_one_or_several_values_is_read_as_texts(values, texts):
    dataset = Dataset()
    dataset.ConvolutionKernel = values
    dataset.SeriesNumber = 7
    assert texts_of(dataset, "ConvolutionKernel") == texts
    assert texts_of(dataset, "SeriesNumber") == ("7",)
    assert texts_of(dataset, "ScanOptions") == ()


def test_words_from_a_header_cannot_write_to_the_terminal(tmp_path):
    write_series(tmp_path / "a", SeriesDescription="CaSc\x1b[2J\nred")
    write_localiser(tmp_path / "loc")
    ct = load_ct(tmp_path)
    assert ct.acquisition.series_description == "CaSc [2J red"
    assert all(item.message.isprintable() for item in ct.findings)
