"""Photographs beside an export's label maps: the very file where it fits, else encoded again."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from segstudio.core.errors import UnreadableImageError
from segstudio.core.options import option
from segstudio.core.types import Image, LabelMap
from segstudio.datasets.encoding import encode_png
from segstudio.exporters._tally import Tally
from segstudio.exporters.base import ExportItem, OutFile

__all__ = ["photograph_ending", "photograph_file", "photographs_option"]

_KINDS = {".jpg": {"JPEG", "MPO"}, ".jpeg": {"JPEG", "MPO"}, ".png": {"PNG"}}
_ORIENTATION_TAG = 0x0112
_JPEG_QUALITY = 95


def photographs_option(default: str) -> Any:
    """Return the field ``images`` of an exporter's Options."""
    return option(
        default,
        "Photographs beside the label maps: none, copies, or symbolic links; those in another "
        "form or with a turned orientation are encoded again.",
        choices=("none", "copy", "link"),
    )


def photograph_ending(item: ExportItem) -> str:
    """Return the ending that a sample's photograph keeps: ``.jpg``, ``.jpeg`` or ``.png``."""
    ending = item.sample.image_path.suffix.lower()
    return ending if ending in _KINDS else ".png"


def photograph_file(place: str, item: ExportItem, images: str, tally: Tally) -> list[OutFile]:
    """Return the file of a sample's photograph; none when ``images`` is "none".

    Parameters
    ----------
    place : str
        Where it goes, ending in ``.jpg``, ``.jpeg`` or ``.png``.
    item : ExportItem
        The sample.
    images : {"none", "copy", "link"}
        See `photographs_option`.
    tally : Tally
        Told of photographs that JPEG changes.
    """
    if images == "none":
        return []
    return [OutFile(place, partial(_content, place, item, images == "link", tally))]


def _content(
    place: str, item: ExportItem, link: bool, tally: Tally, label_map: LabelMap
) -> bytes | Path:
    path, ending = item.sample.image_path, PurePosixPath(place).suffix.lower()
    if _is_as_shown(path, ending):
        if link:
            return path.absolute()
        try:
            return path.read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise UnreadableImageError(f"{path} cannot be read: {reason}.") from error
    image = item.read_image()
    if ending == ".png":
        return encode_png(image)
    tally.add(
        f"Photographs were encoded again, as JPEG of quality {_JPEG_QUALITY}, because they were "
        "in another form or turned",
        1,
        "samples",
    )
    return _encode_jpeg(image)


def _encode_jpeg(image: Image) -> bytes:
    import cv2

    settings = [
        *(cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
    ]
    bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, settings)
    return encoded.tobytes()


def _is_as_shown(path: Path, ending: str) -> bool:
    """Return whether the file may stand for the photograph: of that kind, and not turned."""
    from PIL import Image as PilImage

    if path.suffix.lower() not in _KINDS or not path.is_file():
        return False
    try:
        with PilImage.open(path) as picture:
            if picture.format not in _KINDS[ending]:
                return False
            exif = picture.info.get("exif")
            if not exif:
                return True
            tags = PilImage.Exif()
            tags.load(exif)
            return int(tags.get(_ORIENTATION_TAG, 1)) in (0, 1)
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, RuntimeError):
        return False  # reading its pixels will say what is wrong
