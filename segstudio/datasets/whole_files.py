"""Whether a picture's file is all there, from its bytes."""

from __future__ import annotations

__all__ = ["is_whole"]


def is_whole(data: bytes, kind: str) -> bool:
    """Return whether OpenCV may decode the file: a whole JPEG, a whole PNG of 8 bits.

    OpenCV's older versions return a cut file as half a picture without a word, so a JPEG without
    its end marker and a PNG without its end chunk go to Pillow, which complains.
    """
    if kind == "PNG":
        return data[24] == 8 and data.rfind(b"IEND", -4096) >= 0
    scan = _jpeg_scan_start(data)
    return scan is not None and data.find(b"\xff\xd9", scan) >= 0


def _jpeg_scan_start(data: bytes) -> int | None:
    """Return where the coded pixels of a JPEG start, None when there is no scan.

    Walking the segments keeps the end marker of a thumbnail inside the metadata out of play.
    """
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            return position
        if marker == 0xFF or 0xD0 <= marker <= 0xD7 or marker == 0x01:
            position += 1 if marker == 0xFF else 2
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None
