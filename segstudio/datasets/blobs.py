"""Masks packed into annotation files: small PNGs, run lengths of brushes and boxes.

What a blob says of its size is held against the image before anything is allocated for it.
"""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError
from segstudio.core.types import Mask

__all__ = ["decode_base64", "decode_box_runs", "decode_brush", "decode_png_mask", "inflate"]


def decode_base64(text: Any, origin: str) -> bytes:
    """Return the bytes of base64 text.

    Raises
    ------
    LabelValueError
        When it is something else; the message begins with ``origin``.
    """
    try:
        if not isinstance(text, str):
            raise TypeError("no text")
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise LabelValueError(f"{origin} has a mask that is no base64 ({error}).") from error


def inflate(data: bytes, limit: int, origin: str) -> bytes:
    """Return zlib's decompression of ``data``, at most ``limit`` bytes.

    Raises
    ------
    LabelValueError
        When it is damaged or larger.
    """
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise LabelValueError(f"{origin} has a damaged mask ({error}).") from error
    if len(result) > limit:
        raise LabelValueError(f"{origin} has a mask that is larger than its image.")
    return result


def decode_png_mask(data: bytes, shape: tuple[int, int], origin: str) -> Mask:
    """Return where a PNG is opaque or, without transparency, not zero.

    Parameters
    ----------
    data : bytes
        The PNG file.
    shape : (int, int)
        Height and width of the image; the mask is no larger.
    origin : str
        For errors.

    Raises
    ------
    LabelValueError
        When it is damaged or larger than the image.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            width, height = picture.size
            if height > shape[0] or width > shape[1]:
                raise LabelValueError(
                    f"{origin} has a mask of {height} x {width} pixels (height x width), but its "
                    f"image is {shape[0]} x {shape[1]}."
                )
            has_alpha = picture.mode in ("RGBA", "LA")
            pixels = np.asarray(picture.getchannel("A") if has_alpha else picture)
    except (OSError, ValueError, SyntaxError, zlib.error) as error:
        raise LabelValueError(f"{origin} has a damaged mask ({error}).") from error
    return np.asarray(pixels.any(axis=2) if pixels.ndim == 3 else pixels != 0, bool)


def decode_box_runs(runs: Any, height: int, width: int, origin: str) -> Mask:
    """Return the mask of run lengths over a box, rows first, starting with a run of zeros.

    Raises
    ------
    LabelValueError
        When the runs do not add up to the box.
    """
    try:
        lengths = np.asarray([int(run) for run in runs], np.int64)
        area = height * width
        if lengths.size == 0 or int(lengths.min()) < 0 or int(lengths.max()) > area:
            raise ValueError("a run that is negative or longer than the box")
        total = int(lengths.sum())
        if total != area:
            raise ValueError(f"runs for {total} pixels where the box has {area}")
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelValueError(f"{origin} has damaged run lengths: {error}.") from error
    return np.repeat(np.arange(lengths.size) % 2 == 1, lengths).reshape(height, width)


def decode_brush(data: Any, shape: tuple[int, int], origin: str) -> Mask:
    """Return the mask of a Label Studio brush: run lengths of an RGBA picture, packed into bits.

    The bits are 32 for the count of values, 5 for the bits of a value less one, four times 4 for
    the sizes of a length less one; then blocks: one bit whether it is a run, two for which size, a
    length less one, and one value or, for no run, so many values (thi.ng's ``rle-pack``).

    Parameters
    ----------
    data : list of int
        Bytes.
    shape : (int, int)
        Height and width the brush was used on.
    origin : str
        For errors.

    Returns
    -------
    ndarray of shape (H, W), bool
        Where the picture is not transparent.

    Raises
    ------
    LabelValueError
        When it is damaged or of another size.
    """
    height, width = shape
    try:
        if not isinstance(data, list):  # of a number, bytes() would make so many zeros
            raise ValueError("no list of bytes")
        bits = _Bits(bytes(data))
        count = bits.read(32)
        if count != height * width * 4:
            raise ValueError(f"{count} values where {height} x {width} RGBA pixels have others")
        value_bits = bits.read(5) + 1
        sizes = [bits.read(4) + 1 for _ in range(4)]
        values: list[int] = []
        lengths: list[int] = []
        done = 0
        while done < count:
            is_run = bits.read(1)
            length = bits.read(sizes[bits.read(2)]) + 1
            if done + length > count:
                raise ValueError("a run that leaves the picture")
            done += length
            if is_run:
                values.append(bits.read(value_bits))
                lengths.append(length)
            else:
                values += [bits.read(value_bits) for _ in range(length)]
                lengths += [1] * length
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelValueError(f"{origin} has a damaged brush: {error}.") from error
    flat: NDArray[np.bool_] = np.repeat(np.asarray(values) != 0, lengths)
    return flat.reshape(height, width, 4)[:, :, 3]


class _Bits:
    """Bits of a byte string, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def read(self, count: int) -> int:
        """Return the next ``count`` (at most 32) bits as a number."""
        end = self._place + count
        if end > len(self._data) * 8:
            raise ValueError("it ends too early")
        first = self._place >> 3
        window = int.from_bytes(self._data[first : first + 5].ljust(5, b"\0"), "big")
        value = window >> (40 - (self._place & 7) - count) & ((1 << count) - 1)
        self._place = end
        return value
