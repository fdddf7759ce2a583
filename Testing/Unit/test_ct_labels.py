"""Labels from a file, on the CT's grid."""

from __future__ import annotations

import gzip
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from ct_scans import AXIAL, ORIGIN, SHAPE, SPACING, codes
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from CACScoringLib.ct import Acquisition, CTVolume, load_labels
from CACScoringLib.ct.labels_names import label_value
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.vocabulary import LABELS


@pytest.fixture
def a_ct():
    return CTVolume(
        np.full(SHAPE, 300, np.int16), SPACING, ORIGIN, acquisition=Acquisition(frame_of_reference_uid="1.2.3.4")
    )


@pytest.fixture
def a_label_map():
    labels = np.zeros(SHAPE, np.uint8)
    for value, z in zip((1, 2, 3, 4, 11, 12, 13, 14), range(5, 37, 4), strict=True):
        labels[z, 10 + value : 14 + value, 30:33] = value
    return labels


def save(path, labels, *, spacing=SPACING, origin=ORIGIN):
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing[::-1])
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def save_on_finer_grid(folder, slices, lowest_mm):
    """Save a mask of voxels half as long and wide as the CT's, which begins so far above the CT's first slice."""
    fine = np.zeros((80, 128, 128), np.uint8)
    fine[slices, 40:44, 60:64] = 2
    origin = (ORIGIN[0] - 1.0, ORIGIN[1] - 1.0, ORIGIN[2] + lowest_mm)
    return save(folder / "m.nrrd", fine, spacing=(1.5, 2.0, 2.0), origin=origin)


def refused(path, ct):
    with pytest.raises(InputRefusedError) as caught:
        load_labels(path, ct)
    assert "\n" not in str(caught.value)
    return caught.value.finding


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_a_label_map_on_the_same_grid_is_taken_as_it_is(tmp_path, a_ct, a_label_map, suffix):
    labels, findings = load_labels(save(tmp_path / f"m.{suffix}", a_label_map), a_ct)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, a_label_map)
    assert findings == ()


def test_whole_numbers_stored_as_decimals_are_labels(tmp_path, a_ct, a_label_map):
    labels, findings = load_labels(save(tmp_path / "m.nii.gz", a_label_map.astype(np.float32)), a_ct)
    np.testing.assert_array_equal(labels, a_label_map)
    assert findings == ()


def test_another_axis_order_of_the_same_grid_is_turned_exactly(tmp_path, a_ct, a_label_map):
    image = sitk.GetImageFromArray(a_label_map)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin(ORIGIN)
    sitk.WriteImage(sitk.DICOMOrient(image, "RSA"), str(tmp_path / "m.nii.gz"))
    labels, findings = load_labels(tmp_path / "m.nii.gz", a_ct)
    np.testing.assert_array_equal(labels, a_label_map)
    assert findings == ()


def test_a_cropped_label_map_is_pasted_exactly(tmp_path, a_ct, a_label_map):
    part = np.ascontiguousarray(a_label_map[4:38, 9:40, 28:35])
    origin = (ORIGIN[0] + 28 * 4.0, ORIGIN[1] + 9 * 4.0, ORIGIN[2] + 4 * 3.0)
    labels, findings = load_labels(save(tmp_path / "m.nrrd", part, origin=origin), a_ct)
    np.testing.assert_array_equal(labels, a_label_map)
    assert findings == ()


def test_labels_outside_the_ct_are_counted(tmp_path, a_ct, a_label_map):
    labels, findings = load_labels(
        save(tmp_path / "m.nrrd", a_label_map, origin=(*ORIGIN[:2], ORIGIN[2] - 9 * 3.0)), a_ct
    )
    np.testing.assert_array_equal(labels[:31], a_label_map[9:])
    assert codes(findings) == ["mask-outside"]
    assert findings[0].message.startswith("12 labelled voxels")  # the 4 x 3 voxels of slice 5


def test_another_grid_is_resampled_to_the_nearest_voxel_with_a_warning(tmp_path, a_ct):
    labels, findings = load_labels(save_on_finer_grid(tmp_path, slice(20, 24), lowest_mm=-0.75), a_ct)
    expected = np.zeros(SHAPE, np.uint8)
    expected[10:12, 20:22, 30:32] = 2
    np.testing.assert_array_equal(labels, expected)
    assert codes(findings) == ["mask-resampled"]


def test_labels_outside_the_ct_are_counted_on_another_grid_too(tmp_path, a_ct):
    _, findings = load_labels(save_on_finer_grid(tmp_path, slice(2, 6), lowest_mm=-6.75), a_ct)
    assert codes(findings) == ["mask-resampled", "mask-outside"]
    assert findings[1].message.startswith("32 labelled voxels")  # slices 2 and 3, at -3.75 and -2.25 mm


