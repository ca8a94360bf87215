"""A form of an Options dataclass, one line per option; see `segstudio.core.options`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLineEdit,
    QSpinBox,
    QWidget,
)

from segstudio.core.options import OptionField, build_options, option_fields
from segstudio.ui.theme import GRID
from segstudio.ui.widgets.basic import label

__all__ = ["CAPTION_WIDTH", "OptionsForm"]

CAPTION_WIDTH = 9 * GRID
"""Of the first column, so that a form lines up with what is around it."""

_MANY = 10**9


class OptionsForm(QWidget):
    """Widgets for the fields of an Options class; empty for a class without any.

    Attributes
    ----------
    changed : Signal()
        A value was changed.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._options: type | None = None
        self._readers: dict[str, Callable[[], Any]] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(2 * GRID)
        self._grid.setVerticalSpacing(GRID)
        self._grid.setColumnStretch(1, 1)
        self._grid.setColumnMinimumWidth(0, CAPTION_WIDTH)

    def set_options(self, options: type) -> None:
        """Show the fields of another Options class, at their defaults."""
        while (item := self._grid.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.setParent(None)
                widget.deleteLater()
        self._options, self._readers = options, {}
        for number, field in enumerate(option_fields(options)):
            row = 2 * number
            words = field.name.replace("_", " ").capitalize()
            widget, read = self._editor(field)
            widget.setToolTip(field.help)
            widget.setAccessibleName(words)
            widget.setObjectName(f"option_{field.name}")
            self._readers[field.name] = read
            if isinstance(widget, QCheckBox):
                widget.setText(words)
                # An empty column would have no space behind it, and nothing would line up.
                self._grid.addWidget(label(), row, 0)
                self._grid.addWidget(widget, row, 1)
            else:
                caption = label(words, style="muted")
                caption.setToolTip(field.help)
                caption.setBuddy(widget)
                self._grid.addWidget(caption, row, 0)
                self._grid.addWidget(widget, row, 1)
            hint = label(field.help, style="muted")
            hint.setWordWrap(True)
            self._grid.addWidget(hint, row + 1, 1)
        self.setVisible(bool(self._readers))

    def value(self) -> Any:
        """Return the chosen Options, None without a class.

        Raises
        ------
        UsageError
            When a text is no value of its field.
        """
        if self._options is None:
            return None
        return build_options(self._options, {name: read() for name, read in self._readers.items()})

    def _editor(self, field: OptionField) -> tuple[QWidget, Callable[[], Any]]:
        """Return the widget of a field and what reads it."""
        if field.kind is bool:
            box = QCheckBox()
            box.setChecked(bool(field.default))
            box.toggled.connect(lambda _on: self.changed.emit())
            return box, box.isChecked
        if field.choices:
            choice = QComboBox()
            for entry in field.choices:
                choice.addItem(entry.replace("_", " ").capitalize(), entry)
            choice.setCurrentIndex(choice.findData(field.default))
            choice.currentIndexChanged.connect(lambda _index: self.changed.emit())
            return choice, choice.currentData
        if field.kind in (int, float) and not field.optional:
            number = QSpinBox() if field.kind is int else QDoubleSpinBox()
            low = -_MANY if field.minimum is None else field.minimum
            high = _MANY if field.maximum is None else field.maximum
            if isinstance(number, QSpinBox):
                number.setRange(int(low), int(high))
            else:
                number.setDecimals(3)
                number.setSingleStep(0.05)
                number.setRange(low, high)
            number.setValue(field.default)
            number.valueChanged.connect(lambda _value: self.changed.emit())
            return number, number.value
        text = QLineEdit("" if field.default is None else str(field.default))
        text.textChanged.connect(lambda _text: self.changed.emit())
        return text, lambda: None if field.optional and not text.text() else text.text()
