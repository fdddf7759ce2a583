"""Installing what Slicer lacks: asked first, never replacing Slicer's own, explained and repeatable when it fails."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement

from CACScoringLib.findings import InputRefusedError
from CACScoringLib.installing import (
    COHORT,
    PROTECTED,
    Installer,
    InstallError,
    installed_version,
    requirements_file,
    torch_requirement,
)

ROOT = Path(__file__).resolve().parents[2]


class FakeSlicer:
    """``slicer.packaging`` and the PyTorch extension over an imaginary set of installed packages."""

    def __init__(self, **installed):
        self.installed = {"numpy": "2.4.0", "SimpleITK": "2.5.2", "scipy": "1.17", **installed}
        self.calls, self.constraints, self.environment = [], "", {}
        self.pip_error = self.torch_error = None
        self.torch_answer = "module"
        self.testing = False
        self.breaks = {}

    def load_requirements(self, path):
        lines = [line.strip() for line in Path(path).read_text().splitlines()]
        return [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]

    def pip_check(self, requirement):
        return self.installed.get(requirement.name, "") in requirement.specifier and requirement.name in self.installed

    def pip_ensure(self, requirements, constraints=None, prompt_install=True, requester=None):
        self.calls.append(("pip", [str(item) for item in requirements], prompt_install, requester))
        self.constraints = Path(constraints).read_text()
        self.environment = {name: os.environ.get(name) for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS")}
        if self.pip_error:
            raise self.pip_error
        if not self.testing:
            self.installed.update({item.name: "99" for item in requirements})
        self.installed.update(self.breaks)

    def installTorch(self, *, askConfirmation, torchVersionRequirement):
        self.calls.append(("torch", torchVersionRequirement, askConfirmation))
        if self.torch_error:
            raise self.torch_error
        if self.torch_answer:
            self.installed["torch"] = "2.12"
        return self.torch_answer

    def installer(self):
        return Installer(self, lambda: self, self.installed.get)


OURS = [line for line in requirements_file().read_text().splitlines() if line and not line.startswith("#")]
COHORT_PACKAGES = tuple(
    line for line in requirements_file(COHORT.file).read_text().splitlines() if line and not line.startswith("#")
)


def test_nothing_is_asked_when_all_is_there():
    names = [re.split("[>=<]", line)[0] for line in OURS]
    fake = FakeSlicer(torch="2.12", **dict.fromkeys(names, "99"))
    assert fake.installer().ensure().packages == ()
    assert fake.calls == []


def test_torch_comes_from_its_extension_first_and_the_rest_from_pip_after_asking():
    fake = FakeSlicer()
    done = fake.installer().ensure()
    assert fake.calls[0] == ("torch", torch_requirement().removeprefix("torch"), True)
    assert fake.calls[1] == ("pip", OURS, True, "CAC Scoring")
    assert done.packages == (torch_requirement(), *OURS)
    assert fake.installer().missing() == ()
    assert not any("torch" in line for line in OURS)


def test_bundled_packages_are_held_at_their_versions_and_torch_too():
    fake = FakeSlicer()
    fake.installer().ensure()
    assert fake.constraints.split() == ["numpy==2.4.0", "scipy==1.17", "SimpleITK==2.5.2", "torch==2.12"]
    assert {"numpy", "SimpleITK"} <= set(PROTECTED)


def test_pip_itself_refuses_to_replace_what_is_held(tmp_path):
    """The real pip, without a network: a wheel that wants another numpy is not installed against our constraint."""
    constraints = tmp_path / "c.txt"
    constraints.write_text("\n".join(Installer(FakeSlicer(), version=installed_version).constraints()))
    (tmp_path / "wheels").mkdir()
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--find-links", "wheels"]
    command += ["-c", str(constraints), "numpy<2" if installed_version("numpy") >= "2" else "numpy>=2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode != 0
    assert "constraint" in done.stdout + done.stderr


def test_a_bundled_package_that_changed_all_the_same_is_reported():
    fake = FakeSlicer()
    fake.breaks = {"numpy": "1.26"}
    with pytest.raises(InstallError, match="changed numpy") as refused:
        fake.installer().ensure()
    assert refused.value.finding.code == "bundled-package-changed"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (subprocess.CalledProcessError(1, "pip install"), "install-failed", "network connection"),
        (RuntimeError("User declined package installation"), "install-declined", "score again"),
        (FileNotFoundError(2, "No such file"), "install-failed", "pip could not be started"),
    ],
)
def test_a_failed_install_says_what_to_do_and_can_be_repeated(error, code, words):
    fake = FakeSlicer()
    installer = fake.installer()
    fake.pip_error = error
    with pytest.raises(InputRefusedError, match=words) as refused:
        installer.ensure()
    assert refused.value.finding.code == code
    fake.pip_error = None
    assert installer.ensure().packages == tuple(OURS)  # torch stayed from the first time
    assert [call[0] for call in fake.calls] == ["torch", "pip", "pip"]


def test_torch_that_is_declined_or_fails_stops_before_pip():
    fake = FakeSlicer()
    fake.torch_answer = None
    with pytest.raises(InstallError) as refused:
        fake.installer().ensure()
    assert refused.value.finding.code == "install-declined"
    fake.torch_error = OSError("No space left on device")
    with pytest.raises(InstallError, match="No space left") as refused:
        fake.installer().ensure()
    assert refused.value.finding.code == "torch-failed"
    assert {call[0] for call in fake.calls} == {"torch"}


def test_without_the_pytorch_extension_the_person_is_sent_to_the_extensions_manager():
    def no_extension():
        raise ImportError("No module named 'PyTorchUtils'")

    fake = FakeSlicer()
    with pytest.raises(InstallError, match="Extensions Manager") as refused:
        Installer(fake, no_extension, fake.installed.get).ensure()
    assert refused.value.finding.code == "pytorch-extension-missing"


def test_in_testing_mode_where_slicer_installs_nothing_the_run_is_refused_in_words():
    fake = FakeSlicer(torch="2.12")
    fake.testing = True
    with pytest.raises(InstallError, match="still missing: monai") as refused:
        fake.installer().ensure()
    assert refused.value.finding.code == "packages-missing"


def test_offline_everything_comes_from_the_folder_of_wheels(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", "before")
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    fake = FakeSlicer()
    with pytest.raises(InstallError, match="no folder of wheels"):
        fake.installer().ensure(wheels=tmp_path)
    (tmp_path / "monai-1.6.0-py3-none-any.whl").touch()
    fake.installer().ensure(wheels=tmp_path)
    assert fake.calls == [("pip", [torch_requirement(), *OURS], True, "CAC Scoring")]
    assert fake.environment == {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": tmp_path.resolve().as_uri()}
    assert os.environ["PIP_FIND_LINKS"] == "before"
    assert "PIP_NO_INDEX" not in os.environ


def test_an_incomplete_folder_of_wheels_is_named(tmp_path):
    (tmp_path / "monai-1.6.0-py3-none-any.whl").touch()
    fake = FakeSlicer()
    fake.testing = True
    with pytest.raises(InstallError, match="Add the missing wheels") as refused:
        fake.installer().ensure(wheels=tmp_path)
    assert str(tmp_path.name) in refused.value.finding.message


def test_outside_slicer_it_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    with pytest.raises(InstallError, match="pip install cacscoring"):
        Installer().missing()


def test_slicers_own_module_is_used_when_none_is_given(monkeypatch):
    fake = FakeSlicer()
    monkeypatch.setitem(sys.modules, "slicer.packaging", fake)
    extension = SimpleNamespace(PyTorchUtilsLogic=lambda: fake)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", extension)
    Installer(version=fake.installed.get).ensure()
    assert [call[0] for call in fake.calls] == ["torch", "pip"]


def test_requirements_have_lower_bounds_no_pins_and_nothing_that_slicer_bundles():
    names = []
    for line in OURS:
        requirement = Requirement(line)
        assert [specifier.operator for specifier in requirement.specifier] == [">="], line
        assert not requirement.extras
        names.append(requirement.name)
    assert not {name.lower() for name in names} & {name.lower() for name in PROTECTED}
    pyproject = (ROOT / "pyproject.toml").read_text()
    for line in OURS:
        assert f'"{line}"' in pyproject, f"{line} is not what pyproject.toml asks for"


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-cohort.txt"])
def test_slicer_never_gets_a_second_gdcm(file):
    """Its symbols are those of GDCM inside ITK: with both in the process Slicer crashes when it is closed."""
    lines = [line for line in (ROOT / "Resources" / file).read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert not [line for line in lines if "gdcm" in line.lower()]


def test_looking_for_what_is_missing_imports_none_of_it():
    code = (
        "import sys; from CACScoringLib.installing import Installer, installed_version\n"
        "installed_version('torch'); print(sorted({'torch', 'monai', 'slicer', 'packaging'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_the_offline_way_is_described_with_what_is_really_needed():
    page = (ROOT / "Resources" / "Documentation" / "installing.md").read_text(encoding="utf-8")
    assert f'pip download --dest wheels "{torch_requirement("linux")}" -r requirements.txt' in page
    assert f'"{torch_requirement("win32")}"' in page
    for name in ("numpy", "scipy", "SimpleITK", "pydicom", "highdicom"):
        assert name in PROTECTED
        assert name in page


def test_cohorts_need_their_own_packages_without_torch_and_say_so_when_declined():
    fake = FakeSlicer()
    installer = Installer(fake, lambda: fake, fake.installed.get, COHORT)
    fake.pip_error = RuntimeError("User declined package installation")
    with pytest.raises(InstallError, match="no statistics can be taken"):
        installer.ensure()
    fake.pip_error = None
    done = installer.ensure()
    assert [call[0] for call in fake.calls] == ["pip", "pip"]
    assert done.packages == COHORT_PACKAGES
    assert "torch" not in fake.installed


def test_the_packages_of_cohorts_are_those_of_the_extra():
    """matplotlib is one of the package's own dependencies, which Slicer lacks."""
    text = (ROOT / "pyproject.toml").read_text()
    extra = re.findall(r'"([^"]+)"', re.search(r"^cohort = \[(.*)\]$", text, re.MULTILINE).group(1))
    assert set(COHORT_PACKAGES) - {"matplotlib>=3.8"} == set(extra)
    assert '"matplotlib>=3.8"' in text
