"""Reading photographs and label maps: every pixel comes in here.

Photographs come out as they are meant to be seen (EXIF orientation applied, 8 bits, RGB); label
files come out as the ids that they store, a palette's colours are never looked up.  A file that
cannot be read whole is an error, never half a picture.  Writing is in
`segstudio.datasets.encoding`; its functions can be had from here too.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import LabelValueError, UnreadableImageError
from segstudio.core.types import Image
from segstudio.datasets.containers import entry_size, open_entry
from segstudio.datasets.encoding import encode_png, write_gray, write_image, write_label_map
from segstudio.datasets.float_tiff import open_float_tiff
from segstudio.datasets.heif import HEIF_SUFFIXES, is_avif, is_heif, register_decoder
from segstudio.datasets.image_errors import DECODE_ERRORS, damaged, unreadable
from segstudio.datasets.pages import check_single_page
from segstudio.datasets.whole_files import is_whole

logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong we say ourselves

if TYPE_CHECKING:
    from PIL import Image as PilImage

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "TARGET_SUFFIXES",
    "encode_png",
    "read_image",
    "read_image_size",
    "read_source_map",
    "read_thumbnail",
    "turned_like",
    "write_gray",
    "write_image",
    "write_label_map",
]

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", *HEIF_SUFFIXES,
})
"""Endings, in lower case, of the files that count as photographs."""
# fmt: on

TARGET_SUFFIXES = frozenset({".png", ".bmp", ".tif", ".tiff", ".gif"})
"""Endings, in lower case, of the files that count as label maps: those that store ids exactly."""

MAX_PIXELS = 500_000_000
"""Larger images are refused before they are decoded."""

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class _Header:
    """What is known of an image before it is decoded; height and width as stored."""

    kind: str
    mode: str
    height: int
    width: int
    orientation: int

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width after the EXIF orientation is applied."""
        turned = self.orientation >= 5
        return (self.width, self.height) if turned else (self.height, self.width)


def read_image(path: Path | str) -> Image:
    """Read a photograph as it is meant to be seen.

    Parameters
    ----------
    path : Path or str
        The image file.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
        RGB; EXIF orientation applied, 16 bits and fractions scaled to 8, alpha dropped, grey
        repeated.

    Raises
    ------
    UnreadableImageError
        When the file is missing, empty, damaged, cut short, larger than `MAX_PIXELS` or no image.
    """
    pixels, header = _decode(path)
    return _oriented(pixels, header.orientation)


def read_image_size(path: Path | str) -> tuple[int, int]:
    """Return (height, width) of an image as shown, from its header alone.

    Raises
    ------
    UnreadableImageError
        See `read_image`; damage behind the header is not noticed.
    """
    known = entry_size(path)
    if known is not None:
        return known
    with _opened(path) as (picture, _):
        return _header(picture, path, refuse=False).shown_size


def turned_like(path: Path | str, stored: NDArray[Any]) -> NDArray[Any]:
    """Return a map that was drawn on a photograph's stored pixels as the photograph is shown.

    Tools that do not know of EXIF draw on photographs that lie on their side.

    Parameters
    ----------
    path : Path or str
        The photograph, whose orientation is applied where it swaps height and width.
    stored : ndarray of shape (H, W)
        The map.
    """
    with _opened(path) as (picture, _):
        orientation = _header(picture, path, refuse=False).orientation
    return _oriented(stored, orientation) if orientation >= 5 else stored


def read_thumbnail(path: Path | str, edge: int) -> Image:
    """Read a small version of a photograph, a JPEG without decoding all of it.

    Parameters
    ----------
    path : Path or str
        The image file.
    edge : int
        Pixels of the long side; smaller images keep their size.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        RGB with ``max(h, w) <= edge``.

    Raises
    ------
    UnreadableImageError
        See `read_image`.
    """
    import cv2

    pixels, header = _decode(path, at_least=edge)
    height, width = pixels.shape[:2]
    scale = edge / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return _oriented(pixels, header.orientation)


