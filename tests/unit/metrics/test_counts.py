"""One pass over a sample: equal integers on both paths, sums, storage, edges."""

from __future__ import annotations

import numpy as np
import pytest

from segstudio.core.errors import (
    CorruptProjectError,
    LabelValueError,
    SizeMismatchError,
    UsageError,
)
from segstudio.metrics import levels as module
from segstudio.metrics.confusion import confusion_matrix
from segstudio.metrics.counts import SampleCounts, count_sample, edge_band, sum_counts


def make(seed, shape=(61, 83), classes=5, ignore=255, dtype=np.uint8):
    generator = np.random.default_rng(seed)
    values = np.append(np.arange(classes), ignore)
    target = np.kron(generator.choice(values, (8, 11)), np.ones((8, 8), np.int64))
    prediction = np.roll(target, 3, axis=0)
    change = generator.random(target.shape) < 0.1
    prediction[change] = generator.choice(values, int(change.sum()))
    entropy, confidence = generator.integers(0, 256, (2, *target.shape)).astype(np.uint8)
    height, width = shape
    parts = (target.astype(dtype), prediction.astype(dtype), entropy, confidence)
    return tuple(part[:height, :width] for part in parts)


def brute(target, prediction, levels, classes, ignore):
    histogram = np.zeros((classes, 2, 256), np.int64)
    for here, there, level in zip(target.flat, prediction.flat, levels.flat, strict=True):
        if here != ignore:
            histogram[here, int(here != there), level] += 1
    return histogram


