"""The journal of one image: every finished stroke, on the disk before the next one starts.

Format, all numbers little-endian::

    file    = MAGIC  u16 version  u32 length  u32 crc32  header     (header: JSON, UTF-8)
    record  = u64 length  u32 crc32 of length and payload  payload
    payload = u16 length  name (UTF-8)  u32 pieces  piece ...
    piece   = u32 top, left, bottom, right  i32 value or -1  u64 length  data

`data` is described at `segstudio.editing.stroke.Piece`.  A record is only ever appended, so a file
that was cut anywhere holds whole records and at most one broken one, the last.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from segstudio.core.atomic import make_folder
from segstudio.core.errors import CorruptProjectError, WriteError
from segstudio.core.types import BBox
from segstudio.editing.stroke import Piece, Stroke

__all__ = ["Journal", "JournalHeader", "Recovered", "recover"]

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


class Journal:
    """Appends strokes to a file; made when the first one comes.

    Parameters
    ----------
    path : Path
        The file.
    header : JournalHeader
        What the strokes will be painted on.
    resumed : Recovered, optional
        What `recover` found there, when its strokes were replayed: the file goes on after them.
        Without it a file that is already there is set aside (``.1``, ``.2`` ... appended to its
        name), never overwritten.
    """

    def __init__(
        self, path: Path, header: JournalHeader, *, resumed: Recovered | None = None
    ) -> None:
        if resumed is not None and resumed.header != header:
            resumed = None
        self.path = path
        self._header = header
        self._end = 0 if resumed is None else resumed.end
        self._file: io.FileIO | None = None
        self._pending: list[bytes] = []
        self._flusher = _Flusher(path)

    @property
    def pending(self) -> int:
        """Strokes that could not be written yet and will be with the next one."""
        return len(self._pending)

    def append(self, stroke: Stroke) -> None:
        """Write a stroke; on return the operating system has it, the disk soon.

        Raises
        ------
        WriteError
            When the disk is full or the file cannot be written.  The file ends with its last whole
            record; the stroke is kept and written together with the next one, or by `sync`.
        """
        self._pending.append(_encode_record(stroke))
        self._write_pending()
        self._flusher.raise_failure()

    def sync(self) -> None:
        """Wait until the disk holds every stroke.

        Raises
        ------
        WriteError
            When it cannot.
        """
        if self._pending:
            self._write_pending()
        self._flusher.wait()
        self._flusher.raise_failure()

    def truncate(self, base_fingerprint: str) -> None:
        """Forget all strokes, because the label map that holds them was saved.

        Parameters
        ----------
        base_fingerprint : str
            Of the saved label map, on which the next strokes are painted.

        Raises
        ------
        WriteError
            When the file cannot be removed; it keeps its strokes.
        """
        self._flusher.wait()
        self._close_file()
        try:
            if self._end:
                self.path.unlink(missing_ok=True)
        except OSError as error:
            raise WriteError.from_os_error(self.path, error) from error
        old = self._header
        self._header = JournalHeader(
            old.sample_id, base_fingerprint, old.height, old.width, old.dtype
        )
        self._end = 0
        self._pending.clear()

    def close(self) -> None:
        """Write and flush what is left, then close the file.

        Raises
        ------
        WriteError
            When it cannot be written; the file is closed nevertheless.
        """
        try:
            self.sync()
        finally:
            self._flusher.stop()
            self._close_file()

    def _write_pending(self) -> None:
        try:
            file = self._opened()
            # What an earlier failure may have left behind the last whole record goes first.
            file.truncate(self._end)
            file.seek(self._end)
            while self._pending:
                _write_all(file, self._pending[0])
                self._end = file.tell()
                self._pending.pop(0)
        except OSError as error:
            if self._file is not None and self._end:
                with contextlib.suppress(OSError):
                    self._file.truncate(self._end)
            raise WriteError.from_os_error(self.path, error) from error
        self._flusher.request(file)

    def _opened(self) -> io.FileIO:
        """Return the file, opened behind its last whole record."""
        if self._file is None:
            make_folder(self.path.parent)
            if self._end and self.path.exists():
                self._file = io.FileIO(self.path, "r+")
            else:
                self._end = 0
                _set_aside(self.path)
                self._file = io.FileIO(self.path, "x+")
        if self._end == 0:
            self._file.truncate(0)
            self._file.seek(0)
            _write_all(self._file, _encode_header(self._header))
            self._end = self._file.tell()
        return self._file

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Flusher:
    """A thread that makes the disk hold what was written, so that painting need not wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._condition = threading.Condition()
        self._file: io.FileIO | None = None
        self._busy = False
        self._stopped = False
        self._failure: OSError | None = None
        self._thread: threading.Thread | None = None

    def request(self, file: io.FileIO) -> None:
        """Ask for a flush; those that are asked for meanwhile become one."""
        with self._condition:
            self._file = file
            if self._thread is None:
                self._stopped = False
                self._thread = threading.Thread(
                    target=self._run, name=f"journal {self._path.name}", daemon=True
                )
                self._thread.start()
            self._condition.notify_all()

    def wait(self) -> None:
        """Return when nothing is left to flush."""
        with self._condition:
            self._condition.wait_for(lambda: self._file is None and not self._busy)

    def raise_failure(self) -> None:
        """Raise what went wrong since the last time."""
        with self._condition:
            failure, self._failure = self._failure, None
        if failure is not None:
            raise WriteError.from_os_error(self._path, failure) from failure

    def stop(self) -> None:
        """Flush what is left and end the thread."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        folder_is_flushed = False
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._file is not None or self._stopped)
                file, self._file = self._file, None
                if file is None:
                    return
                self._busy = True
            failure = None
            try:
                os.fsync(file.fileno())
                if not folder_is_flushed and os.name != "nt":
                    _flush_folder(self._path.parent)
                    folder_is_flushed = True
            except OSError as error:
                failure = error
            with self._condition:
                self._busy = False
                self._failure = self._failure or failure
                self._condition.notify_all()


def _flush_folder(folder: Path) -> None:
    """Make the disk hold the name of a new file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(file: io.FileIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        # A nearly full disk takes a part; only the next call says that it is full.
        rest = rest[file.write(rest) :]


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(kept)


def _encode_header(header: JournalHeader) -> bytes:
    content = json.dumps(
        {
            "sample_id": header.sample_id,
            "base": header.base_fingerprint,
            "shape": [header.height, header.width],
            "dtype": header.dtype,
        }
    ).encode()
    return _START.pack(_MAGIC, _VERSION, len(content), zlib.crc32(content)) + content


def _encode_record(stroke: Stroke) -> bytes:
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
