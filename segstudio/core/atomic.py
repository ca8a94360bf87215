"""Writing files so that a reader never meets half of one.

A file is written beside its destination, flushed to the disk and then renamed over it; after a
crash at any moment the destination holds either all of the old bytes or all of the new ones.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from segstudio.core.errors import WriteError

__all__ = [
    "TEMPORARY_SUFFIX",
    "make_folder",
    "remove_leftovers",
    "replacing",
    "write_bytes",
    "write_text",
]

TEMPORARY_SUFFIX = ".segstudio-part"


def make_folder(path: Path) -> Path:
    """Create ``path`` and its parents when they are missing.

    Raises
    ------
    WriteError
        When the folder cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError.from_os_error(path, error) from error
    return path


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s place.

    Parameters
    ----------
    path : Path
        The destination.  Its folder is created when missing.
    durable : bool
        Whether to wait until the disk holds the bytes.  Without it a power cut may leave the old
        file, never a torn one on a journalling file system.

    Raises
    ------
    WriteError
        When writing, flushing or renaming fails; the old file is untouched and the temporary
        one is removed.
    """
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:100]}.", suffix=TEMPORARY_SUFFIX, dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise WriteError.from_os_error(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes private files; results are for everybody the folder is for.
        os.chmod(temporary, 0o666 & ~_umask())
        if durable:
            _flush(temporary)
        os.replace(temporary, path)
        if durable:
            _flush(path.parent)
    except OSError as error:
        raise WriteError.from_os_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace the file at ``path`` by ``data``; see `replacing`."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace the file at ``path`` by ``text`` in UTF-8; see `replacing`."""
    write_bytes(path, text.encode("utf-8"), durable=durable)


def remove_leftovers(folder: Path, *, older_than: float = 600.0) -> int:
    """Remove the temporary files that a killed program left below ``folder``.

    Parameters
    ----------
    folder : Path
        Searched with its sub-folders; need not exist.
    older_than : float
        Seconds; younger ones may belong to a program that is still writing.

    Returns
    -------
    int
        How many were removed.
    """
    removed = 0
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(TEMPORARY_SUFFIX):
                path = Path(place, name)
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > older_than:
                        path.unlink()
                        removed += 1
    return removed


_UMASK_LOCK = threading.Lock()


def _umask() -> int:
    """Return the process's umask, which can only be read by setting it for a moment."""
    with _UMASK_LOCK:
        # A file that anything else makes in this moment is for nobody but its owner.
        current = os.umask(0o077)
        os.umask(current)
    return current


def _flush(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder to flush it
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
