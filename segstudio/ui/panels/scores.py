"""The scores panel: per class and per image, and one line with the run's figures."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize, Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSplitter,
    QStackedLayout,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.models import images_text, number
from segstudio.ui.models.image_scores import ImageScoreModel
from segstudio.ui.models.scores import ScoreTableModel
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import SearchField, label
from segstudio.ui.widgets.class_table import MeanLastProxy, SwatchDelegate, number_view
from segstudio.ui.widgets.frames import message_label
from segstudio.ui.widgets.score_bars import BarDelegate
from segstudio.ui.widgets.score_histogram import ScoreHistogram

__all__ = ["ScoresPanel"]

Index = QModelIndex | QPersistentModelIndex

_THUMBNAIL = QSize(44, 28)
_CLASS_WIDTHS = {
    ScoreTableModel.IMAGE: (80, 80),
    ScoreTableModel.POOLED: (104, 190),
    ScoreTableModel.INTERVAL: (94, 98),
    4: (72, 74),
    5: (72, 74),
    6: (92, 100),
}
"""Least and wanted width."""


class _NameDelegate(QStyledItemDelegate):
    """A thumbnail and a name without its beginning: names of video frames differ at their end."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Index) -> None:
        super().initStyleOption(option, index)
        option.textElideMode = Qt.TextElideMode.ElideLeft
        option.decorationSize = _THUMBNAIL


class ScoresPanel(QWidget):
    """Two tables beside each other, headed by the run's pooled figures.

    Attributes
    ----------
    sample_activated : Signal(str)
        An image is to be shown.
    subset_requested : Signal(list, str)
        The list of images is to hold only these; what they have in common.
    """

    sample_activated = Signal(str)
    subset_requested = Signal(list, str)

    def __init__(
        self, classes: ScoreTableModel, images: ImageScoreModel, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._title = label(style="section")
        self._figures: dict[str, QLabel] = {}
        self._images = images
        class_proxy = MeanLastProxy()
        class_proxy.setSourceModel(classes)
        class_proxy.setParent(self)
        self.class_view = number_view(class_proxy, "Scores per class")
        self.class_view.setItemDelegateForColumn(0, SwatchDelegate(self))
        self.class_view.setItemDelegateForColumn(ScoreTableModel.POOLED, BarDelegate(self))
        self.class_view.sortByColumn(-1, Qt.SortOrder.AscendingOrder)
        self.class_view.setMinimumWidth(360)
        self.class_view.set_widths(136, _CLASS_WIDTHS)
        self.image_view = number_view(images, "Scores per image", row=36)
        self.image_view.setIconSize(_THUMBNAIL)
        self.image_view.setItemDelegateForColumn(ImageScoreModel.NAME, _NameDelegate(self))
        self.image_view.setItemDelegateForColumn(ImageScoreModel.MIOU, BarDelegate(self))
        self.image_view.set_widths(
            120, {ImageScoreModel.MIOU: (84, 140), ImageScoreModel.ACCURACY: (100, 112)}
        )
        self.image_view.setMinimumWidth(280)
        self.image_view.sortByColumn(ImageScoreModel.MIOU, Qt.SortOrder.AscendingOrder)
        self.image_view.activated.connect(self._on_image)
        self.image_view.clicked.connect(self._on_image)
        self.search = SearchField("Filter by name")
        self.histogram = ScoreHistogram()
        self.as_list = QPushButton("In the list")
        self.as_list.setToolTip("Restrict the list of images to these")
        self._shown = label(style="muted")
        self._message = message_label()
        self._arrange()
        self.search.textChanged.connect(images.set_text)
        self.search.left.connect(self.image_view.setFocus)
        self.histogram.range_changed.connect(images.set_range)
        self.as_list.clicked.connect(lambda _checked: self._on_list())
        images.shown_changed.connect(self._on_shown)
        self.set_message("Scores appear here when a model has run on images with ground truth.")

    def _arrange(self) -> None:
        bar = QHBoxLayout()
        bar.setContentsMargins(GRID, 0, GRID, 0)
        bar.setSpacing(GRID)
        bar.addWidget(self.search, 1)
        bar.addWidget(self._shown)
        bar.addWidget(self.as_list)
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.histogram)
        column.addLayout(bar)
        column.addWidget(self.image_view, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.class_view)
        splitter.addWidget(right)
        splitter.setStretchFactor(0, 3)
        splitter.setStretchFactor(1, 2)
        splitter.setHandleWidth(2 * GRID)
        splitter.setChildrenCollapsible(False)
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

    # -- inside -------------------------------------------------------------------------------

    def _on_shown(self) -> None:
        images = self._images
        self.histogram.set_scores(images.mious)
        shown, total = images.rowCount(), images.total
        self._shown.setText(f"{shown} of {total}" if shown != total else images_text(total))
        self.as_list.setVisible(0 < shown < total)

    def _on_list(self) -> None:
        wanted = self.histogram.range
        words = [] if wanted is None else [f"mIoU {wanted[0]:.2f} to {wanted[1]:.2f}"]
        words += [self.search.text().strip()] if self.search.text().strip() else []
        self.subset_requested.emit(self._images.shown, ", ".join(words))

    def _on_image(self, index: QModelIndex) -> None:
        sample_id = index.data(ImageScoreModel.SampleIdRole)
        if sample_id:
            self.sample_activated.emit(sample_id)
