"""The look: two palettes of neutral greys with one accent colour, and the style sheet around them.

Photographs sit on neutral grey so that the surround does not tint them.  Distances are multiples of
`GRID`.  Widgets that paint themselves ask `theme()` for colours at paint time, so a change of the
system's colour scheme needs no restart.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict, dataclass
from string import Template

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QFont, QFontDatabase, QPalette
from PySide6.QtWidgets import QApplication

from segstudio.core.resources import resource_path

__all__ = ["DARK", "GRID", "LIGHT", "THEME_CHOICES", "Theme", "ThemeManager", "theme"]

GRID = 8
"""Pixels of the layout grid."""

THEME_CHOICES = ("system", "dark", "light")
"""What the setting ``theme`` may be."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as ``#rrggbb``, named by their job."""

    name: str
    canvas: str  # around the photograph
    window: str  # bars and panels
    raised: str  # controls
    field: str  # text fields and lists
    hover: str
    pressed: str
    border: str
    hairline: str  # between panels
    text: str
    muted: str
    faint: str
    accent: str
    accent_hover: str
    accent_soft: str  # selected rows
    on_accent: str
    good: str
    warn: str
    bad: str

    def color(self, role: str) -> QColor:
        """Return the colour with this job."""
        return _color(getattr(self, role))


@functools.lru_cache(maxsize=64)
def _color(code: str) -> QColor:
    return QColor(code)


DARK = Theme(
    name="dark",
    canvas="#1f1f1f",
    window="#272727",
    raised="#333333",
    field="#222222",
    hover="#3c3c3c",
    pressed="#454545",
    border="#414141",
    hairline="#181818",
    text="#e6e6e6",
    muted="#a3a3a3",
    faint="#747474",
    accent="#3f7fe8",
    accent_hover="#5590f0",
    accent_soft="#2c3e5c",
    on_accent="#ffffff",
    good="#54b37c",
    warn="#dba94a",
    bad="#e06c5c",
)
LIGHT = Theme(
    name="light",
    canvas="#d6d6d6",
    window="#f5f5f5",
    raised="#ffffff",
    field="#ffffff",
    hover="#e9e9e9",
    pressed="#dedede",
    border="#cfcfcf",
    hairline="#d9d9d9",
    text="#1e1e1e",
    muted="#5f5f5f",
    faint="#8f8f8f",
    accent="#2a68d8",
    accent_hover="#1f59c2",
    accent_soft="#d9e6fc",
    on_accent="#ffffff",
    good="#22804a",
    warn="#9a6a00",
    bad="#c03d2c",
)

_current = DARK


def theme() -> Theme:
    """Return the theme in use."""
    return _current


class ThemeManager(QObject):
    """Applies the theme to the application and follows the system's colour scheme."""

    changed = Signal()

    def __init__(self, application: QApplication, choice: str = "system") -> None:
        super().__init__(application)
        self._application = application
        self._choice = choice if choice in THEME_CHOICES else "system"
        application.setStyle("fusion")
        application.setFont(_interface_font(application.font()))
        application.styleHints().colorSchemeChanged.connect(self._follow)
        self._apply()

    @property
    def choice(self) -> str:
        """One of `THEME_CHOICES`."""
        return self._choice

    def set_choice(self, choice: str) -> None:
        """Follow the system, or stay dark or light."""
        if choice in THEME_CHOICES and choice != self._choice:
            self._choice = choice
            self._apply()

    def _follow(self) -> None:
        if self._choice == "system":
            self._apply()

    def _apply(self) -> None:
        global _current
        scheme = self._application.styleHints().colorScheme()
        light = self._choice == "light" or (
            self._choice == "system" and scheme == Qt.ColorScheme.Light
        )
        _current = LIGHT if light else DARK
        self._application.setPalette(_palette(_current))
        self._application.setStyleSheet(_style_sheet(_current))
        self.changed.emit()


def _interface_font(system: QFont) -> QFont:
    """Return the system's font with figures of equal width.

    A Linux desktop without a font setting falls back to whatever fontconfig calls "Sans"; there a
    face made for screens is preferred when it is installed.
    """
    font = QFont(system)
    if sys.platform.startswith("linux"):
        generic = system.family() in {"Sans Serif", "Sans", "DejaVu Sans", ""}
        if generic and QFontDatabase.hasFamily("Inter"):
            font.setFamilies(["Inter", system.family()])
            font.setPixelSize(13)
    font.setFeature(QFont.Tag("tnum"), 1)
    return font


def _palette(colors: Theme) -> QPalette:
    palette = QPalette()
    roles = QPalette.ColorRole
    for role, name in (
        (roles.Window, "window"),
        (roles.WindowText, "text"),
        (roles.Base, "field"),
        (roles.AlternateBase, "window"),
        (roles.Text, "text"),
        (roles.PlaceholderText, "faint"),
        (roles.Button, "raised"),
        (roles.ButtonText, "text"),
        (roles.BrightText, "bad"),
        (roles.Highlight, "accent"),
        (roles.HighlightedText, "on_accent"),
        (roles.Accent, "accent"),
        (roles.Link, "accent"),
        (roles.LinkVisited, "accent"),
        (roles.ToolTipBase, "raised"),
        (roles.ToolTipText, "text"),
        (roles.Light, "hover"),
        (roles.Midlight, "raised"),
        (roles.Mid, "border"),
        (roles.Dark, "hairline"),
        (roles.Shadow, "hairline"),
    ):
        palette.setColor(role, colors.color(name))
    for role in (roles.WindowText, roles.Text, roles.ButtonText, roles.HighlightedText):
        palette.setColor(QPalette.ColorGroup.Disabled, role, colors.color("faint"))
    palette.setColor(QPalette.ColorGroup.Disabled, roles.Highlight, colors.color("border"))
    return palette


def _style_sheet(colors: Theme) -> str:
    values = {key: value for key, value in asdict(colors).items() if key != "name"}
    icons = resource_path("icons").as_posix()
    sheet = resource_path("themes", "segstudio.qss").read_text(encoding="utf-8")
    return Template(sheet).substitute(values, icons=icons)
