"""Two interpolations along an axis are one weighted mean of three neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from segstudio.core.preprocessing import Preprocessing
from segstudio.datasets.rows import ArrayRows
from segstudio.inference.augmentation import View
from segstudio.inference.bands import Block, RowBand, join_bands, upsampled
from segstudio.inference.fused import fuse_block
from segstudio.inference.passes import NetworkInput, whole_blocks
from segstudio.inference.taps import Taps, bilinear_taps, chained_taps, identity_taps


def resized(values: Tensor, length: int, align_corners: bool) -> Tensor:
    """Interpolate the last axis of (C, h, w) values in double precision."""
    size = (values.shape[1], length)
    return F.interpolate(
        values[None].double(), size=size, mode="bilinear", align_corners=align_corners
    )[0]


def line(length: int) -> Tensor:
    return torch.randn(2, 3, length, generator=torch.Generator().manual_seed(length))


@settings(deadline=None)
@given(
    st.integers(1, 40),
    st.integers(0, 60),
    st.data(),
    st.integers(1, 90),
    st.booleans(),
)
def test_chained_taps_are_two_interpolations(
    source: int, more: int, data: st.DataObject, destination: int, align_corners: bool
) -> None:
    between = source + more
    kept = data.draw(st.integers(1, between))
    taps = chained_taps(source, between, kept, destination, align_corners)
    assert taps is not None and len(taps) == destination and len(taps.weights) == 3
    np.testing.assert_allclose(taps.weights.sum(0), 1, atol=1e-5)
    values = line(source)
    wanted = resized(
        resized(values, between, align_corners)[..., :kept], destination, align_corners
    )
    torch.testing.assert_close(taps.apply(values, 2).double(), wanted, atol=3e-4, rtol=0)
    along_rows = taps.apply(values.transpose(1, 2).contiguous(), 1)
    torch.testing.assert_close(along_rows.transpose(1, 2), taps.apply(values, 2))


def test_a_shorter_axis_in_between_has_no_three_neighbours() -> None:
    assert chained_taps(50, 20, 20, 30, False) is None


@pytest.mark.parametrize("taps", [bilinear_taps(7, 19, False), identity_taps(7)])
def test_mirrored_taps_give_the_reverse(taps: Taps) -> None:
    values = line(7)
    torch.testing.assert_close(taps.mirrored().apply(values, 2), taps.apply(values, 2).flip(2))


def test_the_reach_is_the_last_pixel_with_a_weight() -> None:
    assert bilinear_taps(4, 4, False).reach.tolist() == [0, 1, 2, 3]
    assert bilinear_taps(3, 5, True).reach.tolist() == [0, 1, 1, 2, 2]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("head", [(8, 12), (16, 24), (64, 96)])  # the last at the padded size
@pytest.mark.parametrize("image_size", [(133, 101), (61, 87), (40, 50), (30, 201)])
def test_a_padded_input_comes_back_to_the_image(
    head: tuple[int, int], image_size: tuple[int, int], flip: bool, align_corners: bool
) -> None:
    rule = Preprocessing(upsample_to_input=True, align_corners=align_corners)
    rows = ArrayRows(np.zeros((*image_size, 3), np.uint8))
    given = NetworkInput(rows, image_size, (61, 87), (64, 96), View(1.0, flip), rule)
    logits = torch.randn(5, *head, generator=torch.Generator().manual_seed(3)) * 3
    inner = F.interpolate(logits[None], (64, 96), mode="bilinear", align_corners=align_corners)[
        ..., :61, :87
    ]
    inner = inner.flip(3) if flip else inner
    wanted = F.interpolate(inner, image_size, mode="bilinear", align_corners=align_corners)[0]
    for most in (None, 7):
        blocks: list[Block] = list(whole_blocks(logits, given, rows=most))
        whole = torch.cat([upsampled(block) for block in blocks], 1)
        torch.testing.assert_close(whole, wanted, atol=2e-4, rtol=0)
        prediction = join_bands(
            (RowBand(block.top, fuse_block(block)) for block in blocks), image_size[0]
        )
        np.testing.assert_array_equal(prediction.label_map, wanted.argmax(0))
        np.testing.assert_allclose(prediction.confidence, wanted.softmax(0).amax(0), atol=1e-4)
