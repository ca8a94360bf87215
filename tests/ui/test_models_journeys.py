"""From a file or a name to a model: dropping, looking, fetching, running, in the whole window."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QPushButton, QWidget

from segstudio.checkpoints.catalogue import PublishedFile, find_entry
from segstudio.inference.catalogue import embedded_models
from segstudio.session import downloads
from segstudio.session.costs import remember_costs
from segstudio.ui.app import Application
from segstudio.ui.controllers.predict import PredictController
from segstudio.ui.dialogs.models import ModelsDialog
from segstudio.ui.dialogs.run import RunDialog

TIMEOUT = 60_000
"""A process that loads torch takes its time on a busy machine."""
NAME = "tv_fcn_resnet50"
DATA = hashlib.shake_256(b"weights").digest(400_000)
IDS = "images/0.png"


def _notice(application: Application, topic: str = "models") -> str:
    notice = application.window.notices.notice(topic)
    return "" if notice is None else notice.text


def _press(application: Application, title: str) -> None:
    notice = application.window.notices.notice("models")
    assert notice is not None
    next(entry for entry in notice.findChildren(QPushButton) if entry.text() == title).click()


def _titles(application: Application) -> list[str]:
    notice = application.window.notices.notice("models")
    assert notice is not None
    return [entry.text() for entry in notice.findChildren(QPushButton)]


def _dialog(application: Application, qtbot) -> ModelsDialog:
    application.window.actions_["models"].trigger()
    dialog = application.models.dialog
    assert dialog is not None
    qtbot.waitUntil(lambda: dialog.models.rowCount() > 0, timeout=TIMEOUT)
    return dialog


@pytest.fixture
def mine(tiny_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(tiny_model, tmp_path / "mine.safetensors"))


@pytest.fixture
def part(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model without one of its tensors."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(tiny_model, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    del tensors[[name for name in tensors if name.endswith("running_mean")][2]]
    save_file(tensors, tmp_path / "part.safetensors", metadata=metadata)
    return tmp_path / "part.safetensors"


# -- files ------------------------------------------------------------------------------------


def test_a_dropped_checkpoint_is_recognised_shown_and_run(
    application: Application, mine: Path, qtbot
) -> None:
    window = application.window
    window.path_dropped.emit(mine)
    assert "Looking at mine.safetensors" in _notice(application)
    qtbot.waitUntil(lambda: "ENet" in _notice(application), timeout=TIMEOUT)
    expected = "mine.safetensors: ENet, 11 classes of CamVid, 360 k parameters · SegStudio"
    assert _notice(application) == expected
    assert application.desk.sample_id == IDS, "the dataset stays open"
    _press(application, "Details")
    dialog = application.models.dialog
    assert dialog is not None
    qtbot.waitUntil(lambda: dialog.chosen == str(mine), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "filled" in dialog.card.text.toPlainText(), timeout=TIMEOUT)
    row = dialog.models.row_of(str(mine))
    cells = [dialog.models.index(row, column).data() for column in (0, 1, 2, 6)]
    assert cells == ["mine.safetensors", "ENet", "CamVid", "Your file"]
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)
    assert not dialog.isVisible(), "the results are behind it"
    qtbot.waitUntil(lambda: len(application.session.runs()) == 2, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: application.session.jobs()[-1].is_over, timeout=TIMEOUT)
    assert application.session.jobs()[-1].state == "done"


def test_a_checkpoint_that_fits_partly_is_a_report(
    application: Application, part: Path, qtbot
) -> None:
    application.window.path_dropped.emit(part)
    qtbot.waitUntil(lambda: "partly" in _notice(application), timeout=TIMEOUT)
    assert "(1 missing)" in _notice(application)
    assert _titles(application) == ["Details"], "it cannot run"
    _press(application, "Details")
    dialog = application.models.dialog
    assert dialog is not None
    qtbot.waitUntil(lambda: dialog.chosen == str(part), timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "running_mean" in dialog.card.text.toPlainText(), timeout=TIMEOUT)
    assert "What to do" in dialog.card.text.toPlainText()
    assert dialog.run.isVisible() and not dialog.run.isEnabled()
    assert str(part) not in {model.name for model in application.session.models()}
    dialog.remove.click()
    qtbot.waitUntil(lambda: dialog.models.find(str(part)) is None, timeout=TIMEOUT)


def test_what_is_no_checkpoint_is_a_sentence(
    application: Application, tmp_path: Path, qtbot
) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"")
    application.window.path_dropped.emit(path)
    qtbot.waitUntil(lambda: "is not a checkpoint" in _notice(application), timeout=TIMEOUT)
    assert _notice(application) == f"{path} is not a checkpoint: it is an empty file."
    assert str(path) not in {model.name for model in application.session.catalogue()}


def test_a_folder_with_a_checkpoint_is_a_model_and_one_with_images_is_not(
    application: Application, mine: Path, dataset_folder: Path, qtbot
) -> None:
    folder = mine.parent / "folder"
    folder.mkdir()
    shutil.copy(mine, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    application.browse.open(folder)
    qtbot.waitUntil(lambda: "ENet" in _notice(application), timeout=TIMEOUT)
    assert application.desk.sample_id == IDS
    shutil.copy(mine, dataset_folder / "stray.pth")
    application.browse.open(dataset_folder)
    qtbot.waitUntil(lambda: "Opened as" in _notice(application, "opened"), timeout=TIMEOUT)


def _drag(widget: QWidget, path: Path) -> tuple[QDragEnterEvent, QMimeData]:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDragEnterEvent(
        QPoint(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    QApplication.sendEvent(widget, event)
    return event, data


@pytest.mark.parametrize("place", ["canvas", "samples", "search", "classes", "status"])
def test_files_can_be_dropped_anywhere(application: Application, mine: Path, place: str) -> None:
    window = application.window
    widget = {
        "canvas": window.canvas,
        "samples": window.samples_panel.view.viewport(),
        "search": window.samples_panel.search,
        "classes": window.classes_panel,
        "status": window.status,
    }[place]
    dropped: list[Path] = []
    window.path_dropped.disconnect()
    window.path_dropped.connect(dropped.append)
    event, data = _drag(widget, mine)
    assert event.isAccepted()
    assert window.canvas._drop_frame.isVisible()
    target = window.canvas if place == "canvas" else window
    drop = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        data,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    target.dropEvent(drop)
    assert dropped == [mine]
    assert not window.canvas._drop_frame.isVisible()


def test_open_model_asks_for_a_file(
    application: Application, mine: Path, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(_parent: object, _title: str, _folder: str, patterns: str) -> tuple[str, str]:
        asked.append(patterns)
        return str(mine), ""

    monkeypatch.setattr(QFileDialog, "getOpenFileName", ask)
    application.window.actions_["open_model"].trigger()
    assert "*.pth" in asked[0] and "*.safetensors" in asked[0]
    qtbot.waitUntil(lambda: "ENet" in _notice(application), timeout=TIMEOUT)


# -- running ----------------------------------------------------------------------------------


def test_the_run_dialog_is_small_and_leads_to_the_rest(
    application: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []

    def press_more(dialog: RunDialog) -> QDialog.DialogCode:
        shown.append(len(dialog._models))
        buttons = dialog.findChildren(QPushButton)
        next(entry for entry in buttons if entry.text() == "More models…").click()
        return QDialog.DialogCode(dialog.result())

    monkeypatch.setattr(RunDialog, "exec", press_more)
    application.window.actions_["run"].trigger()
    assert shown == [len(embedded_models())], "only embedded models were ever used"
    qtbot.waitUntil(
        lambda: application.models.dialog is not None and application.models.dialog.isVisible(),
        timeout=TIMEOUT,
    )
    dialog = application.models.dialog
    assert dialog is not None
    qtbot.waitUntil(lambda: dialog.models.rowCount() > 100, timeout=TIMEOUT)


def test_running_uses_the_device_chosen_last(
    application: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[object, dict[str, object]]] = []
    monkeypatch.setattr(
        PredictController, "start", lambda _self, names, **rest: started.append((names, rest))
    )
    application.settings.set("device", "cpu")
    dialog = _dialog(application, qtbot)
    dialog.show_model("enet-camvid")
    dialog.run.click()
    assert started == [(["enet-camvid"], {"device": "cpu", "precision": "auto"})]


def test_what_was_measured_here_stands_on_the_card(application: Application, qtbot) -> None:
    remember_costs(
        "enet-camvid",
        {
            "device": "cpu",
            "precision": "fp32",
            "size": [512, 512],
            "images_per_second": 12.34,
            "passes_per_second": 14.0,
            "operations": None,
            "peak_memory": 100_000_000,
        },
    )
    dialog = _dialog(application, qtbot)
    dialog.show_model("enet-camvid")
    qtbot.waitUntil(lambda: "12.34" in dialog.card.text.toPlainText(), timeout=TIMEOUT)


def test_the_dialog_comes_back_as_it_was(application: Application, qtbot) -> None:
    dialog = _dialog(application, qtbot)
    dialog.search.setText("not remembered")
    dialog.datasets.setCurrentIndex(dialog.datasets.findData("ADE20K"))
    dialog.search.clear()
    dialog.close()
    saved = application.settings.get("models_dialog")
    assert saved["dataset"] == "ADE20K" and saved["geometry"]
    application.models.dialog = None
    again = _dialog(application, qtbot)
    assert again is not dialog
    qtbot.waitUntil(lambda: again.datasets.currentData() == "ADE20K", timeout=TIMEOUT)


# -- downloads --------------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """Serves `DATA` under every address, slowly and the first half until it is told to go on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.go_on = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        begin = 0 if wanted is None else int(wanted.removeprefix("bytes=")[:-1])
        self.send_response(206 if begin else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(DATA) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(DATA) - 1}/{len(DATA)}")
        self.end_headers()
        middle = max(begin, len(DATA) // 2)
        with contextlib.suppress(OSError):  # the client may have left
            for start in range(begin, middle, 10_000):  # slowly, so that there is progress
                self.wfile.write(DATA[start : min(start + 10_000, middle)])
                self.wfile.flush()
                self.server.go_on.wait(0.02)
            self.server.go_on.wait(60)
            self.wfile.write(DATA[middle:])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that has the model `NAME`, whose published hash is that of `DATA`."""
    real = find_entry(NAME)
    sha = hashlib.sha256(DATA).hexdigest()[:8]
    changed = replace(real, weights=(PublishedFile(real.url, sha),))
    monkeypatch.setattr(
        downloads, "find_entry", lambda name: changed if name == NAME else find_entry(name)
    )
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("SEGSTUDIO_MIRROR", f"http://127.0.0.1:{running.server_address[1]}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield running
    running.go_on.set()
    running.shutdown()
    running.server_close()
    thread.join()


def _on_its_way(dialog: ModelsDialog) -> bool:
    fetching = dialog.models.fetching(NAME)
    return fetching is not None and fetching.active and fetching.done > 0


@pytest.mark.qt_log_ignore("This plugin does not support")  # offscreen: a window shown again
def test_a_download_goes_on_without_the_dialog_and_ends_in_the_run_dialog(
    application: Application, server: Server, qtbot
) -> None:
    window = application.window
    dialog = _dialog(application, qtbot)
    dialog.show_model(NAME)
    QTest.keyClick(dialog.search, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: _on_its_way(dialog), timeout=TIMEOUT)
    assert "%" in dialog.models.state_text(dialog.models.find(NAME))  # type: ignore[arg-type]
    assert dialog.download.text() == "Cancel download"
    assert "MB" in dialog.card.progress.text()
    (job,) = window.jobs.active
    assert job.unit == "bytes" and " / 0.4 MB" in job.summary
    assert window.actions_["cancel_job"].isEnabled()
    dialog.close()
    assert not application.session.jobs()[-1].is_over
    server.go_on.set()
    qtbot.waitUntil(lambda: "is on this machine now" in _notice(application), timeout=TIMEOUT)
    assert application.session.jobs()[-1].state == "done"
    assert NAME in {model.name for model in application.session.library.familiar()}
    assert _titles(application) == ["Run", "Details"]
    _press(application, "Details")
    qtbot.waitUntil(lambda: dialog.run.isVisible() and dialog.chosen == NAME, timeout=TIMEOUT)
    assert not dialog.download.isVisible()


def test_a_download_that_is_stopped_can_go_on(
    application: Application, server: Server, qtbot
) -> None:
    dialog = _dialog(application, qtbot)
    dialog.show_model(NAME)
    dialog.download.click()
    qtbot.waitUntil(lambda: _on_its_way(dialog), timeout=TIMEOUT)
    dialog.download.click()
    qtbot.waitUntil(lambda: dialog.models.fetching(NAME) is None, timeout=TIMEOUT)
    assert dialog.download.text() == "Download" and application.window.jobs.active == []
    server.go_on.set()
    dialog.download.click()
    qtbot.waitUntil(lambda: dialog.run.isVisible(), timeout=TIMEOUT)


def test_a_failed_download_says_why_in_place(
    application: Application, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGSTUDIO_MIRROR", "nonsense")
    dialog = _dialog(application, qtbot)
    dialog.show_model(NAME)
    dialog.download.click()
    qtbot.waitUntil(lambda: dialog.card.error.isVisible(), timeout=TIMEOUT)
    assert "SEGSTUDIO_MIRROR" in dialog.card.error.text()
    assert dialog.models.state_text(dialog.models.find(NAME)) == "Failed"  # type: ignore[arg-type]
    assert dialog.download.text() == "Download"
    model = application.window.jobs
    rows = [model.index(row).data(model.KindRole) for row in range(model.rowCount())]
    assert rows == ["job", "error"], "the sentence is a row of its own"
