"""The corrected label map: the only code that changes one."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
from psygnal import Signal

from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import LabelMap
from segstudio.datasets.scratch import private_copy
from segstudio.editing.checks import check_values
from segstudio.editing.fingerprints import LiveFingerprint, fingerprint
from segstudio.editing.history import EditHistory
from segstudio.editing.journal import Journal
from segstudio.editing.stroke import Piece, Stroke, StrokeRecorder, encode_patch

__all__ = ["MaskDocument", "fingerprint"]

_STATES = itertools.count(1)
"""Numbers of document states, never used twice in a session."""

_LARGE_STROKE = 1 << 20
"""Pixels from which compressing a stroke takes longer than a frame."""


class MaskDocument:
    """A label map under correction, with strokes, undo and redo.

    Not for several threads: everything happens where the strokes come from.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8 or uint16
        What the correction starts from; copied, a very large one into a file.
    ignore_index : int
        The label space's, 255 or 65535.
    classes : int
        C, the number of classes.
    history : EditHistory, optional
        Where strokes are kept for undo, usually ``pool.history(sample_id)``; one of its own when
        left out.  A history that was left with other content is cleared.
    journal : Journal, optional
        Where every finished stroke, undo and redo is appended; can also be set later.
    adopt : bool
        Whether to take ``label_map`` itself instead of a copy (a memory-mapped one, or one that
        nobody else holds); it must be C-contiguous and writable.
    saved : bool
        Whether the file that the map belongs to holds just this.

    Attributes
    ----------
    changed : Signal(MaskPatch)
        A box was written, by a tool, an undo, a redo or a stroke taken back.
    state_changed : Signal
        What can be undone or redone, or whether there is something to save, may be another.

    Raises
    ------
    LabelValueError
        When the label map holds what is neither a class nor the ignore index.
    """

    changed = Signal(MaskPatch)
    state_changed = Signal()

    def __init__(
        self,
        label_map: LabelMap,
        *,
        ignore_index: int,
        classes: int,
        history: EditHistory | None = None,
        journal: Journal | None = None,
        adopt: bool = False,
        saved: bool = True,
    ) -> None:
        if label_map.ndim != 2 or label_map.dtype not in (np.uint8, np.uint16):
            raise LabelValueError(
                f"A map of shape {label_map.shape} and type {label_map.dtype} cannot be "
                "corrected; it must hold one 8-bit or 16-bit class index per pixel."
            )
        if not 0 < classes <= ignore_index <= np.iinfo(label_map.dtype).max:
            raise UsageError(
                f"A label map of type {label_map.dtype} cannot hold {classes} classes and the "
                f"ignore index {ignore_index}."
            )
        if adopt and not (label_map.flags.c_contiguous and label_map.flags.writeable):
            raise UsageError("A label map can only be adopted when it is contiguous and writable.")
        self._map = label_map if adopt else private_copy(label_map)
        self._view = self._map.view()
        self._view.flags.writeable = False
        self._ignore_index, self._classes = ignore_index, classes
        check_values(self._map, classes, ignore_index)
        self._fingerprint = LiveFingerprint(self._map)
        self._travels = ""
        self._open: tuple[str, StrokeRecorder] | None = None
        self._history = EditHistory() if history is None else history
        state = None
        if self._history.can_undo or self._history.can_redo:
            state = self._history.resume(self.fingerprint())
        self._state = next(_STATES) if state is None else state
        self._saved: int | None = self._state if saved else None
        self.journal = journal

    @property
    def label_map(self) -> LabelMap:
        """(H, W) uint8 or uint16: a read-only view of the same memory for the document's life."""
        return self._view

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self._map.shape
        return height, width

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 or uint16."""
        return self._map.dtype

    @property
    def ignore_index(self) -> int:
        """The value of pixels without a class."""
        return self._ignore_index

    @property
    def classes(self) -> int:
        """C, the number of classes."""
        return self._classes

    @property
    def history(self) -> EditHistory:
        """The strokes that can be undone and redone."""
        return self._history

    @property
    def revision(self) -> int:
        """How many patches were written so far; another number, other pixels."""
        return self._fingerprint.revision

    @property
    def is_dirty(self) -> bool:
        """Whether the content is another than at `mark_saved`; undoing back to it counts."""
        return (
            bool(self._travels)
            or self._state != self._saved
            or (self._open is not None and not self._open[1].is_empty)
        )

    @property
    def in_stroke(self) -> bool:
        """Whether a stroke was begun and neither finished nor taken back, or one is undone."""
        return self._open is not None or bool(self._travels)

    @property
    def is_large_stroke(self) -> bool:
        """Whether finishing the stroke takes longer than a frame; see `prepare_commit`."""
        return self._open is not None and self._open[1].pixels > _LARGE_STROKE

    def fingerprint(self) -> str:
        """Return a hash of the present content; see `fingerprint`."""
        return self._fingerprint.now()

    @property
    def state(self) -> int:
        """Number of the present content; undoing back to it brings the number back."""
        return self._state

    def mark_saved(self, state: int | None = None) -> None:
        """Take the present content, or that of an earlier `state`, as the saved one."""
        self._saved = self._state if state is None else state
        self.state_changed.emit()

    def apply(self, patch: MaskPatch) -> None:
        """Write a patch; outside a stroke it is a stroke by itself.

        Raises
        ------
        SizeMismatchError, LabelValueError, UsageError
            When the patch does not fit the image, holds an unknown class or was made for other
            content; nothing is written.
        """
        if self._open is None:
            self.begin_stroke("Edit")
            try:
                self.apply(patch)
            except BaseException:
                self.abort_stroke()
                raise
            self.commit_stroke()
            return
        self._check_patch(patch)
        self._open[1].keep(patch.box)
        self._write(patch)

    def begin_stroke(self, name: str) -> None:
        """Begin a stroke.

        Parameters
        ----------
        name : str
            What a person reads in the history list.

        Raises
        ------
        UsageError
            When another one is not finished.
        """
        self._refuse_in_stroke()
        self._open = name, StrokeRecorder(self._map)

    def prepare_commit(self) -> None:
        """Compress the unfinished stroke, so that `commit_stroke` takes no time.

        Compressing a stroke as large as a large image takes half a second.  This may run in another
        thread, provided that the stroke is complete; without a stroke nothing happens.
        """
        if self._open is not None:
            self._open[1].prepare()

    def commit_stroke(self) -> Stroke | None:
        """Finish the stroke: enter it into the history and append it to the journal.

        Returns
        -------
        Stroke or None
            None when no pixel is another than before the stroke.

        Raises
        ------
        WriteError
            When the journal cannot be written.  The stroke stands and can be undone, and the
            journal appends it together with the next one.
        """
        name, recorder = self._take_open()
        pieces = recorder.pieces()
        if not pieces:
            return None
        stroke = Stroke(name, self.dtype, pieces)
        before, self._state = self._state, next(_STATES)
        self._history.push(stroke, before, self._state)
        try:
            self.state_changed.emit()
        finally:
            self._record(stroke)
        return stroke

    def abort_stroke(self) -> None:
        """Take back all that the unfinished stroke did; without one nothing happens."""
        if self._open is None:
            return
        patches = list(self._take_open()[1].restoring())
        for patch in patches:
            self._change(patch)
        # Told only now, so that a listener's failure leaves no half of a stroke.
        for patch in patches:
            self.changed.emit(patch)

    def undo(self) -> Stroke | None:
        """Take the last stroke back; return it, None when there is none.

        Raises
        ------
        UsageError
            When a stroke is not finished.
        WriteError
            When the journal cannot be written; the stroke is taken back nevertheless.
        """
        return _whole(self.undo_parts())

    def undo_parts(self) -> Generator[None, None, Stroke | None]:
        """Do what `undo` does a part at a time, some milliseconds between two yields.

        Until it has ended the document is in a stroke.  When the generator is closed before, the
        rest is done at once: half a stroke is never left.
        """
        self._refuse_in_stroke()
        return (yield from self._toggle(self._history.step_back(), "Undo: "))

    def redo(self) -> Stroke | None:
        """Do the last stroke that was undone again; return it, None when there is none.

        Raises
        ------
        UsageError, WriteError
            As `undo`.
        """
        return _whole(self.redo_parts())

    def redo_parts(self) -> Generator[None, None, Stroke | None]:
        """Do what `redo` does a part at a time; see `undo_parts`."""
        self._refuse_in_stroke()
        return (yield from self._toggle(self._history.step_forward(), ""))

    def surrender(self) -> LabelMap:
        """Return the map itself, for a document that adopts it; this one is of no use then."""
        return self._map

    def close(self) -> None:
        """Let the history remember the content, so that undo goes on when the image is reopened.

        An unfinished stroke is taken back.  The journal stays open; it is its owner's.
        """
        self.abort_stroke()
        self._history.leave(self.fingerprint(), self._state)

    def _toggle(
        self, step: tuple[Stroke, int] | None, prefix: str
    ) -> Generator[None, None, Stroke | None]:
        if step is None:
            return None
        stroke, state = step
        pieces: list[Piece] = []
        patches = stroke.toggled(self._map)
        self._travels = stroke.name
        try:
            for patch in patches:
                self._travel(patch, pieces)
                yield
        finally:
            try:
                for patch in patches:
                    self._travel(patch, pieces)
            finally:
                self._travels, self._state = "", state
        try:
            self.state_changed.emit()
        finally:
            self._record(Stroke(f"{prefix}{stroke.name}", self.dtype, tuple(pieces)))
        return stroke

    def _travel(self, patch: MaskPatch, pieces: list[Piece]) -> None:
        self._write(patch)
        if self.journal is not None:
            piece = encode_patch(patch)
            pieces.extend([] if piece is None else [piece])

    def _record(self, stroke: Stroke) -> None:
        if self.journal is not None:
            self.journal.append(stroke)

    def _write(self, patch: MaskPatch) -> None:
        self._change(patch)
        self.changed.emit(patch)

    def _change(self, patch: MaskPatch) -> None:
        box = patch.box
        self._fingerprint.note(box.top, box.bottom)
        self._map[box.slices] = patch.after

    def _take_open(self) -> tuple[str, StrokeRecorder]:
        if self._open is None:
            raise UsageError("No stroke was begun.")
        taken, self._open = self._open, None
        return taken

    def _refuse_in_stroke(self) -> None:
        if self._open is not None:
            raise UsageError(f"The stroke {self._open[0]!r} is not finished yet.")
        if self._travels:
            raise UsageError(f"The stroke {self._travels!r} is still being undone or redone.")

    def _check_patch(self, patch: MaskPatch) -> None:
        box = patch.box
        height, width = self._map.shape
        outside = min(box.top, box.left) < 0 or box.bottom > height or box.right > width
        if outside or box.is_empty:
            raise SizeMismatchError(
                f"A change of rows {box.top}..{box.bottom}, columns {box.left}..{box.right} does "
                f"not lie in the image of {self.shape[0]} x {self.shape[1]} pixels."
            )
        if patch.before.dtype != self.dtype or patch.after.dtype != self.dtype:
            raise LabelValueError(
                f"A change of type {patch.after.dtype} does not fit a label map of {self.dtype}."
            )
        if not np.array_equal(self._map[box.slices], patch.before):
            raise UsageError("A change was made for other content than the label map holds.")
        check_values(patch.after, self._classes, self._ignore_index)


def _whole(parts: Generator[None, None, Stroke | None]) -> Stroke | None:
    """Run a generator to its end and return its result."""
    try:
        while True:
            next(parts)
    except StopIteration as ended:
        stroke: Stroke | None = ended.value
    return stroke
