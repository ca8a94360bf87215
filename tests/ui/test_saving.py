"""Saving in the window: every so often, in a thread, and through a full disk."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import numpy as np
import pytest

from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.datasets.images import read_source_map
from segstudio.editing.journal import recover
from segstudio.session.saving import Saving
from segstudio.ui.app import Application

TIMEOUT = 10_000


def _open(application: Application, qtbot) -> None:
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)


def _stroke(application: Application, row: int) -> None:
    """Paint with the driver, as the pointer does: what the journal refuses is told."""
    from segstudio.core.pointer import PointerEvent, PointerKind

    application.edit.choose_class(7)
    for kind, column in ((PointerKind.PRESS, 10), (PointerKind.RELEASE, 60)):
        application.edit._painter._on_pointer(PointerEvent(kind, row, column))


def test_what_is_painted_is_saved_by_itself(
    application: Application, dataset_folder: Path, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segstudio.ui.controllers.saving._IDLE_MS", 0)
    application.session.settings.set("autosave_seconds", 0.05)
    _open(application, qtbot)
    with qtbot.waitSignal(application.edit.saved, timeout=TIMEOUT):
        _stroke(application, 40)
    correction = application.edit.correction
    assert not correction.document.is_dirty and correction.continues_revision
    saved = read_source_map(dataset_folder / ".segstudio/corrections/images/0.png.png")
    np.testing.assert_array_equal(saved, correction.document.label_map)
    assert application.window.samples.status("images/0.png") == "corrected"


def test_nothing_is_saved_by_itself_while_somebody_paints(application: Application, qtbot) -> None:
    _open(application, qtbot)
    saver, document = application.edit._saver, application.edit.correction.document
    _stroke(application, 40)
    saver._on_interval()
    assert not saver.is_saving and saver._soon.isActive(), "painted on a moment ago"
    document.begin_stroke("Brush")
    saver._since_change.invalidate()
    saver._try()
    assert not saver.is_saving
    document.abort_stroke()
    application.session.settings.set("autosave_seconds", 0)
    saver.follow(application.edit.correction)
    assert not saver._interval.isActive(), "0 is never"


def test_a_stroke_during_a_save_asks_for_another(
    application: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open(application, qtbot)
    saver, document = application.edit._saver, application.edit.correction.document
    painted, write = threading.Event(), Saving.write

    def late(saving: Saving) -> bool:
        assert painted.wait(TIMEOUT / 1000)
        return write(saving)

    monkeypatch.setattr(Saving, "write", late)
    _stroke(application, 40)
    application.edit.save()
    box = BBox(0, 0, 8, 8)
    before = document.label_map[box.slices].copy()
    document.apply(MaskPatch(box, before, np.full_like(before, 4)))
    painted.set()
    qtbot.waitUntil(lambda: not saver.is_saving, timeout=TIMEOUT)
    saver._soon.setInterval(0)
    qtbot.waitUntil(lambda: not document.is_dirty, timeout=TIMEOUT)


def test_a_full_disk_is_one_sentence_and_painting_goes_on(
    application: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open(application, qtbot)
    notices, correction = application.window.notices, application.edit.correction
    application.edit._saver._retry.setInterval(10)

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("segstudio.editing.journal._write_all", full)
        _stroke(application, 20)
        _stroke(application, 40)
        assert correction.journal.pending == 2
        assert "the disk is full" in notices.notice("correct").text
        assert [topic for topic in notices.topics() if "full" in notices.notice(topic).text] == [
            "correct"
        ]
        assert (correction.document.label_map[40, 10:60] == 7).all()
    qtbot.waitUntil(lambda: "room again" in notices.notice("correct").text, timeout=TIMEOUT)
    assert correction.journal.pending == 0
    found = recover(correction.journal.path)
    assert found is not None and len(found.strokes) == 2
