"""Edit history: order, names, the budget over all images."""

from __future__ import annotations

import numpy as np

from segstudio.core.types import BBox
from segstudio.editing.history import EditHistory, HistoryPool
from segstudio.editing.stroke import Piece, Stroke


def stroke(name: str, size: int = 800) -> Stroke:
    piece = Piece(BBox(1, 2, 3, 4), 0, bytes(size))
    return Stroke(name, np.dtype(np.uint8), (piece,))


NBYTES = stroke("").nbytes


def names(history: EditHistory) -> list[str]:
    return [("-" if entry.undone else "") + entry.name for entry in history.entries()]


def test_entries_are_in_order_with_the_undone_last() -> None:
    history = EditHistory()
    told: list[int] = []
    history.changed.connect(lambda: told.append(len(history.entries())))
    for state, name in enumerate("abcd"):
        history.push(stroke(name), state, state + 1)
    assert history.step_back() is not None
    found = history.step_back()
    assert found is not None and (found[0].name, found[1]) == ("c", 2)
    assert names(history) == ["a", "b", "-c", "-d"]
    found = history.step_forward()
    assert found is not None and (found[0].name, found[1]) == ("c", 3)
    assert names(history) == ["a", "b", "c", "-d"]
    history.push(stroke("e"), 3, 9)
    assert names(history) == ["a", "b", "c", "e"]
    assert history.step_forward() is None
    assert history.nbytes == 4 * NBYTES
    assert told == [1, 2, 3, 4, 4, 4, 4, 4]


def test_the_budget_is_shared_and_the_oldest_stroke_of_any_image_goes_first() -> None:
    pool = HistoryPool(max_bytes=3 * NBYTES)
    one, two = pool.history("one"), pool.history("two")
    one.push(stroke("1"), 0, 1)
    two.push(stroke("2"), 0, 1)
    one.push(stroke("3"), 1, 2)
    two.push(stroke("4"), 1, 2)
    assert (names(one), names(two)) == (["3"], ["2", "4"])
    two.push(stroke("5"), 2, 3)
    assert (names(one), names(two)) == (["3"], ["4", "5"])
    one.step_back()
    two.push(stroke("6"), 3, 4)
    assert (names(one), names(two)) == ([], ["4", "5", "6"])
    assert pool.nbytes == one.nbytes + two.nbytes == 3 * NBYTES
    assert pool.sample_ids() == ["two"]


def test_of_undone_strokes_the_farthest_goes_first() -> None:
    pool = HistoryPool(max_bytes=3 * NBYTES)
    one, two = pool.history("one"), pool.history("two")
    for state in range(3):
        one.push(stroke(str(state)), state, state + 1)
    for _ in range(3):
        one.step_back()
    two.push(stroke("x"), 0, 1)
    assert names(one) == ["-0", "-1"]
    found = one.step_forward()
    assert found is not None and found[0].name == "0"


def test_a_stroke_larger_than_the_budget_is_not_kept() -> None:
    history = EditHistory(max_bytes=NBYTES)
    history.push(stroke("small"), 0, 1)
    history.push(stroke("large", 5000), 1, 2)
    assert not history.can_undo and history.nbytes == 0


def test_forgetting_and_clearing_give_the_bytes_back() -> None:
    pool = HistoryPool()
    pool.history("one").push(stroke("1"), 0, 1)
    pool.history("two").push(stroke("2"), 0, 1)
    pool.forget("one")
    pool.forget("never seen")
    assert pool.nbytes == NBYTES
    pool.history("two").clear()
    assert pool.nbytes == 0


def test_a_history_resumes_only_where_it_was_left() -> None:
    history = EditHistory()
    history.push(stroke("1"), 0, 1)
    history.leave("print", 1)
    assert history.resume("print") == 1 and history.can_undo
    assert history.resume("print") is None and not history.can_undo
