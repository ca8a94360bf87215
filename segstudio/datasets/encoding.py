"""Writing pictures: label maps and grey maps as PNG, each file at once or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segstudio.core.atomic import write_bytes
from segstudio.core.errors import UsageError
from segstudio.core.palette import Color
from segstudio.core.types import Image, LabelMap

__all__ = ["encode_color_map", "encode_png", "write_gray", "write_image", "write_label_map"]


def encode_png(pixels: NDArray[Any]) -> bytes:
    """Return a PNG of a grey (H, W) uint8 or uint16 or an RGB (H, W, 3) uint8 array.

    Run-length coding is the quickest strategy and, on label maps, no larger than the others.

    Raises
    ------
    UsageError
        When the array is empty or of another shape or type.
    """
    import cv2

    is_gray = pixels.ndim == 2 and pixels.dtype in (np.uint8, np.uint16)
    is_color = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8
    if pixels.size == 0 or not (is_gray or is_color):
        raise UsageError(
            f"An array of shape {pixels.shape} and type {pixels.dtype} cannot be written as a PNG."
        )
    if is_color:
        pixels = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    strategy = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels), strategy)
    if not done:
        raise UsageError(f"An array of shape {pixels.shape} is too large for a PNG.")
    return encoded.tobytes()


def encode_color_map(label_map: LabelMap, colors: Sequence[Color]) -> bytes:
    """Return a palette PNG: colours to look at, indices to read.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), uint8
        Palette indices.
    colors : sequence of (R, G, B)
        Colour of index 0, 1, ...; later indices, 255 among them, are black.

    Raises
    ------
    UsageError
        When the map has more than 8 bits.
    """
    from PIL import Image as PilImage

    if label_map.ndim != 2 or label_map.dtype != np.uint8:
        raise UsageError("A palette PNG holds 256 indices at most; write a grey PNG instead.")
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(colors)] = np.asarray(colors, np.uint8).reshape(-1, 3)
    picture = PilImage.fromarray(np.ascontiguousarray(label_map))
    picture.putpalette(palette.tobytes())
    stream = io.BytesIO()
    # Level 1 because Pillow offers no run-length strategy for whole files.
    picture.save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def write_label_map(path: Path | str, label_map: LabelMap, *, durable: bool = True) -> None:
    """Write a label map as an 8- or 16-bit grey PNG, atomically.

    Parameters
    ----------
    path : Path or str
        The PNG file; its folder is created when missing.
    label_map : ndarray of shape (H, W), uint8 or uint16
        Written as it is, ignore index included.
    durable : bool
        See `segstudio.core.atomic.replacing`.

    Raises
    ------
    WriteError
        When the file cannot be written.
    UsageError
        When the array is no label map.
    """
    if label_map.ndim != 2 or label_map.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"A label map is a 2-D array of uint8 or uint16, not {label_map.ndim}-D of "
            f"{label_map.dtype}."
        )
    write_bytes(Path(path), encode_png(label_map), durable=durable)


def write_gray(path: Path | str, gray: NDArray[np.uint8], *, durable: bool = True) -> None:
    """Write an (H, W) uint8 map (entropy, confidence) as a grey PNG; see `write_label_map`."""
    if gray.ndim != 2 or gray.dtype != np.uint8:
        raise UsageError(f"A grey map is a 2-D array of uint8, not {gray.ndim}-D of {gray.dtype}.")
    write_bytes(Path(path), encode_png(gray), durable=durable)


def write_image(path: Path | str, image: Image, *, durable: bool = True) -> None:
    """Write an (H, W, 3) uint8 RGB picture as a PNG, atomically."""
    if image.ndim != 3:
        raise UsageError(f"An RGB picture is a 3-D array, not {image.ndim}-D.")
    write_bytes(Path(path), encode_png(image), durable=durable)
