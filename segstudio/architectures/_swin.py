"""Swin Transformer as an encoder for dense prediction.

Z. Liu, Y. Lin, Y. Cao, H. Hu, Y. Wei, Z. Zhang, S. Lin, B. Guo: "Swin Transformer: Hierarchical
Vision Transformer using Shifted Windows", ICCV 2021, arXiv:2103.14030.

Tokens attend to each other within windows; every second block shifts the windows by half their
size.  Between stages 2 x 2 neighbours merge.  timm's blocks are not used because grids that the
window does not divide come out differently there: here they are padded before they are rolled,
and a window never shrinks to a small grid, as in MMSegmentation and Hugging Face transformers.

Grids are (N, H, W, C) throughout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SWIN_SIZES", "SwinTransformer"]

SWIN_SIZES: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    # Width of the first stage, blocks per stage; the last one is ours, for tests and first looks.
    "swin-t": (96, (2, 2, 6, 2)),
    "swin-s": (96, (2, 2, 18, 2)),
    "swin-b": (128, (2, 2, 18, 2)),
    "swin-l": (192, (2, 2, 18, 2)),
    "swin-micro": (32, (2, 2, 2, 2)),
}
_PATCH = 4
_HEAD_WIDTH = 32
_EXPANSION = 4
_APART = -100.0
"""Added to the attention between tokens that only the roll brought into one window."""


def _pad_grid(grid: Tensor, multiple: int) -> Tensor:
    """Pad (N, H, W, C) with zeros at the bottom and right to multiples of ``multiple``."""
    bottom, right = -grid.shape[1] % multiple, -grid.shape[2] % multiple
    return F.pad(grid, (0, 0, 0, right, 0, bottom)) if bottom or right else grid


def _to_windows(grid: Tensor, window: int) -> Tensor:
    """(N, H, W, C) to (N * windows, window ** 2, C), windows in reading order."""
    grid = grid.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return grid.transpose(2, 3).flatten(3, 4).flatten(0, 2)


def _from_windows(windows: Tensor, height: int, width: int, window: int) -> Tensor:
    """Undo `_to_windows`."""
    rows, columns = height // window, width // window
    grid = windows.unflatten(0, (-1, rows, columns)).unflatten(3, (window, window))
    return grid.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _shift_mask(grid: Tensor, window: int, shift: int) -> Tensor:
    """Return what is added to the attention in the shifted windows of a padded (N, H, W, C) grid.

    After the roll by ``-shift`` the last row and column of windows hold tokens of opposite edges
    of the image; these are kept apart.  The shape is (windows, window ** 2, window ** 2).
    """

    def part(size: int) -> Tensor:
        steps = torch.arange(size, device=grid.device)
        return (steps >= size - window).int() + (steps >= size - shift).int()

    parts = 3 * part(grid.shape[1])[:, None] + part(grid.shape[2])
    labels = _to_windows(parts[None, :, :, None], window)[..., 0]
    apart = labels[:, :, None] != labels[:, None, :]
    return grid.new_zeros(apart.shape).masked_fill(apart, _APART)


def _offset_index(window: int) -> Tensor:
    """Return for each two tokens of a window the row of the bias table for their offset."""
    steps = torch.arange(window)
    rows, columns = steps[:, None].expand(window, window).flatten(), steps.repeat(window)
    down = rows[:, None] - rows + window - 1
    right = columns[:, None] - columns + window - 1
    return down * (2 * window - 1) + right


class DropPath(nn.Module):
    """Drop a whole residual branch for some images of a training batch (stochastic depth)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.chance == 0:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.chance)
        return x * keep / (1 - self.chance)


