"""The scores panel: per class and per image, and one line with the run's figures."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSplitter,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models import number
from segstudio.ui.models.scores import ImageScoreModel, ScoreTableModel
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import label

__all__ = ["ScoresPanel"]

Index = QModelIndex | QPersistentModelIndex


class _SwatchDelegate(QStyledItemDelegate):
    """A class's name with its colour."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        color = index.data(ScoreTableModel.ColorRole)
        rect: QRect = option.rect
        if color is not None:
            painter.save()
            painter.setPen(QPen(theme().color("faint"), 1))
            painter.setBrush(color)
            painter.drawRect(QRect(rect.left() + GRID, rect.center().y() - 5, 11, 11))
            painter.restore()
        option.rect = rect.adjusted(18, 0, 0, 0)
        super().paint(painter, option, index)


class _MeanLastProxy(QSortFilterProxyModel):
    """Sorts, but leaves the mean where sums stand: at the end."""

    def lessThan(self, left: Index, right: Index) -> bool:
        """Compare by value; the mean is last in either direction."""
        model = self.sourceModel()
        if isinstance(model, ScoreTableModel):
            falling = self.sortOrder() == Qt.SortOrder.DescendingOrder
            if model.is_mean(left.row()):
                return falling
            if model.is_mean(right.row()):
                return not falling
        return bool(
            left.data(ScoreTableModel.SortRole) < right.data(ScoreTableModel.SortRole)
        )


def _table(model: QSortFilterProxyModel, name: str) -> QTableView:
    view = QTableView()
    view.setModel(model)
    view.setSortingEnabled(True)
    view.setShowGrid(False)
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    view.verticalHeader().hide()
    view.verticalHeader().setDefaultSectionSize(24)
    view.setAccessibleName(name)
    header = view.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
    header.setDefaultSectionSize(74)
    header.setMinimumSectionSize(64)
    return view


class ScoresPanel(QWidget):
    """Two tables beside each other, headed by the run's pooled figures."""

    sample_activated = Signal(str)

    def __init__(
        self, classes: ScoreTableModel, images: ImageScoreModel, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._title = label(style="section")
        self._figures: dict[str, QLabel] = {}
        class_proxy, image_proxy = _MeanLastProxy(), QSortFilterProxyModel()
        class_proxy.setSourceModel(classes)
        class_proxy.setParent(self)
        image_proxy.setSourceModel(images)
        image_proxy.setSortRole(ImageScoreModel.SortRole)
        image_proxy.setParent(self)
        self.class_view = _table(class_proxy, "Scores per class")
        self.class_view.setItemDelegateForColumn(0, _SwatchDelegate(self))
        self.class_view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.image_view = _table(image_proxy, "Scores per image")
        self.image_view.horizontalHeader().resizeSection(2, 112)
        self.class_view.setMinimumWidth(500)
        self.image_view.setMinimumWidth(300)
        self.image_view.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.image_view.activated.connect(self._on_image)
        self.image_view.clicked.connect(self._on_image)
        self._message = label(style="muted")
        self._message.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._message.setWordWrap(True)
        self._arrange()
        self.set_message("Scores appear here when a model has run on images with ground truth.")

    def _arrange(self) -> None:
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.class_view)
        splitter.addWidget(self.image_view)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setHandleWidth(2 * GRID)
        head = QHBoxLayout()
        head.setContentsMargins(GRID, 4, GRID, 4)
        head.setSpacing(GRID)
        head.addWidget(self._title)
        for key, text in (
            ("miou", "mIoU"),
            ("image", "this image"),
            ("accuracy", "pixel accuracy"),
            ("images", "images"),
        ):
            caption, value = label(text, style="muted"), label(number(None))
            self._figures[key] = value
            head.addSpacing(GRID)
            head.addWidget(caption)
            head.addWidget(value)
        head.addStretch(1)
        tables = QWidget()
        layout = QVBoxLayout(tables)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(head)
        layout.addWidget(splitter, 1)
        self._pages = QStackedLayout(self)
        self._pages.addWidget(self._message)
        self._pages.addWidget(tables)

    def set_message(self, text: str) -> None:
        """Show a sentence instead of tables."""
        self._message.setText(text)
        self._pages.setCurrentIndex(0)

    def set_summary(self, title: str, *, miou: str, accuracy: str, images: int) -> None:
        """Show the tables under a run's name and pooled figures."""
        self._title.setText(title)
        self._figures["miou"].setText(miou)
        self._figures["accuracy"].setText(accuracy)
        self._figures["images"].setText(str(images))
        self._pages.setCurrentIndex(1)

    def set_image_miou(self, miou: float | None, before: float | None = None) -> None:
        """Show the image's mean IoU, and how far corrections have moved it."""
        text = number(miou, 4) if before is not None else number(miou)
        if miou is not None and before is not None and miou == miou and before == before:
            change = miou - before
            if abs(change) >= 0.00005:
                text += f"  ({'+' if change > 0 else '−'}{abs(change):.4f})"
        self._figures["image"].setText(text)

    @property
    def shown_figures(self) -> Sequence[str]:
        """The figures as they are written."""
        return [value.text() for value in self._figures.values()]

    def _on_image(self, index: QModelIndex) -> None:
        sample_id = index.data(ImageScoreModel.SampleIdRole)
        if sample_id:
            self.sample_activated.emit(sample_id)
