"""Exports and imports from the window."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QDialog, QMessageBox, QPushButton

from segstudio.core.errors import UsageError
from segstudio.exporters.base import EXPORTERS
from segstudio.ui.controllers import transfer
from segstudio.ui.dialogs.export import ExportChoice, ExportDialog, ExporterChoice, ask_existing
from segstudio.ui.dialogs.import_run import ImportDialog

TIMEOUT = 30_000


def notice(application: Any, topic: str) -> str:
    found = application.window.notices.notice(topic)
    return "" if found is None else found.text


@pytest.fixture
def exporters() -> list[ExporterChoice]:
    return [ExporterChoice(n, entry.description, entry.Options) for n, entry in EXPORTERS.items()]


def test_the_options_of_each_exporter_are_a_form(qtbot, exporters, tmp_path: Path) -> None:
    dialog = ExportDialog([("ground-truth", "Ground truth")], exporters, tmp_path)
    qtbot.addWidget(dialog)
    for entry in exporters:
        dialog._exporter.setCurrentIndex(dialog._exporter.findData(entry.name))
        assert dialog.choice().options == entry.options()
        assert dialog._hint.text() == entry.description
    dialog._exporter.setCurrentIndex(dialog._exporter.findData("corrected"))
    box: Any = dialog.findChild(object, "option_provenance")
    box.setChecked(False)
    assert dialog.choice().options.provenance is False


def test_what_cannot_be_expressed_is_said_or_refused(qtbot, exporters, tmp_path: Path) -> None:
    def remarks(what: str, name: str, options: Any) -> list[str]:
        if name == "voc":
            raise UsageError("VOC cannot hold these classes.")
        return ["Ignored pixels are lost."] if name == "cvat-mask" else []

    dialog = ExportDialog([("x", "X")], exporters, tmp_path, remarks=remarks)
    qtbot.addWidget(dialog)
    for name, words, ready in (
        ("cvat-mask", "Ignored pixels are lost.", True),
        ("voc", "VOC cannot hold these classes.", False),
        ("index-png", "", True),
    ):
        dialog._exporter.setCurrentIndex(dialog._exporter.findData(name))
        assert dialog.note.text() == words and dialog.note.isHidden() == (not words)
        assert dialog._start.isEnabled() is ready
    dialog._folder.setText("  ")
    assert not dialog._start.isEnabled()


@pytest.mark.parametrize(
    ("title", "answer"),
    [("Skip them", "keep"), ("Replace", "replace"), ("Other folder…", "other"), ("Cancel", None)],
)
def test_the_question_about_files_that_are_there(
    qtbot, monkeypatch: pytest.MonkeyPatch, title: str, answer: str | None
) -> None:
    asked = []

    def press(box: QMessageBox) -> int:
        asked.append(box.text())
        button = next(b for b in box.buttons() if b.text().replace("&", "") == title)
        monkeypatch.setattr(box, "clickedButton", lambda: button, raising=False)
        monkeypatch.setattr(QMessageBox, "clickedButton", lambda _self: button)
        return 0

    monkeypatch.setattr(QMessageBox, "exec", press)
    from PySide6.QtWidgets import QWidget

    parent = QWidget()
    qtbot.addWidget(parent)
    assert ask_existing(parent, Path("/x"), 2, 5, "a.png") == answer
    assert asked == ["2 of the 5 files of this export are in /x already."]


@pytest.mark.parametrize("answer", ["keep", "replace", "other", None])
def test_nothing_is_replaced_without_asking(
    start, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot, answer
) -> None:
    application = start(dataset_folder)
    out = tmp_path / "out"
    choice = ExportChoice("ground-truth", "index-png", out)
    monkeypatch.setattr(ExportDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    monkeypatch.setattr(ExportDialog, "choice", lambda _self: choice)
    application.transfer.export()
    qtbot.waitUntil(lambda: "files in" in notice(application, "export"), timeout=TIMEOUT)
    mine = next(out.rglob("3.png"))
    mine.write_bytes(b"mine")
    asked: list[Any] = []
    elsewhere = tmp_path / "elsewhere"

    def ask(_parent: Any, folder: Path, there: int, total: int, first: str) -> str | None:
        asked.append((folder, there == total, bool(first)))
        return answer

    monkeypatch.setattr(transfer, "ask_existing", ask)
    monkeypatch.setattr(transfer.QFileDialog, "getExistingDirectory", lambda *_: str(elsewhere))
    application.window.notices.dismiss("export")
    application.transfer.export()
    qtbot.waitUntil(lambda: asked == [(out, True, True)], timeout=TIMEOUT)
    if answer is None:
        qtbot.waitUntil(lambda: notice(application, "export") == "", timeout=TIMEOUT)
    else:
        qtbot.waitUntil(lambda: "files in" in notice(application, "export"), timeout=TIMEOUT)
    assert (mine.read_bytes() == b"mine") == (answer != "replace")
    assert elsewhere.exists() == (answer == "other")


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a strip with a button
def test_notes_of_an_export_can_be_read(
    start, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    application = start(dataset_folder)
    choice = ExportChoice("ground-truth", "cvat-mask", tmp_path / "out")
    monkeypatch.setattr(ExportDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    monkeypatch.setattr(ExportDialog, "choice", lambda _self: choice)
    application.transfer.export()
    qtbot.waitUntil(lambda: "files in" in notice(application, "export"), timeout=TIMEOUT)
    shown: list[str] = []
    monkeypatch.setattr(QMessageBox, "exec", lambda box: shown.append(box.informativeText()))
    strip = application.window.notices.notice("export")
    next(b for b in strip.findChildren(QPushButton) if "note" in b.text()).click()
    assert "Ignored pixels are CVAT's background" in shown[0]


def test_predictions_of_another_program_come_in(
    start, dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    shutil.copytree(dataset_folder / "masks", tmp_path / "theirs")
    application = start(dataset_folder)
    seen: list[ImportDialog] = []

    def fill(dialog: ImportDialog) -> QDialog.DialogCode:
        seen.append(dialog)
        assert not dialog._start.isEnabled()
        dialog.place.setText(str(tmp_path / "theirs"))
        assert dialog.name.text() == "theirs" and dialog._start.isEnabled()
        return QDialog.DialogCode.Accepted

    monkeypatch.setattr(ImportDialog, "exec", fill)
    application.window.actions_["import_predictions"].trigger()
    qtbot.waitUntil(lambda: "4 images in the run" in notice(application, "import"), timeout=TIMEOUT)
    assert application.desk.run == "theirs"
    qtbot.waitUntil(
        lambda: application.desk.shown is not None and application.desk.shown.run == "theirs"
        and application.desk.shown.prediction is not None, timeout=TIMEOUT,
    )  # fmt: skip
    row = application.window.layers_panel._rows["entropy"]
    assert not row.isEnabled() and "another program" in row.toolTip()
    assert (
        json.loads(json.dumps(application.session.evaluate(["theirs"]).to_json()))["runs"][0][
            "pooled"
        ]["miou"]
        == 1.0
    )


def test_a_missing_place_is_said_in_the_dialog(qtbot, tmp_path: Path) -> None:
    dialog = ImportDialog("camvid", ["ade20k", "camvid"], ["a-to-b"], tmp_path)
    qtbot.addWidget(dialog)
    dialog.place.setText(str(tmp_path / "nowhere"))
    assert "There is no" in dialog._hint.text() and not dialog._start.isEnabled()
    (tmp_path / "r.json").write_text("[]")
    dialog.place.setText(str(tmp_path / "r.json"))
    assert not dialog.values.isEnabled() and dialog._start.isEnabled()
    choice = dialog.choice()
    assert (choice.name, choice.label_space, choice.mapping) == ("r", "", "")
