"""The brush's outline stands where the cursor is, however it came there."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPointF
from PySide6.QtGui import QCursor, QEnterEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QHBoxLayout, QWidget

from segstudio.ui.canvas.image_canvas import ImageCanvas

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a window


@pytest.mark.parametrize("entered_first", [True, False])
def test_the_outline_is_at_a_cursor_that_rests(qtbot, entered_first: bool) -> None:
    canvas = ImageCanvas()
    qtbot.addWidget(canvas)
    canvas.resize(300, 200)
    canvas.set_image(np.zeros((40, 60, 3), np.uint8))
    canvas.show()
    qtbot.waitExposed(canvas)
    viewport, place = canvas._view.viewport(), QPointF(120.0, 90.0)

    def choose_brush() -> None:
        canvas.set_interaction("paint")
        canvas.set_brush_preview(10)

    if not entered_first:
        choose_brush()
    QCoreApplication.sendEvent(viewport, QEnterEvent(place, place, place))
    if entered_first:
        assert not canvas._preview.isVisible()
        choose_brush()
    else:
        assert canvas._preview.isVisible()
    assert canvas._preview.pos() == place
    QCoreApplication.sendEvent(viewport, QEvent(QEvent.Type.Leave))
    assert not canvas._preview.isVisible()


def test_the_outline_stays_at_the_cursor_when_panels_come_and_go(
    qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, panel, canvas = QWidget(), QWidget(), ImageCanvas()
    layout = QHBoxLayout(window)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addWidget(panel)
    layout.addWidget(canvas, 1)
    panel.setFixedWidth(120)
    panel.hide()
    qtbot.addWidget(window)
    window.resize(500, 300)
    canvas.set_image(np.zeros((40, 60, 3), np.uint8))
    window.show()
    qtbot.waitExposed(window)
    canvas.set_interaction("paint")
    canvas.set_brush_preview(10)
    viewport, preview = canvas._view.viewport(), canvas._preview
    place = QPointF(300.0, 90.0)
    resting = viewport.mapToGlobal(place.toPoint())
    # Qt itself tells the cursor's place again when widgets move: not that of a test before.
    QTest.mouseMove(viewport, place.toPoint())
    monkeypatch.setattr(QCursor, "pos", lambda: resting)
    monkeypatch.setattr(viewport, "underMouse", lambda: True)
    QCoreApplication.sendEvent(viewport, QEnterEvent(place, place, place))
    assert preview.pos() == place
    moved = QPointF(180.0, 90.0)
    for shown, expected in ((True, moved), (False, place)):
        panel.setVisible(shown)
        qtbot.waitUntil(lambda expected=expected: preview.pos() == expected)
        assert viewport.mapToGlobal(preview.pos().toPoint()) == resting
        assert preview.isVisible()
    # A stroke under way keeps the outline where its events put it.
    canvas._input._stroke = object()  # type: ignore[assignment]
    panel.show()
    qtbot.waitUntil(lambda: viewport.width() == 380)
    QCoreApplication.processEvents()
    assert preview.pos() == place
    canvas._input._stroke = None
