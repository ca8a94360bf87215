"""The jobs panel: what runs, how long it still takes, what went wrong."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QHelpEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListView,
    QPushButton,
    QStackedLayout,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.icons import draw_icon
from segstudio.ui.models.jobs import JobsModel, JobView
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import label

__all__ = ["JobsPanel"]

Index = QModelIndex | QPersistentModelIndex
_AGAIN = "Run again"


class _JobDelegate(QStyledItemDelegate):
    """Draws jobs in two lines with a bar, errors in one."""

    cancel_requested = Signal(str)
    again_requested = Signal(str)

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        job = index.data(JobsModel.KindRole) == "job"
        return QSize(30 * GRID, 6 * GRID if job else 3 * GRID + 2)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        colors = theme()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, colors.color("hover"))
        if index.data(JobsModel.KindRole) == "job":
            self._paint_job(painter, rect, index.data(JobsModel.JobRole))
        else:
            self._paint_error(painter, rect, index)
        painter.restore()

    def _paint_job(self, painter: QPainter, rect: QRect, job: JobView) -> None:
        colors = theme()
        line = rect.adjusted(GRID + 4, 6, -GRID, 0)
        line.setHeight(18)
        right = line.adjusted(0, 0, -3 * GRID if job.active else 0, 0)
        if job.repeatable:
            words = _again_rect(rect, painter.fontMetrics())
            painter.setPen(colors.color("accent"))
            painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, _AGAIN)
            right.setRight(words.left() - 2 * GRID)
        taken = painter.fontMetrics().horizontalAdvance(job.summary)
        room = line.adjusted(0, 0, -(taken + 2 * GRID + line.right() - right.right()), 0)
        painter.setPen(colors.color("text"))
        title = painter.fontMetrics().elidedText(
            job.title, Qt.TextElideMode.ElideRight, max(room.width(), line.width() // 3)
        )
        painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, title)
        right.setLeft(max(right.right() - taken, line.left() + line.width() // 3 + 2 * GRID))
        painter.setPen(colors.color("muted"))
        summary = painter.fontMetrics().elidedText(
            job.summary, Qt.TextElideMode.ElideRight, right.width()
        )
        painter.drawText(
            right, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, summary
        )
        if job.active:
            draw_icon(painter, _cancel_rect(rect), "cancel", colors.color("text"))
        bar = QRect(line.left(), line.bottom() + 8, line.width(), 4)
        painter.fillRect(bar, colors.color("border"))
        part = job.done / job.total if job.total else 0.0
        role = {"failed": "bad", "cancelled": "faint", "done": "good"}.get(job.state, "accent")
        done = QRect(bar.topLeft(), QSize(round(bar.width() * part), 4))
        painter.fillRect(done, colors.color(role))

    def _paint_error(self, painter: QPainter, rect: QRect, index: Index) -> None:
        colors = theme()
        box = QRect(rect.left() + GRID + 4, rect.center().y() - 7, 15, 15)
        draw_icon(painter, box, "error", colors.color("bad"))
        text = rect.adjusted(GRID + 4 + 22, 0, -GRID, 0)
        painter.setPen(colors.color("text"))
        words = painter.fontMetrics().elidedText(
            str(index.data()), Qt.TextElideMode.ElideMiddle, text.width()
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, words)

    def editorEvent(
        self, event: QEvent, model: object, option: QStyleOptionViewItem, index: Index
    ) -> bool:
        """Take a click on the cross or on the words at its place."""
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(event, QMouseEvent):
            job = index.data(JobsModel.JobRole)
            inside = (
                _cancel_rect(option.rect)
                .adjusted(-4, -4, 4, 4)
                .contains(event.position().toPoint())
            )
            if index.data(JobsModel.KindRole) == "job" and job.active and inside:
                self.cancel_requested.emit(job.job_id)
                return True
            if index.data(JobsModel.KindRole) == "job" and job.repeatable:
                words = _again_rect(option.rect, option.fontMetrics).adjusted(-4, -4, 4, 4)
                if words.contains(event.position().toPoint()):
                    self.again_requested.emit(job.job_id)
                    return True
        return False

    def helpEvent(
        self,
        event: QHelpEvent,
        view: QAbstractItemView,
        option: QStyleOptionViewItem,
        index: Index,
    ) -> bool:
        """Show the whole sentence."""
        return super().helpEvent(event, view, option, index)


def _cancel_rect(rect: QRect) -> QRect:
    return QRect(rect.right() - GRID - 14, rect.top() + 8, 14, 14)


def _again_rect(rect: QRect, metrics: QFontMetrics) -> QRect:
    width = metrics.horizontalAdvance(_AGAIN)
    return QRect(rect.right() - GRID - width, rect.top() + 6, width, 18)


class JobsPanel(QWidget):
    """The list of jobs; an error's row leads to its image."""

    cancel_requested = Signal(str)
    again_requested = Signal(str)
    sample_activated = Signal(str)

    def __init__(self, model: JobsModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        delegate = _JobDelegate(self)
        self.view = QListView()
        self.view.setModel(model)
        self.view.setItemDelegate(delegate)
        self.view.setMouseTracking(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setAccessibleName("Jobs")
        empty = label("No job has run yet. “Run” starts a model on the open images.", style="muted")
        empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        clear = QPushButton("Clear finished")
        clear.clicked.connect(model.clear_finished)
        full = QWidget()
        layout = QVBoxLayout(full)
        layout.setContentsMargins(0, 0, 0, GRID)
        layout.setSpacing(4)
        layout.addWidget(self.view, 1)
        layout.addWidget(clear, 0, Qt.AlignmentFlag.AlignRight)
        layout.setContentsMargins(0, 0, GRID, GRID)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(empty)
        self._pages.addWidget(full)
        delegate.cancel_requested.connect(self.cancel_requested)
        delegate.again_requested.connect(self.again_requested)
        self.view.clicked.connect(self._on_clicked)
        for signal in (model.rowsInserted, model.modelReset):
            signal.connect(lambda *_: self._show_page())

    def _show_page(self) -> None:
        self._pages.setCurrentIndex(1 if self._model.rowCount() else 0)

    def _on_clicked(self, index: QModelIndex) -> None:
        sample_id = index.data(JobsModel.SampleIdRole)
        if sample_id:
            self.sample_activated.emit(sample_id)
