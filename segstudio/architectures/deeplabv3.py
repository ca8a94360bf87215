"""DeepLabV3.

L.-C. Chen, G. Papandreou, F. Schroff, H. Adam: "Rethinking Atrous Convolution for Semantic Image
Segmentation", arXiv:1706.05587, 2017.

Atrous spatial pyramid pooling: the encoder's last features are seen at four rates of dilation and
through their average over the whole image, and the five views are joined.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
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

_VIEWS = 4
"""Of the atrous pyramid, beside that of the whole image."""
_COUNTED = "MMSegmentation 1.2.2, without its auxiliary head"


@dataclass(frozen=True)
class DeepLabV3Options:
    """Variant of DeepLabV3."""

    backbone: str = backbone_option()
    head: str = option(
        "mmseg",
        "How the views are joined: mmseg by one 3 x 3 convolution, torchvision by a 1 x 1 and a "
        "3 x 3 one.",
        choices=("mmseg", "torchvision"),
    )
    width: int = option(
        0,
        "Channels of the head; 0 takes the published width: 512, torchvision's 256.",
        minimum=0,
        maximum=4096,
    )
    dropout: float = option(0.1, "Dropout in the head.", minimum=0, maximum=0.9)

    @property
    def head_width(self) -> int:
        """Channels of the head after 0 has been replaced."""
        return self.width or (512 if self.head == "mmseg" else 256)


class ASPP(nn.Module):
    """Five views of the features, concatenated: (N, C, H, W) to (N, 5 * width, H, W)."""

    def __init__(self, channels: int, width: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_norm_relu(channels, width))
        self.views = nn.ModuleList(
            conv_norm_relu(channels, width, 1 if rate == 1 else 3, dilation=rate) for rate in rates
        )

    def forward(self, features: Tensor) -> Tensor:
        whole = self.pool(features).expand(-1, -1, *features.shape[-2:])
        return torch.cat([whole, *(view(features) for view in self.views)], 1)


@ARCHITECTURES.register("deeplabv3")
class DeepLabV3(DilatedNetwork):
    """DeepLabV3 with logits at the encoder's output stride."""

    Options = DeepLabV3Options
    facts = Facts(
        title="DeepLabV3",
        paper="Chen et al.: Rethinking Atrous Convolution, arXiv:1706.05587",
        year=2017,
        output_stride=8,
        published="42.7 (R50-d8) and 45.0 (R101-d8) mIoU on ADE20K val (MMSegmentation, 160k)",
        sizes=(
            PublishedSize(65.82, 150, {}, _COUNTED),
            PublishedSize(84.81, 150, {"backbone": "resnet101c"}, _COUNTED),
            PublishedSize(18.44, 150, {"backbone": "mobilenet-v2"}, _COUNTED),
            PublishedSize(
                # Its 11.029328 M include an auxiliary head of 3,851.
                11.025,
                21,
                {"backbone": "mobilenet-v3-large", "head": "torchvision"},
                "torchvision's deeplabv3_mobilenet_v3_large, less its auxiliary head",
            ),
        ),
    )
    variants = {
        "r50-d8": {},
        "r101-d8": {"backbone": "resnet101c"},
        "m-v2-d8": {"backbone": "mobilenet-v2"},
        "torchvision-r50": {"backbone": "resnet50", "head": "torchvision"},
        "torchvision-r101": {"backbone": "resnet101", "head": "torchvision"},
        "torchvision-m-v3": {"backbone": "mobilenet-v3-large", "head": "torchvision"},
    }
    smallest = {"backbone": "mobilenet-v2", "width": 16}
    classifier = "classify"

    def __init__(self, classes: int, options: DeepLabV3Options | None = None) -> None:
        super().__init__(classes, options)
        chosen: DeepLabV3Options = self.options
        width = chosen.head_width
        self.encoder = build_backbone(chosen.backbone)
        self.aspp = ASPP(feature_channels(self.encoder)[-1], width, aspp_rates(chosen.backbone))
        views = (1 + _VIEWS) * width
        if chosen.head == "mmseg":
            self.join = nn.Sequential(conv_norm_relu(views, width, 3), nn.Dropout2d(chosen.dropout))
        else:
            self.join = nn.Sequential(
                conv_norm_relu(views, width),
                nn.Dropout(chosen.dropout),
                conv_norm_relu(width, width, 3),
            )
        self.classify = nn.Conv2d(width, classes, 1)
        initialise(self.classify)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.join(self.aspp(self.encoder(image)[-1])))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layouts of MMSegmentation and torchvision."""
        if is_mmsegmentation(state_dict):
            return renamed(state_dict, _MMSEG_HEAD, mmsegmentation=True)
        if _TORCHVISION_FIRST in state_dict:
            found = renamed(state_dict, _TORCHVISION_HEAD, mmsegmentation=False)
            joined = found.get("join.0.0.weight")
            if joined is not None:
                # torchvision puts the view of the whole image last.
                views = joined.unflatten(1, (1 + _VIEWS, -1))
                found["join.0.0.weight"] = views.roll(1, dims=1).flatten(1, 2)
            return found
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        first = ours.get("aspp.views.3.0.weight")
        classify, backbone = ours.get("classify.weight"), backbone_of(ours)
        if first is None or classify is None or backbone is None or leftovers(ours):
            return None
        head = "torchvision" if "join.2.0.weight" in ours else "mmseg"
        options = DeepLabV3Options(backbone, head)
        if options.head_width != first.shape[0]:
            options = DeepLabV3Options(backbone, head, width=int(first.shape[0]))
        return recognition(state_dict, options, classify, torchvision=_TORCHVISION_FIRST)


_MMSEG_HEAD = {
    "decode_head.image_pool.1.conv": "aspp.pool.1.0",
    "decode_head.image_pool.1.bn": "aspp.pool.1.1",
    **{
        f"decode_head.aspp_modules.{view}.{theirs}": f"aspp.views.{view}.{ours}"
        for view in range(_VIEWS)
        for theirs, ours in (("conv", 0), ("bn", 1))
    },
    "decode_head.bottleneck.conv": "join.0.0",
    "decode_head.bottleneck.bn": "join.0.1",
    "decode_head.conv_seg": "classify",
}
_TORCHVISION_FIRST = "classifier.0.convs.0.0.weight"
_TORCHVISION_HEAD = {
    "classifier.0.convs.4.1": "aspp.pool.1.0",
    "classifier.0.convs.4.2": "aspp.pool.1.1",
    "classifier.0.convs": "aspp.views",
    "classifier.0.project": "join.0",
    "classifier.1": "join.2.0",
    "classifier.2": "join.2.1",
    "classifier.4": "classify",
}