def brute_band(target, ignore):
    band = np.zeros(target.shape, bool)
    for row, column in np.ndindex(target.shape):
        window = target[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
        others = (window != target[row, column]) & (window != ignore)
        band[row, column] = target[row, column] != ignore and others.any()
    return band


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
@pytest.mark.parametrize(
    ("classes", "ignore", "dtype"),
    [(5, 255, np.uint8), (5, 255, np.uint16), (300, 65535, np.uint16), (5, 255, np.int64)],
)
def test_equals_a_loop_over_pixels(kernel, classes, ignore, dtype):
    target, prediction, entropy, confidence = make(1, classes=classes, ignore=ignore, dtype=dtype)
    counts = count_sample(
        target,
        prediction,
        classes,
        ignore_index=ignore,
        entropy=entropy,
        confidence=confidence,
        kernel=kernel,
    )
    np.testing.assert_array_equal(
        counts.confusion(classes),
        confusion_matrix(target, prediction, classes, ignore_index=ignore, kernel="numpy"),
    )
    np.testing.assert_array_equal(
        counts.entropy_histogram, brute(target, prediction, entropy, classes, ignore)
    )
    np.testing.assert_array_equal(
        counts.confidence_histogram, brute(target, prediction, confidence, classes, ignore)
    )
    band, labelled = brute_band(target, ignore), target != ignore
    assert 0 < band.sum() < labelled.sum()
    assert counts.edge_pixels == band.sum()
    assert counts.edge_entropy_sum == entropy[band].sum(dtype=np.int64)
    assert counts.inner_pixels == (labelled & ~band).sum()
    assert counts.inner_entropy_sum == entropy[labelled & ~band].sum(dtype=np.int64)
    assert counts.labelled_pixels == labelled.sum()


def test_band_by_hand():
    target = np.zeros((5, 20), np.uint8)
    target[:, 10:] = 1
    band = edge_band(target, 2)
    assert np.flatnonzero(band[0]).tolist() == [7, 8, 9, 10, 11, 12]
    assert (band == band[0]).all()
    # Diagonal neighbours are as near as straight ones (chessboard distance).
    corner = np.zeros((9, 9), np.uint8)
    corner[0, 0] = 1
    assert np.argwhere(edge_band(corner, 2)).max(0).tolist() == [3, 3]


def test_band_looks_through_ignored_pixels():
    target = np.zeros((5, 20), np.uint8)
    target[:, 10:] = 255
    assert not edge_band(target, 2).any()
    target[:, 11:] = 1
    assert np.flatnonzero(edge_band(target, 2)[0]).tolist() == [8, 9, 11, 12]


def test_without_uncertainty():
    target, prediction, *_ = make(2)
    counts = count_sample(target, prediction, 5)
    assert not counts.entropy_histogram.any() and not counts.confidence_histogram.any()
    assert counts.edge_pixels == counts.inner_pixels == 0


@pytest.mark.parametrize("kernel", ["numpy", "numba"])
def test_empty_and_all_ignored(kernel):
    for shape in ((0, 4), (70, 70)):
        void = np.full(shape, 255, np.uint8)
        counts = count_sample(void, void * 0, 3, entropy=void, confidence=void, kernel=kernel)
        assert counts.labelled_pixels == counts.edge_pixels == counts.inner_pixels == 0
        assert counts.to_bytes() == SampleCounts.empty(3).to_bytes()


def test_32_bit_tables_are_added_up_before_they_overflow(monkeypatch):
    target, prediction, entropy, confidence = make(3)
    whole = count_sample(target, prediction, 5, entropy=entropy, confidence=confidence)
    monkeypatch.setattr(module, "_PIXELS_PER_TABLE", 1000)
    parts = count_sample(
        target, prediction, 5, entropy=entropy, confidence=confidence, kernel="numba"
    )
    assert parts.to_bytes() == whole.to_bytes()


def test_addition_equals_a_recount():
    samples = [make(seed, shape=(40, 50)) for seed in range(4)]
    counts = [count_sample(t, p, 5, entropy=e, confidence=c) for t, p, e, c in samples]
    total = sum_counts(counts)
    assert total.to_bytes() == (counts[0] + counts[1] + counts[2] + counts[3]).to_bytes()
    np.testing.assert_array_equal(total.confusion(), sum(c.confusion() for c in counts))
    t, p, e, c = (np.vstack(parts) for parts in zip(*samples, strict=True))
    recount = count_sample(t, p, 5, entropy=e, confidence=c)
    np.testing.assert_array_equal(total.entropy_histogram, recount.entropy_histogram)
    np.testing.assert_array_equal(total.confidence_histogram, recount.confidence_histogram)
    assert sum_counts([], classes=5).to_bytes() == SampleCounts.empty(5).to_bytes()
    with pytest.raises(UsageError):
        sum_counts([])
    with pytest.raises(UsageError, match="over 6"):
        total.confusion(6)
    with pytest.raises(UsageError):
        sum_counts([total, SampleCounts.empty(6)])


def test_sums_above_32_bits_stay_exact():
    confusion = np.zeros((2, 3), np.int64)
    confusion[0, 1] = 2**40 + 1
    one = SampleCounts.from_dense(confusion, edge=(2**50 + 1, 3), inner=(5, 7))
    total = sum_counts([one] * 3)
    assert total.confusion()[0, 1] == 3 * 2**40 + 3
    assert SampleCounts.from_bytes(total.to_bytes()).edge_entropy_sum == 3 * 2**50 + 3
    assert SampleCounts.from_bytes(total.to_bytes()).confusion()[0, 1] == 3 * 2**40 + 3


@pytest.mark.parametrize("classes", [1, 5, 300])
def test_bytes_round_trip(classes):
    ignore = 255 if classes < 255 else 65535
    target, prediction, entropy, confidence = make(
        4, classes=classes, ignore=ignore, dtype=np.uint16
    )
    counts = count_sample(
        target,
        prediction,
        classes,
        ignore_index=ignore,
        entropy=entropy,
        confidence=confidence,
    )
    again = SampleCounts.from_bytes(counts.to_bytes())
    assert again.to_bytes() == counts.to_bytes()
    assert again.classes == classes
    for name in SampleCounts.__slots__:
        np.testing.assert_array_equal(getattr(again, name), getattr(counts, name))
    assert (again + again).confusion().sum() == 2 * counts.labelled_pixels


def test_damaged_bytes():
    target, prediction, entropy, confidence = make(5)
    data = count_sample(target, prediction, 5, entropy=entropy, confidence=confidence).to_bytes()
    for place in (0, 5, 9, 20, 44, len(data) // 2, len(data) - 1):
        broken = bytearray(data)
        broken[place] ^= 0x41
        with pytest.raises(CorruptProjectError):
            SampleCounts.from_bytes(bytes(broken))
    for broken in (b"", b"SSct", data[:30], data[:-1], data + b"x", b"\0" * 100):
        with pytest.raises(CorruptProjectError):
            SampleCounts.from_bytes(broken)
    newer = data[:4] + (2).to_bytes(2, "little") + data[6:]
    with pytest.raises(CorruptProjectError, match="newer"):
        SampleCounts.from_bytes(newer)


def test_wrong_uncertainty_maps():
    target, prediction, entropy, confidence = make(6)
    with pytest.raises(SizeMismatchError, match="entropy of x"):
        count_sample(target, prediction, 5, entropy=entropy[1:], name="x")
    with pytest.raises(UsageError, match="confidence"):
        count_sample(target, prediction, 5, confidence=confidence / 255)
    with pytest.raises(LabelValueError):
        count_sample(target, prediction, 4, entropy=entropy)
