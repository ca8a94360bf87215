"""The journal of strokes that are not saved yet: append-only, checksummed, recoverable at any cut.

The file begins with a header (magic, version, CRC, JSON with the sample and the fingerprint of
the label map that was painted on).  Each record is length, CRC-32 and payload; the payload is a
fixed head with the box and the type, then the zlib-compressed new content of the box.  A file
that was cut or damaged anywhere yields every record before the damage and nothing after it.
"""

from __future__ import annotations

import contextlib
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
from segstudio.core.errors import WriteError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox

__all__ = ["Journal", "Recovered", "recover"]

_MAGIC = b"SEGJRNL1"
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<IIIIB3x")
_DTYPES = {1: np.dtype(np.uint8), 2: np.dtype(np.uint16)}
_MAX_HEADER = 1 << 20
_MAX_PIXELS = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """What a journal still tells.

    Attributes
    ----------
    sample_id : str
        Whose strokes they are.
    fingerprint : str
        Of the label map before the first stroke, see `label_map_fingerprint`.
    patches : tuple of MaskPatch
        Strokes, undos and redos in order; ``before`` is not kept and holds zeros.
    whole : bool
        Whether the file ended at the end of a record.
    """

    sample_id: str
    fingerprint: str
    patches: tuple[MaskPatch, ...]
    whole: bool


class Journal:
    """Appends the strokes of one image to a file.

    The bytes are with the operating system when `append` returns, which survives a kill of the
    program; a thread forces them to the disk, which survives a power cut.

    Parameters
    ----------
    path : Path
        The file; made at the first stroke.
    sample_id : str
        Whose strokes.
    fingerprint : str
        Of the label map before the first stroke.
    keep : bool
        Whether records that are in the file already stay, to go on after a recovery; whatever
        follows the last sound record is cut off.
    """

    def __init__(self, path: Path, *, sample_id: str, fingerprint: str, keep: bool = False) -> None:
        self.path = path
        self._sample_id = sample_id
        self._fingerprint = fingerprint
        self._file: BinaryIO | None = None
        self._end = 0
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._closed = False
        self._flusher: threading.Thread | None = None
        if keep and path.exists():
            self._end = _scan(path)[1]

    def append(self, patch: MaskPatch) -> None:
        """Append one stroke.

        Raises
        ------
        WriteError
            When the disk is full or the file cannot be written.  The file then ends at the last
            whole record, and the next call tries again.
        """
        record = _record(patch)
        with self._lock:
            try:
                file = self._opened()
                file.seek(self._end)
                file.write(record)
                file.flush()
            except OSError as error:
                self._cut_back()
                raise WriteError.from_os_error(self.path, error) from error
            self._end += len(record)
        self._dirty.set()

    def restart(self, fingerprint: str) -> None:
        """Forget all strokes: they are saved elsewhere now.

        Raises
        ------
        WriteError
            When the file cannot be removed.
        """
        with self._lock:
            self._fingerprint = fingerprint
            self._close_file()
            self._end = 0
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise WriteError.from_os_error(self.path, error) from error

    def sync(self) -> None:
        """Wait until the disk holds every stroke."""
        with self._lock:
            self._dirty.clear()
            if self._file is not None:
                with contextlib.suppress(OSError):
                    os.fsync(self._file.fileno())

    def close(self) -> None:
        """Force what is left to the disk and close the file; it stays for a recovery."""
        self._closed = True
        self._dirty.set()
        if self._flusher is not None:
            self._flusher.join()
        self.sync()
        with self._lock:
            self._close_file()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            make_folder(self.path.parent)
            # Not append mode: after a failed write the next record goes to a chosen place.
            self._file = open(self.path, "r+b" if self._end else "w+b", buffering=0)  # noqa: SIM115
            if self._end:
                self._file.truncate(self._end)
            else:
                header = _header(self._sample_id, self._fingerprint)
                self._file.write(header)
                self._end = len(header)
            if self._flusher is None:
                self._flusher = threading.Thread(
                    target=self._flush_forever, name="journal", daemon=True
                )
                self._flusher.start()
        return self._file

    def _cut_back(self) -> None:
        """Remove a half-written record, or the file when not even the header was written."""
        if self._file is None:
            return
        with contextlib.suppress(OSError):
            self._file.truncate(self._end)
        if self._end == 0:
            self._close_file()

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _flush_forever(self) -> None:
        while not self._closed:
            self._dirty.wait()
            self._dirty.clear()
            with self._lock:
                descriptor = None if self._file is None else os.dup(self._file.fileno())
            if descriptor is not None:
                # Outside the lock: the next stroke must not wait for the disk.
                with contextlib.suppress(OSError):
                    os.fsync(descriptor)
                os.close(descriptor)


def recover(path: Path) -> Recovered | None:
    """Read what a journal holds, up to the first record that is cut or damaged.

    Returns
    -------
    Recovered or None
        None when the file is missing, empty or not a journal.
    """
    found, _ = _scan(path)
    return found


def _scan(path: Path) -> tuple[Recovered | None, int]:
    """Return the content and where the last sound record ends."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = _read_header(file, size)
            if head is None:
                return None, 0
            sample_id, fingerprint = head
            patches: list[MaskPatch] = []
            end = file.tell()
            while (patch := _read_record(file, size)) is not None:
                patches.append(patch)
                end = file.tell()
    except OSError:
        return None, 0
    return Recovered(sample_id, fingerprint, tuple(patches), end == size), end


def _header(sample_id: str, fingerprint: str) -> bytes:
    text = json.dumps({"sample_id": sample_id, "fingerprint": fingerprint}).encode()
    return _MAGIC + _FRAME.pack(len(text), zlib.crc32(text)) + text


def _record(patch: MaskPatch) -> bytes:
    box = patch.box
    after = np.ascontiguousarray(patch.after)
    head = _HEAD.pack(box.top, box.left, box.bottom, box.right, after.dtype.itemsize)
    payload = head + zlib.compress(after.tobytes(), 1)
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _read_header(file: BinaryIO, size: int) -> tuple[str, str] | None:
    if file.read(len(_MAGIC)) != _MAGIC:
        return None
    text = _read_frame(file, min(size, _MAX_HEADER))
    if text is None:
        return None
    try:
        data = json.loads(text)
        return str(data["sample_id"]), str(data["fingerprint"])
    except (ValueError, KeyError, TypeError):
        return None


def _read_frame(file: BinaryIO, size: int) -> bytes | None:
    """Return the next payload, None when it is cut, damaged or says a senseless length."""
    frame = file.read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    length, checksum = _FRAME.unpack(frame)
    if length > size:
        return None
    payload = file.read(length)
    if len(payload) < length or zlib.crc32(payload) != checksum:
        return None
    return payload


def _read_record(file: BinaryIO, size: int) -> MaskPatch | None:
    payload = _read_frame(file, size)
    if payload is None or len(payload) < _HEAD.size:
        return None
    top, left, bottom, right, itemsize = _HEAD.unpack_from(payload)
    box = BBox(top, left, bottom, right)
    dtype = _DTYPES.get(itemsize)
    pixels = box.height * box.width
    if dtype is None or not 0 < pixels <= _MAX_PIXELS:
        return None
    wanted = pixels * itemsize
    decoder = zlib.decompressobj()
    try:
        # One byte more than the box may hold: a bomb stops there.
        data = decoder.decompress(payload[_HEAD.size :], wanted + 1)
    except zlib.error:
        return None
    if len(data) != wanted:
        return None
    after = np.frombuffer(data, dtype).reshape(box.height, box.width)
    return MaskPatch(box, np.zeros_like(after), after)