def test_a_mask_that_marks_no_calcium_of_this_ct_is_said_to_be_of_another(tmp_path, a_ct, a_label_map):
    hu = np.where(np.isin(a_label_map, (1, 2, 3)), 300, 40).astype(np.int16)
    labels, findings = load_labels(save(tmp_path / "m.nrrd", a_label_map), replace(a_ct, hu=hu))
    np.testing.assert_array_equal(labels, a_label_map)
    assert codes(findings) == ["mask-beside-calcium"]
    assert findings[0].message.startswith("3 of 8 regions that the mask marks reach 130 HU")
    hu[a_label_map == 11] = 130
    assert load_labels(tmp_path / "m.nrrd", replace(a_ct, hu=hu))[1] == ()


def test_a_mask_of_one_region_without_calcium_is_said_to_be_of_another(tmp_path, a_ct, a_label_map):
    path = save(tmp_path / "m.nrrd", np.where(a_label_map == 2, a_label_map, 0))
    _, findings = load_labels(path, replace(a_ct, hu=np.full(SHAPE, 40, np.int16)))
    assert codes(findings) == ["mask-beside-calcium"]
    assert findings[0].message.startswith("Nothing that the mask marks reaches 130 HU")


def test_a_folder_is_no_mask(tmp_path, a_ct):
    assert "is a folder" in refused(tmp_path, a_ct).message


def test_a_mask_of_another_place_is_refused(tmp_path, a_ct, a_label_map):
    path = save(tmp_path / "m.nrrd", a_label_map, origin=(1000.0, 0.0, 0.0))
    assert refused(path, a_ct).code == "mask-elsewhere"


@pytest.mark.parametrize(("value", "dtype", "shown"), [(7, np.uint8, "7"), (300, np.int16, "300"), (-1, np.int16, "-1"),
                                                       (1.5, np.float32, "decimals")])  # fmt: skip
def test_values_without_a_meaning_are_refused_by_name(tmp_path, a_ct, value, dtype, shown):
    labels = np.zeros(SHAPE, dtype)
    labels[3, 4, 5] = value
    labels[9, 4, 5] = 2
    found = refused(save(tmp_path / "m.nrrd", labels), a_ct)
    assert found.code == "mask-unknown-labels"
    assert shown in found.message
    assert "1 LM, 2 LAD, 3 LCX, 4 RCA, 11 aorta" in found.message


def test_a_mask_of_ones_is_left_main_with_a_warning(tmp_path, a_ct, a_label_map):
    labels, findings = load_labels(save(tmp_path / "m.nrrd", (a_label_map > 0).astype(np.uint8)), a_ct)
    assert set(np.unique(labels)) == {0, 1}
    assert codes(findings) == ["mask-single-label"]


def test_an_empty_mask_says_so(tmp_path, a_ct):
    labels, findings = load_labels(save(tmp_path / "m.nrrd", np.zeros(SHAPE, np.uint8)), a_ct)
    assert not labels.any()
    assert codes(findings) == ["mask-empty"]


def test_missing_and_foreign_files_are_refused(tmp_path, a_ct):
    assert refused(tmp_path / "none.nrrd", a_ct).code == "mask-not-found"
    (tmp_path / "text.txt").write_text("x")
    assert refused(tmp_path / "text.txt", a_ct).code == "mask-unreadable"
    (tmp_path / "bad.nrrd").write_text("NRRD0004\n")
    assert refused(tmp_path / "bad.nrrd", a_ct).code == "mask-unreadable"


@pytest.mark.parametrize("label", LABELS, ids=lambda item: item.name)
def test_every_label_is_known_by_its_name_title_and_code(label):
    assert label_value(label.name) == label.value
    assert label_value(label.name.upper()) == label.value
    assert label_value(label.title) == label.value
    if label.name != "other":  # its region, the thorax, says nothing
        assert label_value("Segment_1", (label.region.value,)) == label.value


@pytest.mark.parametrize(
    ("name", "value"),
    [("Calcium LAD", 2), ("lad_calc", 2), ("LeftMain", 1), ("Left main coronary artery", 1), ("LCx", 3), ("Cx", 3),
     ("left circumflex coronary artery", 3), ("Right coronary artery", 4), ("ascending aorta", 11),
     ("Aortic valve calcium", 12), ("mitral annulus", 13), ("Non-coronary calcification", 14),
     ("LM/LAD", None), ("heart", None), ("Segment_1", None), ("ladder", None), ("", None)],
)  # fmt: skip
def test_segment_names_are_understood_or_left_alone(name, value):
    assert label_value(name) == value


