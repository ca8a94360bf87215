"""What must hold for the errors of any label maps: sums, perfection, ignored pixels, mirrors."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.analysis.counts import sum_error_counts
from segstudio.analysis.sample import SampleErrors, analyse_sample
from segstudio.analysis.slices import score_slice
from segstudio.analysis.tables import build_run_table
from segstudio.metrics import scores
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import count_sample

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
CLASSES = 4
VALUES = [*range(CLASSES), 255]


@st.composite
def pairs(draw, height=None, width=None):
    """A target of blocks and a prediction that differs from it in some boxes."""
    height = height or draw(st.integers(1, 12))
    width = width or draw(st.integers(1, 12))
    side = draw(st.integers(1, 4))
    rows, columns = -(-height // side), -(-width // side)
    cells = draw(
        st.lists(st.sampled_from(VALUES), min_size=rows * columns, max_size=rows * columns)
    )
    blocks = np.array(cells, np.uint8).reshape(rows, columns)
    target = np.kron(blocks, np.ones((side, side), np.uint8))[:height, :width]
    prediction = target.copy()
    for _ in range(draw(st.integers(0, 4))):
        top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        box = np.s_[top : top + draw(st.integers(1, 5)), left : left + draw(st.integers(1, 5))]
        prediction[box] = draw(st.sampled_from(VALUES))
    return np.ascontiguousarray(target), prediction


def analyse(target, prediction):
    return analyse_sample(target, prediction, CLASSES, name="a")


def numbers(found: SampleErrors):
    return found.counts.to_bytes()


@PROPERTY
@given(pairs())
def test_regions_and_kinds_hold_each_wrong_pixel_once(pair):
    target, prediction = pair
    found = analyse(target, prediction)
    counted = confusion_matrix(target, prediction, CLASSES)
    wrong = int(counted.sum() - np.trace(counted[:, :CLASSES]))
    assert int(found.regions.rows["area"].sum()) == wrong
    for row in found.regions.regions():
        assert row.target != row.prediction and row.area >= 1


@PROPERTY
@given(pairs())
def test_a_map_against_itself_has_no_region(pair):
    target, _ = pair
    found = analyse(target, target)
    assert len(found.regions) == 0


@PROPERTY
@given(pairs(), st.sampled_from(VALUES))
def test_what_is_predicted_where_the_target_is_ignored_changes_nothing(pair, other):
    target, prediction = pair
    changed = np.where(target == 255, np.uint8(other), prediction)
    one, two = analyse(target, prediction), analyse(target, changed)
    assert numbers(one) == numbers(two)
    np.testing.assert_array_equal(one.regions.rows, two.regions.rows)


@PROPERTY
@given(pairs())
def test_a_mirrored_image_has_the_same_counts(pair):
    target, prediction = pair
    there = analyse(*(np.ascontiguousarray(part[:, ::-1]) for part in pair))
    assert numbers(analyse(target, prediction)) == numbers(there)


@PROPERTY
@given(st.lists(pairs(), min_size=1, max_size=5), st.data())
def test_a_slice_is_the_sum_of_its_samples(found, data):
    counted = [
        (f"{place}.png", count_sample(target, prediction, CLASSES, kernel="numpy"))
        for place, (target, prediction) in enumerate(found)
    ]
    table = build_run_table(counted, CLASSES)
    picks = st.lists(st.booleans(), min_size=len(found), max_size=len(found))
    chosen = np.array(data.draw(picks))
    taken = [found[place] for place in np.flatnonzero(chosen)]
    nothing = [np.zeros(0, np.uint8)]
    target, prediction = (
        np.concatenate([*(pair[side].reshape(-1) for pair in taken), *nothing])[None]
        for side in (0, 1)
    )
    recount = confusion_matrix(target, prediction, CLASSES)
    np.testing.assert_array_equal(table.confusion(chosen), recount)
    scored = score_slice(table, chosen)
    assert scored.samples == chosen.sum()
    np.testing.assert_array_equal(scored.class_iou, scores.iou(recount))
    errors = [analyse(*pair).counts for pair in found]
    whole = sum_error_counts(errors, classes=CLASSES)
    assert whole.to_bytes() == sum_error_counts(errors[::-1], classes=CLASSES).to_bytes()
    hits = [np.diagonal(confusion_matrix(*pair, CLASSES)[:, :CLASSES]) for pair in found]
    np.testing.assert_array_equal(whole.taxonomy.hits, np.sum(hits, 0))
