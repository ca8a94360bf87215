"""The line that says what is under the pointer, in every layer."""

from __future__ import annotations

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QApplication

from segstudio.core.label_space import LabelSpace
from segstudio.session.session import Session
from segstudio.ui.controllers.desk import Desk
from segstudio.ui.main_window import MainWindow
from segstudio.ui.models.legend import short_name

__all__ = ["ReadoutController"]


class ReadoutController(QObject):
    """Composes the status bar's readout."""

    def __init__(self, window: MainWindow, session: Session, desk: Desk) -> None:
        super().__init__(window)
        self._window, self._session, self._desk = window, session, desk
        window.canvas.hovered.connect(self._on_hovered)

    def _on_hovered(self, row: int | None, col: int | None) -> None:
        if row is None or col is None or self._desk.shown is None:
            self._window.status.set_readout("")
        else:
            self._window.status.set_readout(self.text(row, col))

    def text(self, row: int, col: int) -> str:
        """Return what each layer says at a pixel of the sample shown."""
        desk, shown = self._desk, self._desk.shown
        assert shown is not None
        parts = [f"row {row}  col {col}"]
        if desk.corrected is not None:
            parts.append(f"correction {_name(desk.space, int(desk.corrected[row, col]))}")
        if shown.prediction is not None:
            name = _name(shown.run_space, int(shown.prediction[row, col]))
            sure = "" if shown.confidence is None else f" ({shown.confidence[row, col] / 255:.2f})"
            parts.append(f"{shown.run} {name}{sure}")
            shift = QApplication.queryKeyboardModifiers() & Qt.KeyboardModifier.ShiftModifier
            if shift and shown.runner_up is not None:
                second = _name(shown.run_space, int(shown.runner_up[row, col]))
                parts.append(f"runner-up {second}")
        if shown.target is not None:
            dataset = self._session.dataset
            space = (dataset.label_space if dataset is not None else None) or desk.space
            parts.append(f"ground truth {_name(space, int(shown.target[row, col]))}")
        if shown.entropy is not None:
            parts.append(f"entropy {shown.entropy[row, col] / 255:.2f}")
        return "   ·   ".join(parts)


def _name(space: LabelSpace | None, value: int) -> str:
    if space is None:
        return str(value)
    return short_name(space.classes[value].name) if value < len(space) else "unlabelled"
