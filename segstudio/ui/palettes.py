"""The one source of class colours in the window: which style is in use, and news of another.

Who draws a class keeps its `ClassColor` and asks at the moment of drawing; what was drawn before
(label maps, grids) listens to `style_news`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PySide6.QtCore import QObject, Signal

from segstudio.core.class_style import PALETTES, ClassStyle
from segstudio.core.label_space import ClassInfo, LabelSpace
from segstudio.core.palette import Color

__all__ = [
    "ClassColor",
    "StyleNews",
    "class_style",
    "set_class_style",
    "shown_color",
    "shown_colors",
    "style_news",
]

_style = ClassStyle()


class StyleNews(QObject):
    """Tells of another style.

    Attributes
    ----------
    changed : Signal
    """

    changed = Signal()


@cache
def style_news() -> StyleNews:
    """Return what tells of another style."""
    return StyleNews()


def class_style() -> ClassStyle:
    """Return how classes are drawn now."""
    return _style


def set_class_style(style: ClassStyle) -> None:
    """Draw classes in another way; a palette that nobody knows is the label space's own."""
    global _style
    known = style if style.palette in PALETTES else ClassStyle("own", style.patterns)
    if known != _style:
        _style = known
        style_news().changed.emit()


@dataclass(frozen=True, slots=True)
class ClassColor:
    """A class as its colour is drawn.

    Attributes
    ----------
    index : int
        Of the class in its label space.
    own : (R, G, B)
        Its colour there.
    """

    index: int
    own: Color

    @classmethod
    def of(cls, entry: ClassInfo) -> ClassColor:
        """Return that of a class of a label space."""
        return cls(entry.index, entry.color)

    @property
    def shown(self) -> Color:
        """The colour in the style that is in use now."""
        return shown_color(self.index, self.own)


def shown_color(index: int, own: Color) -> Color:
    """Return the colour that a class is shown in now, by its index and its own colour."""
    return _style.color(index, own)


def shown_colors(space: LabelSpace) -> tuple[Color, ...]:
    """Return the colour of each class of a label space, as it is shown now."""
    return _style.colors(space.colors)
