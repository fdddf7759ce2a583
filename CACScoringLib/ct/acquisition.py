"""A DICOM header -> :class:`Acquisition`."""

from __future__ import annotations

import re
from datetime import date

from CACScoringLib.ct.headers import SliceHeader, number_of, texts_of
from CACScoringLib.ct.plain_text import plain
from CACScoringLib.ct.volume import Acquisition

_GATED_WORDS = re.compile(
    r"\b(?:ca[ -]?sc\w*|calcium|calc ?scor\w*|smart ?score|cardiac|coronar\w*|gated|ecg|ekg|"
    r"(?:best)?diast\w*|bestsyst\w*|systol\w*|agatston|snapshot|prospective|retrospective)\b",
    re.IGNORECASE,
)
_UNGATED_WORDS = re.compile(
    r"\b(?:un-?gated|non[ -]?gated|ctac|ac ?ct|wb|whole ?body|low ?dose|ldct|attenuation)\b",
    re.IGNORECASE,
)
_HEARTBEAT_OPTION = re.compile(r"CARD|HEART|ECG|EKG|GATED|TRIG|^CG$", re.IGNORECASE)
_NO_HEARTBEAT = re.compile(r"RESP|BREATH|UN-?GATED|NON?[ _-]?(?:CARD|GATED|ECG|TRIG)", re.IGNORECASE)
_NOT_GATED = re.compile(r"\b(?:un-?gated|non?[ -]?gated)\b", re.IGNORECASE)

_SHARP_KERNELS = re.compile(
    r"^(?:LUNG|BONE\w*|EDGE|DETAIL|ULTRA|HD.*|FC(?:3\d|5\d|8\d)|[BHIJUT][rsfpvn]?[fl]?\s?(?:5[5-9]|[6-9]\d)\w*.*|"
    r"Qr(?:5[5-9]|[6-9]\d).*|L|D|E|Y[A-E]|IR SHARP\w*)$",
    re.IGNORECASE,
)
_SOFT_KERNELS = re.compile(
    r"^(?:SOFT|STANDARD|STND|SMOOTH|CHST|CHEST|FC(?:0?[1-9]|1\d|2\d|4\d)|[BHIJUTS][arsfpvn]?[fl]?\s?(?:[1-4]\d|5[0-4])\w*.*|"
    r"Qr(?:[1-4]\d|5[0-4]).*|A|B|C|XC[AB]|CA|CB)$",
    re.IGNORECASE,
)


def acquisition_of(header: SliceHeader, *, increment_mm: float, source: str | None) -> Acquisition:
    """Return how the series of ``header`` was acquired, unknown values None.

    Parameters
    ----------
    header : SliceHeader
        Any slice of the series; the middle one is a good choice, as exposure is modulated along z.
    increment_mm : float
        Distance between slices, measured from their positions.
    source : str or None
        Name (not path) of the file or folder.
    """
    uid = _text(header, "StudyInstanceUID")
    return Acquisition(
        kvp=_positive(header, "KVP"),
        slice_thickness_mm=header.thickness if header.thickness and header.thickness > 0 else None,
        increment_mm=increment_mm,
        kernel=kernel_of(header),
        manufacturer=_text(header, "Manufacturer"),
        model=_text(header, "ManufacturerModelName"),
        exposure_mas=_exposure_mas(header),
        gated=gated_of(header),
        series_uid=header.series_uid or None,
        study_uid=uid,
        frame_of_reference_uid=_text(header, "FrameOfReferenceUID"),
        series_description=_text(header, "SeriesDescription"),
        patient_age_years=_age_years(header),
        patient_sex=_sex(header),
        study_date=_text(header, "StudyDate"),
        source=source,
    )


def kernel_of(header: SliceHeader) -> str | None:
    """Return the convolution kernel; several values are joined as the vendor writes them."""
    parts = texts_of(header.tags, "ConvolutionKernel")
    return plain("\\".join(part for part in parts if part), 200) or None


def kernel_is_sharp(kernel: str | None) -> bool | None:
    """Return whether a kernel enhances edges (lung, bone); None where the name is not known.

    Calcium is scored with a medium-smooth kernel (SCCT 2017); the sharp ones raise noise above 130 HU.
    """
    if not kernel:
        return None
    name = kernel.split("\\")[0].strip()
    if _SHARP_KERNELS.match(name):
        return True
    return False if _SOFT_KERNELS.match(name) else None


def gated_of(header: SliceHeader) -> bool | None:
    """Return whether the scan was synchronised with the heartbeat, by tags first and words after."""
    technique = str(header.get("CardiacSynchronizationTechnique") or "").upper()
    if technique:
        return technique != "NONE"
    if header.get("NominalPercentageOfCardiacPhase") is not None or (_positive(header, "HeartRate") or 0) > 0:
        return True
    options = texts_of(header.tags, "ScanOptions")
    if any(_HEARTBEAT_OPTION.search(option) and not _NO_HEARTBEAT.search(option) for option in options):
        return True
    words = series_words(header)
    if _NOT_GATED.search(words):
        return False
    if _GATED_WORDS.search(words):
        return True
    return False if _UNGATED_WORDS.search(words) else None


def series_words(header: SliceHeader) -> str:
    """Return what the header says in words about the series, underscores as spaces."""
    parts = [str(header.get(tag) or "") for tag in ("SeriesDescription", "ProtocolName")]
    return " ".join([*parts, *header.image_type]).replace("_", " ")


def _text(header: SliceHeader, keyword: str) -> str | None:
    value = header.get(keyword)
    return None if value is None else plain(str(value), 200) or None


def _positive(header: SliceHeader, keyword: str) -> float | None:
    value = number_of(header.tags, keyword)
    return value if value is not None and value > 0 else None


def _exposure_mas(header: SliceHeader) -> float | None:
    exposure = _positive(header, "Exposure")
    if exposure is not None:
        return exposure
    current, time_ms = _positive(header, "XRayTubeCurrent"), _positive(header, "ExposureTime")
    return None if current is None or time_ms is None else current * time_ms / 1000.0


def _sex(header: SliceHeader) -> str | None:
    sex = (_text(header, "PatientSex") or "").upper()
    return sex if sex in ("M", "F", "O") else None


def _age_years(header: SliceHeader) -> float | None:
    age = (_text(header, "PatientAge") or "").upper()
    match = re.fullmatch(r"(\d{1,3})([DWMY])", age)
    if match:
        years = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}[match.group(2)]
        return int(match.group(1)) * years
    born, studied = _day(header, "PatientBirthDate"), _day(header, "StudyDate")
    if born is None or studied is None or studied < born:
        return None
    return float(studied.year - born.year - ((studied.month, studied.day) < (born.month, born.day)))


def _day(header: SliceHeader, keyword: str) -> date | None:
    text = _text(header, keyword) or ""
    if not re.fullmatch(r"\d{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
