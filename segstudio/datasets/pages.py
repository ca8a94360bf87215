"""Files of several pages: which page of a label file is meant, nobody can know.

Of photographs the first page is taken, which is said when they are opened.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

from segstudio.core.errors import UnreadableImageError

if TYPE_CHECKING:
    from PIL import Image as PilImage

__all__ = ["check_single_page", "has_second_page"]

_SUBFILE, _OLD_SUBFILE = 254, 255
_REDUCED_OR_MASK = 0b101
"""Bits of NewSubfileType (TIFF 6.0, section 8): a smaller copy of a page, a transparency mask."""
_OLD_REDUCED = 2
_LOOKED_AT = 256


def check_single_page(picture: PilImage.Image, path: Path | str) -> None:
    """Refuse a label file of several pages or frames, of which one would be taken unasked.

    Smaller copies of the page (overviews) and transparency masks are none.

    Parameters
    ----------
    picture : PIL.Image.Image
        Opened, at its first page, where it stays.
    path : Path or str
        The file, for the error.

    Raises
    ------
    UnreadableImageError
        When there is a second page.
    """
    if picture.format not in ("TIFF", "GIF", "PNG") or not has_second_page(picture):
        return
    raise UnreadableImageError(
        f"{path} has several pages, but a label map is one; save the page that is meant as a file "
        "of its own."
    )


def has_second_page(picture: PilImage.Image) -> bool:
    """Return whether an opened picture has a second page or frame, overviews not counted."""
    if picture.format != "TIFF":
        return bool(getattr(picture, "is_animated", False))
    try:
        for page in range(1, _LOOKED_AT):
            picture.seek(page)
            tags = picture.tag_v2  # type: ignore[attr-defined]
            copy = int(tags.get(_SUBFILE, 0)) & _REDUCED_OR_MASK
            if not copy and tags.get(_OLD_SUBFILE) != _OLD_REDUCED:
                return True
    except (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, struct.error):
        return False  # there is no further page that could be read instead
    finally:
        picture.seek(0)
    return False
