"""What load_ct reads, and what it says about the scan: one behaviour a test."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
from ct_scans import AXIAL, ORIGIN, SHAPE, SPACING, chest, codes, finding, slice_dataset, write_series

from CACScoringLib.ct import CTVolume, headers, load_ct
from CACScoringLib.findings import InputRefusedError, Severity


def refusal(path, **options):
    with pytest.raises(InputRefusedError) as caught:
        load_ct(path, **options)
    assert caught.value.finding.severity is Severity.REFUSE
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    return caught.value.finding


def test_a_plain_series_is_read_exactly_with_nothing_to_remark(tmp_path):
    hu = chest()
    write_series(tmp_path / "scan", hu)
    ct = load_ct(tmp_path / "scan")
    assert isinstance(ct, CTVolume)
    assert ct.hu.dtype == np.int16
    assert ct.hu.flags.c_contiguous
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.spacing_mm == SPACING
    assert ct.origin_mm == ORIGIN
    assert ct.direction == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert ct.findings == ()


def test_the_acquisition_is_taken_from_the_header(tmp_path):
    uid = write_series(tmp_path / "scan", SeriesDescription="CaSc 3.0 Qr36", ConvolutionKernel="Qr36d")
    got = load_ct(tmp_path / "scan").acquisition
    assert (got.kvp, got.exposure_mas, got.slice_thickness_mm, got.increment_mm) == (120.0, 40.0, 3.0, 3.0)
    assert (got.kernel, got.manufacturer, got.model) == ("Qr36d", "MADE UP", "Tester 64")
    assert (got.patient_age_years, got.patient_sex, got.study_date) == (61.0, "F", "20240229")
    assert (got.series_uid, got.series_description, got.source) == (uid, "CaSc 3.0 Qr36", "scan")
    assert got.gated is True
    assert got.contrast is False


def test_age_comes_from_the_birth_date_where_the_age_is_missing(tmp_path):
    write_series(tmp_path, PatientAge=None, PatientBirthDate="19630301")
    assert load_ct(tmp_path).acquisition.patient_age_years == 60.0


def test_slices_are_ordered_by_position_not_by_name_or_number(tmp_path):
    hu = chest()
    write_series(
        tmp_path, hu, name=lambda i: f"{(i * 7) % 40:03d}", edit=lambda ds, i: setattr(ds, "InstanceNumber", 40 - i)
    )
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


def test_files_without_extension_in_nested_folders_among_junk_are_found(tmp_path):
    hu = chest()
    write_series(tmp_path / "a" / "b c" / "d", hu, name=lambda i: f"IM{i}")
    (tmp_path / "a" / "notes.txt").write_text("not DICOM")
    (tmp_path / "a" / "b c" / "DATA").write_bytes(bytes(range(256)) * 4)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.findings == ()


def test_increment_is_measured_from_positions_not_slice_thickness(tmp_path):
    write_series(tmp_path, z=[3.27 * i for i in range(40)], SliceThickness=3.75)
    ct = load_ct(tmp_path)
    assert ct.spacing_mm[0] == pytest.approx(3.27, abs=1e-9)
    assert codes(ct.findings) == ["increment-differs", "overlapping-slices"]
    assert "3.27 mm" in finding(ct, "increment-differs").message
    assert all(item.severity is Severity.INFO for item in ct.findings)


def test_thin_slices_far_apart_leave_unseen_gaps(tmp_path):
    write_series(tmp_path, SliceThickness=1.25)
    assert finding(load_ct(tmp_path), "interslice-gap").severity is Severity.WARNING


def test_thick_slices_are_named(tmp_path):
    write_series(tmp_path, z=[6.0 * i for i in range(40)], SliceThickness=6.0)
    assert codes(load_ct(tmp_path).findings) == ["thick-slices"]


def test_positions_rounded_to_a_tenth_are_even(tmp_path):
    write_series(tmp_path, chest((160, 64, 64)), z=[round(0.625 * i, 1) for i in range(160)], SliceThickness=0.625)
    ct = load_ct(tmp_path)
    assert ct.spacing_mm[0] == pytest.approx(0.625, abs=1e-3)
    assert ct.findings == ()


def test_a_missing_slice_in_the_middle_is_refused_with_its_place(tmp_path):
    write_series(tmp_path)
    (tmp_path / "020.dcm").unlink()
    found = refusal(tmp_path)
    assert found.code == "missing-slices"
    assert "1 slice is missing at table positions -3.0 to 3.0 mm" in found.message


def test_a_missing_slice_near_the_end_leaves_the_long_run_with_a_warning(tmp_path):
    hu = chest()
    write_series(tmp_path, hu)
    (tmp_path / "002.dcm").unlink()
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu[3:])
    assert ct.origin_mm[2] == ORIGIN[2] + 9.0
    assert finding(ct, "missing-slices").severity is Severity.WARNING


def test_duplicated_slices_are_dropped_with_a_warning(tmp_path):
    hu = chest()
    write_series(tmp_path / "scan", hu)
    shutil.copy(tmp_path / "scan" / "005.dcm", tmp_path / "scan" / "copy.dcm")
    ct = load_ct(tmp_path / "scan")
    np.testing.assert_array_equal(ct.hu, hu)
    assert finding(ct, "duplicate-slices").message.startswith("1 slice")


def test_two_slices_at_one_position_count_once(tmp_path):
    hu = chest()
    uid = write_series(tmp_path, hu)
    ds = slice_dataset(
        hu[0], SeriesInstanceUID=uid, InstanceNumber=99, ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 30.0]
    )
    ds.save_as(tmp_path / "again.dcm", enforce_file_format=True)
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert codes(ct.findings) == ["duplicate-slices"]


def test_slightly_uneven_spacing_is_named_and_averaged(tmp_path):
    write_series(tmp_path, z=[3.0 * i + (0.4 if i == 20 else 0.0) for i in range(40)])
    ct = load_ct(tmp_path)
    assert ct.spacing_mm[0] == 3.0
    assert finding(ct, "uneven-spacing").severity is Severity.WARNING


def test_grossly_uneven_spacing_is_refused(tmp_path):
    write_series(tmp_path, z=[3.0 * i + (1.2 if i == 20 else 0.0) for i in range(40)])
    assert refusal(tmp_path).code == "uneven-spacing"


def tilted(degrees):
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return [1.0, 0.0, 0.0, 0.0, float(cosine), float(-sine)]


def test_a_small_gantry_tilt_warns_and_measures_along_the_normal(tmp_path):
    write_series(tmp_path, ImageOrientationPatient=tilted(5.0))
    ct = load_ct(tmp_path)
    assert finding(ct, "gantry-tilt").severity is Severity.WARNING
    assert ct.spacing_mm[0] == pytest.approx(3.0 * np.cos(np.radians(5.0)), abs=1e-6)


def test_a_large_gantry_tilt_is_refused(tmp_path):
    write_series(tmp_path, ImageOrientationPatient=tilted(15.0))
    assert refusal(tmp_path).code == "gantry-tilt"


def test_oblique_slices_stacked_along_their_normal_warn(tmp_path):
    normal = np.cross(tilted(8.0)[:3], tilted(8.0)[3:])

    def place(ds, i):
        ds.ImagePositionPatient = [float(item) for item in np.array(ORIGIN) + 3.0 * i * normal]

    write_series(tmp_path, ImageOrientationPatient=tilted(8.0), edit=place)
    ct = load_ct(tmp_path)
    assert codes(ct.findings) == ["oblique-slices"]
    assert ct.spacing_mm[0] == pytest.approx(3.0, abs=1e-6)


def test_coronal_reformats_are_refused(tmp_path):
    def place(ds, i):
        ds.ImagePositionPatient = [-126.0, -60.0 + 3.0 * i, 100.0]

    write_series(tmp_path, ImageOrientationPatient=[1, 0, 0, 0, 0, -1], edit=place)
    assert refusal(tmp_path).code == "non-axial"


def test_a_prone_scan_is_turned_exactly(tmp_path):
    hu = chest()

    def place(ds, i):
        ds.ImagePositionPatient = [126.0, 126.0, ORIGIN[2] + 3.0 * i]
        ds.PixelData = np.ascontiguousarray(hu[i, ::-1, ::-1]).tobytes()

    write_series(tmp_path, hu, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0], edit=place)
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.origin_mm == ORIGIN
    assert ct.direction == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    assert codes(ct.findings) == ["reoriented"]


def test_another_modality_is_refused(tmp_path):
    write_series(tmp_path, Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    found = refusal(tmp_path)
    assert found.code == "not-ct"
    assert "MRI" in found.message


def test_rescale_is_applied_and_rounded_to_whole_units(tmp_path):
    hu = chest()
    stored = ((hu.astype(int) + 1024) * 2).astype(np.int16)
    write_series(tmp_path, stored, RescaleSlope=0.5, RescaleIntercept=-1024)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


def test_unused_high_bits_are_ignored(tmp_path):
    hu = chest()
    stored = ((np.clip(hu, -1024, 3000).astype(np.int32) + 1024) | 0xF000).astype(np.uint16)
    write_series(tmp_path, stored, BitsStored=12, HighBit=11, PixelRepresentation=0, RescaleIntercept=-1024)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


def test_missing_rescale_warns_where_the_values_are_hounsfield_units(tmp_path):
    write_series(tmp_path, RescaleSlope=None, RescaleIntercept=None)
    assert codes(load_ct(tmp_path).findings) == ["missing-rescale"]


def test_missing_rescale_of_shifted_values_is_refused(tmp_path):
    write_series(tmp_path, (chest() + 1024).astype(np.int16), RescaleSlope=None, RescaleIntercept=None)
    found = refusal(tmp_path)
    assert found.code == "not-hounsfield"
    assert "1024" in found.message


def test_effective_atomic_number_is_not_hounsfield(tmp_path):
    write_series(tmp_path, RescaleType="Z_EFF")
    assert refusal(tmp_path).code == "not-hounsfield"


@pytest.mark.parametrize("padding", [-2048, -2000, -3024])
@pytest.mark.parametrize("vr", ["SS", "US"])
def test_padding_below_air_becomes_minus_1024(tmp_path, padding, vr):
    hu = chest()
    hu[:, :4, :4] = padding

    def pad(ds, i):
        ds.add_new("PixelPaddingValue", vr, padding if vr == "SS" else padding & 0xFFFF)

    write_series(tmp_path, hu, edit=pad)
    ct = load_ct(tmp_path)
    assert np.all(ct.hu[:, :4, :4] == -1024)
    np.testing.assert_array_equal(ct.hu[:, 4:, 4:], hu[:, 4:, 4:])
    assert f"({padding})" in finding(ct, "padding").message


def test_padding_that_would_pass_for_metal_becomes_air(tmp_path):
    hu = chest()
    hu[:, :4, :4] = 32767
    write_series(tmp_path, hu, PixelPaddingValue=32767)
    assert np.all(load_ct(tmp_path).hu[:, :4, :4] == -1024)


def test_a_padding_value_within_tissue_is_not_believed(tmp_path):
    hu = chest()
    write_series(tmp_path, hu, PixelPaddingValue=0)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


@pytest.mark.parametrize("kvp", [None, 0])
def test_unknown_kvp_warns(tmp_path, kvp):
    write_series(tmp_path, KVP=kvp)
    ct = load_ct(tmp_path)
    assert ct.acquisition.kvp is None
    assert codes(ct.findings) == ["unknown-kvp"]


def test_lossy_compression_in_the_history_warns(tmp_path):
    write_series(tmp_path, LossyImageCompression="01")
    assert codes(load_ct(tmp_path).findings) == ["lossy-compression"]


def test_non_square_pixels_are_kept_with_their_size(tmp_path):
    write_series(tmp_path, PixelSpacing=[4.0, 3.5])
    ct = load_ct(tmp_path)
    assert ct.spacing_mm == (3.0, 4.0, 3.5)
    assert codes(ct.findings) == ["non-square-pixels"]


def test_a_short_scan_warns_of_a_small_field_of_view(tmp_path):
    write_series(tmp_path, chest((20, 64, 64)))
    found = finding(load_ct(tmp_path), "small-field-of-view")
    assert found.severity is Severity.WARNING
    assert "60 mm along the body" in found.message


def test_a_tiny_field_of_view_is_refused(tmp_path):
    write_series(tmp_path, PixelSpacing=[0.5, 0.5])
    assert refusal(tmp_path).code == "small-field-of-view"


def test_too_few_slices_are_refused(tmp_path):
    write_series(tmp_path, chest((5, 64, 64)))
    assert refusal(tmp_path).code == "too-few-slices"


def test_one_slice_file_alone_is_refused(tmp_path):
    write_series(tmp_path)
    assert refusal(tmp_path / "003.dcm").code == "too-few-slices"


def test_slices_without_position_are_refused(tmp_path):
    write_series(tmp_path, edit=lambda ds, i: ds.__delattr__("ImagePositionPatient"))
    assert refusal(tmp_path).code == "no-geometry"


def test_a_truncated_file_is_refused_by_name(tmp_path):
    write_series(tmp_path)
    path = tmp_path / "012.dcm"
    path.write_bytes(path.read_bytes()[:-3000])
    found = refusal(tmp_path)
    assert found.code == "unreadable"
    assert "012.dcm" in found.message


def test_a_file_cut_in_its_header_is_named_and_its_gap_refused(tmp_path):
    write_series(tmp_path)
    path = tmp_path / "012.dcm"
    path.write_bytes(path.read_bytes()[:200])
    assert refusal(tmp_path).code == "missing-slices"
    path.unlink()
    last = tmp_path / "039.dcm"
    last.write_bytes(last.read_bytes()[:200])
    write_series(tmp_path, z=[ORIGIN[2] + 36.0], uid=None)
    assert refusal(tmp_path).code == "missing-slices"


def test_a_damaged_end_slice_is_left_out_with_a_warning(tmp_path):
    hu = chest()
    write_series(tmp_path, hu)
    path = tmp_path / "039.dcm"
    path.write_bytes(path.read_bytes()[:200])
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu[:39])
    assert "039.dcm" in finding(ct, "unreadable-files").message


def test_empty_slices_at_the_end_of_a_series_are_named(tmp_path):
    hu = chest()
    write_series(tmp_path, hu)
    (tmp_path / "000.dcm").write_bytes(b"")
    (tmp_path / "039.dcm").write_bytes(b"")
    (tmp_path / "VERSION").write_bytes(b"")
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu[1:39])
    found = finding(ct, "unreadable-files").message
    assert found.startswith("2 DICOM files are damaged, empty or may not be read, and left out: 000.dcm, 039.dcm.")


def test_slices_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    write_series(tmp_path)
    real = headers._start_of
    monkeypatch.setattr(headers, "_start_of", lambda path: None if path.name == "039.dcm" else real(path))
    assert "039.dcm" in finding(load_ct(tmp_path), "unreadable-files").message


def test_the_header_cut_off_behind_its_first_elements_is_damaged(tmp_path):
    write_series(tmp_path)
    last = tmp_path / "039.dcm"
    start = last.read_bytes()
    last.write_bytes(start[: start.index(b"\x08\x00\x60\x00CS")])  # behind SOPClassUID, before Modality
    ct = load_ct(tmp_path)
    assert codes(ct.findings) == ["unreadable-files"]
    assert ct.hu.shape[0] == 39


def test_a_damaged_slice_in_the_middle_is_named_with_the_gap(tmp_path):
    write_series(tmp_path)
    (tmp_path / "012.dcm").write_bytes(b"")
    found = refusal(tmp_path)
    assert found.code == "missing-slices"
    assert "1 DICOM file is damaged" in found.message
    assert "012.dcm" in found.message


def test_a_folder_that_may_not_be_looked_into_is_refused_not_passed_over(tmp_path, monkeypatch):
    write_series(tmp_path / "scan")
    closed = tmp_path / "closed"
    closed.mkdir()
    real = os.scandir

    def scandir(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = refusal(tmp_path)
    assert found.code == "unreadable"
    assert "closed may not be looked into" in found.message


def test_only_damaged_dicom_is_unreadable(tmp_path):
    (tmp_path / "one.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x08\x00\x16")
    found = refusal(tmp_path)
    assert found.code == "unreadable"
    assert "one.dcm" in found.message


def test_a_folder_without_dicom_is_refused(tmp_path):
    (tmp_path / "readme.txt").write_text("hello")
    assert refusal(tmp_path).code == "no-dicom"


def test_an_empty_folder_is_refused(tmp_path):
    assert refusal(tmp_path).code == "empty-folder"


def test_a_missing_path_is_refused(tmp_path):
    assert refusal(tmp_path / "nowhere").code == "not-found"


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "x.dcm").touch()
    assert refusal(tmp_path / "x.dcm").code == "unreadable"


def test_a_volume_beyond_the_limit_is_refused_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr("CACScoringLib.ct.pixels.MAX_VOXELS", 100_000)
    write_series(tmp_path)
    found = refusal(tmp_path)
    assert found.code == "too-large"
    assert "64 x 64 x 40" in found.message


def test_a_folder_of_endless_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("CACScoringLib.ct.headers.MAX_FILES", 20)
    write_series(tmp_path)
    assert refusal(tmp_path).code == "too-many-files"


def test_enhanced_blood_is_refused_unless_allowed(tmp_path):
    write_series(tmp_path, chest(blood=350))
    assert refusal(tmp_path).code == "contrast-enhanced"
    ct = load_ct(tmp_path, allow_contrast=True)
    assert ct.acquisition.contrast is True
    assert finding(ct, "contrast-enhanced").severity is Severity.WARNING


def test_a_contrast_tag_without_measured_contrast_only_warns(tmp_path):
    write_series(tmp_path, ContrastBolusAgent="OMNIPAQUE")
    ct = load_ct(tmp_path)
    assert codes(ct.findings) == ["contrast-tag"]
    assert ct.acquisition.contrast is False


def test_old_files_without_preamble_are_read(tmp_path):
    hu = chest()
    write_series(tmp_path, hu)
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        length = int.from_bytes(data[140:144], "little")  # value of (0002,0000): bytes of the file meta group
        path.write_bytes(data[144 + length :])
    got = load_ct(tmp_path)
    np.testing.assert_array_equal(got.hu, hu)


def test_the_axial_constant_is_what_the_tests_write():
    assert AXIAL == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert chest().shape == SHAPE
