"""Python packages that 3D Slicer lacks: asked for when they are needed, installed without replacing Slicer's own.

Nothing is installed on import or when a module is opened. What installs is injected, so that all of it is tested
without a desktop; inside Slicer it is ``slicer.packaging`` and the PyTorch extension.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Protocol

from CACScoringLib.environment import environment
from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.resources import resources_dir

REQUESTER = "CAC Scoring"
TORCH = "torch>=2.4"
TORCH_BELOW_ON_WINDOWS = ",<2.13"
"""torch 2.13 was reported not to load in Slicer 5.12.2 on Windows."""
PROTECTED = ("numpy", "scipy", "SimpleITK", "pydicom", "highdicom", "vtk", "torch")
"""Packages that are never replaced by another version once they are there: Slicer's own, and a torch for its GPU."""


class InstallError(InputRefusedError):
    """The packages are not there; the message says what to do. It can be tried again at once."""

    def __init__(self, code: str, message: str):
        super().__init__(refuse(code, message))


class Packaging(Protocol):
    """What is used of ``slicer.packaging``."""

    def load_requirements(self, path: str | Path) -> list[Any]:
        """Return the requirements of a file."""

    def pip_check(self, req: Any) -> bool:
        """Return whether a requirement is met."""

    def pip_ensure(self, requirements: list[Any], **options: Any) -> Any:
        """Install what is missing, after asking; RuntimeError if declined, CalledProcessError if it fails."""


class TorchInstaller(Protocol):
    """What is used of ``PyTorchUtils.PyTorchUtilsLogic``."""

    def installTorch(self, *, askConfirmation: bool, torchVersionRequirement: str) -> Any:
        """Install torch for this machine's graphics processor; None if declined."""


