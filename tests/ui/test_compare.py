"""The Compare workspace: linked cells, the readout, the numbers of a pair, figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, QSizeF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QWidget

from segstudio.analysis.side_by_side import (
    CellStyle,
    Column,
    ComparedImage,
    ComparedRun,
    Key,
)
from segstudio.core.label_space import load_label_space
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.datasets.encoding import write_gray, write_label_map
from segstudio.datasets.opening import open_dataset
from segstudio.project.layout import ProjectLayout
from segstudio.project.store import Store
from segstudio.session.comparison_figure import FIGURE_FORMATS
from segstudio.session.runner import count_prediction
from segstudio.session.targets import build_target_reader
from segstudio.ui.app import Application
from segstudio.ui.canvas.comparison import ComparisonGrid
from segstudio.ui.canvas.comparison_paint import GridRow, Pointed
from segstudio.ui.canvas.comparison_picture import Pyramid, build_cells, thinned
from segstudio.ui.canvas.comparison_readout import read_pixel
from segstudio.ui.canvas.comparison_view import HEAD, GridGeometry, GridView
from segstudio.ui.canvas.viewport import ViewState
from segstudio.ui.dialogs.figure import FigureDialog, figure_path
from segstudio.ui.models.compare import ComparedImageModel, ComparedImageRow, signed
from segstudio.ui.palettes import ClassColor
from segstudio.ui.panels.compare_grid import CompareGridPanel
from segstudio.ui.panels.compare_legend import LegendStrip
from segstudio.ui.panels.compare_plots import DeltaBar, DeltaChart, ScatterPlot, ScatterPoint

TIMEOUT = 20_000
LEFT = Qt.MouseButton.LeftButton
NONE = Qt.KeyboardModifier.NoModifier
SPACE = load_label_space("camvid")
RUNS = ("one", "two", "three")


def _compared(height: int = 40, width: int = 60) -> ComparedImage:
    image = np.full((height, width, 3), 90, np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    entropy = np.full((height, width), 51, np.uint8)
    runs = tuple(
        ComparedRun(run, SPACE, labels + number, entropy) for number, run in enumerate(RUNS)
    )
    return ComparedImage("x.png", image, runs, labels, SPACE, pair=(0, 1))


# -- where cells are ---------------------------------------------------------------------------


def test_cells_fill_the_grid_and_do_not_overlap() -> None:
    geometry = GridGeometry(800, 600, rows=3, columns=4)
    cells = [geometry.cell_rect(row, column) for row in range(3) for column in range(4)]
    for place, cell in enumerate(cells):
        assert cell.left() >= 0 and cell.right() <= 800 and cell.top() >= HEAD
        assert not any(cell.intersects(other) for other in cells[place + 1 :])
        assert geometry.cell_at(cell.center()) == divmod(place, 4)
    assert geometry.cell_at(QPointF(400, HEAD / 2)) is None
    assert geometry.cell_at(geometry.caption_rect(1).center()) is None
    assert geometry.content_height <= 600
    assert geometry.visible_rows() == range(3)


def test_many_rows_scroll_and_only_those_in_view_count() -> None:
    geometry = GridGeometry(800, 600, rows=30, columns=4)
    assert geometry.content_height > 3000
    shown = geometry.visible_rows()
    assert shown.start == 0 and 3 <= len(shown) < 8
    later = GridGeometry(800, 600, 30, 4, scroll=1000.0)
    assert later.visible_rows().start > 4
    assert later.cell_rect(0, 0).bottom() < 0


def test_zoom_keeps_the_pixel_under_the_pointer() -> None:
    view = GridView(ViewState(), (40, 60), QSizeF(120, 80), 1.0).fitted()
    assert view.state.scale == pytest.approx(2.0)
    assert view.image_position(QPointF(60, 40)) == pytest.approx((20.0, 30.0))
    place = QPointF(90, 10)
    before = view.image_position(place)
    near = view.zoomed(8.0, place)
    assert near.image_position(place) == pytest.approx(before, abs=0.1)
    assert not near.state.fitted
    moved = near.panned(16.0, -8.0)
    assert moved.state.center_col == pytest.approx(near.state.center_col - 2.0)
    assert moved.state.center_row == pytest.approx(near.state.center_row + 1.0)
    assert near.zoomed(1e6, place).state.scale == 64.0


def test_a_view_survives_another_image_of_its_size_only() -> None:
    view = GridView(ViewState(), (40, 60), QSizeF(120, 80), 1.0).fitted()
    near = view.zoomed(8.0, QPointF(0, 0))
    same = near.resized((40, 60), QSizeF(100, 90), 1.0)
    assert same.state == near.state
    assert near.resized((41, 60), QSizeF(100, 90), 1.0).state.fitted
    smaller = view.resized((40, 60), QSizeF(60, 40), 1.0)
    assert smaller.state.fitted and smaller.state.scale == pytest.approx(1.0)


# -- the grid ------------------------------------------------------------------------------------


@pytest.fixture
def grid(qtbot) -> ComparisonGrid:
    grid = ComparisonGrid()
    qtbot.addWidget(grid)
    grid.resize(800, 600)
    grid.set_columns([Column.PHOTO, Column.SEGMENTATION, Column.ERRORS])
    grid.set_rows([GridRow(run) for run in RUNS])
    grid.show()
    compared = _compared()
    cells = build_cells(compared, grid.visible_keys(), CellStyle())
    grid.set_image(compared.shape, cells)
    return grid


def _wheel(grid: ComparisonGrid, place: QPointF, notches: int) -> None:
    viewport = grid.viewport()
    event = QWheelEvent(
        place,
        viewport.mapToGlobal(place),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        NONE,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(viewport, event)


def _move(grid: ComparisonGrid, place: QPointF, buttons: Qt.MouseButton) -> None:
    viewport = grid.viewport()
    event = QMouseEvent(
        QEvent.Type.MouseMove,
        place,
        viewport.mapToGlobal(place),
        Qt.MouseButton.NoButton,
        buttons,
        NONE,
    )
    QApplication.sendEvent(viewport, event)


def _color(grid: ComparisonGrid, row: int, column: int, position: tuple[float, float]) -> tuple:
    place = grid.place_of(row, column, position).toPoint()
    color = grid.viewport().grab().toImage().pixelColor(place)
    return color.red(), color.green(), color.blue()


def test_cells_are_painted_in_the_classes_colours(grid: ComparisonGrid) -> None:
    for row in range(3):
        assert _color(grid, row, 0, (20, 10)) == (90, 90, 90)
        assert _color(grid, row, 1, (20, 10)) == SPACE.colors[row]
        assert _color(grid, row, 1, (20, 45)) == SPACE.colors[row + 1]
    assert grid.missing_cells() == []
    shared = [key for key in grid.cells if key[1] is Column.PHOTO]
    assert shared == [(-1, Column.PHOTO)], "all rows share one photograph"


def test_all_cells_zoom_and_move_together(grid: ComparisonGrid, qtbot) -> None:
    place = QPointF(grid.place_of(2, 1, (10.5, 50.5)).toPoint())
    with qtbot.waitSignal(grid.scale_changed):
        _wheel(grid, place, 4)
    for row in range(3):
        colors = [_color(grid, row, 1, spot) for spot in ((12.5, 48.0), (8.5, 53.0))]
        assert colors == [SPACE.colors[row + 1]] * 2, "the same pixels in every row"
    after = grid.place_of(2, 1, (10.5, 50.5))
    assert abs(after.x() - place.x()) <= 2 and abs(after.y() - place.y()) <= 2
    before = grid.view_state
    QTest.mousePress(grid.viewport(), LEFT, pos=place.toPoint())
    _move(grid, place + QPointF(12, 7), LEFT)
    QTest.mouseRelease(grid.viewport(), LEFT, pos=(place + QPointF(12, 7)).toPoint())
    assert before is not None and grid.view_state is not None
    assert grid.view_state.center_col == pytest.approx(before.center_col - 12 / before.scale)
    assert grid.view_state.center_row == pytest.approx(before.center_row - 7 / before.scale)
    assert grid.part_in_view() is not None
    grid.fit()
    assert grid.part_in_view() is None


def _brightest_beside(grid: ComparisonGrid, row: int, column: int) -> int:
    """Return the lightness of the right arm of a cross: a line of one pixel."""
    place = grid.place_of(row, column, (20.5, 30.5)).toPoint()
    picture = grid.viewport().grab().toImage()
    return max(picture.pixelColor(place + QPoint(8, down)).lightness() for down in (-1, 0, 1))


def test_the_pointer_is_told_once_per_pixel_and_shown_everywhere(grid: ComparisonGrid) -> None:
    told: list[tuple] = []
    grid.hovered.connect(lambda row, col: told.append((row, col)))
    place = grid.place_of(1, 2, (20.5, 30.5))
    _move(grid, place, Qt.MouseButton.NoButton)
    _move(grid, place + QPointF(0.4, 0), Qt.MouseButton.NoButton)
    assert told == [(20, 30)]
    # The cross has a hole: its arms are 4 to 13 pixels from its middle.
    for row, column in ((0, 0), (1, 2), (2, 1)):
        assert _brightest_beside(grid, row, column) > 200
    QApplication.sendEvent(grid.viewport(), QEvent(QEvent.Type.Leave))
    assert told[-1] == (None, None)
    assert _brightest_beside(grid, 0, 0) == 90


def test_a_zoom_by_key_moves_what_is_under_a_still_pointer(grid: ComparisonGrid) -> None:
    told: list[tuple] = []
    _move(grid, grid.place_of(0, 0, (5.5, 5.5)), Qt.MouseButton.NoButton)
    grid.hovered.connect(lambda row, col: told.append((row, col)))
    grid.set_scale(40.0)
    assert told and told[-1] != (5, 5)


def test_another_image_keeps_the_zoom(grid: ComparisonGrid) -> None:
    grid.set_scale(12.0)
    before = grid.view_state
    compared = _compared()
    grid.set_image(compared.shape, build_cells(compared, grid.visible_keys(), CellStyle()))
    assert grid.view_state == before
    other = _compared(50, 60)
    grid.set_image(other.shape, build_cells(other, grid.visible_keys(), CellStyle()))
    assert grid.view_state is not None and grid.view_state.fitted


def test_only_rows_in_view_are_asked_for(grid: ComparisonGrid, qtbot) -> None:
    grid.set_rows([GridRow(f"run {number}") for number in range(20)])
    keys = grid.visible_keys()
    assert (19, Column.SEGMENTATION) not in keys and (0, Column.SEGMENTATION) in keys
    bar = grid.verticalScrollBar()
    assert bar.maximum() > 0
    with qtbot.waitSignal(grid.rows_seen):
        bar.setValue(bar.maximum())
    assert (19, Column.SEGMENTATION) in grid.missing_cells()
    assert (0, Column.SEGMENTATION) not in grid.visible_keys()


def test_the_photograph_alone_while_a_key_is_held(grid: ComparisonGrid) -> None:
    grid.set_photo_only(True)
    assert _color(grid, 1, 1, (20, 10)) == (90, 90, 90)
    grid.set_photo_only(False)
    assert _color(grid, 1, 1, (20, 10)) == SPACE.colors[1]


def test_what_the_pointer_reads() -> None:
    compared = _compared()
    values, words = read_pixel(compared, 3, 40)
    assert values == [
        Pointed(f"{SPACE.classes[index].name}  H 0.20", ClassColor.of(SPACE.classes[index]))
        for index in (1, 2, 3)
    ]
    assert words.startswith(f"row 3  col 40   ·   ground truth {SPACE.names[1]}")
    assert words.endswith(f"three {SPACE.names[3]}  H 0.20")


def test_levels_and_thinning_keep_the_picture_in_its_place(qtbot) -> None:
    pixels = np.zeros((300, 500, 3), np.uint8)
    pixels[:, 250:] = (255, 0, 0)
    pyramid = Pyramid(pixels)
    for level in range(3):
        image = pyramid.image(level)
        assert image.width() == -(-500 // 2**level)
        assert image.pixelColor(image.width() // 2 + 1, 5).red() == 255
        assert image.pixelColor(image.width() // 2 - 2, 5).red() == 0
    small = thinned(_compared(), 3)
    assert small.shape == (14, 20) and small.runs[1].labels.shape == (14, 20)
    assert thinned(_compared(), 1).shape == (40, 60)


# -- models and plots ----------------------------------------------------------------------------


def test_images_sort_with_what_has_no_number_last() -> None:
    nan = float("nan")
    model = ComparedImageModel()
    model.set_rows(
        [
            ComparedImageRow("a/1.png", 0.1, (0.5, 0.7), 0.02),
            ComparedImageRow("a/2.png", nan, (nan, nan), nan),
            ComparedImageRow("b/3.png", 0.4, (0.6, 0.2), 0.01),
        ]
    )

    def names() -> list[str]:
        return [model.row(place).sample_id for place in range(3)]

    assert names() == ["b/3.png", "a/1.png", "a/2.png"], "most disagreement first"
    model.sort(model.DELTA, Qt.SortOrder.DescendingOrder)
    assert names() == ["a/1.png", "b/3.png", "a/2.png"]
    model.sort(model.DELTA, Qt.SortOrder.AscendingOrder)
    assert names() == ["b/3.png", "a/1.png", "a/2.png"]
    model.sort(model.NAME, Qt.SortOrder.DescendingOrder)
    assert names() == ["b/3.png", "a/2.png", "a/1.png"]
    texts = [model.data(model.index(0, column)) for column in range(6)]
    assert texts == ["3.png", "40.0 %", "0.60", "0.20", "\N{MINUS SIGN}0.40", "1.0 %"]
    assert model.data(model.index(1, model.DELTA)) == "\N{EN DASH}"
    assert model.row_of("a/1.png") == 2 and model.row_of("nothing") == -1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.123, "+0.12"), (-0.123, "\N{MINUS SIGN}0.12"), (-0.001, "0.00"), (0.0, "0.00")],
)
def test_signs(value: float, text: str) -> None:
    assert signed(value) == text


def test_the_chart_reaches_beyond_every_interval(qtbot) -> None:
    chart = DeltaChart()
    qtbot.addWidget(chart)
    bar = DeltaBar("road", ClassColor(0, (1, 2, 3)), (0.5, 0.62), 0.12, (-0.02, 0.24))
    chart.set_bars([bar])
    assert chart.reach() == 0.25 and not bar.is_clear
    assert DeltaBar("x", None, (0.5, 0.4), -0.1, (-0.2, -0.01)).is_clear
    chart.resize(400, chart.sizeHint().height())
    image = chart.grab().toImage()
    middle = 28 + 12  # the first row
    blues = [image.pixelColor(x, middle - 3).red() > 150 for x in range(120, 330)]
    assert any(blues), "B's orange to the right"
    chart.set_bars(
        [DeltaBar("none", ClassColor(0, (1, 2, 3)), (float("nan"),) * 2, float("nan"), (0.0, 0.0))]
    )
    chart.grab()


def test_a_point_opens_its_image(qtbot) -> None:
    plot = ScatterPlot()
    qtbot.addWidget(plot)
    plot.resize(300, 260)
    nan = float("nan")
    points = [
        ScatterPoint("a", 0.2, 0.8),
        ScatterPoint("b", 0.7, 0.3),
        ScatterPoint("c", nan, 0.3),
    ]
    plot.set_points(points)
    assert [point.sample_id for point in plot.points] == ["a", "b"]
    a, b = (plot.place_of(point) for point in plot.points)
    assert a.x() < b.x() and a.y() < b.y(), "A to the right, B upwards"
    with qtbot.waitSignal(plot.sample_clicked) as clicked:
        QTest.mouseClick(plot, LEFT, pos=b.toPoint() + QPoint(2, 2))
    assert clicked.args == ["b"]
    clicks: list[str] = []
    plot.sample_clicked.connect(clicks.append)
    QTest.mouseClick(plot, LEFT, pos=((a + b) / 2).toPoint())
    assert clicks == []


def test_the_legend_breaks_lines_and_tells_the_class(qtbot) -> None:
    legend = LegendStrip()
    qtbot.addWidget(legend)
    legend.resize(500, 100)
    classes = [Key(f"class number {number}", (number, 0, 0)) for number in range(6)]
    legend.set_entries(classes, [Key("wrong, unsure", (9, 9, 9))])
    assert legend.sizeHint().height() > 40
    legend.show()
    told: list[str] = []
    legend.class_hovered.connect(told.append)
    QTest.mouseMove(legend, legend.place_of("class number 4"))
    QTest.mouseMove(legend, legend.place_of("wrong, unsure"))
    assert told == ["class number 4", ""], "a key is no class"


# -- the workspace -------------------------------------------------------------------------------


@pytest.fixture
def three_runs(dataset_folder: Path) -> tuple[str, ...]:
    """Three finished runs, wrong in a block of 8, 16 and 24 columns of each image."""
    dataset = open_dataset(dataset_folder)
    space = dataset.label_space
    assert space is not None
    folder = dataset_folder / ".segstudio"
    folder.mkdir()
    layout, reader = ProjectLayout(folder), build_target_reader(dataset, space)
    assert reader is not None
    store = Store(layout.database)
    for number, name in enumerate(RUNS, 1):
        run = store.begin_run(name, name, name, space, {})
        for sample in dataset.samples:
            prediction = dataset.read_target(sample, space).copy()
            prediction[:4] = 0
            block = (slice(16, 24), slice(0, 8 * number))
            prediction[block] = (prediction[block] + 1) % 11
            levels = np.full(prediction.shape, 20 * number, np.uint8)
            write_label_map(layout.layer(run, "labels", sample.sample_id), prediction)
            for layer in ("entropy", "confidence", "runner_up"):
                write_gray(layout.layer(run, layer, sample.sample_id), levels)
            key, miou, counts = count_prediction(reader, sample, prediction, levels, levels)
            store.finish_sample(
                run, sample.sample_id, seconds=0.1, counts=(key, miou, counts.to_bytes())
            )
    store.close()
    return RUNS


@pytest.fixture
def comparing(
    start: Callable[..., Application], dataset_folder: Path, three_runs, qtbot
) -> Application:
    """The window in Compare, with everything read."""
    application = start(dataset_folder)
    application.window.actions_["workspace_compare"].trigger()
    panel = application.window.compare_panel
    qtbot.waitUntil(
        lambda: (
            application.compare.compared is not None
            and not application.window.compare_grid.grid.missing_cells()
            and panel.images.rowCount() == 4
            and panel.images.row(0).disagreement == panel.images.row(0).disagreement
        ),
        timeout=TIMEOUT,
    )
    return application


def _shows(application: Application, sample_id: str) -> bool:
    compared = application.compare.compared
    return compared is not None and compared.sample_id == sample_id


def test_every_model_is_a_row(comparing: Application) -> None:
    window, grid = comparing.window, comparing.window.compare_grid.grid
    assert [row.title for row in grid.rows] == list(RUNS)
    assert [row.badge for row in grid.rows] == ["A", "B", ""]
    scores = comparing.session.sample_scores("two")
    assert grid.rows[1].remark == f"mIoU {scores['images/0.png']:.2f}"
    assert window.compare_grid.has_grid and window.docks["compare"].isVisible()
    assert not window.tool_column.isVisible()
    names = {key.name for key in window.compare_grid.legend.classes}
    target = comparing.session.read_target("images/0.png")
    assert {SPACE.names[index] for index in np.unique(target) if index != 255} <= names
    assert grid.hasFocus() or not window.isActiveWindow()


def test_another_image_comes_with_all_its_cells(comparing: Application, qtbot) -> None:
    grid = comparing.window.compare_grid.grid
    grid.set_scale(3.0)
    before = grid.view_state
    comparing.window.actions_["next_sample"].trigger()
    qtbot.waitUntil(lambda: _shows(comparing, "images/1.png"), timeout=TIMEOUT)
    assert grid.missing_cells() == []
    assert grid.view_state == before
    assert comparing.compare.compared is not None
    for run, number in zip(comparing.compare.compared.runs, (1, 2, 3), strict=True):
        target = comparing.compare.compared.target
        assert int(((run.labels != target) & (target != 255)).sum()) == 8 * 8 * number


def test_an_image_chosen_elsewhere_is_shown_on_return(comparing: Application, qtbot) -> None:
    comparing.window.set_workspace("browse")
    comparing.desk.show("images/2.png")
    qtbot.waitUntil(lambda: comparing.desk.shown.sample_id == "images/2.png", timeout=TIMEOUT)
    comparing.window.set_workspace("compare")
    qtbot.waitUntil(lambda: _shows(comparing, "images/2.png"), timeout=TIMEOUT)


def test_the_readout_names_every_model(comparing: Application) -> None:
    window, grid = comparing.window, comparing.window.compare_grid.grid
    _move(grid, grid.place_of(2, 1, (20.5, 12.5)), Qt.MouseButton.NoButton)
    compared = comparing.compare.compared
    assert compared is not None and compared.target is not None
    right = SPACE.names[compared.target[20, 12]]
    wrong = SPACE.names[(compared.target[20, 12] + 1) % 11]
    text = window.status.readout.text
    assert text.startswith("row 20  col 12   ·   ground truth " + right)
    assert f"one {right}  H 0.08" in text and f"two {wrong}  H 0.16" in text
    assert f"three {wrong}" in text


def test_columns_and_opacity_are_remembered(comparing: Application, qtbot) -> None:
    panel, settings = comparing.window.compare_grid, comparing.session.settings
    panel.toggle(Column.DISAGREEMENT).trigger()
    panel.toggle(Column.PHOTO).trigger()
    qtbot.waitUntil(lambda: not panel.grid.missing_cells(), timeout=TIMEOUT)
    assert (2, Column.DISAGREEMENT) in panel.grid.cells
    assert "DISAGREEMENT" in settings.get("compare_columns")
    assert "PHOTO" not in settings.get("compare_columns")
    assert [key.name for key in panel.legend.keys].count("others disagree") == 1
    comparing.window.actions_["opacity_down"].trigger()
    before = dict(panel.grid.cells)
    qtbot.waitUntil(
        lambda: (
            panel.grid.cells.get((0, Column.SEGMENTATION)) is not before[0, Column.SEGMENTATION]
        ),
        timeout=TIMEOUT,
    )
    assert settings.get("compare_opacity") == 90
    again = type(comparing.compare._choice)(comparing.window, comparing.session)
    assert Column.PHOTO not in again.columns() and again.opacity() == 90


def test_check_buttons_fold_into_a_menu_where_there_is_no_room(
    qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = QWidget()  # as docks do: a window of its own would pass on its smallest size
    qtbot.addWidget(window)
    panel = CompareGridPanel(window)
    panel.set_columns([Column.PHOTO, Column.ERRORS])
    panel.show_grid()
    panel.resize(1500, 700)
    window.show()
    assert panel._toggles[0].isVisible() and not panel._more.isVisible()
    panel.resize(700, 700)
    assert not panel._toggles[0].isVisible() and panel._more.isVisible()
    assert panel._more.text() == "Columns  2 of 8"
    chosen: list[list[str]] = []
    panel.columns_chosen.connect(chosen.append)
    menu = panel._more.menu()
    hidden: list[bool] = []
    menu.aboutToHide.connect(lambda: hidden.append(True))
    # Offscreen no menu pops up, and one that is not shown has no places.
    monkeypatch.setattr(type(menu), "actionAt", lambda *_: panel.toggle(Column.ENTROPY))
    place = QPointF(5, 5)
    kind = QEvent.Type.MouseButtonRelease
    QApplication.sendEvent(menu, QMouseEvent(kind, place, place, LEFT, LEFT, NONE))
    assert hidden == [], "several can be checked"
    assert chosen == [["PHOTO", "ENTROPY", "ERRORS"]]
    assert panel.grid.columns == (Column.PHOTO, Column.ENTROPY, Column.ERRORS)


def test_models_are_chosen_and_remembered(comparing: Application, qtbot) -> None:
    panel = comparing.window.compare_grid
    actions = {action.text(): action for action in panel._menu.actions()}
    actions["one"].trigger()
    assert comparing.compare.runs == ("two", "three")
    assert comparing.compare.pair == ("two", "three")
    qtbot.waitUntil(
        lambda: (
            comparing.compare.compared is not None and len(comparing.compare.compared.runs) == 2
        ),
        timeout=TIMEOUT,
    )
    assert comparing.compare._choice.runs() == (("two", "three"), ("two", "three"))
    actions["two"].trigger()
    actions["three"].trigger()
    assert comparing.compare.runs == () and panel.has_grid, "others can be checked"
    assert comparing.window.compare_panel.images.rowCount() == 0


def test_the_numbers_of_the_pair(comparing: Application) -> None:
    panel = comparing.window.compare_panel
    expected = comparing.session.comparisons.pair("one", "two")
    bars = panel.chart.bars
    assert bars[0].name == "mIoU" and len(bars) == 12
    assert bars[0].delta == pytest.approx(expected.pooled[1]["miou"] - expected.pooled[0]["miou"])
    assert bars[0].interval == expected.miou_interval
    deltas = [bar.delta for bar in bars[1:]]
    assert deltas == sorted(deltas, reverse=True)
    assert {bar.name: bar.delta for bar in bars[1:]} == {
        entry.name: entry.delta for entry in expected.classes
    }
    assert len(panel.scatter.points) == 4
    labelled, part = 4 * 60 * 96, 4 * 8 * 8
    assert f"only A right {100 * part / labelled:.1f} %" in panel.summary.text
    assert "only B right 0.0 %" in panel.summary.text
    kappa = comparing.session.comparisons.consensus(RUNS).kappa
    np.testing.assert_array_equal(panel.matrix._values, kappa)
    panel.measure.setCurrentIndex(1)
    np.testing.assert_allclose(panel.matrix._values[0, 2], 1 - 16 * 8 / (64 * 96))
    rows = [panel.images.row(place) for place in range(4)]
    assert rows[0].disagreement == pytest.approx((8 + 16 + 8) * 8 / (64 * 96) / 3)


def test_a_click_on_the_matrix_chooses_the_pair(comparing: Application, qtbot) -> None:
    panel = comparing.window.compare_panel
    QTest.mouseClick(panel.matrix, LEFT, pos=panel.matrix.cell_rect(2, 0).center().toPoint())
    assert comparing.compare.pair == ("three", "one")
    qtbot.waitUntil(lambda: panel.chart.bars[0].delta > 0, timeout=TIMEOUT)
    assert [row.badge for row in comparing.window.compare_grid.grid.rows] == ["B", "", "A"]
    assert "only B right" in panel.summary.text and "only A right 0.0 %" in panel.summary.text
    panel.exchange()
    assert comparing.compare.pair == ("one", "three")
    panel.a.setCurrentText("three")
    panel.a.activated.emit(panel.a.currentIndex())
    assert comparing.compare.pair == ("three", "one"), "twice the same exchanges them"


def test_a_point_and_a_row_open_their_image(comparing: Application, qtbot) -> None:
    panel = comparing.window.compare_panel
    point = next(entry for entry in panel.scatter.points if entry.sample_id == "images/2.png")
    panel.scatter.sample_clicked.emit(point.sample_id)
    qtbot.waitUntil(lambda: _shows(comparing, "images/2.png"), timeout=TIMEOUT)
    panel.table.selectRow(panel.images.row_of("images/3.png"))
    qtbot.waitUntil(lambda: _shows(comparing, "images/3.png"), timeout=TIMEOUT)
    assert panel.selected_samples() == ["images/3.png"]
    comparing.compare_numbers.refresh()
    assert panel.selected_samples() == ["images/3.png"]


def test_a_class_stands_out_while_its_name_is_pointed_at(comparing: Application, qtbot) -> None:
    panel = comparing.window.compare_grid
    before = panel.grid.cells[0, Column.SEGMENTATION]
    panel.legend.class_hovered.emit(panel.legend.classes[0].name)
    qtbot.waitUntil(lambda: panel.grid.cells[0, Column.SEGMENTATION] is not before, timeout=TIMEOUT)
    lit = panel.grid.cells[0, Column.SEGMENTATION]
    panel.legend.class_hovered.emit("")
    qtbot.waitUntil(lambda: panel.grid.cells[0, Column.SEGMENTATION] is not lit, timeout=TIMEOUT)
    last = panel.grid.cells[0, Column.SEGMENTATION]
    assert last.picture.image().constBits() == before.picture.image().constBits()
    assert lit.picture.image().constBits() != before.picture.image().constBits()


def test_strokes_are_seen_in_every_row(comparing: Application, qtbot) -> None:
    window = comparing.window
    window.compare_grid.toggle(Column.CORRECTION).trigger()
    key = (-1, Column.CORRECTION)
    qtbot.waitUntil(lambda: key in window.compare_grid.grid.cells, timeout=TIMEOUT)
    assert window.compare_grid.grid.cells[key].remark == "not corrected"
    window.set_workspace("correct")
    qtbot.waitUntil(lambda: comparing.edit.correction is not None, timeout=TIMEOUT)
    window.set_workspace("compare")
    qtbot.waitUntil(
        lambda: window.compare_grid.grid.cells[key].picture is not None, timeout=TIMEOUT
    )
    document = comparing.edit.correction.document
    new = (int(document.label_map[40, 40]) + 1) % 11
    before = window.compare_grid.grid.cells[key]
    document.begin_stroke("test")
    box = BBox(38, 38, 43, 43)
    old = document.label_map[box.slices].copy()
    document.apply(MaskPatch(box, old, np.full_like(old, new)))
    document.commit_stroke()
    qtbot.waitUntil(lambda: window.compare_grid.grid.cells[key] is not before, timeout=TIMEOUT)
    color = window.compare_grid.grid.cells[key].picture.image().pixelColor(40, 40)
    assert (color.red(), color.green(), color.blue()) == SPACE.colors[new]
    assert comparing.compare.compared.correction[40, 40] == new


def test_without_runs_there_is_a_door_to_the_run_dialog(
    start, dataset_folder: Path, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    application = start(dataset_folder)
    asked: list[bool] = []
    panel = application.window.compare_grid
    panel.run_requested.connect(lambda: asked.append(True))
    monkeypatch.setattr(application.predict, "start", lambda *_args, **_kwargs: None)
    panel.run_requested.disconnect(application.predict.ask)
    application.window.actions_["workspace_compare"].trigger()
    assert not panel.has_grid
    (link,) = panel._empty.links
    link.click()
    assert asked == [True]


def test_one_model_alone_is_shown_and_asks_for_another(application: Application, qtbot) -> None:
    application.window.actions_["workspace_compare"].trigger()
    qtbot.waitUntil(lambda: application.compare.compared is not None, timeout=TIMEOUT)
    grid = application.window.compare_grid.grid
    assert [row.badge for row in grid.rows] == [""]
    panel = application.window.compare_panel
    assert "two models" in panel._scores._text.text()


# -- figures -------------------------------------------------------------------------------------


def test_the_dialog_names_its_files(qtbot, tmp_path: Path) -> None:
    dialog = FigureDialog("a/1.png", ["a/1.png", "b/2.jpg"], tmp_path, zoomed=True, form="svg")
    qtbot.addWidget(dialog)
    choice = dialog.choice()
    assert choice.targets == (tmp_path / "a" / "1.svg",) and choice.in_view
    assert not dialog._dpi.isEnabled(), "an SVG has no pixels"
    dialog._images.setCurrentIndex(1)
    assert dialog.choice().targets == (tmp_path / "a" / "1.svg", tmp_path / "b" / "2.svg")
    dialog._folder.clear()
    assert not dialog._start.isEnabled()
    assert set(FIGURE_FORMATS) == {
        dialog._format.itemData(place) for place in range(dialog._format.count())
    }
    single = FigureDialog("a/1.png", ["b/2.jpg"], tmp_path, zoomed=False)
    qtbot.addWidget(single)
    assert single._images.count() == 1 and single._part.count() == 1
    assert figure_path(tmp_path, "a/x.y.png", "pdf") == tmp_path / "a" / "x.y.pdf"


def _answer(monkeypatch: pytest.MonkeyPatch, changes: Callable[[FigureDialog], None]) -> None:
    def accept(dialog: FigureDialog) -> int:
        changes(dialog)
        return int(FigureDialog.DialogCode.Accepted)

    monkeypatch.setattr(FigureDialog, "exec", accept)


def _notice(application: Application, kind: str) -> str:
    notices = application.window.notices
    if "figure" not in notices.topics():
        return ""
    notice = notices.notice("figure")
    return notice.text if notice._kind == kind else ""


def test_figures_are_written_and_not_replaced_unasked(
    comparing: Application, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel = comparing.window.compare_panel
    panel.table.selectAll()
    folder = tmp_path / "figures"

    def several(dialog: FigureDialog) -> None:
        dialog._images.setCurrentIndex(1)
        dialog._dpi.setCurrentIndex(0)
        dialog._folder.setText(str(folder))

    _answer(monkeypatch, several)
    comparing.window.actions_["export_figure"].trigger()
    qtbot.waitUntil(lambda: "4 figures" in _notice(comparing, "done"), timeout=TIMEOUT)
    files = sorted(folder.rglob("*.png"))
    assert [path.name for path in files] == ["0.png", "1.png", "2.png", "3.png"]
    stamps = [path.stat().st_mtime_ns for path in files]
    asked: list[str] = []

    def refuse(box: QMessageBox) -> int:
        asked.append(box.text())
        box.button(QMessageBox.StandardButton.Cancel).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", refuse)
    comparing.window.notices.dismiss("figure")
    comparing.window.actions_["export_figure"].trigger()
    assert len(asked) == 1 and asked[0].startswith("4 files are there already")
    assert [path.stat().st_mtime_ns for path in files] == stamps
    assert _notice(comparing, "done") == ""
    assert comparing.session.settings.get("figure_folder") == str(folder)


def test_a_target_that_cannot_be_written_is_one_sentence(
    comparing: Application, qtbot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    _answer(monkeypatch, lambda dialog: dialog._folder.setText(str(tmp_path / "file")))
    comparing.window.compare_grid.figure_requested.emit()
    qtbot.waitUntil(lambda: "Cannot write" in _notice(comparing, "error"), timeout=TIMEOUT)
