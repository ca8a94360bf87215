"""Why an image file could not be read, in one sentence."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from segstudio.core.errors import UnreadableImageError

__all__ = ["DECODE_ERRORS", "damaged", "unreadable"]

# fmt: off
DECODE_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    MemoryError, RuntimeError, struct.error, zlib.error,
)
# fmt: on
"""What decoders raise on damaged files."""


def unreadable(path: Path | str, error: OSError) -> UnreadableImageError:
    """Return the error of an image file that the operating system does not give."""
    if isinstance(error, FileNotFoundError):
        return UnreadableImageError(f"{path} does not exist.")
    if isinstance(error, IsADirectoryError) or Path(path).is_dir():
        return UnreadableImageError(f"{path} is a folder, not an image.")
    if isinstance(error, PermissionError):
        return UnreadableImageError(
            f"{path} may not be read: permission is denied; change its permissions."
        )
    return UnreadableImageError(f"{path} cannot be read: {error.strerror or error}.")


def damaged(path: Path | str, error: BaseException) -> UnreadableImageError:
    """Return the error of an image file that a decoder complains of."""
    reason = str(error).strip().rstrip(".") or type(error).__name__
    return UnreadableImageError(
        f"{path} is damaged or cut short ({reason}); replace the file by a whole copy."
    )
