"""U-Net on an image classifier's encoder.

V. Iglovikov, A. Shvets: "TernausNet: U-Net with VGG11 Encoder Pre-Trained on ImageNet for Image
Segmentation", arXiv:1801.05746.  The contracting path of U-Net is replaced by a network that has
learnt to classify; the expanding path stays: double the size, concatenate the encoder's features
of that size, convolve twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    Recognition,
    SegmentationNetwork,
    StateDict,
    pad_to_multiple,
)
from segstudio.architectures._encoders import (
    efficientnet_lite,
    efficientnet_lite_of,
    feature_channels,
    resnet,
    resnet_depth,
)
from segstudio.core.options import option

_BACKBONES = (
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
    "resnet18",
    "resnet34",
)


@dataclass(frozen=True)
class UNetEncoderOptions:
    """Variant of U-Net on an encoder."""

    backbone: str = option("efficientnet-lite0", "Encoder.", choices=_BACKBONES)
    width: int = option(
        32,
        "Channels of the finest level of the decoder; every coarser one has twice as many, "
        "at most eight times.",
        minimum=8,
        maximum=256,
    )
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)


def _unit(channels: int, out_channels: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


class UpBlock(nn.Module):
    """Resize to the encoder's features, put them beside, convolve twice."""

    def __init__(self, channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = _unit(channels + skip_channels, out_channels)
        self.second = _unit(out_channels, out_channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
        return self.second(self.first(torch.cat([x, skip], 1)))


@ARCHITECTURES.register("unet-encoder")
class UNetEncoder(SegmentationNetwork):
    """U-Net on a classifier's encoder, with logits at the size of its finest features.

    That is half the input's on an EfficientNet-Lite and a quarter on a ResNet.  Sizes that 32
    does not divide are padded at the bottom and right, and the logits are cropped back.
    ``decoder`` is numbered by level, 0 being the finest.
    """

    Options = UNetEncoderOptions
    facts = Facts(
        title="U-Net on an encoder",
        paper="Iglovikov, Shvets: TernausNet, arXiv:1801.05746",
        year=2018,
        output_stride=2,
    )
    variants = {
        "lite0": {},
        "lite2": {"backbone": "efficientnet-lite2"},
        "resnet18": {"backbone": "resnet18"},
    }
    smallest = {"width": 8}
    classifier = "classify"

    def __init__(self, classes: int, options: UNetEncoderOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: UNetEncoderOptions = self.options
        self.encoder = _build(chosen.backbone)
        *skips, coarse = feature_channels(self.encoder)
        widths = [chosen.width * 2 ** min(level, 3) for level in range(len(skips))]
        below = [*widths[1:], coarse]
        self.decoder = nn.ModuleList(
            UpBlock(channels, skip, width)
            for channels, skip, width in zip(below, skips, widths, strict=True)
        )
        self.dropout = nn.Dropout2d(chosen.dropout)
        self.classify = nn.Conv2d(widths[0], classes, 1)
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        padded = pad_to_multiple(image, 32)
        *skips, x = self.encoder(padded)
        for block, skip in zip(reversed(self.decoder), reversed(skips), strict=True):
            x = block(x, skip)
        logits = self.classify(self.dropout(x))
        stride = padded.shape[-1] // logits.shape[-1]
        if padded.shape == image.shape:
            return logits
        full = F.interpolate(logits, scale_factor=stride, mode="bilinear", align_corners=False)
        return full[..., :height, :width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        classify, first = state_dict.get("classify.weight"), state_dict.get(_FIRST)
        backbone = _backbone_of(state_dict)
        if classify is None or first is None or backbone is None or classify.ndim != 4:
            return None
        options = UNetEncoderOptions(backbone, width=int(first.shape[0]))
        return Recognition("segstudio", options, int(classify.shape[0]))


_FIRST = "decoder.0.second.0.weight"


def _build(backbone: str) -> nn.Module:
    if backbone.startswith("resnet"):
        return resnet(int(backbone.removeprefix("resnet")), deep_stem=False)
    return efficientnet_lite(int(backbone[-1]), halves=True)


def _backbone_of(state_dict: Mapping[str, Tensor]) -> str | None:
    size = efficientnet_lite_of(state_dict)
    name = f"resnet{resnet_depth(state_dict.keys())}" if size is None else None
    name = name or f"efficientnet-lite{size}"
    return name if name in _BACKBONES else None
