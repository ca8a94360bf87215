"""Item models, and how numbers are written on screen."""

from __future__ import annotations

__all__ = ["NO_NUMBER", "count_text", "duration", "images_text", "number", "share", "size_text"]

NO_NUMBER = "\N{EN DASH}"
"""What stands where a number does not exist."""


def number(value: float | None, places: int = 2) -> str:
    """Return a number with ``places`` decimals; None and NaN are a dash."""
    return NO_NUMBER if value is None or value != value else f"{value:.{places}f}"


def share(value: float | None) -> str:
    """Return a share 0..1 as per cent; small ones are not called zero."""
    if value is None or value != value:
        return NO_NUMBER
    if 0 < value < 0.001:
        return "<0.1 %"
    return f"{100 * value:.1f} %"


def count_text(count: int | None) -> str:
    """Return a number of parameters: ``3.8 M``, ``360 k``; a dash for None."""
    if count is None:
        return NO_NUMBER
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def images_text(count: int) -> str:
    """Return a number of images in words: ``1 image``, ``12\u202f345 images``."""
    return f"{count:,} image{'s' * (count != 1)}".replace(",", "\u202f")


def size_text(size: int | None) -> str:
    """Return bytes as file managers do: ``1.24 GB``, ``328 MB``, ``1.5 MB``; a dash for None."""
    if size is None:
        return NO_NUMBER
    if size >= 1e9:
        return f"{size / 1e9:.2f} GB"
    if size >= 1e8:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def duration(seconds: float | None) -> str:
    """Return a time left as people say it: ``1:12``, ``2:05:00``; nothing for None."""
    if seconds is None or seconds != seconds or seconds < 0:
        return ""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
