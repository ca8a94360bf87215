"""Replacing a class in many images from the window: asked, counted, done, undone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from segstudio.datasets.images import read_source_map
from segstudio.ui.app import Application
from segstudio.ui.dialogs.replace_class import ReplaceClassDialog

TIMEOUT = 20_000


@pytest.fixture
def correcting(application: Application, qtbot) -> Application:
    """The window in Correct with one stroke that is not saved."""
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)
    application.edit.choose_class(5)
    viewport = application.window.canvas._view.viewport()
    canvas = application.window.canvas
    place = viewport.mapFrom(canvas, canvas.widget_position(30, 40).toPoint())
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=place)
    assert application.edit.correction.document.is_dirty
    return application


def _dialog(application: Application, qtbot) -> ReplaceClassDialog:
    application.window.actions_["replace_class"].trigger()
    dialog = application.replacing.dialog
    assert dialog is not None
    qtbot.waitUntil(lambda: not dialog._counting, timeout=TIMEOUT)
    return dialog


def _choose(dialog: ReplaceClassDialog, before: str, after: str, maps: str, qtbot) -> None:
    for box, wanted in ((dialog._before, before), (dialog._after, after), (dialog._maps, maps)):
        box.setCurrentIndex(box.findData(wanted))
    qtbot.waitUntil(lambda: not dialog._counting, timeout=TIMEOUT)


def _prediction(application: Application, sample_id: str) -> np.ndarray:
    return application.session.read_layer("stored", "labels", sample_id)


def test_the_preview_counts_and_nothing_changes(correcting: Application, qtbot) -> None:
    dialog = _dialog(correcting, qtbot)
    session = correcting.session
    assert dialog._after.currentData() == "Tree", "the class that is painted with"
    _choose(dialog, "Road", "Sky", "", qtbot)
    shown = correcting.edit.correction
    pixels = int((shown.document.label_map == 3).sum())
    assert [(row.sample_id, row.pixels) for row in dialog.rows()] == [(shown.sample_id, pixels)]
    assert "unsaved" in dialog.rows()[0].remark and not dialog.chosen()
    assert not dialog._start.isEnabled()
    _choose(dialog, "Road", "Sky", "stored", qtbot)
    ids = [sample.sample_id for sample in session.dataset.samples]
    counts = {row.sample_id: row.pixels for row in dialog.rows()}
    expected = {key: int((_prediction(correcting, key) == 3).sum()) for key in ids[1:]}
    assert counts == {shown.sample_id: pixels, **expected}
    assert sorted(dialog.chosen()) == ids[1:]
    _choose(dialog, "Sky", "Sky", "stored", qtbot)
    assert "two different classes" in dialog._note.text() and not dialog.rows()
    dialog.reject()
    qtbot.waitUntil(lambda: correcting.replacing.dialog is None, timeout=TIMEOUT)
    assert not session.store.corrected_samples()


def test_ticked_images_are_replaced_and_the_one_shown_goes_on(
    correcting: Application, qtbot, dataset_folder: Path
) -> None:
    session, shown = correcting.session, correcting.edit.correction
    painted = np.array(shown.document.label_map)
    ids = [sample.sample_id for sample in session.dataset.samples]
    before = {key: _prediction(correcting, key) for key in ids}
    dialog = _dialog(correcting, qtbot)
    _choose(dialog, "Road", "Sky", "stored", qtbot)
    model = dialog._rows
    for row in range(model.rowCount()):
        wanted = model.rows[row].sample_id != ids[2]
        state = Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked
        model.setData(model.index(row, 0), state.value, Qt.ItemDataRole.CheckStateRole)
    assert dialog._start.text() == "Replace in 3 images"
    dialog.accept()

    def done() -> bool:
        jobs = [job for job in session.jobs() if job.title == "Replace Road by Sky"]
        again = correcting.edit.correction
        return bool(jobs) and jobs[0].state == "done" and again is not None

    qtbot.waitUntil(done, timeout=TIMEOUT)
    before[ids[0]] = painted
    for key in (ids[0], ids[1], ids[3]):
        found = read_source_map(session.layout.correction(key))
        np.testing.assert_array_equal(found, np.where(before[key] == 3, 0, before[key]))
    assert not session.layout.correction(ids[2]).exists()
    qtbot.waitUntil(
        lambda: correcting.window.samples.status(ids[3]) == "corrected", timeout=TIMEOUT
    )
    # The image shown is open again, and its replacement is the last stroke of its history.
    document = correcting.edit.correction.document
    assert document is not shown.document
    np.testing.assert_array_equal(document.label_map, np.where(painted == 3, 0, painted))
    overlay = correcting.desk.labels["correction"]
    assert overlay.labels is document.label_map
    correcting.window.actions_["undo"].trigger()
    qtbot.waitUntil(lambda: document.history.can_redo, timeout=TIMEOUT)
    np.testing.assert_array_equal(document.label_map, painted)
