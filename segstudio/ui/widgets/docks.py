"""Docks: panels that tab, fold and remember."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QMainWindow, QWidget

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import icon_button

__all__ = ["PanelDock"]

_TITLE_HEIGHT = 4 * GRID
_NO_LIMIT = 16777215  # QWIDGETSIZE_MAX


class _DockTitle(QWidget):
    """A title that folds on a double click; without height while the dock is a tab of several."""

    def __init__(self, dock: PanelDock, title: str, foldable: bool) -> None:
        super().__init__(dock)
        self.setObjectName("dockTitle")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._dock = dock
        self._foldable = foldable
        layout = QHBoxLayout(self)
        layout.setContentsMargins(GRID + 4, 0, 6, 0)
        layout.setSpacing(2)
        text = QLabel(title)
        text.setObjectName("dockTitleText")
        layout.addWidget(text, 1)
        if foldable:
            self.fold = icon_button("caret-down", f"Fold {title}", dock.toggle_fold, size=14)
            layout.addWidget(self.fold)
        layout.addWidget(icon_button("close", f"Hide {title}", dock.close, size=14))
        self._flat = False

    def set_flat(self, flat: bool) -> None:
        """Take no room, because the tab says the title already."""
        if flat != self._flat:
            self._flat = flat
            for child in self.findChildren(QWidget):
                child.setVisible(not flat)
            self.updateGeometry()

    def sizeHint(self) -> QSize:
        return QSize(10 * GRID, 4 if self._flat else _TITLE_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        if self._foldable:
            self._dock.toggle_fold()
        else:
            super().mouseDoubleClickEvent(event)


class PanelDock(QDockWidget):
    """A dock with a quiet title bar.

    Parameters
    ----------
    name : str
        Object name, which saved layouts are keyed by.
    title : str
        What a person reads.
    panel : QWidget
        Its content.
    foldable : bool
        Whether it can be folded to its title.
    """

    def __init__(self, name: str, title: str, panel: QWidget, *, foldable: bool = False) -> None:
        super().__init__(title)
        self.setObjectName(name)
        self.setWidget(panel)
        self._title = _DockTitle(self, title, foldable)
        self.setTitleBarWidget(self._title)
        self._folded = False
        self.visibilityChanged.connect(lambda _visible: self._later())
        self.dockLocationChanged.connect(lambda _area: self._later())
        self.topLevelChanged.connect(lambda _floating: self._later())

    @property
    def folded(self) -> bool:
        """Whether only the title is shown."""
        return self._folded

    def toggle_fold(self) -> None:
        """Fold the panel to its title, or unfold it."""
        self.set_folded(not self._folded)

    def set_folded(self, folded: bool) -> None:
        """Show only the title, or everything."""
        if folded == self._folded:
            return
        self._folded = folded
        panel = self.widget()
        panel.setVisible(not folded)
        self.setMaximumHeight(_TITLE_HEIGHT if folded else _NO_LIMIT)
        self._title.fold.setIcon(icon("caret-right" if folded else "caret-down", role="muted"))

    def event(self, event: QEvent) -> bool:
        """Notice when tabs come and go."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.ParentChange, QEvent.Type.ZOrderChange):
            self._later()
        return super().event(event)

    def _later(self) -> None:
        # Qt tells of a change before it has made it.
        QTimer.singleShot(0, self, self._follow_tabs)

    def _follow_tabs(self) -> None:
        window = self.parent()
        tabbed = isinstance(window, QMainWindow) and any(
            dock.isVisibleTo(window) or not dock.isHidden()
            for dock in window.tabifiedDockWidgets(self)
        )
        self._title.set_flat(tabbed and not self.isFloating())
