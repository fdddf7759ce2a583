"""Somebody else's network: declared, imported whole or not at all, and run as declared."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet

from CACScoringLib.cli import main
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.findings import InputRefusedError
from CACScoringLib.inference.grids import ct_grid
from CACScoringLib.inference.windows import CancelledError
from CACScoringLib.methods import available, predict
from CACScoringLib.methods.imported import label_voxels, predict_imported, scaled, slide
from CACScoringLib.models import MODELS_VARIABLE, ModelError, import_model, open_bundle
from CACScoringLib.models.bundle import METADATA, WEIGHTS, sha256_of
from CACScoringLib.models.declaration import Declaration, read_declaration
from CACScoringLib.models.foreign import TRUSTED, import_foreign

SPACING = (3.0, 1.0, 1.0)
ARGUMENTS = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
DECLARATION = {
    "labels": {"1": "LAD", "2": "RCA"},
    "input": {"hu_window": [-1000, 1000], "scale_to": [-1, 1], "patch_size": [16, 16, 16], "overlap": 0.25},
}


class LeftAndRight(torch.nn.Module):
    """Channel 1 where x is below the middle of the patch and bright, channel 2 where it is above; else channel 0."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = (x > 0.1).float()
        side = torch.linspace(-1.0, 1.0, x.shape[4]).view(1, 1, 1, 1, -1)
        return torch.cat((0.5 - bright, bright * -side, bright * side), 1) * 20.0


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine"


@pytest.fixture
def declared(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(DECLARATION))
    return path


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "Two Sides.pt"
    torch.jit.script(LeftAndRight()).save(str(path))
    return path


def a_monai_bundle(folder, definition=None, state=None):
    network = UNet(**ARGUMENTS)
    for part in ("models", "configs"):
        (folder / part).mkdir(parents=True)
    torch.save(state or network.state_dict(), folder / "models" / "model.pt")
    (folder / "configs" / "metadata.json").write_text(json.dumps({"version": "0.1", "authors": "somebody"}))
    definition = definition or {"_target_": "UNet", **ARGUMENTS}
    (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": definition, "x": "$import os"}))
    (folder / "LICENSE").write_text("their terms")
    return folder, network.eval()


def a_ct():
    hu = np.full((16, 16, 16), 0, np.int16)
    hu[8, 8, 3] = hu[8, 9, 3] = 400
    hu[8, 8, 12] = 300
    hu[4, 4, 4] = 120
    return CTVolume(hu, SPACING)


def test_torchscript_is_not_touched_without_a_word_of_trust(store, script, declared):
    with pytest.raises(ModelError, match="a program that runs with your rights"):
        import_foreign(script, declared)
    assert not store.exists() or not [p for p in store.iterdir() if not p.name.startswith(".")]


def test_trusted_torchscript_is_imported_and_labels_what_is_declared(store, script, declared):
    bundle = import_foreign(script, declared, trust_torchscript=True)
    assert (bundle.id, bundle.method) == ("two-sides", "imported")
    assert bundle.sha256 == sha256_of(script)
    assert "not made by this project" in bundle.card
    out = predict(a_ct(), "imported")
    expected = np.zeros((16, 16, 16), np.uint8)
    expected[8, 8:10, 3], expected[8, 8, 12] = 2, 4
    np.testing.assert_array_equal(out.labels, expected)
    assert out.lesion_index[8, 8, 3] == out.lesion_index[8, 9, 3] != out.lesion_index[8, 8, 12]
    assert len(out.lesion_probability) == 2
    assert out.lesion_probability.min() > 0.9
    assert (out.model_id, out.model_sha256) == (bundle.id, bundle.sha256)
    assert [f.code for f in out.findings] == ["imported-model"]
    assert [info.name for info in available()][-1] == "imported"


def test_a_bundle_cannot_bring_its_own_trust(store, script, declared, tmp_path, monkeypatch):
    bundle = import_foreign(script, declared, trust_torchscript=True)
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "of somebody else"))
    import_model(bundle.folder)
    with pytest.raises(ModelError, match="have not said to trust"):
        predict(a_ct(), "imported", model=bundle.id)
    (bundle.folder / TRUSTED).write_text(bundle.sha256)
    with pytest.raises(ModelError, match="have not said to trust"):
        predict(a_ct(), "imported", model=bundle.folder)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_monai_bundle_runs_without_trust_and_gives_its_networks_labels(store, declared, tmp_path, wrapped):
    folder, network = a_monai_bundle(tmp_path / "theirs")
    if wrapped:
        torch.save({"model": network.state_dict(), "epoch": 3}, folder / "models" / "model.pt")
    bundle = import_foreign(folder, declared, name="theirs-1")
    assert bundle.settings["network"]["class"] == "UNet"
    assert bundle.metadata["authors"] == "somebody"
    assert (bundle.folder / "LICENSE").read_text() == "their terms"
    ct = a_ct()
    declaration = read_declaration(declared)
    with torch.inference_mode():
        image = torch.from_numpy(scaled(ct.hu, declaration))[None, None]
        channel = network(image)[0].argmax(0).numpy()
    expected = np.where(ct.hu >= 130, np.array([0, 2, 4])[channel], 0)
    np.testing.assert_array_equal(predict(ct, "imported", model="theirs-1").labels, expected)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("definition", "says"),
    [
        ({"_target_": "os.system", "command": "true"}, "known are AttentionUnet"),
        ({"_target_": "monai.bundle.ConfigParser"}, "known are AttentionUnet"),
        ({"_target_": "UNet", **ARGUMENTS, "act": "$__import__('os').getcwd()"}, "not plain"),
        ({"_target_": "UNet", **ARGUMENTS, "norm": "@other"}, "not plain"),
        ({"_target_": "UNet", **ARGUMENTS, "_mode_": "debug"}, "not plain"),
        ({"_target_": "UNet", **ARGUMENTS, "channels": [1e9, 8]}, "not plain"),
        ({"_target_": "UNet", **ARGUMENTS, "channels": [4096, 4096]}, "not those of the network"),
        ({"_target_": "UNet", "unknown": 1}, "cannot be built"),
    ],
)
def test_configurations_that_ask_for_more_than_a_known_network_are_refused(store, declared, tmp_path, definition, says):
    folder, _ = a_monai_bundle(tmp_path / "theirs", definition)
    with pytest.raises(ModelError, match=says):
        import_foreign(folder, declared)
    assert not store.exists() or not [p for p in store.iterdir() if not p.name.startswith(".")]


