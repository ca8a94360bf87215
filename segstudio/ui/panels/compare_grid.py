"""The middle of the Compare workspace: choices above, the grid, the legend below."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QAction, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLayout,
    QMenu,
    QPushButton,
    QStackedLayout,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.analysis.side_by_side import Column
from segstudio.ui.canvas.comparison import ComparisonGrid
from segstudio.ui.canvas.empty_state import EmptyState
from segstudio.ui.icons import icon
from segstudio.ui.panels.compare_legend import LegendStrip
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import DoubleClickReset, JumpSlider, icon_button, label, rule

__all__ = ["FIRST_COLUMNS", "CompareGridPanel"]

FIRST_COLUMNS = (
    Column.PHOTO,
    Column.TARGET,
    Column.SEGMENTATION,
    Column.ENTROPY,
    Column.ERRORS,
)
"""What is shown before anybody has chosen."""

_TIPS = {
    Column.PHOTO: "The photograph",
    Column.TARGET: "The ground truth",
    Column.CORRECTION: "The correction, as it is painted",
    Column.SEGMENTATION: "What each model says",
    Column.ENTROPY: "How unsure each model is: black for sure, yellow for guessing",
    Column.ERRORS: "Where each model is wrong, and where it was sure of it",
    Column.DISAGREEMENT: "Where the other models say something else",
    Column.PAIR: "Of A and B: who is right where one of them is wrong",
}
_SETTLE_MS = 60


class CompareGridPanel(QWidget):
    """Models and columns to choose, the grid, and the classes in it.

    Attributes
    ----------
    runs_chosen : Signal(list of str)
        The runs that are to be the rows.
    columns_chosen : Signal(list of str)
        Names of the columns that are to be shown.
    opacity_changed : Signal(float)
        Opacity of label maps over the photograph, 0..1.
    figure_requested : Signal()
    run_requested : Signal()
        There is nothing to compare yet.
    """

    runs_chosen = Signal(list)
    columns_chosen = Signal(list)
    opacity_changed = Signal(float)
    figure_requested = Signal()
    run_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.grid = ComparisonGrid()
        self.legend = LegendStrip()
        self._empty = EmptyState()
        self._models = QToolButton()
        self._menu = _StayingMenu(self._models)
        self._actions: dict[Column, QAction] = {}
        self._toggles: list[QToolButton] = []
        self._more = QToolButton()
        self.opacity = JumpSlider(0, 100, 100)
        self._figure = QPushButton("Export figure…")
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._build()
        self._settle.timeout.connect(lambda: self.opacity_changed.emit(self.opacity.value() / 100))
        self.opacity.valueChanged.connect(lambda _value: self._settle.start())
        self._figure.clicked.connect(lambda _checked: self.figure_requested.emit())
        self._empty.link_activated.connect(lambda _target: self.run_requested.emit())
        self.set_message("Open a dataset to compare models on it.")

    def _build(self) -> None:
        self._strip = QWidget()
        self._strip.setObjectName("toolStrip")
        self._strip.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        # The check buttons fold away: they must not widen the window's middle in all workspaces.
        self._strip.setMinimumWidth(60 * GRID)
        row = QHBoxLayout(self._strip)
        row.setSizeConstraint(QLayout.SizeConstraint.SetNoConstraint)
        row.setContentsMargins(GRID, 4, GRID, 4)
        row.setSpacing(4)
        self._models.setObjectName("chooser")
        self._models.setText("Models")
        self._models.setIcon(icon("model", role="muted"))
        self._models.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._models.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._models.setToolTip("Which models are the rows")
        self._models.setMenu(self._menu)
        row.addWidget(self._models)
        row.addSpacing(4)
        row.addWidget(rule())
        row.addSpacing(4)
        self._build_toggles(row)
        row.addStretch(1)
        self._words = words = label("Opacity", style="muted")
        words.setBuddy(self.opacity)
        self.opacity.setFixedWidth(9 * GRID)
        self.opacity.setToolTip("Of label maps over the photograph; a double click is 100 %")
        self.opacity.setAccessibleName("Opacity of label maps")
        DoubleClickReset(self.opacity, 100)
        row.addWidget(words)
        row.addWidget(self.opacity)
        row.addWidget(icon_button("fit", "Fit image", self.grid.fit))
        row.addWidget(self._figure)
        full = QWidget()
        column_layout = QVBoxLayout(full)
        column_layout.setContentsMargins(0, 0, 0, 0)
        column_layout.setSpacing(0)
        column_layout.addWidget(self._strip)
        column_layout.addWidget(self.grid, 1)
        column_layout.addWidget(self.legend)
        self._pages = QStackedLayout(self)
        self._pages.setContentsMargins(0, 0, 0, 0)
        self._pages.addWidget(self._empty)
        self._pages.addWidget(full)
        self.setAutoFillBackground(True)
        self.setFocusProxy(self.grid)

    def _build_toggles(self, row: QHBoxLayout) -> None:
        """Add a check button per column, and a menu of them for where there is no room."""
        menu = _StayingMenu(self._more)
        for column in Column:
            action = QAction(column.value, self)
            action.setCheckable(True)
            action.setToolTip(_TIPS[column])
            action.setChecked(column in FIRST_COLUMNS)
            action.triggered.connect(lambda _checked: self._on_columns())
            self._actions[column] = action
            menu.addAction(action)
            button = QToolButton()
            button.setDefaultAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self._toggles.append(button)
            row.addWidget(button)
        self._more.setObjectName("chooser")
        self._more.setToolTip("Which columns are shown")
        self._more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._more.setMenu(menu)
        self._more.hide()
        row.addWidget(self._more)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold the check buttons into a menu where they have no room."""
        super().resizeEvent(event)
        needed = sum(button.sizeHint().width() + 4 for button in self._toggles)
        others = (self._models, self._words, self.opacity, self._figure)
        needed += sum(widget.sizeHint().width() + 4 for widget in others) + 12 * GRID
        folded = needed > self.width()
        self._more.setVisible(folded)
        for button in self._toggles:
            button.setVisible(not folded)

    # -- choices ------------------------------------------------------------------------------

    @property
    def columns(self) -> list[Column]:
        """The chosen columns, from left to right."""
        return [column for column, action in self._actions.items() if action.isChecked()]

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Check these columns, telling nobody."""
        for column, action in self._actions.items():
            action.setChecked(column in columns)
        self._show_columns()

    def toggle(self, column: Column) -> QAction:
        """Return what shows and hides a column."""
        return self._actions[column]

    def set_runs(self, runs: Sequence[str], chosen: Sequence[str]) -> None:
        """Offer runs, some of them chosen."""
        self._menu.clear()
        for run in runs:
            action = self._menu.addAction(run)
            action.setCheckable(True)
            action.setChecked(run in chosen)
            action.toggled.connect(lambda _checked: self._on_runs())
        self._show_count()

    @property
    def chosen_runs(self) -> list[str]:
        """The runs that are checked, in their order."""
        return [action.text() for action in self._menu.actions() if action.isChecked()]

    def _on_runs(self) -> None:
        self._show_count()
        self.runs_chosen.emit(self.chosen_runs)

    def _show_count(self) -> None:
        total, chosen = len(self._menu.actions()), len(self.chosen_runs)
        self._models.setText(f"Models  {chosen} of {total}")

    def _show_columns(self) -> None:
        self.grid.set_columns(self.columns)
        self._more.setText(f"Columns  {len(self.columns)} of {len(self._actions)}")

    def _on_columns(self) -> None:
        self._show_columns()
        self.columns_chosen.emit([column.name for column in self.columns])

    # -- what is shown ------------------------------------------------------------------------

    def set_message(self, text: str, lines: Sequence[str] = (), *, run: bool = False) -> None:
        """Show a sentence instead of the grid, and a link to the run dialog."""
        self._empty.set_message(text, list(lines), [("Run a model…", "run")] if run else [])
        self._pages.setCurrentIndex(0)

    def show_grid(self) -> None:
        """Show the grid."""
        self._pages.setCurrentIndex(1)

    @property
    def has_grid(self) -> bool:
        """Whether the grid is shown, not a sentence."""
        return self._pages.currentIndex() == 1


class _StayingMenu(QMenu):
    """A menu in which one checks several things before it closes."""

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Check what is clicked, and stay open."""
        action = self.actionAt(event.position().toPoint())
        if action is not None and action.isCheckable():
            action.trigger()
        else:
            super().mouseReleaseEvent(event)
