"""One class turned into another in many images: counted first, then done as a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from segstudio.core.errors import CancelledError, SegStudioError, UsageError
from segstudio.core.label_space import LabelSpace
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.datasets.large import read_label_map
from segstudio.datasets.scratch import row_bands
from segstudio.editing.document import MaskDocument
from segstudio.editing.geometry import mask_bounds

if TYPE_CHECKING:
    from segstudio.session.corrections import Corrections
    from segstudio.session.session import Session
    from segstudio.session.thread_jobs import Progress

__all__ = [
    "UNLABELLED",
    "ReplaceCount",
    "ReplaceRequest",
    "class_values",
    "count_class",
    "replace_class",
    "start_replacing",
]

_ROWS = 256

UNLABELLED = "unlabelled"
"""What stands for the ignore index where a class's name is asked for."""


@dataclass(frozen=True, slots=True)
class ReplaceRequest:
    """What is to be replaced.

    Attributes
    ----------
    before, after : str
        Names of classes, or `UNLABELLED`.
    run : str or None
        A run whose prediction becomes the correction of an image that has none; None leaves such
        images alone.
    """

    before: str
    after: str
    run: str | None = None


@dataclass(frozen=True, slots=True)
class ReplaceCount:
    """What would be replaced in one image.

    Attributes
    ----------
    sample_id : str
    pixels : int
        How many hold the class; 0 when there is nothing to do.
    of : str
        "correction", "prediction", or "" when the image has neither.
    unsaved : bool
        Whether strokes on it are not saved yet: replacing saves them too.
    problem : str or None
        Why it cannot be done.
    """

    sample_id: str
    pixels: int
    of: str
    unsaved: bool = False
    problem: str | None = None


def count_class(
    session: Session, request: ReplaceRequest, sample_ids: Iterable[str]
) -> Iterator[ReplaceCount]:
    """Yield what would be replaced in each image; nothing is changed.

    Parameters
    ----------
    session : Session
        With an open dataset.
    request : ReplaceRequest
    sample_ids : iterable of str

    Raises
    ------
    UsageError
        When both classes are the same.
    """
    if request.before == request.after:
        raise UsageError("Choose two different classes; nothing would be replaced.")
    unsaved = set(session.unsaved_samples())
    for sample_id in sample_ids:
        try:
            yield _counted(session, request, sample_id, sample_id in unsaved)
        except SegStudioError as error:
            yield ReplaceCount(sample_id, 0, "", sample_id in unsaved, str(error))


def _counted(
    session: Session, request: ReplaceRequest, sample_id: str, unsaved: bool
) -> ReplaceCount:
    layout, store = session.layout, session.store
    correction = session.corrections.get(sample_id)
    if correction is not None:
        document = correction.document
        pair = class_values(request, correction.label_space)
        dirty = unsaved or document.is_dirty
        return ReplaceCount(sample_id, _pixels(document.label_map, pair[0]), "correction", dirty)
    path, of = layout.correction(sample_id), "correction"
    space = store.correction_label_space(sample_id)
    if not path.exists() or space is None:
        if request.run is None:
            return ReplaceCount(sample_id, 0, "", unsaved)
        path, of = layout.layer(request.run, "labels", sample_id), "prediction"
        space = store.run(request.run).label_space
        if not path.exists():
            return ReplaceCount(sample_id, 0, "", unsaved)
    value = class_values(request, space)[0]
    return ReplaceCount(sample_id, _pixels(read_label_map(path, space), value), of, unsaved)


def class_values(request: ReplaceRequest, space: LabelSpace) -> tuple[int, int]:
    """Return what the two classes are in a label space.

    Raises
    ------
    UsageError
        When it has not both.
    """
    values = []
    for name in (request.before, request.after):
        entry = space.find(name)
        if entry is None and name != UNLABELLED:
            raise UsageError(f"It is in the label space {space.name}, which has no class {name!r}.")
        values.append(space.ignore_index if entry is None else entry.index)
    return values[0], values[1]


def _pixels(label_map: Any, value: int) -> int:
    return sum(int(np.count_nonzero(band == value)) for band in row_bands(label_map, _ROWS))


def replace_class(document: MaskDocument, before: int, after: int, *, name: str) -> int:
    """Give all pixels of a class another one, as one stroke; return how many there were.

    Parameters
    ----------
    document : MaskDocument
    before, after : int
        Class indices or the ignore index.
    name : str
        Of the stroke, in the history list.

    Raises
    ------
    SegStudioError
        When it cannot be painted or journalled.
    """
    replaced = 0
    document.begin_stroke(name)
    try:
        for top in range(0, document.shape[0], _ROWS):
            band = document.label_map[top : top + _ROWS]
            found = band == before
            bounds = mask_bounds(found)
            if bounds is None:
                continue
            here = np.array(band[bounds.slices])
            there = here.copy()
            there[found[bounds.slices]] = after
            replaced += int(np.count_nonzero(found))
            box = BBox(top + bounds.top, bounds.left, top + bounds.bottom, bounds.right)
            document.apply(MaskPatch(box, here, there))
    except BaseException:
        document.abort_stroke()
        raise
    document.commit_stroke()
    return replaced


def _replace_in(corrections: Corrections, request: ReplaceRequest, sample_id: str) -> None:
    with corrections.borrowed(sample_id, source=request.run) as correction:
        before, after = class_values(request, correction.label_space)
        name = f"Replace {request.before} by {request.after}"
        replace_class(correction.document, before, after, name=name)


def start_replacing(
    session: Session,
    request: ReplaceRequest,
    sample_ids: Sequence[str],
    done: Callable[[str], None] = lambda sample_id: None,
) -> str:
    """Replace a class in images as a job, one after the other; each is whole or untouched.

    Every image is saved as a revision of its own: the one before becomes its backup, and the stroke
    can be undone in the image's edit history as long as the program runs.

    Parameters
    ----------
    session : Session
    request : ReplaceRequest
    sample_ids : sequence of str
    done : callable
        Told of each image that is finished or has failed, in the job's thread.

    Returns
    -------
    str
        Id of the job.
    """
    corrections = session.corrections

    def work(progress: Progress) -> str:
        for sample_id in sample_ids:
            try:
                _replace_in(corrections, request, sample_id)
            except SegStudioError as error:
                progress.fail(sample_id, str(error))
                done(sample_id)
                if progress.cancelled:
                    raise CancelledError("Stopped; what was finished is kept.") from None
            else:
                done(sample_id)
                progress.step()
        return ""

    title = f"Replace {request.before} by {request.after}"
    return session.reviews.jobs.start(title, len(sample_ids), work)