def write_seg_nrrd(path, layers, segments, origin=ORIGIN):
    """Write what 3D Slicer writes: layers (layer, z, y, x) and segments as (name, layer, value, tags)."""
    many = len(layers) > 1
    sizes = layers.shape[1:][::-1]
    directions = "(4,0,0) (0,4,0) (0,0,3)"
    lines = [
        "NRRD0004",
        "type: unsigned char",
        f"dimension: {4 if many else 3}",
        "space: left-posterior-superior",
        "sizes: " + " ".join(str(item) for item in ((len(layers), *sizes) if many else sizes)),
        "space directions: " + (f"none {directions}" if many else directions),
        "kinds: " + ("list " if many else "") + "domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: ({},{},{})".format(*origin),
    ]
    for i, (name, layer, value, tags) in enumerate(segments):
        lines += [f"Segment{i}_ID:=S_{i}", f"Segment{i}_Name:={name}", f"Segment{i}_Layer:={layer}"]
        lines += [f"Segment{i}_LabelValue:={value}", f"Segment{i}_Tags:={tags}"]
    lines += ["Segmentation_ReferenceImageExtentOffset:=28 9 4", "", ""]
    pixels = np.moveaxis(layers, 0, -1) if many else layers[0]
    path.write_bytes("\n".join(lines).encode() + gzip.compress(np.ascontiguousarray(pixels).tobytes()))
    return path


def test_slicer_segments_are_mapped_by_name_whatever_their_values(tmp_path, a_ct, a_label_map):
    shuffled = np.zeros_like(a_label_map)
    shuffled[a_label_map == 2] = 1
    shuffled[a_label_map == 4] = 2
    shuffled[a_label_map == 11] = 3
    segments = [("Calcium LAD", 0, 1, ""), ("RCA", 0, 2, ""), ("Aorta", 0, 3, "")]
    labels, findings = load_labels(write_seg_nrrd(tmp_path / "s.seg.nrrd", shuffled[None], segments), a_ct)
    np.testing.assert_array_equal(labels, np.where(np.isin(a_label_map, (2, 4, 11)), a_label_map, 0))
    assert findings == ()


def test_a_slicer_segment_without_a_known_name_is_mapped_by_its_code(tmp_path, a_ct, a_label_map):
    tags = "TerminologyEntry:x~SCT^49755003^Morph~SCT^237897009^Calc~^^~y~SCT^3227004^Left main coronary artery~^^|"
    path = write_seg_nrrd(
        tmp_path / "s.seg.nrrd", (a_label_map == 1).astype(np.uint8)[None] * 5, [("Segment_1", 0, 5, tags)]
    )
    labels, _ = load_labels(path, a_ct)
    np.testing.assert_array_equal(labels, (a_label_map == 1).astype(np.uint8))


def test_slicer_layers_and_cropped_extent_are_placed_exactly(tmp_path, a_ct):
    layers = np.zeros((2, 10, 12, 14), np.uint8)
    layers[0, 2:5, 3:6, 4:7] = 1
    layers[1, 4:7, 5:8, 6:9] = 1
    origin = (ORIGIN[0] + 28 * 4.0, ORIGIN[1] + 9 * 4.0, ORIGIN[2] + 4 * 3.0)
    path = write_seg_nrrd(tmp_path / "s.seg.nrrd", layers, [("aorta", 0, 1, ""), ("RCA", 1, 1, "")], origin)
    labels, findings = load_labels(path, a_ct)
    expected = np.zeros(SHAPE, np.uint8)
    expected[6:9, 12:15, 32:35] = 11
    expected[8:11, 14:17, 34:37] = 4  # the one voxel in both is coronary
    np.testing.assert_array_equal(labels, expected)
    assert codes(findings) == ["mask-overlap"]
    assert findings[0].message.startswith("1 voxel")


def test_unknown_slicer_segments_are_named_and_refused_if_alone(tmp_path, a_ct, a_label_map):
    path = write_seg_nrrd(tmp_path / "s.seg.nrrd", a_label_map[None], [("heart", 0, 11, ""), ("LAD", 0, 2, "")])
    labels, findings = load_labels(path, a_ct)
    assert set(np.unique(labels)) == {0, 2}
    assert codes(findings) == ["mask-segment-ignored"]
    assert "'heart'" in findings[0].message
    path = write_seg_nrrd(tmp_path / "t.seg.nrrd", a_label_map[None], [("heart", 0, 11, "")])
    found = refused(path, a_ct)
    assert found.code == "mask-unknown-labels"
    assert "'heart'" in found.message


