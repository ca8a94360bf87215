"""DeepLabV3+.

L.-C. Chen, Y. Zhu, G. Papandreou, F. Schroff, H. Adam: "Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation", ECCV 2018, arXiv:1802.02611.

DeepLabV3's pyramid with separable convolutions, and a small decoder that looks at the encoder's
fine features again before it classifies.
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
    aspp_rates,
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

_COUNTED = "MMSegmentation 1.2.2, without its auxiliary head"


@dataclass(frozen=True)
class DeepLabV3PlusOptions:
    """Variant of DeepLabV3+."""

    backbone: str = backbone_option()
    width: int = option(512, "Channels of the head.", minimum=1, maximum=4096)
    fine_width: int = option(
        48, "Channels to which the fine features are reduced.", minimum=1, maximum=1024
    )
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)


class SeparableConv(nn.Module):
    """A 3 x 3 convolution per channel, then a 1 x 1 across channels, each normed and rectified."""

    def __init__(self, channels: int, out_channels: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Sequential(
            nn.Conv2d(
                channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
        self.pointwise = conv_norm_relu(channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(self.depthwise(x))


class SeparableASPP(nn.Module):
    """Five views of the features, joined: (N, C, H, W) to (N, width, H, W)."""

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm_relu(channels, width))
        self.views = nn.ModuleList(
            conv_norm_relu(channels, width)
            if rate == 1
            else SeparableConv(channels, width, dilation=rate)
            for rate in rates
        )
        self.join = conv_norm_relu((1 + len(rates)) * width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        whole = self.pool(features).expand(-1, -1, *features.shape[-2:])
        return self.join(torch.cat([whole, *(view(features) for view in self.views)], 1))


@ARCHITECTURES.register("deeplabv3plus")
class DeepLabV3Plus(DilatedNetwork):
    """DeepLabV3+ with logits at a quarter of the input's size."""

    Options = DeepLabV3PlusOptions
    facts = Facts(
        title="DeepLabV3+",
        paper="Chen et al.: Atrous Separable Convolution, ECCV 2018, arXiv:1802.02611",
        year=2018,
        output_stride=8,
        published="44.0 (R50-d8) and 45.5 (R101-d8) mIoU on ADE20K val (MMSegmentation, 160k)",
        sizes=(
            PublishedSize(41.29, 150, {}, _COUNTED),
            PublishedSize(60.28, 150, {"backbone": "resnet101c"}, _COUNTED),
            PublishedSize(15.08, 150, {"backbone": "mobilenet-v2"}, _COUNTED),
        ),
    )
    variants = {
        "r50-d8": {},
        "r101-d8": {"backbone": "resnet101c"},
        "m-v2-d8": {"backbone": "mobilenet-v2"},
        "lite0-d16": {"backbone": "efficientnet-lite0", "width": 256},
    }
    smallest = {"backbone": "mobilenet-v2", "width": 16, "fine_width": 8}
    classifier = "classify"

    def __init__(self, classes: int, options: DeepLabV3PlusOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: DeepLabV3PlusOptions = self.options
        width, fine_width = chosen.width, chosen.fine_width
        self.encoder = build_backbone(chosen.backbone)
        fine, *_, coarse = feature_channels(self.encoder)
        self.aspp = SeparableASPP(coarse, width, aspp_rates(chosen.backbone))
        self.reduce_fine = conv_norm_relu(fine, fine_width)
        self.decoder = nn.Sequential(
            SeparableConv(width + fine_width, width), SeparableConv(width, width)
        )
        self.dropout = nn.Dropout2d(chosen.dropout)
        self.classify = nn.Conv2d(width, classes, 1)
        initialise(self.classify)

    def forward(self, image: Tensor) -> Tensor:
        fine, *_, coarse = self.encoder(image)
        context = F.interpolate(
            self.aspp(coarse), size=fine.shape[-2:], mode="bilinear", align_corners=False
        )
        features = self.decoder(torch.cat([context, self.reduce_fine(fine)], 1))
        return self.classify(self.dropout(features))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of MMSegmentation."""
        if is_mmsegmentation(state_dict):
            return renamed(state_dict, _MMSEG_HEAD, mmsegmentation=True)
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        first, fine = ours.get("aspp.join.0.weight"), ours.get("reduce_fine.0.weight")
        classify, backbone = ours.get("classify.weight"), backbone_of(ours)
        if first is None or fine is None or classify is None or backbone is None:
            return None
        if leftovers(ours):
            return None
        options = DeepLabV3PlusOptions(
            backbone, width=int(first.shape[0]), fine_width=int(fine.shape[0])
        )
        return recognition(state_dict, options, classify)


def _separable(theirs: str, ours: str) -> dict[str, str]:
    """Return the names of a separable convolution's four layers."""
    return {
        f"{theirs}.{part}_conv.{kind}": f"{ours}.{part}.{index}"
        for part in ("depthwise", "pointwise")
        for index, kind in enumerate(("conv", "bn"))
    }


_MMSEG_HEAD = {
    "decode_head.image_pool.1.conv": "aspp.pool.1.0",
    "decode_head.image_pool.1.bn": "aspp.pool.1.1",
    "decode_head.aspp_modules.0.conv": "aspp.views.0.0",
    "decode_head.aspp_modules.0.bn": "aspp.views.0.1",
    **_separable("decode_head.aspp_modules.1", "aspp.views.1"),
    **_separable("decode_head.aspp_modules.2", "aspp.views.2"),
    **_separable("decode_head.aspp_modules.3", "aspp.views.3"),
    "decode_head.bottleneck.conv": "aspp.join.0",
    "decode_head.bottleneck.bn": "aspp.join.1",
    "decode_head.c1_bottleneck.conv": "reduce_fine.0",
    "decode_head.c1_bottleneck.bn": "reduce_fine.1",
    **_separable("decode_head.sep_bottleneck.0", "decoder.0"),
    **_separable("decode_head.sep_bottleneck.1", "decoder.1"),
    "decode_head.conv_seg": "classify",
}
