"""What ships for 3D Slicer: terminology, colours, icon, and the lists that its build goes by."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import slicer

from CACScoringLib.mrml.scene import new_scene
from CACScoringLib.report.segments import REGION_CONTEXT, TERMINOLOGY_CONTEXT
from CACScoringLib.vocabulary import LABELS

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ROOT / "Resources"


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "Testing" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_terminology_and_colour_files_agree_with_the_vocabulary():
    for path, text in script("update_resources").contents().items():
        assert path.read_text(encoding="utf-8") == text, f"run Testing/update_resources.py: {path.name} is out of date"


def test_slicer_finds_every_region_and_the_type_in_our_terminology():
    working = new_scene()
    logic = working.logics["Terminologies"]
    assert logic.GetNumberOfRegionsInRegionContext(REGION_CONTEXT) == len(LABELS)
    found = slicer.vtkSlicerTerminologyType()
    meanings = []
    for index in range(len(LABELS)):
        assert logic.GetNthRegionInRegionContext(REGION_CONTEXT, index, found)
        meanings.append(found.GetCodeMeaning())
    assert meanings == [label.region.meaning for label in LABELS]
    category = slicer.vtkSlicerTerminologyCategory()
    assert logic.GetNumberOfCategoriesInTerminology(TERMINOLOGY_CONTEXT) == 1
    assert logic.GetNthCategoryInTerminology(TERMINOLOGY_CONTEXT, 0, category)
    assert logic.GetNumberOfTypesInTerminologyCategory(TERMINOLOGY_CONTEXT, category) == 1
    assert logic.GetNthTypeInTerminologyCategory(TERMINOLOGY_CONTEXT, category, 0, found)
    assert found.GetCodeValue() == "237897009"


def test_slicer_reads_the_colour_of_every_label():
    working = new_scene()
    node = working.scene.AddNewNodeByClass("vtkMRMLColorTableNode", "C")
    storage = working.scene.AddNewNodeByClass("vtkMRMLColorTableStorageNode")
    storage.SetFileName(str(RESOURCES / "Colors" / "CACScoring.ctbl"))
    assert storage.ReadData(node) == 1
    for label in LABELS:
        color = [0.0] * 4
        assert node.GetColor(int(label.value), color)
        assert color[:3] == pytest.approx(label.color, abs=0.5 / 255 + 1e-9)
        assert node.GetColorName(int(label.value)) == label.name.replace("_", " ")  # as Slicer reads names


def test_the_icon_is_a_128_pixel_png_with_its_drawing_beside_it():
    data = (RESOURCES / "Icons" / "CACScoring.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)
    assert ET.parse(RESOURCES / "Icons" / "CACScoring.svg").getroot().get("viewBox") == "0 0 128 128"


def listed(variable):
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(rf"set\({variable}\n(.*?)  \)", text, re.DOTALL).group(1).split()


def test_the_cmake_lists_are_those_of_the_tree():
    lists = script("update_cmake_lists")
    advice = "run Testing/update_cmake_lists.py"
    assert listed("CACSCORING_SCRIPTS") == lists.scripts(), advice
    assert listed("CACSCORING_RESOURCES") == lists.resources(), advice


def test_the_lists_keep_to_what_is_installed():
    lists = script("update_cmake_lists")
    assert "CACScoringLib/mrml/scene.py" in lists.scripts()
    assert "Resources/Terminology/CACScoring.term.json" in lists.resources()
    assert not any("__pycache__" in name or "Documentation" in name for name in lists.scripts() + lists.resources())


def test_the_extension_is_described_as_the_index_asks():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert re.search(r"^project\(CACScoring\)$", text, re.MULTILINE)
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{name} "[^"\n]+"\)$', text, re.MULTILINE), name
    assert 'set(EXTENSION_DEPENDS "PyTorch")' in text
    assert text.rstrip().endswith("include(${Slicer_EXTENSION_GENERATE_CONFIG})\ninclude(${Slicer_EXTENSION_CPACK})")
    assert not (ROOT / "CACScoring" / "__init__.py").exists()


STAND_IN = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake")
"""
STAND_IN_MACROS = """
macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "unknown: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file ${MY_SCRIPTS} ${MY_RESOURCES})
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "no file ${file}")
    endif()
  endforeach()
  list(LENGTH MY_SCRIPTS count)
  message(STATUS "module ${MY_NAME}: ${count}")
endmacro()
macro(slicer_add_python_unittest)
  message(STATUS "unittest ${ARGN}")
endmacro()
"""


@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("cc") is None, reason="needs cmake and a compiler")
def test_cmake_configures_with_stand_ins_for_slicers_macros(tmp_path):
    stand_in = tmp_path / "slicer"
    stand_in.mkdir()
    (stand_in / "SlicerConfig.cmake").write_text(STAND_IN)
    (stand_in / "UseSlicer.cmake").write_text(STAND_IN_MACROS)
    (stand_in / "Nothing.cmake").write_text("")
    command = ["cmake", "-S", str(ROOT), "-B", str(tmp_path / "b"), f"-DSlicer_DIR={stand_in}", "-DBUILD_TESTING=ON"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert f"module CACScoringLib: {len(listed('CACSCORING_SCRIPTS'))}" in result.stdout
    assert f"module CACScoring: {len(script('update_cmake_lists').module_scripts())}" in result.stdout
    assert "unittest SCRIPT;CACScoringSceneTest.py" in result.stdout