def read_source_map(path: Path | str) -> NDArray[Any]:
    """Read the ids that a label file stores.

    Palette files give their indices: the palette's colours are for people.  Grey files of 1, 2
    or 4 bits give the stored numbers, which decoders like to stretch to 0..255.  The file's own
    EXIF orientation is applied, as to a photograph.

    Parameters
    ----------
    path : Path or str
        The label file, normally a PNG.

    Returns
    -------
    ndarray of shape (H, W), uint8, uint16 or int32

    Raises
    ------
    UnreadableImageError
        When the file cannot be decoded (see `read_image`), or has several pages.
    LabelValueError
        When it is a colour picture and so holds no ids.
    """
    with _opened(path) as (picture, stream):
        return _stored_ids(picture, stream, path)


def _stored_ids(picture: PilImage.Image, stream: BinaryIO, path: Path | str) -> NDArray[Any]:
    """Return the ids of an opened label file; see `read_source_map`."""
    check_single_page(picture, path)
    header = _header(picture, path)
    if header.mode not in {"1", "L", "P", "I", "I;16", "I;16B", "I;16L", "LA", "PA"}:
        kind = "holds numbers with fractions" if header.mode == "F" else "is a colour image"
        raise LabelValueError(
            f"{path} {kind}, but a label map stores one class id per pixel; choose the index "
            "version of this mask."
        )
    depth = _stored_depth(picture, stream) if header.mode == "L" else 8
    try:
        stored = np.asarray(picture)
    except DECODE_ERRORS as error:
        raise damaged(path, error) from error
    if stored.ndim == 3:
        stored = stored[:, :, 0]
    stored = _oriented(stored, header.orientation)
    if stored.dtype == np.bool_:
        return stored.astype(np.uint8)
    if depth in (2, 4):
        return stored // np.uint8(255 // (2**depth - 1))
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored)
    if stored.size == 0 or 0 <= int(stored.min()) <= int(stored.max()) <= 65535:
        return stored.astype(np.uint16)
    return stored.astype(np.int32)


@contextlib.contextmanager
def _opened(path: Path | str) -> Iterator[tuple[PilImage.Image, BinaryIO]]:
    """Yield the lazily opened picture, of which only the header is read, and its file."""
    stream: BinaryIO | None
    try:
        stream = open(path, "rb")  # noqa: SIM115 - closed by the with statement below
    except OSError as error:
        inside = isinstance(error, NotADirectoryError | FileNotFoundError)
        stream = open_entry(path) if inside else None
        if stream is None:
            raise unreadable(path, error) from error
    with stream, _identified(stream, path) as picture:
        yield picture, stream


def _identified(stream: BinaryIO, path: Path | str) -> PilImage.Image:
    from PIL import Image as PilImage
    from PIL import UnidentifiedImageError

    # Pillow warns from 89 Mpixel on; `_header` refuses with our own sentence, later.  Its remarks
    # on odd metadata are about files that can be read all the same.
    PilImage.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    # First, as Pillow loads all of its forty formats for a file that it does not know.
    if not stream.read(1):
        raise UnreadableImageError(f"{path} is empty; replace the file by a whole copy.")
    stream.seek(0)
    if is_heif(stream) and not register_decoder():
        raise UnreadableImageError(
            f"{path} is a HEIF photograph, for which no decoder is installed; install "
            "segstudio[heif] or convert it to JPEG."
        )
    try:
        return PilImage.open(stream)
    except UnidentifiedImageError:
        stream.seek(0)
        if is_avif(stream):
            raise UnreadableImageError(
                f"{path} is an AVIF photograph, which Pillow reads from version 11.3 on; update it "
                "or convert the file to JPEG."
            ) from None
        picture = open_float_tiff(stream, path)
        if picture is not None:
            return picture
        raise UnreadableImageError(
            f"{path} is not an image: its content is in no format that can be read."
        ) from None
    except DECODE_ERRORS as error:
        raise damaged(path, error) from error


