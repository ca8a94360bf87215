"""Strokes of a journal, brought back into a document."""

from __future__ import annotations

from collections.abc import Iterator

from segstudio.core.errors import SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.editing.document import MaskDocument
from segstudio.editing.journal import Recovered
from segstudio.editing.stroke import Stroke

__all__ = ["fits", "replay"]


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


def _patches(stroke: Stroke, document: MaskDocument, *, exact: bool) -> Iterator[MaskPatch]:
    label_map = document.label_map
    return stroke.toggled(label_map) if exact else stroke.repainted(label_map)
