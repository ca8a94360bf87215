"""The classes panel: legend, visibility, and what the brush paints."""

from __future__ import annotations

from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from PySide6.QtGui import QColor, QMouseEvent, QPainter
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from segstudio.ui.icons import draw_icon
from segstudio.ui.models.legend import LegendModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.theme import GRID, theme
from segstudio.ui.widgets.basic import SearchField, icon_button, label
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = ["ClassesPanel"]

Index = QModelIndex | QPersistentModelIndex


class _ClassDelegate(QStyledItemDelegate):
    """Draws a class's cells."""

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(5 * GRID, 26)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        rect: QRect = option.rect
        # A row is drawn with all its cells when one number in it is another.
        if painter.hasClipping() and not painter.clipBoundingRect().intersects(rect.toRectF()):
            return
        colors = theme()
        state: QStyle.StateFlag = option.state
        active = bool(index.data(LegendModel.ActiveRole))
        visible = bool(index.data(LegendModel.VisibleRole))
        painter.save()
        if active:
            painter.fillRect(rect, colors.color("accent_soft"))
        elif state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, colors.color("hover"))
        column = index.column()
        if column == LegendModel.NAME:
            self._paint_name(painter, rect, index, active, visible)
        elif column == LegendModel.EYE:
            color = colors.color("muted" if visible else "faint")
            _paint_icon(painter, rect, "visible" if visible else "hidden", color)
        elif column == LegendModel.LOCK:
            locked = bool(index.data(LegendModel.LockedRole))
            # A whole column of open locks would be noise: one shows where the pointer is.
            if locked or state & QStyle.StateFlag.State_MouseOver:
                color = colors.color("warn" if locked else "faint")
                _paint_icon(painter, rect, "locked" if locked else "unlocked", color)
        else:
            painter.setPen(colors.color("text" if visible else "faint"))
            painter.drawText(
                rect.adjusted(0, 0, -6, 0),
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter,
                str(index.data() or ""),
            )
        painter.restore()

    def _paint_name(
        self, painter: QPainter, rect: QRect, index: Index, active: bool, visible: bool
    ) -> None:
        colors = theme()
        if active:
            bar = QRect(rect.left(), rect.top(), 2, rect.height())
            painter.fillRect(bar, colors.color("accent"))
        digit = index.data(LegendModel.FavouriteRole)
        key = QRect(rect.left() + 6, rect.top(), 12, rect.height())
        if digit:
            painter.setPen(colors.color("muted"))
            painter.drawText(key, Qt.AlignmentFlag.AlignCenter, str(digit))
        swatch = QRect(key.right() + 6, rect.center().y() - 6, 14, 14)
        entry: ClassColor = index.data(LegendModel.ColorRole)
        paint_class(painter, swatch if visible else swatch.adjusted(4, 4, -4, -4), entry)
        paint_frame(painter, swatch)
        left = swatch.right() + GRID
        room = QRect(left, rect.top(), rect.right() - left - 2, rect.height())
        painter.setPen(colors.color("text" if visible else "faint"))
        name = painter.fontMetrics().elidedText(
            str(index.data()), Qt.TextElideMode.ElideRight, room.width()
        )
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, name)


def _paint_icon(painter: QPainter, rect: QRect, name: str, color: QColor) -> None:
    box = QRect(0, 0, 16, 16)
    box.moveCenter(rect.center())
    draw_icon(painter, box, name, color)


class _ClassProxy(QSortFilterProxyModel):
    """Restricts and sorts the legend."""

    def __init__(self, model: LegendModel) -> None:
        super().__init__()
        self._model = model
        self._only_present = False
        self.setSourceModel(model)
        self.setSortRole(LegendModel.SortRole)
        self.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self.setFilterRole(Qt.ItemDataRole.ToolTipRole)
        self.setFilterKeyColumn(0)


class _ClassView(QTreeView):
    """A tree without branches; keys 1..9 over a row choose its favourite."""

    hovered = Signal(int)  # class index, -1 for none
    digit_pressed = Signal(int, int)  # digit, class index

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the pointer any more."""
        super().leaveEvent(event)
        self.hovered.emit(-1)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say which class is under the pointer."""
        super().mouseMoveEvent(event)
        index = self.indexAt(event.position().toPoint())
        self.hovered.emit(index.data(LegendModel.ClassRole) if index.isValid() else -1)

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Let hovering mark the whole row."""
        super().drawRow(painter, option, index)


class ClassesPanel(QWidget):
    """Search, legend; a click chooses the class to paint, Alt+click or a double click solos it."""

    class_chosen = Signal(int)
    class_hovered = Signal(int)
    favourite_requested = Signal(int, int)

    def __init__(self, model: LegendModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._model = model
        self._proxy = _ClassProxy(model)
        self.search = SearchField("Find a class")
        self._space = label(style="muted")
        self._all = icon_button("visible", "Show all classes", model.show_all)
        self.view = _ClassView()
        self.view.setModel(self._proxy)
        self.view.setItemDelegate(_ClassDelegate(self.view))
        self.view.setRootIsDecorated(False)
        self.view.setIndentation(0)
        self.view.setUniformRowHeights(True)
        self.view.setSortingEnabled(True)
        self.view.sortByColumn(LegendModel.NAME, Qt.SortOrder.AscendingOrder)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.view.setMouseTracking(True)
        self.view.setExpandsOnDoubleClick(False)
        self.view.setAccessibleName("Classes")
        header = self.view.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(LegendModel.NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((1, 62), (2, 44), (3, 24), (4, 28)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, width)
        header.setSectionsMovable(False)
        self._arrange()
        self.search.textChanged.connect(self._proxy.setFilterFixedString)
        self.search.returnPressed.connect(self._choose_first)
        self.search.left.connect(self.view.setFocus)
        self.view.clicked.connect(self._on_clicked)
        self.view.doubleClicked.connect(self._on_double_clicked)
        self.view.hovered.connect(self.class_hovered)

    def _arrange(self) -> None:
        top = QHBoxLayout()
        top.setContentsMargins(GRID, 0, 6, 4)
        top.setSpacing(4)
        top.addWidget(self.search, 1)
        top.addWidget(self._all)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(top)
        layout.addWidget(self.view, 1)

    def _on_clicked(self, index: QModelIndex) -> None:
        from PySide6.QtWidgets import QApplication

        class_index = int(index.data(LegendModel.ClassRole))
        alt = QApplication.keyboardModifiers() & Qt.KeyboardModifier.AltModifier
        if index.column() == LegendModel.LOCK:
            if alt:
                self._model.lock_others(class_index)
            else:
                self._model.set_locked(class_index, not index.data(LegendModel.LockedRole))
        elif alt:
            self._model.solo(class_index)
        elif index.column() == LegendModel.EYE:
            self._model.set_visible(class_index, not index.data(LegendModel.VisibleRole))
        else:
            self.class_chosen.emit(class_index)

    def _on_double_clicked(self, index: QModelIndex) -> None:
        if index.column() not in (LegendModel.EYE, LegendModel.LOCK):
            self._model.solo(int(index.data(LegendModel.ClassRole)))

    def _choose_first(self) -> None:
        index = self._proxy.index(0, 0)
        if index.isValid():
            self.class_chosen.emit(int(index.data(LegendModel.ClassRole)))
            self.search.clear()
            self.search.left.emit()

    def reveal(self, class_index: int) -> None:
        """Scroll to a class."""
        index = self._proxy.mapFromSource(self._model.index(class_index, 0))
        if index.isValid():
            self.view.scrollTo(index)
