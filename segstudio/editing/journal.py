"""The journal of one image: every finished stroke, on the disk before the next one starts."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from pathlib import Path

from segstudio.core.atomic import make_folder, write_bytes
from segstudio.core.errors import WriteError
from segstudio.editing.journal_format import (
    JournalHeader,
    Recovered,
    encode_header,
    encode_record,
    recover,
)
from segstudio.editing.stroke import Stroke

__all__ = ["Journal", "JournalHeader", "Recovered", "recover"]


class Journal:
    """Appends strokes to a file; made when the first one comes.

    One thread may append while another syncs or truncates.

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
        # Where each record ends that was appended since the last `truncate`, and where the first
        # of them begins.
        self._ends: list[int] = []
        self._first = self._end
        self._lock = threading.RLock()
        self._flusher = _Flusher(path)

    @property
    def mark(self) -> int:
        """Strokes appended since the last `truncate`; what `truncate` takes as ``upto``."""
        with self._lock:
            return len(self._ends) + len(self._pending)

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
        record = encode_record(stroke)
        with self._lock:
            self._pending.append(record)
            self._write_pending()
        self._flusher.raise_failure()

    def sync(self) -> None:
        """Wait until the disk holds every stroke.

        Raises
        ------
        WriteError
            When it cannot.
        """
        with self._lock:
            if self._pending:
                self._write_pending()
        self._flusher.wait()
        self._flusher.raise_failure()

    def truncate(self, base_fingerprint: str, *, upto: int | None = None) -> None:
        """Forget strokes, because the label map that holds them was saved.

        Parameters
        ----------
        base_fingerprint : str
            Of the saved label map, on which the next strokes are painted.
        upto : int, optional
            `mark` when that map was taken: strokes appended since are kept.  None forgets all.

        Raises
        ------
        WriteError
            When the file cannot be removed or replaced; it keeps its strokes.
        """
        self._flusher.wait()
        with self._lock:
            self._flusher.wait()
            written = len(self._ends)
            upto = written + len(self._pending) if upto is None else upto
            old = self._header
            header = JournalHeader(
                old.sample_id, base_fingerprint, old.height, old.width, old.dtype
            )
            end = shift = 0
            self._close_file()
            if upto < written:
                end = self._ends[upto - 1] if upto else self._first
                shift = self._keep_tail(header, end)
            elif self._end:
                try:
                    self.path.unlink(missing_ok=True)
                except OSError as error:
                    raise WriteError.from_os_error(self.path, error) from error
            self._header = header
            self._ends = [known + shift for known in self._ends[upto:]]
            self._end = self._ends[-1] if self._ends else 0
            self._first = end + shift if self._ends else 0
            del self._pending[: max(0, upto - written)]

    def _keep_tail(self, header: JournalHeader, end: int) -> int:
        """Put the records from ``end`` on behind a new header; return by how much they moved."""
        start = encode_header(header)
        try:
            with self.path.open("rb") as file:
                file.seek(end)
                tail = file.read(self._end - end)
        except OSError as error:
            raise WriteError.from_os_error(self.path, error) from error
        write_bytes(self.path, start + tail)
        return len(start) - end

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
            with self._lock:
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
                self._ends.append(self._end)
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
            _write_all(self._file, encode_header(self._header))
            self._end = self._first = self._file.tell()
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
    """Move a file away that may hold strokes nobody has decided about."""
    if not path.exists():
        return
    if not path.stat().st_size:
        path.unlink()
        return
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    path.rename(kept)
