"""FC-DenseNet: the one hundred layers tiramisu.

S. Jegou, M. Drozdzal, D. Vazquez, A. Romero, Y. Bengio: "The One Hundred Layers Tiramisu: Fully
Convolutional DenseNets for Semantic Segmentation", CVPR Workshops 2017, arXiv:1611.09326.

Every layer of a block sees the features of all layers before it, and adds only a few.  Going down,
a block's input stays in the stack; going up, only what the last block added is enlarged, which
keeps the stack from exploding, and the skips bring the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.options import option

_VARIANTS: dict[str, tuple[int, tuple[int, ...], int]] = {
    # Growth rate; layers per block going down, the way up mirrors them; layers of the bottleneck.
    "56": (12, (4, 4, 4, 4, 4), 4),
    "67": (16, (5, 5, 5, 5, 5), 5),
    "103": (16, (4, 5, 7, 10, 12), 15),
}
_LEVELS = 5


@dataclass(frozen=True)
class FCDenseNetOptions:
    """Variant of FC-DenseNet."""

    variant: str = option(
        "103", "Number of layers, which gives the blocks.", choices=tuple(_VARIANTS)
    )
    growth: int = option(
        0,
        "Features that each layer of a block adds; 0 takes the published rate: 12 for 56 layers, "
        "16 for 67 and 103.",
        minimum=0,
        maximum=256,
    )
    width: int = option(48, "Features of the first convolution.", minimum=1, maximum=1024)
    dropout: float = option(0.2, "Dropout at the end of each layer.", minimum=0, maximum=0.9)

    @property
    def published_growth(self) -> int:
        """Growth rate after 0 has been replaced."""
        return self.growth or _VARIANTS[self.variant][0]


class Layer(nn.Module):
    """Batch normalisation, ReLU, convolution, dropout: the order of the paper's table 1."""

    def __init__(self, channels: int, out_channels: int, window: int, dropout: float) -> None:
        super().__init__()
        # The authors' library adds 1e-4 to the variance.
        self.norm = nn.BatchNorm2d(channels, eps=1e-4)
        self.conv = nn.Conv2d(channels, out_channels, window, padding=window // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.conv(F.relu(self.norm(x))))


class DenseBlock(nn.Module):
    """Layers that each see the input and all before: (N, C, H, W) to (N, layers * growth, H, W).

    The input is not part of the output.
    """

    def __init__(self, channels: int, layers: int, growth: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(channels + index * growth, growth, 3, dropout) for index in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        stack = [x]
        for layer in self.layers:
            stack.append(layer(torch.cat(stack, 1)))
        return torch.cat(stack[1:], 1)


@ARCHITECTURES.register("fc-densenet")
class FCDenseNet(SegmentationNetwork):
    """FC-DenseNet with an output at full resolution.

    Odd sizes lose their last row or column in a pooling and have it again after the transposed
    convolution, which gives 2 n + 1, as in the authors' code; images below 32 pixels are padded
    at the bottom and right.  ``down`` is numbered fine to coarse and ``up`` coarse to fine.
    """

    Options = FCDenseNetOptions
    facts = Facts(
        title="FC-DenseNet",
        paper="Jegou et al.: The One Hundred Layers Tiramisu, CVPRW 2017, arXiv:1611.09326",
        year=2017,
        output_stride=1,
        published="66.9 mIoU on CamVid test, 11 classes (FC-DenseNet103, the paper, table 3)",
        sizes=(
            # The authors count the running means and variances too: 3.50 and 9.43 million.  With
            # 56 layers that makes 1.40, so their figure is of a network somewhat larger than
            # the one that the paper describes.
            PublishedSize(1.5, 11, {"variant": "56"}, "the paper, table 3", tolerance=0.09),
            PublishedSize(3.5, 11, {"variant": "67"}, "the paper, table 3", tolerance=0.015),
            PublishedSize(9.4, 11, {"variant": "103"}, "the paper, table 3", tolerance=0.01),
        ),
    )
    variants = {variant: {"variant": variant} for variant in _VARIANTS}
    smallest = {"variant": "56", "growth": 4, "width": 8}
    classifier = "classify"

    def __init__(self, classes: int, options: FCDenseNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: FCDenseNetOptions = self.options
        _, depths, bottleneck = _VARIANTS[chosen.variant]
        growth, dropout = chosen.published_growth, chosen.dropout
        self.stem = nn.Conv2d(3, chosen.width, 3, padding=1)
        self.down, self.transition_down = nn.ModuleList(), nn.ModuleList()
        channels, skips = chosen.width, []
        for depth in depths:
            self.down.append(DenseBlock(channels, depth, growth, dropout))
            channels += depth * growth
            skips.append(channels)
            self.transition_down.append(Layer(channels, channels, 1, dropout))
        self.bottleneck = DenseBlock(channels, bottleneck, growth, dropout)
        self.transition_up, self.up = nn.ModuleList(), nn.ModuleList()
        added = bottleneck * growth
        for depth, skip in zip(reversed(depths), reversed(skips), strict=True):
            self.transition_up.append(nn.ConvTranspose2d(added, added, 3, stride=2))
            channels = added + skip
            self.up.append(DenseBlock(channels, depth, growth, dropout))
            added = depth * growth
        self.classify = nn.Conv2d(channels + added, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        bottom, right = (max(0, 2**_LEVELS - size) for size in (height, width))
        x = self.stem(F.pad(image, (0, right, 0, bottom)))
        skips = []
        for block, transition in zip(self.down, self.transition_down, strict=True):
            x = torch.cat([x, block(x)], 1)
            skips.append(x)
            x = F.max_pool2d(transition(x), 2)
        added = self.bottleneck(x)
        for transition, block in zip(self.transition_up, self.up, strict=True):
            skip = skips.pop()
            large = transition(added)[..., : skip.shape[-2], : skip.shape[-1]]
            x = torch.cat([large, skip], 1)
            added = block(x)
        return self.classify(torch.cat([x, added], 1))[..., :height, :width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        stem, head = state_dict.get("stem.weight"), state_dict.get("classify.weight")
        layer = state_dict.get("bottleneck.layers.0.conv.weight")
        up = state_dict.get("transition_up.4.weight")
        if stem is None or head is None or layer is None or up is None:
            return None
        if stem.ndim != 4 or head.ndim != 4 or layer.ndim != 4 or stem.shape[1] != 3:
            return None
        depths = tuple(_depth(state_dict, f"down.{level}") for level in range(_LEVELS))
        wanted = depths, _depth(state_dict, "bottleneck")
        variant = next((name for name, rest in _VARIANTS.items() if rest[1:] == wanted), None)
        if variant is None:
            return None
        growth = int(layer.shape[0])
        options = FCDenseNetOptions(
            variant,
            growth=0 if growth == _VARIANTS[variant][0] else growth,
            width=int(stem.shape[0]),
        )
        return Recognition("segstudio", options, int(head.shape[0]))


def _depth(state_dict: StateDict, block: str) -> int:
    """Return the number of layers of a block."""
    prefix = f"{block}.layers."
    return sum(key.startswith(prefix) and key.endswith(".conv.weight") for key in state_dict)