def test_weights_that_would_execute_are_not_loaded(store, declared, tmp_path, capfd):
    folder, _ = a_monai_bundle(tmp_path / "theirs", state={"weight": Evil()})
    with pytest.raises(ModelError, match="more than tensors"):
        import_foreign(folder, declared)
    assert "executed" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("change", "says", "kind"),
    [
        ({"labels": {"7": "LAD"}}, "names channel 7; the network has 3", ModelError),
        ({"labels": {}}, "declares no labels", InputRefusedError),
        ({"labels": {"1": "heart"}}, "choose one of background", InputRefusedError),
        ({"input": {"spacing_mm": [0, 1, 1]}}, "spacing_mm must be 3 numbers", InputRefusedError),
        ({"input": {"hu_window": [300, -200]}}, "lower and then the upper", InputRefusedError),
        ({"input": {"patch_size": [16, 16]}}, "patch_size must be 3 numbers", InputRefusedError),
        ({"input": {"axes": "zxy"}}, "axes must be one of zyx, xyz", InputRefusedError),
        ({"input": {"spacing": [1, 1, 1]}}, "'input' may declare", InputRefusedError),
        ({"output": {"activation": "relu"}}, "activation must be one of", InputRefusedError),
    ],
)
def test_declarations_that_do_not_fit_are_said_at_once(store, declared, script, change, says, kind):
    declared.write_text(json.dumps({**DECLARATION, **change}))
    with pytest.raises(kind, match=says):
        import_foreign(script, declared, trust_torchscript=True)


def test_files_that_are_no_network_and_huge_ones_are_refused(store, declared, tmp_path, monkeypatch):
    path = tmp_path / "net.pt"
    path.write_bytes(b"no network")
    with pytest.raises(ModelError, match="neither a MONAI bundle nor a TorchScript file"):
        import_foreign(path, declared)
    torch.save(UNet(**ARGUMENTS).state_dict(), path)
    with pytest.raises(ModelError, match="model bundles, not one"):
        import_foreign(path, declared)
    monkeypatch.setattr("CACScoringLib.models.foreign.LARGEST_WEIGHTS_BYTES", 100)
    with pytest.raises(ModelError, match="larger than any network"):
        import_foreign(path, declared)


