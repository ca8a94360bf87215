"""The document: patches, strokes, undo and redo against snapshots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, SegStudioError, SizeMismatchError, UsageError
from segstudio.core.patch import MaskPatch
from segstudio.core.types import BBox
from segstudio.editing.document import MaskDocument, fingerprint
from segstudio.editing.driver import StrokeDriver
from segstudio.editing.history import EditHistory, HistoryPool
from segstudio.editing.tool import TOOLS


def patch_of(document: MaskDocument, box: BBox, value: int) -> MaskPatch:
    before = document.label_map[box.slices].copy()
    return MaskPatch(box, before, np.full_like(before, value))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_random_strokes_undos_and_redos_against_snapshots(kit: Any, dtype: str) -> None:
    rng = np.random.default_rng(3)
    label_map = kit.make_map(3, 300, 520, dtype=dtype)
    document = kit.make_document(label_map)
    mirror = label_map.copy()  # kept up to date by the news alone
    document.changed.connect(lambda patch: mirror.__setitem__(patch.box.slices, patch.after))
    states, now = [label_map.copy()], 0
    for _ in range(120):
        deed = rng.random()
        if deed < 0.5:
            if kit.random_stroke(document, rng) is not None:
                del states[now + 1 :]
                states.append(document.label_map.copy())
                now += 1
        elif deed < 0.8:
            now -= document.undo() is not None
        else:
            now += document.redo() is not None
        np.testing.assert_array_equal(document.label_map, states[now])
        np.testing.assert_array_equal(mirror, states[now])
        assert document.is_dirty == (now != 0)
        assert document.history.can_undo == (now > 0)
        assert document.history.can_redo == (now < len(states) - 1)
        assert len(document.history.entries()) == len(states) - 1
    assert len(states) > 10


def test_a_long_thin_stroke_is_kept_in_pieces_and_undone_exactly(kit: Any) -> None:
    label_map = kit.make_map(1, 2300, 2300)
    document = kit.make_document(label_map)
    driver = StrokeDriver(document, TOOLS.get("brush")(), active_class=4)
    stroke = kit.drag(driver, [(5.0, 5.0), (1500.0, 1400.0), (2290.0, 2290.0)])
    assert stroke is not None and len(stroke.pieces) > 5
    covered = sum(piece.box.height * piece.box.width for piece in stroke.pieces)
    assert covered < 0.4 * stroke.box.height * stroke.box.width
    painted = document.label_map.copy()
    document.undo()
    np.testing.assert_array_equal(document.label_map, label_map)
    document.redo()
    np.testing.assert_array_equal(document.label_map, painted)


def test_a_compact_stroke_is_one_piece_of_the_smallest_box(kit: Any) -> None:
    document = kit.make_document(np.zeros((600, 600), np.uint8))
    document.begin_stroke("two")
    document.apply(patch_of(document, BBox(250, 250, 260, 270), 1))
    document.apply(patch_of(document, BBox(255, 200, 300, 262), 2))
    document.apply(patch_of(document, BBox(255, 200, 300, 220), 0))
    stroke = document.commit_stroke()
    assert stroke is not None and len(stroke.pieces) == 1
    assert stroke.box == BBox(250, 220, 300, 270)
    (patch,) = stroke.toggled(document.label_map)
    assert not patch.after.any()


def test_a_stroke_that_takes_itself_back_is_none(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    document.begin_stroke("nothing")
    patch = patch_of(document, BBox(3, 3, 9, 9), 1)
    document.apply(patch)
    assert document.is_dirty
    document.apply(patch.inverse())
    assert document.commit_stroke() is None
    assert not document.is_dirty and not document.history.can_undo


def test_abort_takes_back_and_says_so(kit: Any) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    mirror = label_map.copy()
    document.changed.connect(lambda patch: mirror.__setitem__(patch.box.slices, patch.after))
    document.begin_stroke("x")
    for box in (BBox(0, 0, 40, 50), BBox(30, 30, 90, 120), BBox(10, 10, 12, 12)):
        document.apply(patch_of(document, box, box.top % 7))
    assert document.in_stroke
    document.abort_stroke()
    np.testing.assert_array_equal(document.label_map, label_map)
    np.testing.assert_array_equal(mirror, label_map)
    assert not document.in_stroke and not document.is_dirty and not document.history.can_undo
    document.abort_stroke()


def test_dirty_follows_the_content_that_was_saved(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    news: list[bool] = []
    document.state_changed.connect(lambda: news.append(document.is_dirty))
    document.apply(patch_of(document, BBox(0, 0, 20, 20), 1))
    document.mark_saved()
    assert not document.is_dirty
    document.undo()
    assert document.is_dirty
    document.redo()
    assert not document.is_dirty
    document.undo()
    document.apply(patch_of(document, BBox(40, 0, 60, 30), 2))
    document.undo()
    assert document.is_dirty
    assert news == [True, False, True, False, True, True, True]


def test_the_revision_grows_with_every_written_patch(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    seen = [document.revision]
    document.apply(patch_of(document, BBox(0, 0, 20, 20), 1))
    seen.append(document.revision)
    document.undo()
    seen.append(document.revision)
    assert seen == sorted(set(seen))


def test_nobody_else_changes_the_map(kit: Any) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    with pytest.raises(ValueError):
        document.label_map[0, 0] = 1
    label_map[:] = 0
    assert document.label_map.any()
    assert document.label_map.flags.c_contiguous


def test_an_adopted_map_is_not_copied(kit: Any) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map, adopt=True)
    assert np.shares_memory(document.label_map, label_map)
    with pytest.raises(UsageError):
        kit.make_document(kit.make_map()[:, ::2], adopt=True)


def test_patches_that_do_not_fit_are_refused_and_leave_no_trace(kit: Any) -> None:
    label_map = kit.make_map()
    document = kit.make_document(label_map)
    good = patch_of(document, BBox(0, 0, 5, 5), 1)
    unknown = patch_of(document, BBox(0, 0, 5, 5), 11)
    stale = MaskPatch(good.box, good.before ^ 1, good.after)
    wide = MaskPatch(good.box, good.before.astype(np.uint16), good.after.astype(np.uint16))
    outside = MaskPatch(BBox(88, 0, 93, 5), good.before, good.after)
    empty = MaskPatch(BBox(3, 3, 3, 3), good.before[:0, :0], good.after[:0, :0])
    for patch, error in (
        (unknown, LabelValueError),
        (stale, UsageError),
        (wide, LabelValueError),
        (outside, SizeMismatchError),
        (empty, SizeMismatchError),
    ):
        with pytest.raises(error):
            document.apply(patch)
        assert not document.in_stroke and not document.is_dirty
    np.testing.assert_array_equal(document.label_map, label_map)
    document.apply(patch_of(document, BBox(0, 0, 5, 5), 255))


def test_maps_that_cannot_be_corrected(kit: Any) -> None:
    for label_map in (
        np.zeros((3, 3), np.int64),
        np.zeros((3, 3, 3), np.uint8),
        np.full((3, 3), 40, np.uint8),
    ):
        with pytest.raises(LabelValueError):
            kit.make_document(label_map)
    with pytest.raises(UsageError):
        MaskDocument(np.zeros((3, 3), np.uint8), ignore_index=65535, classes=300)


def test_strokes_do_not_nest_and_undo_waits(kit: Any) -> None:
    document = kit.make_document(kit.make_map())
    with pytest.raises(UsageError):
        document.commit_stroke()
    document.begin_stroke("one")
    for deed in (lambda: document.begin_stroke("two"), document.undo, document.redo):
        with pytest.raises(SegStudioError, match="not finished"):
            deed()
    document.commit_stroke()
    assert document.undo() is None and document.redo() is None


def test_the_fingerprint_knows_content_size_and_type(kit: Any) -> None:
    one = kit.make_map()
    other = one.copy()
    other[5, 5] ^= 1
    prints = {fingerprint(m) for m in (one, other, one.reshape(120, 90), one.astype(np.uint16))}
    assert len(prints) == 4
    assert fingerprint(np.asfortranarray(one)) == fingerprint(one)


def test_history_survives_an_image_switch(kit: Any) -> None:
    pool = HistoryPool()
    rng = np.random.default_rng(0)
    label_map = kit.make_map()
    document = kit.make_document(label_map, history=pool.history("a.jpg"))
    while len(document.history.entries()) < 3:
        kit.random_stroke(document, rng)
    document.undo()
    content, after_undo = document.label_map.copy(), document.label_map.copy()
    document.mark_saved()
    document.close()
    kit.make_document(kit.make_map(5), history=pool.history("b.jpg")).close()

    again = kit.make_document(content, history=pool.history("a.jpg"))
    assert not again.is_dirty
    again.redo()
    assert again.is_dirty
    again.undo()
    assert not again.is_dirty
    np.testing.assert_array_equal(again.label_map, after_undo)
    while again.undo() is not None:
        pass
    np.testing.assert_array_equal(again.label_map, label_map)


def test_history_of_other_content_is_dropped(kit: Any) -> None:
    pool = HistoryPool()
    document = kit.make_document(kit.make_map(), history=pool.history("a.jpg"))
    document.apply(patch_of(document, BBox(0, 0, 5, 5), 1))
    document.close()
    again = kit.make_document(kit.make_map(9), history=pool.history("a.jpg"))
    assert again.undo() is None and pool.nbytes == 0


def test_a_listener_that_fails_does_not_lose_the_stroke(kit: Any) -> None:
    history = EditHistory()
    document = kit.make_document(kit.make_map(), history=history)

    def fail() -> None:
        raise RuntimeError("listener")

    document.state_changed.connect(fail)
    with pytest.raises(Exception, match="listener"):
        document.apply(patch_of(document, BBox(0, 0, 5, 5), 1))
    assert history.can_undo and not document.in_stroke
