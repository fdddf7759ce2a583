"""A review on disk: what is to be reviewed, how far it is, and what was decided. Nothing here needs 3D Slicer.

    worklist.json            the scans and the settings
    position.json            the case that was open last
    CASE/review.json         status, comment, reader, scores; written last: what it says is what counts
    CASE/automatic.seg.nrrd  the labels before any edit
    CASE/draft.seg.nrrd      edits that nobody decided on yet
    CASE/reviewed.seg.nrrd   the corrected labels of an edited case
    CASE/scores-automatic.json, CASE/scores-reviewed.json

Every file is written aside and renamed, so that a review goes on after a crash where it stopped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Protocol

from CACScoringLib.findings import InputRefusedError, refuse
from CACScoringLib.mrml.worklist_table import CaseReview, ReviewSettings, Status, review_row, to_csv
from CACScoringLib.report.staging import staged_file

SCHEMA = "cacscoring-review/1"
LIST, POSITION, REVIEW = "worklist.json", "position.json", "review.json"
AUTOMATIC, DRAFT, REVIEWED = "automatic.seg.nrrd", "draft.seg.nrrd", "reviewed.seg.nrrd"
AUTOMATIC_SCORES, REVIEWED_SCORES = "scores-automatic.json", "scores-reviewed.json"
MAX_JSON_BYTES = 256 * 2**20
"""Files above this size are not ours: a list of a hundred thousand scans takes a tenth of it."""


_SETTING_WORDS = {
    "method": "method",
    "preset": "preset",
    "kvp": "tube voltage (kV)",
    "thickness_mode": "thickness mode",
    "mass_factor": "mass factor",
    "allow_contrast": "contrast",
    "non_coronary": "non-coronary segments",
}
_PARTS_OF_SCORES = ("total", "vessels", "risk", "preset", "acquisition", "model")


class Scan(Protocol):
    """A scan to review, such as ``CACScoringLib.batch.inputs.Case``."""

    name: str
    source: str
    mask: str | None


class WorkList:
    """The cases of a review, saved as they change: make one with :meth:`begin` or :meth:`resume`.

    Attributes
    ----------
    folder : Path
    settings : ReviewSettings
    reviews : list of CaseReview
        Change them with :meth:`update`.
    notices : list of str
        What was wrong with the files, in sentences.
    """

    def __init__(self, folder: Path, settings: ReviewSettings, reviews: list[CaseReview]):
        self.folder = folder
        self.settings = settings
        self.reviews = reviews
        self.notices: list[str] = []

    @classmethod
    def begin(cls, scans: Iterable[Scan], folder: str | Path, settings: ReviewSettings | None = None) -> WorkList:
        """Return the review in a folder, begun if there is none; scans that are new to it come last.

        Parameters
        ----------
        scans : iterable of Scan
            See ``CACScoringLib.batch.review_list.review_cases``.
        folder : str or Path
            Where the review is kept; the output folder of a batch may be used.
        settings : ReviewSettings, optional
            Of a review that is begun; one that goes on keeps its own, and ``notices`` says where they differ.

        Raises
        ------
        InputRefusedError
            ``review-unreadable``, ``review-not-saved``.
        """
        settings = settings or ReviewSettings()
        folder = Path(folder).absolute()
        if (folder / LIST).exists():
            work = cls.resume(folder)
            work.notices += _other_settings(work.settings, settings)
        else:
            work = cls(folder, settings, [])
        added = work._added(scans)
        if added or not (folder / LIST).exists():
            work.reviews += added
            work._save_list()
        return work

    @classmethod
    def resume(cls, folder: str | Path) -> WorkList:
        """Return the review that a folder holds, as it was left.

        Raises
        ------
        InputRefusedError
            ``review-not-found``, or ``review-unreadable`` where the list itself is damaged; a damaged case is set
            aside, begins anew and is named in ``notices``.
        """
        folder = Path(folder).absolute()
        path = folder / LIST
        if not path.is_file():
            raise _refused("not-found", f"There is no review in '{folder}': choose its folder or begin a new one.")
        try:
            saved = _read_json(path)
            if saved.get("schema") != SCHEMA:
                raise ValueError("it is of another kind or version")
            settings = _settings(saved["settings"])
            reviews = [_listed(entry) for entry in saved["cases"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _refused("unreadable", f"The review in '{folder}' cannot be read: {LIST} is damaged.") from error
        if len({review.name.lower() for review in reviews}) != len(reviews):
            raise _refused("unreadable", f"The review in '{folder}' cannot be read: {LIST} names a case twice.")
        work = cls(folder, settings, reviews)
        work.reviews = [work._saved(review) for review in reviews]
        return work

    def __len__(self) -> int:
        return len(self.reviews)

    def __iter__(self) -> Iterator[CaseReview]:
        return iter(self.reviews)

    def __getitem__(self, index: int) -> CaseReview:
        return self.reviews[index]

    def file(self, index: int, name: str) -> Path:
        """Return the path of one of a case's files, which need not exist."""
        return self.folder / self.reviews[index].name / name

    def has_draft(self, index: int) -> bool:
        """Return whether a case has edits that nobody decided on yet."""
        return self.file(index, DRAFT).is_file()

    def segmentation(self, index: int) -> Path | None:
        """Return the file with the labels that a case's decision rests on, else its automatic ones."""
        names = (REVIEWED, DRAFT, AUTOMATIC) if self.reviews[index].status is Status.EDITED else (AUTOMATIC,)
        return next((self.file(index, name) for name in names if self.file(index, name).is_file()), None)

    def counts(self) -> dict[str, int]:
        """Return how many cases have each status."""
        found = dict.fromkeys((status.value for status in Status), 0)
        for review in self.reviews:
            found[review.status.value] += 1
        return found

    def update(self, index: int, **changes: Any) -> CaseReview:
        """Change what is known about a case, on disk first.

        Raises
        ------
        InputRefusedError
            ``review-changed-elsewhere`` if somebody else wrote it meanwhile, ``review-not-saved`` if it cannot be
            written; the case stays as it was.
        """
        before = self.reviews[index]
        path = self.file(index, REVIEW)
        if _revision_on_disk(path) > before.revision:
            message = f"The case {before.name} was changed in another window meanwhile: resume the review to see it."
            raise _refused("changed-elsewhere", message)
        after = replace(before, **changes, revision=before.revision + 1)
        self.write(path, json.dumps({"schema": SCHEMA, **after.as_dict()}, indent=1, ensure_ascii=False))
        self.reviews[index] = after
        return after

    def write(self, path: Path, content: str | Callable[[Path], None]) -> None:
        """Write a file aside and rename it.

        Parameters
        ----------
        path : Path
        content : str or callable
            The text, or what writes the file that it is given.

        Raises
        ------
        InputRefusedError
            ``review-not-saved``; an earlier file stays as it was.
        """
        try:
            with staged_file(path) as temporary:
                if isinstance(content, str):
                    temporary.write_text(content, encoding="utf-8", newline="\n")
                else:
                    content(temporary)
        except (OSError, UnicodeError) as error:
            message = f"{path.name} could not be saved in '{path.parent}' ({error}): make room for it, then save again."
            raise _refused("not-saved", " ".join(message.split())) from error

    @property
    def position(self) -> int:
        """Return the case that was open last, else the first that is not decided, else 0."""
        try:
            last = _read_json(self.folder / POSITION).get("last")
        except (OSError, ValueError):
            last = None
        names = [review.name for review in self.reviews]
        if last in names:
            return names.index(last)
        return next((index for index, review in enumerate(self.reviews) if not review.status.decided), 0)

    def remember_position(self, index: int) -> None:
        """Note which case is open."""
        self.write(self.folder / POSITION, json.dumps({"last": self.reviews[index].name}, ensure_ascii=False))

    def export_csv(self, path: str | Path) -> Path:
        """Write one row a case with its automatic and its reviewed scores.

        Raises
        ------
        InputRefusedError
            ``review-not-saved``.
        """
        target = Path(path).absolute()
        rows = []
        for index, review in enumerate(self.reviews):
            labels = self.segmentation(index)
            rows.append(
                review_row(review, segmentation=str(labels) if labels else "", open_edits=self.has_draft(index))
            )
        self.write(target, to_csv(rows))
        return target

    def _added(self, scans: Iterable[Scan]) -> list[CaseReview]:
        """Return reviews of the scans that are not in the list yet, with names of their own.

        A scan with the masks of two readers is two reviews.
        """
        known = {review.source for review in self.reviews}
        new: set[tuple[str, str | None]] = set()
        names = {LIST, POSITION, *(review.name.lower() for review in self.reviews)}
        added = []
        for scan in scans:
            source = str(Path(scan.source).absolute())
            mask = str(Path(scan.mask).absolute()) if scan.mask else None
            if source in known or (source, mask) in new:
                continue
            stem = name = _folder_name(scan.name)
            number = 2
            while name.lower() in names:
                name, number = f"{stem}-{number}", number + 1
            new.add((source, mask))
            names.add(name.lower())
            added.append(CaseReview(name, source, mask))
        return added

    def _save_list(self) -> None:
        cases = [{"name": review.name, "source": review.source, "mask": review.mask} for review in self.reviews]
        content = {"schema": SCHEMA, "settings": asdict(self.settings), "cases": cases}
        self.write(self.folder / LIST, json.dumps(content, indent=1, ensure_ascii=False))

    def _saved(self, review: CaseReview) -> CaseReview:
        """Return a case as it was saved; a damaged file is set aside."""
        path = self.folder / review.name / REVIEW
        if not path.exists():
            return review
        try:
            return review.with_saved(_read_json(path))
        except (OSError, ValueError):
            aside = path.with_name("review-damaged.json")
            try:
                path.replace(aside)
            except OSError:  # a medium that cannot be written: the notice is all that can be done
                aside = path
            self.notices.append(f"What was saved about the case {review.name} is damaged: it begins anew ({aside}).")
            return review


