"""Files other than plain slices: compressed and multi-frame DICOM, zip, NIfTI, NRRD and MetaImage."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from ct_scans import AXIAL, ORIGIN, SPACING, chest, codes, finding, slice_dataset, write_series
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from CACScoringLib.ct import load_ct
from CACScoringLib.ct.orientation import orient_to_lps
from CACScoringLib.findings import InputRefusedError


def refused(path, **options):
    with pytest.raises(InputRefusedError) as caught:
        load_ct(path, **options)
    return caught.value.finding.code


def image_of(hu):
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    return image


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_slices_are_read_exactly(tmp_path, syntax):
    hu = chest()
    for i in range(len(hu)):
        ds = slice_dataset(
            hu[i] + 1024,
            SeriesInstanceUID="1.2.3",
            ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 3.0 * i],
            PixelRepresentation=0,
            RescaleIntercept=-1024,
        )
        ds.compress(syntax, generate_instance_uid=False)
        ds.save_as(tmp_path / f"{i}.dcm", enforce_file_format=True)
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.findings == ()


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_slices_compressed_by_gdcm_are_read_exactly(tmp_path, compressor):
    hu = chest()
    uid = generate_uid()
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.KeepOriginalImageUIDOn()
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    for i in range(len(hu)):
        image = sitk.GetImageFromArray(hu[i : i + 1])
        image.SetSpacing(SPACING[::-1])
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"{uid[:56]}.{i}", "0008|0060": "CT",
            "0020|000e": uid, "0020|000d": "1.2.9", "0020|0032": f"{ORIGIN[0]}\\{ORIGIN[1]}\\{ORIGIN[2] + 3 * i}",
            "0020|0037": "\\".join(str(item) for item in AXIAL), "0018|0060": "120", "0018|0050": "3.0",
            "0028|1052": "0", "0028|1053": "1", "0008|0008": "ORIGINAL\\PRIMARY\\AXIAL",
        }  # fmt: skip
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(tmp_path / f"{i}.dcm"))
        writer.Execute(image)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_every_uncompressed_syntax_is_read_exactly(tmp_path, syntax):
    hu = chest()
    for i in range(len(hu)):
        ds = slice_dataset(hu[i], SeriesInstanceUID="1.2.3", ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 3.0 * i])
        coded = Dataset()
        coded.update(ds)
        coded.file_meta = ds.file_meta
        coded.file_meta.TransferSyntaxUID = syntax
        coded["PixelData"].VR = "OW"
        if syntax == ExplicitVRBigEndian:
            coded.PixelData = hu[i].astype(">i2").tobytes()
        dcmwrite(tmp_path / f"{i}.dcm", coded, enforce_file_format=True)
    np.testing.assert_array_equal(load_ct(tmp_path).hu, hu)


def enhanced(hu, order, **frame_values):
    """Return an enhanced CT whose frames are stored in ``order``."""
    ds = slice_dataset(
        hu[0], SOPClassUID=EnhancedCTImageStorage, SeriesInstanceUID="1.2.3", ImagePositionPatient=None,
        ImageOrientationPatient=None, PixelSpacing=None, SliceThickness=None, RescaleSlope=None, RescaleIntercept=None,
        KVP=None, ConvolutionKernel=None, Exposure=None,
    )  # fmt: skip
    ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage

    def item(**values):
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        return Sequence([inner])

    shared = Dataset()
    shared.PixelMeasuresSequence = item(PixelSpacing=list(SPACING[1:]), SliceThickness=3.0)
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=list(AXIAL))
    shared.PixelValueTransformationSequence = item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    shared.CTXRayDetailsSequence = item(KVP=100.0)
    shared.CTReconstructionSequence = item(ConvolutionKernel="Br36")
    shared.CTExposureSequence = item(ExposureInmAs=55.4)
    shared.CTImageFrameTypeSequence = item(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for i in order:
        frame = Dataset()
        frame.PlanePositionSequence = item(ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 3.0 * i])
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    ds.NumberOfFrames = len(frames)
    ds.PixelRepresentation = 0
    ds.PixelData = np.ascontiguousarray(hu[list(order)] + 1024).astype("<u2").tobytes()
    return ds


@pytest.mark.parametrize("syntax", [None, RLELossless])
def test_one_enhanced_multi_frame_file_is_read_with_its_functional_groups(tmp_path, syntax):
    hu = chest()
    ds = enhanced(hu, [*range(39, -1, -1)])
    if syntax:
        ds.compress(syntax, generate_instance_uid=False)
    ds.save_as(tmp_path / "multi", enforce_file_format=True)
    ct = load_ct(tmp_path / "multi")
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.spacing_mm == SPACING
    assert ct.origin_mm == ORIGIN
    got = ct.acquisition
    assert (got.kvp, got.kernel, got.exposure_mas, got.slice_thickness_mm) == (100.0, "Br36", 55.0, 3.0)
    assert ct.findings == ()


def test_a_truncated_multi_frame_file_is_unreadable(tmp_path):
    ds = enhanced(chest(), range(40))
    ds.PixelData = ds.PixelData[:-64]
    ds.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
    assert refused(tmp_path / "multi.dcm") == "unreadable"


def zipped(folder, target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder.parent))
    return target


@pytest.fixture
def a_temp_dir(tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_zip_is_read_and_its_temporary_folder_removed(tmp_path, a_temp_dir):
    hu = chest()
    write_series(tmp_path / "scan" / "deep" / "er", hu)
    archive = zipped(tmp_path / "scan", tmp_path / "case.zip")
    ct = load_ct(archive)
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.acquisition.source == "case.zip"
    assert list(a_temp_dir.iterdir()) == []


def test_a_zip_that_is_refused_leaves_nothing_behind(tmp_path, a_temp_dir):
    (tmp_path / "scan").mkdir()
    (tmp_path / "scan" / "a.txt").write_text("x")
    assert refused(zipped(tmp_path / "scan", tmp_path / "case.zip")) == "no-dicom"
    assert list(a_temp_dir.iterdir()) == []


@pytest.mark.parametrize("name", ["../evil.dcm", "/evil.dcm", "a/../../evil.dcm", "..\\evil.dcm", "C:\\evil.dcm"])
def test_a_zip_with_a_path_out_of_its_folder_is_refused(tmp_path, a_temp_dir, name):
    archive = tmp_path / "case.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo(name), b"x")
    assert refused(archive) == "archive-unsafe"
    assert list(a_temp_dir.iterdir()) == []
    assert not (tmp_path / "evil.dcm").exists()


def test_a_zip_bomb_is_refused_by_its_ratio(tmp_path):
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(60 * 2**20))
    assert archive.stat().st_size < 100_000
    assert refused(archive) == "archive-unsafe"


@pytest.mark.parametrize(("limit", "value"), [("MAX_ARCHIVE_FILES", 3), ("MAX_ARCHIVE_BYTES", 1000)])
def test_a_zip_beyond_the_limits_is_refused(tmp_path, monkeypatch, limit, value):
    monkeypatch.setattr(f"CACScoringLib.ct.archive.{limit}", value)
    archive = tmp_path / "big.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for i in range(4):
            file.writestr(f"{i}", bytes(300))
    assert refused(archive) == "archive-unsafe"


def test_a_zip_cut_off_is_unreadable(tmp_path):
    write_series(tmp_path / "scan")
    archive = zipped(tmp_path / "scan", tmp_path / "case.zip")
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(InputRefusedError, match=r"case\.zip is cut off or no zip") as caught:
        load_ct(archive)
    assert caught.value.finding.code == "unreadable"


def test_a_damaged_zip_is_unreadable(tmp_path):
    write_series(tmp_path / "scan", chest((10, 64, 64)))
    archive = zipped(tmp_path / "scan", tmp_path / "case.zip")
    data = bytearray(archive.read_bytes())
    data[200:4000] = bytes(3800)
    archive.write_bytes(data)
    assert refused(archive) == "unreadable"


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "mhd"])
def test_image_files_are_read_exactly(tmp_path, suffix):
    hu = chest()
    path = tmp_path / f"scan.{suffix}"
    sitk.WriteImage(image_of(hu), str(path))
    ct = load_ct(path)
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.spacing_mm == SPACING
    assert ct.origin_mm == ORIGIN
    assert codes(ct.findings) == ["unknown-kvp"]
    assert (ct.acquisition.source, ct.acquisition.increment_mm) == (path.name, 3.0)


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "RSA", "ASL", "SPR"])
def test_other_axis_orders_are_turned_back_exactly(tmp_path, orientation):
    hu = chest()
    image = sitk.DICOMOrient(image_of(hu), orientation)
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    ct = load_ct(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(ct.hu, hu)
    assert ct.spacing_mm == pytest.approx(SPACING)
    assert ct.origin_mm == pytest.approx(ORIGIN)
    assert np.reshape(ct.direction, (3, 3)) == pytest.approx(np.eye(3))
    assert codes(ct.findings) == ["reoriented", "unknown-kvp"]


def test_orientation_agrees_with_simpleitk_for_every_axis_order():
    voxels = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    source = sitk.GetImageFromArray(voxels)
    source.SetSpacing((0.5, 0.7, 3.0))
    source.SetOrigin((10.0, -20.0, 30.0))
    pairs = ("RL", "AP", "IS")
    orders = [(a, b, c) for a in range(3) for b in range(3) for c in range(3) if len({a, b, c}) == 3]
    for order in orders:
        for bits in range(8):
            name = "".join(pairs[axis][(bits >> axis) & 1] for axis in order)
            image = sitk.DICOMOrient(source, name)
            expected = sitk.DICOMOrient(image, "LPS")
            got, spacing, origin, direction, _ = orient_to_lps(
                sitk.GetArrayFromImage(image),
                image.GetSpacing()[::-1],
                image.GetOrigin(),
                np.reshape(image.GetDirection(), (3, 3)),
            )
            np.testing.assert_array_equal(got, sitk.GetArrayFromImage(expected))
            assert spacing == pytest.approx(expected.GetSpacing()[::-1])
            assert origin == pytest.approx(expected.GetOrigin())
            assert np.ravel(direction) == pytest.approx(expected.GetDirection())


def test_a_coronal_acquisition_is_not_taken_for_axial(tmp_path):
    image = image_of(chest())
    image.SetSpacing((1.5, 6.0, 2.5))
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    assert refused(tmp_path / "scan.nrrd") == "non-axial"


@pytest.mark.parametrize("kind", ["mri", "eight-bit", "labels", "normalised", "air"])
def test_values_that_are_no_hounsfield_units_are_refused(tmp_path, kind):
    hu = chest()
    values = {
        "mri": np.clip(hu + 1000, 0, None).astype(np.int16) % 700,
        "eight-bit": np.clip((hu + 160) * 255 / 400, 0, 255).astype(np.uint8),
        "labels": (hu > 300).astype(np.uint8),
        "normalised": ((hu + 300) / 600).astype(np.float32),
        "air": np.full_like(hu, -1000),
    }[kind]
    sitk.WriteImage(image_of(values), str(tmp_path / "scan.nii.gz"))
    assert refused(tmp_path / "scan.nii.gz") == "not-hounsfield"


def test_decimals_are_rounded_and_undefined_values_become_air(tmp_path):
    values = chest().astype(np.float32) + 0.3
    values[0, 0, 0] = np.nan
    sitk.WriteImage(image_of(values), str(tmp_path / "scan.nrrd"))
    ct = load_ct(tmp_path / "scan.nrrd")
    expected = chest()
    expected[0, 0, 0] = -1024
    np.testing.assert_array_equal(ct.hu, expected)
    assert codes(ct.findings) == ["non-integer-hu", "unknown-kvp"]


def test_colour_and_four_dimensional_images_are_refused(tmp_path):
    colour = sitk.JoinSeries([sitk.Compose([sitk.Image(16, 16, sitk.sitkUInt8)] * 3)] * 10)
    sitk.WriteImage(colour, str(tmp_path / "colour.nrrd"))
    assert refused(tmp_path / "colour.nrrd") == "not-ct"
    sitk.WriteImage(sitk.JoinSeries([image_of(chest((10, 16, 16)))] * 2), str(tmp_path / "time.nii.gz"))
    assert refused(tmp_path / "time.nii.gz") == "not-3d"
    sitk.WriteImage(sitk.JoinSeries([image_of(chest())]), str(tmp_path / "one.nii.gz"))
    np.testing.assert_array_equal(load_ct(tmp_path / "one.nii.gz").hu, chest())


@pytest.mark.parametrize("name", ["scan.nii.gz", "scan.nrrd", "scan.mha"])
def test_damaged_image_files_are_unreadable(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"NRRD0004\ngarbage" * 8)
    assert refused(path) == "unreadable"


def test_a_header_that_points_to_another_folder_is_refused(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.raw").write_bytes(bytes(2000))
    (inside / "scan.mhd").write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 10 10 10\nElementType = MET_SHORT\nElementDataFile = ../secret.raw\n"
    )
    (inside / "scan.nhdr").write_text(
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 10 10 10\nencoding: raw\nendian: little\ndata file: ../secret.raw"
    )
    assert refused(inside / "scan.mhd") == "unsafe-file"
    assert refused(inside / "scan.nhdr") == "unsafe-file"


def test_a_folder_with_one_image_file_is_that_file(tmp_path):
    sitk.WriteImage(image_of(chest()), str(tmp_path / "scan.nii.gz"))
    ct = load_ct(tmp_path)
    np.testing.assert_array_equal(ct.hu, chest())
    assert ct.acquisition.source == tmp_path.name
    sitk.WriteImage(image_of(chest()), str(tmp_path / "again.nii.gz"))
    assert refused(tmp_path) == "no-dicom"


def test_kvp_is_unknown_in_image_files(tmp_path):
    sitk.WriteImage(image_of(chest()), str(tmp_path / "scan.nrrd"))
    ct = load_ct(Path(tmp_path / "scan.nrrd"))
    assert "--kvp" in finding(ct, "unknown-kvp").message
