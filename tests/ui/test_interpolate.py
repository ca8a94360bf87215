"""Frames between two corrected ones, from the action to the files and back."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.class_style import OWN_COLORS, ClassStyle
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.ui.app import Application
from segstudio.ui.palettes import set_class_style

TIMEOUT = 10_000
IDS = [f"images/{number}.png" for number in range(4)]


def _said(application: Application) -> str:
    notice = application.window.notices.notice("interpolate")
    return "" if notice is None else notice.text


def _correct(application: Application, sample_id: str, value: int) -> None:
    session = application.session
    document = session.open_correction(sample_id, source="ground-truth").document
    box = BBox(0, 0, *document.shape)
    before = document.label_map.copy()
    document.apply(MaskPatch(box, before, np.full_like(before, value)))
    session.save_correction(sample_id)
    session.corrections.release(sample_id)


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a dialog's size
def test_frames_are_previewed_written_and_taken_back(application: Application, qtbot) -> None:
    window, session = application.window, application.session
    window.actions_["interpolate"].trigger()
    qtbot.waitUntil(lambda: "before and one after" in _said(application), timeout=TIMEOUT)
    _correct(application, IDS[0], 2)
    _correct(application, IDS[3], 5)
    window.actions_["interpolate"].trigger()
    qtbot.waitUntil(lambda: application.interpolate.dialog is not None, timeout=TIMEOUT)
    dialog = application.interpolate.dialog
    assert dialog.slider.maximum() == 1 and dialog.ok.text() == "Write 2 frames"
    qtbot.waitUntil(lambda: not dialog.picture.pixmap().isNull(), timeout=TIMEOUT)
    seen = dialog._pixmap.toImage().pixelColor(50, 30)
    gap = application_gap(application)
    plain = application.interpolate._picture(gap, 0)
    set_class_style(ClassStyle(patterns=True))
    patterned = application.interpolate._picture(gap, 0)
    set_class_style(OWN_COLORS)
    # Class 2 or 5, both with a pattern: lines in another colour over part of the fill.
    assert 0.05 < (plain != patterned).any(axis=2).mean() < 0.6
    dialog.slider.setValue(1)
    qtbot.waitUntil(lambda: dialog._pixmap.toImage().pixelColor(50, 30) != seen, timeout=TIMEOUT)
    dialog.ok.click()
    qtbot.waitUntil(lambda: "2 frames between" in _said(application), timeout=TIMEOUT)
    for name in IDS[1:3]:
        assert session.corrections.read_saved(name) is not None
        qtbot.waitUntil(lambda: window.samples.status(IDS[2]) == "in progress", timeout=TIMEOUT)
    window.actions_["workspace_correct"].trigger()
    application.desk.show(IDS[1])
    qtbot.waitUntil(
        lambda: (
            application.edit.correction is not None
            and application.edit.correction.sample_id == IDS[1]
        ),
        timeout=TIMEOUT,
    )
    assert application.edit.correction.document.history.can_undo
    application.interpolate._take_back(application_gap(application))
    qtbot.waitUntil(lambda: "taken back" in _said(application), timeout=TIMEOUT)
    assert session.corrections.read_saved(IDS[2]) is None


def application_gap(application: Application):
    from segstudio.session.interpolating import Gap

    space = application.session.store.correction_label_space(IDS[0])
    return Gap(IDS[0], IDS[3], tuple(IDS[1:3]), space)
