"""The bytes of a journal, and how to read as many of its strokes as are whole.

Format, all numbers little-endian::

    file    = MAGIC  u16 version  u32 length  u32 crc32  header     (header: JSON, UTF-8)
    record  = u64 length  u32 crc32 of length and payload  payload
    payload = u16 length  name (UTF-8)  u32 pieces  piece ...
    piece   = u32 top, left, bottom, right  i32 value or -1  u64 length  data

`data` is described at `segstudio.editing.stroke.Piece`.  A record is only ever appended, so a file
that was cut anywhere holds whole records and at most one broken one, the last.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segstudio.core.errors import CorruptProjectError
from segstudio.core.types import BBox
from segstudio.editing.stroke import Piece, Stroke

__all__ = ["JournalHeader", "Recovered", "encode_header", "encode_record", "recover"]

_MAGIC = b"SEGJRNL\n"
_VERSION = 1
_START = struct.Struct("<8sHII")
_RECORD = struct.Struct("<QI")
_LENGTH = struct.Struct("<Q")
_NAME = struct.Struct("<H")
_COUNT = struct.Struct("<I")
_PIECE = struct.Struct("<IIIIiQ")

_LONGEST_HEADER = 1 << 16
_CHUNK = 1 << 20
"""Bytes that are decompressed at once while a record is checked."""


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """What a journal's strokes were painted on.

    Attributes
    ----------
    sample_id : str
        The image.
    base_fingerprint : str
        `segstudio.editing.document.fingerprint` of the label map before the first stroke.
    height, width : int
        Its size.
    dtype : str
        "uint8" or "uint16".
    """

    sample_id: str
    base_fingerprint: str
    height: int
    width: int
    dtype: str


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a journal holds.

    Attributes
    ----------
    header : JournalHeader
        What the strokes were painted on.
    strokes : tuple of Stroke
        The whole records, in order; undo and redo are strokes like others.
    end : int
        Bytes of the file up to the end of the last whole record.
    """

    header: JournalHeader
    strokes: tuple[Stroke, ...]
    end: int

    @property
    def sample_id(self) -> str:
        """The image that the strokes are of."""
        return self.header.sample_id

    @property
    def base_fingerprint(self) -> str:
        """Fingerprint of the label map before the first stroke."""
        return self.header.base_fingerprint


def recover(path: Path) -> Recovered | None:
    """Read the strokes of a journal up to the first record that is cut or damaged.

    Parameters
    ----------
    path : Path
        The journal.

    Returns
    -------
    Recovered or None
        None when there is no such file or it was cut before its first record.

    Raises
    ------
    CorruptProjectError
        When the file is no journal, or one of a newer version, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header = _read_header(file, size, path)
            if header is None:
                return None
            strokes = []
            end = file.tell()
            while (stroke := _read_record(file, size, header)) is not None:
                strokes.append(stroke)
                end = file.tell()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CorruptProjectError(
            f"The journal {path} cannot be read ({error.strerror}); strokes that were not saved "
            "cannot be offered until it can."
        ) from error
    return Recovered(header, tuple(strokes), end)


def encode_header(header: JournalHeader) -> bytes:
    """Return the beginning of a journal's file."""
    content = json.dumps(
        {
            "sample_id": header.sample_id,
            "base": header.base_fingerprint,
            "shape": [header.height, header.width],
            "dtype": header.dtype,
        }
    ).encode()
    return _START.pack(_MAGIC, _VERSION, len(content), zlib.crc32(content)) + content


def encode_record(stroke: Stroke) -> bytes:
    """Return the record of a stroke."""
    name = stroke.name.encode()[:65535].decode(errors="ignore").encode()
    parts: list[bytes] = [_NAME.pack(len(name)), name, _COUNT.pack(len(stroke.pieces))]
    for piece in stroke.pieces:
        box = piece.box
        value = -1 if piece.value is None else piece.value
        parts.append(_PIECE.pack(box.top, box.left, box.bottom, box.right, value, len(piece.data)))
        parts.append(piece.data)
    payload = b"".join(parts)
    length = _LENGTH.pack(len(payload))
    return _RECORD.pack(len(payload), zlib.crc32(payload, zlib.crc32(length))) + payload


def _read_header(file: BinaryIO, size: int, path: Path) -> JournalHeader | None:
    start = file.read(_START.size)
    if not start.startswith(_MAGIC[: len(start)]):
        raise CorruptProjectError(f"{path} is no journal of SegStudio; move it out of the way.")
    if len(start) < _START.size:
        return None
    _, version, length, checksum = _START.unpack(start)
    if version > _VERSION:
        raise CorruptProjectError(
            f"The journal {path} was written by a newer SegStudio; open it with that one."
        )
    if length > min(_LONGEST_HEADER, size - _START.size):
        return None
    content = file.read(length)
    if len(content) < length or zlib.crc32(content) != checksum:
        return None
    try:
        fields = json.loads(content)
        height, width = (int(edge) for edge in fields["shape"])
        header = JournalHeader(
            str(fields["sample_id"]), str(fields["base"]), height, width, str(fields["dtype"])
        )
    except (ValueError, KeyError, TypeError):
        return None
    return header if header.dtype in ("uint8", "uint16") else None


def _read_record(file: BinaryIO, size: int, header: JournalHeader) -> Stroke | None:
    """Return the next record, None at the end or at the first that is not whole."""
    start = file.read(_RECORD.size)
    if len(start) < _RECORD.size:
        return None
    length, checksum = _RECORD.unpack(start)
    # The length is believed only as far as the file reaches.
    if length > size - file.tell():
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload, zlib.crc32(_LENGTH.pack(length))) != checksum:
        return None
    try:
        return _decode_record(payload, header)
    except (struct.error, UnicodeDecodeError, ValueError, zlib.error):
        return None


def _decode_record(payload: bytes, header: JournalHeader) -> Stroke:
    (length,) = _NAME.unpack_from(payload, 0)
    at = _NAME.size + length
    name = payload[_NAME.size : at].decode()
    (count,) = _COUNT.unpack_from(payload, at)
    at += _COUNT.size
    dtype = np.dtype(header.dtype)
    pieces = []
    for _ in range(count):
        top, left, bottom, right, value, length = _PIECE.unpack_from(payload, at)
        at += _PIECE.size
        box = BBox(top, left, bottom, right)
        data = payload[at : at + length]
        at += length
        piece = Piece(box, None if value == -1 else value, data)
        if box.is_empty or box != box.clipped(header.height, header.width):
            raise ValueError("a box outside of the image")
        if not -1 <= value <= np.iinfo(dtype).max or not _fills(data, piece.size(dtype)):
            raise ValueError("data that does not fill its box")
        pieces.append(piece)
    if at != len(payload):
        raise ValueError("bytes that belong to no piece")
    return Stroke(name, dtype, tuple(pieces))


def _fills(data: bytes, size: int) -> bool:
    """Return whether data decompresses to exactly ``size`` bytes, holding a chunk at a time."""
    stream = zlib.decompressobj()
    found = 0
    rest: bytes = data
    while found <= size and not stream.eof:
        content = stream.decompress(rest, _CHUNK)
        rest = stream.unconsumed_tail
        found += len(content)
        if not content and not rest:
            break
    return stream.eof and found == size and not stream.unused_data
