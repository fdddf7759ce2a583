"""The HU at which calcium starts and its weight grows, by tube voltage.

The same calcium is brighter at a lower voltage, so that 130 HU at 120 kVp corresponds to more HU below 120 kVp.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from CACScoringLib.ct.volume import Acquisition
from CACScoringLib.findings import Finding, InputRefusedError, info, refuse, warning

REFERENCE_KVP = 120.0
AGATSTON_HU = (130.0, 200.0, 300.0, 400.0)
"""Weights 1 to 4 start here at 120 kVp (Agatston et al. 1990). Status: verified."""

KVP_TABLE: dict[float, tuple[float, float, float, float]] = {
    70.0: (207.0, 318.0, 477.0, 636.0),
    80.0: (177.0, 271.0, 408.0, 544.0),
    100.0: (145.0, 222.0, 334.0, 446.0),
    120.0: AGATSTON_HU,
    135.0: (119.0, 183.0, 274.0, 364.0),
}
"""HU for weight 1/2/3/4 by kVp: Graeni et al., Eur Heart J Cardiovasc Imaging 2018;19:1362-71. Status: secondary,
except 120 kVp (verified). Alternatives in use elsewhere: 80 kVp 167/266/408/551, 100 kVp first threshold 147."""

PLAUSIBLE_KVP = (60.0, 160.0)
"""Outside this range a CT tube voltage is taken for an error of the input."""

KV_INDEPENDENT_KERNEL = re.compile(r"(?<![a-z])sa\d\d", re.IGNORECASE)
"""Siemens kernels named Sa.. (Sa36f) reconstruct calcium at its 120 kVp brightness whatever the voltage."""
TIN_FILTER = re.compile(r"(?<![a-z])(sn\s?\d{2,3}|tin[- ]?filter)", re.IGNORECASE)
"""How descriptions name a tin-filtered beam (Sn100)."""


@dataclass(frozen=True)
class Thresholds:
    """Where the four weights start.

    Attributes
    ----------
    hu : tuple of float
        HU from which a lesion has weight 1, 2, 3 and 4.
    kvp : float or None
        Tube voltage they were chosen for; None if unknown.
    adapted : bool
        Whether the voltage decided about them.
    status : str
        ``verified``, ``secondary`` (read in another project's transcription) or ``derived`` (computed here).
    source : str
    """

    hu: tuple[float, float, float, float] = AGATSTON_HU
    kvp: float | None = REFERENCE_KVP
    adapted: bool = True
    status: str = "verified"
    source: str = "Agatston 1990"

    @property
    def calcium(self) -> float:
        """Return the HU at which calcium starts."""
        return self.hu[0]

    def as_dict(self) -> dict[str, object]:
        """Return the thresholds as ``scores.json`` writes them."""
        return {
            "hu": list(self.hu),
            "kvp": self.kvp,
            "adapted": self.adapted,
            "status": self.status,
            "source": self.source,
        }


def is_plausible_kvp(kvp: float) -> bool:
    """Return whether a CT tube can have this voltage."""
    return PLAUSIBLE_KVP[0] <= kvp <= PLAUSIBLE_KVP[1]


def thresholds_for_kvp(kvp: float | None) -> Thresholds:
    """Return the thresholds for a tube voltage.

    Voltages of ``KVP_TABLE`` use its rows. Others are derived: the logarithm of each threshold is linear in kVp
    between the two neighbouring rows, and continues the last two rows beyond the ends. None, or a voltage that no CT
    tube has, gives 130 HU.

    Examples
    --------
    >>> thresholds_for_kvp(100).hu, thresholds_for_kvp(140).status
    ((145.0, 222.0, 334.0, 446.0), 'derived')
    """
    if kvp is None or not is_plausible_kvp(kvp):
        return Thresholds(kvp=None, adapted=False, source="Agatston 1990, tube voltage unknown")
    kvp = float(kvp)
    if kvp in KVP_TABLE:
        verified = kvp == REFERENCE_KVP
        return Thresholds(
            KVP_TABLE[kvp],
            kvp,
            status="verified" if verified else "secondary",
            source="Agatston 1990" if verified else "Graeni 2018",
        )
    rows = np.array(sorted(KVP_TABLE))
    upper = int(np.clip(np.searchsorted(rows, kvp), 1, len(rows) - 1))
    low, high = float(rows[upper - 1]), float(rows[upper])
    share = (kvp - low) / (high - low)
    hu = tuple(
        math.exp((1 - share) * math.log(a) + share * math.log(b))
        for a, b in zip(KVP_TABLE[low], KVP_TABLE[high], strict=True)
    )
    return Thresholds(hu, kvp, status="derived", source=f"log-linear from the rows of {low:g} and {high:g} kVp")


def choose_thresholds(
    acquisition: Acquisition, kvp: float | None = None, *, adapt_kvp: bool = True
) -> tuple[Thresholds, tuple[Finding, ...]]:
    """Return the thresholds for a scan and what a reader must know about them.

    Parameters
    ----------
    acquisition : Acquisition
    kvp : float, optional
        Used instead of the scan's own tube voltage.
    adapt_kvp : bool
        False keeps 130/200/300/400 HU at any voltage.

    Raises
    ------
    InputRefusedError
        If ``kvp`` is not a voltage that a CT tube can have. (One in the scan's header counts as unknown.)
    """
    if kvp is not None and not is_plausible_kvp(kvp):
        raise InputRefusedError(
            refuse("implausible-kvp", f"A tube voltage of {kvp:g} kV is not that of a CT: give the right one.")
        )
    findings = []
    if kvp is not None and acquisition.kvp is not None and kvp != acquisition.kvp:
        findings.append(
            info("kvp-overridden", f"Thresholds are those of {kvp:g} kVp as asked; the scan says {acquisition.kvp:g}.")
        )
    voltage = acquisition.kvp if kvp is None else kvp
    if voltage is not None and not is_plausible_kvp(voltage):
        voltage = None
    described = " ".join(filter(None, (acquisition.kernel, acquisition.series_description)))
    if TIN_FILTER.search(described):
        findings.append(
            warning(
                "tin-filter",
                "The description names a tin-filtered beam, for which no published threshold is built in: "
                "the score is not comparable with 120 kVp.",
            )
        )
    table = thresholds_for_kvp(voltage)
    independent = acquisition.kernel is not None and KV_INDEPENDENT_KERNEL.search(acquisition.kernel)
    if voltage is None:
        findings.append(
            warning(
                "unknown-kvp",
                "The tube voltage is unknown, so 130 HU is used as for 120 kVp: give it with --kvp if you know it.",
            )
        )
    elif independent or not adapt_kvp:
        if voltage != REFERENCE_KVP:
            why = f"kernel {acquisition.kernel} is independent of the tube voltage" if independent else "as asked"
            findings.append(
                info("kvp-not-adapted", f"130 HU is kept at {voltage:g} kVp ({why}).")
                if independent
                else warning("kvp-not-adapted", f"130 HU is kept at {voltage:g} kVp ({why}).")
            )
        table = Thresholds(kvp=voltage, adapted=False)
    elif table.status == "derived":
        findings.append(
            warning(
                "kvp-threshold-derived",
                f"No published threshold for {voltage:g} kVp is built in; {table.calcium:.1f} HU is {table.source}.",
            )
        )
    elif table.status == "secondary":
        findings.append(
            info(
                "kvp-threshold-secondary",
                f"Calcium starts at {table.calcium:g} HU at {voltage:g} kVp ({table.source}, secondary source).",
            )
        )
    return table, tuple(findings)
