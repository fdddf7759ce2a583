"""A synthetic patient on disk can be read by anything that reads DICOM or NRRD."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from CACScoringLib import load_ct
from CACScoringLib.cli import main
from CACScoringLib.phantom import PhantomOptions, synthesize, write_patient


@pytest.fixture(scope="module")
def patient():
    return synthesize(seed=5, protocol="gated", options=PhantomOptions(matrix=96, target_agatston=(50.0, 100.0)))


def test_dicom_series_reads_back_bit_for_bit(patient, tmp_path):
    write_patient(patient, tmp_path)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    image = reader.Execute()
    assert np.array_equal(sitk.GetArrayFromImage(image), patient.ct.hu)
    assert image.GetSpacing() == pytest.approx(patient.ct.spacing_mm[::-1], abs=1e-5)
    assert image.GetOrigin() == pytest.approx(patient.ct.origin_mm, abs=1e-3)
    assert {path.name for path in tmp_path.iterdir()} == {"ct", "labels.nrrd", "structures.nrrd", "truth.json"}


@pytest.mark.parametrize("gated", [True, False])
def test_dicom_says_whether_a_spect_ctac_scan_was_triggered(tmp_path, gated):
    options = PhantomOptions(matrix=64, target_agatston=(0.0, 0.0), gated=gated)
    write_patient(synthesize(seed=5, protocol="spect-ctac", options=options), tmp_path)
    assert load_ct(tmp_path).acquisition.gated is gated


def test_dicom_says_that_no_patient_exists(patient, tmp_path):
    write_patient(patient, tmp_path)
    files = sorted((tmp_path / "ct").iterdir())
    assert len(files) == patient.ct.shape[0]
    first, last = pydicom.dcmread(files[0]), pydicom.dcmread(files[-1])
    assert first.PatientName == "Synthetic^CACScoring"
    assert first.ContentQualification == "RESEARCH"
    assert first.RescaleIntercept == -1024
    assert patient.ct.acquisition.kvp == first.KVP
    assert first.SeriesInstanceUID == last.SeriesInstanceUID
    assert first.SOPInstanceUID != last.SOPInstanceUID
    assert all(
        keyword in first
        for keyword in ("StudyDate", "AccessionNumber", "PatientBirthDate", "ImageType", "PatientPosition")
    )


def test_nrrd_labels_lie_on_the_grid_of_the_ct(patient, tmp_path):
    write_patient(patient, tmp_path, "nrrd")
    ct, labels = sitk.ReadImage(str(tmp_path / "ct.nrrd")), sitk.ReadImage(str(tmp_path / "labels.nrrd"))
    assert np.array_equal(sitk.GetArrayFromImage(ct), patient.ct.hu)
    assert np.array_equal(sitk.GetArrayFromImage(labels), patient.labels)
    assert ct.GetOrigin() == labels.GetOrigin()
    assert ct.GetSpacing() == labels.GetSpacing()


def test_truth_file_holds_the_scores_and_centrelines(patient, tmp_path):
    write_patient(patient, tmp_path, "nrrd")
    truth = json.loads((tmp_path / "truth.json").read_text())
    assert truth["total"]["agatston"] == patient.truth.total.agatston
    assert truth["seed"] == 5
    assert len(truth["vessel_tree"]["LAD"][0]) == 3


def test_unknown_format_is_refused_by_name(patient, tmp_path):
    with pytest.raises(ValueError, match="nrrd"):
        write_patient(patient, tmp_path, "nifti")


@pytest.mark.parametrize(("first", "then"), [("dicom", "nrrd"), ("nrrd", "dicom"), ("dicom", "dicom")])
def test_no_two_patients_are_written_into_one_folder(patient, tmp_path, first, then):
    write_patient(patient, tmp_path, first)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(FileExistsError, match="already"):
        write_patient(patient, tmp_path, then)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_command_refuses_a_folder_with_a_patient_before_making_another(tmp_path, capsys):
    (tmp_path / "labels.nrrd").write_bytes(b"")
    assert main(["phantom", "--output", str(tmp_path)]) == 2
    assert "'labels.nrrd' already: choose another folder" in capsys.readouterr().err
