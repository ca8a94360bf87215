"""Counts that follow the brush: what a patch changes is subtracted and added, never recounted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from segstudio.core.errors import SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap
from segstudio.datasets.scratch import is_mapped, release_pages, row_bands
from segstudio.editing.changes import changes_of
from segstudio.editing.document import MaskDocument
from segstudio.metrics.confusion import confusion_matrix

__all__ = ["LiveConfusion"]

_ROWS = 2048
"""Rows that are counted at once; see `segstudio.datasets.scratch.row_bands`."""

_CELL_ROWS, _CELL_BYTES = 256, 1 << 16
"""Rows, and bytes of each: the cells in which it is noted where a ground truth in a file was
looked at.  The system brings so many bytes around what is looked at along."""

_HELD_BYTES = 1 << 28
"""Bytes of such cells after which the pages are let go; to fetch them again takes time."""

_SMALL = 1 << 17
"""Pixels up to which to number the classes without gaps costs less than 256 x 256 counts."""

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
        self._cells: dict[int, set[int]] = {}
        row_bytes = target.shape[1] * target.dtype.itemsize
        cells = _HELD_BYTES // (_CELL_ROWS * min(row_bytes, _CELL_BYTES))
        self._most_cells = cells if is_mapped(target) else 0
        # One row more than is shown: how what is painted changes where the ground truth is ignored.
        self._table = np.zeros((self._classes + 1, self._classes + 1), np.int64)
        self._confusion = self._table[: self._classes]
        self._confusion += self._count(target, document.label_map)
        self._rows = self._places(target.dtype) * (self._classes + 1)
        self._columns = self._places(document.dtype)
        self._compact = np.minimum(self._columns, 255).astype(np.uint8)[:256]
        document.changed.connect(self._on_changed)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(C, C + 1) int64, as `segstudio.metrics.confusion.confusion_matrix`; a copy."""
        return self._confusion.copy()

    @property
    def document(self) -> MaskDocument:
        """What is painted."""
        return self._document

    def painted(self) -> NDArray[np.int64]:
        """Return (C,) int64: pixels by class, short of a number that stays the same.

        Missing are those of before the first stroke where the ground truth is ignored.
        """
        return self._table.sum(axis=0)[: self._classes]

    def recount(self) -> NDArray[np.int64]:
        """Return the counts of the whole maps, equal to `confusion`; for checks."""
        return self._count(self._target, self._document.label_map)

    def close(self) -> None:
        """Stop following the document."""
        self._document.changed.disconnect(self._on_changed, missing_ok=True)

    def _on_changed(self, patch: MaskPatch) -> None:
        if self._most_cells:
            self._note_look(patch.box)
        changes = changes_of(patch)
        if not changes.count:
            return
        target = self._target[patch.box.slices]
        if changes.is_dense and target.dtype == patch.before.dtype == np.uint8:
            removed = self._histogram(target, patch.before, changes.mask)
            self._table -= removed
            first = int(patch.after.reshape(-1)[changes.mask.argmax()])
            if bool(((patch.after != first) & changes.mask).any()):
                self._table += self._histogram(target, patch.after, changes.mask)
            else:
                # A brush gives all its pixels one class: they need no second count.
                self._table[:, self._columns[first]] += removed.sum(axis=1)
        else:
            rows = self._rows.take(changes.gather(target))
            table = self._table.reshape(-1)
            np.subtract.at(table, rows + self._columns.take(changes.before), 1)
            np.add.at(table, rows + self._columns.take(changes.after), 1)
        self.updated.emit()

    def _note_look(self, box: BBox) -> None:
        """Let go of what was looked at longest ago when a ground truth's pages become too many."""
        columns = _CELL_BYTES // self._target.dtype.itemsize
        across = set(range(box.left // columns, (box.right - 1) // columns + 1))
        looked = range(box.top // _CELL_ROWS, (box.bottom - 1) // _CELL_ROWS + 1)
        for row in looked:
            self._cells[row] = self._cells.pop(row, set()) | across
        count = sum(len(cells) for cells in self._cells.values())
        while count > self._most_cells and len(self._cells) > len(looked):
            oldest = next(iter(self._cells))
            count -= len(self._cells.pop(oldest))
            release_pages(self._target, slice(oldest * _CELL_ROWS, (oldest + 1) * _CELL_ROWS))

    def _places(self, dtype: np.dtype[Any]) -> NDArray[np.intp]:
        """Return where each value of a type is counted: the ignore index behind the classes.

        Any other value has a place outside of the table, so that it would raise.
        """
        outside = np.iinfo(np.intp).max // (4 * (self._classes + 1))
        places = np.full(int(np.iinfo(dtype).max) + 1, outside, np.intp)
        places[: self._classes] = np.arange(self._classes)[: len(places)]
        if self._ignore_index < len(places):
            places[self._ignore_index] = self._classes
        return places

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

        small = where.size <= _SMALL
        side = self._classes + 1 if small else 256
        total = np.zeros((side, side), np.int64)
        rows = max(1, _EXACT_FLOAT // where.shape[1])
        for top in range(0, where.shape[0], rows):
            band = slice(top, top + rows)
            maps = [target[band], prediction[band]]
            if small:
                maps = [cv2.LUT(part, self._compact) for part in maps]
            counts = cv2.calcHist(
                maps, [0, 1], where[band].view(np.uint8), [side, side], [0, side, 0, side]
            )
            total += counts.astype(np.int64)
        order = [*range(self._classes), self._ignore_index]
        return total if small else total[order][:, order]
