"""What the built-in tools paint; what all tools must do is in tests/contracts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import UsageError
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.tools.brush import Brush
from segstudio.editing.tools.eraser import Eraser
from segstudio.editing.tools.fill import Fill


def connected(mask: np.ndarray) -> bool:
    """Return whether a mask is one 8-connected region."""
    import cv2

    return bool(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] == 2)


@pytest.mark.parametrize("shape", ["round", "square"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_fast_moves_leave_no_gaps(kit: Any, size: int, shape: str) -> None:
    rng = np.random.default_rng(size)
    for _ in range(8):
        document = kit.make_document(np.zeros((200, 300), np.uint8))
        driver = StrokeDriver(document, Brush(), active_class=3, options=Brush.Options(size, shape))
        points = [tuple(point) for point in (rng.random((5, 2)) * (200, 300)).tolist()]
        kit.drag(driver, points)
        assert connected(document.label_map == 3)
        for row, col in points:
            assert document.label_map[int(row), int(col)] == 3


def test_many_small_moves_paint_what_one_long_one_does(kit: Any) -> None:
    long, short = (kit.make_document(np.zeros((80, 90), np.uint8)) for _ in range(2))
    kit.drag(StrokeDriver(long, Brush(), active_class=1), [(20.5, 10.5), (60.5, 70.5)])
    steps = np.linspace((20.5, 10.5), (60.5, 70.5), 33).tolist()
    kit.drag(StrokeDriver(short, Brush(), active_class=1), [tuple(step) for step in steps])
    np.testing.assert_array_equal(long.label_map, short.label_map)


def test_a_stroke_through_the_outside_paints_only_inside(kit: Any) -> None:
    document = kit.make_document(np.zeros((40, 40), np.uint8))
    driver = StrokeDriver(document, Brush(), active_class=1, options=Brush.Options(4))
    kit.drag(driver, [(-50.0, 20.0), (90.0, 20.0), (90.0, 500.0), (20.0, 500.0), (20.0, -500.0)])
    expected = np.zeros((40, 40), np.uint8)
    expected[18:22] = expected[:, 18:22] = 1
    np.testing.assert_array_equal(document.label_map, expected)


def test_positions_that_are_none_interrupt_nothing(kit: Any) -> None:
    document = kit.make_document(np.zeros((40, 40), np.uint8))
    driver = StrokeDriver(document, Brush(), active_class=1, options=Brush.Options(1))
    kit.drag(driver, [(float("nan"), 5.0), (5.5, 5.5), (float("inf"), 7.0), (5.5, 20.5)])
    assert np.argwhere(document.label_map).tolist() == [[5, col] for col in range(5, 21)]


def test_the_secondary_button_erases(kit: Any) -> None:
    document = kit.make_document(np.zeros((40, 40), np.uint8))
    kit.drag(StrokeDriver(document, Brush(), active_class=1), [(20.0, 20.0)], secondary=True)
    assert set(np.unique(document.label_map)) == {0, 255}


def test_the_eraser_leaves_ignore_or_the_source(kit: Any) -> None:
    source = kit.make_map(4, dtype="uint16")
    document = kit.make_document(np.full(source.shape, 7, np.uint16))
    path = [(30.0, 30.0), (50.0, 80.0)]
    kit.drag(StrokeDriver(document, Eraser(), active_class=2, source=source), path)
    erased = document.label_map == 65535
    assert erased.any() and set(np.unique(document.label_map)) == {7, 65535}
    options = Eraser.Options(restore="source")
    kit.drag(StrokeDriver(document, Eraser(), active_class=2, options=options, source=source), path)
    np.testing.assert_array_equal(document.label_map, np.where(erased, source, 7))


def test_the_eraser_says_when_there_is_no_source(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    options = Eraser.Options(restore="source")
    driver = StrokeDriver(document, Eraser(), active_class=2, options=options)
    with pytest.raises(UsageError, match="empty map"):
        driver.press(kit.at("press", 5, 5))
    assert not document.in_stroke


FIGURE = np.array(
    [
        [0, 0, 1, 1, 1, 1],
        [0, 1, 0, 0, 1, 1],
        [1, 1, 0, 0, 1, 0],
        [0, 1, 1, 1, 1, 0],
    ]
)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    ("options", "filled"),
    [
        (Fill.Options(), {(1, 2), (1, 3), (2, 2), (2, 3)}),
        (
            Fill.Options(diagonal=True),
            {(0, 0), (0, 1), (1, 0), (1, 2), (1, 3), (2, 2), (2, 3)},
        ),
        (Fill.Options(contiguous=False), set(map(tuple, np.argwhere(FIGURE == 0).tolist()))),
    ],
)
def test_fill(kit: Any, dtype: str, options: Fill.Options, filled: set[tuple[int, int]]) -> None:
    document = kit.make_document(FIGURE.astype(dtype))
    stroke = kit.drag(StrokeDriver(document, Fill(), active_class=5, options=options), [(1.2, 3.9)])
    assert stroke is not None
    assert set(map(tuple, np.argwhere(document.label_map == 5).tolist())) == filled


def test_fill_runs_through_corners_only_when_asked(kit: Any) -> None:
    document = kit.make_document(np.eye(5, dtype=np.uint8))
    kit.drag(StrokeDriver(document, Fill(), active_class=5), [(2.5, 2.5)])
    assert np.argwhere(document.label_map == 5).tolist() == [[2, 2]]
    document.undo()
    options = Fill.Options(diagonal=True)
    kit.drag(StrokeDriver(document, Fill(), active_class=5, options=options), [(2.5, 2.5)])
    np.testing.assert_array_equal(document.label_map, 5 * np.eye(5, dtype=np.uint8))


def test_fill_off_the_image_and_over_itself_changes_nothing(kit: Any) -> None:
    document = kit.make_document(np.full((9, 9), 5, np.uint8))
    for point in ((-0.1, 3.0), (9.0, 3.0), (3.0, float("nan")), (4.0, 4.0)):
        assert kit.drag(StrokeDriver(document, Fill(), active_class=5), [point]) is None
    assert not document.is_dirty
