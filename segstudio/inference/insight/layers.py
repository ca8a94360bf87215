"""The attention layers of a network, and hooks on what goes into them.

The networks call PyTorch's fused attention, which never shows its weights; from the input of a
layer they are computed again.

Encoders known here: the Vision Transformer (SETR, Segmenter, also Segmenter's mask transformer),
SegFormer's Mix Transformer, whose keys lie on a coarser grid, and Swin with its windows.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from torch import nn

from segstudio.architectures import _swin, _vit, segformer, segmenter
from segstudio.inference.insight.view import TokenGrid
from segstudio.inference.insight.weights import GlobalAttention, LayerAttention, WindowedAttention

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["AttentionLayer", "find_layers", "watching"]


@dataclass(frozen=True, slots=True, eq=False)
class AttentionLayer:
    """One attention layer of a network.

    Attributes
    ----------
    name : str
        Dotted name of the transformer layer.
    heads : int
    watch : callable
        Registers hooks that pass a `LayerAttention` on in each pass; gets the passing function and
        a list of handles to extend.
    """

    name: str
    heads: int
    watch: Callable[[Callable[[LayerAttention], None], list[Any]], None]


@contextlib.contextmanager
def watching(
    layers: list[AttentionLayer], found: Callable[[AttentionLayer, LayerAttention], None]
) -> Iterator[None]:
    """Call ``found`` with each layer's attention while the network runs; hooks always go again."""
    handles: list[Any] = []
    try:
        for layer in layers:
            layer.watch(functools.partial(found, layer), handles)
        yield
    finally:
        for handle in handles:
            handle.remove()


def find_layers(network: nn.Module) -> list[AttentionLayer]:
    """Return the attention layers of a network in the order of its forward pass, none for CNNs."""
    layers: list[AttentionLayer] = []
    patch = 0
    for name, module in network.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, _vit.VisionTransformer):
            patch = module.patch
            layers += _vit_layers(f"{prefix}blocks", module.blocks, network, patch, last=True)
        elif isinstance(module, segmenter.MaskTransformer):
            layers += _vit_layers(f"{prefix}blocks", module.blocks, network, patch, last=False)
        elif isinstance(module, segformer.Attention):
            layers.append(_mix_layer(name.removesuffix(".attn"), module, network))
        elif isinstance(module, _swin.SwinTransformer):
            for index, stage in enumerate(module.stages):
                stride = int(module.embed.proj.stride[0]) * 2**index
                assert isinstance(stage, _swin.Stage)
                layers += _swin_layers(f"{prefix}stages.{index}.blocks", stage.blocks, stride)
    return layers


# -- every patch sees all keys ---------------------------------------------------------------------


def _vit_layers(
    prefix: str, blocks: nn.ModuleList, network: nn.Module, patch: int, *, last: bool
) -> list[AttentionLayer]:
    """Return the layers of a Vision Transformer; ``last`` tells where among its tokens patches are.

    In the encoder they come after the extra tokens, in the mask transformer before the classes.
    """
    return [
        _vit_layer(f"{prefix}.{index}", block.attn, network, patch, last)
        for index, block in enumerate(blocks)
        if isinstance(block, _vit.Block)
    ]


def _vit_layer(
    name: str, attention: _vit.Attention, network: nn.Module, patch: int, last: bool
) -> AttentionLayer:
    def read(size: tuple[int, int], tokens: Tensor) -> LayerAttention:
        rows, columns = -(-size[0] // patch), -(-size[1] // patch)
        grid = TokenGrid(rows, columns, float(rows * patch), float(columns * patch))
        first = tokens.shape[1] - rows * columns if last else 0
        weight, bias = attention.qkv.weight.chunk(3), attention.qkv.bias.chunk(3)

        def project(part: int, some: Tensor) -> Tensor:
            return _by_head(F.linear(some, weight[part], bias[part]), attention.heads)

        return GlobalAttention(
            grid,
            grid,
            key=project(1, tokens[0]),
            first=first,
            query=lambda start, stop: project(0, tokens[0, first + start : first + stop]),
        )

    return AttentionLayer(name, attention.heads, _sized(network, attention, read))


def _mix_layer(name: str, attention: segformer.Attention, network: nn.Module) -> AttentionLayer:
    def read(size: tuple[int, int], tokens: Tensor, height: int, width: int) -> LayerAttention:
        # The head resizes the maps to each other: cells share the input equally.
        queries = TokenGrid(height, width, float(size[0]), float(size[1]))
        source, keys = tokens, queries
        if attention.reduction > 1:
            step = attention.reduction
            grid = tokens.transpose(1, 2).unflatten(2, (height, width))
            grid = F.pad(grid, (0, max(0, step - width), 0, max(0, step - height)))
            reduced = attention.reduce(grid)
            source = attention.norm(reduced.flatten(2).transpose(1, 2))
            rows, columns = int(reduced.shape[2]), int(reduced.shape[3])
            keys = TokenGrid(
                rows, columns, rows * step * size[0] / height, columns * step * size[1] / width
            )
        weight, bias = attention.kv.weight.chunk(2)[0], attention.kv.bias.chunk(2)[0]
        return GlobalAttention(
            queries,
            keys,
            key=_by_head(F.linear(source[0], weight, bias), attention.heads),
            first=0,
            query=lambda start, stop: _by_head(attention.q(tokens[0, start:stop]), attention.heads),
        )

    return AttentionLayer(name, attention.heads, _sized(network, attention, read))


def _sized(
    network: nn.Module, attention: nn.Module, read: Callable[..., LayerAttention]
) -> Callable[[Callable[[LayerAttention], None], list[Any]], None]:
    """Return the ``watch`` of a layer that has to know the size of the network's input."""

    def watch(found: Callable[[LayerAttention], None], handles: list[Any]) -> None:
        size = [(0, 0)]

        def see_image(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            size[0] = int(inputs[0].shape[2]), int(inputs[0].shape[3])

        def see_tokens(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            found(read(size[0], *inputs))

        handles.append(network.register_forward_pre_hook(see_image))
        handles.append(attention.register_forward_pre_hook(see_tokens))

    return watch


# -- patches see their window ----------------------------------------------------------------------


def _swin_layers(prefix: str, blocks: nn.ModuleList, stride: int) -> list[AttentionLayer]:
    return [
        AttentionLayer(f"{prefix}.{index}", block.attn.heads, _watch_windows(block, stride))
        for index, block in enumerate(blocks)
        if isinstance(block, _swin.Block)
    ]


def _watch_windows(
    block: _swin.Block, stride: int
) -> Callable[[Callable[[LayerAttention], None], list[Any]], None]:
    def watch(found: Callable[[LayerAttention], None], handles: list[Any]) -> None:
        size = [(0, 0)]

        def see_grid(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            size[0] = int(inputs[0].shape[1]), int(inputs[0].shape[2])

        def see_windows(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            rows, columns = size[0]
            grid = TokenGrid(rows, columns, float(rows * stride), float(columns * stride))
            found(WindowedAttention(block, grid, *inputs))

        handles.append(block.register_forward_pre_hook(see_grid))
        handles.append(block.attn.register_forward_pre_hook(see_windows))

    return watch


def _by_head(tokens: Tensor, heads: int) -> Tensor:
    """(L, C) to (heads, L, C / heads)."""
    return tokens.unflatten(1, (heads, -1)).transpose(0, 1)
