"""The heart from TotalSegmentator, by an injected segmenter: no TotalSegmentator is needed here."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from CACScoringLib.cli import main
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.inference.heart import coarse_volume, heart_finder, heart_region, largest_heart, network_heart
from CACScoringLib.inference.totalsegmentator import TotalSegmentatorHeart, run_totalsegmentator, structures_from
from CACScoringLib.methods import predict
from CACScoringLib.models import ModelError
from CACScoringLib.vocabulary import Structure

SPACING = (4.0, 2.0, 2.0)


def a_ct():
    hu = np.full((30, 100, 100), 30, np.int16)
    return CTVolume(hu, SPACING, (-100.0, -100.0, 50.0))


def masks():
    """A heart of 20 x 60 x 60 voxels and an aorta beside it."""
    heart, aorta = np.zeros((30, 100, 100), bool), np.zeros((30, 100, 100), bool)
    heart[5:25, 20:80, 20:80] = True
    aorta[5:29, 80:92, 40:50] = True
    return {"heart": heart, "aorta": aorta, "liver": ~heart}


def no_network():
    raise AssertionError("the coarse branch is not asked where the chambers are known")


def branch(shape):
    """The coarse branch: left ventricle in the half with large x, right ventricle in the other, nothing else."""
    out = np.zeros((8, *shape), np.float32)
    out[Structure.LEFT_VENTRICLE, :, :, shape[2] // 2 :] = 0.8
    out[Structure.RIGHT_VENTRICLE, :, :, : shape[2] // 2] = 0.6
    out[0] = 1 - out[1:].sum(axis=0)
    return out


def test_a_whole_heart_is_divided_as_the_coarse_branch_would():
    ct = a_ct()
    hu, coarse = coarse_volume(ct)
    probability = TotalSegmentatorHeart(lambda _: masks())(ct, hu, coarse, lambda: branch(coarse.shape))
    np.testing.assert_allclose(probability.sum(axis=0), 1.0, atol=1e-5)
    labels = largest_heart(probability)
    assert labels[15, 25, 30] == Structure.LEFT_VENTRICLE
    assert labels[15, 25, 15] == Structure.RIGHT_VENTRICLE
    assert labels[15, 43, 22] == Structure.AORTA
    assert labels[15, 25, 3] == 0
    inside = np.isin(labels, (Structure.LEFT_VENTRICLE, Structure.RIGHT_VENTRICLE))
    assert np.count_nonzero(inside) * 64 == pytest.approx(20 * 60 * 60 * 16, rel=0.1)


def test_chambers_that_are_named_need_no_coarse_branch():
    left, right = np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.float32)
    left[:2], right[2:] = 1.0, 1.0
    share = {"heart_ventricle_left": left, "heart_atrium_right": right, "heart": np.ones((4, 4, 4), np.float32)}
    labels = structures_from(share, (4, 4, 4), no_network).argmax(axis=0)
    assert set(np.unique(labels[:2])) == {Structure.LEFT_VENTRICLE}
    assert set(np.unique(labels[2:])) == {Structure.RIGHT_ATRIUM}


def test_voxels_without_an_opinion_go_to_the_nearest_chamber():
    network = np.zeros((8, 1, 1, 9), np.float32)
    network[0] = 1.0
    network[:, 0, 0, 1] = np.eye(8)[Structure.RIGHT_VENTRICLE]
    network[:, 0, 0, 7] = np.eye(8)[Structure.LEFT_VENTRICLE]
    share = {"heart": np.ones((1, 1, 9), np.float32)}
    labels = structures_from(share, (1, 1, 9), lambda: network).argmax(axis=0)[0, 0]
    assert list(labels[:4]) == [Structure.RIGHT_VENTRICLE] * 4
    assert list(labels[5:]) == [Structure.LEFT_VENTRICLE] * 4


def test_a_heart_that_the_coarse_branch_misses_is_still_searched():
    """Calcium is looked for round the heart even where the network saw none."""
    nothing = np.zeros((8, 6, 6, 6), np.float32)
    nothing[0] = 1.0
    labels = structures_from({"heart": np.ones((6, 6, 6), np.float32)}, (6, 6, 6), lambda: nothing).argmax(axis=0)
    assert set(np.unique(labels)) == {Structure.MYOCARDIUM}


def test_no_heart_is_no_heart():
    share = {"heart": np.zeros((6, 6, 6), np.float32), "aorta": np.zeros((6, 6, 6), np.float32)}
    assert structures_from(share, (6, 6, 6), no_network).argmax(axis=0).max() == 0


def test_masks_of_another_grid_are_refused():
    ct = a_ct()
    hu, coarse = coarse_volume(ct)
    with pytest.raises(ModelError, match="does not lie on the scan's grid"):
        TotalSegmentatorHeart(lambda _: {"heart": np.ones((2, 2, 2), bool)})(ct, hu, coarse, no_network)


def test_the_region_follows_the_heart_that_was_found():
    ct = a_ct()
    hu, coarse = coarse_volume(ct)
    probability = TotalSegmentatorHeart(lambda _: masks())(ct, hu, coarse, lambda: branch(coarse.shape))
    region = heart_region(largest_heart(probability), coarse)
    assert region[15, 25, 25]
    assert not region[15, 25, 2]


def test_without_totalsegmentator_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "totalsegmentator", None)
    monkeypatch.setitem(sys.modules, "totalsegmentator.map_to_binary", None)
    with pytest.raises(ModelError, match="is not installed in this Python: install it yourself"):
        predict(a_ct(), heart="totalsegmentator")


def test_the_command_line_says_so_too(monkeypatch, tmp_path, capsys):
    from small_scan import write_small_scan

    monkeypatch.setitem(sys.modules, "totalsegmentator", None)
    scan = write_small_scan(tmp_path / "ct.nrrd")
    assert main(["score", str(scan), "--heart", "totalsegmentator"]) == 2
    error = capsys.readouterr().err
    assert "TotalSegmentator is not installed" in error
    assert error.count("\n") == 1


@pytest.fixture
def fake_package(monkeypatch):
    """Modules in the place of TotalSegmentator's; ``calls`` holds what they were asked."""
    package, api, names = (ModuleType(f"totalsegmentator{end}") for end in ("", ".python_api", ".map_to_binary"))
    names.class_map = {"total": {5: "liver", 51: "heart", 52: "aorta", 61: "atrial_appendage_left"}}
    calls = []

    def totalsegmentator(source, target, **options):
        calls.append(options)
        sys.stdout.write("If you use this tool please cite ...")
        image = sitk.ReadImage(str(source))
        values = np.zeros(image.GetSize()[::-1], np.uint8)
        values[5:25, 20:80, 20:80], values[5:29, 80:92, 40:50] = 51, 52
        out = sitk.GetImageFromArray(values)
        out.CopyInformation(image)
        sitk.WriteImage(sitk.DICOMOrient(out, "RAS"), str(target))

    api.totalsegmentator = totalsegmentator
    for module in (package, api, names):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    api.calls = calls
    return api


