"""Panels of the Analyse workspace one by one: slices, scores, objects, merged classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from segstudio.analysis.regions import ROW, RegionFilter, RegionTable
from segstudio.analysis.slices import score_slice
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.core.types import Sample
from segstudio.metrics import uncertainty
from segstudio.ui.app import Application
from segstudio.ui.models.arrangement import Arrangement, ArrangementHistory
from segstudio.ui.models.confusion import (
    ClassGroup,
    ClassOrder,
    ConfusionData,
    merge_classes,
    view_confusion,
)
from segstudio.ui.models.image_scores import ImageRow, ImageScoreModel
from segstudio.ui.models.objects import ObjectRow, ObjectTableModel, size_titles
from segstudio.ui.models.samples import SampleListModel
from segstudio.ui.models.scores import ClassRow, ScoreTableModel
from segstudio.ui.models.slices import SliceRow, SliceTableModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.confusion import ConfusionPanel
from segstudio.ui.panels.objects import ObjectsPanel
from segstudio.ui.panels.scores import ScoresPanel
from segstudio.ui.panels.slices import SlicesPanel
from segstudio.ui.theme import theme
from segstudio.ui.widgets.plots import SparsificationPlot
from segstudio.ui.widgets.score_histogram import ScoreHistogram

TIMEOUT = 20_000
LEFT = Qt.MouseButton.LeftButton
NAN = float("nan")

COUNTS = np.array([[80, 15, 0, 0, 5], [30, 20, 0, 0, 0], [0, 0, 7, 3, 0], [0, 6, 0, 900, 0]])
DATA = ConfusionData(
    COUNTS.astype(np.int64),
    ("road", "car", "bus", "sky"),
    tuple(
        ClassColor(index, color)
        for index, color in enumerate(((9, 9, 9), (200, 0, 0), (0, 200, 0), (0, 0, 200)))
    ),
)


def _shown(panel: QWidget, qtbot, size: tuple[int, int] = (900, 500)) -> QWidget:
    """Show a panel inside a window, as docks do."""
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(*size)
    panel.setParent(window)
    panel.resize(*size)
    window.show()
    panel.outer = window
    return panel


# -- merged classes ------------------------------------------------------------------------------


def test_merging_adds_rows_and_columns_up() -> None:
    merged, members = merge_classes(DATA, [ClassGroup("vehicle", (1, 2))])
    assert merged.names == ("road", "vehicle", "sky") and members == ((0,), (1, 2), (3,))
    assert merged.colors == (DATA.colors[0], DATA.colors[1], DATA.colors[3])
    assert merged.counts.tolist() == [[80, 15, 0, 5], [30, 27, 3, 0], [0, 6, 900, 0]]
    assert merged.counts.sum() == DATA.counts.sum()
    same, alone = merge_classes(DATA, [])
    assert np.array_equal(same.counts, DATA.counts) and alone == ((0,), (1,), (2,), (3,))
    last, _ = merge_classes(DATA, [ClassGroup("all", (0, 1, 2, 3))])
    assert last.counts.tolist() == [[DATA.counts[:, :4].sum(), 5]]


def test_orders_by_errors_and_by_name() -> None:
    by_errors = view_confusion(DATA, order=ClassOrder.ERRORS).rows.tolist()
    wrong = [20 + 30, 30 + 21, 3, 6 + 3]
    assert by_errors == sorted(range(4), key=lambda index: -wrong[index])
    assert view_confusion(DATA, order=ClassOrder.NAME).rows.tolist() == [2, 1, 0, 3]


def test_an_arrangement_survives_by_name_and_forgets_what_is_gone() -> None:
    kept = Arrangement((ClassGroup("vehicle", (1, 2)),), frozenset({3}))
    data = json.loads(json.dumps(kept.to_names(DATA.names)))
    assert Arrangement.from_names(data, DATA.names) == kept
    other = Arrangement.from_names(data, ("bus", "sky", "tree", "car"))
    assert other == Arrangement((ClassGroup("vehicle", (0, 3)),), frozenset({1}))
    assert Arrangement.from_names(data, ("car", "road")) == Arrangement()
    for broken in ({"groups": 3}, {"groups": [5, {"classes": None}], "hidden": "x"}, {}):
        assert Arrangement.from_names(broken, DATA.names) == Arrangement()


def test_history_of_arrangements() -> None:
    history = ArrangementHistory()
    assert not history.merge((1,), "alone") and not history.undo()
    assert history.merge((2, 1), "vehicle")
    assert history.now.groups == (ClassGroup("vehicle", (1, 2)),)
    assert history.merge((1, 2, 3), " ")
    assert history.now.groups == (ClassGroup("merged", (1, 2, 3)),), "groups do not overlap"
    assert history.hide(frozenset({0})) and not history.hide(frozenset({0}))
    assert history.undo() and history.undo()
    assert history.now.groups == (ClassGroup("vehicle", (1, 2)),)
    assert history.redo() and history.can_redo
    assert history.split((1, 2, 3)) and not history.can_redo
    assert history.now == Arrangement()


@pytest.fixture
def matrix(qtbot) -> ConfusionPanel:
    panel = ConfusionPanel()
    panel.set_data(DATA)
    return _shown(panel, qtbot)


def _name_of(panel: ConfusionPanel, index: int) -> QPoint:
    return QPoint(12, panel.map.cell_rect(index, 0).center().toPoint().y())


def test_classes_are_merged_by_mouse_and_keys(matrix: ConfusionPanel) -> None:
    told: list[dict] = []
    asked: list[tuple] = []
    matrix.arrangement_changed.connect(told.append)
    matrix.regions_requested.connect(lambda *pair: asked.append(pair))
    held = Qt.KeyboardModifier.ControlModifier
    assert not matrix.merge.isVisible()
    QTest.mouseClick(matrix.map, LEFT, held, _name_of(matrix, 1))
    QTest.mouseClick(matrix.map, LEFT, held, _name_of(matrix, 2))
    assert matrix.merge.isVisible() and "2 classes" in matrix.merge.text()
    before = matrix.map.grab().toImage()
    QTest.mouseClick(matrix.map, LEFT, held, _name_of(matrix, 2))
    assert not matrix.merge.isVisible() and before != matrix.map.grab().toImage()
    QTest.mouseClick(matrix.map, LEFT, held, _name_of(matrix, 2))
    matrix.merge_selected("vehicle")
    assert told == [{"groups": [{"name": "vehicle", "classes": ["car", "bus"]}], "hidden": []}]
    assert matrix.map.view.values.shape == (3, 4)
    for target, prediction in ((1, 0), (1, 1), (0, 3)):
        place = matrix.map.cell_rect(target, prediction).center().toPoint()
        QTest.mouseClick(matrix.map, LEFT, pos=place)
    QTest.mouseClick(matrix.map, LEFT, pos=_name_of(matrix, 1))
    assert asked == [((1, 2), 0), ((1, 2), (1, 2)), (0, 4), ((1, 2), None)]
    matrix.set_chosen((1, 2), 3)
    assert matrix.map._chosen == (1, 2), "the cell of the matrix that is shown"
    matrix.map.setFocus()
    QTest.keyClick(matrix.map, Qt.Key.Key_Z, held)
    assert matrix.map.view.values.shape == (4, 5) and told[-1]["groups"] == []
    QTest.keyClick(matrix.map, Qt.Key.Key_Z, held | Qt.KeyboardModifier.ShiftModifier)
    assert matrix.map.view.values.shape == (3, 4)
    matrix.split(1)
    assert matrix.map.view.values.shape == (4, 5)


def test_keys_of_the_matrix(matrix: ConfusionPanel) -> None:
    matrix.resize(420, 320)  # cells that are as large as they get do not zoom
    heat = matrix.map
    heat.setFocus()
    QTest.mouseMove(heat, heat.cell_rect(1, 0).center().toPoint())
    QTest.keyClick(heat, Qt.Key.Key_Space)
    QTest.keyClick(heat, Qt.Key.Key_H)
    assert heat.cell_rect(1, 0).isEmpty() and "1 hidden class" in matrix.show_all.text()
    matrix.show_all.click()
    assert not heat.cell_rect(1, 0).isEmpty()
    scale, order = matrix.scale.currentIndex(), matrix.order.currentIndex()
    QTest.keyClick(heat, Qt.Key.Key_S)
    QTest.keyClick(heat, Qt.Key.Key_O)
    assert (matrix.scale.currentIndex(), matrix.order.currentIndex()) == (scale + 1, order + 1)
    QTest.keyClick(heat, Qt.Key.Key_R)
    assert not matrix.diagonal.isChecked()
    QTest.keyClick(heat, Qt.Key.Key_Plus)
    assert heat.zoom > 1
    QTest.keyClick(heat, Qt.Key.Key_Home)
    assert heat.zoom == 1


def test_regions_of_several_classes() -> None:
    rows = np.zeros(4, ROW)
    rows["target"], rows["prediction"], rows["area"] = [0, 1, 2, 3], [3, 0, 0, 0], 5
    table = RegionTable(("a",), rows)
    chosen = table.selected(RegionFilter(target=(1, 2), prediction=0))
    assert chosen.rows["target"].tolist() == [1, 2]
    assert len(table.selected(RegionFilter(prediction=(3, 0)))) == 4
    assert len(table.selected(RegionFilter(target=(9,)))) == 0


# -- scores --------------------------------------------------------------------------------------


def _images(count: int = 40) -> list[ImageRow]:
    return [
        ImageRow(f"town/{number:02}.png", number / count, 1 - number / count)
        for number in range(count - 1)
    ] + [ImageRow("town/last.png", NAN, NAN)]


def test_images_are_sorted_and_filtered_as_columns(qapp, qtmodeltester) -> None:
    model = ImageScoreModel()
    model.set_rows(_images())
    qtmodeltester.check(model)
    model.sort(model.MIOU, Qt.SortOrder.DescendingOrder)
    assert model.shown[0] == "town/38.png" and model.shown[-1] == "town/last.png"
    model.sort(model.MIOU)
    assert model.shown[0] == "town/00.png" and model.shown[-1] == "town/last.png"
    kept = model.index(5, 1)
    persistent = [kept]
    model.set_range((0.1, 0.2))
    assert model.shown == [f"town/{number:02}.png" for number in range(4, 9)]
    model.set_text("TOWN 7")
    assert model.shown == ["town/07.png"]
    model.set_text("")
    model.set_range(None)
    assert model.rowCount() == 40 and persistent
    model.sort(model.NAME, Qt.SortOrder.DescendingOrder)
    assert model.shown[0] == "town/last.png"
    images: list[str] = []
    model.set_thumbnails(lambda sample_id: images.append(sample_id))
    model.index(0, 0).data(Qt.ItemDataRole.DecorationRole)
    assert images == ["town/last.png"]


def test_a_drag_over_the_histogram_filters(qtbot) -> None:
    images, classes = ImageScoreModel(), ScoreTableModel()
    panel = _shown(ScoresPanel(classes, images), qtbot)
    images.set_rows(_images())
    classes.set_rows(
        [ClassRow("road", ClassColor(0, (1, 2, 3)), pooled_iou=0.5, interval=(0.4, 0.6))], None
    )
    panel.set_summary("run", miou="0.5", accuracy="0.9", images=40)
    histogram: ScoreHistogram = panel.histogram
    assert histogram.bars.sum() == 39, "an image without a score is in no bin"
    frame = histogram._frame()

    def at(score: float) -> QPoint:
        x = round(frame.left() + score * frame.width())
        return QPoint(x, round(frame.center().y()))

    QTest.mousePress(histogram, LEFT, pos=at(0.5))
    QTest.mouseMove(histogram, at(0.25))
    QTest.mouseRelease(histogram, LEFT, pos=at(0.25))
    low, high = histogram.range
    assert (low, high) == (pytest.approx(0.25, abs=0.011), pytest.approx(0.5, abs=0.011))
    mious = dict((row.sample_id, row.miou) for row in _images())
    assert set(images.shown) == {key for key, value in mious.items() if low <= value <= high}
    asked: list[tuple] = []
    panel.subset_requested.connect(lambda ids, title: asked.append((ids, title)))
    panel.as_list.click()
    assert asked == [(images.shown, f"mIoU {low:.2f} to {high:.2f}")]
    QTest.mouseClick(histogram, LEFT, pos=at(0.9))
    assert histogram.range is None and images.rowCount() == 40
    assert not panel.as_list.isVisible()
    histogram.setFocus()
    QTest.keyClick(histogram, Qt.Key.Key_Right)
    assert histogram.range == (0.05, 0.30)
    QTest.keyClick(histogram, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert histogram.range == (0.05, 0.35)
    QTest.keyClick(histogram, Qt.Key.Key_Escape)
    assert histogram.range is None
    panel.search.setText("last")
    assert images.shown == ["town/last.png"]


def test_bars_have_the_length_of_their_number(qtbot) -> None:
    classes = ScoreTableModel()
    panel = _shown(ScoresPanel(classes, ImageScoreModel()), qtbot)
    rows = [
        ClassRow("a", ClassColor(0, (1, 2, 3)), pooled_iou=value) for value in (0.0, 0.5, 1.0, NAN)
    ]
    classes.set_rows(rows, None)
    panel.set_summary("run", miou="", accuracy="", images=1)
    view = panel.class_view
    accent = theme().accent

    def length(row: int, image: QImage) -> int:
        rect = view.visualRect(view.model().index(row, ScoreTableModel.POOLED))
        y = rect.center().y()
        line = [image.pixelColor(x, y).name() for x in range(rect.left(), rect.right())]
        return line.count(accent)

    image = view.viewport().grab().toImage()
    none, half, whole, nothing = (length(row, image) for row in range(4))
    assert none == nothing == 0 and whole > 20
    assert half == pytest.approx(whole / 2, abs=1.5)
    assert classes.index(0, ScoreTableModel.INTERVAL).data() == "–"
    rows[1].interval = (0.4, 0.6)
    classes.set_rows(rows, None)
    assert classes.index(1, ScoreTableModel.INTERVAL).data() == "0.40 – 0.60"
    assert view.viewport().grab().toImage() != image, "the whisker is drawn"


@pytest.mark.parametrize("width", [700, 1700])
def test_columns_never_cut_the_first_to_nothing(qtbot, width: int) -> None:
    panel = _shown(ScoresPanel(ScoreTableModel(), ImageScoreModel()), qtbot, (width, 300))
    panel.set_summary("run", miou="", accuracy="", images=1)
    view = panel.class_view
    assert view.columnWidth(0) >= 136
    if width > 1000:
        assert view.horizontalHeader().length() == view.viewport().width()


# -- objects, sparsification ---------------------------------------------------------------------


def test_sizes_in_words() -> None:
    assert size_titles((1024, 9216)) == ["below 32² px", "32² – 96²", "from 96² on"]
    assert size_titles(()) == ["all sizes"]


def test_the_table_of_objects(qtbot, qtmodeltester) -> None:
    model = ObjectTableModel()
    panel = _shown(ObjectsPanel(model), qtbot)
    rows = [
        ObjectRow("road", ClassColor(0, (1, 2, 3)), 0.9, 0.5, 0.95, 0.4, (NAN, 0.2, 0.9)),
        ObjectRow("car", ClassColor(1, (1, 2, 3)), 0.7, 0.6, 0.8, NAN, (0.1, 0.2, 0.9)),
        ObjectRow("Mean over classes", None, 0.8, 0.55, 0.87, 0.4, (0.1, 0.2, 0.9)),
    ]
    panel.set_rows(rows, (1024, 9216))
    qtmodeltester.check(model)
    assert model.columnCount() == 8
    assert [model.index(0, column).data() for column in range(8)] == [
        "road",
        "0.90",
        "0.50",
        "0.95",
        "40.0 %",
        "–",
        "0.20",
        "0.90",
    ]
    proxy = panel.view.model()
    panel.view.sortByColumn(ObjectTableModel.BOUNDARY, Qt.SortOrder.DescendingOrder)
    assert [proxy.index(row, 0).data() for row in range(3)] == ["car", "road", "Mean over classes"]
    asked: list[int] = []
    panel.class_activated.connect(asked.append)
    for row in range(3):
        panel.view.activated.emit(proxy.index(row, 0))
    assert asked == [1, 0], "the mean is no class"


def test_the_sparsification_curve_is_that_of_the_metric(qtbot) -> None:
    plot = SparsificationPlot()
    _shown(plot, qtbot, (300, 240))
    empty = plot.grab().toImage()
    histogram = np.zeros((2, 256), np.int64)
    histogram[0, :100], histogram[1, 50:] = 40, 3
    plot.set_histogram(histogram)
    for drawn, wanted in zip(plot.curves, uncertainty.sparsification(histogram), strict=True):
        np.testing.assert_array_equal(drawn, wanted)
    assert plot.grab().toImage() != empty
    plot.set_histogram(np.zeros((2, 256), np.int64))
    assert plot.curves is None


# -- slices --------------------------------------------------------------------------------------


def _slice(name: str, miou: float, samples: int = 3) -> SliceRow:
    return SliceRow(name, samples, 100, miou, (miou - 0.1, miou + 0.1), 0.9, (NAN, NAN), 0.1, NAN)


def test_slices_come_worst_first(qtbot, qtmodeltester) -> None:
    model = SliceTableModel()
    panel = _shown(SlicesPanel(model), qtbot)
    panel.set_rows([_slice("a", 0.6), _slice("b", 0.2), _slice("c", NAN)], _slice("all", 0.4, 9))
    qtmodeltester.check(model)
    proxy = panel.view.model()
    names = [proxy.index(row, 0).data() for row in range(3)]
    assert names == ["c", "b", "a"] and "3 slices of 9 images" in panel.readout.text
    assert proxy.index(1, SliceTableModel.MIOU_RANGE).data() == "0.10 – 0.30"
    assert proxy.index(1, SliceTableModel.ACCURACY_RANGE).data() == "–"
    asked: list[str] = []
    panel.slice_selected.connect(asked.append)
    place = panel.view.visualRect(proxy.index(1, 0)).center()
    QTest.mouseClick(panel.view.viewport(), LEFT, pos=place)
    assert asked == ["b"]
    panel.set_chosen("Folder: b")
    panel.show_all.click()
    assert asked == ["b", ""]
    columns: list[str] = []
    panel.column_changed.connect(columns.append)
    panel.set_classes([("road", "road"), ("car;auto", "car")])
    panel.set_column("class:car;auto")
    assert columns[-1] == panel.column == "class:car;auto" and panel.classes.isVisible()
    panel.set_tags(("weather",))
    assert panel.column == "class:car;auto", "the choice stays"
    panel.set_column("tag:weather")
    assert columns[-1] == "tag:weather" and not panel.classes.isVisible()
    panel.set_column("no such column")
    assert panel.column == "tag:weather"


def test_a_subset_of_the_images(qapp) -> None:
    from pathlib import Path

    model = SampleListModel()
    model.set_samples(tuple(Sample(f"{name}.png", Path(name)) for name in "abcdef"))
    counts: list[tuple[int, int]] = []
    titles: list[str] = []
    model.count_changed.connect(lambda *pair: counts.append(pair))
    model.subset_changed.connect(titles.append)
    model.set_subset(["e.png", "b.png", "gone.png"], "Folder: x")
    assert [model.sample_at(row).sample_id for row in range(2)] == ["b.png", "e.png"]
    assert counts[-1] == (2, 6) and titles == ["Folder: x"]
    model.set_filter("e")
    assert counts[-1] == (1, 6)
    model.set_subset(None)
    assert counts[-1] == (1, 6) and titles[-1] == ""
    model.set_filter("")
    assert counts[-1] == (6, 6)
    model.set_subset([])
    assert counts[-1] == (0, 6)


def test_a_slice_selects_its_images_in_the_window(application: Application, qtbot) -> None:
    window = application.window
    window.actions_["workspace_analyse"].trigger()
    window.actions_["panel_slices"].trigger()
    panel = window.slices_panel
    qtbot.waitUntil(lambda: window.slices.rowCount() == 1, timeout=TIMEOUT)
    table = application.analyse.questions().table(application.desk.run)
    whole = score_slice(table)
    (row,) = window.slices.rows
    assert (row.name, row.samples, row.miou) == ("images", 4, whole.miou)
    assert row.accuracy == whole.pixel_accuracy

    panel.set_column("score")
    qtbot.waitUntil(lambda: window.slices.rowCount() == 4, timeout=TIMEOUT)
    assert sum(entry.samples for entry in window.slices.rows) == 4
    worst = panel.view.model().index(0, 0)
    QTest.mouseClick(panel.view.viewport(), LEFT, pos=panel.view.visualRect(worst).center())
    assert window.samples.rowCount() == 1 and window.docks["samples"].isVisible()
    wanted = min(
        application.session.sample_scores(application.desk.run).items(), key=lambda pair: pair[1]
    )[0]
    assert window.samples.sample_at(0).sample_id == wanted
    assert window.samples_panel.subset.text().startswith("Score: 1:")
    window.samples_panel.subset.click()
    assert window.samples.rowCount() == 4 and not panel.show_all.isVisible()
    assert application.settings.get("slice_by") == "score"

    panel.set_column("class")
    qtbot.waitUntil(
        lambda: {row.name for row in window.slices.rows} <= {"with", "without"}, timeout=TIMEOUT
    )
    assert panel.classes.count() == 11
    panel.set_column("brightness")
    qtbot.waitUntil(lambda: len(application.session.store.image_facts()) == 4, timeout=TIMEOUT)


def test_merged_classes_are_remembered_by_the_project(application: Application, qtbot) -> None:
    window, session = application.window, application.session
    window.actions_["workspace_analyse"].trigger()
    qtbot.waitUntil(
        lambda: (
            application.analyse._loaded is not None
            and application.analyse._loaded.summary.missing == 0
        ),
        timeout=TIMEOUT,
    )
    panel = window.confusion_panel
    panel._selected = {2, 3}
    panel.merge_selected("ground")
    qtbot.waitUntil(lambda: session.store.note("confusion camvid") is not None, timeout=TIMEOUT)
    note = json.loads(session.store.note("confusion camvid"))
    assert [group["name"] for group in note["groups"]] == ["ground"]
    place = panel.map.cell_rect(2, 0).center().toPoint()
    QTest.mouseClick(panel.map, LEFT, pos=place)
    qtbot.waitUntil(
        lambda: (
            window.regions.rowCount() == 0
            or set(window.regions.table.rows["target"].tolist()) <= {2, 3}
        ),
        timeout=TIMEOUT,
    )
    assert "+" in window.regions_panel.pair.text()
    application.analyse._forget()
    qtbot.waitUntil(lambda: application.analyse._loaded is not None, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: panel._history.now.groups != (), timeout=TIMEOUT)
    assert panel.map.view.values.shape[0] == 10


def test_the_table_of_objects_is_that_of_the_stored_errors(application: Application, qtbot) -> None:
    window = application.window
    window.actions_["workspace_analyse"].trigger()
    qtbot.waitUntil(
        lambda: (
            application.analyse._loaded is not None
            and application.analyse._loaded.summary.missing == 0
            and window.objects.rowCount() == 12
        ),
        timeout=TIMEOUT,
    )
    summary = application.analyse._loaded.summary
    rows = window.objects._rows
    assert [row.boundary_iou for row in rows[:-1]] == pytest.approx(
        summary.boundary_iou.tolist(), nan_ok=True
    )
    mean = rows[-1]
    assert mean.inside == pytest.approx(summary.if_fixed[ErrorKind.BOUNDARY], nan_ok=True)
    assert (mean.iou, mean.boundary_iou) == (summary.miou, summary.mean_boundary_iou)
    assert mean.boundary_share == pytest.approx(summary.shares[ErrorKind.BOUNDARY])
    assert mean.sizes == pytest.approx(tuple(summary.size_miou), nan_ok=True)
    wrong = summary.counts.taxonomy
    confusion = wrong.confusion[:, :11]
    missed = confusion.sum(1) - np.diagonal(confusion)
    false = confusion.sum(0) - np.diagonal(confusion)
    boundary = wrong.kinds[ErrorKind.BOUNDARY]
    for index, row in enumerate(rows[:-1]):
        part = boundary[index].sum() + boundary[:, index].sum()
        whole = missed[index] + false[index]
        assert row.boundary_share == pytest.approx(part / whole if whole else NAN, nan_ok=True)


def test_every_panel_is_in_the_menu_and_the_palette(application: Application) -> None:
    window = application.window
    titles = {spec.title for spec in window.actions_.specs}
    for name, dock in window.docks.items():
        assert f"Panel: {dock.windowTitle()}" in titles
        window.actions_[f"panel_{name}"].trigger()
        assert not dock.isHidden()
