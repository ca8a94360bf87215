"""Interpolation by bands gives the numbers of interpolation at once, and nothing twice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.core.types import Prediction
from segstudio.inference import bands as bands_module
from segstudio.inference.bands import (
    RowBand,
    identity_blocks,
    image_blocks,
    in_bands,
    join_bands,
    resized_bands,
    upsampled,
    upsampled_rows,
)
from segstudio.inference.fused import fuse_block, fuse_logits
from segstudio.inference.taps import Taps, bilinear_taps


def scores(classes: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * 100 + width)
    return torch.randn(classes, height, width, generator=generator) * 3


def resized(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    return F.interpolate(logits[None], size, mode="bilinear", align_corners=align_corners)[0]


def to_size(
    height: int, width: int, size: tuple[int, int], align_corners: bool
) -> tuple[Taps, Taps]:
    rows = bilinear_taps(height, size[0], align_corners)
    return rows, bilinear_taps(width, size[1], align_corners)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("cut", [(1,) * 13, (5, 8), (13,), (2, 1, 7, 3)])
@pytest.mark.parametrize("size", [(40, 21), (13, 9), (4, 5), (1, 1), (97, 30), (14, 9)])
@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_blocks_of_a_source_in_bands_equal_interpolation_at_once(
    align_corners: bool, cut: tuple[int, ...], size: tuple[int, int], rows: int
) -> None:
    logits = scores(3, 13, 9)
    pieces = torch.split(logits, list(cut), 1)
    blocks = list(image_blocks(pieces, 13, *to_size(13, 9, size, align_corners), most=rows))
    assert [block.top for block in blocks] == [0, *(block.bottom for block in blocks[:-1])]
    assert blocks[-1].bottom == size[0] and all(len(block.rows) <= rows for block in blocks)
    whole = torch.cat([upsampled(b) for b in blocks], 1)
    torch.testing.assert_close(whole, resized(logits, size, align_corners), atol=1e-5, rtol=0)


def test_a_block_is_given_as_soon_as_its_source_is_there() -> None:
    given: list[int] = []

    def source() -> itertools.chain[Tensor]:
        for row in range(12):
            given.append(row)
            yield torch.full((2, 1, 4), float(row))

    for block in image_blocks(source(), 12, *to_size(12, 4, (48, 4), False)):
        # Row y needs source rows up to (y + 0.5) / 4 - 0.5, rounded up.
        assert given[-1] == min(11, int(np.ceil((block.bottom - 1 + 0.5) / 4 - 0.5)))
        assert block.logits.shape[1] <= 3


@pytest.mark.parametrize("align_corners", [False, True])
def test_two_steps_equal_two_interpolations(
    align_corners: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = scores(5, 8, 11)
    padded, crop, size = (64, 96), (61, 87), (133, 101)
    monkeypatch.setattr(bands_module, "_BAND_BYTES", 4 * 5 * 96 * 7)  # seven rows
    pieces = list(resized_bands(logits, padded, crop, align_corners=align_corners))
    assert len(pieces) == 9 and sum(piece.shape[1] for piece in pieces) == 61
    inner = resized(logits, padded, align_corners)[:, :61, :87]
    torch.testing.assert_close(torch.cat(pieces, 1), inner, atol=1e-5, rtol=0)
    wanted = resized(inner, size, align_corners)
    blocks = list(image_blocks(pieces, 61, *to_size(61, 87, size, align_corners)))
    whole = torch.cat([upsampled(b) for b in blocks], 1)
    torch.testing.assert_close(whole, wanted, atol=1e-5, rtol=0)
    fused = [RowBand(b.top, fuse_block(b)) for b in blocks]
    prediction = join_bands(fused, 133)
    np.testing.assert_array_equal(prediction.label_map, wanted.argmax(0))
    np.testing.assert_allclose(prediction.confidence, wanted.softmax(0).amax(0), atol=1e-5)


@pytest.mark.parametrize("align_corners", [False, True])
def test_some_rows_of_an_interpolation(align_corners: bool) -> None:
    logits = scores(4, 7, 6)
    wanted = resized(logits, (30, 17), align_corners)
    for top, bottom in ((0, 30), (0, 1), (29, 30), (11, 23)):
        rows = upsampled_rows(logits, (30, 17), top, bottom, align_corners=align_corners)
        torch.testing.assert_close(rows, wanted[:, top:bottom], atol=1e-5, rtol=0)


def test_parts_of_a_block_are_its_rows() -> None:
    (block,) = image_blocks([scores(3, 6, 5)], 6, *to_size(6, 5, (29, 12), False))
    whole = upsampled(block)
    for top, bottom in ((0, 29), (3, 4), (10, 29), (0, 17)):
        part = block.part(top, bottom)
        assert (part.top, part.bottom) == (top, bottom)
        rows = upsampled(part)
        torch.testing.assert_close(rows, whole[:, top:bottom])


def test_pieces_are_cut_anew() -> None:
    logits = scores(2, 23, 3)
    pieces = torch.split(logits, [1, 9, 2, 11], 1)
    for rows in (1, 4, 10, 23, 50):
        cut = list(in_bands(pieces, rows))
        assert all(piece.shape[1] == rows for piece in cut[:-1]) and cut[-1].shape[1] <= rows
        assert torch.equal(torch.cat(cut, 1), logits)


def test_bands_are_joined_in_their_places() -> None:
    logits = scores(4, 20, 8)
    whole = fuse_logits(logits.numpy(), 20, 8)
    blocks = identity_blocks(torch.split(logits, [3, 17], 1))
    joined = join_bands((RowBand(block.top, fuse_block(block)) for block in blocks), 20)
    for name in ("label_map", "entropy", "confidence", "runner_up"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
    assert isinstance(joined, Prediction) and joined.classes == 4
