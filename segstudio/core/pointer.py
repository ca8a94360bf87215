"""A pointer (mouse, pen) as a tool sees it: image coordinates, no Qt."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["PointerEvent", "PointerKind"]


class PointerKind(enum.Enum):
    """What the pointer did."""

    PRESS = "press"
    MOVE = "move"
    RELEASE = "release"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class PointerEvent:
    """One pointer event in image coordinates.

    Attributes
    ----------
    kind : PointerKind
        Press, move, release or cancel (Esc, focus lost).
    row, col : float
        Position in image pixels; pixel (r, c) covers r..r+1, c..c+1. May lie outside the image.
    pressure : float
        0..1, 1 for a mouse.
    secondary : bool
        Whether the secondary button or the eraser end of a pen is down.
    shift, control, alt : bool
        Modifier keys.
    """

    kind: PointerKind
    row: float
    col: float
    pressure: float = 1.0
    secondary: bool = False
    shift: bool = False
    control: bool = False
    alt: bool = False