def test_the_installed_package_is_asked_for_the_heart_alone_and_its_output_is_brought_back(fake_package, capsys):
    found = run_totalsegmentator(a_ct())
    (options,) = fake_package.calls
    assert options["task"] == "total"
    assert options["roi_subset"] == ["heart", "aorta", "atrial_appendage_left"]
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(found["heart"], masks()["heart"])
    np.testing.assert_array_equal(found["aorta"], masks()["aorta"])


@pytest.mark.parametrize("error", [RuntimeError("no space left"), SystemExit(1)])
def test_its_failures_become_one_sentence(fake_package, error):
    def fail(*_, **__):
        raise error

    fake_package.totalsegmentator = fail
    with pytest.raises(ModelError, match="TotalSegmentator failed"):
        run_totalsegmentator(a_ct())


def test_the_result_says_who_found_the_heart(fake_package):
    findings = [f.code for f in predict(a_ct(), heart="totalsegmentator").findings]
    assert "heart-totalsegmentator" in findings
    assert "heart-totalsegmentator" not in [f.code for f in predict(a_ct()).findings]


def test_the_network_is_the_default_and_others_are_not_known():
    assert heart_finder("network") is network_heart
    with pytest.raises(ValueError, match="network, totalsegmentator"):
        heart_finder("somebody")
    with pytest.raises(ModelError, match="choose one of network"):
        predict(a_ct(), heart="somebody")
