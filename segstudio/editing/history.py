"""Undo and redo by stroke, one history per image, bounded in bytes over all of them."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace

from psygnal import Signal

from segstudio.core.types import BBox
from segstudio.editing.stroke import Stroke

__all__ = ["DEFAULT_MAX_BYTES", "EditHistory", "HistoryEntry", "HistoryPool"]

DEFAULT_MAX_BYTES = 256 << 20
"""Bytes of compressed strokes that all images together may hold."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One line of the history list.

    Attributes
    ----------
    name : str
        What a person reads.
    box : BBox
        Where the stroke changed something.
    undone : bool
        Whether it is taken back at the moment and can be redone.
    when : float
        When it was painted, seconds since the epoch.
    """

    name: str
    box: BBox
    undone: bool
    when: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A stroke between two states of a document; states are numbers that are never used twice."""

    stroke: Stroke
    order: int
    before: int
    after: int
    when: float

    @property
    def entry(self) -> HistoryEntry:
        return HistoryEntry(self.stroke.name, self.stroke.box, False, self.when)


class HistoryPool:
    """The histories of all images of a session, which share one budget.

    Parameters
    ----------
    max_bytes : int
        Budget; beyond it the oldest strokes are forgotten, whichever image they are of.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._histories: dict[str, EditHistory] = {}
        self._orders = itertools.count()
        self._nbytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that all strokes take."""
        return self._nbytes

    def history(self, sample_id: str) -> EditHistory:
        """Return the history of an image; a new one the first time."""
        if sample_id not in self._histories:
            self._histories[sample_id] = EditHistory(pool=self, sample_id=sample_id)
        return self._histories[sample_id]

    def sample_ids(self) -> list[str]:
        """Return the images that have a stroke in their history."""
        return [key for key, history in self._histories.items() if history.entries()]

    def forget(self, sample_id: str) -> None:
        """Drop the history of an image."""
        history = self._histories.pop(sample_id, None)
        if history is not None:
            history.clear()

    def _next_order(self) -> int:
        return next(self._orders)

    def _charge(self, nbytes: int) -> None:
        self._nbytes += nbytes

    def _keep_within_budget(self) -> None:
        while self._nbytes > self.max_bytes:
            ages = ((history._oldest(), history) for history in self._histories.values())
            # Orders are unique, so histories are never compared.
            _, history = min((order, found) for order, found in ages if order is not None)
            history._drop_oldest()


class EditHistory:
    """What was done to one image, and what was taken back.

    Parameters
    ----------
    pool : HistoryPool, optional
        Whose budget counts; `HistoryPool.history` passes itself.  Without it the history has a
        budget of its own.
    sample_id : str
        The image.
    max_bytes : int
        Budget where there is no pool.

    Attributes
    ----------
    changed : Signal
        The list of entries is another.
    """

    changed = Signal()

    def __init__(
        self,
        *,
        pool: HistoryPool | None = None,
        sample_id: str = "",
        max_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        if pool is None:
            pool = HistoryPool(max_bytes)
            pool._histories[sample_id] = self
        self._pool = pool
        self._done: list[_Step] = []
        self._undone: list[_Step] = []
        self._left: tuple[str, int] | None = None

    @property
    def can_undo(self) -> bool:
        """Whether a stroke can be taken back."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether a stroke that was taken back can be done again."""
        return bool(self._undone)

    @property
    def nbytes(self) -> int:
        """Bytes that the strokes take."""
        return sum(step.stroke.nbytes for step in (*self._done, *self._undone))

    @property
    def room(self) -> tuple[int, int]:
        """Bytes that the strokes of all images take, and how many they may."""
        return self._pool.nbytes, self._pool.max_bytes

    def entries(self) -> list[HistoryEntry]:
        """Return all strokes in the order they were painted, the undone ones last."""
        done = [step.entry for step in self._done]
        return done + [replace(step.entry, undone=True) for step in reversed(self._undone)]

    def push(self, stroke: Stroke, before: int, after: int) -> None:
        """Enter a new stroke; what was undone can no longer be redone.

        Parameters
        ----------
        stroke : Stroke
            The stroke.
        before, after : int
            The document's states around it.
        """
        self._release(self._undone)
        self._undone = []
        self._done.append(_Step(stroke, self._pool._next_order(), before, after, time.time()))
        self._pool._charge(stroke.nbytes)
        self._pool._keep_within_budget()
        self.changed.emit()

    def step_back(self) -> tuple[Stroke, int] | None:
        """Move the last stroke to the undone ones; return it and the state before it."""
        if not self._done:
            return None
        step = self._done.pop()
        self._undone.append(step)
        self.changed.emit()
        return step.stroke, step.before

    def step_forward(self) -> tuple[Stroke, int] | None:
        """Move the last undone stroke back; return it and the state after it."""
        if not self._undone:
            return None
        step = self._undone.pop()
        self._done.append(step)
        self.changed.emit()
        return step.stroke, step.after

    def clear(self) -> None:
        """Forget everything."""
        had_entries = bool(self._done or self._undone)
        self._release(self._done + self._undone)
        self._done, self._undone = [], []
        if had_entries:
            self.changed.emit()

    def leave(self, fingerprint: str, state: int) -> None:
        """Remember what the image's label map holds while no document is open.

        Parameters
        ----------
        fingerprint : str
            Of the label map.
        state : int
            The document's state.
        """
        self._left = fingerprint, state

    @property
    def was_left(self) -> bool:
        """Whether a document was closed in this session, so that `resume` may go on."""
        return self._left is not None

    def was_left_at(self, fingerprint: str) -> bool:
        """Return whether `leave` was told of this content, so that `resume` would go on."""
        return self._left is not None and self._left[0] == fingerprint

    def resume(self, fingerprint: str) -> int | None:
        """Return the state that a reopened document is in, None when it is a new one.

        Strokes fit only the content that they were painted on: when the label map is not the one
        that `leave` was told of, the history is cleared.
        """
        left, self._left = self._left, None
        if left is not None and left[0] == fingerprint:
            return left[1]
        self.clear()
        return None

    def _release(self, steps: list[_Step]) -> None:
        self._pool._charge(-sum(step.stroke.nbytes for step in steps))

    def _oldest(self) -> int | None:
        """Return the order of the stroke that would be dropped next."""
        if self._done:
            return self._done[0].order
        return self._undone[0].order if self._undone else None

    def _drop_oldest(self) -> None:
        # Of the undone ones the farthest goes: the others could not be redone without the nearer.
        steps = self._done or self._undone
        self._release([steps.pop(0)])
        self.changed.emit()
