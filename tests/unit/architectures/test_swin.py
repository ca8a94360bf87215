"""Swin Transformer against attention summed pixel by pixel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from segstudio.architectures._swin import (
    Block,
    DropPath,
    SwinTransformer,
    _pad_grid,
    _shift_mask,
)
from segstudio.architectures.upernet import UPerNet, UPerNetOptions


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize(("height", "width"), [(9, 11), (8, 12), (3, 5), (1, 1)])
def test_a_block_attends_within_its_windows(height: int, width: int, shift: int) -> None:
    """Every pixel's attention summed by itself, from its place in the image."""
    window, channels = 4, 64
    torch.manual_seed(0)
    block = Block(channels, window, shift, 0.0)
    torch.nn.init.normal_(block.attn.bias_table)
    torch.nn.init.normal_(block.attn.qkv.bias)
    grid = torch.randn(2, height, width, channels)
    mask = _shift_mask(_pad_grid(grid, window), window, window // 2)
    with torch.inference_mode():
        found = block._attend(grid, mask)
        rows, columns = -(-height // window) * window, -(-width // window) * window
        padded = F.pad(grid, (0, 0, 0, columns - width, 0, rows - height))
        query, key, value = (
            part.unflatten(-1, (2, 32)) for part in block.attn.qkv(padded).chunk(3, -1)
        )
        for row in range(height):
            for column in range(width):
                # Windows start at `shift`; before that lie narrower ones of their own.
                top, bottom = _window(row, rows, window, shift)
                left, right = _window(column, columns, window, shift)
                index = torch.tensor(
                    [
                        (row - other + window - 1) * (2 * window - 1) + column - beside + window - 1
                        for other in range(top, bottom)
                        for beside in range(left, right)
                    ]
                )
                keys, values = (
                    part[:, top:bottom, left:right].flatten(1, 2) for part in (key, value)
                )
                scores = torch.einsum("nhd,nkhd->nhk", query[:, row, column], keys) / 32**0.5
                weights = (scores + block.attn.bias_table[index].T).softmax(-1)
                mixed = torch.einsum("nhk,nkhd->nhd", weights, values).flatten(1)
                torch.testing.assert_close(
                    found[:, row, column], block.attn.proj(mixed), rtol=1e-4, atol=1e-5
                )


def _window(place: int, size: int, window: int, shift: int) -> tuple[int, int]:
    start = (place - shift) // window * window + shift
    return max(start, 0), min(start + window, size)


def test_swin_pads_with_zeros_and_rounds_up() -> None:
    torch.manual_seed(0)
    encoder = SwinTransformer("swin-micro", window=7, drop_path=0).eval()
    image = torch.randn(1, 3, 37, 50)
    with torch.inference_mode():
        maps = encoder(image)
        padded = encoder(F.pad(image, (0, 2, 0, 3)))
    assert [tuple(entry.shape[1:]) for entry in maps] == [
        (32, 10, 13),
        (64, 5, 7),
        (128, 3, 4),
        (256, 2, 2),
    ]
    assert all(torch.equal(one, other) for one, other in zip(maps, padded, strict=True))


def test_every_second_block_shifts_by_half_a_window() -> None:
    with torch.device("meta"):
        encoder = SwinTransformer("swin-t", window=12, drop_path=0)
    shifts = [[block.shift for block in stage.blocks] for stage in encoder.stages]
    assert shifts == [[0, 6], [0, 6], [0, 6] * 3, [0, 6]]
    assert [stage.blocks[0].attn.heads for stage in encoder.stages] == [3, 6, 12, 24]


def test_drop_path_grows_from_nothing_and_only_in_training() -> None:
    torch.manual_seed(0)
    with torch.device("meta"):
        encoder = SwinTransformer("swin-t", window=7, drop_path=0.3)
    chances = [module.chance for module in encoder.modules() if isinstance(module, DropPath)]
    assert len(chances) == 12
    assert chances[0] == 0
    assert chances[-1] == pytest.approx(0.3)
    assert chances == sorted(chances)
    drop = DropPath(0.25)
    per_image = drop(torch.ones(4000, 2, 3)).flatten(1)
    assert per_image.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert bool((per_image == per_image[:, :1]).all())
    assert float(per_image.mean()) == pytest.approx(1, abs=0.05)
    assert bool((drop.eval()(torch.ones(10, 1)) == 1).all())


def test_the_encoder_gets_its_drop_path() -> None:
    with torch.device("meta"):
        network = UPerNet(3, UPerNetOptions("swin-micro", drop_path=0.2))
    chances = [module.chance for module in network.modules() if isinstance(module, DropPath)]
    assert (chances[0], chances[-1]) == pytest.approx((0, 0.2))
