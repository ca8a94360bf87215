"""PSPNet.

H. Zhao, J. Shi, X. Qi, X. Wang, J. Jia: "Pyramid Scene Parsing Network", CVPR 2017,
arXiv:1612.01105.

Averages of the encoder's last features over grids of 1, 2, 3 and 6 cells a side say what kind of
scene this is; upsampled and concatenated to the features they enter the classifier.
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
    StateDict,
)
from segstudio.architectures._dilated import (
    DilatedNetwork,
    backbone_of,
    backbone_option,
    build_backbone,
    conv_norm_relu,
    initialise,
    is_mmsegmentation,
    leftovers,
    recognition,
    renamed,
)
from segstudio.architectures._encoders import feature_channels
from segstudio.core.options import option

_CELLS = (1, 2, 3, 6)
_COUNTED = "MMSegmentation 1.2.2, without its auxiliary head"


@dataclass(frozen=True)
class PSPNetOptions:
    """Variant of PSPNet."""

    backbone: str = backbone_option()
    width: int = option(512, "Channels of the head.", minimum=1, maximum=4096)
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)


class PyramidPooling(nn.Module):
    """Features beside their averages over grids: (N, C, H, W) to (N, C + 4 * width, H, W)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(cells), conv_norm_relu(channels, width))
            for cells in _CELLS
        )

    def forward(self, features: Tensor) -> Tensor:
        size = features.shape[-2:]
        maps = [
            F.interpolate(level(features), size=size, mode="bilinear", align_corners=False)
            for level in self.levels
        ]
        return torch.cat([features, *maps], 1)


@ARCHITECTURES.register("pspnet")
class PSPNet(DilatedNetwork):
    """PSPNet with logits at an eighth of the input's size."""

    Options = PSPNetOptions
    facts = Facts(
        title="PSPNet",
        paper="Zhao et al.: Pyramid Scene Parsing Network, CVPR 2017, arXiv:1612.01105",
        year=2017,
        output_stride=8,
        published="42.5 (R50-d8) and 44.4 (R101-d8) mIoU on ADE20K val (MMSegmentation, 160k)",
        sizes=(
            PublishedSize(46.68, 150, {}, _COUNTED),
            PublishedSize(65.67, 150, {"backbone": "resnet101c"}, _COUNTED),
            PublishedSize(13.46, 150, {"backbone": "mobilenet-v2"}, _COUNTED),
        ),
    )
    variants = {
        "r50-d8": {},
        "r101-d8": {"backbone": "resnet101c"},
        "m-v2-d8": {"backbone": "mobilenet-v2"},
    }
    smallest = {"backbone": "mobilenet-v2", "width": 16}
    classifier = "classify"

    def __init__(self, classes: int, options: PSPNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: PSPNetOptions = self.options
        self.encoder = build_backbone(chosen.backbone)
        channels = feature_channels(self.encoder)[-1]
        self.pyramid = PyramidPooling(channels, chosen.width)
        self.bottleneck = conv_norm_relu(channels + len(_CELLS) * chosen.width, chosen.width, 3)
        self.dropout = nn.Dropout2d(chosen.dropout)
        self.classify = nn.Conv2d(chosen.width, classes, 1)
        initialise(self.classify)

    def forward(self, image: Tensor) -> Tensor:
        features = self.pyramid(self.encoder(image)[-1])
        return self.classify(self.dropout(self.bottleneck(features)))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of MMSegmentation."""
        if is_mmsegmentation(state_dict):
            return renamed(state_dict, _MMSEG_HEAD, mmsegmentation=True)
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        first = ours.get("pyramid.levels.0.1.0.weight")
        classify, backbone = ours.get("classify.weight"), backbone_of(ours)
        if first is None or classify is None or backbone is None or leftovers(ours):
            return None
        options = PSPNetOptions(backbone, width=int(first.shape[0]))
        return recognition(state_dict, options, classify)


_MMSEG_HEAD = {
    **{
        f"decode_head.psp_modules.{level}.1.{theirs}": f"pyramid.levels.{level}.1.{ours}"
        for level in range(len(_CELLS))
        for theirs, ours in (("conv", 0), ("bn", 1))
    },
    "decode_head.bottleneck.conv": "bottleneck.0",
    "decode_head.bottleneck.bn": "bottleneck.1",
    "decode_head.conv_seg": "classify",
}
