"""Label overlays: exact colours, what is hidden is clear, a box repaints only itself."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.errors import SizeMismatchError
from segstudio.core.types import BBox
from segstudio.ui.canvas.overlays import ERROR_COLOR, ErrorOverlay, LabelOverlay

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
