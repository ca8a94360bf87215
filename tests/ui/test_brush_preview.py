"""The brush's outline stands where the cursor is, however it came there."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPointF
from PySide6.QtGui import QEnterEvent

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
