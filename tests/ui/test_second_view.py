"""The second view: one image in two views that move, zoom and are painted in together."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtTest import QTest

from segstudio.ui.app import Application
from segstudio.ui.canvas.image_canvas import ImageCanvas

TIMEOUT = 10_000


@pytest.fixture
def painting(application: Application, qtbot) -> Application:
    window = application.window
    window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: window.canvas.interaction == "paint", timeout=TIMEOUT)
    window.actions_["panel_second"].trigger()
    qtbot.waitUntil(lambda: window.second_view.canvas.image_shape is not None, timeout=TIMEOUT)
    return application


def _choose(application: Application, name: str) -> None:
    choice = application.window.second_view.choice
    choice.setCurrentIndex(choice.findData(name))


def _drag(canvas: ImageCanvas, start: tuple[float, float], end: tuple[float, float]) -> None:
    places: list[QPoint] = [canvas.widget_position(*at).toPoint() for at in (start, end)]
    view = canvas._view.viewport()
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=places[0])
    QTest.mouseMove(view, places[1])
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=places[1])


def test_what_is_painted_in_one_view_is_seen_in_both(painting: Application, qtbot) -> None:
    window, document = painting.window, painting.edit.correction.document
    first, second = window.canvas, window.second_view.canvas
    _choose(painting, "correction")
    window.legend.set_active(2)
    before = np.array(document.label_map)
    for canvas, row in ((second, 10.5), (first, 30.5)):
        strokes = len(document.history.entries())
        _drag(canvas, (row, 8.5), (row, 30.5))
        qtbot.waitUntil(lambda n=strokes: len(document.history.entries()) > n, timeout=TIMEOUT)
    assert (document.label_map[[10, 30], 8:30] == 2).all()
    shown, kept = painting.second_view.labels, painting.desk.labels["correction"]
    np.testing.assert_array_equal(shown.pixels, kept.pixels)
    assert not np.array_equal(document.label_map, before)
    for _ in range(2):
        window.actions_["undo"].trigger()
    qtbot.waitUntil(lambda: np.array_equal(document.label_map, before), timeout=TIMEOUT)
    np.testing.assert_array_equal(shown.pixels, kept.pixels)


def test_views_move_and_zoom_together(painting: Application, qtbot) -> None:
    first, second = painting.window.canvas, painting.window.second_view.canvas
    first.set_scale(4.0, QPointF(20, 20))
    assert second.view_state == first.view_state
    second.zoom_by(1.5)
    second.center_on(12.0, 20.0)
    assert first.view_state == second.view_state and first.scale == 6.0
    painting.window.actions_["fit"].trigger()
    assert first.view_state.fitted and second.view_state.fitted


def test_opening_it_and_another_image_leave_the_first_view_where_it_is(
    application: Application, qtbot
) -> None:
    window = application.window
    window.canvas.set_scale(5.0, QPointF(30, 30))
    state = window.canvas.view_state
    window.show_panel("second")
    second = window.second_view.canvas
    qtbot.waitUntil(lambda: second.image_shape is not None, timeout=TIMEOUT)
    assert window.canvas.view_state == second.view_state == state
    first = application.desk.sample_id
    window.actions_["next_sample"].trigger()
    qtbot.waitUntil(
        lambda: application.desk.shown is not None and application.desk.shown.sample_id != first,
        timeout=TIMEOUT,
    )
    assert window.canvas.view_state == second.view_state == state
    assert application.second_view._image is application.desk.shown.image


def test_it_shows_the_layer_that_is_chosen_and_only_what_there_is(
    painting: Application, qtbot
) -> None:
    window, desk = painting.window, painting.desk
    view = painting.second_view
    overlays = {"labels": view.labels, "scalar": view.scalar, "errors": view.errors}
    for name, kind in (
        ("ground_truth", "labels"),
        ("entropy", "scalar"),
        ("errors", "errors"),
        ("prediction", "labels"),
    ):
        _choose(painting, name)
        np.testing.assert_array_equal(overlays[kind].pixels, desk.overlays[name].pixels)
        assert [key for key, layer in overlays.items() if layer.shape] == [kind]
        assert painting.settings.get("second_view") == name
    window.actions_["toggle_outlines"].trigger()
    np.testing.assert_array_equal(overlays["labels"].pixels, desk.labels["prediction"].pixels)
    window.overlays_held.emit(True)
    assert not overlays["labels"].visible
    window.overlays_held.emit(False)
    assert overlays["labels"].visible
    _choose(painting, "photograph")
    assert not any(layer.shape for layer in overlays.values())
    items = window.second_view.choice.model()
    missing = window.second_view.choice.findData("disagreement")
    assert not items.item(missing).isEnabled()


def test_it_has_the_hand_of_the_first_view_and_holds_nothing_while_hidden(
    painting: Application, qtbot
) -> None:
    window = painting.window
    second = window.second_view.canvas
    assert second.interaction == "paint" and second._brush == window.canvas._brush is not None
    window.tool_strip.set_size(33)
    assert second._brush == window.canvas._brush and second._brush[0] == 33.0
    second._view.setFocus()
    QTest.keyClick(second._view, Qt.Key.Key_D)  # plain keys act here too
    qtbot.waitUntil(lambda: painting.desk.sample_id.endswith("1.png"), timeout=TIMEOUT)
    window.actions_["tool_pan"].trigger()
    assert second.interaction == "pan"
    window.docks["second"].close()
    assert second.image_shape is None and painting.second_view._image is None
