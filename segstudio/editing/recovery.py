"""Strokes of a journal, brought back into a document."""

from __future__ import annotations

from collections.abc import Iterator

from segstudio.core.errors import SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap
from segstudio.editing.document import MaskDocument
from segstudio.editing.history import EditHistory
from segstudio.editing.journal import Recovered
from segstudio.editing.stroke import Stroke

__all__ = ["fits", "open_recovered", "replay"]


def fits(recovered: Recovered, document: MaskDocument) -> bool:
    """Return whether the document holds exactly what the strokes were painted on."""
    return recovered.base_fingerprint == document.fingerprint()


def replay(recovered: Recovered, document: MaskDocument) -> int:
    """Paint the strokes of a journal again, each as a stroke that can be undone.

    On the label map that they were painted on the result is exact.  On another one of the same size
    (the model was run again, or the correction was saved and only the journal not yet truncated)
    each stroke gives its pixels the classes that it gave them before.

    Parameters
    ----------
    recovered : Recovered
        From `segstudio.editing.journal.recover`.
    document : MaskDocument
        Usually without a journal as yet: the records are on the disk already, and a `Journal` that
        gets ``resumed=recovered`` goes on after them.  With another journal they are recorded anew.

    Returns
    -------
    int
        Strokes that changed something.

    Raises
    ------
    SizeMismatchError
        When the document has another size or type; nothing is painted.
    """
    header = recovered.header
    if (header.height, header.width) != document.shape or header.dtype != document.dtype.name:
        raise SizeMismatchError(
            f"The recovered strokes of {header.sample_id} are for a {header.dtype} map of "
            f"{header.height} x {header.width} pixels, but its label map is a "
            f"{document.dtype.name} map of {document.shape[0]} x {document.shape[1]}."
        )
    exact = fits(recovered, document)
    changed = 0
    for stroke in recovered.strokes:
        document.begin_stroke(stroke.name)
        try:
            for patch in _patches(stroke, document, exact=exact):
                document.apply(patch)
        except BaseException:
            document.abort_stroke()
            raise
        changed += document.commit_stroke() is not None
    return changed


def open_recovered(
    recovered: Recovered,
    base: LabelMap,
    *,
    classes: int,
    ignore_index: int,
    history: EditHistory,
) -> tuple[MaskDocument, int]:
    """Open a document with the strokes of its journal, going on with its history.

    In the session that painted them the history still holds the strokes (and those that were saved
    before them): replaying would enter them twice, so it is resumed.  After a crash the history is
    empty, and the strokes are replayed into it.

    Parameters
    ----------
    recovered : Recovered
        From `segstudio.editing.journal.recover`.
    base : ndarray of shape (H, W)
        What the file of the correction, or else its source, holds.
    classes, ignore_index : int
        Of the label space.
    history : EditHistory
        The image's.

    Returns
    -------
    (MaskDocument, int)
        The document, without a journal, and how many strokes were not in the history any more.

    Raises
    ------
    SizeMismatchError
        As `replay`.
    """
    if history.was_left:
        again = MaskDocument(base, classes=classes, ignore_index=ignore_index)
        if fits(recovered, again):
            replay(recovered, again)
            if history.was_left_at(again.fingerprint()):
                resumed = MaskDocument(
                    again.surrender(),
                    classes=classes,
                    ignore_index=ignore_index,
                    history=history,
                    adopt=True,
                    saved=not again.is_dirty,
                )
                return resumed, 0
        del again  # a large map is not held twice
    document = MaskDocument(base, classes=classes, ignore_index=ignore_index, history=history)
    return document, replay(recovered, document)


def _patches(stroke: Stroke, document: MaskDocument, *, exact: bool) -> Iterator[MaskPatch]:
    label_map = document.label_map
    return stroke.toggled(label_map) if exact else stroke.repainted(label_map)
