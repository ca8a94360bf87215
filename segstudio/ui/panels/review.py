"""The strip below the picture: state of the image, region at hand, how far everything is."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QAction, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.actions import Actions
from segstudio.ui.panels.samples import draw_status
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import ElidedLabel, label, rule, tool_button

__all__ = ["STATE_TITLES", "ProgressBar", "ReviewStrip", "clock"]

STATE_TITLES = {
    "untouched": "Untouched",
    "in progress": "In progress",
    "corrected": "Corrected",
    "checked": "Checked",
    "flagged": "Flagged",
}
"""What a person can say of an image, in the order of the work."""

_PARTS = (
    ("checked", "good"),
    ("corrected", "accent"),
    ("in progress", "warn"),
    ("flagged", "bad"),
)
"""Segments of the bar from left to right, with their colours."""

_ROOM_FOR_BAR, _ROOM_FOR_PROGRESS, _ROOM_FOR_COUNT = 1180, 800, 680
"""Pixels of the strip from which these parts are shown."""

_MORE = (
    "review_back",
    "accept_many",
    "take_back",
    "review_overall",
    "review_advance",
    "find_uncertain",
    "uncertain_level",
)


def clock(seconds: float) -> str:
    """Return a time as a person reads it: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class ProgressBar(QWidget):
    """How many images are in which state, as lengths."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, int] = {}
        self._total = 0
        self.setFixedSize(14 * GRID, GRID)

    def set_counts(self, counts: Mapping[str, int], total: int) -> None:
        """Show these numbers of images, by state, of all."""
        if (dict(counts), total) != (self._counts, self._total):
            self._counts, self._total = dict(counts), total
            self.update()

    def sizeHint(self) -> QSize:
        """Return its fixed size."""
        return QSize(14 * GRID, GRID)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the segments side by side."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("border"))
        left = 0.0
        for state, role in _PARTS:
            width = self.width() * self._counts.get(state, 0) / max(1, self._total)
            painter.fillRect(QRectF(left, 0, width, self.height()), theme().color(role))
            left += width
        painter.end()


class _StateMark(QWidget):
    """The shape that the list of images shows for a state."""

    def __init__(self) -> None:
        super().__init__()
        self._status = ""
        self.setFixedSize(12, 12)

    def set_status(self, status: str) -> None:
        if status != self._status:
            self._status = status
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_status(painter, self.rect().adjusted(1, 1, -1, -1), self._status)
        painter.end()


class ReviewStrip(QWidget):
    """State and comment of the image, the region at hand, the progress over all images.

    Attributes
    ----------
    comment_changed : Signal(str)
        A comment was finished.
    left : Signal
        The field for comments was left with Esc or Enter.
    """

    comment_changed = Signal(str)
    left = Signal()

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("reviewStrip")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._mark = _StateMark()
        self.state = QToolButton()
        self.time = label("", style="muted")
        self.region = ElidedLabel("", role="text")
        self.count = label("", style="muted")
        self.count.setToolTip("Regions of this image that are neither fixed nor accepted")
        self.bar = ProgressBar()
        self.progress = label("", style="muted")
        self.comment = QLineEdit()
        self._comment_row = QWidget()
        self._saved_comment = ""
        self._arrange(actions)
        self.comment.editingFinished.connect(self.finish_comment)
        self.comment.returnPressed.connect(self.left)

    def _arrange(self, actions: Actions) -> None:
        self.state.setText("Untouched")
        self.state.setToolTip("What you say of this image")
        self.state.setAccessibleName("State of the image")
        self.state.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.state.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.state.setAutoRaise(True)
        self.state.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        states = [f"review_{state.replace(' ', '_')}" for state in STATE_TITLES]
        self.state.setMenu(self._menu([actions[name] for name in states]))
        self.time.setToolTip("Time worked on this image: only while something moves")
        self.time.setMinimumWidth(5 * GRID)
        more = QToolButton()
        more.setText("More")
        more.setToolTip("More ways to review")
        more.setAccessibleName("More ways to review")
        more.setAutoRaise(True)
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        more.setMenu(self._menu([actions[name] for name in _MORE]))
        row = QHBoxLayout()
        row.setContentsMargins(GRID + 4, 0, GRID, 0)
        row.setSpacing(GRID)
        row.addWidget(self._mark)
        row.addWidget(self.state)
        row.addWidget(self.time)
        row.addWidget(tool_button(actions["review_done"], size=18, name="plain"))
        row.addWidget(rule())
        for name, words in (("next_uncertain", "Uncertain"), ("next_error", "Error")):
            row.addWidget(self._text_button(actions[name], words))
        row.addWidget(self._text_button(actions["accept_region"], "Accept"))
        row.addWidget(self.region, 1)
        row.addWidget(self.count)
        row.addWidget(rule())
        row.addWidget(self.bar)
        row.addWidget(self.progress)
        row.addWidget(more)
        first = QWidget()
        first.setLayout(row)
        first.setFixedHeight(4 * GRID + 4)
        self.comment.setPlaceholderText("What is wrong with this image?")
        self.comment.setAccessibleName("Comment on this image")
        comment = QHBoxLayout(self._comment_row)
        comment.setContentsMargins(GRID + 4, 0, GRID + 4, 6)
        comment.setSpacing(GRID)
        comment.addWidget(QLabel("Comment"))
        comment.addWidget(self.comment, 1)
        self._comment_row.hide()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(first)
        layout.addWidget(self._comment_row)

    def _menu(self, actions: list[QAction]) -> QMenu:
        menu = QMenu(self)
        for action in actions:
            menu.addAction(action)
        return menu

    def _text_button(self, action: QAction, words: str) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(action)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)

        def follow() -> None:
            key = action.shortcut().toString(action.shortcut().SequenceFormat.NativeText)
            button.setText(f"{words}  {key}" if key else words)

        follow()
        # The action would write its whole title on the button.
        action.changed.connect(follow)
        return button

    def minimumSizeHint(self) -> QSize:
        """Return no width: in a narrow window figures go, rather than panels be squeezed."""
        return QSize(0, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave out what there is no room for."""
        super().resizeEvent(event)
        self.bar.setVisible(self.width() >= _ROOM_FOR_BAR)
        self.progress.setVisible(self.width() >= _ROOM_FOR_PROGRESS)
        self.count.setVisible(self.width() >= _ROOM_FOR_COUNT)

    # -- what is shown ------------------------------------------------------------------------

    def set_state(self, status: str) -> None:
        """Show the state of the image, as the list of images has it."""
        state = "untouched" if status in ("new", "predicted") else status
        # An image without a prediction has no shape in the list, but here a gap would stand.
        self._mark.set_status("predicted" if state == "untouched" else status)
        self.state.setText(STATE_TITLES.get(state, state.capitalize()))

    def set_comment(self, comment: str, *, wanted: bool) -> None:
        """Show a comment; the field is there when ``wanted`` or when there is one."""
        self._saved_comment = comment
        if self.comment.text() != comment:
            self.comment.setText(comment)
        self._comment_row.setVisible(wanted or bool(comment))

    def ask_comment(self) -> None:
        """Let a person write a comment."""
        self._comment_row.show()
        self.comment.setFocus(Qt.FocusReason.OtherFocusReason)
        self.comment.selectAll()

    def set_time(self, seconds: float) -> None:
        """Show the time worked on the image."""
        self.time.setText(clock(seconds))

    def set_region(self, text: str, count: str = "") -> None:
        """Say which region is at hand and how many are open."""
        self.region.set_text(text)
        self.count.setText(count)

    def set_progress(self, counts: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Show how many images are in which state, and what they took."""
        total = sum(counts.values())
        done = counts.get("checked", 0)
        self.bar.set_counts(counts, total)
        self.progress.setText(f"{done} of {total} checked" if total else "")
        lines = [
            f"{title}: {counts.get(state, 0)}"
            for state, title in STATE_TITLES.items()
            if state != "untouched"
        ]
        lines.append(f"Untouched: {counts.get('new', 0) + counts.get('predicted', 0)}")
        if seconds:
            mean = sum(seconds.values()) / len(seconds)
            lines.append(
                f"Time worked: {clock(sum(seconds.values()))}, {clock(mean)} per image "
                f"({len(seconds)} image{'s' * (len(seconds) != 1)})"
            )
        for widget in (self.bar, self.progress):
            widget.setToolTip("\n".join(lines))

    def finish_comment(self) -> None:
        """Take over what stands in the field, also when the focus is still there."""
        text = self.comment.text().strip()
        if text != self._saved_comment:
            self._saved_comment = text
            self.comment_changed.emit(text)
