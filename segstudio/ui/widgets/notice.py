"""Strips that speak: one sentence, a few things to do about it, a way to close it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import icon_button

__all__ = ["Notice", "NoticeArea"]

_ROLES = {"info": "accent", "warning": "warn", "error": "bad", "done": "good"}
_ICONS = {"info": "info", "warning": "warning", "error": "error", "done": "check"}


class Notice(QWidget):
    """One strip."""

    def __init__(
        self,
        text: str,
        *,
        kind: str = "info",
        buttons: Sequence[tuple[str, Callable[[], None]]] = (),
        widget: QWidget | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.setObjectName("notice")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setAccessibleName(text)
        self.text = text
        picture = QLabel()
        picture.setPixmap(icon(_ICONS[kind], role=_ROLES[kind]).pixmap(QSize(18, 18)))
        self._picture, self._kind = picture, kind
        words = QLabel(text)
        words.setWordWrap(True)
        words.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(GRID + 4, 6, GRID, 6)
        layout.setSpacing(GRID)
        layout.addWidget(picture)
        layout.addWidget(words, 1)
        if widget is not None:
            layout.addWidget(widget)
        for title, call in buttons:
            button = QPushButton(title)
            button.clicked.connect(lambda _checked=False, call=call: self._do(call))
            layout.addWidget(button)
        layout.addWidget(icon_button("close", "Close", lambda: self._do(on_close)))

    def _do(self, call: Callable[[], None] | None) -> None:
        self.close()
        self.setParent(None)
        self.deleteLater()
        if call is not None:
            call()

    def refresh(self) -> None:
        """Draw the icon anew, in the theme's colour or once the icon font is there."""
        role, name = _ROLES[self._kind], _ICONS[self._kind]
        self._picture.setPixmap(icon(name, role=role).pixmap(QSize(18, 18)))


class NoticeArea(QWidget):
    """The place for strips, one per topic; the same topic replaces the old sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self._notices: dict[str, Notice] = {}

    def show_notice(self, topic: str, notice: Notice, *, seconds: float | None = None) -> None:
        """Show a strip until it is closed, replaced, or some seconds have passed."""
        self.dismiss(topic)
        self._notices[topic] = notice
        notice.destroyed.connect(lambda _object=None: self._forget(topic, notice))
        self._layout.addWidget(notice)
        if seconds is not None:
            timer = QTimer(notice)
            timer.setSingleShot(True)
            timer.timeout.connect(lambda: self.dismiss(topic))
            timer.start(round(1000 * seconds))

    def dismiss(self, topic: str) -> None:
        """Take a strip away."""
        notice = self._notices.pop(topic, None)
        if notice is not None:
            notice.hide()
            notice.deleteLater()

    def topics(self) -> list[str]:
        """Return the topics that are shown."""
        return list(self._notices)

    def notice(self, topic: str) -> Notice | None:
        """Return the strip of a topic."""
        return self._notices.get(topic)

    def refresh(self) -> None:
        """Draw all icons anew."""
        for notice in self._notices.values():
            notice.refresh()

    def _forget(self, topic: str, notice: Notice) -> None:
        if self._notices.get(topic) is notice:
            del self._notices[topic]
