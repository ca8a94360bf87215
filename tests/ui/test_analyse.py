"""The Analyse workspace: from a cell of the confusion matrix to a corrected region."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QTabBar, QWidget

from segstudio.analysis.regions import IGNORED, ROW, ErrorRegion, RegionTable
from segstudio.analysis.taxonomy import ErrorKind
from segstudio.datasets.images import read_source_map
from segstudio.ui.app import Application
from segstudio.ui.canvas.region_outline import outline_lines
from segstudio.ui.models.confusion import ClassOrder, ConfusionData, Scale, view_confusion
from segstudio.ui.models.regions import RegionModel
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.confusion import ConfusionPanel
from segstudio.ui.panels.regions import RegionsPanel
from segstudio.ui.panels.uncertainty import UncertaintyData, UncertaintyPanel
from segstudio.ui.theme import theme

TIMEOUT = 20_000
LEFT = Qt.MouseButton.LeftButton

COUNTS = np.array([[80, 15, 0, 0, 5], [30, 20, 0, 0, 0], [0, 0, 0, 0, 0], [0, 6, 0, 900, 0]])
DATA = ConfusionData(
    COUNTS.astype(np.int64),
    ("road", "car", "absent", "sky"),
    tuple(
        ClassColor(index, color)
        for index, color in enumerate(((9, 9, 9), (200, 0, 0), (0, 200, 0), (0, 0, 200)))
    ),
)


# -- what of the matrix is shown -----------------------------------------------------------------


def test_shares_orders_and_what_is_left_out() -> None:
    view = view_confusion(DATA)
    assert view.rows.tolist() == [0, 1, 3], "no pixel is of the third class"
    assert view.columns.tolist() == [0, 1, 3, 4], "the last are predictions of no class"
    np.testing.assert_allclose(view.values[0], [0.80, 0.15, 0.0, 0.05])
    np.testing.assert_allclose(view.values[2], [0, 6 / 906, 900 / 906, 0])
    columns = view_confusion(DATA, scale=Scale.PREDICTION)
    np.testing.assert_allclose(columns.values[:, 1], [15 / 41, 20 / 41, 6 / 41])
    pixels = view_confusion(DATA, scale=Scale.PIXELS, diagonal=False)
    assert np.isnan(pixels.values[[0, 1, 2], [0, 1, 2]]).all()
    assert pixels.peak == 30 and pixels.values[1, 0] == 30
    assert pixels.strength.max() == pixels.strength[1, 0] == 1
    assert pixels.strength[0, 1] == pytest.approx(0.5**0.5)
    assert view_confusion(DATA, order=ClassOrder.FREQUENCY).rows.tolist() == [3, 0, 1]
    assert view_confusion(DATA, order=ClassOrder.IOU).rows.tolist() == [1, 0, 3]
    hidden = view_confusion(DATA, hidden={0, 4})
    assert hidden.rows.tolist() == [1, 3] and hidden.columns.tolist() == [1, 3]
    assert hidden.values[0, 0] == 20 / 50, "shares are of all pixels, the hidden ones too"


def test_a_cell_in_words() -> None:
    assert DATA.describe(1, 0) == (
        "car called road:  30 px  ·  60.00 % of its ground truth  ·  27.27 % of what is predicted "
        "as road"
    )
    assert DATA.describe(0, 4) == "road given no class:  5 px  ·  5.00 % of its ground truth"
    assert DATA.describe(0, 3).endswith("0.00 % of what is predicted as sky")
    assert DATA.describe(2, 2) == "absent found:  0 px"


def _show(panel: QWidget, qtbot) -> None:
    """Show a panel inside a window, as docks do."""
    window = QWidget()
    qtbot.addWidget(window)
    window.resize(800, 500)
    panel.setParent(window)
    panel.resize(800, 500)
    window.show()
    # The window deletes its children; the fixture keeps it as long as the panel.
    panel.outer = window


@pytest.fixture
def panel(qtbot) -> ConfusionPanel:
    panel = ConfusionPanel()
    panel.set_data(DATA)
    _show(panel, qtbot)
    return panel


def _middle(panel: ConfusionPanel, target: int, prediction: int) -> QPoint:
    return panel.map.cell_rect(target, prediction).center().toPoint()


def test_the_heat_map_is_a_door(panel: ConfusionPanel, qtbot) -> None:
    asked: list[tuple] = []
    panel.regions_requested.connect(lambda *pair: asked.append(pair))
    QTest.mouseMove(panel.map, _middle(panel, 1, 0))
    assert panel.readout.text.startswith("car called road")
    QTest.mouseClick(panel.map, LEFT, pos=_middle(panel, 1, 0))
    QTest.mouseClick(panel.map, LEFT, pos=_middle(panel, 0, 4))
    QTest.mouseClick(panel.map, LEFT, pos=_middle(panel, 3, 3))
    assert asked == [(1, 0), (0, 4)], "right pixels have no regions"
    cell = _middle(panel, 3, 1)
    QTest.mouseClick(panel.map, LEFT, pos=QPoint(5, cell.y()))
    QTest.mouseClick(panel.map, LEFT, pos=QPoint(cell.x(), 5))
    assert asked[2:] == [(3, None), (None, 1)]
    panel.map.setFocus()
    QTest.mouseMove(panel.map, _middle(panel, 0, 0))
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Down, Qt.Key.Key_Return):
        QTest.keyClick(panel.map, key)
    assert asked[4:] == [(3, 1)]


def test_zoom_keeps_the_cell_under_the_pointer(panel: ConfusionPanel) -> None:
    counts = np.ones((60, 61), np.int64)
    names = tuple(f"class {number}" for number in range(60))
    panel.set_data(ConfusionData(counts, names, (ClassColor(0, (9, 9, 9)),) * 60))
    place = _middle(panel, 41, 17).toPointF()
    before = panel.map.cell_rect(41, 17)
    panel.map.zoom_by(1.5, place)
    after = panel.map.cell_rect(41, 17)
    assert after.width() == pytest.approx(1.5 * before.width())
    shares = [
        ((place.x() - rect.left()) / rect.width(), (place.y() - rect.top()) / rect.height())
        for rect in (before, after)
    ]
    assert shares[0] == pytest.approx(shares[1], abs=0.01)
    begin = place.toPoint()
    QTest.mousePress(panel.map, LEFT, pos=begin)
    QTest.mouseMove(panel.map, begin + QPoint(-30, 20))
    QTest.mouseRelease(panel.map, LEFT, pos=begin + QPoint(-30, 20))
    moved = panel.map.cell_rect(41, 17).topLeft() - after.topLeft()
    assert (moved.x(), moved.y()) == (pytest.approx(-30), pytest.approx(20))
    panel.map.zoom_by(1e9)
    assert panel.map.cell_rect(41, 17).height() <= 1000, "cells do not grow without end"
    panel.map.fit()
    assert panel.map.cell_rect(41, 17) == before


def test_cells_are_painted_by_their_strength(panel: ConfusionPanel) -> None:
    def color(target: int, prediction: int) -> str:
        rect = panel.map.cell_rect(target, prediction)
        image: QImage = panel.map.grab().toImage()
        return image.pixelColor(rect.topLeft().toPoint() + QPoint(4, 4)).name()

    panel.scale.setCurrentIndex(panel.scale.findData(Scale.PIXELS))
    panel.diagonal.setChecked(False)
    assert color(1, 1) == theme().window, "right pixels are left out"
    assert color(0, 3) == theme().field, "nothing is there"
    strongest, weaker = color(1, 0), color(3, 1)
    assert len({strongest, weaker, theme().field}) == 3
    panel.set_hidden(1, True)
    assert panel.map.cell_rect(1, 0).isEmpty()
    assert panel.show_all.isVisible() and "1 hidden class" in panel.show_all.text()
    panel.show_all.click()
    assert color(1, 0) == strongest


# -- regions as rows -----------------------------------------------------------------------------


def _rows(*rows: dict) -> RegionTable:
    table = np.zeros(len(rows), ROW)
    for place, values in enumerate(rows):
        table[place]["height"] = table[place]["width"] = 1
        for name, value in values.items():
            table[place][name] = value
    return RegionTable(("b.png", "a.png"), table)


def test_rows_are_sorted_as_numbers_and_unknown_last() -> None:
    model = RegionModel()
    model.set_classes(("road", "car"), (ClassColor(0, (1, 2, 3)), ClassColor(1, (4, 5, 6))))
    model.set_regions(
        _rows(
            {"area": 100, "entropy_sum": 255 * 20, "confidence_sum": 255 * 90, "prediction": 1},
            {
                "area": 9,
                "entropy_sum": -1,
                "confidence_sum": -1,
                "runner_up_right": 3,
                "sample": 1,
                "prediction": 65535,
            },
            {
                "area": 20,
                "entropy_sum": 255 * 10,
                "confidence_sum": 255 * 10,
                "target": 1,
                "kind": 3,
            },
        )
    )

    def column(number: int) -> list[str]:
        return [model.index(row, number).data() for row in range(3)]

    assert column(model.AREA) == ["100", "9", "20"]
    assert column(model.ENTROPY) == ["0.20", "–", "0.50"]
    assert column(model.RUNNER_UP) == ["0 %", "33 %", "0 %"]
    assert column(model.PREDICTION) == ["car", "no class", "road"]
    assert column(model.KIND) == ["Boundary", "Boundary", "Invented"]
    for order, wanted in (
        (Qt.SortOrder.AscendingOrder, ["0.20", "0.50", "–"]),
        (Qt.SortOrder.DescendingOrder, ["0.50", "0.20", "–"]),
    ):
        model.sort(model.ENTROPY, order)
        assert column(model.ENTROPY) == wanted
    model.sort(model.AREA, Qt.SortOrder.AscendingOrder)
    assert column(model.AREA) == ["9", "20", "100"]
    model.sort(model.IMAGE, Qt.SortOrder.AscendingOrder)
    assert column(model.IMAGE) == ["a.png", "b.png", "b.png"]
    model.set_corrected(model.table, [1.0, None, 0.999])
    assert [column(model.FIXED)[row] for row in range(3)] == ["–", "fixed", "99 %"]
    model.sort(-1)
    assert column(model.FIXED) == ["fixed", "–", "99 %"]
    model.set_corrected(_rows(*[{"area": 1}] * 3), [0.5, 0.5, 0.5])
    assert column(model.FIXED) == ["fixed", "–", "99 %"], "an answer to an old question"
    right = int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    assert model.index(0, model.AREA).data(Qt.ItemDataRole.TextAlignmentRole) == right


def test_predictions_of_no_class_are_asked_for_as_they_are_stored(qtbot) -> None:
    panel = RegionsPanel(RegionModel())
    qtbot.addWidget(panel)
    panel.set_pair(2, 4, "car")
    assert (panel.wanted(4).target, panel.wanted(4).prediction) == (2, IGNORED)
    assert panel.wanted(5).prediction == 4
    assert panel.wanted(4).entropy is None, "regions without entropy are not left out by default"
    panel.set_entropy(0.0, 0.1)
    assert panel.wanted(4).entropy == (0.0, 0.1)


def test_an_outline_follows_the_pixels_edges() -> None:
    mask = np.array([[1, 1, 0], [0, 1, 0]], bool)
    lines = {tuple(line) for line in outline_lines(mask).tolist()}
    assert lines == {
        (0, 0, 2, 0),
        (0, 1, 1, 1),
        (1, 2, 2, 2),
        (0, 0, 0, 1),
        (1, 1, 1, 2),
        (2, 0, 2, 2),
    }


# -- how sure it was -----------------------------------------------------------------------------


def test_a_dragged_threshold_follows_the_histogram(qtbot) -> None:
    entropy = np.zeros((2, 2, 256), np.int64)
    entropy[0, 0, 0], entropy[0, 1, 51], entropy[1, 1, 204] = 700, 30, 70
    panel = UncertaintyPanel()
    panel.set_data(UncertaintyData(entropy, entropy[..., ::-1].copy(), 2.5), ("road", "car"))
    _show(panel, qtbot)
    plot = panel.entropy
    assert panel.confident.text() == (
        "Confident, below 0.10:  0.0 % of the wrong pixels, 100.0 % of the right ones"
    )
    assert panel.unsure.text().startswith("Unsure, above 0.50:  70.0 %")

    def at(value: float) -> QPoint:
        frame = plot.frame()
        return QPoint(round(frame.left() + value * frame.width()), round(frame.center().y()))

    QTest.mousePress(plot, LEFT, pos=at(0.10))
    QTest.mouseMove(plot, at(0.30))
    QTest.mouseRelease(plot, LEFT, pos=at(0.30))
    assert plot.thresholds == (pytest.approx(0.30, abs=0.011), 0.50)
    assert "30.0 % of the wrong pixels" in panel.confident.text()
    plot.set_thresholds(0.9, 0.2)
    assert plot.thresholds == (0.9, 0.9), "unsure never begins below confident"
    plot.set_thresholds(0.1, 0.5)
    panel.classes.setCurrentIndex(2)
    assert panel.unsure.text().startswith("Unsure, above 0.50:  100.0 %")
    assert "– of the right ones" in panel.unsure.text()
    assert panel.figures["auroc"].text() == "–"
    asked: list[tuple[float, float]] = []
    panel.regions_requested.connect(lambda low, high: asked.append((low, high)))
    panel._show_unsure.click()
    assert asked == [(0.5, 1.0)]


# -- the journey ---------------------------------------------------------------------------------


@pytest.fixture
def analysed(application: Application, qtbot) -> Application:
    """The Analyse workspace with the regions of the stored run."""
    application.window.actions_["workspace_analyse"].trigger()
    qtbot.waitUntil(
        lambda: (
            application.window.regions.rowCount() > 0
            and application.analyse._loaded.summary.missing == 0
        ),
        timeout=TIMEOUT,
    )
    return application


def _first(application: Application) -> ErrorRegion:
    return application.window.regions.region(0)


def test_entering_finds_the_regions_and_fills_every_panel(analysed: Application) -> None:
    window, session = analysed.window, analysed.session
    assert {name for name, dock in window.docks.items() if dock.isVisible()} >= {
        "confusion",
        "regions",
        "kinds",
    }
    assert not window.docks["samples"].isVisible()
    (job,) = [state for state in session.jobs() if state.unit == "analysed"]
    assert (job.state, job.done) == ("done", 4)
    counts = window.confusion_panel._data.counts
    regions = session.error_regions(analysed.desk.run)
    assert counts.sum() - np.trace(counts[:, :11]) == regions.all_pixels == regions.pixels
    assert window.regions.rowCount() == regions.regions
    areas = [window.regions.region(row).score for row in range(window.regions.rowCount())]
    assert areas == sorted(areas, reverse=True)
    assert [bar.key for bar in window.kinds_panel.kinds.bars] == list(ErrorKind)
    summary = session.error_summary(analysed.desk.run)
    assert {bar.value for bar in window.kinds_panel.kinds.bars} == {summary.miou}
    assert not window.regions_panel.missing.isVisible()


def test_browse_correct_and_analyse_keep_their_panels(application: Application, qtbot) -> None:
    window = application.window

    def visible() -> set[str]:
        QApplication.processEvents()
        return {name for name, dock in window.docks.items() if not dock.isHidden()}

    def tabs() -> list[list[str]]:
        QApplication.processEvents()
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        bars = window.findChildren(QTabBar, options=direct)
        inside = [bar for bar in bars if bar.isVisible() and bar.geometry().left() >= 0]
        return [[bar.tabText(place) for place in range(bar.count())] for bar in inside]

    workspaces: list[str] = []
    window.workspace_changed.connect(workspaces.append)
    work, work_tabs = visible(), tabs()
    assert work == {"samples", "layers", "classes", "scores", "jobs"}
    for _ in range(2):
        window.actions_["workspace_analyse"].trigger()
        assert visible() >= {"confusion", "regions", "kinds", "uncertainty", "scores", "jobs"}
        assert not visible() & {"samples", "layers", "classes"}
        (bottom,) = tabs()
        assert bottom[:2] + bottom[-2:] == [
            "Kinds of errors",
            "Boundaries and sizes",
            "Scores",
            "Jobs",
        ]
        assert {"Uncertainty", "Slices"} <= set(bottom)
        window.actions_["workspace_correct"].trigger()
        assert (visible(), tabs()) == (work, work_tabs)
    assert workspaces == ["analyse", "correct"] * 2, "no workspace is entered on the way"
    window.docks["layers"].hide()
    window.actions_["workspace_browse"].trigger()
    assert visible() == work
    window.actions_["workspace_correct"].trigger()
    assert visible() == work - {"layers"}
    window.actions_["reset_layout"].trigger()
    assert (visible(), tabs()) == (work, work_tabs)


def test_a_cell_leads_to_a_region_and_to_a_correction(
    analysed: Application, dataset_folder: Path, qtbot
) -> None:
    window, desk = analysed.window, analysed.desk
    counts = window.confusion_panel._data.counts.copy()
    np.fill_diagonal(counts, 0)
    target, prediction = (int(place) for place in np.unravel_index(counts.argmax(), counts.shape))
    heat = window.confusion_panel.map
    cell = heat.cell_rect(target, prediction).center().toPoint()
    QTest.mouseClick(heat, LEFT, pos=cell)
    qtbot.waitUntil(
        lambda: all(
            (window.regions.region(row).target, window.regions.region(row).prediction)
            == (target, prediction)
            for row in range(window.regions.rowCount())
        ),
        timeout=TIMEOUT,
    )
    table = window.regions.table
    assert table.rows["area"].sum() == counts[target, prediction]

    # A click brings the picture; the class is chosen and the region outlined.
    region = _first(analysed)
    view = window.regions_panel.view
    place = view.visualRect(window.regions.index(0, 0)).center()
    QTest.mouseClick(view.viewport(), LEFT, pos=place)
    qtbot.waitUntil(
        lambda: desk.shown.sample_id == region.sample_id and window.canvas._outline.line_count > 0,
        timeout=TIMEOUT,
    )
    state, box = window.canvas.view_state, region.box
    assert state.center_row == pytest.approx((box.top + box.bottom) / 2)
    assert state.center_col == pytest.approx((box.left + box.right) / 2)
    assert window.legend.active == target

    # Enter opens it in Correct, at its place and ready to paint.
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_Return)
    edit = analysed.edit
    qtbot.waitUntil(
        lambda: window.workspace == "correct" and edit.correction is not None, timeout=TIMEOUT
    )
    assert edit.correction.sample_id == region.sample_id
    assert window.legend.active == target
    qtbot.waitUntil(
        lambda: window.canvas.view_state.center_row == (box.top + box.bottom) / 2,
        timeout=TIMEOUT,
    )
    assert window.canvas._outline.line_count > 0

    # Painting it moves the image's score, and once it is saved the list says so.
    before = window.scores_panel.shown_figures[1]
    document = edit.correction.document
    viewport = window.canvas._view.viewport()
    window.tool_strip.set_size(3)
    mask = document.label_map == prediction
    mask &= read_source_map(dataset_folder / "masks" / Path(region.sample_id).name) == target

    def at(row: int, col: int) -> QPoint:
        point = window.canvas.widget_position(row + 0.5, col + 0.5).toPoint()
        return viewport.mapFrom(window.canvas, point)

    for row in range(box.top, box.bottom):
        columns = np.flatnonzero(mask[row, box.left : box.right]) + box.left
        if columns.size:
            QTest.mousePress(viewport, LEFT, pos=at(row, int(columns[0])))
            QTest.mouseMove(viewport, at(row, int(columns[-1])))
            QTest.mouseRelease(viewport, LEFT, pos=at(row, int(columns[-1])))
    qtbot.waitUntil(lambda: window.scores_panel.shown_figures[1] != before, timeout=TIMEOUT)
    assert (document.label_map[box.slices][mask[box.slices]] == target).all()
    window.actions_["workspace_analyse"].trigger()
    fixed = RegionModel.FIXED
    qtbot.waitUntil(lambda: window.regions.index(0, fixed).data() == "fixed", timeout=TIMEOUT)
    assert _first(analysed) == region, "regions are the model's errors, corrected or not"


def test_filters_reach_the_list(analysed: Application, qtbot) -> None:
    window, panel = analysed.window, analysed.window.regions_panel
    everything = window.regions.rowCount()

    def wait_for(condition) -> None:
        qtbot.waitUntil(condition, timeout=TIMEOUT)

    panel.minimal_area.setValue(65)
    wait_for(lambda: 0 < window.regions.rowCount() < everything)
    assert window.regions.table.rows["area"].min() >= 65
    panel.minimal_area.setValue(1)
    wait_for(lambda: window.regions.rowCount() == everything)
    panel.set_entropy(0.6, 1.0)
    wait_for(lambda: window.regions.rowCount() == 0)
    assert "0 regions" in panel.summary.text
    panel.set_entropy(0.0, 1.0)
    wait_for(lambda: window.regions.rowCount() == everything)
    kinds = np.bincount(window.regions.table.rows["kind"], minlength=4)
    kind = ErrorKind(int(kinds.argmax()))
    window.kinds_panel.kind_clicked.emit(kind)
    wait_for(lambda: window.regions.rowCount() == kinds[kind])
    panel.set_kind(None)
    panel.this_image.setChecked(True)
    here = analysed.desk.sample_id
    wait_for(
        lambda: (
            0 < window.regions.rowCount() < everything
            and {window.regions.region(row).sample_id for row in range(window.regions.rowCount())}
            == {here}
        )
    )
    panel.this_image.setChecked(False)
    wait_for(lambda: window.regions.rowCount() == everything)
    window.actions_["next_region"].trigger()
    wait_for(lambda: analysed.desk.shown.sample_id == _first(analysed).sample_id)
    window.actions_["next_region"].trigger()
    assert panel.view.currentIndex().row() == 1
    window.actions_["previous_region"].trigger()
    assert panel.view.currentIndex().row() == 0


def test_another_image_takes_the_outline_away(analysed: Application, qtbot) -> None:
    window = analysed.window
    window.regions_panel.select_row(0)
    qtbot.waitUntil(lambda: window.canvas._outline.line_count > 0, timeout=TIMEOUT)
    other = next(
        sample.sample_id
        for sample in analysed.session.dataset.samples
        if sample.sample_id != analysed.desk.sample_id
    )
    analysed.desk.show(other)
    qtbot.waitUntil(lambda: analysed.desk.shown.sample_id == other, timeout=TIMEOUT)
    assert window.canvas._outline.line_count == 0
    window.regions_panel.select_row(1)
    qtbot.waitUntil(lambda: window.canvas._outline.line_count > 0, timeout=TIMEOUT)
    window.actions_["workspace_browse"].trigger()
    assert window.canvas._outline.line_count == 0, "Browse shows the picture alone"


def test_without_a_run_the_panels_speak(start, dataset_folder: Path, qtbot) -> None:
    application = start(dataset_folder)
    window = application.window
    window.actions_["workspace_analyse"].trigger()
    for panel in (window.confusion_panel, window.regions_panel, window.kinds_panel):
        qtbot.waitUntil(
            lambda panel=panel: (
                panel._message.isVisible() and panel._message.text().startswith("Run a model")
            ),
            timeout=TIMEOUT,
        )
    assert application.session.jobs() == []
