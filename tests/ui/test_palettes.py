"""Colours and patterns that the colour-blind tell apart; files keep their own."""

from __future__ import annotations

import numpy as np

from segstudio.core.label_space import load_label_space
from segstudio.core.types import BBox
from segstudio.ui.app import Application
from segstudio.ui.canvas.overlays import LabelMode
from segstudio.ui.canvas.patterns import class_pattern
from segstudio.ui.models.legend import LegendModel
from segstudio.ui.palettes import PALETTES, palette, set_palette, shown_colors

TIMEOUT = 10_000


def test_colours_differ_for_as_many_classes_as_there_are_shades() -> None:
    space = load_label_space("ade20k")
    try:
        for name in PALETTES:
            set_palette(name)
            colors = shown_colors(space)
            assert len(colors) == 150 and all(
                0 <= part <= 255 for color in colors for part in color
            )
            if name == "own":
                assert colors == tuple(space.colors)
            else:
                assert len(set(colors[:24])) == 24
        set_palette("none of these")
        assert palette() == "own"
    finally:
        set_palette("own")


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


def test_another_palette_is_shown_everywhere_and_kept(application: Application, qtbot) -> None:
    window, space = application.window, application.desk.space
    overlay = application.desk.labels["prediction"]
    row, column = 40, 80
    index = int(overlay.labels[row, column])
    try:
        window.actions_["palette_okabe_ito"].trigger()
        color = shown_colors(space)[index]
        assert color != space.colors[index]
        red, green, blue = color
        assert overlay.pixels[row, column] == 0xFF000000 | red << 16 | green << 8 | blue
        shown = window.legend.index(index, 0).data(LegendModel.ColorRole)
        assert (shown.red(), shown.green(), shown.blue()) == color
        assert application.session.settings.get("palette") == "okabe_ito"
        qtbot.waitUntil(
            lambda: (
                window.class_scores.index(index, 0).data(window.class_scores.ColorRole).getRgb()[:3]
                == color
            ),
            timeout=TIMEOUT,
        )
    finally:
        window.actions_["palette_own"].trigger()
    assert palette() == "own"


def test_patterns_are_drawn_and_outlines_come_first(application: Application) -> None:
    window, overlay = application.window, application.desk.labels["prediction"]
    plain = overlay.pixels.copy()
    window.actions_["toggle_patterns"].setChecked(True)
    assert overlay.mode is LabelMode.PATTERN
    drawn = overlay.pixels != plain
    box = BBox(0, 0, *overlay.labels.shape)
    np.testing.assert_array_equal(drawn, class_pattern(overlay.labels, box))
    window.actions_["toggle_outlines"].setChecked(True)
    assert overlay.mode is LabelMode.OUTLINE
    window.actions_["toggle_outlines"].setChecked(False)
    assert overlay.mode is LabelMode.PATTERN
    window.actions_["toggle_patterns"].setChecked(False)
    np.testing.assert_array_equal(overlay.pixels, plain)
