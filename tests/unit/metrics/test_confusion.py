"""Joint counts against hand-made maps and an independent loop over pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from segstudio.core.errors import LabelValueError, SizeMismatchError, UsageError
from segstudio.metrics import confusion as module
from segstudio.metrics.confusion import confusion_matrix

KERNELS = ("numpy", "numba")


def brute(target, prediction, classes, ignore):
    table = [[0] * (classes + 1) for _ in range(classes)]
    for row in range(target.shape[0]):
        for column in range(target.shape[1]):
            here, there = int(target[row, column]), int(prediction[row, column])
            if here != ignore:
                table[here][classes if there == ignore else there] += 1
    return np.array(table, np.int64).reshape(classes, classes + 1)


def blobs(generator, shape, classes, ignore, dtype, size=37):
    """Uniform rectangles with noise in one corner: runs, short runs and single pixels."""
    rows, columns = (edge // size + 1 for edge in shape)
    values = np.append(np.arange(classes), ignore)
    coarse = generator.choice(values, (rows, columns))
    label_map = np.kron(coarse, np.ones((size, size), np.int64))[: shape[0], : shape[1]]
    corner = label_map[: shape[0] // 3, : shape[1] // 3]
    corner[...] = generator.choice(values, corner.shape)
    return label_map.astype(dtype)


@pytest.mark.parametrize("kernel", KERNELS)
def test_hand_made(kernel):
    target = np.array([[0, 0, 1], [1, 2, 2], [255, 255, 0]], np.uint8)
    prediction = np.array([[0, 1, 1], [255, 2, 0], [2, 255, 0]], np.uint8)
    confusion = confusion_matrix(target, prediction, 3, kernel=kernel)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 1, 0, 1], [1, 0, 1, 0]]
    assert confusion.dtype == np.int64


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("classes", "ignore", "dtype"),
    [
        (1, 255, np.uint8),
        (11, 255, np.uint8),
        (255, 255, np.uint8),
        (11, 255, np.uint16),
        (11, 65535, np.uint16),
        (300, 65535, np.uint16),
        (300, 65535, np.int64),
        (254, 254, np.uint8),
    ],
)
@pytest.mark.parametrize("shape", [(1, 1), (7, 9), (83, 131), (270, 260)])
def test_equals_a_loop_over_pixels(kernel, classes, ignore, dtype, shape):
    generator = np.random.default_rng(classes + shape[0])
    target = blobs(generator, shape, classes, ignore, dtype)
    prediction = np.roll(target, 2, axis=1)
    change = generator.random(shape) < 0.05
    prediction[change] = blobs(generator, shape, classes, ignore, dtype)[change]
    expected = brute(target, prediction, classes, ignore)
    actual = confusion_matrix(target, prediction, classes, ignore_index=ignore, kernel=kernel)
    np.testing.assert_array_equal(actual, expected)
    assert actual.sum() == (target != ignore).sum()


@pytest.mark.parametrize("kernel", KERNELS)
def test_types_may_differ(kernel):
    generator = np.random.default_rng(4)
    target = blobs(generator, (270, 260), 11, 255, np.uint8)
    prediction = blobs(generator, (270, 260), 11, 255, np.int32)
    np.testing.assert_array_equal(
        confusion_matrix(target, prediction, 11, kernel=kernel),
        brute(target, prediction, 11, 255),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_views_and_read_only_maps(kernel, dtype):
    generator = np.random.default_rng(5)
    target = blobs(generator, (700, 610), 7, 255, dtype)
    prediction = blobs(generator, (700, 610), 7, 255, dtype)
    target.flags.writeable = False
    for view in (np.s_[::2, ::2], np.s_[::-1, 1:], np.s_[3:, :], np.s_[::2, 5:300]):
        np.testing.assert_array_equal(
            confusion_matrix(target[view], prediction[view], 7, kernel=kernel),
            confusion_matrix(target[view].copy(), prediction[view].copy(), 7, kernel="numpy"),
        )
    np.testing.assert_array_equal(
        confusion_matrix(target.T, prediction.T, 7, kernel=kernel),
        confusion_matrix(target, prediction, 7, kernel=kernel),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 5)])
def test_empty_and_all_ignored(kernel, shape):
    empty = np.zeros(shape, np.uint8)
    assert not confusion_matrix(empty, empty, 3, kernel=kernel).any()
    void = np.full((400, 300), 255, np.uint8)
    assert not confusion_matrix(void, np.zeros_like(void), 3, kernel=kernel).any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_patch_is_subtracted_and_added_exactly(kernel):
    generator = np.random.default_rng(6)
    target = blobs(generator, (300, 300), 11, 255, np.uint8)
    before = blobs(generator, (300, 300), 11, 255, np.uint8)
    after = before.copy()
    box = np.s_[40:95, 61:190]
    after[box] = np.where(generator.random((55, 129)) < 0.5, 3, 255)
    live = confusion_matrix(target, before, 11, kernel=kernel)
    live = live - confusion_matrix(target[box], before[box], 11, kernel=kernel)
    live = live + confusion_matrix(target[box], after[box], 11, kernel=kernel)
    np.testing.assert_array_equal(live, confusion_matrix(target, after, 11, kernel=kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_relabelling_both_sides_permutes(kernel):
    generator = np.random.default_rng(7)
    target = blobs(generator, (260, 260), 6, 255, np.uint8)
    prediction = blobs(generator, (260, 260), 6, 255, np.uint8)
    order = generator.permutation(6)
    table = np.full(256, 255, np.uint8)
    table[order] = np.arange(6)
    plain = confusion_matrix(target, prediction, 6, kernel=kernel)
    permuted = confusion_matrix(table[target], table[prediction], 6, kernel=kernel)
    np.testing.assert_array_equal(permuted, plain[order][:, [*order, 6]])


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_above_two_to_the_24(kernel):
    same = np.full((5000, 5001), 4, np.uint8)
    confusion = confusion_matrix(same, same, 6, kernel=kernel)
    assert confusion[4, 4] == confusion.sum() == 5000 * 5001


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tables_of_32_bits_are_added_up_before_they_overflow(monkeypatch, dtype):
    monkeypatch.setattr(module, "_PIXELS_PER_TABLE", 4096)
    generator = np.random.default_rng(8)
    target = blobs(generator, (251, 263), 5, 255, dtype)
    prediction = blobs(generator, (251, 263), 5, 255, dtype)
    np.testing.assert_array_equal(
        confusion_matrix(target, prediction, 5, kernel="numba"),
        confusion_matrix(target, prediction, 5, kernel="numpy"),
    )


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(4, 4), (300, 300)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("side", ["ground truth", "prediction"])
def test_values_outside_the_label_space(kernel, shape, dtype, side):
    good = np.zeros(shape, dtype)
    good[1, 1] = 255
    bad = good.copy()
    bad[1, 1] = 12
    maps = (bad, good) if side == "ground truth" else (good, bad)
    with pytest.raises(LabelValueError, match=rf"The {side} of a/b\.png holds the class index 12"):
        confusion_matrix(*maps, 11, kernel=kernel, name="a/b.png")


def test_negative_and_huge_values_are_outside():
    zero = np.zeros((3, 3), np.int64)
    for value in (-1, 65536, 2**40):
        bad = zero.copy()
        bad[2, 2] = value
        with pytest.raises(LabelValueError, match=f"class index {value},"):
            confusion_matrix(zero, bad, 5)


def test_what_is_no_label_map():
    good = np.zeros((3, 3), np.uint8)
    for bad in (np.zeros((3, 3, 3), np.uint8), np.zeros((3, 3)), good.astype(bool)):
        with pytest.raises(LabelValueError, match="no label map"):
            confusion_matrix(good, bad, 3)
    with pytest.raises(SizeMismatchError, match=r"3 x 4 pixels.*3 x 3"):
        confusion_matrix(good, np.zeros((3, 4), np.uint8), 3)
    with pytest.raises(UsageError, match="ignore index 255"):
        confusion_matrix(good, good, 300)
    with pytest.raises(UsageError, match="kernel"):
        confusion_matrix(good, good, 3, kernel="cuda")


def test_the_window_never_imports_numba():
    code = (
        "import sys, numpy as np\n"
        "from segstudio.metrics.confusion import confusion_matrix\n"
        "from segstudio.metrics import report, uncertainty\n"
        "big = np.zeros((2500, 2500), np.uint8)\n"
        "confusion_matrix(big, big, 3)\n"
        "bad = {'numba', 'torch', 'scipy', 'skimage'} & set(sys.modules)\n"
        "sys.exit(', '.join(bad) or None)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_auto_takes_the_compiled_loop_once_warm(monkeypatch):
    module.warm_kernels()
    assert module.kernels_are_warm()
    called = []
    compiled = module._joint_compiled
    monkeypatch.setattr(
        module, "_joint_compiled", lambda *args: called.append(1) or compiled(*args)
    )
    big, stroke = np.zeros((600, 600), np.uint8), np.zeros((50, 50), np.uint8)
    confusion_matrix(stroke, stroke, 3)
    assert not called
    confusion_matrix(big, big, 3)
    assert called


def test_kernels_compile_where_no_cache_can_be_written():
    """Neither beside the module nor in the user's cache folder: no cache, but no crash."""
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from segstudio.metrics.confusion import confusion_matrix\n"
        "import numpy as np\n"
        "one = np.ones((3, 3), np.uint8)\n"
        "assert confusion_matrix(one, one, 2, kernel='numba')[1, 1] == 9\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
