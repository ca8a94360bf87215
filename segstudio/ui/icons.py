"""Icons: glyphs of qtawesome's Phosphor set, drawn in the theme's colour at paint time.

The font is not loaded while the window starts.  Until `load_icons` has run, icons are blank; the
window calls it right after its first paint.
"""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QPoint, QRect, QSize, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QIconEngine, QPainter, QPixmap
from PySide6.QtWidgets import QApplication

from segstudio.ui.theme import theme

__all__ = ["GLYPHS", "draw_icon", "icon", "load_icons"]

GLYPHS = {
    "app": "stack",
    "open": "folder-open",
    "open-file": "image",
    "save": "floppy-disk",
    "export": "export",
    "import": "download-simple",
    "quit": "sign-out",
    "undo": "arrow-counter-clockwise",
    "redo": "arrow-clockwise",
    "previous": "caret-left",
    "next": "caret-right",
    "fit": "frame-corners",
    "actual": "number-square-one",
    "zoom-in": "magnifying-glass-plus",
    "zoom-out": "magnifying-glass-minus",
    "brush": "paint-brush",
    "eraser": "eraser",
    "fill": "paint-bucket",
    "pan": "hand",
    "pick": "eyedropper",
    "line": "line-segments",
    "polygon": "polygon",
    "lasso": "scribble-loop",
    "rectangle": "bounding-box",
    "replace": "swap",
    "exchange": "arrows-left-right",
    "wand": "magic-wand",
    "model-wand": "robot",
    "superpixels": "hexagon",
    "grabcut": "scissors",
    "holes": "record",
    "reshape": "arrows-out-simple",
    "islands": "dots-nine",
    "copy": "copy",
    "locked": "lock",
    "unlocked": "lock-open",
    "protect": "shield",
    "protecting": "shield-check",
    "tool": "wrench",
    "circle": "circle",
    "square": "square",
    "visible": "eye",
    "hidden": "eye-slash",
    "outline": "selection",
    "run": "play",
    "cancel": "x",
    "close": "x",
    "search": "magnifying-glass",
    "sort": "sort-ascending",
    "caret-down": "caret-down",
    "caret-right": "caret-right",
    "check": "check",
    "info": "info",
    "warning": "warning",
    "error": "warning-circle",
    "keyboard": "keyboard",
    "command": "command",
    "panels": "layout",
    "theme": "circle-half",
    "image": "image-square",
    "folder": "folder",
    "class": "swatches",
    "model": "cpu",
    "models": "stack",
    "download": "download-simple",
    "plus": "plus",
    "delete": "trash",
    "history": "clock-counter-clockwise",
    "solo": "target",
    "flag": "flag",
    "filter": "funnel",
    "more": "dots-three",
    "clock": "clock",
}
"""Name of an icon here -> name of its glyph."""

_font: Any = None


def load_icons() -> None:
    """Load the icon font, once, and repaint what was blank."""
    global _font
    if _font is not None:
        return
    import qtawesome

    _font = qtawesome.IconicFont(("ph", "phosphor-1.3.0.ttf", "phosphor-charmap-1.3.0.json"))
    for widget in QApplication.allWidgets():
        widget.update()


def draw_icon(painter: QPainter, rect: QRect, name: str, color: QColor) -> None:
    """Draw an icon centred in ``rect``; nothing before `load_icons`."""
    if _font is None:
        return
    font = QFont(_font.fontname["ph"])
    font.setPixelSize(max(1, min(rect.width(), rect.height())))
    font.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setFont(font)
    painter.setPen(color)
    glyph = _font.charmap["ph"][GLYPHS[name]]
    painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, glyph)
    painter.restore()


class _ThemedEngine(QIconEngine):
    """Paints one glyph in the colour that the theme has at that moment."""

    def __init__(self, name: str, off_name: str, role: str) -> None:
        super().__init__()
        self._name = name
        self._off_name = off_name
        self._role = role

    def paint(self, painter: QPainter, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        """Draw the glyph for the mode and the state."""
        role = self._role
        if mode == QIcon.Mode.Disabled:
            role = "faint"
        elif mode == QIcon.Mode.Selected:
            role = "on_accent"
        name = self._name if state == QIcon.State.On else self._off_name
        draw_icon(painter, rect, name, theme().color(role))

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        """Return the glyph on a transparent ground."""
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap

    def clone(self) -> QIconEngine:
        """Return an equal engine."""
        return _ThemedEngine(self._name, self._off_name, self._role)


def icon(name: str, *, off: str | None = None, role: str = "text") -> QIcon:
    """Return an icon that follows the theme.

    Parameters
    ----------
    name : str
        A key of `GLYPHS`.
    off : str, optional
        Another key for the unchecked state.
    role : str
        The theme's colour that it is drawn in.
    """
    return QIcon(_ThemedEngine(name, off or name, role))