def dicom_seg(label_map, names, frame_of_reference="1.2.3.4", codes_of=None):
    """Return a binary DICOM SEG with a frame for each segment in each slice where it is."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.66.4"
    meta.MediaStorageSOPInstanceUID = "1.2.3.5"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = meta.MediaStorageSOPClassUID, "1.2.3.5", "SEG"
    ds.FrameOfReferenceUID = frame_of_reference
    ds.Rows, ds.Columns = label_map.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = 0
    ds.SegmentationType = "BINARY"

    def item(**values):
        inner = Dataset()
        for keyword, value in values.items():
            setattr(inner, keyword, value)
        return inner

    ds.SegmentSequence = Sequence(
        item(
            SegmentNumber=n,
            SegmentLabel=name,
            SegmentedPropertyTypeCodeSequence=Sequence(
                [
                    item(
                        CodeValue=(codes_of or {}).get(value, "237897009"),
                        CodingSchemeDesignator="SCT",
                        CodeMeaning="x",
                    )
                ]
            ),
        )
        for n, (value, name) in enumerate(names.items(), 1)
    )
    shared = item(
        PixelMeasuresSequence=Sequence(
            [item(PixelSpacing=list(SPACING[1:]), SliceThickness=3.0, SpacingBetweenSlices=3.0)]
        ),
        PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=list(AXIAL))]),
    )
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames, pixels = [], []
    for n, value in enumerate(names, 1):
        for z in np.flatnonzero((label_map == value).any(axis=(1, 2))):
            frames.append(
                item(
                    SegmentIdentificationSequence=Sequence([item(ReferencedSegmentNumber=n)]),
                    PlanePositionSequence=Sequence(
                        [item(ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 3.0 * int(z)])]
                    ),
                )
            )
            pixels.append(label_map[z] == value)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    ds.NumberOfFrames = len(frames)
    ds.PixelData = np.packbits(np.array(pixels).ravel(), bitorder="little").tobytes()
    return ds


NAMES = {1: "LM", 2: "Left anterior descending", 3: "LCX", 4: "RCA", 11: "Aorta", 13: "Mitral valve"}


def test_a_binary_dicom_seg_is_read_exactly(tmp_path, a_ct, a_label_map):
    dicom_seg(a_label_map, NAMES).save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    labels, findings = load_labels(tmp_path / "seg.dcm", a_ct)
    np.testing.assert_array_equal(labels, np.where(np.isin(a_label_map, list(NAMES)), a_label_map, 0))
    assert findings == ()


def test_dicom_seg_frames_that_do_not_fill_whole_bytes_are_read_exactly(tmp_path):
    labels = np.zeros((12, 13, 15), np.uint8)
    labels[3:6, 2:5, 4:9] = 2
    labels[5:9, 8:11, 10:15] = 4
    dicom_seg(labels, {2: "LAD", 4: "RCA"}).save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    ct = CTVolume(np.zeros(labels.shape, np.int16), SPACING, ORIGIN)
    got, _ = load_labels(tmp_path / "seg.dcm", ct)
    np.testing.assert_array_equal(got, labels)


def test_a_dicom_seg_is_mapped_by_code_where_the_name_says_nothing(tmp_path, a_ct, a_label_map):
    ds = dicom_seg(a_label_map, {3: "Region 7"}, codes_of={3: "57396003"})
    ds.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    labels, _ = load_labels(tmp_path / "seg.dcm", a_ct)
    np.testing.assert_array_equal(labels, np.where(a_label_map == 3, 3, 0))


def test_a_dicom_label_map_in_another_frame_of_reference_warns(tmp_path, a_ct, a_label_map):
    ds = dicom_seg(a_label_map, {2: "LAD"}, frame_of_reference="9.9")
    ds.SegmentationType = "FRACTIONAL"
    ds.MaximumFractionalValue = 200
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    pixels = np.where(a_label_map == 2, 100, 99)[(a_label_map == 2).any(axis=(1, 2))]
    ds.PixelData = pixels.astype(np.uint8).tobytes()
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    labels, findings = load_labels(tmp_path / "seg.dcm", a_ct)
    np.testing.assert_array_equal(labels, np.where(a_label_map == 2, 2, 0))
    assert codes(findings) == ["mask-frame-of-reference"]


def test_a_truncated_dicom_seg_is_unreadable(tmp_path, a_ct, a_label_map):
    ds = dicom_seg(a_label_map, NAMES)
    ds.PixelData = ds.PixelData[:-16]
    ds.save_as(tmp_path / "seg.dcm", enforce_file_format=True)
    assert refused(tmp_path / "seg.dcm", a_ct).code == "mask-unreadable"


def test_a_dicom_image_is_no_mask(tmp_path, a_ct):
    from ct_scans import chest, slice_dataset

    slice_dataset(chest()[0]).save_as(tmp_path / "ct.dcm", enforce_file_format=True)
    assert refused(tmp_path / "ct.dcm", a_ct).code == "mask-unreadable"
