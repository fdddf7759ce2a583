"""The measures of a scan against images whose answer is known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

from CACScoringLib.cli import main
from CACScoringLib.ct import CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.phantom import PhantomOptions, synthesize
from CACScoringLib.phantom.edges import measure_edge
from CACScoringLib.phantom.measures import measure_scan
from CACScoringLib.phantom.regions import find_regions, heart_blocks
from CACScoringLib.phantom.texture import islands_of, mean_texture, measure_texture

SPACING = (2.5, 0.6, 0.6)


def white(seed: int, shape=(12, 64, 64), sd: float = 20.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, sd, shape)


def test_white_noise_is_uncorrelated_and_has_no_direction():
    texture = mean_texture([measure_texture(white(seed), SPACING) for seed in range(4)])
    assert texture.sd_hu == pytest.approx(20.0, rel=0.06)
    assert texture.acf_next_slice == pytest.approx(0.0, abs=0.05)
    assert texture.power_x_to_y == pytest.approx(1.0, abs=0.1)


def test_slices_that_share_half_their_neighbours_noise_correlate_as_worked_out():
    fresh = white(1, (41, 64, 64))
    mixed = fresh[1:] + 0.5 * fresh[:-1]  # correlation 0.5 / (1 + 0.25)
    assert measure_texture(mixed, SPACING).acf_next_slice == pytest.approx(0.4, abs=0.04)


def test_anatomy_that_goes_on_through_the_slices_does_not_count_as_noise():
    y, x = np.mgrid[:64, :64]
    anatomy = 25.0 * np.sin(2 * np.pi * 0.15 * 0.6 * x) * np.cos(2 * np.pi * 0.1 * 0.6 * y)
    clean = measure_texture(white(2), SPACING)
    with_anatomy = measure_texture(white(2) + anatomy, SPACING)
    assert anatomy.std() > 10.0
    assert with_anatomy.sd_hu == pytest.approx(clean.sd_hu, rel=0.08)
    assert with_anatomy.nps_mean == pytest.approx(clean.nps_mean, rel=0.1)


def test_spectrum_peak_is_the_middle_of_a_plateau():
    f = np.hypot(np.fft.fftfreq(256, 0.6)[:, None], np.fft.fftfreq(256, 0.6)[None, :])
    band = ((f > 0.3) & (f < 0.5)).astype(float)
    noise = np.real(np.fft.ifft2(np.fft.fft2(white(3, (8, 256, 256))) * band))
    assert measure_texture(noise, SPACING).nps_peak == pytest.approx(0.4, abs=0.03)


def test_streaks_upright_in_the_image_have_their_power_along_x():
    upright = ndimage.uniform_filter1d(white(4), 9, axis=1)
    assert measure_texture(upright, SPACING).power_x_to_y > 3.0


def test_islands_by_size_and_peak_by_hand():
    hu = np.zeros((1, 50, 50), np.int16)
    hu[0, 5, 5] = 150  # one pixel
    hu[0, 10, 10] = hu[0, 11, 11] = 140  # two, touching at a corner
    hu[0, 20:23, 20:22] = 200  # six
    found = islands_of(hu, (3.0, 1.0, 1.0))  # 25 cm2
    assert found["islands_per_slice"] == 3
    assert (found["single_islands"], found["double_islands"], found["chunky_islands"]) == (1, 1, 1)
    assert found["island_peak_mean"] == pytest.approx((150 + 140 + 200) / 3, abs=0.1)


@pytest.mark.parametrize("fwhm", [1.5, 2.5])
def test_edge_width_is_that_of_the_blur(fwhm):
    y, x = np.mgrid[:200, :200] * 0.5
    plane = np.where(np.hypot(y - 50, x - 50) < 30, 40.0, -900.0)
    fine = np.kron(plane, np.ones((1, 1)))
    blurred = ndimage.gaussian_filter(fine, fwhm / 2.3548 / 0.5)
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    places = np.stack([np.zeros(400), (50 + 30 * np.sin(angle)) * 2, (50 + 30 * np.cos(angle)) * 2], axis=1)
    edge = measure_edge(blurred[None], 0.5, np.rint(places).astype(int), -800.0, 0.0, (3.0, 5.0))
    assert edge.fwhm_mm == pytest.approx(fwhm, rel=0.15)
    assert edge.overshoot_percent == pytest.approx(0.0, abs=1.0)


def test_no_edge_is_measured_where_there_is_none():
    edge = measure_edge(np.zeros((1, 60, 60)), 0.5, np.full((100, 3), (0, 30, 30)), -800.0, 0.0, (3.0, 5.0))
    assert edge.count == 0
    assert np.isnan(edge.fwhm_mm)


@pytest.fixture(scope="module")
def patient():
    return synthesize(seed=9, protocol="chest", options=PhantomOptions(matrix=256, target_agatston=(0.0, 0.0)))


def test_blocks_lie_in_the_heart_and_the_scans_settings_come_out(patient):
    blocks = heart_blocks(find_regions(patient.ct))
    assert blocks
    assert np.mean([(patient.structures[block] > 0).mean() for block in blocks]) > 0.6
    measured = measure_scan(patient.ct)
    scanner = patient.truth.drawn["scanner"]
    assert measured.texture.sd_hu == pytest.approx(scanner["noise_sd"], rel=0.4)
    assert measured.tissues.heart == pytest.approx(patient.truth.drawn["tissue"]["blood"], abs=12.0)
    assert measured.tissues.fat == pytest.approx(patient.truth.drawn["tissue"]["fat"], abs=12.0)
    assert list(measured.tissues.lung) == sorted(measured.tissues.lung)


def test_scan_without_a_heart_is_refused_in_a_sentence():
    empty = CTVolume(np.full((20, 64, 64), -1000, np.int16), (3.0, 2.0, 2.0))
    with pytest.raises(InputRefusedError, match="whole heart"):
        measure_scan(empty)


def test_command_prints_measures_as_a_table_and_as_json(patient, tmp_path, capsys):
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(patient.ct.hu)
    image.SetSpacing(patient.ct.spacing_mm[::-1])
    path = tmp_path / "scan.nrrd"
    sitk.WriteImage(image, str(path))
    assert main(["realism", str(path), "--quiet", "--output", str(tmp_path / "table.md")]) == 0
    assert "noise SD, HU" in capsys.readouterr().out
    assert "| noise SD, HU |" in (tmp_path / "table.md").read_text()
    assert main(["realism", str(path), "--quiet", "--format", "json"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    assert document["texture"]["sd_hu"] > 0


def test_command_wants_scans_or_a_comparison_and_says_what_is_missing(tmp_path, capsys):
    assert main(["realism"]) == 2
    assert "--compare" in capsys.readouterr().err
    assert main(["realism", "--compare", str(tmp_path)]) == 2
    assert "nlst-101287" in capsys.readouterr().err
