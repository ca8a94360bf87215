"""The label map being corrected, and the only code that changes it.

A tool yields patches, the document applies them and tells its listeners; a stroke is everything
from press to release and is undone as one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from psygnal import Signal

from segstudio.core.errors import UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.history import EditHistory

__all__ = ["MaskDocument", "Stroke", "label_map_fingerprint"]


def label_map_fingerprint(label_map: LabelMap) -> str:
    """Return a hash of shape, type and content, to tell what a journal was painted on."""
    digest = hashlib.sha256(f"{label_map.shape}{label_map.dtype.str}".encode())
    digest.update(np.ascontiguousarray(label_map).tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """A finished change: one patch and what it is called in the history."""

    name: str
    patch: MaskPatch


class _StrokeBuffer:
    """What the box of an unfinished stroke held before it, grown as the stroke grows.

    The box grows by at least half of its size, so that a long stroke copies each pixel a few
    times, not once per move.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.touched: BBox | None = None
        self._box: BBox | None = None
        self._before: LabelMap | None = None

    def include(self, box: BBox, label_map: LabelMap) -> None:
        """Remember ``box`` of the label map, which still holds what was before the patch."""
        self.touched = box if self.touched is None else self.touched.union(box)
        known, before = self._box, self._before
        if known is None or before is None:
            self._box, self._before = box, label_map[box.slices].copy()
            return
        if known.union(box) == known:
            return
        height, width = label_map.shape
        grow_rows, grow_cols = known.height // 2, known.width // 2
        wider = BBox(
            box.top - grow_rows if box.top < known.top else known.top,
            box.left - grow_cols if box.left < known.left else known.left,
            box.bottom + grow_rows if box.bottom > known.bottom else known.bottom,
            box.right + grow_cols if box.right > known.right else known.right,
        ).clipped(height, width)
        # Outside the known box nothing was changed yet, so the label map still tells what was.
        grown = label_map[wider.slices].copy()
        top, left = known.top - wider.top, known.left - wider.left
        grown[top : top + known.height, left : left + known.width] = before
        self._box, self._before = wider, grown

    def finished(self, label_map: LabelMap) -> Stroke | None:
        """Return the stroke cut down to the pixels that differ, None when none does."""
        touched, known, before = self.touched, self._box, self._before
        if touched is None or known is None or before is None:
            return None
        rows = slice(touched.top - known.top, touched.bottom - known.top)
        cols = slice(touched.left - known.left, touched.right - known.left)
        old, new = before[rows, cols], label_map[touched.slices]
        changed = old != new
        changed_rows = np.flatnonzero(changed.any(axis=1))
        if changed_rows.size == 0:
            return None
        changed_cols = np.flatnonzero(changed.any(axis=0))
        top, bottom = int(changed_rows[0]), int(changed_rows[-1]) + 1
        left, right = int(changed_cols[0]), int(changed_cols[-1]) + 1
        box = BBox(touched.top + top, touched.left + left, touched.top + bottom, touched.left + right)
        inner = np.s_[top:bottom, left:right]
        return Stroke(self.name, MaskPatch(box, old[inner].copy(), new[inner].copy()))


