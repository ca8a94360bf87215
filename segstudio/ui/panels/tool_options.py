"""The form of a tool's options, made from its Options dataclass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from segstudio.core.options import OptionField
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["ToolOptions"]


class ToolOptions(QWidget):
    """One small widget per option, side by side."""

    changed = Signal(str, object)  # name of the field, its value

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._layout = QHBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(GRID)

    def set_fields(self, fields: Sequence[OptionField], values: dict[str, Any]) -> None:
        """Show other options.

        Parameters
        ----------
        fields : sequence of OptionField
            What they are.
        values : dict of str to object
            What they hold; the default where a name is missing.
        """
        while (item := self._layout.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                # Later, because it may be the one whose signal brought us here.
                widget.setParent(None)
                widget.deleteLater()
        for field in fields:
            value = values.get(field.name, field.default)
            words = field.name.replace("_", " ").capitalize()
            widget = _editor(field, value, words, self._say(field.name))
            widget.setToolTip(field.help)
            widget.setAccessibleName(words)
            widget.setObjectName(f"option_{field.name}")
            if not isinstance(widget, QCheckBox):
                caption = label(words, style="muted")
                caption.setToolTip(field.help)
                self._layout.addWidget(caption)
            self._layout.addWidget(widget)
        # A layout shows what it is given only once the event loop runs: a flicker.
        for number in range(self._layout.count()):
            item = self._layout.itemAt(number)
            if item is not None and (shown := item.widget()) is not None:
                shown.show()
        self.setVisible(bool(fields))

    def _say(self, name: str) -> Callable[[Any], None]:
        return lambda value: self.changed.emit(name, value)


def _editor(field: OptionField, value: Any, words: str, say: Callable[[Any], None]) -> QWidget:
    """Return the widget of one field."""
    # None takes the focus from the picture, where the tools' keys are; numbers need it.
    if field.kind is bool:
        box = QCheckBox(words)
        box.setChecked(bool(value))
        box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        box.toggled.connect(say)
        return box
    if field.choices:
        choice = QComboBox()
        for entry in field.choices:
            choice.addItem(entry.replace("_", " ").capitalize(), entry)
        choice.setCurrentIndex(field.choices.index(value))
        choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        choice.activated.connect(lambda _index: say(choice.currentData()))
        return choice
    if field.kind is int:
        number = QSpinBox()
        number.setRange(
            int(-(10**9) if field.minimum is None else field.minimum),
            int(10**9 if field.maximum is None else field.maximum),
        )
        number.setValue(int(value))
        number.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        number.setMaximumWidth(11 * GRID)
        number.valueChanged.connect(say)
        return number
    if field.kind is float:
        real = QDoubleSpinBox()
        real.setRange(
            -1e9 if field.minimum is None else field.minimum,
            1e9 if field.maximum is None else field.maximum,
        )
        real.setDecimals(3)
        real.setValue(float(value))
        real.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        real.valueChanged.connect(say)
        return real
    text = QLineEdit(str(value))
    text.editingFinished.connect(lambda: say(text.text()))
    return text
