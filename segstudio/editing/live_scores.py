"""Counts that follow the brush: what a patch changes is subtracted and added, never recounted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from segstudio.core.errors import SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap
from segstudio.datasets.scratch import release_pages, row_bands
from segstudio.editing.document import MaskDocument
from segstudio.metrics.confusion import confusion_matrix

__all__ = ["LiveConfusion"]

_MANY = 1 << 16
"""Changed pixels from which OpenCV's histogram beats gathering them: 1.3 against 30 ns each."""

_DENSE = 16
"""The histogram looks at the whole box, so one pixel of this many must have changed."""

_ROWS = 2048
"""Rows that are counted at once; see `segstudio.datasets.scratch.row_bands`."""

_ROWS_HELD = 1 << 12
"""Rows of patches after which a ground truth in a file lets go of its pages: each row that is
looked at brings some ten kilobytes around it along."""

_EXACT_FLOAT = 1 << 24
"""Pixels that OpenCV's float32 counts hold exactly."""


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
        self._touched = 0
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
        changed = patch.before != patch.after
        count = int(np.count_nonzero(changed))
        if not count:
            return
        target = self._target[patch.box.slices]
        self._touched += patch.box.height
        if self._touched > _ROWS_HELD:
            self._touched = 0
            release_pages(self._target)
        one_byte = target.dtype == patch.before.dtype == np.uint8
        if one_byte and count >= _MANY and count * _DENSE >= changed.size:
            removed = self._histogram(target, patch.before, changed)
            first = int(patch.after.reshape(-1)[changed.argmax()])
            uniform = not bool(((patch.after != first) & changed).any())
            added = None if uniform else self._histogram(target, patch.after, changed)
        else:
            at = np.divmod(np.flatnonzero(changed), patch.box.width)
            after = patch.after[at]
            first = int(after[0])
            uniform = bool((after == first).all())
            removed = self._count(target[at][None], patch.before[at][None])
            added = None if uniform else self._count(target[at][None], after[None])
        self._confusion -= removed
        if added is None:
            # A brush gives all its pixels one class: they need no second count.
            column = self._classes if first == self._ignore_index else first
            self._confusion[:, column] += removed.sum(axis=1)
        else:
            self._confusion += added
        self.updated.emit()

    def _count(self, target: LabelMap, prediction: LabelMap) -> NDArray[np.int64]:
        total = np.zeros((self._classes, self._classes + 1), np.int64)
        bands = zip(row_bands(target, _ROWS), row_bands(prediction, _ROWS), strict=True)
        for one, other in bands:
            total += confusion_matrix(one, other, self._classes, ignore_index=self._ignore_index)
        return total

    def _histogram(
        self, target: LabelMap, prediction: LabelMap, where: NDArray[np.bool_]
    ) -> NDArray[np.int64]:
        """Count the pixels of a mask in 8-bit maps whose values are known to be right."""
        import cv2

        total = np.zeros((256, 256), np.int64)
        rows = max(1, _EXACT_FLOAT // where.shape[1])
        for top in range(0, where.shape[0], rows):
            band = slice(top, top + rows)
            counts = cv2.calcHist(
                [target[band], prediction[band]],
                [0, 1],
                where[band].view(np.uint8),
                [256, 256],
                [0, 256, 0, 256],
            )
            total += counts.astype(np.int64)
        classes = self._classes
        columns = [*range(classes), self._ignore_index]
        return total[:classes][:, columns]