class MaskDocument:
    """A label map under correction.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
        Copied.
    classes : int
        Number of classes.
    ignore_index : int
        Value of unlabelled pixels.
    history : EditHistory, optional
        Where strokes are remembered; None makes one of its own.
    """

    changed = Signal(MaskPatch)
    """A patch was applied: by a tool, by undo or by redo."""
    stroke_finished = Signal(Stroke)
    """A stroke was committed, undone or redone, as the patch that did it."""

    def __init__(
        self,
        label_map: LabelMap,
        *,
        classes: int,
        ignore_index: int,
        history: EditHistory | None = None,
    ) -> None:
        self._label_map = np.array(label_map, copy=True, order="C")
        self.classes = classes
        self.ignore_index = ignore_index
        self.history = EditHistory() if history is None else history
        self.revision = 0
        self._saved_revision = 0
        self._stroke: _StrokeBuffer | None = None

    @property
    def label_map(self) -> LabelMap:
        """The label map, a read-only view of the living array."""
        view = self._label_map.view()
        view.flags.writeable = False
        return view

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self._label_map.shape
        return height, width

    @property
    def is_dirty(self) -> bool:
        """Whether there is something to save."""
        return self.revision != self._saved_revision

    @property
    def in_stroke(self) -> bool:
        """Whether a stroke has begun and not ended."""
        return self._stroke is not None

    def fingerprint(self) -> str:
        """Return `label_map_fingerprint` of the present content."""
        return label_map_fingerprint(self._label_map)

    def mark_saved(self) -> None:
        """Remember that the present content is on disk."""
        self._saved_revision = self.revision

    def apply(self, patch: MaskPatch) -> None:
        """Apply a patch as part of the stroke that was begun.

        Raises
        ------
        UsageError
            When no stroke was begun, or the patch does not fit the image.
        """
        if self._stroke is None:
            raise UsageError("A patch belongs to a stroke; begin one first.")
        self._check(patch)
        self._stroke.include(patch.box, self._label_map)
        self._write(patch)

    def begin_stroke(self, name: str) -> None:
        """Begin a stroke; one that was not ended is committed first."""
        if self._stroke is not None:
            self.commit_stroke()
        self._stroke = _StrokeBuffer(name)

    def commit_stroke(self) -> Stroke | None:
        """End the stroke, remember it, and return it; None when it changed nothing."""
        buffer, self._stroke = self._stroke, None
        stroke = None if buffer is None else buffer.finished(self._label_map)
        if stroke is not None:
            self.revision += 1
            self.history.push(stroke.name, stroke.patch)
            self.stroke_finished.emit(stroke)
        return stroke

    def abort_stroke(self) -> None:
        """Take back everything the unfinished stroke did."""
        buffer, self._stroke = self._stroke, None
        stroke = None if buffer is None else buffer.finished(self._label_map)
        if stroke is not None:
            self._write(stroke.patch.inverse())

    def undo(self) -> str | None:
        """Take the last stroke back and return its name, None when there is none."""
        return self._travel(self.history.take_undo())

    def redo(self) -> str | None:
        """Do the last undone stroke again and return its name, None when there is none."""
        return self._travel(self.history.take_redo())

    def replay(self, patches: list[MaskPatch], *, name: str) -> int:
        """Apply recovered patches, each as a stroke of its own, and return how many fitted.

        Strokes that are replayed are in the history but are not announced as finished: their
        records are in the journal already.
        """
        done = 0
        for patch in patches:
            try:
                self._check(patch)
            except UsageError:
                break
            current = self._label_map[patch.box.slices].copy()
            self._write(MaskPatch(patch.box, current, patch.after))
            self.history.push(name, MaskPatch(patch.box, current, patch.after))
            self.revision += 1
            done += 1
        return done

    def _travel(self, step: tuple[str, MaskPatch] | None) -> str | None:
        if self._stroke is not None:
            self.commit_stroke()
        if step is None:
            return None
        name, patch = step
        self._write(patch)
        self.revision += 1
        self.stroke_finished.emit(Stroke(name, patch))
        return name

    def _write(self, patch: MaskPatch) -> None:
        self._label_map[patch.box.slices] = patch.after
        self.changed.emit(patch)

    def _check(self, patch: MaskPatch) -> None:
        height, width = self._label_map.shape
        if patch.box.clipped(height, width) != patch.box or patch.box.is_empty:
            raise UsageError(f"The patch {patch.box} does not lie in {height} x {width} pixels.")
        if patch.after.dtype != self._label_map.dtype:
            raise UsageError(
                f"The patch is of {patch.after.dtype}, the label map of {self._label_map.dtype}."
            )
