"""A method beside the experts of a data set that the test writes itself."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ct_scans import ORIGIN, SPACING, chest
from dataset_samples import WRITERS

from CACScoringLib.cli import main
from CACScoringLib.cohort.agreement import icc_2_1
from CACScoringLib.ct.volume import CTVolume
from CACScoringLib.methods.prediction import Prediction

BLOCKS = {1: (20, 28, 30), 2: (22, 24, 34), 3: (18, 30, 40), 4: (16, 26, 26)}


def patients():
    """Patient n has blocks of 1 x 2 x (n + 1) voxels of 16 mm2 at 400 HU in each vessel."""
    out = {}
    for number in (1, 2, 3):
        hu, labels = chest(), np.zeros((40, 64, 64), np.uint8)
        for vessel, (z, y, x) in BLOCKS.items():
            block = (slice(z, z + 1), slice(y, y + 2), slice(x, x + number + 1))
            hu[block], labels[block] = 400, vessel
        out[str(number)] = CTVolume(hu, SPACING, ORIGIN), labels
    return out


@pytest.fixture
def an_oracle(monkeypatch):
    """In the place of a method: labels every voxel of 400 HU in a block as its vessel, but misses the LCX."""

    def predict(ct, method, *, model):
        labels = np.zeros(ct.shape, np.uint8)
        for vessel, (z, y, x) in BLOCKS.items():
            block = (slice(z, z + 1), slice(y, y + 2), slice(x, x + 4))
            labels[block] = np.where((ct.hu[block] >= 390) & (vessel != 3), vessel, 0)
        return Prediction(method, "oracle", "", labels)

    monkeypatch.setattr("CACScoringLib.training.data_evaluation.predict", predict)


@pytest.mark.parametrize("layout", WRITERS)
def test_agreement_with_the_experts_of_each_layout(tmp_path, an_oracle, capsys, layout):
    data = WRITERS[layout](tmp_path / "data", patients())
    words = ["evaluate", "multibranch-unet", "--data", str(data), "--layout", layout, "--output", str(tmp_path / "out")]
    assert main(words) == 0
    document = json.loads((tmp_path / "out" / "evaluation-data.json").read_text(encoding="utf-8"))
    merged = layout == "orcascore"
    assert [case["case"] for case in document["cases"]] == ["1", "2", "3"]
    for number, case in enumerate(document["cases"], 1):
        block = 2 * (number + 1) * 16 * 4
        assert case["reference"] == pytest.approx(
            {
                "total": 4 * block,
                "LM": 0 if merged else block,
                "LAD": 2 * block if merged else block,
                "LCX": block,
                "RCA": block,
            }
        )
        assert case["predicted"]["total"] == pytest.approx(3 * block)
        assert (case["lesions"], case["lesions_found"], case["false_lesions"]) == (4, 3, 0)
    assert document["summary"]["right_vessel"] == 1
    assert document["summary"]["icc"]["LAD"]["value"] == pytest.approx(1.0)
    assert document["left_main_is_lad"] == merged
    printed = capsys.readouterr().out
    assert "lesions found: 75.0%" in printed
    assert ("counts as LAD too" in printed) == merged


def test_a_layout_is_needed(tmp_path, capsys):
    assert main(["evaluate", "multibranch-unet", "--data", str(tmp_path)]) == 2
    assert "--data needs --layout" in capsys.readouterr().err


def test_scores_that_do_not_vary_have_no_agreement_beyond_chance():
    """Two raters, each constant, who differ: no variance between subjects, so ICC 0 without an interval."""
    estimate = icc_2_1([5.0, 5.0, 5.0], [1.0, 1.0, 1.0])
    assert estimate.value == 0
    assert np.isnan(estimate.low)
