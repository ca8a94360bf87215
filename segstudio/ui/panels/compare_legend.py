"""The legend below a comparison grid: classes and what other colours mean."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPoint, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from segstudio.analysis.side_by_side import Key
from segstudio.ui.models.legend import short_name
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = ["LegendStrip"]

_SWATCH = 12
_LINE = 22
_MOST_LINES = 4


class LegendStrip(QWidget):
    """Swatches with names, in as many lines as they need.

    Attributes
    ----------
    class_hovered : Signal(str)
        Name of the class under the pointer, "" for none.
    """

    class_hovered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("toolStrip")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._classes: tuple[Key, ...] = ()
        self._keys: tuple[Key, ...] = ()
        self._places: list[tuple[QRect, Key]] = []
        self._left_out = 0
        self._hover = ""
        self.setMouseTracking(True)
        self.setAccessibleName("Legend")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    @property
    def classes(self) -> tuple[Key, ...]:
        """The classes that are listed."""
        return self._classes

    @property
    def keys(self) -> tuple[Key, ...]:
        """What other colours mean."""
        return self._keys

    def set_entries(self, classes: Sequence[Key], keys: Sequence[Key]) -> None:
        """List other classes and keys."""
        if (tuple(classes), tuple(keys)) != (self._classes, self._keys):
            self._classes, self._keys = tuple(classes), tuple(keys)
            self._arrange()
            self.updateGeometry()
            self.update()

    def place_of(self, name: str) -> QPoint:
        """Return the middle of a class's entry."""
        return next(rect.center() for rect, key in self._places if key.name == name)

    def sizeHint(self) -> QSize:
        """Return the room for all lines at this width."""
        bottom = max((rect.bottom() for rect, _ in self._places), default=0)
        return QSize(40 * GRID, max(bottom, _LINE) + 6)

    def minimumSizeHint(self) -> QSize:
        """Return the same height at any width."""
        return QSize(10 * GRID, self.sizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Break lines anew."""
        super().resizeEvent(event)
        before = self.sizeHint().height()
        self._arrange()
        if self.sizeHint().height() != before:
            self.updateGeometry()

    def _arrange(self) -> None:
        metrics = self.fontMetrics()
        self._places, self._left_out = [], 0
        left, top, line = GRID, 4, 0
        for number, key in enumerate((*self._classes, *self._keys)):
            width = _SWATCH + 6 + metrics.horizontalAdvance(self._title(key)) + 14
            if number and number == len(self._classes):
                left += GRID  # the other keys stand a little apart
            if left + width > self.width() - 6 * GRID and left > GRID:
                left, top, line = GRID, top + _LINE, line + 1
            if line >= _MOST_LINES:
                self._left_out += 1
                continue
            self._places.append((QRect(left, top, width, _LINE), key))
            left += width

    def _title(self, key: Key) -> str:
        """Return what is written: the first of a class's synonyms, other keys as they are."""
        return short_name(key.name) if key in self._classes else key.name

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw swatches and names."""
        super().paintEvent(event)
        painter = QPainter(self)
        colors = theme()
        for rect, key in self._places:
            hovered = key.name == self._hover and key in self._classes
            if hovered:
                painter.fillRect(rect.adjusted(-4, 1, -8, -1), colors.color("hover"))
            swatch = QRectF(rect.left(), rect.center().y() - _SWATCH / 2, _SWATCH, _SWATCH)
            if key.class_index is None:
                painter.fillRect(swatch, QColor(*key.color))
            else:
                paint_class(painter, swatch, ClassColor(key.class_index, key.color))
            paint_frame(painter, swatch)
            painter.setPen(colors.color("text" if key in self._classes else "muted"))
            text = rect.adjusted(_SWATCH + 6, 0, 0, 0)
            painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, self._title(key))
        if self._left_out:
            painter.setPen(colors.color("muted"))
            corner = self.rect().adjusted(0, 0, -GRID, -6)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
            painter.drawText(corner, flags, f"and {self._left_out} more")
        painter.end()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Tell which class is under the pointer."""
        point = event.position().toPoint()
        found = (key.name for rect, key in self._places if rect.contains(point))
        name = next(found, "")
        self._set_hover(name if any(key.name == name for key in self._classes) else "")

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer."""
        self._set_hover("")

    def _set_hover(self, name: str) -> None:
        if name != self._hover:
            self._hover = name
            self.update()
            self.class_hovered.emit(name)
