"""Contrast agent is measured in the blood, not read from tags."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ct_scans import DATA, SPACING, chest

from CACScoringLib.ct import CTVolume, load_ct
from CACScoringLib.ct.contrast import measure_contrast
from CACScoringLib.findings import InputRefusedError


def measured(hu, spacing=SPACING):
    return measure_contrast(CTVolume(np.clip(hu, -1024, 3071).astype(np.int16), spacing))


def mesh(shape=(40, 64, 64)):
    return np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")


@pytest.mark.parametrize("blood", [30, 45, 65, 77])
def test_unenhanced_blood_of_any_haemoglobin_is_not_contrast(blood):
    assert not measured(chest(blood=blood)).enhanced


@pytest.mark.parametrize("blood", [130, 200, 350, 600])
def test_enhanced_blood_is_found_and_measured(blood):
    result = measured(chest(blood=blood))
    assert result.enhanced
    assert result.mean_hu == pytest.approx(blood, abs=15)
    assert result.volume_ml > 25


@pytest.mark.parametrize("noise", [30, 60])
def test_noise_neither_hides_nor_makes_contrast(noise):
    rng = np.random.default_rng(3)
    shape, spacing = (40, 256, 256), (3.0, 1.0, 1.0)
    for blood in (40, 200):
        hu = np.repeat(np.repeat(chest(blood=blood), 4, axis=1), 4, axis=2) + rng.normal(0, noise, shape)
        assert measured(hu, spacing).enhanced == (blood == 200)


def test_vertebral_bodies_in_their_cortex_are_not_contrast():
    z, y, x = mesh()
    hu = chest().astype(float)
    spine = (x / 0.2) ** 2 + ((y - 0.48) / 0.16) ** 2 < 1
    marrow = (x / 0.16) ** 2 + ((y - 0.48) / 0.12) ** 2 < 1
    hu[spine] = 500
    hu[marrow] = 220
    hu[(np.abs((z * 4) % 1) < 0.15) & spine] = 90  # discs
    assert not measured(hu).enhanced


def test_heavy_calcium_and_metal_are_not_contrast():
    z, y, x = mesh()
    hu = chest().astype(float)
    aortic_wall = np.abs(np.hypot(x - 0.1, y + 0.1) - 0.18) < 0.03
    hu[aortic_wall & (np.abs(z) < 0.5)] = 700
    hu[(np.hypot(x + 0.2, y + 0.3) < 0.05) & (np.abs(z) < 0.8)] = 3000
    assert not measured(hu).enhanced


def test_bright_regions_outside_the_lungs_are_not_blood():
    z, y, x = mesh()
    hu = chest().astype(float)
    implant = ((np.abs(x) - 0.55) / 0.25) ** 2 + ((y + 0.75) / 0.15) ** 2 + (z / 0.7) ** 2 < 1
    hu[implant] = 130  # silicone
    assert not measured(hu).enhanced


def test_a_cropped_field_of_view_without_outer_lung_is_judged_too():
    for blood, enhanced in ((40, False), (300, True)):
        hu = chest((40, 128, 128), blood=blood)[:, 20:100, 36:104]
        assert measured(hu, (3.0, 2.0, 2.0)).enhanced is enhanced


def test_three_hundred_slices_take_less_than_half_a_second_of_processor_time():
    hu = np.repeat(np.repeat(np.repeat(chest(), 8, axis=0)[:300], 8, axis=1), 8, axis=2)
    ct = CTVolume(hu, (1.0, 0.7, 0.7))
    times = []
    for _ in range(3):
        start = time.process_time()
        measure_contrast(ct)
        times.append(time.process_time() - start)
    assert min(times) < 0.5


@pytest.mark.real
@pytest.mark.parametrize("name", ["heart_cta_crop_1.5mm.nii.gz", "aorta_cta_crop_1.5mm.nii.gz"])
def test_real_cta_is_refused(name):
    path = DATA / "cta-crop" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with pytest.raises(InputRefusedError) as caught:
        load_ct(path)
    assert caught.value.finding.code == "contrast-enhanced"
    ct = load_ct(path, allow_contrast=True)
    assert ct.acquisition.contrast is True
    assert measure_contrast(ct).mean_hu == pytest.approx(495, abs=5)


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "shape", "spacing", "kvp", "expected"),
    [
        (
            "acrin-petct-042",
            (135, 512, 512),
            (3.27, 0.976562, 0.976562),
            140.0,
            ["padding", "increment-differs", "overlapping-slices"],
        ),
        ("nlst-101287", (143, 512, 512), (2.0, 0.54, 0.54), 120.0, []),
        ("qrm-phantom-canon", (47, 512, 512), (3.0, 0.488, 0.488), 120.0, []),
    ],
)
def test_real_scans_without_contrast_are_accepted(name, shape, spacing, kvp, expected):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    ct = load_ct(path)
    assert ct.shape == shape
    assert ct.spacing_mm == pytest.approx(spacing, abs=1e-6)
    assert ct.acquisition.kvp == kvp
    assert ct.acquisition.contrast is False
    assert [item.code for item in ct.findings] == expected
    assert ct.hu.min() == -1024
    if name == "acrin-petct-042":  # slices are counted from caudal, rows from anterior, columns from the right
        assert ct.hu[64:68, 180:212, 272:304].max() == 541  # left coronary, z 64-67, x 288 y 196
        assert ct.hu[61:67, 168:200, 233:265].max() == 782  # right coronary ostium, z 61-66, x 249 y 184
