"""Rewrite the terminology and colour files in Resources from the project's one vocabulary.

Run after changing ``CACScoringLib/vocabulary.py``; a test holds the files against it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from CACScoringLib.report.segments import CATEGORY, REGION_CONTEXT, TERMINOLOGY_CONTEXT  # noqa: E402
from CACScoringLib.vocabulary import CALCIFICATION, LABELS, Code  # noqa: E402

SCHEMAS = "https://raw.githubusercontent.com/qiicr/dcmqi/master/doc/"
CALCIUM_RGB = (255, 214, 26)


def coded(code: Code) -> dict[str, str]:
    """Return a code with the keys of the dcmqi schemas."""
    return {"CodingSchemeDesignator": code.scheme, "CodeValue": code.value, "CodeMeaning": code.meaning}


def terminology() -> dict[str, object]:
    """Return the terminology: one category, one type; the vessel is the anatomic region."""
    calcification = {**coded(CALCIFICATION), "recommendedDisplayRGBValue": list(CALCIUM_RGB)}
    return {
        "SegmentationCategoryTypeContextName": TERMINOLOGY_CONTEXT,
        "@schema": SCHEMAS + "segment-context-schema.json#",
        "SegmentationCodes": {"Category": [{**coded(CATEGORY), "showAnatomy": True, "Type": [calcification]}]},
    }


def regions() -> dict[str, object]:
    """Return the anatomic context: the region of every label."""
    return {
        "AnatomicContextName": REGION_CONTEXT,
        "@schema": SCHEMAS + "anatomic-context-schema.json#",
        "AnatomicCodes": {"AnatomicRegion": [coded(label.region) for label in LABELS]},
    }


def color_table() -> str:
    """Return the label values, names and colours in Slicer's ``.ctbl`` format."""
    lines = ["# Color table file CACScoring", "# LabelValue Name R G B A", "0 background 0 0 0 0"]
    for label in LABELS:
        red, green, blue = (round(255 * part) for part in label.color)
        lines.append(f"{int(label.value)} {label.name} {red} {green} {blue} 255")
    return "\n".join(lines) + "\n"


def contents() -> dict[Path, str]:
    """Return what each file should hold."""
    resources = ROOT / "Resources"
    return {
        resources / "Terminology" / "CACScoring.term.json": json.dumps(terminology(), indent=2) + "\n",
        resources / "Terminology" / "CACScoringRegions.term.json": json.dumps(regions(), indent=2) + "\n",
        resources / "Colors" / "CACScoring.ctbl": color_table(),
    }


if __name__ == "__main__":
    for path, text in contents().items():
        path.write_text(text, encoding="utf-8", newline="\n")
