"""Live counts are equal to a full recount, whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, SizeMismatchError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.editing import live_scores
from segstudio.editing.live_scores import LiveConfusion


def plain_recount(target: np.ndarray, prediction: np.ndarray, classes: int) -> np.ndarray:
    """Count without any code of the product."""
    counts = np.zeros((classes, classes + 1), np.int64)
    for row, column in zip(target.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        if row < classes:
            counts[row, min(column, classes)] += 1
    return counts


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("seed", range(4))
def test_random_strokes_undos_redos_and_cancels(kit: Any, dtype: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = kit.make_map(seed + 50, dtype=dtype)
    document = kit.make_document(kit.make_map(seed, dtype=dtype))
    live = LiveConfusion(target, document)
    told: list[int] = []
    live.updated.connect(lambda: told.append(1))
    for _ in range(40):
        deed = rng.random()
        if deed < 0.55:
            kit.random_stroke(document, rng)
        elif deed < 0.7:
            document.undo()
        elif deed < 0.85:
            document.redo()
        else:
            document.begin_stroke("cancelled")
            box = BBox(10, 10, 10 + int(rng.integers(1, 60)), 70)
            before = document.label_map[box.slices].copy()
            after = rng.integers(0, document.classes, before.shape).astype(before.dtype)
            document.apply(MaskPatch(box, before, after))
            document.abort_stroke()
        np.testing.assert_array_equal(live.confusion, live.recount())
    expected = plain_recount(target, document.label_map, document.classes)
    np.testing.assert_array_equal(live.confusion, expected)
    assert told


def test_a_closed_one_stays_as_it_was(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    live = LiveConfusion(kit.make_map(1), document)
    before = live.confusion
    live.close()
    live.close()
    kit.random_stroke(document, np.random.default_rng(0))
    np.testing.assert_array_equal(live.confusion, before)
    live.confusion[:] = -1
    np.testing.assert_array_equal(live.confusion, before)


def test_ground_truths_that_do_not_fit(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    with pytest.raises(SizeMismatchError):
        LiveConfusion(kit.make_map(0, 30, 30), document)
    with pytest.raises(LabelValueError):
        LiveConfusion(np.full(document.shape, 77, np.uint8), document)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_large_dense_and_large_sparse_changes(kit: Any, dtype: str) -> None:
    rng = np.random.default_rng(0)
    document = kit.make_document(kit.make_map(0, 600, 700, dtype=dtype))
    live = LiveConfusion(kit.make_map(1, 600, 700, dtype=dtype), document)
    box = BBox(20, 30, 590, 695)

    def change(after: np.ndarray, where: np.ndarray) -> None:
        before = document.label_map[box.slices].copy()
        document.apply(MaskPatch(box, before, np.where(where, after, before).astype(dtype)))
        np.testing.assert_array_equal(live.confusion, live.recount())

    size = (box.height, box.width)
    noise = rng.integers(0, document.classes, size)
    change(np.full(size, 5), rng.random(size) < 0.9)
    change(noise, rng.random(size) < 0.5)
    change(noise, rng.random(size) < 0.01)
    change(np.full(size, document.ignore_index), rng.random(size) < 0.9)
    while document.undo() is not None:
        np.testing.assert_array_equal(live.confusion, live.recount())


def test_a_ground_truth_in_a_file_is_let_go_of_after_much_was_looked_at(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[int] = []
    monkeypatch.setattr(
        live_scores, "release_pages", lambda target, rows: released.append(rows.start)
    )
    monkeypatch.setattr(live_scores, "_HELD_BYTES", 3 * 256 * 90)
    start = kit.make_map(0, 2000, 90)
    stored = np.memmap(tmp_path / "target", np.uint8, "w+", shape=start.shape)
    stored[:] = kit.make_map(1, 2000, 90)
    # Three cells of 256 rows may be held; the one looked at longest ago goes.
    for target, expected in ((np.array(stored), []), (stored, [256, 0, 512])):
        document = kit.make_document(start)
        live = LiveConfusion(target, document)
        released.clear()
        for top in (0, 300, 0, 600, 600, 900, 900, 1200, 1300):
            box = BBox(top, 10, top + 40, 80)
            before = document.label_map[box.slices].copy()
            document.apply(MaskPatch(box, before, (before + 1) % 5))
        assert released == expected
        np.testing.assert_array_equal(live.confusion, live.recount())
