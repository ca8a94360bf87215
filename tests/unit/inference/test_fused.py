"""Fused upsampling, softmax and argmax against the long way in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from segstudio.core.types import Prediction
from segstudio.inference.fused import fuse_logits, fuse_logits_torch

Fuse = Callable[..., Prediction]


def by_numba(logits: Tensor, height: int, width: int, **options: bool) -> Prediction:
    return fuse_logits(logits.numpy(), height, width, **options)


@pytest.fixture(params=[by_numba, fuse_logits_torch], ids=["numba", "torch"])
def fuse(request: pytest.FixtureRequest) -> Fuse:
    function: Fuse = request.param
    return function


def random_logits(classes: int, height: int, width: int, *, scale: float = 4.0) -> Tensor:
    generator = torch.Generator().manual_seed(classes * 1000 + height)
    return torch.randn(classes, height, width, generator=generator) * scale


def long_way(logits: Tensor, height: int, width: int, align_corners: bool) -> Tensor:
    """Return the (C, H, W) logits, upsampled in double precision."""
    return F.interpolate(
        logits[None].double(), size=(height, width), mode="bilinear", align_corners=align_corners
    )[0]


def assert_same(prediction: Prediction, full: Tensor) -> None:
    """Compare with the long way; labels may differ where rounding alone decides."""
    log_p = F.log_softmax(full, 0)
    entropy = -(log_p.exp() * log_p).sum(0).numpy()
    confidence = log_p.exp().amax(0).numpy()
    np.testing.assert_allclose(prediction.entropy, entropy, atol=1e-4)
    np.testing.assert_allclose(prediction.confidence, confidence, atol=5e-5)
    values = full.numpy()
    ranked = np.sort(values, axis=0)
    rows, cols = np.indices(prediction.label_map.shape)
    for labels, rank in ((prediction.label_map, -1), (prediction.runner_up, -2)):
        chosen = values[labels.astype(int), rows, cols]
        np.testing.assert_allclose(chosen, ranked[max(rank, -len(ranked))], atol=2e-5)
    if len(values) > 1:
        assert (prediction.label_map != prediction.runner_up).all()
    assert prediction.entropy.dtype == prediction.confidence.dtype == np.float32
    assert prediction.entropy.min() >= 0 and prediction.confidence.max() <= 1 + 1e-6


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((11, 5, 7), (20, 28)),  # a multiple
        ((11, 5, 7), (37, 41)),  # odd
        ((11, 9, 6), (9, 6)),  # no upsampling
        ((7, 9, 9), (4, 5)),  # smaller
        ((5, 1, 1), (6, 3)),  # one source pixel
        ((5, 4, 4), (1, 1)),  # one destination pixel
        ((5, 1, 8), (70, 8)),  # more rows than a block
        ((150, 16, 16), (61, 67)),
    ],
)
def test_it_equals_the_long_way(
    fuse: Fuse, shape: tuple[int, int, int], size: tuple[int, int], align_corners: bool
) -> None:
    logits = random_logits(*shape)
    prediction = fuse(logits, *size, align_corners=align_corners)
    assert prediction.label_map.shape == size and prediction.classes == shape[0]
    full = long_way(logits, *size, align_corners)
    assert_same(prediction, full)
    # With random logits ties are out of the question, so here the labels are equal outright.
    assert (prediction.label_map == full.argmax(0).numpy()).all()


def test_one_class_is_certain(fuse: Fuse) -> None:
    prediction = fuse(random_logits(1, 3, 4), 9, 10)
    assert not prediction.label_map.any() and not prediction.runner_up.any()
    assert not prediction.entropy.any() and (prediction.confidence == 1).all()


@pytest.mark.parametrize(("classes", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_many_classes_need_sixteen_bits(fuse: Fuse, classes: int, dtype: type) -> None:
    logits = random_logits(classes, 4, 4)
    logits[classes - 1, 0, 0] = 99.0
    prediction = fuse(logits, 9, 9)
    assert prediction.label_map.dtype == prediction.runner_up.dtype == dtype
    assert prediction.label_map[0, 0] == classes - 1
    assert_same(prediction, long_way(logits, 9, 9, False))


def test_equal_logits_are_total_uncertainty(fuse: Fuse) -> None:
    prediction = fuse(torch.full((7, 3, 3), 2.5), 8, 8)
    np.testing.assert_allclose(prediction.entropy, math.log(7), rtol=1e-5)
    np.testing.assert_allclose(prediction.confidence, 1 / 7, rtol=1e-5)
    assert (prediction.label_map != prediction.runner_up).all()


def test_near_ties_choose_one_of_the_two_best(fuse: Fuse) -> None:
    logits = random_logits(6, 8, 8)
    logits[4] = logits.amax(0) + 1
    logits[2] = logits[4] + (torch.rand(8, 8, generator=torch.manual_seed(0)) - 0.5) * 1e-6
    prediction = fuse(logits, 31, 33)
    assert set(np.unique(prediction.label_map)) <= {2, 4}
    assert set(np.unique(prediction.runner_up)) <= {2, 4}
    assert_same(prediction, long_way(logits, 31, 33, False))


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_large_logits_do_not_overflow(fuse: Fuse, offset: float) -> None:
    logits = random_logits(5, 6, 6) + offset
    prediction = fuse(logits, 13, 13)
    wanted = long_way(logits, 13, 13, False)
    np.testing.assert_allclose(
        prediction.confidence, F.softmax(wanted, 0).amax(0).numpy(), atol=5e-3
    )
    assert np.isfinite(prediction.entropy).all()


def test_a_sure_network_has_no_entropy(fuse: Fuse) -> None:
    logits = torch.zeros(4, 3, 3)
    logits[2] = 1000.0
    prediction = fuse(logits, 7, 7)
    assert (prediction.label_map == 2).all()
    assert prediction.entropy.max() < 1e-30 and (prediction.confidence == 1).all()


def test_slices_of_a_larger_array_are_read_right() -> None:
    whole: NDArray[np.float32] = random_logits(4, 10, 12).numpy()
    part = whole[:, 2:7, 3:9]
    one, two = fuse_logits(part, 11, 13), fuse_logits(part.copy(), 11, 13)
    np.testing.assert_array_equal(one.label_map, two.label_map)
    np.testing.assert_array_equal(one.entropy, two.entropy)
