"""RefineNet.

G. Lin, A. Milan, C. Shen, I. Reid: "RefineNet: Multi-Path Refinement Networks for High-Resolution
Semantic Segmentation", CVPR 2017, arXiv:1611.06612.

Four blocks walk from the coarsest features of a ResNet to the finest.  Each adapts its features
by residual convolution units, adds what comes from the coarser block, and pools with a chain of
small windows whose results are added one by one: identities all the way, so gradients reach the
encoder unhindered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

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
from segstudio.architectures._encoders import (
    feature_channels,
    resnet,
    resnet_depth,
    wake_residual_branches,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_BACKBONES = ("resnet18", "resnet50", "resnet101", "resnet152")
_ADAPTING_UNITS, _OUTPUT_UNITS = 2, 3
_RELEASED = {"pooling_stages": 4}
_COUNTED = "Nekrasov et al.: Light-Weight RefineNet, BMVC 2018, arXiv:1810.03272, on its original"


@dataclass(frozen=True)
class RefineNetOptions:
    """Variant of RefineNet."""

    backbone: str = option(
        "resnet101",
        "Encoder; the paper's are ResNet-50, 101 and 152, 18 is for first looks.",
        choices=_BACKBONES,
    )
    pooling_stages: int = option(
        2,
        "Poolings in a chain: 2 in the paper, 4 in the networks that its authors released.",
        minimum=1,
        maximum=8,
    )
    width: int = option(
        256, "Channels of the blocks; the coarsest has twice as many.", minimum=1, maximum=1024
    )
    dropout: float = option(
        0.5,
        "Dropout on the two coarsest features and before the classifier.",
        minimum=0,
        maximum=0.9,
    )


def _conv(channels: int, out_channels: int, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias)


class ResidualUnit(nn.Module):
    """Two convolutions, each behind a ReLU, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels, bias=True)
        self.second = _conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(F.relu(x))))


