"""What the canvas says while there is no picture."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QEnterEvent,
    QFont,
    QFontInfo,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

__all__ = ["EmptyState"]

_WIDEST = 560


class EmptyState(QWidget):
    """A picture frame, a sentence, a few quiet lines and links, in the middle.

    Attributes
    ----------
    link_activated : Signal(str)
        The target of the link that was chosen.
    """

    link_activated = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(32, 32, 32, 32)
        self._column.setSpacing(8)
        self._links: list[_Link] = []

    @property
    def links(self) -> tuple[QPushButton, ...]:
        """The link buttons, in order."""
        return tuple(self._links)

    def set_message(
        self, title: str, lines: Sequence[str], links: Sequence[tuple[str, str]]
    ) -> None:
        """Say something else.

        Parameters
        ----------
        title : str
            The sentence in large letters.
        lines : sequence of str
            Quiet lines below.
        links : sequence of (str, str)
            What a link says, and what `link_activated` tells when it is chosen.
        """
        self._links.clear()
        while (entry := self._column.takeAt(0)) is not None:
            if (widget := entry.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._column.addStretch(4)
        self._add(_Glyph())
        self._column.addSpacing(12)
        self._add(_Text(title, size=1.5, strength=0.92, bold=True))
        for line in lines:
            self._add(_Text(line, size=1.0, strength=0.62))
        if links:
            self._column.addSpacing(16)
        for text, target in links:
            link = _Link(text, target)
            link.clicked.connect(lambda _checked=False, chosen=target: self._choose(chosen))
            self._links.append(link)
            self._add(link)
        self._column.addStretch(5)

    def _choose(self, target: str) -> None:
        self.link_activated.emit(target)

    def _add(self, widget: QWidget) -> None:
        self._column.addWidget(widget, 0, Qt.AlignmentFlag.AlignHCenter)


class _Text(QLabel):
    """A line of text, fainter than the theme's by ``strength``."""

    def __init__(self, text: str, *, size: float, strength: float, bold: bool = False) -> None:
        super().__init__(text)
        self._strength = strength
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        self.setWordWrap(True)
        self.setFixedWidth(_WIDEST)
        font = QFont()
        font.setPointSizeF(QFontInfo(font).pointSizeF() * size)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        self.setFont(font)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setOpacity(self._strength)
        painter.setPen(self.palette().windowText().color())
        painter.drawText(
            self.rect(), Qt.AlignmentFlag.AlignHCenter | Qt.TextFlag.TextWordWrap, self.text()
        )
        painter.end()


class _Link(QPushButton):
    """A link: a button without a frame, underlined under the cursor or the focus."""

    def __init__(self, text: str, target: str) -> None:
        super().__init__(text)
        self.setToolTip(target)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setMaximumWidth(_WIDEST)

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.text()) + 16, metrics.height() + 8)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        font = QFont(self.font())
        font.setUnderline(self.underMouse() or self.hasFocus())
        painter.setFont(font)
        painter.setPen(self.palette().link().color())
        text = self.fontMetrics().elidedText(
            self.text(), Qt.TextElideMode.ElideMiddle, self.width() - 8
        )
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, text)
        painter.end()


class _Glyph(QWidget):
    """A dashed frame with a landscape in it: here pictures go."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedSize(112, 88)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = QColor(self.palette().windowText().color())
        ink.setAlphaF(0.35)
        pen = QPen(ink, 1.5)
        pen.setDashPattern([4, 3])
        painter.setPen(pen)
        painter.drawRoundedRect(QRectF(1.5, 1.5, 109, 85), 10, 10)
        accent = QColor(self.palette().link().color())
        accent.setAlphaF(0.85)
        painter.setPen(QPen(accent, 2.0, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawEllipse(QPointF(80, 28), 7, 7)
        ridge = [(16, 70), (40, 36), (58, 60), (70, 46), (96, 70)]
        painter.drawPolyline(QPolygonF([QPointF(x, y) for x, y in ridge]))
        painter.end()
