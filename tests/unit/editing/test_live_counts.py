"""The pixels of each class follow every stroke exactly."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.pointer import PointerEvent, PointerKind
from segstudio.editing.document import MaskDocument
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.live_counts import LiveCounts, count_values
from segstudio.editing.live_scores import LiveConfusion
from segstudio.editing.tool import TOOLS


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 9), (400, 300), (2100, 60)])
def test_values_are_counted_and_others_left_out(dtype: type, shape: tuple[int, int]) -> None:
    label_map = np.random.default_rng(0).integers(0, 6, shape).astype(dtype)
    label_map[0, 0] = np.iinfo(dtype).max
    expected = [np.count_nonzero(label_map == index) for index in range(5)]
    assert count_values(label_map, 5).tolist() == expected
    assert count_values(label_map[:, ::2], 5).sum() == np.count_nonzero(label_map[:, ::2] < 5)


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_counts_follow_strokes_undo_and_redo(dtype: type, scored: bool) -> None:
    start = np.random.default_rng(1).integers(0, 5, (300, 400)).astype(dtype)
    ignore = int(np.iinfo(dtype).max)
    document = MaskDocument(start, ignore_index=ignore, classes=5)
    target = np.random.default_rng(3).integers(0, 5, start.shape).astype(dtype)
    target[:60] = ignore
    live = LiveCounts(document, LiveConfusion(target, document) if scored else None)
    rng = np.random.default_rng(2)
    for step in range(30):
        name = str(rng.choice(["brush", "rectangle", "fill"]))
        driver = StrokeDriver(document, TOOLS.get(name)(), active_class=int(rng.integers(5)))
        secondary = bool(rng.integers(2))
        for kind in (PointerKind.PRESS, PointerKind.MOVE, PointerKind.RELEASE):
            row, col = rng.uniform(-20, 420, 2)
            driver.handle(PointerEvent(kind, row, col, secondary=secondary))
        if step % 3 == 0:
            document.undo()
        if step % 5 == 0:
            document.redo()
        expected = [np.count_nonzero(document.label_map == index) for index in range(5)]
        assert live.counts.tolist() == expected
    np.testing.assert_allclose(live.shares, np.array(expected) / start.size)
    live.close()
    document.undo()
    assert live.counts.tolist() == expected
