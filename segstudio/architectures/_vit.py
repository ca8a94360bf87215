"""The Vision Transformer encoder that SETR and Segmenter share.

Reference: Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition
at Scale", ICLR 2021, arXiv:2010.11929; distillation token: Touvron et al., "Training data-efficient
image transformers & distillation through attention", ICML 2021, arXiv:2012.12877.

The names of a block's tensors are timm's.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import StateDict, pad_to_multiple

__all__ = [
    "VIT_SIZES",
    "Block",
    "EncoderShape",
    "VisionTransformer",
    "drop_path",
    "initialise_linear",
    "read_encoder",
]

VIT_SIZES: dict[str, tuple[int, int]] = {
    # Width, number of layers.
    "tiny": (192, 12),
    "small": (384, 12),
    "base": (768, 12),
    "large": (1024, 24),
}
_HEAD_WIDTH = 64
"""Channels of one attention head, in every published size."""
_EXPANSION = 4


def drop_path(branch: Tensor, chance: float, training: bool) -> Tensor:
    """Drop a whole residual branch for some images of a training batch (stochastic depth)."""
    if not training or chance == 0:
        return branch
    keep = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(1 - chance)
    return branch * keep / (1 - chance)


class Attention(nn.Module):
    """Multi-head self-attention over (N, L, C) tokens."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = width // _HEAD_WIDTH
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        # (N, L, 3 C) to three of (N, heads, L, C / heads).
        query, key, value = (
            self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        )
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        out: Tensor = F.dropout(
            self.proj(mixed.transpose(1, 2).flatten(2)), self.dropout, self.training
        )
        return out


