"""The Inside panel: a click becomes a map over the picture, and only the newest one does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from segstudio.session.insight import Insight, answer_look
from segstudio.session.look_values import LookAnswer, LookRequest
from segstudio.session.looks import Looks
from segstudio.ui.app import Application
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.inside import InsidePanel, InsideParts
from segstudio.ui.widgets.distance_plot import DistancePlot
from segstudio.ui.widgets.embedding_plot import EmbeddingPlot
from segstudio.ui.widgets.mark_plot import nice_step

TIMEOUT = 20_000
LEFT = Qt.MouseButton.LeftButton
PARTS = InsideParts(
    (("blocks.0", 3), ("blocks.1", 2)),
    ("road", "car"),
    (ClassColor(0, (9, 9, 9)), ClassColor(1, (200, 0, 0))),
    None,
    None,
    None,
)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Segmenter with random weights in CamVid's classes."""
    import torch

    from segstudio.architectures.segmenter import Segmenter
    from segstudio.checkpoints.native import NativeCheckpoint, save_native, state_dict_of
    from segstudio.core.label_space import load_label_space
    from segstudio.core.options import options_to_json
    from segstudio.core.preprocessing import Preprocessing

    path = tmp_path_factory.mktemp("models") / "segmenter.safetensors"
    options = Segmenter.Options(variant="tiny", crop=64, layers=2, head_layers=1, drop_path=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = Segmenter(11, options)
    save_native(
        path,
        NativeCheckpoint(
            "segmenter",
            options_to_json(network.options),
            load_label_space("camvid"),
            Preprocessing(),
            state_dict_of(network),
        ),
    )
    return path


# -- plots ---------------------------------------------------------------------------------------


def _show(widget: Any, qtbot: Any, width: int = 500, height: int = 300) -> None:
    """Show a widget inside a window, as docks do."""
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(width, height)
    widget.setParent(window)
    widget.resize(width, height)
    with qtbot.waitExposed(window):
        window.show()
    widget.outer = window  # the window deletes its children


def test_ticks_are_round() -> None:
    assert [nice_step(span, 5) for span in (1.0, 5.0, 7.0, 23.0, 251.0, 0.03)] == [
        pytest.approx(step) for step in (0.2, 1.0, 2.0, 5.0, 100.0, 0.01)
    ]
    assert nice_step(0.0, 5) == 1.0


def test_the_heads_are_doors(qtbot) -> None:
    plot = DistancePlot()
    _show(plot, qtbot)
    plot.set_layers([("blocks.0", (10.0, 90.0)), ("blocks.1", (50.0, 20.0, 70.0))])
    marks = plot.marks()
    assert len(marks) == 5
    frame = plot.frame()
    heights = [(frame.bottom() - mark.y()) / frame.height() for mark in marks]
    np.testing.assert_allclose(heights, [0.1, 0.9, 0.5, 0.2, 0.7], atol=1e-6)
    assert marks[0].x() == marks[1].x() < marks[2].x()
    with qtbot.waitSignal(plot.head_clicked) as clicked:
        QTest.mouseClick(plot, LEFT, pos=marks[4].toPoint())
    assert clicked.args == [1, 2]
    assert plot.describe(4) == "blocks.1, head 2: 70.0 px"
    with qtbot.assertNotEmitted(plot.head_clicked):
        QTest.mouseClick(plot, LEFT, pos=QPoint(5, 5))


def test_the_plane_of_the_classes_zooms_at_the_pointer(qtbot) -> None:
    plot = EmbeddingPlot()
    _show(plot, qtbot)
    points = [(0.0, 0.0), (4.0, 1.0), (1.0, 2.0)]
    plot.set_points(points, ("a", "b", "c"), (ClassColor(0, (9, 9, 9)),) * 3, explained=(0.5, 0.25))
    first = plot.marks()
    units = (first[1].x() - first[0].x()) / 4, (first[0].y() - first[2].y()) / 2
    assert units[0] == pytest.approx(units[1]), "distances are the same along both axes"
    assert all(plot.frame().contains(mark) for mark in first)
    assert "50 %" in plot.across and "25 %" in plot.upward

    anchor = first[2]
    wheel = QWheelEvent(
        anchor,
        plot.mapToGlobal(anchor),
        QPoint(),
        QPoint(0, 240),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(plot, wheel)
    zoomed = plot.marks()
    assert plot.zoom == pytest.approx(1.25**2)
    assert (zoomed[2] - anchor).manhattanLength() < 1e-6
    assert zoomed[1].x() - zoomed[0].x() == pytest.approx(4 * units[0] * 1.25**2)
    with qtbot.waitSignal(plot.class_clicked) as clicked:
        QTest.mouseClick(plot, LEFT, pos=zoomed[2].toPoint())
    assert clicked.args == [2]

    start = plot.frame().center().toPoint()
    with qtbot.assertNotEmitted(plot.class_clicked):
        QTest.mousePress(plot, LEFT, pos=start)
        QTest.mouseMove(plot, start + QPoint(40, 25))
        QTest.mouseRelease(plot, LEFT, pos=start + QPoint(40, 25))
    moved = plot.marks()[0] - zoomed[0]
    assert (moved - QPointF(40, 25)).manhattanLength() < 1e-6
    QTest.keyClick(plot, Qt.Key.Key_Home)
    assert plot.zoom == 1.0 and plot.marks() == first
    plot.set_chosen(1)
    plot.grab()
    plot.set_points((), (), ())
    plot.grab()  # the class that was chosen is gone


# -- the panel -----------------------------------------------------------------------------------


def test_layers_and_heads_follow_each_other(qtbot) -> None:
    panel = InsidePanel()
    _show(panel, qtbot, 800, 300)
    assert panel.message
    panel.set_models(["one"], 0)
    assert panel.message == ""
    panel.set_parts(PARTS)
    assert (panel.layers.currentIndex(), panel.head) == (1, None)
    told: list[tuple[int, int | None]] = []
    panel.attention_changed.connect(lambda layer, head: told.append((layer, head)))
    panel.heads.setCurrentIndex(2)
    panel.layers.setCurrentIndex(0)
    assert told == [(1, 1), (0, 1)], "the head stays where the layer has it"
    panel.heads.setCurrentIndex(3)
    panel.layers.setCurrentIndex(1)
    assert told[-1] == (1, None), "the second layer has no third head"
    panel.set_distances([("blocks.0", (1.0, 2.0, 3.0)), ("blocks.1", (1.0, 2.0))])
    panel.distances.head_clicked.emit(0, 2)
    assert told[-1] == (0, 2) and panel.head == 2
    assert len(told) == 5, "each change is told once"


def test_what_a_model_lacks_is_said(qtbot) -> None:
    panel = InsidePanel()
    _show(panel, qtbot, 800, 300)
    panel.set_models(["one"], 0)
    without = replace(
        PARTS, layers=(), no_attention="No attention.", no_vectors="No vectors.", no_stages=None
    )
    panel.set_parts(without)
    assert panel.said.text() == "No attention." and not panel.layers.isVisible()
    assert not panel.measure.isVisible() and not panel.bar.isVisible()
    panel.set_view("classes")
    assert panel.classes.isVisible() and not panel.embeddings.isVisible()
    assert panel._no_plot.isVisible() and panel._no_plot.text() == "No vectors."
    panel.set_view("features")
    assert panel.stages.isVisible() and panel.missing is None
    panel.set_parts(PARTS)
    panel.set_view("classes")
    assert panel.embeddings.isVisible()
    panel.set_view("attention")
    assert panel.measure.isVisible() and "Click a place" in panel.said.text()


# -- in the window -------------------------------------------------------------------------------


class HeldClient:
    """Answers in this process, one question at a time, when the test says so."""

    def __init__(self, on_message: Callable[[LookAnswer], None]) -> None:
        self._on_message = on_message
        self._insight = Insight()
        self.asked: list[LookRequest] = []
        self.open: LookRequest | None = None
        self.kills = 0

    def look(self, request: LookRequest) -> None:
        self.asked.append(request)
        self.open = request

    def answer(self, *, error: str | None = None) -> None:
        request, self.open = self.open, None
        assert request is not None
        made = LookAnswer(request, None, error) if error else answer_look(self._insight, request)
        self._on_message(made)

    def answer_all(self) -> None:
        while self.open is not None:
            self.answer()
            QApplication.processEvents()

    def kill(self) -> None:
        self.kills += 1

    def close(self, timeout: float) -> None:
        pass


@pytest.fixture
def client(application: Application, segmenter: Path) -> HeldClient:
    """The window with the segmenter among its models, and what it asks."""
    made: list[HeldClient] = []
    inside = application.inside
    inside._looks.close()

    def make(handler: Callable[[LookAnswer], None]) -> HeldClient:
        made.append(HeldClient(handler))
        return made[0]

    inside._looks = Looks(inside.answered.emit, make, grace=0.0)
    application.session.library.add(segmenter)
    return made[0]


def _open(application: Application, client: HeldClient, qtbot: Any, model: str) -> InsidePanel:
    panel = application.window.inside_panel
    application.window.actions_["see_inside"].trigger()
    qtbot.waitUntil(lambda: panel.models.count() > 1, timeout=TIMEOUT)
    client.open = None  # the stored run's model is no file
    application.inside._looks.cancel()
    application.inside._looks._asked = None
    names = [panel.models.itemText(place) for place in range(panel.models.count())]
    panel.models.setCurrentIndex(names.index(model))
    client.answer_all()
    assert panel.parts is not None
    return panel


def _click(application: Application, row: int, column: int) -> None:
    application.window.canvas.clicked.emit(row, column)


def test_nothing_is_asked_before_the_panel_is_seen(
    application: Application, client: HeldClient, qtbot
) -> None:
    _click(application, 5, 5)
    application.window.set_workspace("analyse")
    assert client.asked == [] and application.window.inside_panel.models.count() == 0


def test_a_click_shows_what_the_patch_looks_at(
    application: Application, client: HeldClient, qtbot
) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    assert [panel.layers.itemText(place) for place in range(3)] == [
        "0  encoder.blocks.0",
        "1  encoder.blocks.1",
        "2  head.blocks.0",
    ]
    inside, desk = application.inside, application.desk
    assert desk.overlays["prediction"].visible
    _click(application, 40, 70)
    assert panel.stop.isVisible() and "attention" in panel.busy.text
    client.answer_all()
    assert not panel.stop.isVisible()
    question = client.asked[-1]
    expected = answer_look(Insight(), question).result
    assert (question.row, question.column, question.layer, question.head) == (40, 70, 2, None)
    assert inside.overlay.visible and inside.overlay.shape == (64, 96)
    np.testing.assert_array_equal(inside.overlay._values, expected.levels)
    patch = expected.patch
    assert patch.top <= 40 < patch.bottom and patch.left <= 70 < patch.right
    assert inside.outline.isVisible() and inside.outline.line_count == 4
    assert f"{patch.height} × {patch.width} pixels" in panel.said.text()
    assert not desk.overlays["prediction"].visible, "the classes make room for the map"

    # Another head is another map of the same patch; the eye takes the map away and back.
    panel.layers.setCurrentIndex(0)
    client.answer_all()
    assert (client.asked[-1].layer, client.asked[-1].row) == (0, 40)
    panel.eye.setChecked(False)
    assert not inside.overlay.visible and not inside.outline.isVisible()
    assert desk.overlays["prediction"].visible
    panel.eye.setChecked(True)
    assert inside.overlay.visible and inside.outline.isVisible()
    application.window.overlays_held.emit(True)
    assert not inside.overlay.visible and not desk.overlays["prediction"].visible
    application.window.overlays_held.emit(False)
    assert inside.overlay.visible and not desk.overlays["prediction"].visible
    application.window.docks["inside"].hide()
    qtbot.waitUntil(lambda: not inside.overlay.visible, timeout=TIMEOUT)
    assert desk.overlays["prediction"].visible


def test_only_the_newest_click_reaches_the_picture(
    application: Application, client: HeldClient, qtbot
) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    inside = application.inside
    for place in ((1, 1), (60, 90), (30, 50)):
        _click(application, *place)
    before = len(client.asked)
    client.answer()
    QApplication.processEvents()
    assert inside.overlay.shape is None, "the first click is stale"
    assert len(client.asked) == before + 1 and client.asked[-1].row == 30
    elsewhere = threading.Thread(target=client.answer)
    elsewhere.start()
    elsewhere.join()
    _click(application, 8, 8)  # before the answer has reached the window's thread
    QApplication.processEvents()
    assert inside.overlay.shape is None and panel.stop.isVisible()
    client.answer_all()
    assert inside.overlay.shape == (64, 96) and "row 8" in panel.said.text()


def test_another_image_takes_the_map_away_and_asks_again(
    application: Application, client: HeldClient, qtbot
) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    _click(application, 20, 30)
    client.answer_all()
    panel.measure.click()
    client.answer_all()
    assert len(panel.distances.layers) == 3
    _click(application, 21, 31)
    assert client.open is not None
    with qtbot.waitSignal(application.desk.shown_changed, timeout=TIMEOUT):
        application.desk.show("images/1.png")
    inside = application.inside
    assert inside.overlay.shape is None and not inside.outline.isVisible()
    assert panel.distances.layers == ()
    client.answer()
    QApplication.processEvents()
    assert inside.overlay.shape is None, "that was of the image before"
    question = client.open
    assert question is not None and question.image is not None
    assert (question.image.name, question.row, question.column) == ("1.png", 21, 31)
    client.answer_all()
    assert inside.overlay.visible


def test_stop_wants_no_answer(application: Application, client: HeldClient, qtbot) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    panel.measure.click()
    panel.stop.click()
    assert not panel.stop.isVisible() and panel.busy.text == ""
    qtbot.waitUntil(lambda: client.kills == 1, timeout=TIMEOUT)
    client.answer(error="The process was ended.")
    QApplication.processEvents()
    assert panel.distances.layers == () and "ended" not in panel.said.text()
    panel.measure.click()
    client.answer_all()
    assert len(panel.distances.layers) == 3


def test_classes_and_features(application: Application, client: HeldClient, qtbot) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    panel.set_view("classes")
    client.answer_all()
    assert client.asked[-1].topic == "embeddings" and len(panel.embeddings.marks()) == 11
    panel.embeddings.class_clicked.emit(4)
    client.answer_all()
    assert (client.asked[-1].topic, client.asked[-1].index) == ("probability", 4)
    assert panel.classes.currentIndex() == 4 and application.inside.overlay.visible
    assert panel.bar.ends == ("0", "probability 1") and panel.said.text().startswith("Mean over")
    shown = application.desk.shown
    assert shown is not None and shown.prediction is not None
    _click(application, 24, 20)
    client.answer_all()
    assert panel.classes.currentIndex() == int(shown.prediction[24, 20]) == 3
    panel.set_view("features")
    client.answer_all()
    names = panel.stages.count()
    assert client.asked[-1].topic == "stage" and names >= 1
    assert "channels" in panel.said.text() and not application.inside.outline.isVisible()
    panel.set_view("attention")
    client.answer_all()
    assert client.asked[-1].topic == "attention", "the place clicked is still known"


def test_a_convolutional_model_says_what_it_lacks(
    application: Application, client: HeldClient, qtbot, tiny_model: Path
) -> None:
    application.session.library.add(tiny_model)
    panel = _open(application, client, qtbot, "tiny.safetensors")
    assert panel.said.text() == (
        "tiny.safetensors (enet) has no attention layers that can be read; look at its class "
        "probabilities and feature norms."
    )
    _click(application, 5, 5)
    assert client.open is None, "there is nothing to ask"
    panel.set_view("features")
    client.answer_all()
    assert application.inside.overlay.visible and panel.stages.count() > 1


def test_an_error_is_said_once_and_the_panel_lives_on(
    application: Application, client: HeldClient, qtbot
) -> None:
    panel = _open(application, client, qtbot, "segmenter.safetensors")
    _click(application, 5, 5)
    client.answer(error="The image is gone.")
    QApplication.processEvents()
    assert panel.said.text() == "The image is gone." and not panel.bar.isVisible()
    assert not application.inside.overlay.visible
    _click(application, 6, 6)
    client.answer_all()
    assert application.inside.overlay.visible and "row 6" in panel.said.text()
