"""Corrections of the frames between two corrected ones of a sequence, interpolated as a job."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.document import MaskDocument
from segstudio.editing.interpolation import interpolate_maps
from segstudio.session.session import Session
from segstudio.session.thread_jobs import Progress

__all__ = ["STROKE_NAME", "Gap", "find_gap", "preview_gap", "start_interpolating", "take_back"]

STROKE_NAME = "Interpolated between frames"
_ROWS = 1024
_PREVIEW_PIXELS = 1 << 18
_AT_ONCE = 16
"""Frames that are interpolated together: the distances of a class serve all of them."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames without a correction between two that have one.

    Attributes
    ----------
    first, last : str
        The corrected samples.
    between : tuple of str
        Those between them, in order.
    label_space : LabelSpace
        Of both corrections.
    """

    first: str
    last: str
    between: tuple[str, ...]
    label_space: LabelSpace

    @property
    def fractions(self) -> tuple[float, ...]:
        """Where the frames between lie, 0..1."""
        count = len(self.between) + 1
        return tuple(number / count for number in range(1, count))


def find_gap(session: Session, sample_id: str) -> Gap:
    """Return the frames around a sample, or after it, that can be interpolated.

    Frames are the images of one folder by name, numbers in it by their value.

    Raises
    ------
    UsageError
        When there is no corrected frame before or after, or none between them.
    """
    dataset = session.dataset
    if dataset is None:
        raise UsageError("Open a folder of frames first.")
    folder = sample_id.rpartition("/")[0]
    names = sorted(
        (
            sample.sample_id
            for sample in dataset.samples
            if sample.sample_id.rpartition("/")[0] == folder
        ),
        key=_natural,
    )
    layout, known = session.layout, session.store.corrected_samples()
    corrected = [name in known and layout.correction(name).exists() for name in names]
    here = names.index(sample_id)
    before = [place for place in range(here + 1) if corrected[place]]
    after = [place for place in range(here + 1, len(names)) if corrected[place]]
    if not before or not after:
        raise UsageError(
            "Correct one frame before and one after first; the frames between them can then be "
            "interpolated."
        )
    first, last = before[-1], after[0]
    if last - first < 2:
        raise UsageError("There is no frame between the two corrected ones.")
    spaces = [session.store.correction_label_space(names[place]) for place in (first, last)]
    if spaces[0] is None or spaces[1] is None or spaces[0].names != spaces[1].names:
        raise UsageError("The two corrected frames are in different label spaces.")
    return Gap(names[first], names[last], tuple(names[first + 1 : last]), spaces[0])


def preview_gap(session: Session, gap: Gap, number: int) -> tuple[LabelMap, int]:
    """Return a small label map of one frame between, and how many times smaller it is.

    Parameters
    ----------
    session : Session
    gap : Gap
    number : int
        Of the frame, 0 for the first one between.
    """
    first, last = _ends(session, gap)
    step = max(1, round((first.size / _PREVIEW_PIXELS) ** 0.5))
    small = [np.ascontiguousarray(part[::step, ::step]) for part in (first, last)]
    (found,) = interpolate_maps(small[0], small[1], [gap.fractions[number]])
    return found, step


def start_interpolating(
    session: Session, gap: Gap, done: Callable[[str], None] = lambda sample_id: None
) -> str:
    """Write corrections of the frames between as a job; their state is "in progress".

    Where they come from is entered with them, and each is one stroke in its frame's edit history.

    Parameters
    ----------
    session : Session
    gap : Gap
    done : callable
        Told of each frame that is written, in the job's thread.

    Returns
    -------
    str
        Id of the job.
    """

    def work(progress: Progress) -> str:
        first, last = _ends(session, gap)
        for start in range(0, len(gap.between), _AT_ONCE):
            chunk = slice(start, start + _AT_ONCE)
            names = gap.between[chunk]
            maps = interpolate_maps(
                first, last, gap.fractions[chunk], is_cancelled=lambda: progress.cancelled
            )
            for sample_id, label_map in zip(names, maps, strict=False):
                try:
                    _write(session, gap, sample_id, label_map)
                except SegStudioError as error:
                    progress.fail(sample_id, str(error))
                else:
                    done(sample_id)
                    progress.step()
            if progress.cancelled:
                raise CancelledError("Stopped; what was finished is kept.")
        return f"{len(gap.between)} frames were interpolated."

    title = f"Interpolate {len(gap.between)} frames"
    return session.reviews.jobs.start(title, len(gap.between), work)


def take_back(session: Session, gap: Gap) -> list[str]:
    """Remove the interpolated corrections that nobody has painted on since; return whose."""
    removed = []
    for sample_id in gap.between:
        if session.corrections.remove(sample_id, source=_source(gap)):
            session.store.set_review(sample_id, "")
            removed.append(sample_id)
    return removed


def _source(gap: Gap) -> str:
    return f"interpolated between {gap.first} and {gap.last}"


def _ends(session: Session, gap: Gap) -> tuple[LabelMap, LabelMap]:
    ends = [session.corrections.read_saved(name) for name in (gap.first, gap.last)]
    if ends[0] is None or ends[1] is None:
        raise UsageError("One of the two corrected frames is gone; choose others.")
    return ends[0], ends[1]


def _write(session: Session, gap: Gap, sample_id: str, label_map: LabelMap) -> None:
    with session.corrections.borrowed(
        sample_id, source=None, fallback=gap.label_space
    ) as correction:
        if correction.label_space.names != gap.label_space.names:
            raise UsageError(f"{sample_id} is corrected in another label space.")
        if correction.document.shape != label_map.shape:
            raise UsageError(f"{sample_id} is of another size than the corrected frames.")
        correction.source = _source(gap)
        _paint(correction.document, label_map)
    session.store.set_review(sample_id, "in progress")


def _paint(document: MaskDocument, label_map: LabelMap) -> None:
    """Paint a whole label map as one stroke."""
    document.begin_stroke(STROKE_NAME)
    try:
        height, width = document.shape
        for top in range(0, height, _ROWS):
            box = BBox(top, 0, min(top + _ROWS, height), width)
            here = np.array(document.label_map[box.slices])
            document.apply(MaskPatch(box, here, np.array(label_map[box.slices])))
    except BaseException:
        document.abort_stroke()
        raise
    document.commit_stroke()


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts frame 9 before frame 10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]
