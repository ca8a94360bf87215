"""Samples that lie inside a file: rows of Parquet files, frames of videos.

The path of such a sample goes on below the file as if it were a folder (``clip.mp4/000012``), so
everything that is told where a sample is can be told where this one is.  No such path exists for
the operating system; `segstudio.datasets.images` asks here when it is told so.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

from segstudio.core.errors import UnreadableImageError
from segstudio.datasets.parquet_files import PARQUET_SUFFIXES, read_cell
from segstudio.datasets.video_files import VIDEO_SUFFIXES, frame_size, read_frame

__all__ = ["CONTAINER_SUFFIXES", "entry_size", "find_container", "open_entry", "stat_source"]

CONTAINER_SUFFIXES = PARQUET_SUFFIXES | VIDEO_SUFFIXES
"""Endings, in lower case, of the files that samples may lie in."""

_DEPTH = 4
"""An entry lies at most so far below its file."""


def find_container(path: Path | str) -> tuple[Path, str] | None:
    """Return the file that an entry lies in and its place there, None for any other path.

    Returns
    -------
    (Path, str) or None
        The file, and what follows its path, with slashes.
    """
    path = Path(path)
    parts: list[str] = []
    for _ in range(_DEPTH):
        parts.insert(0, path.name)
        parent = path.parent
        if parent == path:
            return None
        path = parent
        if path.suffix.lower() in CONTAINER_SUFFIXES and path.is_file():
            return path, "/".join(parts)
    return None


def stat_source(path: Path) -> os.stat_result:
    """Return the state of a sample's file; of the file that it lies in, for an entry.

    Raises
    ------
    OSError
        When there is neither.
    """
    try:
        return path.stat()
    except (NotADirectoryError, FileNotFoundError):
        found = find_container(path)
        if found is None:
            raise
        return found[0].stat()


def open_entry(path: Path | str) -> BinaryIO | None:
    """Return an entry's image file, None when the path is no entry's.

    A frame comes as an uncompressed picture, which costs no more than copying it.

    Raises
    ------
    UnreadableImageError
        When there is no such entry, or it cannot be read.
    """
    found = find_container(path)
    if found is None:
        return None
    file, place = found
    if file.suffix.lower() in PARQUET_SUFFIXES:
        return io.BytesIO(read_cell(file, place))
    return io.BytesIO(_as_ppm(read_frame(file, frame_number(file, place))))


def entry_size(path: Path | str) -> tuple[int, int] | None:
    """Return the (height, width) of a video's frame without decoding it, None for other paths."""
    found = find_container(path)
    if found is None or found[0].suffix.lower() not in VIDEO_SUFFIXES:
        return None
    frame_number(*found)
    return frame_size(found[0])


def frame_number(file: Path, place: str) -> int:
    """Return the number in a frame's name.

    Raises
    ------
    UnreadableImageError
        When it is none.
    """
    if not (place.isascii() and place.isdigit()):
        raise UnreadableImageError(f"{file} has no frame {place!r}; frames are numbered from 0.")
    return int(place)


def _as_ppm(pixels: object) -> bytes:
    """Return an (H, W, 3) uint8 RGB array as a portable pixmap."""
    import numpy as np

    frame = np.ascontiguousarray(pixels, np.uint8)
    head = f"P6 {frame.shape[1]} {frame.shape[0]} 255\n".encode("ascii")
    return head + frame.tobytes()