class WindowAttention(nn.Module):
    """Self-attention within windows, with a learnt bias for each relative position and head."""

    offset_index: Tensor

    def __init__(self, channels: int, window: int) -> None:
        super().__init__()
        self.heads = channels // _HEAD_WIDTH
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, self.heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("offset_index", _offset_index(window), persistent=False)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """(N * windows, L, C) to the same; ``mask`` is (windows, L, L), None adds nothing."""
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(windows).chunk(3, dim=-1)
        )
        bias = self.bias_table[self.offset_index].permute(2, 0, 1)[None]
        if mask is not None:
            bias = bias + mask[:, None]
            images = windows.shape[0] // mask.shape[0]
            bias = bias.expand(images, *bias.shape).flatten(0, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """One transformer layer; ``shift`` 0 has plain windows."""

    def __init__(self, channels: int, window: int, shift: int, drop_path: float) -> None:
        super().__init__()
        self.window = window
        self.shift = shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, window)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, channels * _EXPANSION),
            nn.GELU(),
            nn.Linear(channels * _EXPANSION, channels),
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, grid: Tensor, mask: Tensor) -> Tensor:
        """(N, H, W, C) to the same; ``mask`` is `_shift_mask` of the padded grid."""
        grid = grid + self.drop_path(self._attend(self.norm1(grid), mask))
        return grid + self.drop_path(self.mlp(self.norm2(grid)))

    def _attend(self, grid: Tensor, mask: Tensor) -> Tensor:
        height, width = grid.shape[1:3]
        padded = _pad_grid(grid, self.window)
        size = int(padded.shape[1]), int(padded.shape[2])
        if self.shift:
            padded = padded.roll((-self.shift, -self.shift), (1, 2))
        windows = self.attn(_to_windows(padded, self.window), mask if self.shift else None)
        padded = _from_windows(windows, *size, self.window)
        if self.shift:
            padded = padded.roll((self.shift, self.shift), (1, 2))
        return padded[:, :height, :width]


class Stage(nn.Module):
    """Blocks with plain and shifted windows in turn."""

    def __init__(self, channels: int, window: int, chances: list[float]) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(
            Block(channels, window, window // 2 if index % 2 else 0, chance)
            for index, chance in enumerate(chances)
        )

    def forward(self, grid: Tensor) -> Tensor:
        # The same for all blocks of the stage.
        mask = _shift_mask(_pad_grid(grid, self.window), self.window, self.window // 2)
        for block in self.blocks:
            grid = block(grid, mask)
        return grid


class PatchMerging(nn.Module):
    """2 x 2 neighbours to one token of twice the width: (N, H, W, C) to (N, H/2, W/2, 2C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduce = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, grid: Tensor) -> Tensor:
        grid = _pad_grid(grid, 2)
        parts = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduce(self.norm(torch.cat(parts, -1)))


class PatchEmbedding(nn.Module):
    """Patches of 4 x 4 pixels to tokens: (N, 3, H, W) to (N, H/4, W/4, C), rounded up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, channels, _PATCH, stride=_PATCH)
        self.norm = nn.LayerNorm(channels)

    def forward(self, image: Tensor) -> Tensor:
        bottom, right = -image.shape[2] % _PATCH, -image.shape[3] % _PATCH
        image = F.pad(image, (0, right, 0, bottom))
        return self.norm(self.proj(image).permute(0, 2, 3, 1))


class SwinTransformer(nn.Module):
    """The features of four stages, each with a norm of its own.

    Parameters
    ----------
    size : str
        One of `SWIN_SIZES`.
    window : int
        Height and width of a window in tokens.
    drop_path : float
        Chance that a training image skips the last block; it grows linearly from 0 at the first.

    Attributes
    ----------
    channels : tuple of int
        Channels of the four maps.
    """

    def __init__(self, size: str, *, window: int, drop_path: float) -> None:
        super().__init__()
        first, depths = SWIN_SIZES[size]
        self.channels = tuple(first * 2**stage for stage in range(len(depths)))
        chances = torch.linspace(0, drop_path, sum(depths), device="cpu").tolist()
        self.embed = PatchEmbedding(first)
        self.stages = nn.ModuleList(
            Stage(channels, window, [chances.pop(0) for _ in range(depth)])
            for channels, depth in zip(self.channels, depths, strict=True)
        )
        self.merges = nn.ModuleList(PatchMerging(channels) for channels in self.channels[:-1])
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for channels in self.channels)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(N, 3, H, W) to four (N, C, h, w) at strides 4 to 32, sizes rounded up."""
        features = []
        grid = self.embed(image)
        for index, (stage, norm) in enumerate(zip(self.stages, self.norms, strict=True)):
            if index:
                grid = self.merges[index - 1](grid)
            grid = stage(grid)
            features.append(norm(grid).permute(0, 3, 1, 2))
        return features
