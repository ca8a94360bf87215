"""What must hold for any label maps: sums, relabelling, perfection, and ignored pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from segstudio.metrics import scores
from segstudio.metrics.boundary import boundary_iou, count_boundary
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import SampleCounts, count_sample, sum_counts

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@st.composite
def samples(draw, *, most=1):
    """Lists of (target, prediction, entropy, confidence) with a number of classes and an ignore."""
    classes = draw(st.integers(1, 7))
    wide = draw(st.booleans())
    ignore = 65535 if wide else 255
    values = st.sampled_from([*range(classes), ignore])
    count = draw(st.integers(1, most))
    found = []
    for _ in range(count):
        height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
        size = height * width

        def label_map(size=size, shape=(height, width)):
            cells = draw(st.lists(values, min_size=size, max_size=size))
            return np.array(cells, np.uint16 if wide else np.uint8).reshape(shape)

        levels = np.frombuffer(draw(st.binary(min_size=2 * size, max_size=2 * size)), np.uint8)
        found.append((label_map(), label_map(), *levels.reshape(2, height, width)))
    return classes, ignore, found


def count(sample, classes, ignore):
    target, prediction, entropy, confidence = sample
    return count_sample(
        target,
        prediction,
        classes,
        ignore_index=ignore,
        entropy=entropy,
        confidence=confidence,
        kernel="numpy",
    )


def assert_equal(one, other):
    np.testing.assert_array_equal(one.confusion(), other.confusion())
    np.testing.assert_array_equal(one.entropy_histogram, other.entropy_histogram)
    np.testing.assert_array_equal(one.confidence_histogram, other.confidence_histogram)
    for name in ("edge_entropy_sum", "edge_pixels", "inner_entropy_sum", "inner_pixels"):
        assert getattr(one, name) == getattr(other, name)


@PROPERTY
@given(samples(most=4))
def test_the_sum_of_samples_equals_a_recount_of_their_pixels(case):
    classes, ignore, found = case
    each = [count(sample, classes, ignore) for sample in found]
    summed = sum_counts(each)
    row = [
        np.concatenate([part.reshape(-1) for part in parts])[None]
        for parts in zip(*found, strict=True)
    ]
    recount = count(tuple(row), classes, ignore)
    np.testing.assert_array_equal(summed.confusion(), recount.confusion())
    np.testing.assert_array_equal(summed.entropy_histogram, recount.entropy_histogram)
    np.testing.assert_array_equal(summed.confidence_histogram, recount.confidence_histogram)
    # Which pixels are at an edge depends on their neighbours; how many there are does not.
    labelled = sum(int((sample[0] != ignore).sum()) for sample in found)
    assert summed.edge_pixels + summed.inner_pixels == labelled == summed.labelled_pixels
    stored = [SampleCounts.from_bytes(one.to_bytes()) for one in each]
    assert_equal(sum_counts(reversed(stored)), summed)


@PROPERTY
@given(samples(), st.randoms(use_true_random=False))
def test_relabelling_both_sides_permutes_everything(case, random):
    classes, ignore, (sample,) = case
    new = list(range(classes))
    random.shuffle(new)
    table = np.full(ignore + 1, ignore, sample[0].dtype)
    table[:classes] = new
    renamed = (table[sample[0]], table[sample[1]], *sample[2:])
    before, after = (count(one, classes, ignore) for one in (sample, renamed))
    order = np.argsort(new)  # the old class of each new one
    columns = np.append(order, classes)
    np.testing.assert_array_equal(after.confusion(), before.confusion()[order][:, columns])
    np.testing.assert_array_equal(after.entropy_histogram, before.entropy_histogram[order])
    np.testing.assert_array_equal(after.confidence_histogram, before.confidence_histogram[order])
    assert (after.edge_pixels, after.edge_entropy_sum, after.inner_entropy_sum) == (
        before.edge_pixels,
        before.edge_entropy_sum,
        before.inner_entropy_sum,
    )
    np.testing.assert_array_equal(
        scores.iou(after.confusion()), scores.iou(before.confusion())[order]
    )
    bands = [
        count_boundary(*one[:2], classes, ignore_index=ignore, width=2, kernel="numpy")
        for one in (sample, renamed)
    ]
    np.testing.assert_array_equal(bands[1].intersection, bands[0].intersection[order])
    np.testing.assert_array_equal(bands[1].union, bands[0].union[order])


@PROPERTY
@given(samples())
def test_a_map_against_itself_scores_one(case):
    classes, ignore, (sample,) = case
    target = sample[0]
    counted = confusion_matrix(target, target, classes, ignore_index=ignore, kernel="numpy")
    held = np.unique(target[target != ignore]).astype(int)
    for score in (scores.iou, scores.dice, scores.precision, scores.class_accuracy):
        values = score(counted)
        assert (values[held] == 1).all() and np.isnan(np.delete(values, held)).all()
    whole = (scores.mean_iou, scores.pixel_accuracy, scores.frequency_weighted_iou)
    for score in (*whole, scores.mean_accuracy, scores.ade20k_score):
        value = float(score(counted))
        assert value == 1 if held.size else np.isnan(value)
    bands = boundary_iou(
        count_boundary(target, target, classes, ignore_index=ignore, width=1, kernel="numpy")
    )
    assert (bands[held] == 1).all() and np.isnan(np.delete(bands, held)).all()


@PROPERTY
@given(samples(), st.data())
def test_ignored_pixels_never_count(case, data):
    classes, ignore, (sample,) = case
    target, prediction, entropy, confidence = sample
    void = target == ignore
    total = count(sample, classes, ignore)
    assert total.labelled_pixels == int((~void).sum())
    assert int(total.entropy_histogram.sum()) == total.labelled_pixels
    assert int(total.confidence_histogram.sum()) == total.labelled_pixels
    other = data.draw(st.sampled_from([*range(classes), ignore]))
    level = data.draw(st.integers(0, 255))
    changed = (
        target,
        np.where(void, prediction.dtype.type(other), prediction),
        np.where(void, np.uint8(level), entropy),
        np.where(void, np.uint8(255 - level), confidence),
    )
    assert_equal(count(changed, classes, ignore), total)
    bands = [
        count_boundary(*one[:2], classes, ignore_index=ignore, width=2, kernel="numpy")
        for one in (sample, changed)
    ]
    np.testing.assert_array_equal(bands[0].intersection, bands[1].intersection)
    np.testing.assert_array_equal(bands[0].union, bands[1].union)
    # One more pixel ignored takes exactly its own count away.
    row = data.draw(st.integers(0, target.shape[0] - 1))
    column = data.draw(st.integers(0, target.shape[1] - 1))
    fewer = target.copy()
    fewer[row, column] = ignore
    less = count((fewer, *sample[1:]), classes, ignore).confusion()
    gone = np.zeros_like(less)
    if not void[row, column]:
        gone[target[row, column], min(int(prediction[row, column]), classes)] = 1
    np.testing.assert_array_equal(total.confusion() - less, gone)


@PROPERTY
@given(samples())
def test_both_loops_count_alike(case):
    classes, ignore, (sample,) = case
    target, prediction, entropy, confidence = sample
    compiled = count_sample(
        target,
        prediction,
        classes,
        ignore_index=ignore,
        entropy=entropy,
        confidence=confidence,
        kernel="numba",
    )
    assert_equal(compiled, count(sample, classes, ignore))
