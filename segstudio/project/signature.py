"""Which image file a prediction was made of, so that a changed file is noticed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from segstudio.core.errors import UnreadableImageError
from segstudio.datasets.containers import find_container, stat_source

__all__ = ["FileSignature", "look_again", "sign_file"]


_END_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class FileSignature:
    """A file's state when it was read.

    Attributes
    ----------
    size : int
        Bytes.
    mtime_ns : int
        Time of the last change, nanoseconds since the epoch.
    digest : str
        SHA-256 of the content, hexadecimal; for a sample inside a file (a frame, a cell) of its
        place there and both ends of the file.
    """

    size: int
    mtime_ns: int
    digest: str


def sign_file(path: Path) -> FileSignature:
    """Return a file's signature.

    To be called before the file is decoded: should it change in between, the signature is that of
    the older content and the next look finds a change.

    Raises
    ------
    UnreadableImageError
        When it cannot be read.
    """
    try:
        state = stat_source(path)
        return FileSignature(state.st_size, state.st_mtime_ns, _digest(path))
    except IsADirectoryError as error:
        raise UnreadableImageError(f"{path} is a folder, not an image.") from error
    except FileNotFoundError as error:
        raise UnreadableImageError(f"{path} does not exist.") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UnreadableImageError(f"{path} cannot be read: {reason}.") from error


def look_again(
    path: Path, signature: FileSignature | None, finished: float
) -> tuple[bool, FileSignature | None]:
    """Return whether a file has changed since it was signed, and the signature to keep if not.

    Size and time decide; where only the time differs (a copy, a checkout), the content does.  A
    file that is not there any more, or cannot be read, has not changed: there would be nothing to
    replace its result by.

    Parameters
    ----------
    path : Path
        The file.
    signature : FileSignature or None
        None for results of older versions: a file younger than its result has changed.
    finished : float
        When the result was entered, seconds since the epoch.
    """
    try:
        state = stat_source(path)
        if signature is None:
            return state.st_mtime > finished, None
        if state.st_size != signature.size:
            return True, None
        if state.st_mtime_ns == signature.mtime_ns:
            return False, signature
        if _digest(path) != signature.digest:
            return True, None
        return False, replace(signature, mtime_ns=state.st_mtime_ns)
    except OSError:
        return False, signature


def _digest(path: Path) -> str:
    found = find_container(path)
    if found is not None:
        return _digest_of_entry(*found)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_entry(file: Path, place: str) -> str:
    # Reading a video whole for each of its frames would take longer than predicting them.
    with file.open("rb") as stream:
        head = stream.read(_END_BYTES)
        stream.seek(max(len(head), stream.seek(0, 2) - _END_BYTES))
        return hashlib.sha256(place.encode() + b"\0" + head + stream.read()).hexdigest()
