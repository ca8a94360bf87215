"""Colours and patterns that the colour-blind tell apart; files keep their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QRect
from PySide6.QtGui import QImage, QPainter

from segstudio.core.class_style import (
    OWN_COLORS,
    PALETTES,
    ClassStyle,
    class_pattern,
    line_colors,
    pattern_tile,
)
from segstudio.core.label_space import load_label_space
from segstudio.core.types import BBox
from segstudio.ui.app import Application
from segstudio.ui.canvas.overlays import LabelMode
from segstudio.ui.models.legend import LegendModel
from segstudio.ui.palettes import ClassColor, class_style, set_class_style, shown_colors
from segstudio.ui.widgets.swatches import paint_class, swatch_icon

TIMEOUT = 10_000


@pytest.fixture(autouse=True)
def _own_colors() -> Iterator[None]:
    yield
    set_class_style(OWN_COLORS)


def test_colours_differ_for_as_many_classes_as_there_are_shades() -> None:
    space = load_label_space("ade20k")
    for name in PALETTES:
        set_class_style(ClassStyle(name))
        colors = shown_colors(space)
        assert len(colors) == 150 and all(0 <= part <= 255 for color in colors for part in color)
        if name == "own":
            assert colors == tuple(space.colors)
        else:
            assert len(set(colors[:24])) == 24
    set_class_style(ClassStyle("none of these", patterns=True))
    assert class_style() == ClassStyle("own", patterns=True)


def test_patterns_of_neighbouring_boxes_join_and_differ_by_class() -> None:
    labels = np.arange(16, dtype=np.uint8).repeat(16).reshape(16, 16)
    whole = class_pattern(labels, BBox(8, 24, 24, 40))
    part = class_pattern(labels[3:9, 5:12], BBox(11, 29, 17, 36))
    np.testing.assert_array_equal(part, whole[3:9, 5:12])
    tiles = [
        class_pattern(np.full((8, 8), index, np.uint8), BBox(0, 0, 8, 8)) for index in range(8)
    ]
    assert not tiles[0].any() and all(tile.any() and not tile.all() for tile in tiles[1:])
    assert len({tile.tobytes() for tile in tiles}) == 8
    again = class_pattern(np.full((8, 8), 11, np.uint16), BBox(0, 0, 8, 8))
    np.testing.assert_array_equal(again, tiles[3])
    wide = class_pattern(np.full((24, 24), 3, np.uint8), BBox(0, 0, 24, 24), step=3)
    np.testing.assert_array_equal(wide, tiles[3].repeat(3, 0).repeat(3, 1))


def _painted(entry: ClassColor, edge: int = 12) -> np.ndarray:
    """Return a swatch as (edge, edge, 3) RGB."""
    image = QImage(edge, edge, QImage.Format.Format_RGB888)
    image.fill(0)
    painter = QPainter(image)
    paint_class(painter, QRect(0, 0, edge, edge), entry)
    painter.end()
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(edge, image.bytesPerLine())
    return rows[:, : 3 * edge].reshape(edge, edge, 3).copy()


@pytest.mark.parametrize("patterns", [False, True])
@pytest.mark.parametrize("palette", PALETTES)
def test_a_swatch_is_what_the_picture_shows(qapp, palette: str, patterns: bool) -> None:
    set_class_style(ClassStyle(palette, patterns))
    for index in (0, 1, 5, 9):
        entry = ClassColor(index, (200, 60, 90))
        color = class_style().color(index, entry.own)
        expected = np.full((12, 12, 3), color, np.uint8)
        if patterns:
            lines = np.tile(pattern_tile(index), (2, 2))[:12, :12]
            expected[lines] = line_colors(np.array([color], np.uint8))[0]
        np.testing.assert_array_equal(_painted(entry), expected)
    icon = swatch_icon(ClassColor(1, (200, 60, 90)), edge=12, ratio=2.0)
    assert icon.availableSizes()[0].width() == 24


def test_another_palette_is_shown_everywhere_and_kept(application: Application, qtbot) -> None:
    window, space = application.window, application.desk.space
    overlay = application.desk.labels["prediction"]
    row, column = 40, 80
    index = int(overlay.labels[row, column])
    window.actions_["workspace_analyse"].trigger()
    qtbot.waitUntil(lambda: window.confusion_panel.map._data is not None, timeout=TIMEOUT)
    window.actions_["palette_okabe_ito"].trigger()
    color = shown_colors(space)[index]
    assert color != space.colors[index]
    red, green, blue = color
    assert overlay.pixels[row, column] == 0xFF000000 | red << 16 | green << 8 | blue
    # Tables, the matrix and the legend hold the class, not a colour: they cannot fall behind.
    legend = window.legend.index(index, 0).data(LegendModel.ColorRole)
    table = window.class_scores.index(index, 0).data(window.class_scores.ColorRole)
    matrix = window.confusion_panel.map._data.colors[index]
    for entry in (legend, table, matrix):
        assert isinstance(entry, ClassColor) and entry.shown == color
    assert application.session.settings.get("palette") == "okabe_ito"
    window.actions_["palette_own"].trigger()
    assert class_style().palette == "own" and legend.shown == space.colors[index]


def test_the_confusion_matrix_is_painted_in_the_other_colours(
    application: Application, qtbot
) -> None:
    window = application.window
    window.actions_["workspace_analyse"].trigger()
    heat = window.confusion_panel.map
    qtbot.waitUntil(lambda: heat._data is not None, timeout=TIMEOUT)
    before = heat.grab().toImage()
    window.actions_["palette_tol"].trigger()
    assert heat.grab().toImage() != before
    window.actions_["palette_own"].trigger()
    assert heat.grab().toImage() == before


def test_the_grid_and_its_legend_follow(application: Application, qtbot) -> None:
    window = application.window
    window.actions_["workspace_compare"].trigger()
    grid = window.compare_grid.grid
    qtbot.waitUntil(lambda: len(grid._cells) >= 3, timeout=TIMEOUT)
    column = next(key for key in grid._cells if key[1].value == "Segmentation")

    def picture() -> QImage:
        return grid._cells[column].picture.image()

    before, legend = picture().copy(), window.compare_grid.legend.grab().toImage()
    window.actions_["palette_okabe_ito"].trigger()
    qtbot.waitUntil(lambda: picture() != before, timeout=TIMEOUT)
    assert window.compare_grid.legend.grab().toImage() != legend
    plain = picture().copy()
    window.actions_["toggle_patterns"].trigger()
    qtbot.waitUntil(lambda: picture() != plain, timeout=TIMEOUT)


def test_patterns_are_drawn_kept_and_outlines_come_first(application: Application) -> None:
    window, overlay = application.window, application.desk.labels["prediction"]
    plain = overlay.pixels.copy()
    window.actions_["toggle_patterns"].trigger()
    assert overlay.mode is LabelMode.PATTERN
    assert application.session.settings.get("patterns") is True
    drawn = overlay.pixels != plain
    box = BBox(0, 0, *overlay.labels.shape)
    np.testing.assert_array_equal(drawn, class_pattern(overlay.labels, box))
    window.actions_["toggle_outlines"].setChecked(True)
    assert overlay.mode is LabelMode.OUTLINE
    window.actions_["toggle_outlines"].setChecked(False)
    assert overlay.mode is LabelMode.PATTERN
    window.actions_["toggle_patterns"].trigger()
    np.testing.assert_array_equal(overlay.pixels, plain)
    set_class_style(replace(class_style(), patterns=True))
    assert overlay.mode is LabelMode.PATTERN, "whoever sets the style"
