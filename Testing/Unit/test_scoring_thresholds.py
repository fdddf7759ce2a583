"""Thresholds by tube voltage, and what the reader is told about them."""

from __future__ import annotations

import math

import pytest

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import Severity
from CACScoringLib.scoring.thresholds import choose_thresholds, thresholds_for_kvp


@pytest.mark.parametrize(
    ("kvp", "hu", "status"),
    [
        (70, (207, 318, 477, 636), "secondary"),
        (80, (177, 271, 408, 544), "secondary"),
        (100, (145, 222, 334, 446), "secondary"),
        (120, (130, 200, 300, 400), "verified"),
        (135, (119, 183, 274, 364), "secondary"),
    ],
)
def test_published_rows(kvp, hu, status):
    thresholds = thresholds_for_kvp(kvp)
    assert thresholds.hu == hu
    assert thresholds.status == status


def test_voltages_between_rows_are_log_linear_and_say_so():
    # half way between two rows the logarithm is half way: the geometric mean
    assert thresholds_for_kvp(110).hu[0] == pytest.approx(math.sqrt(145 * 130))
    assert thresholds_for_kvp(90).hu[3] == pytest.approx(math.sqrt(544 * 446))
    # 130 lies two thirds of the way from 120 to 135, 140 a third of it beyond 135
    assert thresholds_for_kvp(130).hu[0] == pytest.approx(130 * (119 / 130) ** (2 / 3))
    assert thresholds_for_kvp(140).hu[0] == pytest.approx(119 * (119 / 130) ** (1 / 3))
    assert thresholds_for_kvp(140).status == "derived"


def findings_for(**acquisition):
    thresholds, findings = choose_thresholds(Acquisition(**acquisition))
    return thresholds, {finding.code: finding.severity for finding in findings}


def test_unknown_voltage_uses_130_hu_and_warns():
    for kvp in (None, 0.0, 1200.0):
        thresholds, codes = findings_for(kvp=kvp)
        assert thresholds.calcium == 130
        assert codes == {"unknown-kvp": Severity.WARNING}


def test_derived_threshold_warns_and_secondary_informs():
    assert findings_for(kvp=140)[1] == {"kvp-threshold-derived": Severity.WARNING}
    assert findings_for(kvp=100)[1] == {"kvp-threshold-secondary": Severity.INFO}
    assert findings_for(kvp=120)[1] == {}


def test_voltage_independent_kernel_is_not_adapted():
    thresholds, codes = findings_for(kvp=80, kernel="Sa36f\\3")
    assert thresholds.calcium == 130
    assert not thresholds.adapted
    assert "kvp-not-adapted" in codes


def test_an_ordinary_siemens_kernel_is_adapted():
    assert findings_for(kvp=80, kernel="Qr36f")[0].calcium == 177


def test_tin_filtered_beam_warns():
    assert findings_for(kvp=100, series_description="CaScore Sn100 3.0 Qr36")[1]["tin-filter"] is Severity.WARNING
    assert "tin-filter" not in findings_for(kvp=100, series_description="CaScore 3.0")[1]


def test_a_given_voltage_overrides_the_scan_and_is_named():
    thresholds, findings = choose_thresholds(Acquisition(kvp=120), 80)
    assert thresholds.calcium == 177
    assert findings[0].code == "kvp-overridden"
