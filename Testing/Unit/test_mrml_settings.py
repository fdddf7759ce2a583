"""Settings of the desktop, what the buttons of their panel do, and the sample scan; dialogs are stand-ins."""

from __future__ import annotations

import os

import pytest
from test_models_store import a_bundle

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.installing import Installed, InstallError
from CACScoringLib.methods.registry import METHODS
from CACScoringLib.models import MODELS_VARIABLE
from CACScoringLib.mrml.sample import load_sample, make_sample, sample_folder
from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.mrml.settings import DesktopSettings, MemoryStore
from CACScoringLib.mrml.settings_actions import SettingsActions


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "usual"))


class Answers:
    """Dialogs that answer as told, and remember what they said."""

    def __init__(self, path="", agrees=True):
        self.path, self.agrees, self.said, self.asked = path, agrees, [], []

    def chooseFolder(self, title, start=""):
        return str(self.path)

    def chooseFile(self, title, filter, start=""):
        return str(self.path)

    def confirm(self, text):
        self.asked.append(text)
        return self.agrees

    def tell(self, text):
        self.said.append(text)

    complain = tell


def test_settings_have_defaults_and_survive_what_others_wrote(tmp_path):
    settings = DesktopSettings()
    assert (settings.device, settings.workers, settings.wheelsFolder, settings.reader) == ("auto", 0, None, "")
    assert settings.modelsFolder == tmp_path / "usual"
    odd = DesktopSettings(MemoryStore(device="quantum", workers="many", modelsFolder=None))
    assert (odd.device, odd.workers) == ("auto", 0)
    assert DesktopSettings(MemoryStore(workers=-3)).workers == 0
    assert DesktopSettings(MemoryStore(workers="100000")).workers == os.cpu_count()


def test_settings_are_kept_in_their_store(tmp_path):
    store = MemoryStore()
    settings = DesktopSettings(store)
    settings.setDevice("cuda:1")
    settings.setWorkers(1)
    settings.setWheelsFolder(tmp_path)
    settings.setReader(" AB ")
    again = DesktopSettings(store)
    assert (again.device, again.workers, again.wheelsFolder, again.reader) == ("cuda:1", 1, tmp_path, "AB")
    assert set(store.values) == {f"CACScoring/{name}" for name in ("device", "workers", "wheelsFolder", "reader")}
    with pytest.raises(ValueError, match="device must be one of"):
        settings.setDevice("quantum")
    settings.setWheelsFolder(None)
    assert again.wheelsFolder is None


def test_the_models_folder_reaches_this_process_and_its_children(tmp_path):
    settings = DesktopSettings()
    settings.setModelsFolder(tmp_path / "models")
    assert os.environ[MODELS_VARIABLE] == str(tmp_path / "models")


def test_importing_and_removing_a_model(tmp_path):
    settings = DesktopSettings()
    dialogs = Answers(a_bundle(tmp_path / "site"))
    actions = SettingsActions(settings, dialogs)
    assert actions.importModelFolder() == "site"
    shipped = sorted(method.model for method in METHODS.values())
    assert settings.models() == (*((name, False) for name in shipped), ("site", True))
    dialogs.agrees = False
    assert actions.importModelFile() == ""  # it is there already, and is not replaced
    assert dialogs.asked == ["A model 'site' was imported before. Replace it?"]
    assert not actions.removeModel("site")
    dialogs.agrees = True
    assert actions.importModelFolder() == "site"
    assert actions.removeModel("site")
    assert settings.models() == tuple((name, False) for name in shipped)


def test_what_goes_wrong_with_a_model_is_said(tmp_path):
    dialogs = Answers(tmp_path)
    actions = SettingsActions(DesktopSettings(), dialogs)
    assert actions.importModelFolder() == ""
    assert "holds 0 model bundles" in dialogs.said[-1]
    assert not actions.removeModel("multibranch-unet")
    assert "cannot be removed" in dialogs.said[-1]
    dialogs.path = ""
    assert actions.importModelFolder() == ""
    assert len(dialogs.said) == 2  # cancelled: nothing to say


def test_folders_are_kept_unless_the_dialog_was_cancelled(tmp_path):
    settings, dialogs = DesktopSettings(), Answers(tmp_path / "a")
    actions = SettingsActions(settings, dialogs)
    actions.chooseModelsFolder()
    actions.chooseWheelsFolder()
    assert settings.modelsFolder == settings.wheelsFolder == tmp_path / "a"
    dialogs.path = ""
    actions.chooseModelsFolder()
    actions.chooseWheelsFolder()
    assert settings.modelsFolder == settings.wheelsFolder == tmp_path / "a"


def test_packages_are_installed_from_the_chosen_place_and_failures_are_said(tmp_path):
    class Installer:
        def __init__(self, outcome):
            self.outcome, self.wheels = outcome, None

        def ensure(self, wheels=None):
            self.wheels = wheels
            if isinstance(self.outcome, Exception):
                raise self.outcome
            return Installed(self.outcome)

    settings, dialogs = DesktopSettings(MemoryStore(wheelsFolder=str(tmp_path))), Answers()
    installer = Installer(("monai>=1.4",))
    assert SettingsActions(settings, dialogs, installer).installPackages()
    assert installer.wheels == tmp_path
    assert dialogs.said == ["Installed: monai>=1.4."]
    assert SettingsActions(settings, dialogs, Installer(())).installPackages()
    assert dialogs.said[-1] == "All Python packages are there."
    assert not SettingsActions(settings, dialogs, Installer(InstallError("x", "No network."))).installPackages()
    assert dialogs.said[-1] == "No network."


class Maker:
    """A process that makes a tiny scan instead of a patient."""

    def __init__(self, status=0):
        self.exit_status, self.launched, self.polls = status, 0, 0

    def launch(self, arguments):
        from pathlib import Path

        from mrml_samples import a_calcified_ct

        from CACScoringLib.phantom.writing import write_dicom

        self.launched += 1
        assert arguments[3:8] == ["phantom", "--protocol", "gated", "--seed", "7"]
        if self.exit_status == 0:
            write_dicom(a_calcified_ct()[0], Path(arguments[9]) / "ct", 7)
        return self

    def lines(self):
        return []

    def errors(self):
        return "first\nDisk full"

    def status(self):
        self.polls += 1
        return None if self.polls == 1 else self.exit_status


def test_the_sample_scan_is_made_once_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("CACScoringLib.mrml.sample.WAIT_S", 0)
    maker, busy = Maker(), []
    folder = make_sample(tmp_path, maker, lambda: busy.append(1))
    assert folder == sample_folder(tmp_path)
    assert busy == [1]
    assert make_sample(tmp_path, maker) == folder
    assert maker.launched == 1
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_sample_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("CACScoringLib.mrml.sample.WAIT_S", 0)
    with pytest.raises(InputRefusedError, match="Disk full"):
        make_sample(tmp_path, Maker(status=1))
    assert list(tmp_path.iterdir()) == []


def test_the_sample_is_loaded_into_the_scene(tmp_path, monkeypatch):
    from mrml_samples import a_calcified_ct

    ct, _ = a_calcified_ct()
    monkeypatch.setattr("CACScoringLib.ct.load_ct", lambda path: ct)
    scene = new_scene().scene
    node = load_sample(scene, tmp_path)
    assert node.GetName() == "CACScoring synthetic gated CT"
    assert node.GetAttribute("CACScoring.Acquisition.kvp") == "120.0"
