"""Label overlays: exact colours, what is hidden is clear, a box repaints only itself."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtGui import QImage

from segstudio.core.errors import SizeMismatchError
from segstudio.core.types import BBox
from segstudio.ui.canvas.buffers import Buffers
from segstudio.ui.canvas.overlays import ERROR_COLOR, ErrorOverlay, LabelOverlay
from segstudio.ui.canvas.raster import Raster, View
from segstudio.ui.canvas.raster_item import _colored

COLORS = [(10, 20, 30), (200, 100, 50), (255, 255, 255)]


def _argb(color: tuple[int, int, int]) -> int:
    red, green, blue = color
    return 0xFF000000 | red << 16 | green << 8 | blue


@pytest.fixture
def labels() -> np.ndarray:
    label_map = np.zeros((8, 12), np.uint8)
    label_map[2:6, 3:9] = 1
    label_map[6:, :] = 2
    label_map[0, 0] = 255
    return label_map


@pytest.fixture
def overlay(qapp, labels: np.ndarray) -> LabelOverlay:
    overlay = LabelOverlay("prediction")
    overlay.set_labels(labels, COLORS)
    return overlay


def test_colours_are_exact_and_ignored_pixels_clear(
    overlay: LabelOverlay, labels: np.ndarray
) -> None:
    table = np.zeros(256, np.uint32)
    table[:3] = [_argb(color) for color in COLORS]
    np.testing.assert_array_equal(overlay.pixels, table[labels])


def test_hidden_classes_are_clear(overlay: LabelOverlay, labels: np.ndarray) -> None:
    overlay.set_hidden([1])
    assert not overlay.pixels[labels == 1].any()
    assert (overlay.pixels[labels == 2] == _argb(COLORS[2])).all()
    overlay.set_hidden([])
    assert (overlay.pixels[labels == 1] == _argb(COLORS[1])).all()


def test_solo_shows_one_class_only(overlay: LabelOverlay, labels: np.ndarray) -> None:
    overlay.set_solo([2])
    assert (overlay.pixels != 0).tolist() == (labels == 2).tolist()


def test_update_box_repaints_its_box_and_no_more(overlay: LabelOverlay, labels: np.ndarray) -> None:
    before = overlay.pixels.copy()
    labels[:] = 2
    overlay.update_box(BBox(1, 2, 4, 5))
    inside = np.zeros(labels.shape, bool)
    inside[1:4, 2:5] = True
    assert (overlay.pixels[inside] == _argb(COLORS[2])).all()
    np.testing.assert_array_equal(overlay.pixels[~inside], before[~inside])


def test_what_changed_while_hidden_is_shown_later(
    overlay: LabelOverlay, labels: np.ndarray
) -> None:
    overlay.visible = False
    labels[3, 3] = 2
    overlay.update_box(BBox(3, 3, 4, 4))
    overlay.visible = True
    assert overlay.pixels[3, 3] == _argb(COLORS[2])


def test_another_size_than_the_image_is_refused(overlay: LabelOverlay) -> None:
    overlay.bind((8, 12))
    with pytest.raises(SizeMismatchError, match="prediction is 5 x 4"):
        overlay.set_labels(np.zeros((4, 5), np.uint8))
    with pytest.raises(SizeMismatchError):
        overlay.bind((9, 12))


def test_error_overlay_marks_wrong_pixels_that_count(qapp) -> None:
    target = np.zeros((8, 8), np.uint8)
    target[0] = 255
    prediction = target.copy()
    prediction[0] = 1
    prediction[4, 4] = 1
    overlay = ErrorOverlay("errors")
    overlay.set_maps(target, prediction, ignore_index=255)
    wrong = overlay.pixels == _argb(ERROR_COLOR)
    assert np.argwhere(wrong).tolist() == [[4, 4]]


def test_colours_of_other_data_are_never_shown(overlay: LabelOverlay, labels: np.ndarray) -> None:
    raster, whole = overlay._raster, BBox(0, 0, *labels.shape)
    assert raster.view(0, whole).blank == ()
    overlay.set_labels(labels)  # the same map keeps its colours until they are made anew
    assert [sheet.blank for sheet in raster._sheets] == [[]]
    assert [sheet.is_whole for sheet in raster._sheets] == [False]
    overlay.set_labels(labels.copy())
    assert raster._sheets == []
    view = raster.view(0, whole)
    assert view.whole and view.blank == ()


def test_what_is_not_coloured_yet_is_not_painted(qapp) -> None:
    box = BBox(0, 0, 100, 80)
    blank = (BBox(0, 10, 40, 30), BBox(20, 20, 120, 90))
    painted = np.zeros((100, 80), int)
    for part in _colored(box, View(QImage(), BBox(0, 0, 90, 200), blank, False)):
        painted[part.slices] += 1
    expected = np.zeros((100, 80), int)
    expected[:90] = 1
    for hole in blank:
        expected[hole.slices] = 0
    np.testing.assert_array_equal(painted, expected)


def test_a_moved_view_takes_over_what_is_coloured_and_no_more(qapp) -> None:
    rendered: list[BBox] = []
    values = np.random.default_rng(0).integers(1, 1 << 24, (2000, 3000), dtype=np.uint32)

    def render(level: int, box: BBox, out: np.ndarray) -> None:
        assert level == 0
        rendered.append(box)
        out[...] = values[box.slices]

    raster = Raster(2000, 3000, render)
    for left in (0, 500, 300, 1500):
        rendered.clear()
        before = raster._sheets[0].box if raster._sheets else None
        while not (view := raster.view(0, BBox(300, left, 1200, left + 900), budget=0.0)).whole:
            sheet = raster._sheets[0]
            known = np.ones((2000, 3000), bool)
            for box in (*sheet.blank, *sheet.stale):
                known[box.slices] = False
            inside = known[view.box.slices]
            np.testing.assert_array_equal(sheet.pixels[inside], values[view.box.slices][inside])
        np.testing.assert_array_equal(raster._sheets[0].pixels, values[view.box.slices])
        if before is not None:
            assert sum(box.height * box.width for box in rendered) < values.size
    raster.forget()
    assert raster._sheets == []


def test_buffers_are_used_again_within_their_limit() -> None:
    buffers = Buffers(3 << 20)
    one, other = buffers.take(10), buffers.take((1 << 20) + 1)
    assert one.size == 1 << 20 and other.size == 2 << 20
    buffers.give(one)
    buffers.give(other)
    assert buffers.spare == 3 << 20
    assert buffers.take(1 << 20) is one
    assert buffers.take((2 << 20) + 1) is not other  # too small
    buffers.give(np.empty(4 << 20, np.uint32))  # larger than all that may be kept
    assert buffers.spare == 2 << 20
    buffers.give(np.empty(2 << 20, np.uint32))
    assert buffers.spare == 2 << 20 and buffers.take(2 << 20) is not other
