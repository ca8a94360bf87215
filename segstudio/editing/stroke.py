"""A finished stroke: all that changed between press and release, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import CorruptProjectError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox, LabelMap
from segstudio.editing.geometry import mask_bounds

__all__ = ["Piece", "Stroke", "StrokeRecorder", "encode_patch"]

_TILE = 256
"""Edge of the squares in which a stroke keeps what was there before it."""

_WHOLE_BOX = 1 << 18
"""Pixels up to which a stroke is always one box."""

_BLOCK = 2 * _TILE
"""A larger stroke is one box per square of this edge: a thin line across a large image is not
compressed, journalled and recounted as the whole image, and a large area is taken back in steps
that take a few milliseconds each."""

_LEVEL = 1
"""Of zlib: differences are mostly zeros, the fastest level already takes them to a few bytes."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One changed box, compressed.

    Attributes
    ----------
    box : BBox
        Where; the smallest box around the changed pixels.
    value : int or None
        What every changed pixel holds now; None when they hold different values.
    data : bytes
        zlib of ``before XOR after`` of the box in row order, little-endian; where ``value`` is
        None, followed by what the changed pixels hold now (zeros elsewhere).
    """

    box: BBox
    value: int | None
    data: bytes

    def size(self, dtype: np.dtype[Any]) -> int:
        """Return the bytes of ``data`` before compression."""
        planes = 1 if self.value is not None else 2
        return self.box.height * self.box.width * dtype.itemsize * planes

    def planes(self, dtype: np.dtype[Any]) -> tuple[LabelMap, LabelMap | int]:
        """Return (before XOR after, what the changed pixels hold now).

        Raises
        ------
        CorruptProjectError
            When the data does not fill the box; no more than that is ever decompressed.
        """
        size = self.size(dtype)
        stream = zlib.decompressobj()
        try:
            content = stream.decompress(self.data, size + 1)
        except zlib.error as error:
            raise CorruptProjectError(_DAMAGED) from error
        if len(content) != size or not stream.eof:
            raise CorruptProjectError(_DAMAGED)
        planes = np.frombuffer(content, dtype.newbyteorder("<")).astype(dtype, copy=False)
        shaped = planes.reshape(-1, self.box.height, self.box.width)
        return shaped[0], self.value if self.value is not None else shaped[1]


_DAMAGED = "A recorded stroke is damaged and cannot be applied; the strokes before it are kept."


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """One entry of the edit history, one record of the journal.

    Attributes
    ----------
    name : str
        What a person reads in the history list.
    dtype : numpy.dtype
        uint8 or uint16, the label map's.
    pieces : tuple of Piece
        What changed; boxes do not overlap.  One, unless the stroke is large.
    """

    name: str
    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]

    @property
    def box(self) -> BBox:
        """The smallest box around all that changed."""
        box = BBox(0, 0, 0, 0)
        for piece in self.pieces:
            box = box.union(piece.box)
        return box

    @property
    def nbytes(self) -> int:
        """Bytes that the stroke takes in memory, about."""
        return sum(len(piece.data) + 200 for piece in self.pieces)

    def toggled(self, label_map: LabelMap) -> Iterator[MaskPatch]:
        """Yield the patches that take the stroke back, or do it again.

        Before and after are kept as their XOR, so both are the same deed; which of them it is
        follows from what the label map holds.

        Parameters
        ----------
        label_map : ndarray of shape (H, W)
            The map just before or just after the stroke; read when a patch is asked for.
        """
        for piece in self.pieces:
            difference, _ = piece.planes(self.dtype)
            here = label_map[piece.box.slices].copy()
            yield MaskPatch(piece.box, here, here ^ difference)

    def repainted(self, label_map: LabelMap) -> Iterator[MaskPatch]:
        """Yield the patches that paint the stroke's pixels on any map of the same size.

        On the map that the stroke was painted on this is the stroke itself; on another one its
        changed pixels get the values that the stroke gave them and the others stay.
        """
        for piece in self.pieces:
            difference, value = piece.planes(self.dtype)
            here = label_map[piece.box.slices].copy()
            there = np.where(difference != 0, np.asarray(value, self.dtype), here)
            if not np.array_equal(here, there):
                yield MaskPatch(piece.box, here, there)


def encode_patch(patch: MaskPatch) -> Piece | None:
    """Return the compressed form of a patch, None when it changes nothing."""
    return _encode(patch.box, patch.before ^ patch.after, patch.after)


class StrokeRecorder:
    """Keeps what a label map held before a stroke, as far as the stroke reaches.

    Parameters
    ----------
    label_map : ndarray of shape (H, W)
        The map that is painted on.
    """

    def __init__(self, label_map: LabelMap) -> None:
        self._map = label_map
        self._tiles: dict[tuple[int, int], LabelMap] = {}
        self._prepared: tuple[Piece, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was kept yet."""
        return not self._tiles

    def keep(self, box: BBox) -> None:
        """Remember the tiles under ``box``; call it before the box is written.

        A tile is copied once per stroke, so a move costs what is new under the brush.
        """
        self._prepared = None
        for row in range(box.top // _TILE, (box.bottom - 1) // _TILE + 1):
            for column in range(box.left // _TILE, (box.right - 1) // _TILE + 1):
                if (row, column) not in self._tiles:
                    self._tiles[row, column] = self._map[self._tile(row, column).slices].copy()

    @property
    def pixels(self) -> int:
        """How many pixels are kept: what compressing the stroke looks at."""
        return len(self._tiles) * _TILE * _TILE

    def prepare(self) -> None:
        """Compress what changed already now, in any thread, for a stroke that is complete."""
        self._prepared = self.pieces()

    def pieces(self) -> tuple[Piece, ...]:
        """Return all that changed since the stroke began, merged exactly and compressed."""
        if self._prepared is not None:
            return self._prepared
        parts = list(self._changed())
        whole = BBox(0, 0, 0, 0)
        for box, _ in parts:
            whole = whole.union(box)
        groups: dict[tuple[int, int], list[tuple[BBox, LabelMap]]] = {}
        for box, before in parts:
            block = box.top // _BLOCK, box.left // _BLOCK
            if whole.height * whole.width <= _WHOLE_BOX:
                block = 0, 0
            groups.setdefault(block, []).append((box, before))
        encoded = (self._merged(group) for group in groups.values())
        return tuple(piece for piece in encoded if piece is not None)

    def _merged(self, parts: list[tuple[BBox, LabelMap]]) -> Piece | None:
        """Compress parts of one block as one box."""
        whole = BBox(0, 0, 0, 0)
        for box, _ in parts:
            whole = whole.union(box)
        difference = np.zeros((whole.height, whole.width), self._map.dtype)
        for box, before in parts:
            top, left = box.top - whole.top, box.left - whole.left
            part = difference[top : top + box.height, left : left + box.width]
            np.bitwise_xor(before, self._map[box.slices], out=part)
        return _encode(whole, difference, self._map[whole.slices])

    def restoring(self) -> Iterator[MaskPatch]:
        """Yield the patches that take back all that changed since the stroke began."""
        for box, before in self._changed():
            yield MaskPatch(box, self._map[box.slices].copy(), before.copy())

    def _changed(self) -> Iterable[tuple[BBox, LabelMap]]:
        """Yield (smallest changed box of a tile, what it held before)."""
        for (row, column), before in sorted(self._tiles.items(), key=lambda item: item[0]):
            tile = self._tile(row, column)
            bounds = mask_bounds(before != self._map[tile.slices])
            if bounds is not None:
                box = BBox(
                    tile.top + bounds.top,
                    tile.left + bounds.left,
                    tile.top + bounds.bottom,
                    tile.left + bounds.right,
                )
                yield box, before[bounds.slices]

    def _tile(self, row: int, column: int) -> BBox:
        top, left = row * _TILE, column * _TILE
        return BBox(top, left, top + _TILE, left + _TILE).clipped(*self._map.shape)


def _encode(box: BBox, difference: LabelMap, after: LabelMap) -> Piece | None:
    changed = difference != 0
    row, column = divmod(int(changed.argmax()), box.width)
    if not changed[row, column]:
        return None
    value = int(after[row, column])
    planes: list[NDArray[Any]] = [difference]
    uniform = not bool(((after != value) & changed).any())
    if not uniform:
        planes.append(np.where(changed, after, after.dtype.type(0)))
    packer = zlib.compressobj(_LEVEL)
    little = difference.dtype.newbyteorder("<")
    parts = [packer.compress(np.ascontiguousarray(plane, little).data) for plane in planes]
    parts.append(packer.flush())
    return Piece(box, value if uniform else None, b"".join(parts))