def _header(picture: PilImage.Image, path: Path | str, *, refuse: bool = True) -> _Header:
    """Return what the opened file says of itself, refusing monsters.

    Only metadata in front of the pixels is looked at, or the header would cost a decoding.
    Pillow turns TIFF files by itself.
    """
    from PIL import Image as PilImage

    width, height = picture.size
    if refuse and width * height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{path} has {width} x {height} pixels, more than the {MAX_PIXELS // 10**6} million "
            "that are read at once; cut it into tiles."
        )
    orientation = 1
    exif = picture.info.get("exif")
    if exif and picture.format != "TIFF":
        tags = PilImage.Exif()
        try:
            tags.load(exif)
            orientation = int(tags.get(_ORIENTATION_TAG, 1))
        except DECODE_ERRORS:
            orientation = 1  # damaged metadata does not make the pixels unreadable
    orientation = orientation if 1 <= orientation <= 8 else 1
    return _Header(str(picture.format), picture.mode, height, width, orientation)


def _decode(path: Path | str, at_least: int | None = None) -> tuple[Image, _Header]:
    """Return the pixels as stored and the header; see `_decode_fast` for ``at_least``."""
    with _opened(path) as (picture, stream):
        header = _header(picture, path)
        pixels = None
        if header.kind in {"JPEG", "MPO", "PNG"} and header.mode in {"L", "RGB", "RGBA"}:
            position = stream.tell()
            stream.seek(0)
            data = stream.read()
            stream.seek(position)
            if is_whole(data, header.kind):
                pixels = _decode_fast(data, header, at_least)
        if pixels is None:
            pixels = _decode_general(picture, path)
    return pixels, header


def _decode_fast(data: bytes, header: _Header, at_least: int | None = None) -> Image | None:
    """Decode with OpenCV, reduced while the long side stays ``at_least`` so many pixels."""
    import cv2

    flag = cv2.IMREAD_COLOR
    if at_least is not None and header.kind != "PNG":
        for factor, reduced in (
            (8, cv2.IMREAD_REDUCED_COLOR_8),
            (4, cv2.IMREAD_REDUCED_COLOR_4),
            (2, cv2.IMREAD_REDUCED_COLOR_2),
        ):
            if max(header.height, header.width) // factor >= at_least:
                flag = reduced
                break
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), np.uint8)


def _decode_general(picture: PilImage.Image, path: Path | str) -> Image:
    """Decode with Pillow, whatever the mode."""
    try:
        if picture.mode.startswith("I") or picture.mode == "F":
            gray = _eight_bits(np.asarray(picture))
            return np.repeat(gray[:, :, None], 3, axis=2)
        return np.array(picture.convert("RGB"), np.uint8)
    except DECODE_ERRORS as error:
        raise damaged(path, error) from error


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale deep grey values to 8 bits.

    16-bit integers keep their upper byte, as everywhere; for other ranges (floats 0..1 or 0..255,
    32-bit integers) the largest value decides which range is meant.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return (values >> 8).astype(np.uint8)
    finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(finite.max()) if finite.size else 0.0
    is_fraction = values.dtype.kind == "f" and largest <= 1.0
    top = 1.0 if is_fraction else next((t for t in (255.0, 65535.0) if largest <= t), largest)
    return np.clip(finite * (255.0 / top), 0, 255).astype(np.uint8)


def _oriented(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror stored (H, W) or (H, W, 3) pixels by an EXIF orientation 1..8."""
    if orientation == 1:
        return pixels
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _stored_depth(picture: PilImage.Image, stream: BinaryIO) -> int:
    """Return the bits per pixel of a grey picture as stored; Pillow stretches 2 and 4 to 8."""
    if picture.format == "PNG":
        position = stream.tell()
        stream.seek(24)  # bit depth in the header chunk, PNG specification 11.2.1
        depth = stream.read(1)[0]
        stream.seek(position)
        return depth
    if picture.format == "TIFF":
        bits = picture.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return int(bits[0] if isinstance(bits, tuple) else bits)
    return 8
