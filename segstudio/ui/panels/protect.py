"""What may be painted over: a button that says which rules hold, with a menu to change them."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QMenu,
    QToolButton,
    QWidget,
    QWidgetAction,
)

from segstudio.ui.icons import icon
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import JumpSlider

__all__ = ["EntropyRule", "ProtectButton"]

_FIRST = 0.5
"""The entropy that has to be exceeded before anybody chose another, a share of log C."""


class EntropyRule(QWidget):
    """A check box and beside it the entropy that a pixel has to exceed.

    Attributes
    ----------
    changed : Signal
        The rule is another.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QCheckBox("Only where entropy is above")
        self.box.setToolTip("Only pixels of which the model is less sure may be painted")
        self.slider = JumpSlider(0, 100, round(100 * _FIRST))
        self.slider.setAccessibleName("Least entropy")
        self.slider.setMinimumWidth(14 * GRID)
        self.number = QDoubleSpinBox()
        self.number.setRange(0.0, 1.0)
        self.number.setDecimals(2)
        self.number.setSingleStep(0.01)
        self.number.setValue(_FIRST)
        self.number.setAccessibleName("Least entropy, a share of the largest possible")
        tip = "0 is every pixel that is not certain, 1 is none"
        self.slider.setToolTip(tip)
        self.number.setToolTip(tip)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(3 * GRID, GRID // 2, 2 * GRID, GRID // 2)
        layout.setSpacing(GRID)
        for widget in (self.box, self.slider, self.number):
            layout.addWidget(widget)
        self.box.toggled.connect(lambda _on: self.changed.emit())
        self.slider.valueChanged.connect(lambda value: self.number.setValue(value / 100))
        self.number.valueChanged.connect(self._on_number)

    def _on_number(self, value: float) -> None:
        with QSignalBlocker(self.slider), QSignalBlocker(self.box):
            self.slider.setValue(round(100 * value))
            self.box.setChecked(True)  # who moves it wants it
        self.changed.emit()

    @property
    def above(self) -> float | None:
        """The entropy that has to be exceeded, 0..1; None when it does not matter."""
        return self.number.value() if self.box.isChecked() else None

    def set_above(self, value: float | None) -> None:
        """Set the rule."""
        if value is not None:
            self.number.setValue(value)
        self.box.setChecked(value is not None)


class ProtectButton(QToolButton):
    """The rules of painting beside the locks, which are in the classes panel.

    Attributes
    ----------
    changed : Signal
        A rule is another.
    over_class_requested : Signal
        "Only over the active class" was chosen; `set_over_class` answers.
    unlock_requested : Signal
        Every lock is to be opened.
    """

    changed = Signal()
    over_class_requested = Signal()
    unlock_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("plain")
        self.setAccessibleName("Protect")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.setIconSize(QSize(16, 16))
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._over: tuple[int, str] | None = None
        self._locks = 0
        menu = QMenu(self)
        self._overs = QActionGroup(self)
        self.anything = self._choice(menu, self._overs, "Paint over everything")
        self.unlabelled = self._choice(menu, self._overs, "Only where unlabelled")
        self.over_class = self._choice(menu, self._overs, "Only over the active class")
        self.over_class.triggered.connect(lambda _checked: self.over_class_requested.emit())
        menu.addSeparator()
        self.entropy = EntropyRule()
        entropy = QWidgetAction(menu)
        entropy.setDefaultWidget(self.entropy)
        menu.addAction(entropy)
        menu.addSeparator()
        self._unlock = menu.addAction("Unlock every class")
        self._unlock.triggered.connect(lambda _checked: self.unlock_requested.emit())
        self.anything.setChecked(True)
        self._overs.triggered.connect(lambda _action: self._on_changed())
        self.entropy.changed.connect(self._on_changed)
        self.setMenu(menu)
        self._say()

    def _choice(self, menu: QMenu, group: QActionGroup, words: str) -> QAction:
        action = menu.addAction(words)
        action.setCheckable(True)
        group.addAction(action)
        return action

    @property
    def only_over(self) -> str | int | None:
        """None for everything, "unlabelled", or a class index."""
        if self.unlabelled.isChecked():
            return "unlabelled"
        if self.over_class.isChecked() and self._over is not None:
            return self._over[0]
        return None

    @property
    def entropy_above(self) -> float | None:
        """The entropy that a pixel has to exceed, 0..1, None when it does not matter."""
        return self.entropy.above

    def set_over_class(self, class_index: int, name: str) -> None:
        """Say which class "only over" means."""
        self._over = class_index, name
        self.over_class.setText(f"Only over {name}")
        self._on_changed()

    def set_locks(self, count: int) -> None:
        """Say how many classes are locked."""
        self._locks = count
        self._say()

    def reset(self) -> None:
        """Paint over everything again, because the classes are others."""
        self.anything.setChecked(True)
        self._over = None
        self.over_class.setText("Only over the active class")
        self._on_changed()

    def _on_changed(self) -> None:
        if not self.over_class.isChecked():
            # Next time it means the class that is active then.
            self._over = None
            self.over_class.setText("Only over the active class")
        self._say()
        self.changed.emit()

    def _say(self) -> None:
        parts = [f"{self._locks} locked"] if self._locks else []
        if self.only_over == "unlabelled":
            parts.append("unlabelled only")
        elif self._over is not None and self.only_over is not None:
            parts.append(f"over {self._over[1]}")
        if self.entropy_above is not None:
            parts.append(f"entropy > {self.entropy_above:.2f}")
        self.setText(" · ".join(parts) if parts else "Protect")
        self.setIcon(icon("protecting", role="warn") if parts else icon("protect", role="muted"))
        self._unlock.setEnabled(bool(self._locks))
        self.setToolTip(
            "What may be painted over, whatever the tool\n"
            "Classes are locked in the classes panel, beside their eye."
        )
