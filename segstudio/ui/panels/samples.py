"""The samples panel: filter, order, and a list of thumbnails with score and state."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QPointF,
    QRect,
    QRectF,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QListView,
    QPushButton,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models import number
from segstudio.ui.models.samples import SORT_KEYS, SampleListModel
from segstudio.ui.panels.sample_filters import FILTER_HELP, FilterButton
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import SearchField, icon_button, label

__all__ = ["SampleDelegate", "SamplesPanel", "draw_status"]

Index = QModelIndex | QPersistentModelIndex

_ROW = 8 * GRID
_THUMB_WIDTH, _THUMB_HEIGHT = 9 * GRID, 7 * GRID - 2

_SORT_TITLES = ("Name", "mIoU", "Status", "Mean entropy", "Confident errors")

STATUS_TEXT = {
    "new": "",
    "predicted": "predicted",
    "in progress": "in progress",
    "corrected": "corrected",
    "failed": "failed",
    "checked": "checked",
    "flagged": "flagged",
}


def draw_status(painter: QPainter, rect: QRect, status: str) -> None:
    """Draw a state as a shape: ring, half, dot, tick, flag, cross; colour only helps."""
    colors = theme()
    circle = QRectF(rect).adjusted(1, 1, -1, -1)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if status == "predicted":
        painter.setPen(QPen(colors.color("muted"), 1.5))
        painter.drawEllipse(circle)
    elif status == "in progress":
        painter.setPen(QPen(colors.color("warn"), 1.5))
        painter.drawEllipse(circle)
        painter.setBrush(colors.color("warn"))
        painter.drawPie(circle, -90 * 16, 180 * 16)
    elif status == "corrected":
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colors.color("good"))
        painter.drawEllipse(circle)
    elif status == "checked":
        painter.setPen(QPen(colors.color("good"), 2.0))
        painter.drawPolyline(
            [circle.topLeft() + QPointF(x, y) for x, y in ((0.5, 4.5), (3, 7), (8, 1.5))]
        )
    elif status == "flagged":
        painter.setPen(QPen(colors.color("bad"), 1.5))
        painter.drawLine(circle.topLeft() + QPointF(1, 0), circle.bottomLeft() + QPointF(1, 1))
        painter.setBrush(colors.color("bad"))
        flag = [circle.topLeft() + QPointF(x, y) for x, y in ((1, 0), (8, 2.5), (1, 5))]
        painter.drawPolygon(flag)
    elif status == "failed":
        painter.setPen(QPen(colors.color("bad"), 1.8))
        painter.drawLine(circle.topLeft(), circle.bottomRight())
        painter.drawLine(circle.topRight(), circle.bottomLeft())
    painter.restore()


class SampleDelegate(QStyledItemDelegate):
    """Draws one sample: thumbnail, name, mIoU as bar and number, state."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Return the size that every row has."""
        return QSize(27 * GRID, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw a row."""
        colors = theme()
        rect: QRect = option.rect
        state: QStyle.StateFlag = option.state
        painter.save()
        if state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, colors.color("accent_soft"))
            bar = QRect(rect.left(), rect.top(), 2, rect.height())
            painter.fillRect(bar, colors.color("accent"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, colors.color("hover"))
        thumb = QRect(rect.left() + GRID + 2, rect.top() + 5, _THUMB_WIDTH, _THUMB_HEIGHT)
        self._paint_thumbnail(painter, thumb, index.data(SampleListModel.ThumbnailRole))
        left = thumb.right() + GRID + 2
        text = QRect(left, rect.top() + GRID - 1, rect.right() - left - GRID, 20)
        painter.setPen(colors.color("text"))
        name = painter.fontMetrics().elidedText(
            str(index.data()), Qt.TextElideMode.ElideMiddle, text.width()
        )
        painter.drawText(text, Qt.AlignmentFlag.AlignVCenter, name)
        line = QRect(left, text.bottom() + 4, text.width(), 22)
        miou = index.data(SampleListModel.MiouRole)
        status = str(index.data(SampleListModel.StatusRole))
        self._paint_line(painter, line, miou, status, index.data(SampleListModel.SplitRole))
        painter.restore()

    def _paint_thumbnail(self, painter: QPainter, rect: QRect, image: QImage | None) -> None:
        if image is None:
            painter.fillRect(rect, theme().color("raised"))
            return
        size = image.size().scaled(rect.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRect(rect.topLeft(), size)
        target.moveCenter(rect.center())
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(target, image)

    def _paint_line(
        self, painter: QPainter, rect: QRect, miou: float | None, status: str, split: str | None
    ) -> None:
        colors = theme()
        font = QFont(painter.font())
        if font.pixelSize() > 0:
            font.setPixelSize(max(9, font.pixelSize() - 1))
        else:
            font.setPointSizeF(font.pointSizeF() * 0.92)
        painter.setFont(font)
        dot = QRect(rect.left(), rect.center().y() - 4, 10, 10)
        words = STATUS_TEXT.get(status, status)
        right = rect.right()
        if miou is not None:
            figure = QRect(right - 30, rect.top(), 30, rect.height())
            painter.setPen(colors.color("text"))
            painter.drawText(
                figure, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, number(miou)
            )
            bar = QRect(figure.left() - 6 * GRID, rect.center().y() - 1, 6 * GRID, 4)
            painter.fillRect(bar, colors.color("border"))
            filled = QRect(bar.topLeft(), QSize(round(bar.width() * min(max(miou, 0), 1)), 4))
            painter.fillRect(filled, score_color(miou))
            right = bar.left() - GRID
        start = rect.left()
        if status != "new":
            draw_status(painter, dot, status)
            start = dot.right() + 6
        words = words or split or ""
        room = QRect(start, rect.top(), max(0, right - start), rect.height())
        painter.setPen(colors.color("muted"))
        words = painter.fontMetrics().elidedText(words, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, words)


def score_color(value: float) -> QColor:
    """Return the colour of a score's bar; the number beside it says the same."""
    colors = theme()
    if value < 0.4:
        return colors.color("bad")
    return colors.color("warn") if value < 0.6 else colors.color("good")


class _SampleView(QListView):
    """A list that paints again where data changed.

    Qt's own lays all rows out again for a single thumbnail, 11 ms of 100,000; here all rows are
    of one size.
    """

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        """Paint the rows that are seen."""
        QAbstractItemView.dataChanged(self, top_left, bottom_right, list(roles))


class SamplesPanel(QWidget):
    """Filter, order and list of the samples."""

    sample_activated = Signal(str)
    sample_selected = Signal(str)

    def __init__(self, model: SampleListModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self.search = SearchField("Filter images")
        self.search.setToolTip(FILTER_HELP)
        self.filter = FilterButton(self.search)
        self.subset = QPushButton("")
        self.subset.setToolTip("Show all images again")
        self.subset.hide()
        self._count = label(style="muted")
        self._sort = QComboBox()
        self._sort.setProperty("quiet", "true")
        self._sort.setAccessibleName("Sort images by")
        for key, text in zip(SORT_KEYS, _SORT_TITLES, strict=True):
            self._sort.addItem(text, key)
        self._descending = icon_button("sort", "Reverse the order")
        self._descending.setCheckable(True)
        self._descending.setObjectName("quiet")
        # A list asks for the number of rows once per row when it is laid out.  In Python that
        # takes half a second at 100,000 rows; this one neither sorts nor filters, it remembers.
        self._rows = QSortFilterProxyModel(self)
        self._rows.setSourceModel(model)
        self.view = _SampleView()
        self.view.setModel(self._rows)
        self.view.setItemDelegate(SampleDelegate(self.view))
        self.view.setUniformItemSizes(True)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.view.setMouseTracking(True)
        self.view.setAccessibleName("Images")
        self.setMinimumWidth(272)
        self._arrange()
        self.search.textChanged.connect(model.set_filter)
        self.search.left.connect(self.view.setFocus)
        self._sort.currentIndexChanged.connect(self._resort)
        self._descending.toggled.connect(self._resort)
        self.subset.clicked.connect(lambda _checked: model.set_subset(None))
        model.count_changed.connect(self._show_count)
        model.subset_changed.connect(self._show_subset)
        self.view.selectionModel().currentChanged.connect(self._on_current)
        self.view.activated.connect(
            lambda index: self.sample_activated.emit(index.data(SampleListModel.SampleIdRole))
        )

    def _arrange(self) -> None:
        bar = QHBoxLayout()
        bar.setSpacing(2)
        bar.addWidget(self._count, 1)
        bar.addWidget(self._sort)
        bar.addWidget(self._descending)
        top = QVBoxLayout()
        top.setContentsMargins(GRID, 0, GRID, 4)
        top.setSpacing(4)
        line = QHBoxLayout()
        line.setSpacing(2)
        line.addWidget(self.search, 1)
        line.addWidget(self.filter)
        top.addLayout(line)
        top.addWidget(self.subset)
        top.addLayout(bar)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.view, 1)

    def set_classes(self, names: Sequence[str]) -> None:
        """Offer these classes in the filter's menu."""
        self.filter.set_classes(names)

    def select(self, sample_id: str) -> None:
        """Mark a sample and scroll to it, without telling anyone."""
        row = self._model.row_of(sample_id)
        if row < 0:
            return
        selection = self.view.selectionModel()
        blocked = selection.blockSignals(True)
        self.view.setCurrentIndex(self._rows.index(row, 0))
        selection.blockSignals(blocked)
        self.view.scrollTo(self._rows.index(row, 0))
        self.view.viewport().update()

    def step(self, by: int) -> None:
        """Go to a neighbour in the order shown."""
        rows = self._model.rowCount()
        if not rows:
            return
        current = self.view.currentIndex()
        row = current.row() + by if current.isValid() else (0 if by > 0 else rows - 1)
        if 0 <= row < rows:
            self.view.setCurrentIndex(self._rows.index(row, 0))

    def neighbours(self, sample_id: str) -> list[str]:
        """Return the samples after and before one, in the order shown."""
        row = self._model.row_of(sample_id)
        found = (self._model.sample_at(row + 1), self._model.sample_at(row - 1))
        return [sample.sample_id for sample in found if sample is not None] if row >= 0 else []

    def _on_current(self, current: QModelIndex) -> None:
        sample_id = current.data(SampleListModel.SampleIdRole) if current.isValid() else None
        if sample_id:
            self.sample_selected.emit(sample_id)

    def _resort(self) -> None:
        self._model.set_sort(self._sort.currentData(), descending=self._descending.isChecked())
        if self.view.currentIndex().isValid():
            self.view.scrollTo(self.view.currentIndex())

    def _show_subset(self, title: str) -> None:
        room = 30 * GRID
        words = self.subset.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, room)
        self.subset.setText(f"{words}   \N{MULTIPLICATION SIGN}")
        self.subset.setVisible(bool(title))
        if self.view.currentIndex().isValid():
            self.view.scrollTo(self.view.currentIndex())

    def _show_count(self, shown: int, total: int) -> None:
        noun = "image" if total == 1 else "images"
        words = f"{total:,} {noun}" if shown == total else f"{shown:,} of {total:,} {noun}"
        self._count.setText(words.replace(",", "\u202f") if total else "")
        if not self.search.text() or shown:
            self.search.setProperty("empty", "false")