class Block(nn.Module):
    """One transformer layer, normalised before each branch."""

    def __init__(
        self, width: int, *, eps: float, dropout: float = 0.0, drop_path: float = 0.0
    ) -> None:
        super().__init__()
        self.drop_path = drop_path
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, dropout)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = nn.Sequential(
            OrderedDict(
                fc1=nn.Linear(width, _EXPANSION * width),
                act=nn.GELU(),
                drop1=nn.Dropout(dropout),
                fc2=nn.Linear(_EXPANSION * width, width),
                drop2=nn.Dropout(dropout),
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + drop_path(self.attn(self.norm1(tokens)), self.drop_path, self.training)
        return tokens + drop_path(self.mlp(self.norm2(tokens)), self.drop_path, self.training)


class VisionTransformer(nn.Module):
    """Patches and a few extra tokens through transformer layers, back to feature maps.

    Parameters
    ----------
    width, layers : int
        C, a multiple of 64, and the number of transformer layers.
    patch : int
        Height and width of a patch, which is the output stride.
    crop : int
        Height and width of the images whose grid of patches the position embeddings fit; for other
        numbers of patches they are resized.
    tokens : int
        Extra tokens in front of the patches: class token, distillation token.
    eps : float
        Of each LayerNorm.
    interpolation : str
        "bilinear" or "bicubic": how position embeddings are resized.  It is part of the name of
        their tensor, so that weights tell it.
    taps : sequence of int
        Layers whose outputs are returned, counted from 0 and rising; a layer may appear twice.
    final_norm : bool
        Whether the last layer's output is normalised.
    drop_path : float
        Chance that a training image skips the last layer; it grows linearly from 0 at the first.
    """

    def __init__(
        self,
        width: int,
        layers: int,
        *,
        patch: int,
        crop: int,
        tokens: int,
        eps: float,
        interpolation: str = "bilinear",
        taps: Sequence[int] = (-1,),
        final_norm: bool = False,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.patch = patch
        self.grid = max(1, crop // patch)
        self.interpolation = interpolation
        self.taps = tuple(tap % layers for tap in taps)
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.tokens = nn.Parameter(torch.empty(1, tokens, width)) if tokens else None
        self.positions = nn.ParameterDict(
            {interpolation: nn.Parameter(torch.empty(1, tokens + self.grid**2, width))}
        )
        last = max(1, layers - 1)
        self.blocks = nn.ModuleList(
            Block(width, eps=eps, drop_path=drop_path * index / last) for index in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=eps) if final_norm else nn.Identity()
        self.apply(initialise_linear)
        for parameter in (self.tokens, *self.positions.values()):
            if parameter is not None:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the (N, C, ceil(H / patch), ceil(W / patch)) maps of the layers tapped."""
        # The patches at the bottom and right edges are filled up with zeros.
        features = self.patches(pad_to_multiple(image, self.patch))
        rows, columns = features.shape[-2:]
        tokens = features.flatten(2).transpose(1, 2)
        extra = 0
        if self.tokens is not None:
            extra = self.tokens.shape[1]
            tokens = torch.cat([self.tokens.expand(tokens.shape[0], -1, -1), tokens], 1)
        tokens = tokens + self._positions(rows, columns, extra)
        maps = []
        for index, block in enumerate(self.blocks):
            tokens = block(tokens)
            if index == len(self.blocks) - 1:
                tokens = self.norm(tokens)
            if index in self.taps:
                found = tokens[:, extra:].transpose(1, 2).unflatten(2, (rows, columns))
                maps += [found] * self.taps.count(index)
        return maps

    def _positions(self, rows: int, columns: int, extra: int) -> Tensor:
        """Return the position embeddings for a grid, (1, extra + rows * columns, C)."""
        positions: Tensor = self.positions[self.interpolation]
        # Both published implementations compare the numbers of patches, not the grids' shapes.
        if rows * columns == self.grid**2:
            return positions
        fixed, grid = positions[:, :extra], positions[:, extra:]
        resized = F.interpolate(
            grid.transpose(1, 2).unflatten(2, (self.grid, self.grid)),
            size=(rows, columns),
            mode=self.interpolation,
            align_corners=False,
        )
        return torch.cat([fixed, resized.flatten(2).transpose(1, 2)], 1)


def initialise_linear(module: nn.Module) -> None:
    """Draw the weights of linear layers as Vision Transformers do: small, normal; no bias."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """What the tensors of an encoder tell.

    Attributes
    ----------
    variant : str
        A name in `VIT_SIZES`.
    layers : int
        0 when the variant has its published number of them.
    patch, crop : int
        See `VisionTransformer`.
    interpolation : str
        "bilinear" or "bicubic".
    """

    variant: str
    layers: int
    patch: int
    crop: int
    interpolation: str


def read_encoder(tensors: StateDict, tokens: int) -> EncoderShape | None:
    """Return the shape of the encoder at ``encoder.`` in a page's own state dict.

    Parameters
    ----------
    tensors : mapping of str to Tensor
    tokens : int
        How many of the position embeddings belong to extra tokens.

    Returns
    -------
    EncoderShape or None
        None when it is no encoder of a size known here.
    """
    patches = tensors.get("encoder.patches.weight")
    mode = next(
        (mode for mode in ("bilinear", "bicubic") if f"encoder.positions.{mode}" in tensors), None
    )
    if patches is None or mode is None or patches.ndim != 4:
        return None
    positions = tensors[f"encoder.positions.{mode}"]
    width, _, patch, _ = (int(size) for size in patches.shape)
    variant = next((name for name, size in VIT_SIZES.items() if size[0] == width), None)
    count = int(positions.shape[1]) - tokens if positions.ndim == 3 else 0
    grid = math.isqrt(max(0, count))
    layers = sum(
        re.fullmatch(r"encoder\.blocks\.\d+\.norm1\.weight", name) is not None for name in tensors
    )
    if variant is None or not (patch and grid and layers) or grid**2 != count:
        return None
    published = layers == VIT_SIZES[variant][1]
    return EncoderShape(variant, 0 if published else layers, patch, grid * patch, mode)
