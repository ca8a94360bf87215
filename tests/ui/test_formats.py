"""Opening as another format, and naming colours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PySide6.QtWidgets import QDialog, QPushButton

from segstudio.datasets.base import FORMATS
from segstudio.datasets.color_naming import MaskColor
from segstudio.ui.dialogs.colors import ColorsDialog
from segstudio.ui.dialogs.open_as import FormatDialog

TIMEOUT = 30_000
FORMAT_WORDS = {name: entry.description for name, entry in FORMATS.items()}


def notice(application: Any) -> str:
    """Return what the strip about opening says, "" while there is none."""
    found = application.window.notices.notice("opened")
    return "" if found is None else found.text


def press(application: Any, text: str) -> None:
    strip = application.window.notices.notice("opened")
    next(b for b in strip.findChildren(QPushButton) if b.text() == text).click()


def test_what_it_looks_like_comes_first_and_ties_are_told(qtbot) -> None:
    ranking = [(0.9, "voc"), (0.9, "coco"), (0.5, "folder")]
    dialog = FormatDialog("coco", ranking, FORMAT_WORDS)
    qtbot.addWidget(dialog)
    rows = [dialog.list.item(row).text().split("\n")[0] for row in range(dialog.list.count())]
    assert rows[0] == "voc  —  fits as well as another (0.90)"
    assert rows[2] == "folder  —  may fit (0.50)" and len(rows) == len(FORMATS.names())
    assert dialog.choice() == "coco"
    dialog.options.setText("every=3")
    assert dialog.choice() == "coco:every=3"


def test_a_folder_is_opened_as_another_format(
    start, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    application = start(dataset_folder)
    assert application.session.dataset.format == "paired"
    monkeypatch.setattr(FormatDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    monkeypatch.setattr(FormatDialog, "choice", lambda _self: "folder")
    press(application, "Change…")
    qtbot.waitUntil(lambda: application.session.dataset.format == "folder", timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "Opened as folder" in notice(application), timeout=TIMEOUT)


def test_the_chosen_format_is_remembered_for_its_folder(
    start, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    application = start(dataset_folder)
    monkeypatch.setattr(FormatDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    monkeypatch.setattr(FormatDialog, "choice", lambda _self: "folder")
    press(application, "Change…")
    qtbot.waitUntil(lambda: application.session.dataset.format == "folder", timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "Opened as folder:" in notice(application), timeout=TIMEOUT)
    again = start(dataset_folder)
    assert again.session.dataset.format == "folder"
    assert "Opened as folder, as you chose before:" in notice(again)
    again.session.settings.remember_format(dataset_folder, "cityscapes")
    lost = start(dataset_folder)
    assert lost.session.dataset.format == "paired"
    assert "no more as cityscapes" in notice(lost) and "leftImg8bit/" in notice(lost)


def test_unnamed_colours_are_named_and_saved(
    start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    root = tmp_path / "set"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
        picture = np.full((32, 48, 3), (10, 20, 200), np.uint8)
        picture[:8] = (9, 90, 9)
        cv2.imwrite(str(root / folder / "a.png"), picture)
    application = start(root)

    def fill(dialog: ColorsDialog) -> QDialog.DialogCode:
        assert not dialog._save.isEnabled() and "at least one" in dialog._hint.text()
        dialog.table.item(0, 2).setText("brick")
        assert dialog._save.isEnabled()
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(ColorsDialog, "exec", fill)
    press(application, "Name the colours…")
    qtbot.waitUntil(
        lambda: list(application.session.dataset.label_space.names) == ["brick"], timeout=TIMEOUT
    )
    space = json.loads((root / "label_space.json").read_text())
    assert space["classes"][0]["color"] == [200, 20, 10]
    assert space["ignored_colors"] == [[9, 90, 9]]


def test_a_name_twice_is_refused_in_the_dialog(qtbot) -> None:
    colors = [MaskColor((1, 2, 3), 5, 1, 0.5), MaskColor((250, 250, 250), 5, 1, 0.5)]
    dialog = ColorsDialog(colors)
    qtbot.addWidget(dialog)
    for row in range(2):
        dialog.table.item(row, 2).setText("same")
    assert "stands twice" in dialog._hint.text() and not dialog._save.isEnabled()
