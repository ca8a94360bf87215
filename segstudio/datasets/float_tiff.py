"""Photographs stored as floating-point numbers in TIFF files, which Pillow does not read.

Numbers from 0 to 1 and numbers from 0 to 255 are both common for such files (scikit-image and
Matplotlib mean the first, OpenCV's users write the second).  Where the largest number tells which
is meant, the picture is read so; where it does not, it is refused rather than stretched, as colours
that depend on an image's own extremes would differ from photograph to photograph.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from segstudio.core.errors import UnreadableImageError
from segstudio.datasets.image_errors import DECODE_ERRORS

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # damage is in our sentences

if TYPE_CHECKING:
    from PIL import Image as PilImage

__all__ = ["open_float_tiff"]

_LARGEST_FRACTION = 1.0
_SMALLEST_BYTE_RANGE = 16.0
"""A picture of numbers from 0 to 255 whose largest is below this would be black to the eye."""
_CHUNKY = 1
_ORIENTATION_TAG = 0x0112
_TIFF_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the first page of a TIFF file says of itself."""

    height: int
    width: int
    channels: int
    dtype: np.dtype[Any]
    chunky: bool
    orientation: int


def open_float_tiff(stream: BinaryIO, path: Path | str) -> PilImage.Image | None:
    """Return the first page of a TIFF file that Pillow does not know as a lazily read picture.

    Parameters
    ----------
    stream : binary file
        At any place; it stays open as long as the picture is to be read.
    path : Path or str
        Named in errors.

    Returns
    -------
    PIL.Image.Image or None
        RGB, of 8 bits; None when it is no TIFF file.

    Raises
    ------
    UnreadableImageError
        When its channels are neither three nor four (the fourth, alpha, is dropped), or hold other
        numbers than floating-point ones; on reading, when it is damaged, or its numbers may mean
        anything.
    """
    facts = _facts(stream)
    if facts is None:
        return None
    if facts.channels not in (3, 4) or facts.dtype.kind != "f":
        raise UnreadableImageError(
            f"{path} is a TIFF file with {facts.channels} "
            f"{'channel' if facts.channels == 1 else 'channels'} of {facts.dtype}, which is no "
            "photograph that can be read; save it with three channels of 8 or 16 bits."
        )
    return _lazy_picture(stream, path, facts)


def _facts(stream: BinaryIO) -> _Facts | None:
    stream.seek(0)
    if stream.read(4) not in _TIFF_BEGINS:
        return None
    import tifffile

    stream.seek(0)
    try:
        page = tifffile.TiffFile(stream).pages.first
        tags = page.tags
        return _Facts(
            int(page.imagelength),
            int(page.imagewidth),
            int(page.samplesperpixel),
            np.dtype(page.dtype),
            int(page.planarconfig) == _CHUNKY,
            int(tags[_ORIENTATION_TAG].value) if _ORIENTATION_TAG in tags else 1,
        )
    except (*DECODE_ERRORS, tifffile.TiffFileError):
        return None  # nothing that is worth telling apart from any other file


def _lazy_picture(stream: BinaryIO, path: Path | str, facts: _Facts) -> PilImage.Image:
    """Return a picture that knows its size at once and its pixels when they are asked for."""
    from PIL import Image as PilImage

    class FloatTiff(PilImage.Image):
        format = "float TIFF"

        def __init__(self) -> None:
            super().__init__()
            self._mode = "RGB"
            self._size = facts.width, facts.height
            if facts.orientation != 1:
                exif = PilImage.Exif()
                exif[_ORIENTATION_TAG] = facts.orientation
                self.info["exif"] = exif.tobytes()
            self._pending: _Pixels | None = _Pixels(stream, path, facts)

        def load(self) -> Any:
            if self._pending is not None:
                self.im = PilImage.fromarray(self._pending.read()).im
                self._pending = None
            return super().load()

    return FloatTiff()


@dataclass(frozen=True, slots=True)
class _Pixels:
    """The pixels, still in the file."""

    stream: BinaryIO
    path: Path | str
    facts: _Facts

    def read(self) -> NDArray[np.uint8]:
        """Return them as (H, W, 3) RGB."""
        numbers = self._numbers()
        expected = (self.facts.height, self.facts.width)
        if numbers is None or numbers.ndim != 3 or numbers.shape[:2] != expected:
            raise UnreadableImageError(
                f"{self.path} is damaged, or compressed in a way that is not read here; save it "
                "with 8 or 16 bits."
            )
        return self._eight_bits(numbers[:, :, :3])

    def _numbers(self) -> NDArray[Any] | None:
        """Return the (H, W, C) numbers; None when they cannot be decoded."""
        self.stream.seek(0)
        # OpenCV takes planes for rows, and turns some pictures itself.
        upright = self.facts.chunky and self.facts.orientation == 1
        if upright and self.facts.dtype.itemsize in (4, 8):
            return _decode_upright(self.stream.read())
        import tifffile

        try:
            pixels = tifffile.TiffFile(self.stream).pages[0].asarray()
        except Exception:  # noqa: BLE001 - every compression has its own; the caller says what it is
            return None
        return np.moveaxis(pixels, 0, -1) if not self.facts.chunky else pixels

    def _eight_bits(self, numbers: NDArray[Any]) -> NDArray[np.uint8]:
        finite = np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0)
        smallest, largest = float(finite.min()), float(finite.max())
        is_fraction = largest <= _LARGEST_FRACTION
        if smallest < 0 or not (is_fraction or _SMALLEST_BYTE_RANGE <= largest <= 255):
            raise UnreadableImageError(
                f"{self.path} holds numbers from {smallest:.4g} to {largest:.4g}, of which nobody "
                "can say what is black and what is white; scale them to 0..1 or 0..255."
            )
        return np.rint(finite * 255.0 if is_fraction else finite).astype(np.uint8)


def _decode_upright(data: bytes) -> NDArray[Any] | None:
    """Decode with OpenCV, whose library knows all compressions that are in use."""
    import cv2

    # Its words on damage would come beside our sentence.
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None or pixels.ndim != 3:
        return None
    return np.asarray(pixels[:, :, 2::-1])
