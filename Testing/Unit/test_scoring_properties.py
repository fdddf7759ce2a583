"""What must hold for every scan: properties of the score under changes that do not change the calcium."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.scoring import PRESETS, score

SHAPE = (4, 6, 7)
HU = hnp.arrays(np.int16, SHAPE, elements=st.sampled_from([-50, 40, 112, 113, 129, 130, 131, 199, 200, 300, 400, 900]))
LABELS = hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 2, 2, 3, 4, 11, 13]))
PRESET = st.sampled_from(sorted(PRESETS))
SPACING = st.sampled_from([(3.0, 0.5, 0.5), (1.25, 0.4, 0.7), (2.5, 0.977, 0.977), (5.0, 0.3, 0.3)])

fast = settings(max_examples=40, deadline=None)


def scored(hu, labels, spacing, preset, **options):
    return score(CTVolume(hu, spacing, acquisition=Acquisition(kvp=120)), labels, preset=preset, **options)


def scores(result):
    return {"total": result.total, **result.vessels, **result.non_coronary}


@fast
@given(HU, LABELS, SPACING, PRESET)
def test_total_is_the_sum_of_the_vessels(hu, labels, spacing, preset):
    result = scored(hu, labels, spacing, preset)
    for name in ("agatston", "volume_mm3", "mass_mg", "lesions", "voxels"):
        assert getattr(result.total, name) == sum(getattr(vessel, name) for vessel in result.vessels.values())


@fast
@given(HU, LABELS, SPACING, PRESET)
def test_vessels_are_the_sum_of_their_lesions(hu, labels, spacing, preset):
    result = scored(hu, labels, spacing, preset)
    for name, vessel in {**result.vessels, **result.non_coronary}.items():
        lesions = [lesion for lesion in result.lesions if lesion.vessel == name]
        assert vessel.lesions == len(lesions)
        assert vessel.agatston == pytest.approx(sum(lesion.agatston for lesion in lesions))
        assert vessel.mass_mg == pytest.approx(sum(lesion.mass_mg for lesion in lesions))


@fast
@given(HU, LABELS, SPACING, PRESET)
def test_each_vessel_scores_as_if_the_others_were_not_labelled(hu, labels, spacing, preset):
    if PRESETS[preset].lm_with_lad or PRESETS[preset].resample_mm:
        return  # there, vessels are merged or compete for a slab by definition
    together = scores(scored(hu, labels, spacing, preset))
    for value, name in ((1, "LM"), (2, "LAD"), (3, "LCX"), (4, "RCA"), (11, "aorta")):
        alone = scores(scored(hu, np.where(labels == value, labels, 0).astype(np.uint8), spacing, preset))
        assert alone[name] == together[name]


@fast
@given(HU, LABELS, SPACING, PRESET, st.sampled_from([0, 1, 2]))
def test_score_does_not_change_when_an_axis_is_flipped(hu, labels, spacing, preset, axis):
    before = scores(scored(hu, labels, spacing, preset, isotropic_volume=True))
    after = scores(
        scored(np.flip(hu, axis).copy(), np.flip(labels, axis).copy(), spacing, preset, isotropic_volume=True)
    )
    assert after == before


@fast
@given(HU, LABELS, SPACING, PRESET, st.integers(0, 3), st.integers(0, 3))
def test_score_does_not_change_when_the_scan_is_moved_in_plane(hu, labels, spacing, preset, rows, columns):
    margin = ((0, 0), (rows, 3 - rows), (columns, 3 - columns))
    moved = scored(np.pad(hu, margin, constant_values=40), np.pad(labels, margin), spacing, preset)
    assert scores(moved) == scores(scored(hu, labels, spacing, preset))


@fast
@given(HU, LABELS, SPACING, PRESET, st.integers(0, 3))
def test_score_does_not_change_when_slices_are_added_at_the_ends(hu, labels, spacing, preset, below):
    if PRESETS[preset].resample_mm:
        return  # slabs are laid out from the ends of the scan
    margin = ((below, 3 - below), (0, 0), (0, 0))
    moved = scored(np.pad(hu, margin, constant_values=40), np.pad(labels, margin), spacing, preset)
    before = scored(hu, labels, spacing, preset)
    for name in ("agatston", "mass_mg", "voxels", "lesions", "density"):
        assert getattr(moved.total, name) == getattr(before.total, name)


@fast
@given(HU, LABELS, SPACING, PRESET, st.sampled_from(["scale", "resample", "none"]))
def test_voxels_below_the_threshold_do_not_matter(hu, labels, spacing, preset, mode):
    rules = PRESETS[preset]
    lowest = rules.mass_threshold_hu or 130
    kept = np.where((hu > lowest) if rules.strict else (hu >= lowest), labels, 0).astype(np.uint8)
    generous = np.where((labels == 0) & (hu < 112), 2, labels).astype(np.uint8)
    reference = scores(scored(hu, labels, spacing, preset, thickness_mode=mode))
    assert scores(scored(hu, kept, spacing, preset, thickness_mode=mode)) == reference
    assert scores(scored(hu, generous, spacing, preset, thickness_mode=mode)) == reference


@fast
@given(HU, LABELS, SPACING)
def test_density_lies_between_1_and_4_and_is_three_times_agatston_by_volume(hu, labels, spacing):
    total = scored(hu, labels, spacing, "agatston-1990").total
    if total.volume_mm3:
        assert 1 <= total.density <= 4
        assert total.density == pytest.approx(3 * total.agatston / total.volume_mm3)


@fast
@given(HU, LABELS, SPACING)
def test_a_smaller_minimum_never_lowers_the_score(hu, labels, spacing):
    values = [scored(hu, labels, spacing, "siemens", minimum_pixels=pixels).total.agatston for pixels in (1, 2, 3, 4)]
    assert values == sorted(values, reverse=True)