class ChainedPooling(nn.Module):
    """Poolings and convolutions in a chain; every link is added to the input behind its ReLU."""

    def __init__(self, channels: int, stages: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.convs = nn.ModuleList(_conv(channels, channels) for _ in range(stages))

    def forward(self, x: Tensor) -> Tensor:
        out = link = F.relu(x)
        for conv in self.convs:
            link = conv(self.pool(link))
            out = out + link
        return out


class RefineBlock(nn.Module):
    """One level: adapt, fuse with the coarser level's output, pool.

    The paper adapts the coarser input by two residual units of its own, after one unit at the
    coarser block's end.  As in the authors' networks the three stand together at that end, where
    the map is smaller.

    Parameters
    ----------
    channels : int
        Channels of the encoder's features.
    width : int
        Channels of the block.
    coarse_width : int or None
        Channels of the coarser block, None for the coarsest.
    stages : int
        Poolings in the chain.
    """

    def __init__(self, channels: int, width: int, coarse_width: int | None, stages: int) -> None:
        super().__init__()
        self.reduce = _conv(channels, width)
        self.adapt = nn.Sequential(*(ResidualUnit(width) for _ in range(_ADAPTING_UNITS)))
        self.fuse = self.fuse_coarse = None
        if coarse_width is not None:
            self.fuse = _conv(width, width)
            self.fuse_coarse = _conv(coarse_width, width)
        self.pool = ChainedPooling(width, stages)
        self.output = nn.Sequential(*(ResidualUnit(width) for _ in range(_OUTPUT_UNITS)))

    def forward(self, features: Tensor, coarse: Tensor | None) -> Tensor:
        x = self.adapt(self.reduce(features))
        if self.fuse is not None and self.fuse_coarse is not None and coarse is not None:
            coarse = F.interpolate(
                self.fuse_coarse(coarse), size=x.shape[-2:], mode="bilinear", align_corners=True
            )
            x = self.fuse(x) + coarse
        return self.output(self.pool(x))


@ARCHITECTURES.register("refinenet")
class RefineNet(SegmentationNetwork):
    """RefineNet with logits at a quarter of the input's size, rounded up."""

    Options = RefineNetOptions
    facts = Facts(
        title="RefineNet",
        paper="Lin et al.: RefineNet, CVPR 2017, arXiv:1611.06612",
        year=2017,
        output_stride=4,
        published="83.4 mIoU on PASCAL VOC 2012 test (ResNet-152), 73.6 on Cityscapes test "
        "(ResNet-101; the paper)",
        sizes=(PublishedSize(118, 21, _RELEASED, _COUNTED),),
    )
    variants = {
        "resnet50": {"backbone": "resnet50"},
        "resnet101": {},
        "resnet152": {"backbone": "resnet152"},
        "resnet101-released": _RELEASED,
    }
    smallest = {"backbone": "resnet18", "width": 16}
    classifier = "head"

    def __init__(self, classes: int, options: RefineNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: RefineNetOptions = self.options
        self.encoder = resnet(int(chosen.backbone.removeprefix("resnet")), deep_stem=False)
        blocks: list[RefineBlock] = []
        coarse: int | None = None
        for channels in reversed(feature_channels(self.encoder)):
            width = chosen.width if blocks else 2 * chosen.width
            blocks.append(RefineBlock(channels, width, coarse, chosen.pooling_stages))
            coarse = width
        self.blocks = nn.ModuleList(blocks)
        self.dropout = nn.Dropout(chosen.dropout)
        self.head = _conv(chosen.width, classes, bias=True)
        self._initialise()

    def _initialise(self) -> None:
        """Start near the identity, which the paper does not state but a net without norms needs."""
        for module in self.blocks.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.blocks.modules():
            if isinstance(module, ResidualUnit):
                nn.init.normal_(module.second.weight, std=0.01)
            elif isinstance(module, ChainedPooling):
                for conv in module.convs:
                    assert isinstance(conv, nn.Conv2d)
                    nn.init.normal_(conv.weight, std=0.01)
        nn.init.normal_(self.head.weight, std=0.01)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        wake_residual_branches(self.encoder)

    def forward(self, image: Tensor) -> Tensor:
        x: Tensor | None = None
        for index, features in enumerate(reversed(self.encoder(image))):
            x = self.blocks[index](self.dropout(features) if index < 2 else features, x)
        return self.head(self.dropout(x))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of DrSleep/refinenet-pytorch, which holds the authors' weights."""
        if _FOREIGN_FIRST not in state_dict:
            return dict(state_dict)
        return {_from_refinenet_pytorch(key): value for key, value in state_dict.items()}

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        names = ("blocks.3.fuse_coarse.weight", "blocks.0.adapt.0.first.weight", "head.weight")
        if any(name not in ours or ours[name].ndim != 4 for name in names):
            return None
        backbone = f"resnet{resnet_depth(ours)}"
        stages = sum(bool(_POOLING.fullmatch(key)) for key in ours)
        if backbone not in _BACKBONES or not stages:
            return None
        width, classes = (int(ours[name].shape[0]) for name in (names[0], names[2]))
        options = RefineNetOptions(backbone, stages, width)
        if _FOREIGN_FIRST in state_dict:
            # That code scales to 0..1 and takes ImageNet's mean and deviation, on the whole image.
            return Recognition("refinenet-pytorch", options, classes, Preprocessing())
        return Recognition("segstudio", options, classes)


_POOLING = re.compile(r"blocks\.0\.pool\.convs\.\d+\.weight")
_FOREIGN_FIRST = "adapt_stage1_b.0.1_conv.weight"
_FOREIGN_UNIT = re.compile(r"(adapt_stage|mflow_conv_g)(\d)_b\.0\.(\d)_conv(_relu_varout_dimred)?")
_FOREIGN_POOLING = re.compile(r"mflow_conv_g(\d)_pool\.0\.(\d)_outvar_dimred")
_FOREIGN_REDUCE = re.compile(r"p_ims1d2_outl(\d)_dimred")
_FOREIGN_FUSE = re.compile(r"(adapt_stage|mflow_conv_g)(\d)_b(?:2|3)_joint_varout_dimred")


def _from_refinenet_pytorch(key: str) -> str:
    """Translate one name; that code counts blocks and units from 1."""
    layer, _, rest = key.rpartition(".")
    if layer == "clf_conv":
        return f"head.{rest}"
    found = _FOREIGN_UNIT.fullmatch(layer)
    if found:
        part = "adapt" if found[1] == "adapt_stage" else "output"
        conv = "second" if found[4] else "first"
        return f"blocks.{int(found[2]) - 1}.{part}.{int(found[3]) - 1}.{conv}.{rest}"
    found = _FOREIGN_POOLING.fullmatch(layer)
    if found:
        return f"blocks.{int(found[1]) - 1}.pool.convs.{int(found[2]) - 1}.{rest}"
    found = _FOREIGN_REDUCE.fullmatch(layer)
    if found:
        return f"blocks.{int(found[1]) - 1}.reduce.{rest}"
    found = _FOREIGN_FUSE.fullmatch(layer)
    if found:
        # A block's last convolution is the finer block's view of it.
        if found[1] == "mflow_conv_g":
            return f"blocks.{found[2]}.fuse_coarse.{rest}"
        return f"blocks.{int(found[2]) - 1}.fuse.{rest}"
    return f"encoder.{key}"
