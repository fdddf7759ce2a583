"""Models from elsewhere: imported whole or not at all, chosen by id, removed again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from CACScoringLib.cli import main
from CACScoringLib.methods.registry import METHODS
from CACScoringLib.models import (
    MODELS_VARIABLE,
    ModelError,
    find_model,
    import_model,
    installed_models,
    remove_model,
    user_models_dir,
)
from CACScoringLib.models.bundle import METADATA, WEIGHTS, sha256_of

SHIPPED = sorted(method.model for method in METHODS.values())


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty folder of imported models."""
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "mine"))
    return tmp_path / "mine"


def a_bundle(folder: Path, weights: bytes = b"weights") -> Path:
    """A bundle with anything for weights: nothing here loads them."""
    for name in (METADATA, WEIGHTS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / WEIGHTS).write_bytes(weights)
    settings = {"method": "multibranch-unet", "sha256": sha256_of(folder / WEIGHTS)}
    (folder / METADATA).write_text(json.dumps({"version": "2", "cacscoring": settings}))
    return folder


def zipped(folder: Path, path: Path, root: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, root + file.relative_to(folder).as_posix())
    return path


def test_an_imported_model_is_chosen_by_its_id_and_can_be_removed(store, tmp_path):
    bundle = import_model(a_bundle(tmp_path / "site-a"))
    assert (bundle.id, bundle.folder) == ("site-a", store / "site-a")
    assert find_model("site-a") == store / "site-a"
    assert [folder.name for folder in installed_models()] == [*SHIPPED, "site-a"]
    assert remove_model("site-a") == store / "site-a"
    assert not (store / "site-a").exists()
    with pytest.raises(ModelError, match="no model 'site-a'"):
        find_model("site-a")


@pytest.mark.parametrize("root", ["", "site-b/"])
def test_a_zip_file_may_hold_the_bundle_or_its_folder(store, tmp_path, root):
    path = zipped(a_bundle(tmp_path / "x"), tmp_path / "site-b.zip", root)
    assert import_model(path).id == "site-b"
    assert (store / "site-b" / WEIGHTS).read_bytes() == b"weights"


def left_in(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir()) if store.is_dir() else []


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ("weights", "do not match their checksum"),
        ("metadata", "cannot be read"),
        ("no weights", "has no weights"),
        ("no bundle", "holds 0 model bundles"),
        ("no file", "There is no file or folder '.*nothing' to import"),
        ("another file", "neither the folder"),
        ("bad name", "is no id"),
        ("shipped name", "ships with CACScoring"),
    ],
)
def test_what_is_no_whole_bundle_leaves_nothing_behind(store, tmp_path, damage, says):
    names = {"bad name": "Site A", "shipped name": "multibranch-unet"}
    folder = a_bundle(tmp_path / names.get(damage, "site"))
    if damage == "weights":
        (folder / WEIGHTS).write_bytes(b"changed")
    elif damage == "metadata":
        (folder / METADATA).write_text("{")
    elif damage == "no weights":
        (folder / WEIGHTS).unlink()
    elif damage == "no bundle":
        (folder / METADATA).unlink()
    elif damage == "no file":
        folder = tmp_path / "nothing"
    elif damage == "another file":
        folder = folder / METADATA
    with pytest.raises(ModelError, match=says):
        import_model(folder)
    assert left_in(store) == []


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "a/../../evil", "C:evil", "a\\..\\..\\evil"])
def test_a_zip_file_that_names_files_outside_itself_is_not_unpacked(store, tmp_path, name):
    path = zipped(a_bundle(tmp_path / "x"), tmp_path / "site.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "evil")
    with pytest.raises(ModelError, match="outside itself"):
        import_model(path)
    assert left_in(store) == []
    assert not (tmp_path / "evil").exists()


def test_a_damaged_zip_file_and_a_huge_one_are_refused(store, tmp_path, monkeypatch):
    path = zipped(a_bundle(tmp_path / "x"), tmp_path / "site.zip")
    path.write_bytes(path.read_bytes().replace(b"weights", b"wEights"))
    with pytest.raises(ModelError, match="damaged"):
        import_model(path)
    monkeypatch.setattr("CACScoringLib.models.store.MAX_BYTES", 3)
    with pytest.raises(ModelError, match="no model bundle"):
        import_model(tmp_path / "x")
    assert left_in(store) == []


def test_links_are_not_followed_out_of_a_bundle(store, tmp_path):
    folder = a_bundle(tmp_path / "site")
    (tmp_path / "secret").write_text("secret")
    (folder / "docs").mkdir()
    (folder / "docs" / "README.md").symlink_to(tmp_path / "secret")
    assert import_model(folder).card == ""


def test_the_same_id_again_needs_a_word(store, tmp_path):
    import_model(a_bundle(tmp_path / "site"))
    newer = a_bundle(tmp_path / "site", b"newer")
    with pytest.raises(ModelError, match="imported before"):
        import_model(newer)
    assert (store / "site" / WEIGHTS).read_bytes() == b"weights"
    import_model(newer, replace=True)
    assert (store / "site" / WEIGHTS).read_bytes() == b"newer"
    assert left_in(store) == ["site"]


def test_a_model_gets_the_id_that_it_is_given(store, tmp_path):
    folder = a_bundle(tmp_path / "Site A")
    assert import_model(folder, name="site-a").id == "site-a"
    assert left_in(store) == ["site-a"]
    with pytest.raises(ModelError, match="imported before"):
        import_model(folder, name="site-a")
    for name, says in (
        ("../evil", "is no id"),
        ("convlstm", "ships with CACScoring: rename the folder of yours, or use --name"),
    ):
        with pytest.raises(ModelError, match=says):
            import_model(folder, name=name)
    assert left_in(store) == ["site-a"]


def test_what_ships_cannot_be_removed_and_unknown_ids_are_said(store):
    with pytest.raises(ModelError, match="cannot be removed"):
        remove_model("multibranch-unet")
    with pytest.raises(ModelError, match="no models were imported"):
        remove_model("../../etc")


def test_the_command_line_imports_lists_and_removes(store, tmp_path, capsys):
    a_bundle(tmp_path / "site")
    assert main(["models", "import", str(tmp_path / "site")]) == 0
    assert "Imported site (method multibranch-unet" in capsys.readouterr().out
    assert main(["models", "list", "--format", "json"]) == 0
    assert [entry["id"] for entry in json.loads(capsys.readouterr().out)] == [*SHIPPED, "site"]
    assert main(["models", "import", str(tmp_path / "site")]) == 2
    assert "imported before" in capsys.readouterr().err
    assert main(["models", "import", str(tmp_path / "site"), "--replace"]) == 0
    assert main(["models", "remove", "site"]) == 0
    assert main(["models", "remove", "site"]) == 2
    assert "There is no imported model 'site' to remove: no models were imported." in capsys.readouterr().err
    assert main(["models", "import", str(tmp_path / "site"), "--name", "other"]) == 0
    assert "Imported other (method multibranch-unet" in capsys.readouterr().out


def test_where_imported_models_lie_on_each_system(monkeypatch, tmp_path):
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert user_models_dir() == tmp_path / "CACScoring" / "Models"
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setattr("sys.platform", "win32")
    assert user_models_dir() == tmp_path / "local" / "CACScoring" / "Models"