def read_document(path: Path) -> dict[str, Any] | None:
    """Return a JSON object, or None where there is none that can be read."""
    try:
        return _read_json(path)
    except (OSError, ValueError):
        return None


def read_scores(path: Path) -> dict[str, Any] | None:
    """Return a score as it was saved, or None where there is none that can be read."""
    document = read_document(path)
    parts = () if document is None else [document.get(name) for name in _PARTS_OF_SCORES]
    whole = len(parts) > 0 and all(isinstance(part, dict) for part in parts)
    return document if whole else None


def _read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    OSError, ValueError
        If the file is missing, too large, or holds something else.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{path.name} is too large")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{path.name} is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} holds no object")
    return value


def _revision_on_disk(path: Path) -> int:
    try:
        revision = _read_json(path).get("revision")
    except (OSError, ValueError):
        return 0
    return revision if isinstance(revision, int) else 0


def _settings(saved: Mapping[str, Any]) -> ReviewSettings:
    settings = ReviewSettings(**{item.name: saved[item.name] for item in fields(ReviewSettings) if item.name in saved})
    for name, value in asdict(settings).items():
        kind = (int, float, type(None)) if name in ("kvp", "mass_factor") else bool if name == "allow_contrast" else str
        if not isinstance(value, kind):
            raise ValueError(f"{name} is no setting")
    return settings


def _listed(entry: Mapping[str, Any]) -> CaseReview:
    name, source, mask = entry["name"], entry["source"], entry.get("mask")
    if not (isinstance(source, str) and (mask is None or isinstance(mask, str)) and name == _folder_name(name)):
        raise ValueError("a case without a name or a scan")
    return CaseReview(name, source, mask)


def _folder_name(name: str) -> str:
    """Return a name that is a folder below the review's on every file system."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "scan"


def _other_settings(saved: ReviewSettings, asked: ReviewSettings) -> list[str]:
    """Say which settings a review keeps although others were asked for."""
    before, now = asdict(saved), asdict(asked)
    kept = [f"{_SETTING_WORDS[key]} {_setting(before[key])}" for key in before if before[key] != now[key]]
    return [f"This review goes on as it was begun, with {', '.join(kept)}."] if kept else []


def _setting(value: Any) -> str:
    return {None: "not given", True: "allowed", False: "not allowed"}.get(value, str(value))


def _refused(code: str, message: str) -> InputRefusedError:
    return InputRefusedError(refuse(f"review-{code}", message))
