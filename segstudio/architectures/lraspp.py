"""LR-ASPP on MobileNetV3.

A. Howard, M. Sandler, G. Chu, L.-C. Chen, B. Chen, M. Tan, W. Wang, Y. Zhu, R. Pang, V. Vasudevan,
Q. V. Le, H. Adam: "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244, section 6.4.

The encoder's last features are reduced, weighted per channel by their average over the image, and
joined with finer ones: a light version of DeepLab's pyramid.  torchvision adds the scores of one
finer map; MMSegmentation concatenates two and convolves.
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
from segstudio.architectures._dilated import (
    conv_norm_relu,
    leftovers,
    mmsegmentation_preprocessing,
    torchvision_preprocessing,
)
from segstudio.architectures._encoders import (
    MobileNetV3,
    feature_channels,
    mobilenet_v3_from_mmsegmentation,
    mobilenet_v3_from_torchvision,
)
from segstudio.core.options import option

_POOL = 49
_POOL_STRIDE = (16, 20)
"""Window and stride of the average that MMSegmentation takes instead of that of the image."""
_BRANCHES = (32, 64)
"""Channels to which MMSegmentation reduces the finer maps."""


@dataclass(frozen=True)
class LRASPPOptions:
    """Variant of LR-ASPP."""

    head: str = option(
        "torchvision",
        "Whose encoder and head: torchvision's with an output stride of 16, or MMSegmentation's "
        "with 8.",
        choices=("torchvision", "mmseg"),
    )
    width: int = option(128, "Channels of the head.", minimum=1, maximum=4096)


class AddingHead(nn.Module):
    """torchvision's: scores of the coarse features plus scores of the fine ones."""

    def __init__(self, channels: list[int], width: int, classes: int) -> None:
        super().__init__()
        fine, coarse = channels
        self.reduce = conv_norm_relu(coarse, width)
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(coarse, width, 1, bias=False), nn.Sigmoid()
        )
        self.classify_fine = nn.Conv2d(fine, classes, 1)
        self.classify_coarse = nn.Conv2d(width, classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        fine, coarse = features
        x = self.reduce(coarse) * self.scale(coarse)
        x = F.interpolate(x, size=fine.shape[-2:], mode="bilinear", align_corners=False)
        return self.classify_fine(fine) + self.classify_coarse(x)


class JoiningHead(nn.Module):
    """MMSegmentation's: the finer maps are concatenated one after the other, finest last."""

    def __init__(self, channels: list[int], width: int, classes: int) -> None:
        super().__init__()
        *finer, coarse = channels
        self.reduce = conv_norm_relu(coarse, width)
        self.scale = nn.Conv2d(coarse, width, 1, bias=False)
        self.mix = nn.Conv2d(width, width, 1)
        self.branches = nn.ModuleList(
            nn.Conv2d(entry, branch, 1, bias=False)
            for entry, branch in zip(finer, _BRANCHES, strict=True)
        )
        self.joins = nn.ModuleList(conv_norm_relu(width + branch, width) for branch in _BRANCHES)
        self.classify = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3

    def forward(self, features: list[Tensor]) -> Tensor:
        *finer, coarse = features
        height, width = coarse.shape[-2:]
        # The published window is larger than the features of a small image.
        window = (min(_POOL, height), min(_POOL, width))
        scale = torch.sigmoid(self.scale(F.avg_pool2d(coarse, window, _POOL_STRIDE)))
        scale = F.interpolate(scale, size=(height, width), mode="bilinear", align_corners=False)
        x = self.mix(self.reduce(coarse) * scale)
        for index in reversed(range(len(finer))):
            size = finer[index].shape[-2:]
            x = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
            x = self.joins[index](torch.cat([x, self.branches[index](finer[index])], 1))
        return self.classify(x)


@ARCHITECTURES.register("lraspp")
class LRASPP(SegmentationNetwork):
    """LR-ASPP; `forward` gives logits at 1/8 of the input's size, in MMSegmentation's form 1/2."""

    Options = LRASPPOptions
    facts = Facts(
        title="LR-ASPP",
        paper="Howard et al.: Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244",
        year=2019,
        output_stride=16,
        published="69.5 mIoU on Cityscapes val (MobileNetV3-Large d8, MMSegmentation)",
        sizes=(
            PublishedSize(3.221538, 21, {}, "torchvision's lraspp_mobilenet_v3_large"),
            PublishedSize(3.284547, 19, {"head": "mmseg"}, "MMSegmentation 1.2.2"),
        ),
    )
    variants = {"torchvision": {}, "mmseg": {"head": "mmseg"}}

    def __init__(self, classes: int, options: LRASPPOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: LRASPPOptions = self.options
        foreign = chosen.head == "mmseg"
        self.encoder = MobileNetV3("mmsegmentation" if foreign else "torchvision")
        head = JoiningHead if foreign else AddingHead
        self.lraspp: nn.Module = head(feature_channels(self.encoder), chosen.width, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.lraspp(self.encoder(image))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layouts of torchvision and MMSegmentation."""
        if _TORCHVISION_FIRST in state_dict:
            names, encoder = _TORCHVISION_HEAD, mobilenet_v3_from_torchvision
        elif _MMSEG_FIRST in state_dict:
            names, encoder = _MMSEG_HEAD, mobilenet_v3_from_mmsegmentation
        else:
            return dict(state_dict)
        found: dict[str, Tensor] = {}
        for key, value in state_dict.items():
            inner = key.removeprefix("backbone.")
            theirs = next((entry for entry in names if key.startswith(entry + ".")), None)
            if inner != key:
                key = "encoder." + encoder(inner)
            elif theirs is not None:
                key = names[theirs] + key[len(theirs) :]
            found[key] = value
        return found

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        ours = cls.rename_keys(state_dict)
        reduce = ours.get("lraspp.reduce.0.weight")
        adding = "lraspp.classify_coarse.weight" in ours
        classify = ours.get("lraspp.classify_coarse.weight" if adding else "lraspp.classify.weight")
        if reduce is None or classify is None or "encoder.conv_stem.weight" not in ours:
            return None
        if leftovers(ours):
            return None
        options = LRASPPOptions("torchvision" if adding else "mmseg", width=int(reduce.shape[0]))
        classes = int(classify.shape[0])
        if _TORCHVISION_FIRST in state_dict:
            return Recognition("torchvision", options, classes, torchvision_preprocessing())
        if _MMSEG_FIRST in state_dict:
            return Recognition(
                "mmsegmentation", options, classes, mmsegmentation_preprocessing(classes)
            )
        return Recognition("segstudio", options, classes)


_TORCHVISION_FIRST = "classifier.low_classifier.weight"
_TORCHVISION_HEAD = {
    "classifier.cbr": "lraspp.reduce",
    "classifier.scale": "lraspp.scale",
    "classifier.low_classifier": "lraspp.classify_fine",
    "classifier.high_classifier": "lraspp.classify_coarse",
}
_MMSEG_FIRST = "decode_head.conv_up_input.weight"
_MMSEG_HEAD = {
    "decode_head.aspp_conv.conv": "lraspp.reduce.0",
    "decode_head.aspp_conv.bn": "lraspp.reduce.1",
    "decode_head.image_pool.1.conv": "lraspp.scale",
    "decode_head.conv_up_input": "lraspp.mix",
    **{f"decode_head.convs.conv{index}": f"lraspp.branches.{index}" for index in range(2)},
    **{
        f"decode_head.conv_ups.conv_up{index}.{theirs}": f"lraspp.joins.{index}.{ours}"
        for index in range(2)
        for theirs, ours in (("conv", 0), ("bn", 1))
    },
    "decode_head.conv_seg": "lraspp.classify",
}
