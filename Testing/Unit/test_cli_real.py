"""The command on real scans: a published phantom measurement, and a scan that must be refused."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage

from CACScoringLib.cli import main
from CACScoringLib.vocabulary import LABELS

DATA = Path(os.environ.get("CACSCORING_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
PHANTOM = DATA / "qrm-phantom-canon"
INSERT_SLICES = slice(20, 25)
FACTOR = 0.7220477104423333e-3
"""mg / (mm3 HU), of the published measurement."""

pytestmark = pytest.mark.real


def phantom_mask(path: Path) -> dict[str, dict[str, str]]:
    """Write a mask in which each insert is a label of its own; return the published row of each label's name."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(PHANTOM / "dicom")))
    image = reader.Execute()
    hu = sitk.GetArrayFromImage(image)
    labels = np.zeros(hu.shape, np.uint8)
    with (PHANTOM / "reference" / "inserts.csv").open(newline="") as file:
        inserts = [row for row in csv.DictReader(file) if row["center_x_px"]]
    for z in range(INSERT_SLICES.start, INSERT_SLICES.stop):
        islands, count = ndimage.label(hu[z] >= 130, np.ones((3, 3)))
        centers = ndimage.center_of_mass(islands > 0, islands, range(1, count + 1))
        for island, (y, x) in enumerate(centers, 1):
            for insert, label in zip(inserts, LABELS, strict=False):
                away = np.hypot(y - float(insert["center_y_px"]), x - float(insert["center_x_px"]))
                if away <= float(insert["disc_radius_px"]):
                    labels[z][islands == island] = label.value
    mask = sitk.GetImageFromArray(labels)
    mask.CopyInformation(image)
    sitk.WriteImage(mask, str(path), True)
    return {label.name: insert for insert, label in zip(inserts, LABELS, strict=False)}


@pytest.mark.skipif(not PHANTOM.is_dir(), reason="the QRM phantom scan is not there (CACSCORING_DATA)")
def test_the_phantom_reproduces_from_the_command_line(tmp_path, capsys) -> None:
    published = phantom_mask(tmp_path / "mask.nrrd")
    words = ["score", PHANTOM / "dicom", "--mask", tmp_path / "mask.nrrd", "--preset", "canon", "--format", "json"]
    assert main([*map(str, words), "--mass-factor", str(FACTOR)]) == 0
    document = json.loads(capsys.readouterr().out)
    found = {**document["vessels"], **document["non_coronary"]}
    assert len(published) == 7
    for name, insert in published.items():
        for measure in ("agatston", "volume_mm3", "mass_mg"):
            assert found[name][measure] == pytest.approx(float(insert[measure]), abs=1e-4), (insert["insert"], measure)


@pytest.mark.skipif(not (DATA / "cta-crop").is_dir(), reason="the CTA crops are not there (CACSCORING_DATA)")
def test_a_contrast_enhanced_scan_is_refused_and_leaves_nothing(tmp_path, capsys) -> None:
    scan = DATA / "cta-crop" / "heart_cta_crop_1.5mm.nii.gz"
    assert main(["score", str(scan), "--output", str(tmp_path / "out")]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "contrast" in err
    assert list(tmp_path.iterdir()) == []