def test_hu_are_clipped_and_mapped_as_declared():
    declaration = Declaration({1: "LAD"}, hu_window=(-100.0, 300.0), scale_to=(0.0, 2.0))
    np.testing.assert_allclose(scaled(np.array([-500, -100, 100, 300, 900]), declaration), [0, 0, 1, 2, 2])


@pytest.mark.parametrize("axes", ["zyx", "xyz"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS"])
def test_the_network_sees_the_declared_orientation_and_its_labels_come_back(axes, orientation):
    """A network that marks the first voxel of its input: where that lies in the CT says what it saw."""
    shape = (8, 10, 12)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seen = []

    def first_voxel(patch):
        seen.append(patch.clone())
        out = torch.zeros((1, 2, *patch.shape[2:]))
        out[0, 1, 0, 0, 0] = 50.0
        return out

    size = (8, 10, 12)
    declaration = Declaration({1: "LAD"}, patch_size=size, axes=axes, orientation=orientation)
    probability = slide(image, first_voxel, declaration)
    marked = np.unravel_index(probability[1].argmax(), shape)
    assert marked == ((0, 9, 11) if orientation == "RAS" else (0, 0, 0))
    assert tuple(seen[0].shape[2:]) == (shape if axes == "zyx" else shape[::-1])
    assert float(seen[0][0, 0, 0, 0, 0]) == pytest.approx(float(image[marked]))


def test_resampling_puts_labels_where_the_ct_has_them(tmp_path, store, script):
    declaration = {**DECLARATION, "input": {**DECLARATION["input"], "spacing_mm": [1.5, 1.0, 1.0]}}
    path = tmp_path / "map.json"
    path.write_text(json.dumps(declaration))
    import_foreign(script, path, trust_torchscript=True)
    labels = predict(a_ct(), "imported").labels
    assert (labels[8, 8, 3], labels[8, 8, 12], labels[4, 4, 4]) == (2, 4, 0)


def test_sigmoid_channels_below_one_half_are_background():
    ct = a_ct()
    probability = np.zeros((2, *ct.shape), np.float32)
    probability[1] = 0.4
    probability[1, :, :, 12] = 0.6
    declaration = Declaration({1: "LCX"}, activation="sigmoid")
    labels, index, sure = label_voxels(ct, probability, ct_grid(ct.shape, ct.spacing_mm), declaration, 130)
    assert (labels[8, 8, 3], labels[8, 8, 12]) == (0, 3)
    assert index.max() == 1
    np.testing.assert_allclose(sure, [0.6], rtol=1e-6)


def test_progress_rises_to_one_and_cancelling_stops(store, script, declared):
    bundle = import_foreign(script, declared, trust_torchscript=True)
    ct = CTVolume(np.zeros((20, 40, 40), np.int16), SPACING)
    seen = []
    predict_imported(ct, bundle=bundle, progress=lambda fraction, text: seen.append(fraction))
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == (0.0, 1.0)
    with pytest.raises(CancelledError):
        predict_imported(ct, bundle=bundle, cancelled=lambda: True)


def test_the_command_line_imports_scores_and_refuses(store, script, declared, tmp_path, capsys):
    words = ["models", "import", str(script), "--label-map", str(declared)]
    assert main(words) == 2
    assert "--trust-torchscript" in capsys.readouterr().err
    assert main([*words, "--trust-torchscript", "--name", "two-sides"]) == 0
    assert "Imported two-sides (method imported" in capsys.readouterr().out
    assert main([*words, "--trust-torchscript", "--name", "two-sides"]) == 2
    assert "imported before" in capsys.readouterr().err
    assert main(["models", "list", "--format", "json"]) == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)][-1] == "two-sides"


def test_a_name_that_leaves_the_folder_of_models_is_refused_before_anything_is_written(
    store, script, declared, tmp_path
):
    for name in ("../evil", str(tmp_path / "evil"), "Two Sides"):
        with pytest.raises(ModelError, match="is no id for a model"):
            import_foreign(script, declared, name=name, trust_torchscript=True)
    assert not list(tmp_path.rglob("evil"))


def test_imported_without_a_model_or_with_several_says_what_to_do(store, script, declared):
    with pytest.raises(ModelError, match="No network was imported"):
        predict(a_ct(), "imported")
    for name in ("a", "b"):
        import_foreign(script, declared, name=name, trust_torchscript=True)
    with pytest.raises(ModelError, match="choose one of a, b"):
        predict(a_ct(), "imported")
    assert (open_bundle("a").folder / WEIGHTS).is_file()
    assert (open_bundle("a").folder / METADATA).is_file()
