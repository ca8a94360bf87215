"""The tools in the window: column, options, figures of several clicks, protection, threads."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QInputDevice, QKeySequence, QPointingDevice, QTabletEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox, QComboBox, QSpinBox, QToolButton

from segstudio.core.types import BBox
from segstudio.datasets.images import read_source_map
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tool import TOOLS, EditingTool, sorted_tools
from segstudio.ui.app import Application
from segstudio.ui.canvas.previews import OutlinePreview, SegmentsPreview
from segstudio.ui.models.legend import LegendModel

TIMEOUT = 10_000
LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton


@pytest.fixture
def correcting(application: Application, qtbot) -> Application:
    """The window in Correct, with class 7 active and no prediction laid over."""
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    application.edit.choose_class(7)
    application.window.activateWindow()
    return application


def _at(application: Application, row: float, col: float) -> QPoint:
    canvas = application.window.canvas
    return canvas._view.viewport().mapFrom(canvas, canvas.widget_position(row, col).toPoint())


def _click(application: Application, row: float, col: float, button=LEFT) -> None:
    viewport = application.window.canvas._view.viewport()
    QTest.mouseClick(viewport, button, pos=_at(application, row, col))


def _drag(application: Application, *points: tuple[float, float]) -> None:
    viewport = application.window.canvas._view.viewport()
    QTest.mousePress(viewport, LEFT, pos=_at(application, *points[0]))
    for point in points[1:]:
        QTest.mouseMove(viewport, _at(application, *point))
        QApplication.processEvents()
    QTest.mouseRelease(viewport, LEFT, pos=_at(application, *points[-1]))


def _tool(application: Application, name: str) -> None:
    application.window.actions_[f"tool_{name}"].trigger()


def _settle(application: Application, qtbot) -> None:
    qtbot.waitUntil(lambda: not application.edit._painter.is_working, timeout=TIMEOUT)


def _map(application: Application) -> np.ndarray:
    correction = application.edit.correction
    assert correction is not None
    return np.array(correction.document.label_map)


def _corners(application: Application) -> int:
    return application.edit._painter._shape.corners


def _outline(application: Application) -> OutlinePreview:
    return application.edit._painter._outline


def _notice(application: Application, topic: str) -> str:
    notice = application.window.notices.notice(topic)
    return "" if notice is None else notice.text


# -- column and strip -------------------------------------------------------------------------


def test_every_tool_has_a_button_in_its_place_and_its_own_keys(correcting: Application) -> None:
    column = correcting.window.tool_column
    shown = [button.defaultAction().objectName() for button in column.findChildren(QToolButton)]
    tools = [f"tool_{name}" for name, _ in sorted_tools()]
    assert shown == [*tools, "tool_pick", "tool_pan", "undo", "redo"]
    actions = correcting.window.actions_
    for name, tool in sorted_tools():
        action = actions[f"tool_{name}"]
        assert tool.description in action.toolTip()
        keys = [key.toString() for key in action.shortcuts()]
        assert QKeySequence(tool.shortcut).toString() in keys, "the key was taken"
    counted = Counter(QKeySequence(key).toString() for spec in actions.specs for key in spec.keys)
    assert [key for key, count in counted.items() if count > 1] == []


def test_a_plugins_tool_appears_by_itself(application: Application, qtbot) -> None:
    class Stamp(TOOLS.get("rectangle")):  # type: ignore[misc]
        title, shortcut, icon, group = "Stamp", "B", "no such icon", "of a plugin"

    TOOLS.register("stamp")(Stamp)
    try:
        window = application.window
        window.actions_["workspace_correct"].trigger()
        qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
        buttons = window.tool_column.findChildren(QToolButton)
        assert buttons[-5].defaultAction() is window.actions_["tool_stamp"]
        assert window.actions_["tool_stamp"].shortcuts() == [], "B is the brush's"
        application.edit.choose_class(7)
        window.grab()
        _tool(application, "stamp")
        _drag(application, (40, 20), (50, 40))
        _settle(application, qtbot)
        assert (_map(application)[41:49, 21:39] == 7).all()
    finally:
        TOOLS.withdraw({"stamp"})


def test_the_strip_shows_the_tools_options_and_remembers_them(
    correcting: Application, qtbot
) -> None:
    strip = correcting.window.tool_strip

    def shown() -> set[str]:
        kinds = (QSpinBox, QComboBox, QCheckBox)
        found = [widget for kind in kinds for widget in strip.findChildren(kind)]
        names = {widget.objectName() for widget in found if widget.isVisible()}
        return {name for name in names if name.startswith("option_")}

    assert shown() == {"option_pressure"} and strip._spin.isVisible()
    _tool(correcting, "wand")
    assert shown() == {"option_tolerance", "option_contiguous"} and not strip._spin.isVisible()
    strip.findChild(QSpinBox, "option_tolerance").setValue(99)
    _tool(correcting, "copy")
    assert shown() == {"option_layer", "option_area"} and not strip._spin.isVisible()
    area = strip.findChild(QComboBox, "option_area")
    area.setCurrentIndex(area.findData("brush"))
    area.activated.emit(area.currentIndex())
    assert strip._spin.isVisible(), "now it sweeps"
    _tool(correcting, "wand")
    assert strip.findChild(QSpinBox, "option_tolerance").value() == 99
    assert correcting.edit._painter._tools.options().tolerance == 99
    assert correcting.edit._painter._tools.options().contiguous is True


# -- figures of several clicks ----------------------------------------------------------------


def test_a_polygon_is_painted_when_enter_closes_it(correcting: Application, qtbot) -> None:
    _tool(correcting, "polygon")
    before = _map(correcting)
    finish = correcting.window.actions_["finish_shape"]
    assert not finish.isEnabled()
    for corner in ((10, 10), (10, 60), (50, 60)):
        _click(correcting, *corner)
    assert _corners(correcting) == 3 and _outline(correcting).points == 3
    np.testing.assert_array_equal(_map(correcting), before)
    assert not correcting.edit.correction.document.in_stroke
    QTest.keyClick(correcting.window.canvas._view, Qt.Key.Key_Return)
    _settle(correcting, qtbot)
    after = _map(correcting)
    assert after[12, 50] == 7 and after[40, 15] == before[40, 15]
    assert (after[(before != 7) & (after == 7)] == 7).size > 500
    assert _corners(correcting) == 0 and not _outline(correcting).isVisible()
    assert not finish.isEnabled()
    correcting.window.actions_["undo"].trigger()
    np.testing.assert_array_equal(_map(correcting), before)


@pytest.mark.parametrize("way", ["first corner", "double click", "other button"])
def test_other_ways_to_close_a_polygon(correcting: Application, qtbot, way: str) -> None:
    _tool(correcting, "polygon")
    before = _map(correcting)
    for corner in ((10, 10), (10, 60), (50, 60)):
        _click(correcting, *corner)
    if way == "first corner":
        _click(correcting, 10.4, 10)
    elif way == "double click":
        _click(correcting, 50, 60)
    else:
        _click(correcting, 30, 30, RIGHT)
    _settle(correcting, qtbot)
    after = _map(correcting)
    assert after[12, 50] == 7 and after[45, 15] == before[45, 15]
    assert _corners(correcting) == 0


def test_backspace_takes_a_corner_back_and_esc_all(correcting: Application, qtbot) -> None:
    _tool(correcting, "line")
    before = _map(correcting)
    for corner in ((10, 10), (10, 60), (50, 60)):
        _click(correcting, *corner)
    view = correcting.window.canvas._view
    QTest.keyClick(view, Qt.Key.Key_Backspace)
    assert _corners(correcting) == 2
    correcting.window.actions_["zoom_in"].trigger()
    assert _corners(correcting) == 2, "the view may move meanwhile"
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert _corners(correcting) == 0 and not _outline(correcting).isVisible()
    np.testing.assert_array_equal(_map(correcting), before)


def test_a_line_is_painted_with_the_brushs_width(correcting: Application, qtbot) -> None:
    _tool(correcting, "line")
    correcting.window.tool_strip.set_size(5)
    _click(correcting, 30.5, 20.5)
    _click(correcting, 30.5, 60.5)
    before = _map(correcting)
    correcting.window.actions_["finish_shape"].trigger()
    changed = np.argwhere(_map(correcting) != before)
    assert changed[:, 0].min() >= 28 and changed[:, 0].max() <= 33
    assert (_map(correcting)[29:32, 22:59] == 7).all()


def test_leaving_gives_up_what_was_begun(correcting: Application, qtbot) -> None:
    _tool(correcting, "polygon")
    for begin in (
        lambda: _tool(correcting, "brush"),
        lambda: correcting.window.set_workspace("browse"),
    ):
        _click(correcting, 10, 10)
        assert _corners(correcting) == 1
        begin()
        assert _corners(correcting) == 0
        correcting.window.set_workspace("correct")
        _tool(correcting, "polygon")
    _click(correcting, 10, 10)
    correcting.desk.show("images/1.png")
    assert _corners(correcting) == 0


def test_a_box_and_a_lasso_are_outlined_while_they_are_drawn(
    correcting: Application, qtbot
) -> None:
    viewport = correcting.window.canvas._view.viewport()
    for name in ("rectangle", "lasso"):
        _tool(correcting, name)
        before = _map(correcting)
        QTest.mousePress(viewport, LEFT, pos=_at(correcting, 10, 10))
        for point in ((10, 40), (40, 40)):
            QTest.mouseMove(viewport, _at(correcting, *point))
            QApplication.processEvents()
        assert _outline(correcting).isVisible()
        box = _outline(correcting)._path.boundingRect()
        assert (round(box.left()), round(box.bottom())) == (10, 40)
        correcting.window.grab()
        np.testing.assert_array_equal(_map(correcting), before)
        QTest.mouseRelease(viewport, LEFT, pos=_at(correcting, 40, 40))
        _settle(correcting, qtbot)
        assert not _outline(correcting).isVisible()
        assert _map(correcting)[15, 30] == 7
        correcting.window.actions_["undo"].trigger()


# -- protection -------------------------------------------------------------------------------


def test_a_locked_class_is_not_painted(correcting: Application, qtbot) -> None:
    panel, legend = correcting.window.classes_panel, correcting.window.legend
    before = _map(correcting)
    locked = int(before[41, 21])
    view = panel.view
    index = panel._proxy.mapFromSource(legend.index(locked, LegendModel.LOCK))
    QTest.mouseClick(view.viewport(), LEFT, pos=view.visualRect(index).center())
    assert legend.locked == {locked}
    assert correcting.window.tool_strip.protect.text() == "1 locked"
    _tool(correcting, "rectangle")
    _drag(correcting, (10, 5), (60, 90))
    _settle(correcting, qtbot)
    after = _map(correcting)
    np.testing.assert_array_equal(after == locked, before == locked)
    assert (after[12:58, 7:88][before[12:58, 7:88] != locked] == 7).all()
    correcting.window.tool_strip.protect._unlock.trigger()
    assert legend.locked == frozenset()


def test_alt_and_a_click_lock_the_others(correcting: Application) -> None:
    legend = correcting.window.legend
    legend.lock_others(3)
    assert legend.locked == set(range(11)) - {3}
    legend.lock_others(3)
    assert legend.locked == frozenset()


@pytest.mark.parametrize("rule", ["unlabelled", "class", "entropy"])
def test_the_rules_of_the_protect_button_hold(correcting: Application, qtbot, rule: str) -> None:
    protect = correcting.window.tool_strip.protect
    before = _map(correcting)
    if rule == "unlabelled":
        _tool(correcting, "rectangle")
        viewport = correcting.window.canvas._view.viewport()
        QTest.mousePress(viewport, RIGHT, pos=_at(correcting, 20, 20))
        QTest.mouseMove(viewport, _at(correcting, 30, 30))
        QTest.mouseRelease(viewport, RIGHT, pos=_at(correcting, 30, 30))
        _settle(correcting, qtbot)
        before = _map(correcting)
        assert (before == 255).any()
        protect.unlabelled.trigger()
        may = before == 255
    elif rule == "class":
        other = int(before[41, 21])
        correcting.edit.choose_class(other)
        protect.over_class.trigger()
        correcting.edit.choose_class(7)
        may = before == other
        assert "over " in protect.text()
    else:
        protect.entropy.set_above(0.5)  # the stored run has 128 of 255 everywhere
        may = np.ones(before.shape, bool)
    _tool(correcting, "rectangle")
    _drag(correcting, (-5, -5), (70, 100))
    _settle(correcting, qtbot)
    np.testing.assert_array_equal(_map(correcting), np.where(may, 7, before))
    if rule == "entropy":
        correcting.window.actions_["undo"].trigger()
        protect.entropy.set_above(0.51)
        _drag(correcting, (10, 10), (50, 50))
        _settle(correcting, qtbot)
        np.testing.assert_array_equal(_map(correcting), before)
        assert "protected" in _notice(correcting, "correct")


# -- threads ----------------------------------------------------------------------------------


def test_a_slow_tool_leaves_the_window_free_and_cannot_be_painted_into(
    correcting: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, find, threads = threading.Event(), StrokeDriver.find, []

    def slow(self: StrokeDriver, events):
        threads.append(threading.current_thread())
        gate.wait(20)
        return find(self, events)

    monkeypatch.setattr(StrokeDriver, "find", slow)
    _tool(correcting, "fill")
    before = _map(correcting)
    value = int(before[41, 21])
    _click(correcting, 41.5, 21.5)
    qtbot.waitUntil(lambda: bool(threads), timeout=TIMEOUT)
    assert threads[0] is not threading.main_thread()
    qtbot.waitUntil(lambda: QApplication.overrideCursor() is not None, timeout=TIMEOUT)
    _tool(correcting, "brush")
    _drag(correcting, (10, 10), (10, 50))
    np.testing.assert_array_equal(_map(correcting), before)
    gate.set()
    _settle(correcting, qtbot)
    after = _map(correcting)
    assert after[41, 21] == 7 and (before[after != before] == value).all()
    assert QApplication.overrideCursor() is None


def test_the_answer_for_an_image_left_meanwhile_is_dropped(
    correcting: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, find = threading.Event(), StrokeDriver.find
    done = threading.Event()

    def slow(self: StrokeDriver, events):
        gate.wait(20)
        patch = find(self, events)
        done.set()
        return patch

    monkeypatch.setattr(StrokeDriver, "find", slow)
    _tool(correcting, "fill")
    left = correcting.edit.correction
    _click(correcting, 41.5, 21.5)
    correcting.desk.show("images/1.png")
    assert not correcting.edit._painter.is_working
    gate.set()
    qtbot.waitUntil(done.is_set, timeout=TIMEOUT)
    correcting.tasks._pool.waitForDone()
    QApplication.processEvents()
    assert left.document.revision == 0
    assert QApplication.overrideCursor() is None
    assert _notice(correcting, "correct") == ""


@pytest.mark.parametrize("way", ["wait", "leave", "save"])
def test_a_large_answer_is_applied_in_parts_and_never_by_half(
    correcting: Application, qtbot, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr("segstudio.editing.driver._PART", 96)
    monkeypatch.setattr("segstudio.ui.controllers.painting._SLICE", 0.0)
    painter, correction = correcting.edit._painter, correcting.edit.correction
    document, before = correction.document, _map(correcting)
    _tool(correcting, "rectangle")
    _drag(correcting, (-5, -5), (70, 100))
    qtbot.waitUntil(lambda: painter._parts is not None, timeout=TIMEOUT)
    assert document.in_stroke and not (document.label_map == 7).all(), "a part of it"
    correcting.window.actions_["undo"].trigger()
    assert document.in_stroke, "nothing is undone meanwhile"
    if way == "wait":
        _settle(correcting, qtbot)
    elif way == "leave":
        with qtbot.waitSignal(correcting.edit.saved, timeout=TIMEOUT):
            correcting.desk.show("images/1.png")
    else:
        correcting.edit.save_if_dirty()
    assert not document.in_stroke and not painter.is_working
    assert (document.label_map == 7).all()
    if way == "leave":
        stored = correcting.session.layout.correction(correction.sample_id)
        assert (read_source_map(stored) == 7).all()
        return
    assert document.is_dirty == (way == "wait")
    if way == "save":
        QApplication.processEvents()
        correcting.window.actions_["undo"].trigger()
        np.testing.assert_array_equal(_map(correcting), before)


def test_superpixels_of_the_view_are_found_in_a_thread_and_painted(
    correcting: Application, qtbot
) -> None:
    tools = correcting.edit._painter._tools
    _tool(correcting, "superpixels")
    _click(correcting, 41.5, 21.5)
    assert "superpixels" in _notice(correcting, "correct"), "not found yet"
    qtbot.waitUntil(lambda: tools._segments is not None, timeout=TIMEOUT)
    segments, borders = tools._segments, tools._borders
    assert segments.box == BBox(0, 0, 64, 96)
    assert isinstance(borders, SegmentsPreview) and borders.isVisible()
    correcting.window.grab()
    before = _map(correcting)
    _click(correcting, 41.5, 21.5)
    number = segments.labels[41, 21]
    np.testing.assert_array_equal(_map(correcting), np.where(segments.labels == number, 7, before))
    correcting.window.canvas.set_scale(20.0)
    assert not borders.isVisible(), "the view moved"
    before = _map(correcting)
    correcting.window.notices.dismiss("correct")
    _click(correcting, 32.5, 48.5)
    assert "superpixels" in _notice(correcting, "correct"), "those of another view do not count"
    np.testing.assert_array_equal(_map(correcting), before)
    qtbot.waitUntil(lambda: tools._segments is not segments, timeout=TIMEOUT)
    assert tools._segments.box.width < 96
    _tool(correcting, "brush")
    assert not borders.isVisible()


def test_a_tool_without_its_layer_says_so(start, dataset_folder: Path, qtbot) -> None:
    application = start(dataset_folder)
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    _tool(application, "model-wand")
    _click(application, 41.5, 21.5)
    _settle(application, qtbot)
    assert "run a model" in _notice(application, "correct")
    assert application.edit.correction.document.revision == 0


def test_copy_takes_the_prediction_back(correcting: Application, qtbot) -> None:
    before = _map(correcting)
    _tool(correcting, "rectangle")
    _drag(correcting, (22, 15), (27, 45))
    _settle(correcting, qtbot)
    assert (_map(correcting) != before).any()
    _tool(correcting, "copy")
    _click(correcting, 24.5, 30.5)
    _settle(correcting, qtbot)
    region = before[22:27, 15:45]
    np.testing.assert_array_equal(_map(correcting)[22:27, 15:45], region)
    assert isinstance(TOOLS.get("copy")(), EditingTool)


def _pen(application: Application, way: list[tuple[float, float, float]], *, end: str) -> None:
    """Draw with a pen: rows, columns and pressures from touch to lift, by its tip or its eraser."""
    kind = getattr(QPointingDevice.PointerType, end)
    pen = QPointingDevice(
        "pen", 7, QInputDevice.DeviceType.Stylus, kind, QInputDevice.Capability.Pressure, 1, 3
    )
    viewport = application.window.canvas._view.viewport()
    types = [QEvent.Type.TabletPress, *[QEvent.Type.TabletMove] * (len(way) - 1)]
    lift = (*way[-1][:2], 0.0)
    for type_, (row, col, pressure) in zip(
        [*types, QEvent.Type.TabletRelease], [*way, lift], strict=True
    ):
        place = QPointF(_at(application, row, col))
        moving = type_ is QEvent.Type.TabletMove
        event = QTabletEvent(
            type_, pen, place, QPointF(viewport.mapToGlobal(place)), pressure,
            0.0, 0.0, 0.0, 0.0, 0.0, Qt.KeyboardModifier.NoModifier,
            Qt.MouseButton.NoButton if moving else LEFT,
            Qt.MouseButton.NoButton if type_ is QEvent.Type.TabletRelease else LEFT,
        )  # fmt: skip
        QApplication.sendEvent(viewport, event)
        assert event.isAccepted()


@pytest.mark.parametrize("name", ["brush", "eraser"])
def test_a_pens_pressure_sets_the_size_when_asked(
    correcting: Application, qtbot, name: str
) -> None:
    assert correcting.edit.correction is not None
    document = correcting.edit.correction.document
    value = 7 if name == "brush" else document.ignore_index
    _tool(correcting, name)
    strip = correcting.window.tool_strip
    strip.set_size(20)
    before = document.label_map.copy()
    way = [(30.0, 20.0, 0.25), (30.0, 40.0, 0.25), (30.0, 60.0, 1.0), (30.0, 75.0, 1.0)]
    # As it comes, the pressure does not matter.
    _pen(correcting, way, end="Pen")
    rows = slice(20, 40)
    assert (document.label_map[rows, 20:76] == value).all()
    correcting.edit.travel("undo")
    qtbot.waitUntil(lambda: np.array_equal(document.label_map, before), timeout=TIMEOUT)
    choice = strip.findChild(QComboBox, "option_pressure")
    assert strip.findChild(QSpinBox, "option_lightest") is None
    choice.setCurrentIndex(choice.findData("size"))
    choice.activated.emit(choice.currentIndex())
    lightest = strip.findChild(QSpinBox, "option_lightest")
    lightest.setValue(0)
    _pen(correcting, way, end="Pen")
    changed = document.label_map != before
    assert not changed[:, 30][:27].any() and not changed[:, 30][33:].any()  # 5 rows of 20
    assert (document.label_map[28:32, 30] == value).all()
    assert (document.label_map[rows, 70] == value).all()
    assert 5 < np.count_nonzero(document.label_map[rows, 50] == value) < 20
    # The other paint tool has the same hand, and so has the next start.
    _tool(correcting, "eraser" if name == "brush" else "brush")
    assert strip.findChild(QComboBox, "option_pressure").currentData() == "size"
    assert correcting.settings.get("pen") == {"pressure": "size", "lightest": 0}


def test_the_eraser_end_of_a_pen_erases(correcting: Application) -> None:
    assert correcting.edit.correction is not None
    document = correcting.edit.correction.document
    correcting.window.tool_strip.set_size(9)
    _pen(correcting, [(30.0, 20.0, 0.6), (30.0, 60.0, 0.6)], end="Eraser")
    assert (document.label_map[27:33, 20:60] == document.ignore_index).all()


def test_what_the_rules_protect_is_veiled_while_they_are_chosen(correcting: Application) -> None:
    assert correcting.edit.correction is not None
    document = correcting.edit.correction.document
    window, protect = correcting.window, correcting.window.tool_strip.protect
    veil = correcting.edit._painter._allowed.veil
    menu = protect.menu()
    menu.aboutToShow.emit()
    assert not veil.isVisible(), "everything may be painted"
    window.legend.set_locked(3, True)
    protect.changed.emit()
    assert veil.isVisible()
    height, width = document.shape
    drawn = veil._pixels != 0
    step = height // drawn.shape[0]
    np.testing.assert_array_equal(drawn, document.label_map[::step, ::step] == 3)
    assert (veil.boundingRect().height(), veil.boundingRect().width()) == (height, width)
    window.legend.set_locked(3, False)
    protect.entropy.slider.setValue(49)  # the stored run has 128 of 255 everywhere
    assert protect.entropy_above == 0.49 and "0.49" in protect.text()
    assert veil.isVisible() and not veil._pixels.any()
    protect.entropy.slider.setValue(60)
    assert veil._pixels.all()
    menu.aboutToHide.emit()
    assert not veil.isVisible() and protect.entropy_above == 0.6
    protect.entropy.box.setChecked(False)
    assert protect.entropy_above is None and protect.text() == "Protect"


def test_an_image_is_in_progress_until_every_stroke_is_undone(
    correcting: Application, qtbot
) -> None:
    samples, shown = correcting.window.samples, correcting.desk.sample_id
    before = samples.status(shown)
    _drag(correcting, (20.0, 20.0), (30.0, 60.0))
    assert samples.status(shown) == "in progress" != before
    correcting.edit.travel("undo")
    qtbot.waitUntil(lambda: samples.status(shown) == before, timeout=TIMEOUT)
    correcting.edit.travel("redo")
    qtbot.waitUntil(lambda: samples.status(shown) == "in progress", timeout=TIMEOUT)
    correcting.edit.save()
    qtbot.waitUntil(lambda: samples.status(shown) == "corrected", timeout=TIMEOUT)
