"""The confusion matrix of a label map under correction, kept exact patch by patch."""

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
    """Counts against the ground truth: subtracted before a patch, added after it.

    Integers only, so after any sequence of patches the matrix equals a full recount.

    Parameters
    ----------
    target : ndarray of shape (H, W)
        Ground truth in the document's label space.
    document : MaskDocument
        Its ``changed`` signal is listened to until `detach`.

    Raises
    ------
    SizeMismatchError
        When the shapes differ.
    """

    updated = Signal()

    def __init__(self, target: LabelMap, document: MaskDocument) -> None:
        if target.shape != document.shape:
            raise SizeMismatchError(
                f"The ground truth is {target.shape[0]} x {target.shape[1]} pixels, the correction "
                f"{document.shape[0]} x {document.shape[1]}."
            )
        self._target = target
        self._document = document
        self._confusion = self._count(target, document.label_map)
        document.changed.connect(self._on_changed)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """The (C, C + 1) matrix; the last column counts unlabelled pixels."""
        return self._confusion.copy()

    def detach(self) -> None:
        """Stop listening."""
        self._document.changed.disconnect(self._on_changed, missing_ok=True)

    def _on_changed(self, patch: MaskPatch) -> None:
        target = self._target[patch.box.slices]
        self._confusion += self._count(target, patch.after)
        self._confusion -= self._count(target, patch.before)
        self.updated.emit()

    def _count(self, target: LabelMap, prediction: LabelMap) -> NDArray[np.int64]:
        return confusion_matrix(
            target,
            prediction,
            self._document.classes,
            ignore_index=self._document.ignore_index,
            kernel="numpy",
        )
