"""Image noise in the left ventricle, measured where it is known."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import small_scan

from CACScoringLib.cli import main
from CACScoringLib.cohort.noise import left_ventricle_noise
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.methods.prediction import Prediction
from CACScoringLib.vocabulary import Structure

SPACING = (3.0, 0.5, 0.5)


def scan(sd: float, seed: int = 0) -> tuple[CTVolume, np.ndarray]:
    """Return a CT whose left ventricle (30 x 24 mm, slices 4 to 9) has a known noise, and everything else none."""
    rng = np.random.default_rng(seed)
    structures = np.zeros((14, 120, 120), np.uint8)
    structures[4:10, 30:90, 40:88] = Structure.LEFT_VENTRICLE
    hu = np.full(structures.shape, 500.0)
    inside = structures > 0
    hu[inside] = rng.normal(40, sd, int(inside.sum()))
    return CTVolume(np.round(hu).astype(np.int16), SPACING), structures


def test_known_noise_is_measured_in_three_slices_within_the_ventricle() -> None:
    ct, structures = scan(20.0)
    noise = left_ventricle_noise(ct, structures)
    assert noise.sd_hu == pytest.approx(20.0, rel=0.03)
    assert noise.mean_hu == pytest.approx(40.0, abs=1)
    assert len(noise.slices) == 3
    assert 4 <= noise.slices[0] < noise.slices[2] == noise.slices[0] + 2 <= 9
    assert noise.sd_hu == pytest.approx(np.mean(noise.slice_sd_hu))
    # 24 mm wide: a circle of 12 mm fits, of which 0.8 is taken
    assert noise.radius_mm == pytest.approx(0.8 * 12, abs=0.5)


def test_structures_on_a_coarser_grid_with_an_offset_give_the_same_place() -> None:
    ct, structures = scan(15.0)
    coarse = structures[1::2, 1::4, 1::4]
    noise = left_ventricle_noise(ct, coarse, (6.0, 2.0, 2.0), (3.0, 0.5, 0.5))
    assert noise.sd_hu == pytest.approx(15.0, rel=0.04)
    assert noise.center_mm == pytest.approx((30.0, 32.0), abs=4)


def test_more_noise_measures_more() -> None:
    values = [left_ventricle_noise(*scan(sd)).sd_hu for sd in (5, 10, 40)]
    assert values == sorted(values)


def test_without_a_ventricle_or_with_a_tiny_one_nothing_is_said() -> None:
    ct, structures = scan(20.0)
    for wrong, code in ((None, "no-structures"), (structures * 0, "no-left-ventricle")):
        with pytest.raises(InputRefusedError) as caught:
            left_ventricle_noise(ct, wrong)
        assert caught.value.finding.code == code
    tiny = np.zeros_like(structures)
    tiny[4:10, 50:60, 50:60] = Structure.LEFT_VENTRICLE
    with pytest.raises(InputRefusedError):
        left_ventricle_noise(ct, tiny)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("six-class", "'six-class' does not find: choose multibranch-unet or convlstm."),
        ("slice-regression", "'slice-regression' does not find: choose multibranch-unet or convlstm."),
        ("magic", "There is no method 'magic'"),
    ],
)
def test_methods_that_find_no_ventricle_are_refused_before_any_network_runs(
    method, says, tmp_path, monkeypatch, capsys
) -> None:
    scan_file = small_scan.write_small_scan(tmp_path / "ct.nrrd")
    monkeypatch.setattr("CACScoringLib.ct.load_ct", lambda *args, **options: pytest.fail("the scan was read"))
    assert main(["cohort", "noise", str(scan_file), "--method", method]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_a_table_that_cannot_be_written_is_refused_before_a_scan_is_read(tmp_path, monkeypatch, capsys) -> None:
    scan_file = small_scan.write_small_scan(tmp_path / "ct.nrrd")
    monkeypatch.setattr("CACScoringLib.ct.load_ct", lambda *args, **options: pytest.fail("the scan was read"))
    for command in (["cohort", "noise"], ["realism"]):
        assert main([*command, str(scan_file), "--output", str(scan_file / "noise.csv")]) == 2
        assert f"cannot be written: '{scan_file}' is a file." in capsys.readouterr().err


def test_the_command_writes_a_table_and_names_what_failed(tmp_path, monkeypatch, capsys) -> None:
    small_scan.write_small_scan(tmp_path / "a" / "ct.nrrd")
    structures = np.full(small_scan.SHAPE, Structure.LEFT_VENTRICLE, np.uint8)
    found = Prediction("m", "m", "0", structures=structures)
    monkeypatch.setattr("CACScoringLib.methods.predict", lambda ct, method: found)
    (tmp_path / "b.nrrd").write_text("no scan")
    out = tmp_path / "noise.csv"
    assert main(["cohort", "noise", str(tmp_path / "a"), str(tmp_path / "b.nrrd"), "--output", str(out)]) == 4
    with out.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["noise_hu"]) >= 0
    assert first["message"] == ""
    assert second["noise_hu"] == ""
    assert second["message"]
    assert "noise, HU" in capsys.readouterr().out
