"""Reading an image by bands of rows, for images that are never whole in memory.

A TIFF file stores strips or tiles that can be decoded one by one.  Each is handed to Pillow as a
small TIFF file of its own, which knows all that the large one may hold.  JPEG, PNG and WebP can
only be decoded from the top: as the rows are wanted where libvips is there, else once and whole.
"""

from __future__ import annotations

import io
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError, UsageError
from segstudio.core.types import Image
from segstudio.datasets.images import (
    _decode_general,
    _identified,
    _opened,
    _stored_ids,
    read_image,
    read_source_map,
)
from segstudio.datasets.pages import check_single_page
from segstudio.datasets.stream_rows import StreamRows, can_stream

if TYPE_CHECKING:
    from PIL import TiffImagePlugin

__all__ = ["ArrayRows", "RowSource", "TiffRows", "open_id_rows", "open_rows"]

WHOLE_PIXELS = 64_000_000
"""Images up to this size are decoded whole: 200 MB."""
_CACHE_BYTES = 128_000_000
_RAW_ROWS = 256
"""Uncompressed pixels are read so many rows at a time, however long the file's strips are."""

# TIFF 6.0 tags.
_BITS, _COMPRESSION, _STRIP_OFFSETS = 258, 259, 273
_ORIENTATION, _SAMPLES, _STRIP_ROWS, _STRIP_BYTES = 274, 277, 278, 279
_WIDTH, _HEIGHT, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 284, 322, 323
_TILE_OFFSETS, _TILE_BYTES, _SUBSAMPLING = 324, 325, 530
_COPIED = (258, 259, 262, 266, 277, 284, 317, 320, 332, 338, 339, 347, 529, 530, 532)
"""How pixels are stored: bits, compression, colours, fill order, predictor, JPEG tables."""
_BANDED_MODES = frozenset(
    {"1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B"}
)
"""Modes whose pixels mean the same whatever the rest of the image holds; see `read_image`."""
_OLD_JPEG = 6
_LONG, _LONG8 = 4, 16


class RowSource(Protocol):
    """An RGB image that can be read by rows."""

    height: int
    width: int

    def read_rows(self, top: int, bottom: int) -> Image:
        """Return rows ``top..bottom-1`` as (bottom - top, W, 3) uint8."""


class ArrayRows:
    """An image in memory as a source of rows.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.

    Raises
    ------
    UsageError
        When it has another shape or type.
    """

    def __init__(self, image: Image) -> None:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise UsageError(
                "An image is an RGB array of shape (H, W, 3) and type uint8, not "
                f"{image.shape} and {image.dtype}."
            )
        self.image = image
        self.height, self.width = int(image.shape[0]), int(image.shape[1])

    def read_rows(self, top: int, bottom: int) -> Image:
        """Return rows ``top..bottom-1``: a view, not to be changed."""
        return self.image[top:bottom]


def open_rows(path: Path | str, *, whole_pixels: int = WHOLE_PIXELS) -> RowSource:
    """Open an image for reading by rows; the pixels are those of `read_image`.

    Parameters
    ----------
    path : Path or str
        The image file.
    whole_pixels : int
        Images of at most so many pixels, and those in formats that cannot be read by rows, are
        decoded here and now.

    Raises
    ------
    UnreadableImageError
        See `segstudio.datasets.images.read_image`; damage to a part of a TIFF file is found when
        that part is read.
    """
    source = _open_tiff(Path(path), whole_pixels) or _open_stream(Path(path), whole_pixels)
    return ArrayRows(read_image(path)) if source is None else source


def _open_stream(path: Path, whole_pixels: int) -> StreamRows | None:
    with _opened(path) as (picture, _):
        width, height = picture.size
        if width * height <= whole_pixels:
            return None
        orientation = int(picture.getexif().get(_ORIENTATION, 1))
        plain = "transparency" not in picture.info
        if not plain or not can_stream(picture.format, picture.mode, orientation):
            return None
    return StreamRows(path, (height, width))


def open_id_rows(path: Path | str, *, whole_pixels: int = WHOLE_PIXELS) -> RowSource:
    """Open a label file for reading by rows; the ids are those of `read_source_map`.

    Rows come as (n, W) arrays of ids.  Parameters and errors are those of `open_rows`.
    """
    source = _open_tiff(Path(path), whole_pixels, ids=True)
    return _IdRows(read_source_map(path)) if source is None else source