@dataclass(frozen=True)
class Installed:
    """What an installation did.

    Attributes
    ----------
    packages : tuple of str
        Requirements that were missing and are met now.
    """

    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What is needed for something.

    Attributes
    ----------
    file : str
        List of packages in Resources.
    torch : bool
        PyTorch as well.
    declined : str
        What a person is told who does not want them, a sentence.
    """

    file: str
    torch: bool
    declined: str


NETWORK = Needs(
    "requirements.txt", True, "Without these Python packages the network cannot run: score again to install them."
)
COHORT = Needs(
    "requirements-cohort.txt",
    False,
    "Without these Python packages no statistics can be taken: run again to install them.",
)


class Installer:
    """Makes sure that what the network, or something else, needs is there.

    Parameters
    ----------
    packaging : Packaging, optional
        ``slicer.packaging`` when absent.
    torchInstaller : callable, optional
        Returns a TorchInstaller; that of the PyTorch extension when absent. ImportError if there is none.
    version : callable, optional
        Returns the installed version of a package, or None.
    needs : Needs
        Packages; those of the network when absent.
    """

    def __init__(
        self,
        packaging: Packaging | None = None,
        torchInstaller: Callable[[], TorchInstaller] | None = None,
        version: Callable[[str], str | None] | None = None,
        needs: Needs = NETWORK,
    ):
        self._needs = needs
        self._packaging = packaging
        self._torch_installer = torchInstaller or pytorch_extension
        self._version = version or installed_version

    def missing(self) -> tuple[str, ...]:
        """Return the requirements that are not met; nothing is imported to find out."""
        return tuple(str(requirement) for requirement in self._missing(self._requirements()))

    def ensure(self, *, wheels: str | Path | None = None, ask: bool = True) -> Installed:
        """Install what is missing, after asking; call it where the packages are needed.

        Parameters
        ----------
        wheels : path, optional
            Folder of wheels to install from without the network, torch included.
        ask : bool
            Ask the person first.

        Returns
        -------
        Installed

        Raises
        ------
        InstallError
            If something is still missing; the message says why and what to do. Trying again is safe.
        """
        requirements = self._requirements()
        missing = self._missing(requirements)
        if not missing:
            return Installed()
        folder = _checked_wheels(wheels)
        before = {name: self._version(name) for name in PROTECTED}
        torch = [requirement for requirement in missing if _name(requirement) == "torch"]
        others = [requirement for requirement in missing if _name(requirement) != "torch"]
        with environment(_offline(folder)):
            if torch and folder is None:
                self._install_torch(ask)
            elif torch:
                others = torch + others
            if others:
                self._install(others, ask)
        importlib.invalidate_caches()
        self._check_protected(before)
        still = self._missing(requirements)
        if still:
            names = ", ".join(str(requirement) for requirement in still)
            raise InstallError("packages-missing", f"These packages are still missing: {names}. {_advice(folder)}")
        return Installed(tuple(str(requirement) for requirement in missing))

    def _requirements(self) -> list[Any]:
        packaging = self._slicer_packaging()
        listed = packaging.load_requirements(requirements_file(self._needs.file))
        if not self._needs.torch:
            return listed
        with tempfile.TemporaryDirectory(prefix="cacscoring-") as folder:
            torch = Path(folder) / "torch.txt"  # so that the requirement is of the type that packaging wants
            torch.write_text(torch_requirement() + "\n", encoding="utf-8")
            return [*packaging.load_requirements(torch), *listed]

    def _missing(self, requirements: Iterable[Any]) -> list[Any]:
        packaging = self._slicer_packaging()
        return [requirement for requirement in requirements if not packaging.pip_check(requirement)]

    def _install_torch(self, ask: bool) -> None:
        try:
            installer = self._torch_installer()
        except ImportError as error:
            message = "The network needs the PyTorch extension: install it in the Extensions Manager, then score again."
            raise InstallError("pytorch-extension-missing", message) from error
        wanted = torch_requirement().removeprefix("torch")
        try:
            torch = installer.installTorch(askConfirmation=ask, torchVersionRequirement=wanted)
        except Exception as error:  # the extension raises whatever it meets
            raise InstallError(
                "torch-failed", f"PyTorch could not be installed ({_said(error)}). {_advice()}"
            ) from error
        if torch is None:
            raise InstallError("install-declined", "Without PyTorch the network cannot run: score again to install it.")

    def _install(self, requirements: list[Any], ask: bool) -> None:
        with self._constraints() as constraints:
            try:
                self._slicer_packaging().pip_ensure(
                    requirements, constraints=constraints, prompt_install=ask, requester=REQUESTER
                )
            except CalledProcessError as error:
                names = ", ".join(str(requirement) for requirement in requirements)
                message = f"Installing {names} failed ({_said(error)}). {_advice()}"
                raise InstallError("install-failed", message) from error
            except RuntimeError as error:
                raise InstallError("install-declined", self._needs.declined) from error
            except OSError as error:
                raise InstallError(
                    "install-failed", f"pip could not be started ({_said(error)}). {_advice()}"
                ) from error

    @contextmanager
    def _constraints(self) -> Iterator[str]:
        """Give a constraints file that holds the protected packages at the versions that are installed."""
        with tempfile.TemporaryDirectory(prefix="cacscoring-") as folder:
            path = Path(folder) / "constraints.txt"
            path.write_text("".join(f"{line}\n" for line in self.constraints()), encoding="utf-8")
            yield str(path)

    def constraints(self) -> list[str]:
        """Return the protected packages as pip constraints."""
        versions = {name: self._version(name) for name in PROTECTED}
        return [f"{name}=={version}" for name, version in versions.items() if version]

    def _check_protected(self, before: dict[str, str | None]) -> None:
        changed = [name for name, version in before.items() if version and self._version(name) != version]
        if changed:
            message = (
                f"The installation changed {', '.join(changed)}, which belong to 3D Slicer: restart Slicer; if it does "
                "not work then, install Slicer again."
            )
            raise InstallError("bundled-package-changed", message)

    def _slicer_packaging(self) -> Packaging:
        if self._packaging is None:
            try:
                self._packaging = importlib.import_module("slicer.packaging")
            except ImportError as error:
                message = "Packages are installed by 3D Slicer 5.12 or newer; elsewhere run: pip install cacscoring."
                raise InstallError("no-installer", message) from error
        return self._packaging


def requirements_file(name: str = NETWORK.file) -> Path:
    """Return the file that lists what Slicer lacks, torch aside."""
    return resources_dir() / name


def torch_requirement(platform: str | None = None) -> str:
    """Return which torch is needed.

    >>> torch_requirement("linux"), torch_requirement("win32")
    ('torch>=2.4', 'torch>=2.4,<2.13')
    """
    return TORCH + (TORCH_BELOW_ON_WINDOWS if (platform or sys.platform) == "win32" else "")


def installed_version(name: str) -> str | None:
    """Return the version of an installed package, None if there is none; it is not imported."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def pytorch_extension() -> TorchInstaller:
    """Return the installer of Slicer's PyTorch extension.

    Raises
    ------
    ImportError
        If the extension is not installed.
    """
    return importlib.import_module("PyTorchUtils").PyTorchUtilsLogic()


def _offline(wheels: Path | None) -> dict[str, str]:
    """Return the variables that have pip look in a folder only, where one is given."""
    return {} if wheels is None else {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri()}


def _checked_wheels(wheels: str | Path | None) -> Path | None:
    if not wheels:
        return None
    folder = Path(wheels).expanduser().resolve()
    if not folder.is_dir() or not any(folder.glob("*.whl")):
        message = f"'{wheels}' is no folder of wheels (*.whl): choose the folder that pip download filled."
        raise InstallError("no-wheels", message)
    return folder


def _advice(wheels: Path | None = None) -> str:
    if wheels is not None:
        return f"Add the missing wheels to {wheels} and try again; nothing need be restarted."
    return (
        "Check the network connection and the free disk space and try again, or install from a folder of wheels; "
        "nothing need be restarted."
    )


def _name(requirement: Any) -> str:
    name = getattr(requirement, "name", None)
    return (name or str(requirement)).lower()


def _said(error: Exception) -> str:
    if isinstance(error, CalledProcessError):
        return f"pip ended with status {error.returncode}"
    return " ".join(str(error).split())[:200] or type(error).__name__
