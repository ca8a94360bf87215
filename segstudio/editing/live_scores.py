"""Counts that follow the brush: what a patch changes is subtracted and added, never recounted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from segstudio.core.errors import SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap
from segstudio.editing.document import MaskDocument
from segstudio.metrics.confusion import confusion_matrix

__all__ = ["LiveConfusion"]


class LiveConfusion:
    """The confusion of a ground truth and a document, always up to date.

    Parameters
    ----------
    target : ndarray of shape (H, W), integer
        Ground truth in the document's label space; not changed meanwhile.
    document : MaskDocument
        What is painted; followed until `close`.
    classes, ignore_index : int, optional
        Of the label space; the document's own when left out.

    Attributes
    ----------
    updated : Signal
        `confusion` holds other numbers.

    Raises
    ------
    SizeMismatchError
        When the ground truth has another size.
    LabelValueError
        When it holds what is no class.
    """

    updated = Signal()

    def __init__(
        self,
        target: LabelMap,
        document: MaskDocument,
        classes: int | None = None,
        ignore_index: int | None = None,
    ) -> None:
        if target.shape != document.shape:
            raise SizeMismatchError(
                f"The ground truth has {target.shape[0]} x {target.shape[1]} pixels, but the "
                f"correction has {document.shape[0]} x {document.shape[1]}; both must have the "
                "image's size."
            )
        self._target = target
        self._document = document
        self._classes = document.classes if classes is None else classes
        self._ignore_index = document.ignore_index if ignore_index is None else ignore_index
        self._confusion = self._count(target, document.label_map)
        document.changed.connect(self._on_changed)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C + 1) int64, as `segstudio.metrics.confusion.confusion_matrix`; a copy."""
        return self._confusion.copy()

    def recount(self) -> NDArray[np.int64]:
        """Return the counts of the whole maps, equal to `confusion`; for checks."""
        return self._count(self._target, self._document.label_map)

    def close(self) -> None:
        """Stop following the document."""
        self._document.changed.disconnect(self._on_changed, missing_ok=True)

    def _on_changed(self, patch: MaskPatch) -> None:
        changed = np.flatnonzero(patch.before != patch.after)
        if not changed.size:
            return
        width = patch.box.width
        if changed.size == patch.before.size:
            target = self._target[patch.box.slices].reshape(-1)
        else:
            rows = changed // width
            target = self._target[rows + patch.box.top, changed - rows * width + patch.box.left]
        before, after = patch.before.reshape(-1)[changed], patch.after.reshape(-1)[changed]
        removed = self._count(target[None], before[None])
        self._confusion -= removed
        if bool((after == after[0]).all()):
            # A brush gives all its pixels one class: they need no second count.
            value = int(after[0])
            column = self._classes if value == self._ignore_index else value
            self._confusion[:, column] += removed.sum(axis=1)
        else:
            self._confusion += self._count(target[None], after[None])
        self.updated.emit()

    def _count(self, target: LabelMap, prediction: LabelMap) -> NDArray[np.int64]:
        return confusion_matrix(target, prediction, self._classes, ignore_index=self._ignore_index)
