"""The list of strokes: what it shows, where a click goes, what survives an image switch."""

from __future__ import annotations

import time

import numpy as np
import pytest

from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.ui.app import Application
from segstudio.ui.dialogs.history import HistoryModel

TIMEOUT = 10_000


@pytest.fixture
def correcting(application: Application, qtbot) -> Application:
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    return application


def _paint(application: Application, row: int, value: int) -> None:
    document = application.edit.correction.document
    box = BBox(row + 2, 0, row + 6, 20)
    value = value if (document.label_map[box.slices] != value).any() else value + 1
    before = document.label_map[box.slices].copy()
    document.apply(MaskPatch(box, before, np.full_like(before, value)))


def _names(model: HistoryModel) -> list[str]:
    return [model.index(row).data() for row in range(model.rowCount())]


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: popups
def test_a_click_goes_to_any_stroke(correcting: Application, qtbot) -> None:
    document = correcting.edit.correction.document
    maps = [document.label_map.copy()]
    for number in range(5):
        _paint(correcting, 8 * number, number)
        maps.append(document.label_map.copy())
    correcting.window.actions_["history"].trigger()
    popover = correcting.history.popover
    assert popover.model.rowCount() == 6 and popover.model.current_row == 5
    assert abs(popover.model.index(3).data(HistoryModel.EntryRole).when - time.time()) < 60
    for count in (2, 0, 5, 4):
        popover.chosen.emit(count)
        # Undoing lets the event loop run as soon as it takes longer than a frame may.
        qtbot.waitUntil(lambda count=count: popover.model.current_row == count, timeout=TIMEOUT)
        np.testing.assert_array_equal(document.label_map, maps[count])
        undone = [entry.undone for entry in document.history.entries()]
        assert undone == [False] * count + [True] * (5 - count)
    popover.chosen.emit(1)
    qtbot.waitUntil(lambda: popover.model.current_row == 1, timeout=TIMEOUT)
    _paint(correcting, 50, 7)
    assert popover.model.rowCount() == 3, "what was undone is gone"
    assert "MB" in popover._size.text() and popover._size.text().startswith("2 strokes here")
    popover.close()


def test_the_history_survives_an_image_switch(correcting: Application, qtbot) -> None:
    first = correcting.edit.correction.document.label_map.copy()
    for number in range(3):
        _paint(correcting, 8 * number, number)
    correcting.desk.show("images/1.png")
    qtbot.waitUntil(
        lambda: (
            correcting.edit.correction is not None
            and correcting.edit.correction.sample_id == "images/1.png"
        ),
        timeout=TIMEOUT,
    )
    _paint(correcting, 0, 9)
    correcting.desk.show("images/0.png")
    qtbot.waitUntil(
        lambda: (
            correcting.edit.correction is not None
            and correcting.edit.correction.sample_id == "images/0.png"
        ),
        timeout=TIMEOUT,
    )
    document = correcting.edit.correction.document
    assert len(document.history.entries()) == 3
    correcting.history.jump(0)  # a part at a time on a busy machine
    qtbot.waitUntil(lambda: np.array_equal(document.label_map, first), timeout=TIMEOUT)


def test_the_previous_revision_comes_back_as_a_stroke(correcting: Application, qtbot) -> None:
    window, document = correcting.window, correcting.edit.correction.document
    window.actions_["previous_revision"].trigger()
    qtbot.waitUntil(lambda: window.notices.notice("history") is not None, timeout=TIMEOUT)
    assert "no revision before" in window.notices.notice("history").text
    maps = []
    for number in range(2):
        _paint(correcting, 30 * number, 5)
        maps.append(document.label_map.copy())
        with qtbot.waitSignal(correcting.edit.saved, timeout=TIMEOUT):
            window.actions_["save"].trigger()
    window.actions_["previous_revision"].trigger()
    qtbot.waitUntil(lambda: document.is_dirty, timeout=TIMEOUT)
    np.testing.assert_array_equal(document.label_map, maps[0])
    assert document.history.entries()[-1].name == "Previous revision"
    correcting.window.actions_["undo"].trigger()
    np.testing.assert_array_equal(document.label_map, maps[1])


def test_without_an_open_image_it_says_so(application: Application) -> None:
    application.window.actions_["history"].trigger()
    assert application.history.popover is None
    assert "open in Correct" in application.window.notices.notice("history").text
