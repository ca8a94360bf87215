"""Reading a PNG by bands of rows, for images that are never whole in memory.

The compressed stream is unpacked a piece at a time.  What remains are filtered rows, and a filter
works on bytes, whatever they mean: the rows of a band are handed to Pillow as a small PNG file of 8
bits with as many channels as a pixel has bytes, which takes the filters off.  A filter may look at
the row above, so that file begins with the last row of the band before, as it came out.

References
----------
W3C, "Portable Network Graphics (PNG) Specification (Third Edition)", 2025.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError

__all__ = ["PngBands", "open_png_bands"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel of each colour type."""

_COLOR_OF_BYTES = {1: 0, 2: 4, 3: 2, 4: 6}
"""The colour type of 8 bits whose pixels have so many bytes."""

_READ = 1 << 18
_UNPACKED = 1 << 20
_AT_ONCE = 1 << 21
"""Bytes of rows that are decoded at once: joining bytes holds Python's lock, and a window that
waits for it longer than a few milliseconds stands still."""

_PALETTE = 3


@dataclass(frozen=True, slots=True)
class _Header:
    width: int
    height: int
    depth: int
    color: int

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel, 1 where several share one."""
        return max(1, self.depth * _CHANNELS[self.color] // 8)

    @property
    def row_bytes(self) -> int:
        return -(-self.width * self.depth * _CHANNELS[self.color] // 8)


class PngBands:
    """A PNG file that can be read from the top; use `open_png_bands`.

    Attributes
    ----------
    height, width : int
    depth : int
        Bits per sample: 1, 2, 4, 8 or 16.
    channels : int
        Samples per pixel; 1 for a palette's indices.
    dtype : numpy.dtype
        uint8 or uint16.
    palette : ndarray of shape (256, 3), uint8, or None
        Colours of the indices.
    """

    def __init__(
        self, path: Path, header: _Header, palette: NDArray[np.uint8] | None, start: int
    ) -> None:
        self.path = path
        self.height, self.width = header.height, header.width
        self.depth = header.depth
        self.channels = _CHANNELS[header.color]
        self.dtype = np.dtype(np.uint16 if header.depth == 16 else np.uint8)
        self.palette = palette
        self._header = header
        self._start = start

    def bands(self, rows: int) -> Iterator[NDArray[Any]]:
        """Yield the stored samples from the top.

        Parameters
        ----------
        rows : int
            Of a band; the last may have fewer.

        Yields
        ------
        ndarray of shape (n, W, channels), uint8 or uint16
            Grey values of less than 8 bits as they are stored, not stretched.

        Raises
        ------
        UnreadableImageError
            When the file is damaged or cut short.
        """
        header, line = self._header, 1 + self._header.row_bytes
        above: NDArray[np.uint8] | None = None
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                stream = _unpacked(file)
                held = bytearray()
                for top in range(0, header.height, rows):
                    end = min(top + rows, header.height)
                    band = np.empty((end - top, header.row_bytes), np.uint8)
                    some = max(1, _AT_ONCE // line)
                    for first in range(0, len(band), some):
                        part = band[first : first + some]
                        wanted = len(part) * line
                        while len(held) < wanted:
                            piece = next(stream, None)
                            if piece is None:
                                raise ValueError("it ends too early")
                            held += piece
                        filtered = bytes(memoryview(held)[:wanted])
                        del held[:wanted]
                        part[...] = self._unfiltered(filtered, len(part), above)
                        above = part[-1]
                    yield self._samples(band)
        except (OSError, zlib.error, ValueError, struct.error) as error:
            reason = str(error).strip().rstrip(".")
            raise UnreadableImageError(
                f"{self.path} is damaged or cut short ({reason}); replace the file by a whole copy."
            ) from error

    def _unfiltered(
        self, filtered: bytes, count: int, above: NDArray[np.uint8] | None
    ) -> NDArray[np.uint8]:
        """Return the (count, row_bytes) bytes of some rows."""
        from PIL import Image as PilImage

        header = self._header
        first = b"" if above is None else b"\x00" + above.tobytes()
        size = header.row_bytes // header.pixel_bytes, count + bool(first)
        color = _COLOR_OF_BYTES[header.pixel_bytes]
        content = zlib.compress(first + filtered, 0)
        file = b"".join(
            (
                _SIGNATURE,
                _chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, color, 0, 0, 0)),
                _chunk(b"IDAT", content),
                _chunk(b"IEND", b""),
            )
        )
        with PilImage.open(io.BytesIO(file)) as picture:
            plain = np.asarray(picture).reshape(size[1], header.row_bytes)
        return plain[bool(first) :]

    def _samples(self, plain: NDArray[np.uint8]) -> NDArray[Any]:
        depth = self._header.depth
        if depth == 16:
            values: NDArray[Any] = plain.view(">u2").astype(np.uint16)
        elif depth == 8:
            values = plain
        else:
            # Pixels stand in a byte from its high bits down (section 7.2).
            shifts = np.arange(8 - depth, -1, -depth, dtype=np.uint8)
            packed = (plain[:, :, None] >> shifts) & np.uint8((1 << depth) - 1)
            values = packed.reshape(len(plain), -1)[:, : self.width]
        return values.reshape(len(plain), self.width, self.channels)


def open_png_bands(path: Path) -> PngBands | None:
    """Open a PNG for reading by bands.

    Returns
    -------
    PngBands or None
        None when the file is no PNG, an interlaced one or one of 16 bits and several colours.

    Raises
    ------
    UnreadableImageError
        When the file cannot be read.
    """
    header: _Header | None = None
    palette: NDArray[np.uint8] | None = None
    try:
        with path.open("rb") as file:
            if file.read(8) != _SIGNATURE:
                return None
            while True:
                start = file.tell()
                length, kind = struct.unpack(">I4s", file.read(8))
                if kind == b"IDAT":
                    break
                if kind not in (b"IHDR", b"PLTE"):
                    file.seek(length + 4, io.SEEK_CUR)
                    continue
                data = file.read(length)
                file.seek(4, io.SEEK_CUR)
                if kind == b"PLTE":
                    palette = np.zeros((256, 3), np.uint8)
                    palette[: length // 3] = np.frombuffer(data, np.uint8).reshape(-1, 3)
                    continue
                width, height, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", data)
                if not interlaced and color in _CHANNELS:
                    header = _Header(width, height, depth, color)
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (struct.error, ValueError):
        return None
    if header is None or header.pixel_bytes not in _COLOR_OF_BYTES:
        return None
    return PngBands(path, header, palette if header.color == _PALETTE else None, start)


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """Yield the content of the IDAT chunks, unpacked, a piece at a time."""
    unpacker = zlib.decompressobj()
    while True:
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind != b"IDAT":
            return
        checksum = zlib.crc32(kind)
        while length:
            data = file.read(min(_READ, length))
            if not data:
                return
            length -= len(data)
            checksum = zlib.crc32(data, checksum)
            while data:
                yield unpacker.decompress(data, _UNPACKED)
                data = unpacker.unconsumed_tail
        if file.read(4) != struct.pack(">I", checksum):
            raise ValueError("a checksum is wrong")