class _IdRows:
    """A map of ids in memory as a source of rows."""

    def __init__(self, ids: NDArray[Any]) -> None:
        self._ids = ids
        self.height, self.width = ids.shape

    def read_rows(self, top: int, bottom: int) -> NDArray[Any]:
        return self._ids[top:bottom]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the segments of a TIFF file are: strips, or tiles in rows."""

    height: int
    width: int
    across: int
    offsets: tuple[int, ...]
    sizes: tuple[int, ...]


class TiffRows:
    """A TIFF file as a source of rows, decoded strip by strip or tile by tile.

    Use `open_rows`, which knows what files this is good for.  It may be read from several threads.
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        layout: _Layout,
        tags: dict[int, Any],
        order: bytes,
        *,
        ids: bool = False,
    ) -> None:
        self.path = path
        self.height, self.width = size
        self._layout = layout
        self._tags = tags
        self._order = order
        self._ids = ids
        self._cache: OrderedDict[int, Image] = OrderedDict()
        self._lock = threading.Lock()

    def read_rows(self, top: int, bottom: int) -> Image:
        """Return rows ``top..bottom-1``.

        Raises
        ------
        UnreadableImageError
            When this part of the file is damaged, or the file is gone.
        """
        step = self._layout.height
        parts: list[Image] = []
        with self._lock:
            for number in range(top // step, math.ceil(bottom / step)):
                first = max(top, number * step)
                last = min(bottom, (number + 1) * step)
                strip = self._strip(number)
                parts.append(strip[first - number * step : last - number * step])
        return np.concatenate(parts)

    def _strip(self, number: int) -> Image:
        """Return all pixels of one row of segments."""
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        layout = self._layout
        last = len(layout.offsets) // layout.across - 1
        height = layout.height
        if layout.across == 1 and number == last:
            height = self.height - last * layout.height
        segments: list[Image] = []
        try:
            with self.path.open("rb") as file:
                for column in range(layout.across):
                    index = number * layout.across + column
                    file.seek(layout.offsets[index])
                    data = file.read(layout.sizes[index])
                    left = column * layout.width
                    segments.append(self._decoded(data, height)[:, : self.width - left])
        except OSError as error:
            raise UnreadableImageError(
                f"{self.path} cannot be read: {error.strerror or error}."
            ) from error
        strip: Image = segments[0] if len(segments) == 1 else np.concatenate(segments, axis=1)
        self._cache[number] = strip
        while len(self._cache) > 2 and len(self._cache) * strip.nbytes > _CACHE_BYTES:
            self._cache.popitem(last=False)
        return strip

    def _decoded(self, data: bytes, height: int) -> Image:
        """Decode one segment as a file of its own."""
        from PIL import TiffImagePlugin

        directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=self._order)
        own = {
            _WIDTH: self._layout.width,
            _HEIGHT: height,
            _STRIP_ROWS: height,
            _STRIP_BYTES: len(data),
            _STRIP_OFFSETS: 0,  # Pillow adds where the directory ends
        }
        tags = self._tags | {tag: (_LONG, value) for tag, value in own.items()}
        for tag, (kind, value) in tags.items():
            directory.tagtype[tag] = kind
            directory[tag] = value
        stream = io.BytesIO()
        directory.save(stream)
        stream.write(data)
        stream.seek(0)
        with _identified(stream, self.path) as picture:
            if self._ids:
                return _stored_ids(picture, stream, self.path)
            return _decode_general(picture, self.path)


def _open_tiff(path: Path, whole_pixels: int, *, ids: bool = False) -> TiffRows | None:
    """Return a large TIFF file as rows, None when the file has to be decoded whole."""
    with _opened(path) as (picture, _):
        width, height = picture.size
        if picture.format != "TIFF" or width * height <= whole_pixels:
            return None
        if ids:
            check_single_page(picture, path)
        tags: TiffImagePlugin.ImageFileDirectory_v2 = picture.tag_v2  # type: ignore[attr-defined]
        compression = tags.get(_COMPRESSION, 1)
        separate = tags.get(_SAMPLES, 1) > 1 and tags.get(_PLANAR, 1) != 1
        turned = tags.get(_ORIENTATION, 1) != 1
        if picture.mode not in _BANDED_MODES or separate or turned or compression == _OLD_JPEG:
            return None
        layout = _layout(tags, height, width)
        if layout is None:
            return None
        copied = {
            tag: (_LONG if tags.tagtype[tag] == _LONG8 else tags.tagtype[tag], tags[tag])
            for tag in _COPIED
            if tag in tags
        }
        return TiffRows(path, (height, width), layout, copied, tags.prefix, ids=ids)


def _layout(tags: TiffImagePlugin.ImageFileDirectory_v2, height: int, width: int) -> _Layout | None:
    """Return where the segments are, None when there is but one or the tags make no sense."""
    if _TILE_WIDTH in tags:
        tile = (int(tags.get(_TILE_HEIGHT, 0)), int(tags[_TILE_WIDTH]))
        offsets, sizes = _numbers(tags, _TILE_OFFSETS), _numbers(tags, _TILE_BYTES)
    else:
        tile = (min(int(tags.get(_STRIP_ROWS, height)), height), width)
        offsets, sizes = _numbers(tags, _STRIP_OFFSETS), _numbers(tags, _STRIP_BYTES)
        if len(offsets) == 1 and tags.get(_COMPRESSION, 1) == 1 and _SUBSAMPLING not in tags:
            return _cut_strip(tags, offsets[0], height, width)
    if min(tile) < 1 or len(offsets) < 2 or len(offsets) != len(sizes):
        return None
    across = math.ceil(width / tile[1])
    if across * math.ceil(height / tile[0]) != len(offsets):
        return None
    return _Layout(tile[0], tile[1], across, offsets, sizes)


def _cut_strip(
    tags: TiffImagePlugin.ImageFileDirectory_v2, offset: int, height: int, width: int
) -> _Layout:
    """Cut the one strip of an uncompressed file into several."""
    bits = _numbers(tags, _BITS) or (1,)
    samples = int(tags.get(_SAMPLES, 1))
    row = math.ceil(width * (sum(bits) if len(bits) > 1 else bits[0] * samples) / 8)
    tops = range(0, height, _RAW_ROWS)
    offsets = tuple(offset + top * row for top in tops)
    sizes = tuple(row * min(_RAW_ROWS, height - top) for top in tops)
    return _Layout(_RAW_ROWS, width, 1, offsets, sizes)


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return tuple(int(entry) for entry in (value if isinstance(value, tuple) else (value,)))
