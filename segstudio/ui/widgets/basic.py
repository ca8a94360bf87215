"""Small widgets and helpers used all over the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QAction, QDropEvent, QFontMetrics, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QSlider,
    QToolButton,
    QWidget,
)

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID, theme

__all__ = [
    "DoubleClickReset",
    "ElidedLabel",
    "JumpSlider",
    "SearchField",
    "Segmented",
    "dropped_paths",
    "icon_button",
    "label",
    "rule",
    "tool_button",
]


def label(text: str = "", *, style: str | None = None) -> QLabel:
    """Return a label; ``style`` is "muted", "faint", "heading" or "section"."""
    widget = QLabel(text)
    if style:
        widget.setProperty(style, "true")
    return widget


def dropped_paths(event: QDropEvent) -> list[Path]:
    """Return the local files and folders that are dragged."""
    urls = event.mimeData().urls() if event.mimeData().hasUrls() else []
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


def rule() -> QFrame:
    """Return a thin upright line between groups of a bar."""
    line = QFrame()
    line.setFixedWidth(1)
    line.setFixedHeight(2 * GRID)
    line.setStyleSheet("background: palette(mid);")
    return line


def icon_button(
    name: str, tip: str, clicked: Callable[[], object] | None = None, *, size: int = 16
) -> QToolButton:
    """Return a button that is only an icon; the tip is its accessible name too."""
    button = QToolButton()
    button.setIcon(icon(name, role="muted"))
    button.setIconSize(QSize(size, size))
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.setAutoRaise(True)
    if clicked is not None:
        button.clicked.connect(lambda _checked=False: clicked())
    return button


def tool_button(action: QAction, *, size: int = 20, name: str = "tool") -> QToolButton:
    """Return a button for an action, icon only."""
    button = QToolButton()
    button.setObjectName(name)
    button.setDefaultAction(action)
    button.setIconSize(QSize(size, size))
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


class Segmented(QWidget):
    """A few choices side by side, one of them chosen; their actions are of one exclusive group."""

    def __init__(self, actions: Sequence[QAction], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("segmented")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)
        layout.setSpacing(2)
        # No group of buttons: beside that of the actions it would trigger the one that is left.
        for action in actions:
            button = QToolButton()
            button.setObjectName("segment")
            button.setDefaultAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setMinimumWidth(9 * GRID)
            layout.addWidget(button)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)


class SearchField(QLineEdit):
    """A field that filters as one types; Esc empties it, then gives the focus back."""

    left = Signal()

    def __init__(self, placeholder: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setPlaceholderText(placeholder)
        self.setAccessibleName(placeholder)
        self.setClearButtonEnabled(False)
        self.setAcceptDrops(False)  # files dropped here are for the window, not text
        self.addAction(icon("search", role="faint"), QLineEdit.ActionPosition.LeadingPosition)

    def keyPressEvent(self, event: object) -> None:
        """Handle Esc; everything else is typing."""
        if event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
            if self.text():
                self.clear()
            else:
                self.left.emit()
            return
        super().keyPressEvent(event)  # type: ignore[arg-type]


class JumpSlider(QSlider):
    """A slider that goes where it is clicked."""

    def __init__(self, low: int, high: int, value: int, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setRange(low, high)
        self.setValue(value)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Move the handle under the pointer, then drag as usual."""
        if event.button() == Qt.MouseButton.LeftButton:
            handle = 10
            span = max(1, self.width() - handle)
            part = min(max((event.position().x() - handle / 2) / span, 0.0), 1.0)
            self.setValue(round(self.minimum() + part * (self.maximum() - self.minimum())))
        super().mousePressEvent(event)


class ElidedLabel(QWidget):
    """A line of text that is cut in the middle or at its end when there is no room."""

    def __init__(
        self,
        text: str = "",
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight,
        role: str = "text",
    ) -> None:
        super().__init__()
        self._text, self._mode, self._role = text, mode, role
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def text(self) -> str:
        """The whole text."""
        return self._text

    def set_text(self, text: str) -> None:
        """Show another text."""
        if text != self._text:
            self._text = text
            self.setToolTip(text)
            self.setAccessibleName(text)
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        """Return the room for the whole text."""
        metrics = QFontMetrics(self.font())
        return QSize(metrics.horizontalAdvance(self._text) + 2, metrics.height() + 4)

    def minimumSizeHint(self) -> QSize:
        """Return the room for a few letters."""
        return QSize(4 * GRID, self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what fits."""
        painter = QPainter(self)
        painter.setPen(theme().color(self._role if self.isEnabled() else "faint"))
        text = painter.fontMetrics().elidedText(self._text, self._mode, self.width())
        painter.drawText(
            self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text
        )
        painter.end()


class DoubleClickReset(QObject):
    """Sets a slider back to a value when it is double-clicked."""

    def __init__(self, slider: QSlider, value: int) -> None:
        super().__init__(slider)
        self._slider, self._value = slider, value
        slider.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the double click."""
        if event.type() == QEvent.Type.MouseButtonDblClick:
            self._slider.setValue(self._value)
            return True
        return super().eventFilter(watched, event)
