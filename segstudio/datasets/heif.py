"""HEIF photographs (HEIC, AVIF): told apart, and HEIC's decoder where one is installed."""

from __future__ import annotations

import functools
import importlib.util
from typing import BinaryIO

__all__ = ["HEIF_SUFFIXES", "is_avif", "is_heif", "register_decoder"]

HEIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"})
"""Endings, in lower case, of HEIF photographs."""

_BRANDS = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
)
"""Major brands of ISO/IEC 23008-12; those of AVIF are not among them, Pillow reads it itself."""


def is_heif(stream: BinaryIO) -> bool:
    """Return whether a file is HEIF and not AVIF, from its first bytes; its position is kept."""
    position = stream.tell()
    head = stream.read(32)
    stream.seek(position)
    # A file whose major brand is the general one says among the others whether it is AVIF.
    return head[4:8] == b"ftyp" and head[8:12] in _BRANDS and b"avif" not in head[8:32]


def is_avif(stream: BinaryIO) -> bool:
    """Return whether a file is AVIF, from its first bytes; its position is kept."""
    position = stream.tell()
    head = stream.read(32)
    stream.seek(position)
    return head[4:8] == b"ftyp" and b"avif" in head[8:32]


@functools.cache
def register_decoder() -> bool:
    """Let Pillow know of the decoder; False when there is none."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    return True
