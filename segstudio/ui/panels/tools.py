"""The tools: a column beside the picture and their options in a strip above it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QSignalBlocker, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QScrollArea,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from segstudio.core.options import OptionField
from segstudio.ui.actions import Actions, native
from segstudio.ui.icons import icon
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.protect import ProtectButton
from segstudio.ui.panels.tool_options import ToolOptions
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import ElidedLabel, JumpSlider, label, rule, tool_button
from segstudio.ui.widgets.swatches import paint_class, paint_frame

__all__ = ["BRUSH_LIMITS", "ToolColumn", "ToolStrip", "next_size"]

BRUSH_LIMITS = (1, 2000)
"""Smallest and largest brush, pixels of the image."""

_STEPS = 200  # of the slider


def next_size(size: int, steps: int) -> int:
    """Return the brush size some steps larger or smaller: an eighth at a time, one at least."""
    for _ in range(abs(steps)):
        if steps > 0:
            size = max(size + 1, round(size * 1.125))
        else:
            size = min(size - 1, round(size / 1.125))
    return min(max(size, BRUSH_LIMITS[0]), BRUSH_LIMITS[1])


class Swatch(QWidget):
    """A square of a class's colour."""

    def __init__(self) -> None:
        super().__init__()
        self._entry: ClassColor | None = None
        self.setFixedSize(QSize(16, 16))

    def set_class(self, entry: ClassColor) -> None:
        """Show another class."""
        self._entry = entry
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the square with a thin frame."""
        painter = QPainter(self)
        inside = self.rect().adjusted(0, 0, -1, -1)
        if self._entry is not None:
            paint_class(painter, inside, self._entry)
        paint_frame(painter, inside)
        painter.end()


class ToolColumn(QScrollArea):
    """The tools by group, two side by side, then pick, pan, undo and redo.

    A low window scrolls it with the wheel.
    """

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setObjectName("toolColumn")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.set_groups([])

    def set_groups(self, groups: Sequence[Sequence[str]]) -> None:
        """Show the actions of these identifiers, each group below the one before."""
        body = QWidget()
        body.setObjectName("toolColumn")
        layout = QVBoxLayout(body)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(GRID)
        for group in (*groups, ("tool_pick", "tool_pan"), ("undo", "redo")):
            grid = QGridLayout()
            grid.setSpacing(2)
            for place, action_id in enumerate(group):
                button = tool_button(self._actions[action_id])
                grid.addWidget(button, place // 2, place % 2)
            layout.addLayout(grid)
        layout.addStretch(1)
        self.setWidget(body)
        self.setFixedWidth(body.sizeHint().width())


class ToolStrip(QWidget):
    """Class, size and shape of the brush, and what belongs to the correction as a whole."""

    size_changed = Signal(int)
    shape_changed = Signal(str)
    option_changed = Signal(str, object)

    def __init__(self, actions: Actions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions = actions
        self.setObjectName("toolStrip")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._swatch = Swatch()
        self._name = ElidedLabel("No class")
        self._name.setMaximumWidth(15 * GRID)
        self._slider = JumpSlider(0, _STEPS, 0)
        self._slider.setMinimumWidth(7 * GRID)
        self._slider.setMaximumWidth(16 * GRID)
        self._slider.setAccessibleName("Brush size")
        self._slider.setToolTip("Brush size  ([ and ], or Alt + wheel)")
        self._spin = QSpinBox()
        self._spin.setRange(*BRUSH_LIMITS)
        self._spin.setSuffix(" px")
        self._spin.setAlignment(Qt.AlignmentFlag.AlignRight)
        self._spin.setFixedWidth(8 * GRID)
        self._spin.setAccessibleName("Brush size in pixels")
        self._shapes = QButtonGroup(self)
        self._buttons: dict[str, QToolButton] = {}
        self._state = ElidedLabel("", role="muted")
        self._options = ToolOptions()
        self._options.changed.connect(self.option_changed)
        self.protect = ProtectButton()
        self._arrange(actions)
        self.set_size(20)
        self._slider.valueChanged.connect(lambda value: self._set(_size_of(value)))
        self._spin.valueChanged.connect(self._set)

    def _arrange(self, actions: Actions) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(GRID + 4, 4, GRID, 4)
        layout.setSpacing(GRID)
        layout.addWidget(self._swatch)
        layout.addWidget(self._name)
        layout.addWidget(rule())
        self._size_label = label("Size", style="muted")
        layout.addWidget(self._size_label)
        layout.addWidget(self._slider)
        layout.addWidget(self._spin)
        for shape, tip in (("circle", "Round brush"), ("square", "Square brush")):
            button = QToolButton()
            button.setIcon(icon(shape))
            button.setIconSize(QSize(16, 16))
            button.setCheckable(True)
            button.setChecked(shape == "circle")
            button.setToolTip(tip)
            button.setAccessibleName(tip)
            button.clicked.connect(lambda _on, shape=shape: self.shape_changed.emit(shape))
            self._shapes.addButton(button)
            self._buttons[shape] = button
            layout.addWidget(button)
        layout.addWidget(self._options)
        self._options.hide()
        self._rule = rule()
        layout.addWidget(self._rule)
        layout.addWidget(self.protect)
        layout.addWidget(rule())
        layout.addWidget(self._state, 1)
        layout.addWidget(tool_button(actions["toggle_outlines"], size=18, name="plain"))
        layout.addWidget(tool_button(actions["history"], size=18, name="plain"))
        layout.addWidget(tool_button(actions["save"], size=18, name="plain"))

    @property
    def brush_size(self) -> int:
        """Diameter of the brush in pixels of the image."""
        return self._spin.value()

    @property
    def brush_shape(self) -> str:
        """Either "circle" or "square"."""
        return next(name for name, button in self._buttons.items() if button.isChecked())

    def set_size(self, size: int) -> None:
        """Set the diameter."""
        self._set(size)

    def set_shape(self, shape: str) -> None:
        """Set the shape, "circle" or "square"."""
        if shape in self._buttons:
            self._buttons[shape].setChecked(True)
            self.shape_changed.emit(shape)

    def step_size(self, steps: int) -> None:
        """Make the brush larger or smaller."""
        self._set(next_size(self._spin.value(), steps))

    def minimumSizeHint(self) -> QSize:
        """Return no width: many options are cut off rather than take room from the panels."""
        return QSize(0, super().minimumSizeHint().height())

    def set_fields(self, fields: Sequence[OptionField], values: dict[str, Any]) -> None:
        """Show a tool's options; size and shape are those of all brushes.

        Parameters
        ----------
        fields : sequence of OptionField
            Of the tool's Options.
        values : dict of str to object
            What they hold where it is not the default.
        """
        names = {field.name for field in fields}
        for widget in (self._size_label, self._slider, self._spin):
            widget.setVisible("size" in names)
        for button in self._buttons.values():
            button.setVisible("shape" in names)
        others = [field for field in fields if field.name not in ("size", "shape")]
        self._options.set_fields(others, values)
        self._rule.setVisible(bool(fields))

    def set_class(self, name: str, color: ClassColor) -> None:
        """Show what is painted."""
        self._name.set_text(name)
        self._swatch.set_class(color)
        keys = " or ".join(native(key) for key in self._actions.spec("swap_class").keys)
        tip = f"Paints {name}" + (f"\n{keys}: back to the class before" if keys else "")
        self._name.setToolTip(tip)
        self._swatch.setToolTip(tip)

    def set_state(self, text: str) -> None:
        """Say what the correction started from and whether it is saved."""
        self._state.set_text(text)

    def _set(self, size: int) -> None:
        size = min(max(int(size), BRUSH_LIMITS[0]), BRUSH_LIMITS[1])
        with QSignalBlocker(self._slider), QSignalBlocker(self._spin):
            if _size_of(self._slider.value()) != size:
                self._slider.setValue(_place_of(size))
            self._spin.setValue(size)
        self.size_changed.emit(size)


def _size_of(place: int) -> int:
    """Return the size at a place of the slider: small sizes get most of its way."""
    return max(1, round(BRUSH_LIMITS[1] ** (place / _STEPS)))


def _place_of(size: int) -> int:
    import math

    return round(_STEPS * math.log(max(size, 1)) / math.log(BRUSH_LIMITS[1]))
