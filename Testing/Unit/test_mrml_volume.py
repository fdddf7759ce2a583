from __future__ import annotations

import numpy as np
import pytest
from mrml_samples import ACQUISITION, DIRECTIONS, a_ct
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from CACScoringLib.ct.volume import Acquisition, CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.mrml.geometry import volume_ijk_to_ras
from CACScoringLib.mrml.orientation import labels_on_grid_of, orient_labels, oriented_ct
from CACScoringLib.mrml.volume import ACQUISITION_PREFIX, acquisition_of, ct_from_volume, volume_from_ct
from CACScoringLib.report.grid import ijk_to_ras


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_ct_comes_back_exactly(working, direction):
    ct = a_ct(direction)
    back = ct_from_volume(volume_from_ct(working.scene, ct))
    assert back.hu.dtype == np.int16
    assert np.array_equal(back.hu, ct.hu)
    assert back.spacing_mm == ct.spacing_mm
    assert back.origin_mm == ct.origin_mm
    assert back.direction == ct.direction
    assert back.acquisition == ct.acquisition
    assert back.findings == ct.findings


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_voxels_lie_in_ras_where_simpleitk_puts_them_in_lps(working, direction):
    import SimpleITK

    ct = a_ct(direction)
    image = SimpleITK.GetImageFromArray(ct.hu)
    image.SetSpacing(ct.spacing_mm[::-1])
    image.SetOrigin(ct.origin_mm)
    image.SetDirection(ct.direction)
    left, posterior, superior = image.TransformIndexToPhysicalPoint((9, 4, 2))
    matrix = volume_ijk_to_ras(volume_from_ct(working.scene, ct))
    assert matrix @ (9, 4, 2, 1) == pytest.approx((-left, -posterior, superior, 1.0))
    assert matrix == pytest.approx(ijk_to_ras(ct))


def test_the_node_holds_int16_in_xyz_order_and_its_own_copy(working):
    ct = a_ct()
    node = volume_from_ct(working.scene, ct)
    image = node.GetImageData()
    assert image.GetDimensions() == (14, 12, 6)
    assert image.GetScalarTypeAsString() == "short"
    assert image.GetScalarComponentAsDouble(3, 2, 1, 0) == ct.hu[1, 2, 3]
    vtk_to_numpy(image.GetPointData().GetScalars())[:] = 0
    assert ct.hu.any()


def test_kvp_is_readable_as_an_attribute_and_unknown_values_leave_none(working):
    node = volume_from_ct(working.scene, a_ct())
    assert node.GetAttribute(ACQUISITION_PREFIX + "kvp") == "120.0"
    assert node.GetAttribute(ACQUISITION_PREFIX + "gated") == "true"
    assert node.GetAttribute(ACQUISITION_PREFIX + "exposure_mas") is None
    assert acquisition_of(node) == ACQUISITION


@pytest.mark.parametrize("written", ["", "no json", '"120"', "[120]", "null"])
def test_attributes_that_make_no_sense_count_as_unknown(working, written):
    node = volume_from_ct(working.scene, a_ct())
    node.SetAttribute(ACQUISITION_PREFIX + "kvp", written)
    node.SetAttribute("CACScoring.Findings", written)
    assert acquisition_of(node).kvp is None
    assert ct_from_volume(node).findings == ()


def test_a_view_shares_the_nodes_voxels_and_cannot_be_written(working):
    node = volume_from_ct(working.scene, a_ct())
    view = ct_from_volume(node, copy=False).hu
    vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())[0] = 77
    assert view[0, 0, 0] == 77
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0, 0] = 1


def node_with(working, voxels):
    node = volume_from_ct(working.scene, a_ct())
    node.GetImageData().GetPointData().SetScalars(numpy_to_vtk(voxels.ravel(), deep=True))
    return node


def test_whole_numbers_of_another_type_become_int16_without_a_word(working):
    voxels = a_ct().hu.astype(np.float32)
    back = ct_from_volume(node_with(working, voxels))
    assert np.array_equal(back.hu, voxels)
    assert [finding.code for finding in back.findings] == ["series-chosen"]


def test_fractions_and_values_out_of_range_are_rounded_with_a_finding(working):
    voxels = np.full(a_ct().shape, 129.6)
    voxels[0, 0, :3] = 1e6, -1e6, 130.4
    back = ct_from_volume(node_with(working, voxels))
    assert back.hu[1, 0, 0] == 130
    assert back.hu[0, 0, :3].tolist() == [32767, -32768, 130]
    assert back.findings[-1].code == "hu-rounded"


def test_volumes_that_are_no_ct_are_refused(working):
    voxels = np.zeros(a_ct().shape)
    voxels[0, 0, 0] = np.nan
    with pytest.raises(InputRefusedError, match="no numbers"):
        ct_from_volume(node_with(working, voxels))
    with pytest.raises(InputRefusedError, match="no CT voxels"):
        ct_from_volume(working.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty"))


def test_a_given_acquisition_replaces_what_the_node_says(working):
    node = volume_from_ct(working.scene, a_ct())
    assert ct_from_volume(node, acquisition=Acquisition(kvp=80.0)).acquisition == Acquisition(kvp=80.0)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_turning_to_lps_moves_voxels_but_changes_neither_values_nor_places(direction):
    ct = a_ct(direction)
    turned = oriented_ct(ct)
    assert np.array_equal(np.sort(turned.hu, axis=None), np.sort(ct.hu, axis=None))
    assert (np.diag(np.reshape(turned.direction, (3, 3))) > 0.9).all()
    z, y, x = (int(i) for i in np.argwhere(ct.hu == ct.hu[1, 2, 3])[0])
    where = np.argwhere(turned.hu == ct.hu[z, y, x])[0]
    assert ijk_to_ras(turned) @ (*where[::-1], 1) == pytest.approx(ijk_to_ras(ct) @ (x, y, z, 1))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_labels_turn_with_the_ct_and_back(direction):
    ct = a_ct(direction)
    labels = (ct.hu.view(np.uint16) % 251).astype(np.uint8)
    turned = orient_labels(labels, ct)
    assert np.array_equal(turned, (oriented_ct(ct).hu.view(np.uint16) % 251).astype(np.uint8))
    assert np.array_equal(labels_on_grid_of(turned, ct), labels)


def test_labels_of_a_permuted_sagittal_grid_come_back():
    sagittal = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    hu = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    ct = CTVolume(hu, (3.0, 1.0, 0.5), direction=tuple(sagittal.ravel()))
    labels = hu.astype(np.uint8)
    turned = oriented_ct(ct)
    assert turned.shape == (3, 4, 2)
    assert turned.spacing_mm == (1.0, 0.5, 3.0)
    assert np.array_equal(labels_on_grid_of(orient_labels(labels, ct), ct), labels)
