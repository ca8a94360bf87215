"""DeepLab v2.

L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille: "DeepLab: Semantic Image
Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected CRFs",
IEEE PAMI 2018, arXiv:1606.00915.

A ResNet whose last two stages are dilated instead of strided, and atrous spatial pyramid pooling
(ASPP): four parallel classifiers that see the features with dilations of 6, 12, 18 and 24 and are
summed.  The network looks at the image at three scales and keeps the strongest score at each
place.  The fully connected CRF comes after the network and works with any model: see
`segstudio.inference`.
"""

from __future__ import annotations

import functools
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
)
from segstudio.architectures._encoders import (
    feature_channels,
    resnet,
    resnet_depth,
    wake_residual_branches,
)
from segstudio.core.options import option

_BACKBONES = ("resnet18", "resnet50", "resnet101")
_RATES = (6, 12, 18, 24)
_SCALES = (1.0, 0.75, 0.5)


@dataclass(frozen=True)
class DeepLabV2Options:
    """Variant of DeepLab v2."""

    backbone: str = option(
        "resnet101",
        "Encoder; the paper's is ResNet-101, 18 is for first looks.",
        choices=_BACKBONES,
    )
    multi_scale: bool = option(
        True,
        "Whether the strongest of the scores at scales 1, 0.75 and 0.5 is taken, in training too.",
    )


class AtrousPyramid(nn.Module):
    """Dilated classifiers in parallel, summed; (N, channels, H, W) to (N, classes, H, W)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(
            {
                f"rate{rate}": nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate)
                for rate in _RATES
            }
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.stack([branch(features) for branch in self.branches.values()]).sum(0)


@ARCHITECTURES.register("deeplab-v2")
class DeepLabV2(SegmentationNetwork):
    """DeepLab v2 with logits at an eighth of the input's size, rounded up.

    Logit i lies on pixel 8 * i, so they are upsampled with aligned corners; sizes of 8 * k + 1
    (the paper's 321 and 513) meet that exactly.
    """

    Options = DeepLabV2Options
    facts = Facts(
        title="DeepLab v2",
        paper="Chen et al.: DeepLab, IEEE PAMI 2018, arXiv:1606.00915",
        year=2018,
        output_stride=8,
        published="79.7 mIoU on PASCAL VOC 2012 test, 70.4 on Cityscapes test, with the CRF "
        "(the paper)",
    )
    align_corners = True
    variants = {"resnet101": {}, "resnet101-single-scale": {"multi_scale": False}}
    smallest = {"backbone": "resnet18", "multi_scale": False}
    classifier = "head"

    def __init__(self, classes: int, options: DeepLabV2Options | None = None) -> None:
        super().__init__(classes, options)
        chosen: DeepLabV2Options = self.options
        depth = int(chosen.backbone.removeprefix("resnet"))
        self.encoder = resnet(depth, deep_stem=False, output_stride=8)
        self.head = AtrousPyramid(feature_channels(self.encoder)[-1], classes)
        self._scales = _SCALES if chosen.multi_scale else _SCALES[:1]
        # The weights are the same for any number of scales: this entry of a file tells them apart.
        self.register_buffer("scales", torch.tensor(self._scales))
        wake_residual_branches(self.encoder)
        for branch in self.head.branches.values():
            assert isinstance(branch, nn.Conv2d) and branch.bias is not None
            nn.init.normal_(branch.weight, std=0.01)
            nn.init.zeros_(branch.bias)

    def forward(self, image: Tensor) -> Tensor:
        return functools.reduce(torch.maximum, self.scale_logits(image))

    def scale_logits(self, image: Tensor) -> list[Tensor]:
        """Return the logits of each scale, at the size of the first one's.

        The paper's training adds a loss on each of them to that on their maximum.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating
            Preprocessed images.

        Returns
        -------
        list of Tensor of shape (N, C, h, w)
            From the full scale down; `forward` is their maximum.
        """
        found: list[Tensor] = []
        for scale in self._scales:
            logits = self.head(self.encoder(_shrunk(image, scale))[-1])
            found.append(_resized(logits, found[0].shape[-2:]) if found else logits)
        return found

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        last = state_dict.get(f"head.branches.rate{_RATES[-1]}.weight")
        scales = state_dict.get("scales")
        backbone = f"resnet{resnet_depth(state_dict)}"
        if last is None or scales is None or last.ndim != 4 or backbone not in _BACKBONES:
            return None
        if tuple(scales.shape) not in {(1,), (len(_SCALES),)}:
            return None
        options = DeepLabV2Options(backbone, multi_scale=scales.shape[0] > 1)
        return Recognition("segstudio", options, int(last.shape[0]))


def _shrunk(image: Tensor, scale: float) -> Tensor:
    """Shrink images so that their corner pixels stay corner pixels: 321 halved is 161."""
    height, width = (int((size - 1) * scale) + 1 for size in image.shape[-2:])
    return _resized(image, (height, width))


def _resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
