"""Very large photographs and label maps: unpacked once into files, then mapped into memory.

Everything here takes images of any size.  Up to `scratch.LARGE_PIXELS` they are simply read; larger
ones are decoded by bands of rows into a scratch folder, photographs with all their smaller sizes,
and are found there again as long as the file stays the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError, WriteError
from segstudio.core.label_space import LabelSpace
from segstudio.core.types import Image, LabelMap
from segstudio.datasets.images import (
    _header,
    _opened,
    read_image,
    read_image_size,
    read_source_map,
)
from segstudio.datasets.levels import build_levels, half_size, level_count
from segstudio.datasets.png_reading import PngBands, open_png_bands
from segstudio.datasets.rows import open_id_rows, open_rows
from segstudio.datasets.scratch import (
    LARGE_PIXELS,
    is_large,
    plain,
    reserve,
    row_bands,
    scratch_folder,
)

__all__ = [
    "Progress",
    "read_ids",
    "read_label_map",
    "read_levels",
    "read_photo",
    "signed",
    "source_to_label_map",
    "store_rows",
]

Progress = Callable[[float], None]
"""Receives what share is done, 0..1; it may raise to stop."""

_BAND = 128
"""Rows at a time; more where a smaller size would else begin amid a pixel."""

_MAX_BYTES = 24 << 30
"""Bytes that scratch files may take; beyond, those that were not used for longest go."""


def read_photo(path: Path | str, progress: Progress | None = None) -> Image:
    """Return a photograph of any size as (H, W, 3) uint8; see `read_levels`."""
    if not is_large(*read_image_size(path)):
        return read_image(path)
    return read_levels(path, progress)[0]


def read_levels(path: Path | str, progress: Progress | None = None) -> tuple[Image, ...]:
    """Return a photograph of any size with its halves; see `segstudio.datasets.levels`.

    Parameters
    ----------
    path : Path or str
        The image file.
    progress : callable, optional
        Told of the work on a large image.

    Returns
    -------
    tuple of ndarray of shape (h, w, 3), uint8
        Read-only and mapped from files when the image is large.

    Raises
    ------
    UnreadableImageError
        When the file cannot be read, or is large and in a format that is not read by rows.
    WriteError
        When the disk has no room.
    """
    path = Path(path)
    height, width = read_image_size(path)
    if not is_large(height, width):
        return build_levels(read_image(path))
    shapes = [
        (-(-height >> level), -(-width >> level), 3) for level in range(level_count(height, width))
    ]
    rows = max(_BAND, 1 << (len(shapes) - 1))
    byte = np.dtype(np.uint8)
    return tuple(_stored(path, "photo", byte, shapes, lambda: _photo_bands(path, rows), progress))


def read_ids(
    path: Path | str, progress: Progress | None = None, *, size: tuple[int, int] | None = None
) -> NDArray[Any]:
    """Return the ids of a label file of any size; see `images.read_source_map`.

    Parameters
    ----------
    path : Path or str
        The label file.
    progress : callable, optional
        Told of the work on a large file.
    size : (int, int), optional
        Height and width, when the file's header is read already.

    Returns
    -------
    ndarray of shape (H, W)
        Read-only and mapped from a file when it is large.

    Raises
    ------
    SegStudioError
        As `read_levels` and `images.read_source_map`.
    """
    path = Path(path)
    height, width = size or read_image_size(path)
    if not is_large(height, width):
        return read_source_map(path)
    png = None if _is_turned(path) else open_png_bands(path)
    if png is not None and png.channels == 1:
        dtype = png.dtype
    else:
        rows = open_id_rows(path, whole_pixels=LARGE_PIXELS)
        png, dtype = None, rows.read_rows(0, 1).dtype
    return _stored(
        path, "ids", dtype, [(height, width)], lambda: _id_bands(path, png, dtype), progress
    )[0]


def store_rows(
    key: str,
    shape: tuple[int, int],
    dtype: np.dtype[Any] | type[np.generic],
    bands: Callable[[], Iterator[NDArray[Any]]],
    progress: Progress | None = None,
) -> NDArray[Any]:
    """Return an array that was made of bands of rows before, or make it now.

    Parameters
    ----------
    key : str
        Says all that the content depends on.
    shape, dtype
        Of the array.
    bands : callable
        Returns the rows from the top in bands.
    progress : callable, optional
        Told of the work.

    Raises
    ------
    WriteError
        When the disk has no room.
    """
    return _kept(key, np.dtype(dtype), [shape], bands, progress)[0]


def source_to_label_map(
    source_map: NDArray[Any], path: Path, space: LabelSpace, progress: Progress | None = None
) -> LabelMap:
    """Return the label map of a map of source ids, by bands of rows.

    Parameters
    ----------
    source_map : ndarray of shape (H, W), integer
        What the file of ``path`` holds.
    path : Path
        Named in errors.
    space : LabelSpace
    progress : callable, optional
        Told of the work on a large map.

    Raises
    ------
    SegStudioError
        As `LabelSpace.from_source_ids` and `store_rows`.
    """
    shape = source_map.shape

    def mapped() -> Iterator[LabelMap]:
        # Looking up holds Python's lock, so a whole map at once would halt the window.
        return (space.from_source_ids(band, path) for band in row_bands(source_map, _BAND))

    if is_large(*shape):
        key = f"target|{space.fingerprint}|{signed(path)}"
        return store_rows(key, shape, space.dtype, mapped, progress)
    return np.concatenate(list(mapped())) if shape[0] else source_map.astype(space.dtype)


def read_label_map(path: Path, space: LabelSpace) -> LabelMap:
    """Return a stored label map of any size in the type of its label space.

    Raises
    ------
    SegStudioError
        When it cannot be read or holds what the label space does not know.
    """
    stored = read_ids(path)
    for band in row_bands(stored, _BAND):
        space.check(band, path)
    if stored.dtype == space.dtype:
        return stored
    if not is_large(*stored.shape):
        return stored.astype(space.dtype)
    key = f"labels|{np.dtype(space.dtype).name}|{signed(path)}"
    bands = row_bands(stored, _BAND)
    return store_rows(
        key, stored.shape, space.dtype, lambda: (band.astype(space.dtype) for band in bands)
    )


def signed(path: Path) -> str:
    """Return what changes when a file does: its place, size and time.

    Raises
    ------
    UnreadableImageError
        When it is not there.
    """
    try:
        state = path.stat()
    except OSError as error:
        raise UnreadableImageError(f"{path} cannot be read: {error.strerror}.") from error
    return f"{path.resolve()}|{state.st_size}|{state.st_mtime_ns}"


def _stored(
    path: Path,
    kind: str,
    dtype: np.dtype[Any],
    shapes: Sequence[tuple[int, ...]],
    bands: Callable[[], Iterator[NDArray[Any]]],
    progress: Progress | None,
) -> list[NDArray[Any]]:
    return _kept(f"{kind}|{signed(path)}", dtype, shapes, bands, progress)


def _kept(
    key: str,
    dtype: np.dtype[Any],
    shapes: Sequence[tuple[int, ...]],
    bands: Callable[[], Iterator[NDArray[Any]]],
    progress: Progress | None,
) -> list[NDArray[Any]]:
    root = scratch_folder()
    folder = root / hashlib.sha256(key.encode()).hexdigest()[:24]
    try:
        if not (folder / "done.json").exists():
            _make_room(root, sum(int(np.prod(shape)) for shape in shapes) * dtype.itemsize)
            _fill(folder, dtype, shapes, bands(), progress)
        os.utime(folder)
        return [
            plain(np.memmap(folder / str(level), dtype, "r", shape=shape))
            for level, shape in enumerate(shapes)
        ]
    except OSError as error:
        raise WriteError.from_os_error(folder, error) from error


def _fill(
    folder: Path,
    dtype: np.dtype[Any],
    shapes: Sequence[tuple[int, ...]],
    bands: Iterator[NDArray[Any]],
    progress: Progress | None,
) -> None:
    """Write the levels beside their place and put them there when they are whole."""
    making = Path(tempfile.mkdtemp(prefix="making-", dir=folder.parent))
    try:
        files = [(making / str(level)).open("w+b") for level in range(len(shapes))]
        try:
            for file, shape in zip(files, shapes, strict=True):
                reserve(file, int(np.prod(shape)) * dtype.itemsize)
                file.seek(0)
            done = 0
            for band in bands:
                done += len(band)
                for level, file in enumerate(files):
                    if level:
                        band = half_size(band)
                    file.write(np.ascontiguousarray(band, dtype).data)
                if progress is not None:
                    progress(done / shapes[0][0])
        finally:
            for file in files:
                file.close()
        text = json.dumps({"dtype": dtype.name, "shapes": shapes})
        (making / "done.json").write_text(text, encoding="utf-8")
        if folder.exists():  # left behind by a process that was killed
            shutil.rmtree(folder)
        making.rename(folder)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _make_room(root: Path, wanted: int) -> None:
    """Remove the scratch files that were not used for longest when there would be too many."""
    known = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("making-"):
            size = sum(file.stat().st_size for file in folder.iterdir())
            known.append((folder.stat().st_mtime, size, folder))
    total = wanted + sum(size for _, size, _ in known)
    for _, size, folder in sorted(known):
        if total <= _MAX_BYTES:
            return
        shutil.rmtree(folder, ignore_errors=True)
        total -= size


def _photo_bands(path: Path, count: int) -> Iterator[Image]:
    png = None if _is_turned(path) else open_png_bands(path)
    if png is not None:
        yield from (_colors(band, png) for band in png.bands(count))
        return
    rows = open_rows(path, whole_pixels=LARGE_PIXELS)
    for top in range(0, rows.height, count):
        yield rows.read_rows(top, min(top + count, rows.height))


def _is_turned(path: Path) -> bool:
    """Return whether the file asks for its pixels to be turned or mirrored."""
    with _opened(path) as (picture, _):
        return _header(picture, path, refuse=False).orientation != 1


def _colors(samples: NDArray[Any], png: PngBands) -> Image:
    """Return stored samples as they are meant to be seen; see `images.read_image`."""
    if png.palette is not None:
        return png.palette[samples[..., 0]]
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    if png.channels >= 3:
        return np.ascontiguousarray(samples[..., :3])
    grey = samples[..., :1]
    if png.depth < 8:
        grey = grey * np.uint8(255 // ((1 << png.depth) - 1))
    return np.repeat(grey, 3, axis=2)


def _id_bands(path: Path, png: PngBands | None, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    if png is not None:
        yield from (band[..., 0] for band in png.bands(_BAND))
        return
    rows = open_id_rows(path, whole_pixels=LARGE_PIXELS)
    for top in range(0, rows.height, _BAND):
        yield rows.read_rows(top, min(top + _BAND, rows.height)).astype(dtype)
