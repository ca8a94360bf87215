"""FCN on a dilated encoder.

J. Long, E. Shelhamer, T. Darrell: "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, arXiv:1411.4038, with the residual, dilated encoders on which the libraries publish it
(F. Yu, V. Koltun, T. Funkhouser: "Dilated Residual Networks", CVPR 2017, arXiv:1705.09914).  The
paper's own networks on VGG16, with their skips, are the page ``fcn_vgg``.

There are two published heads: MMSegmentation's convolves twice, looks at the encoder's features
once more and classifies; torchvision's convolves once.
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


@dataclass(frozen=True)
class FCNOptions:
    """Variant of FCN."""

    backbone: str = backbone_option()
    head: str = option(
        "mmseg",
        "Head: mmseg convolves twice and looks at the features again, torchvision convolves once.",
        choices=("mmseg", "torchvision"),
    )
    width: int = option(512, "Channels of the head.", minimum=1, maximum=4096)
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)


class Head(nn.Module):
    """Two convolutions, then one over their result beside the encoder's features."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_norm_relu(channels, width, 3), conv_norm_relu(width, width, 3)
        )
        self.join = conv_norm_relu(channels + width, width, 3)

    def forward(self, features: Tensor) -> Tensor:
        return self.join(torch.cat([features, self.convs(features)], 1))


@ARCHITECTURES.register("fcn")
class FCN(DilatedNetwork):
    """FCN with logits at an eighth of the input's size."""

    Options = FCNOptions
    facts = Facts(
        title="FCN",
        paper="Long et al.: Fully Convolutional Networks, CVPR 2015, arXiv:1411.4038",
        year=2015,
        output_stride=8,
        published="36.1 (R50-d8) and 39.9 (R101-d8) mIoU on ADE20K val (MMSegmentation, 160k)",
        sizes=(
            PublishedSize(47.2, 150, {}, "MMSegmentation 1.2.2, without its auxiliary head"),
            PublishedSize(66.19, 150, {"backbone": "resnet101c"}, "MMSegmentation 1.2.2, likewise"),
            PublishedSize(
                9.56, 150, {"backbone": "mobilenet-v2"}, "MMSegmentation 1.2.2, likewise"
            ),
            PublishedSize(
                # Its 35.322218 M include an auxiliary head of 2.365205 M.
                32.957,
                21,
                {"backbone": "resnet50", "head": "torchvision"},
                "torchvision's fcn_resnet50, less its auxiliary head",
            ),
        ),
    )
    variants = {
        "r50-d8": {},
        "r101-d8": {"backbone": "resnet101c"},
        "m-v2-d8": {"backbone": "mobilenet-v2"},
        "torchvision-r50": {"backbone": "resnet50", "head": "torchvision"},
        "torchvision-r101": {"backbone": "resnet101", "head": "torchvision"},
    }
    smallest = {"backbone": "mobilenet-v2", "width": 16}
    classifier = "classify"

    def __init__(self, classes: int, options: FCNOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: FCNOptions = self.options
        self.encoder = build_backbone(chosen.backbone)
        channels = feature_channels(self.encoder)[-1]
        self.fcn_head: nn.Module
        if chosen.head == "mmseg":
            self.fcn_head = Head(channels, chosen.width)
        else:
            self.fcn_head = conv_norm_relu(channels, chosen.width, 3)
        self.dropout = nn.Dropout2d(chosen.dropout)
        self.classify = nn.Conv2d(chosen.width, classes, 1)
        initialise(self.classify)

    def forward(self, image: Tensor) -> Tensor:
        return self.classify(self.dropout(self.fcn_head(self.encoder(image)[-1])))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layouts of MMSegmentation and torchvision."""
        if is_mmsegmentation(state_dict):
            return renamed(state_dict, _MMSEG_HEAD, mmsegmentation=True)
        if "classifier.4.weight" in state_dict:
            return renamed(state_dict, _TORCHVISION_HEAD, mmsegmentation=False)
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        joined = "fcn_head.join.0.weight" in ours
        first = ours.get("fcn_head.convs.0.0.weight" if joined else "fcn_head.0.weight")
        classify, backbone = ours.get("classify.weight"), backbone_of(ours)
        if first is None or classify is None or backbone is None or leftovers(ours):
            return None
        options = FCNOptions(
            backbone, "mmseg" if joined else "torchvision", width=int(first.shape[0])
        )
        return recognition(state_dict, options, classify, torchvision="classifier.4.weight")


_MMSEG_HEAD = {
    "decode_head.convs.0.conv": "fcn_head.convs.0.0",
    "decode_head.convs.0.bn": "fcn_head.convs.0.1",
    "decode_head.convs.1.conv": "fcn_head.convs.1.0",
    "decode_head.convs.1.bn": "fcn_head.convs.1.1",
    "decode_head.conv_cat.conv": "fcn_head.join.0",
    "decode_head.conv_cat.bn": "fcn_head.join.1",
    "decode_head.conv_seg": "classify",
}
_TORCHVISION_HEAD = {
    # The layers of torchvision's head are a convolution, its norm, ReLU, dropout, the classifier.
    "classifier.0": "fcn_head.0",
    "classifier.1": "fcn_head.1",
    "classifier.4": "classify",
}
