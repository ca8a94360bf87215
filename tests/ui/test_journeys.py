"""What a person does in the window, from the folder to the file, offscreen."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog, QLabel

from segstudio.core.errors import UnreadableImageError
from segstudio.core.label_space import load_label_space
from segstudio.datasets.encoding import write_label_map
from segstudio.datasets.images import read_source_map
from segstudio.metrics.scores import mean_iou
from segstudio.session.events import PredictionReady
from segstudio.session.session import Session
from segstudio.session.settings import Settings
from segstudio.ui.app import Application
from segstudio.ui.controllers.tasks import Tasks
from segstudio.ui.dialogs.export import ExportChoice, ExportDialog

TIMEOUT = 10_000
RUN = "stored"
IDS = [f"images/{number}.png" for number in range(4)]


def _notice(application: Application, topic: str) -> str:
    notice = application.window.notices.notice(topic)
    return "" if notice is None else notice.text


def _status(application: Application, sample_id: str) -> str:
    return application.window.samples.status(sample_id)


def _show(application: Application, sample_id: str, qtbot) -> None:
    desk = application.desk
    desk.show(sample_id)
    qtbot.waitUntil(
        lambda: desk.shown is not None and desk.shown.sample_id == sample_id, timeout=TIMEOUT
    )


def _correct(application: Application, qtbot) -> None:
    """Go to Correct and wait until the sample shown can be painted."""
    application.window.actions_["workspace_correct"].trigger()
    qtbot.waitUntil(lambda: application.edit.correction is not None, timeout=TIMEOUT)


def _stroke(application: Application, *, size: int = 11, class_index: int = 7) -> None:
    """Paint from (row 40, col 20) to (40, 70) with the mouse."""
    window = application.window
    viewport = window.canvas._view.viewport()

    def at(row: int, col: int):
        point = window.canvas.widget_position(row + 0.5, col + 0.5).toPoint()
        return viewport.mapFrom(window.canvas, point)

    application.edit.choose_class(class_index)
    window.tool_strip.set_size(size)
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=at(40, 20))
    for col in range(20, 71, 5):
        QTest.mouseMove(viewport, at(40, col))
        QApplication.processEvents()
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=at(40, 70))


def _target(folder: Path, sample_id: str) -> np.ndarray:
    return read_source_map(folder / "masks" / Path(sample_id).name)


def _layer(folder: Path, run: str, sample_id: str) -> np.ndarray:
    return read_source_map(folder / ".segstudio/runs" / run / "labels" / f"{sample_id}.png")


# -- browsing ---------------------------------------------------------------------------------


def test_a_folder_is_listed_and_its_first_image_shown(start, dataset_folder: Path, qtbot) -> None:
    application = start(dataset_folder)
    window = application.window
    assert window.samples.rowCount() == 4
    assert application.desk.sample_id == window.samples.sample_at(0).sample_id == IDS[0]
    assert window.canvas.image_shape == (64, 96)
    shown = application.desk.labels["ground_truth"].labels
    np.testing.assert_array_equal(shown, _target(dataset_folder, IDS[0]))
    assert not window.layers_panel._rows["prediction"].isEnabled(), "nothing was run yet"
    assert "Opened as paired:  4 images" in _notice(application, "opened")
    assert window.windowTitle().startswith("data")
    assert window.actions_["run"].isEnabled()


def test_what_was_overtaken_while_its_list_was_painted_is_not_shown(
    start, dataset_folder: Path, tmp_path: Path, qtbot
) -> None:
    other = tmp_path / "other"
    shutil.copytree(dataset_folder / "images", other)
    application = start(dataset_folder)
    session, desk, samples = application.session, application.desk, application.window.samples
    first, opened = session.dataset, []
    application.browse.opened.connect(opened.append)
    desk.clear()
    application.browse._on_opened(first, "", dataset_folder, None)
    assert samples.total == 4 and desk.sample_id == "", "the list comes before the image"
    second = session.open_dataset(other)
    application.browse._on_opened(second, "", other, None)
    qtbot.waitUntil(lambda: desk.sample_id == "0.png", timeout=TIMEOUT)
    assert opened == [second]


def test_thumbnails_reach_the_list(application: Application, qtbot) -> None:
    model = application.window.samples
    qtbot.waitUntil(lambda: model.index(0).data(model.ThumbnailRole) is not None, timeout=TIMEOUT)


def test_next_and_previous_keep_the_zoom(application: Application, qtbot) -> None:
    window = application.window
    window.canvas.set_scale(3.0)
    window.canvas.center_on(10, 20)
    before = window.canvas.view_state
    window.actions_["next_sample"].trigger()
    qtbot.waitUntil(lambda: application.desk.shown.sample_id == IDS[1], timeout=TIMEOUT)
    assert window.canvas.view_state == before
    assert window.canvas.scale == pytest.approx(3.0)
    window.actions_["previous_sample"].trigger()
    qtbot.waitUntil(lambda: application.desk.shown.sample_id == IDS[0], timeout=TIMEOUT)
    assert window.canvas.view_state == before


def test_a_folder_that_is_no_dataset_is_one_sentence(start, tmp_path: Path, qtbot) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    application = start(empty, shown=False)
    qtbot.waitUntil(lambda: bool(_notice(application, "opened")), timeout=TIMEOUT)
    text = _notice(application, "opened")
    assert str(empty) in text
    assert "unexpected" not in text and "\n" not in text
    assert application.window.samples.rowCount() == 0


def test_an_unreadable_image_is_a_sentence_and_the_rest_goes_on(
    start, dataset_folder: Path, qtbot
) -> None:
    (dataset_folder / "images" / "1.png").write_bytes(b"no picture")
    application = start(dataset_folder)
    window = application.window
    application.desk.show(IDS[1])
    qtbot.waitUntil(lambda: _status(application, IDS[1]) == "failed", timeout=TIMEOUT)
    assert application.desk.shown is None
    assert window.canvas.image_shape is None

    def said_so() -> bool:
        words = [entry.text() for entry in window.canvas.findChildren(QLabel) if entry.isVisible()]
        return any(str(dataset_folder / IDS[1]) in text for text in words)

    qtbot.waitUntil(said_so, timeout=TIMEOUT)
    window.actions_["next_sample"].trigger()
    qtbot.waitUntil(
        lambda: application.desk.shown is not None and application.desk.shown.sample_id == IDS[2],
        timeout=TIMEOUT,
    )
    assert window.canvas.image_shape == (64, 96)


def test_the_failure_of_an_image_left_meanwhile_does_not_cover_the_next(
    start, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    application = start(dataset_folder)
    desk, gate, read = application.desk, threading.Event(), application.session.read_levels

    def slow(sample_id: str, progress: object = None) -> tuple[np.ndarray, ...]:
        if sample_id == IDS[2]:
            gate.wait(20)
            raise UnreadableImageError("It cannot be read.")
        return read(sample_id)

    monkeypatch.setattr(application.session, "read_levels", slow)
    desk.show(IDS[2])
    desk.show(IDS[0])  # in memory, so nothing new is asked
    gate.set()
    qtbot.waitUntil(lambda: _status(application, IDS[2]) == "failed", timeout=TIMEOUT)
    assert desk.shown is not None and desk.shown.sample_id == IDS[0]
    assert _status(application, IDS[0]) == "new"
    assert application.window.canvas.image_shape == (64, 96)


def test_what_was_read_ahead_does_not_hide_a_newer_prediction(
    start, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch, qtbot
) -> None:
    application = start(dataset_folder)
    desk, gate, read = application.desk, threading.Event(), application.session.read_levels
    qtbot.waitUntil(lambda: (IDS[1], "") in desk._cache, timeout=TIMEOUT)
    reading = threading.Event()

    def slow(sample_id: str, progress: object = None) -> tuple[np.ndarray, ...]:
        if sample_id == IDS[2]:
            reading.set()
            gate.wait(20)
        return read(sample_id)

    monkeypatch.setattr(application.session, "read_levels", slow)
    desk.show(IDS[1])  # reads the next one ahead
    assert reading.wait(20)
    desk.forget(IDS[2], "")
    with qtbot.waitSignal(application.tasks.answered, timeout=TIMEOUT):
        gate.set()
    QApplication.processEvents()
    assert (IDS[2], "") not in desk._cache


def test_the_window_comes_back_where_it_was(start, dataset_folder: Path, qtbot) -> None:
    first = start(dataset_folder)
    _show(first, IDS[2], qtbot)
    first.window.tool_strip.set_size(33)
    first.window.docks["jobs"].hide()
    first.window.close()
    settings = Settings()
    assert settings.get("last") == str(dataset_folder.resolve())
    assert settings.get("last_sample") == IDS[2]
    assert set(settings.get("layout")) == {"geometry", "layouts", "folded"}
    second = start(None)
    assert second.desk.sample_id == IDS[2]
    assert second.window.tool_strip.brush_size == 33
    assert second.window.docks["jobs"].isHidden()


# -- predictions and scores -------------------------------------------------------------------


def test_a_stored_run_is_laid_over_the_image(
    application: Application, dataset_folder: Path, stored_run: str, qtbot
) -> None:
    desk = application.desk
    assert desk.run == stored_run
    for sample_id in (IDS[0], IDS[3]):
        _show(application, sample_id, qtbot)
        stored = _layer(dataset_folder, stored_run, sample_id)
        np.testing.assert_array_equal(desk.labels["prediction"].labels, stored)
    assert desk.shown.entropy is not None
    assert _status(application, IDS[3]) == "predicted"


def test_scores_are_those_of_the_session(application: Application, stored_run: str) -> None:
    window, report = application.window, application.session.evaluate([stored_run])
    run = report.runs[0]
    shown = [window.class_scores.value(row, 2) for row in range(12)]
    np.testing.assert_array_equal(shown, [*(entry.iou for entry in run.classes), run.miou])
    assert f"{run.miou:.4f}" in window.scores_panel.shown_figures
    assert 0.5 < run.miou < 1.0
    assert window.image_scores.rowCount() == 4
    model = window.samples
    miou = {entry.sample_id: entry.miou for entry in run.per_sample}
    for row in range(4):
        index = model.index(row)
        assert index.data(model.MiouRole) == pytest.approx(miou[index.data(model.SampleIdRole)])
    assert miou[IDS[3]] < miou[IDS[0]]


def test_errors_mark_the_wrong_block(
    application: Application, dataset_folder: Path, stored_run: str
) -> None:
    application.window.layers_panel.set_visible("errors", True)
    target = _target(dataset_folder, IDS[0])
    wrong = (target != 255) & (target != _layer(dataset_folder, stored_run, IDS[0]))
    pixels = application.desk.errors.pixels
    assert wrong.any()
    np.testing.assert_array_equal(pixels[target != 255] != 0, wrong[target != 255])


def test_hidden_and_solo_classes_reach_the_overlays(application: Application) -> None:
    legend, overlay = application.window.legend, application.desk.labels["prediction"]
    legend.set_visible(3, False)
    assert overlay.hidden == {3}
    assert not overlay.pixels[overlay.labels == 3].any()
    legend.solo(3)
    assert overlay.hidden == set(range(11)) - {3}
    legend.show_all()
    assert overlay.hidden == set()


def test_overlays_are_off_while_they_are_held(application: Application) -> None:
    window, overlay = application.window, application.desk.labels["prediction"]
    window.overlays_held.emit(True)
    assert not overlay.visible
    window.overlays_held.emit(False)
    assert overlay.visible


def test_the_readout_names_every_layer(application: Application, qtbot) -> None:
    _correct(application, qtbot)
    names = application.desk.space.names
    shown = application.desk.shown
    text = application.readout.text(24, 20)
    assert text.startswith("row 24  col 20")
    assert f"correction {names[3]}" in text
    assert f"stored {names[3]} (0.50)" in text
    assert f"ground truth {names[shown.target[24, 20]]}" in text
    assert "entropy 0.50" in text
    assert "ground truth unlabelled" in application.readout.text(0, 0)
    canvas, readout = application.window.canvas, application.window.status.readout
    canvas.hovered.emit(24, 20)
    assert readout.text == text
    canvas.hovered.emit(None, None)
    assert readout.text == ""


# -- correcting -------------------------------------------------------------------------------


def test_a_stroke_changes_map_and_figures_and_is_undone_redone_saved(
    application: Application, dataset_folder: Path, stored_run: str, qtbot
) -> None:
    window, actions = application.window, application.window.actions_
    _correct(application, qtbot)
    document = application.edit.correction.document
    predicted = _layer(dataset_folder, stored_run, IDS[0])
    np.testing.assert_array_equal(document.label_map, predicted)
    assert application.edit.correction.source == stored_run
    assert not actions["undo"].isEnabled() and not actions["save"].isEnabled()
    live = application.edit.correction.live

    def figures_follow() -> bool:
        return window.scores_panel.shown_figures[1].startswith(f"{mean_iou(live.confusion):.4f}")

    predicted_miou = mean_iou(live.confusion)
    _stroke(application)
    assert (document.label_map[40, 20:71] == 7).all()
    assert (document.label_map[:30] == predicted[:30]).all(), "the brush is 11 pixels wide"
    assert abs(mean_iou(live.confusion) - predicted_miou) > 1e-3
    qtbot.waitUntil(figures_follow, timeout=TIMEOUT)
    assert _status(application, IDS[0]) == "in progress"
    painted = document.label_map.copy()

    actions["undo"].trigger()
    np.testing.assert_array_equal(document.label_map, predicted)
    assert mean_iou(live.confusion) == predicted_miou
    qtbot.waitUntil(figures_follow, timeout=TIMEOUT)
    actions["redo"].trigger()
    np.testing.assert_array_equal(document.label_map, painted)
    qtbot.waitUntil(figures_follow, timeout=TIMEOUT)

    assert actions["save"].isEnabled()
    with qtbot.waitSignal(application.edit.saved, timeout=TIMEOUT):
        actions["save"].trigger()
    saved = read_source_map(dataset_folder / f".segstudio/corrections/{IDS[0]}.png")
    np.testing.assert_array_equal(saved, painted)
    assert _status(application, IDS[0]) == "corrected"
    assert application.session.status(IDS[0]) == "corrected"
    assert not actions["save"].isEnabled()


def test_live_scores_are_those_of_a_full_count(application: Application, qtbot) -> None:
    from segstudio.metrics.confusion import confusion_matrix

    _correct(application, qtbot)
    _stroke(application)
    correction = application.edit.correction
    target = application.desk.shown.target
    full = confusion_matrix(target, correction.document.label_map, 11, ignore_index=255)
    np.testing.assert_array_equal(correction.live.confusion, full)


def test_the_overlay_shows_the_stroke_at_once(application: Application, qtbot) -> None:
    _correct(application, qtbot)
    overlay = application.desk.labels["correction"]
    assert overlay.visible
    _stroke(application)
    red, green, blue = application.desk.space.colors[7]
    assert overlay.pixels[40, 45] == 0xFF000000 | red << 16 | green << 8 | blue
    assert not application.desk.labels["prediction"].visible


def test_leaving_an_image_saves_it(application: Application, dataset_folder: Path, qtbot) -> None:
    _correct(application, qtbot)
    _stroke(application)
    painted = application.edit.correction.document.label_map.copy()
    with qtbot.waitSignal(application.edit.saved, timeout=TIMEOUT):
        application.window.actions_["next_sample"].trigger()
    saved = read_source_map(dataset_folder / f".segstudio/corrections/{IDS[0]}.png")
    np.testing.assert_array_equal(saved, painted)
    assert _status(application, IDS[0]) == "corrected"
    qtbot.waitUntil(
        lambda: (
            application.edit.correction is not None
            and application.edit.correction.sample_id == IDS[1]
        ),
        timeout=TIMEOUT,
    )
    _show(application, IDS[0], qtbot)
    _correct(application, qtbot)
    np.testing.assert_array_equal(application.edit.correction.document.label_map, painted)


def test_closing_the_window_saves_it(application: Application, dataset_folder: Path, qtbot) -> None:
    _correct(application, qtbot)
    _stroke(application)
    application.window.close()
    saved = read_source_map(dataset_folder / f".segstudio/corrections/{IDS[0]}.png")
    assert (saved[40, 20:71] == 7).all()


def test_a_run_of_other_classes_leaves_the_painted_ones(
    application: Application, dataset_folder: Path, stored_run: str, qtbot
) -> None:
    session, desk = application.session, application.desk
    other = session.store.begin_run("other", "other", "else", load_label_space("ade20k"), {})
    for sample_id in IDS:
        path = session.layout.layer(other, "labels", sample_id)
        write_label_map(path, np.full((64, 96), 120, np.uint8))
        session.store.finish_sample(other, sample_id, seconds=0.1)
    _correct(application, qtbot)
    desk.refresh_runs(choose=other)
    qtbot.waitUntil(
        lambda: desk.shown is not None and desk.shown.run == other,
        timeout=TIMEOUT,
    )
    assert application.window.legend.rowCount() == 11
    _stroke(application)
    assert (application.edit.correction.document.label_map[40, 20:71] == 7).all()
    red, green, blue = load_label_space("camvid").colors[7]
    painted = desk.labels["correction"].pixels[40, 45]
    assert painted == 0xFF000000 | red << 16 | green << 8 | blue
    assert desk.errors.shape is not None, "ground truth and correction can be compared"
    application.window.set_workspace("browse")
    _show(application, IDS[1], qtbot)
    assert application.window.legend.rowCount() == 150


def test_picking_takes_the_class_under_the_pointer(application: Application, qtbot) -> None:
    _correct(application, qtbot)
    window = application.window
    window.actions_["tool_pick"].trigger()
    viewport = window.canvas._view.viewport()
    point = window.canvas.widget_position(24.5, 20.5).toPoint()
    QTest.mouseClick(
        viewport, Qt.MouseButton.LeftButton, pos=viewport.mapFrom(window.canvas, point)
    )
    assert window.legend.active == 3
    assert not application.edit.correction.document.is_dirty


def test_unsaved_strokes_come_back_after_a_crash(
    start, dataset_folder: Path, stored_run: str, tmp_path: Path, qtbot
) -> None:
    # The journal of a session that never saved is what a killed process leaves.
    session = Session(Settings(tmp_path / "other.json"))
    session.open_dataset(dataset_folder)
    document = session.open_correction(IDS[2], source=stored_run).document
    from segstudio.core.pointer import PointerEvent, PointerKind
    from segstudio.editing.driver import StrokeDriver
    from segstudio.editing.tool import TOOLS

    tool = TOOLS.get("brush")
    driver = StrokeDriver(document, tool(), active_class=7, options=tool.Options())
    driver.handle(PointerEvent(PointerKind.PRESS, 40.0, 40.0))
    driver.handle(PointerEvent(PointerKind.RELEASE, 40.0, 40.0))
    painted = document.label_map.copy()
    assert painted[40, 40] == 7
    session.close()

    application = start(dataset_folder)
    assert f"{IDS[2]} has strokes that were not saved" in _notice(application, "recovered")
    assert application.session.unsaved_samples() == [IDS[2]]
    qtbot.waitUntil(lambda: _status(application, IDS[2]) == "in progress", timeout=TIMEOUT)
    _show(application, IDS[2], qtbot)
    _correct(application, qtbot)
    assert application.edit.correction.recovered_strokes == 1
    np.testing.assert_array_equal(application.edit.correction.document.label_map, painted)
    application.window.actions_["undo"].trigger()
    predicted = _layer(dataset_folder, stored_run, IDS[2])
    np.testing.assert_array_equal(application.edit.correction.document.label_map, predicted)


def test_a_correction_that_cannot_be_saved_says_so_and_keeps_the_strokes(
    application: Application, dataset_folder: Path, qtbot
) -> None:
    _correct(application, qtbot)
    _stroke(application)
    (dataset_folder / ".segstudio" / "corrections").write_text("a file where a folder goes")
    application.window.actions_["save"].trigger()
    kept = "The strokes are kept in the journal."
    qtbot.waitUntil(lambda: kept in _notice(application, "save"), timeout=TIMEOUT)
    assert application.edit.correction.document.is_dirty
    (dataset_folder / ".segstudio" / "corrections").unlink()
    with qtbot.waitSignal(application.edit.saved, timeout=TIMEOUT):
        application.window.actions_["save"].trigger()
    assert _notice(application, "save") == ""
    assert not application.edit.correction.document.is_dirty


# -- exporting and running --------------------------------------------------------------------


def test_export_writes_what_was_chosen(
    application: Application,
    dataset_folder: Path,
    stored_run: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    qtbot,
) -> None:
    destination = tmp_path / "out"
    choice = ExportChoice(f"prediction:{stored_run}", "index-png", destination)
    monkeypatch.setattr(ExportDialog, "exec", lambda _self: QDialog.DialogCode.Accepted)
    monkeypatch.setattr(ExportDialog, "choice", lambda _self: choice)
    application.window.actions_["export"].trigger()
    qtbot.waitUntil(lambda: "files in" in _notice(application, "export"), timeout=TIMEOUT)
    found = sorted(destination.rglob("3.png"))
    assert len(found) == 1
    np.testing.assert_array_equal(
        read_source_map(found[0]), _layer(dataset_folder, stored_run, IDS[3])
    )
    assert application.settings.get("exporter") == "index-png"


def test_exporting_nothing_is_a_sentence(start, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((16, 16, 3), 90, np.uint8))
    application = start(folder)
    application.transfer.export()
    assert "nothing to export yet" in _notice(application, "export")


def test_a_model_runs_in_the_worker_and_its_results_arrive(
    start, dataset_folder: Path, tiny_model: Path, qtbot
) -> None:
    application = start(dataset_folder)
    window = application.window
    running: list[int] = []

    def count(event: object) -> None:
        assert not application.session.jobs()[-1].is_over or running
        running.append(sum(_status(application, sample_id) == "predicted" for sample_id in IDS))

    application.bridge.prediction_ready.connect(count)
    with qtbot.waitSignal(application.predict.finished, timeout=120_000) as ended:
        application.predict.start([str(tiny_model)])
        qtbot.waitUntil(lambda: not window.status._job.isHidden(), timeout=TIMEOUT)
        assert window.actions_["cancel_job"].isEnabled()
    state = ended.args[0]
    assert (state.state, state.done, state.total, state.failed) == ("done", 4, 4, 0)
    assert running == [1, 2, 3, 4], "the list follows while the job runs"
    assert window.status._job.isHidden()
    assert not window.actions_["cancel_job"].isEnabled()
    qtbot.waitUntil(lambda: application.desk.shown.prediction is not None, timeout=TIMEOUT)
    run = application.desk.run
    np.testing.assert_array_equal(
        application.desk.labels["prediction"].labels, _layer(dataset_folder, run, IDS[0])
    )
    qtbot.waitUntil(lambda: window.class_scores.rowCount() == 12, timeout=TIMEOUT)


def test_a_prediction_of_a_corrected_image_leaves_it_corrected(application: Application) -> None:
    window, session = application.window, application.session
    window.samples.set_status(IDS[1], "corrected")
    window.samples.set_filter(IDS[3])
    session.prediction_ready.emit(PredictionReady(IDS[1], RUN, session.generation, 0.5, 0.1))
    session.prediction_ready.emit(PredictionReady(IDS[2], RUN, session.generation, 0.5, 0.1))
    QApplication.processEvents()
    assert _status(application, IDS[1]) == "corrected"
    assert _status(application, IDS[2]) == "predicted"
    window.samples.set_status(IDS[2], "new")
    session.prediction_ready.emit(PredictionReady(IDS[2], RUN, session.generation - 1, 0.5, 0.1))
    QApplication.processEvents()
    assert _status(application, IDS[2]) == "new", "news of a dataset that is no longer open"


def test_a_model_that_is_not_there_is_a_sentence(
    application: Application, tmp_path: Path, qtbot
) -> None:
    with qtbot.waitSignal(application.predict.finished, timeout=120_000) as ended:
        application.predict.start([str(tmp_path / "absent.safetensors")])
    assert ended.args[0].state == "failed"
    assert "absent.safetensors" in ended.args[0].message
    assert application.window.status._job.isHidden()


# -- tasks ------------------------------------------------------------------------------------


def test_a_stale_answer_is_dropped(qapp, qtbot) -> None:
    tasks, gate, answers = Tasks(), threading.Event(), []

    def slow() -> str:
        gate.wait(20)
        return "first"

    tasks.start("topic", slow, answers.append)
    tasks.start("topic", lambda: "second", answers.append)
    tasks.start("other", lambda: "else", answers.append)
    qtbot.waitUntil(lambda: len(answers) == 2, timeout=TIMEOUT)
    with qtbot.waitSignal(tasks.answered, timeout=TIMEOUT):
        gate.set()
    qapp.processEvents()
    assert sorted(answers) == ["else", "second"]
    tasks.close()


def test_an_error_reaches_the_one_who_asked(qapp, qtbot) -> None:
    tasks, errors = Tasks(), []

    def fail() -> None:
        raise ValueError("no")

    tasks.start("topic", fail, lambda _result: None, errors.append)
    qtbot.waitUntil(lambda: len(errors) == 1, timeout=TIMEOUT)
    with qtbot.waitSignal(tasks.failed, timeout=TIMEOUT) as unwanted:
        tasks.start("topic", fail, lambda _result: None)
    assert isinstance(unwanted.args[0], ValueError)
    tasks.close()


def test_images_of_a_folder_that_vanished_are_sentences(
    application: Application, dataset_folder: Path, qtbot
) -> None:
    application.desk._cache.clear()
    shutil.rmtree(dataset_folder / "images")
    application.desk.show(IDS[3])
    qtbot.waitUntil(lambda: _status(application, IDS[3]) == "failed", timeout=TIMEOUT)
    assert "error" not in application.window.notices.topics()
