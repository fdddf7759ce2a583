from __future__ import annotations

import json
import pickle

import pytest
import torch

from CACScoringLib.methods.registry import METHODS
from CACScoringLib.models import ModelError, find_model, load_weights, open_bundle, shipped_models, write_bundle


@pytest.fixture
def a_bundle(tmp_path):
    state = {"weight": torch.tensor([1.5, -2.0]), "count": torch.tensor(3)}
    return write_bundle(
        tmp_path / "small",
        state,
        settings={"method": "multibranch-unet"},
        metadata={"version": "1"},
        card="# card",
        licence="free",
    )


def test_a_written_bundle_is_read_back(a_bundle):
    again = open_bundle(a_bundle.folder)
    assert again.method == "multibranch-unet"
    assert again.card == "# card"
    assert load_weights(again)["weight"].tolist() == [1.5, -2.0]
    assert load_weights(again)["weight"].dtype == torch.float32
    assert load_weights(again)["count"].item() == 3


def test_changed_weights_are_refused(a_bundle):
    path = a_bundle.folder / "models" / "model.pt"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="do not match their checksum"):
        open_bundle(a_bundle.folder)


def test_a_pickle_in_place_of_weights_is_never_executed(a_bundle, tmp_path):
    witness = tmp_path / "executed"

    class Hostile:
        def __reduce__(self):
            return (open, (str(witness), "w"))

    path = a_bundle.folder / "models" / "model.pt"
    path.write_bytes(pickle.dumps(Hostile()))
    metadata = a_bundle.folder / "configs" / "metadata.json"
    content = json.loads(metadata.read_text())
    from CACScoringLib.models.bundle import sha256_of

    content["cacscoring"]["sha256"] = sha256_of(path)
    metadata.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="cannot be read"):
        load_weights(open_bundle(a_bundle.folder))
    assert not witness.exists()


def test_missing_weights_and_broken_metadata_say_what_to_do(a_bundle):
    (a_bundle.folder / "models" / "model.pt").unlink()
    with pytest.raises(ModelError, match="has no weights"):
        open_bundle(a_bundle.folder)
    (a_bundle.folder / "configs" / "metadata.json").write_text("{")
    with pytest.raises(ModelError, match="get the model again"):
        open_bundle(a_bundle.folder)


def test_an_unknown_model_lists_those_that_exist():
    with pytest.raises(ModelError, match="multibranch-unet"):
        find_model("no-such-model")


def test_a_folder_without_a_bundle_says_what_is_missing(tmp_path):
    (tmp_path / "models").mkdir()
    with pytest.raises(ModelError, match=r"holds no model bundle: it has no configs/metadata\.json") as refused:
        find_model(str(tmp_path))
    assert f"The folder '{tmp_path}'" in str(refused.value)


def test_every_shipped_model_is_whole_small_and_says_what_it_was_trained_on():
    folders = shipped_models()
    assert [f.name for f in folders] == sorted(method.model for method in METHODS.values())
    assert sum((folder / "models" / "model.pt").stat().st_size for folder in folders) <= 40e6
    for folder in folders:
        bundle = open_bundle(folder)
        assert bundle.method == next(method.name for method in METHODS.values() if method.model == folder.name)
        assert (folder / "models" / "model.pt").stat().st_size <= 10e6
        assert "synthetic patients only" in bundle.card
        for key in ("version", "monai_version", "pytorch_version", "task", "network_data_format"):
            assert key in bundle.metadata
