"""The MESA ten-year risk of coronary heart disease with calcium.

McClelland et al., J Am Coll Cardiol 2015;66:1643-53 (secondary): 1 - 0.99833 ** exp(sum of coefficient x value).
Made for people of 45 to 85 years without coronary disease.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.scoring.percentiles import Demographics

BASELINE_SURVIVAL = 0.99833
COEFFICIENTS: dict[str, float] = {
    "age_years": 0.0172,
    "male": 0.4079,
    "chinese": -0.3475,
    "black": 0.0353,
    "hispanic": -0.0222,
    "diabetes": 0.3892,
    "smoker": 0.3717,
    "cholesterol_mg_dl": 0.0043,
    "hdl_mg_dl": -0.0114,
    "lipid_medication": 0.1206,
    "systolic_mmhg": 0.0066,
    "bp_medication": 0.2278,
    "family_history": 0.3239,
    "ln_calcium": 0.2743,
}
"""Coefficients of the model with ln(Agatston + 1). Status: secondary."""
AGE_RANGE = (45, 85)
"""Ages of the MESA cohort."""


@dataclass(frozen=True)
class RiskFactors:
    """What the MESA score asks beyond age, sex and group.

    Attributes
    ----------
    systolic_mmhg : float
    cholesterol_mg_dl, hdl_mg_dl : float
    diabetes, smoker, lipid_medication, bp_medication, family_history : bool
        ``smoker`` is a current one; ``family_history`` is of heart attack in a first-degree relative.
    """

    systolic_mmhg: float
    cholesterol_mg_dl: float
    hdl_mg_dl: float
    diabetes: bool = False
    smoker: bool = False
    lipid_medication: bool = False
    bp_medication: bool = False
    family_history: bool = False


def mesa_ten_year_risk(agatston: float, demographics: Demographics, factors: RiskFactors) -> float:
    """Return the ten-year risk of coronary heart disease, 0 to 1.

    Parameters
    ----------
    agatston : float
        Total score.
    demographics : Demographics
        Without a group the coefficients of White participants apply.
    factors : RiskFactors

    Raises
    ------
    InputRefusedError
        Outside the ages of the cohort.

    Examples
    --------
    >>> factors = RiskFactors(systolic_mmhg=130, cholesterol_mg_dl=190, hdl_mg_dl=50, bp_medication=True)
    >>> round(100 * mesa_ten_year_risk(0, Demographics(70, "M", "hispanic"), factors), 2)
    3.06
    """
    if not AGE_RANGE[0] <= demographics.age_years <= AGE_RANGE[1]:
        message = f"The MESA risk is made for ages {AGE_RANGE[0]} to {AGE_RANGE[1]}, not {demographics.age_years:g}."
        raise InputRefusedError(refuse("age-outside-mesa", message))
    values = {
        "age_years": demographics.age_years,
        "male": demographics.sex == "M",
        **{group: demographics.ethnicity == group for group in ("chinese", "black", "hispanic")},
        **{name: getattr(factors, name) for name in RiskFactors.__dataclass_fields__},
        "ln_calcium": math.log(agatston + 1),
    }
    return 1 - BASELINE_SURVIVAL ** math.exp(sum(COEFFICIENTS[name] * float(value) for name, value in values.items()))
