"""What the pages on dilated encoders share: FCN, PSPNet, DeepLabV3 and DeepLabV3+.

Their encoders keep an output stride of 8, and libraries publish them under the same names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from segstudio.architectures._base import Recognition, SegmentationNetwork, StateDict
from segstudio.architectures._encoders import (
    MobileNetV2,
    MobileNetV3,
    efficientnet_lite,
    efficientnet_lite_of,
    mobilenet_v2_from_mmsegmentation,
    mobilenet_v3_from_torchvision,
    resnet,
    resnet_depth,
    resnet_from_mmsegmentation,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

__all__ = [
    "BACKBONES",
    "DilatedNetwork",
    "aspp_rates",
    "backbone_of",
    "backbone_option",
    "build_backbone",
    "conv_norm_relu",
    "initialise",
    "is_mmsegmentation",
    "leftovers",
    "mmsegmentation_preprocessing",
    "recognition",
    "renamed",
    "torchvision_preprocessing",
]

BACKBONES = (
    "resnet50c",
    "resnet101c",
    "resnet50",
    "resnet101",
    "mobilenet-v2",
    "mobilenet-v3-large",
    "efficientnet-lite0",
    "efficientnet-lite1",
    "efficientnet-lite2",
)
"""With a "c" MMSegmentation's ResNets, whose stem is three small convolutions."""


class DilatedNetwork(SegmentationNetwork):
    """A network on one of `BACKBONES`, which its options name."""

    @property
    def output_stride(self) -> int:
        """8; 16 of MobileNetV3, as torchvision dilates it, and of the EfficientNets."""
        backbone: str = self.options.backbone
        return 16 if backbone.startswith(("efficientnet", "mobilenet-v3")) else 8


def backbone_option() -> str:
    """Return the field of an Options dataclass that chooses the encoder."""
    return option(
        "resnet50c",
        "Encoder; with a c MMSegmentation's ResNet, whose stem is three small convolutions.",
        choices=BACKBONES,
    )


def build_backbone(name: str) -> nn.Module:
    """Build one of `BACKBONES`: images to a list of feature maps, fine to coarse.

    See `DilatedNetwork.output_stride`.
    """
    if name.startswith("efficientnet-lite"):
        return efficientnet_lite(int(name[-1]), output_stride=16)
    if name == "mobilenet-v2":
        return MobileNetV2()
    if name == "mobilenet-v3-large":
        return MobileNetV3("torchvision")
    depth = int(name.removeprefix("resnet").rstrip("c"))
    return resnet(depth, deep_stem=name.endswith("c"), output_stride=8)


def aspp_rates(backbone: str) -> tuple[int, ...]:
    """Return the dilations of an atrous pyramid's four views, for one of `BACKBONES`.

    6, 12 and 18 beside an output stride of 16, twice that beside 8 (arXiv:1706.05587, section
    3.3); MobileNetV3 keeps the latter, as torchvision published it.
    """
    return (1, 6, 12, 18) if backbone.startswith("efficientnet") else (1, 12, 24, 36)


def backbone_of(names: Mapping[str, Tensor]) -> str | None:
    """Return which of `BACKBONES` lies under ``encoder.``, None when it is none of them."""
    if "encoder.blocks.6.0.conv.weight" in names:
        return "mobilenet-v3-large"
    size = efficientnet_lite_of(names)
    if size is not None:
        return f"efficientnet-lite{size}"
    if "encoder.blocks.6.0.conv_pwl.weight" in names:
        return "mobilenet-v2"
    name = f"resnet{resnet_depth(names)}{'c' if 'encoder.conv1.6.weight' in names else ''}"
    return name if name in BACKBONES else None


def conv_norm_relu(
    channels: int, out_channels: int, window: int = 1, *, dilation: int = 1
) -> nn.Sequential:
    """Convolution without bias that keeps the size, batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(
            channels,
            out_channels,
            window,
            padding=dilation * (window // 2),
            dilation=dilation,
            bias=False,
        ),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def initialise(classify: nn.Conv2d) -> None:
    """Start a classifier with small weights and no bias."""
    nn.init.normal_(classify.weight, std=0.01)
    if classify.bias is not None:
        nn.init.zeros_(classify.bias)


def is_mmsegmentation(state_dict: StateDict) -> bool:
    """Tell whether a state dict is of an encoder and decoder of MMSegmentation."""
    return "decode_head.conv_seg.weight" in state_dict


def renamed(
    state_dict: StateDict, head: Mapping[str, str], *, mmsegmentation: bool
) -> dict[str, Tensor]:
    """Return tensors of MMSegmentation or torchvision under a page's names.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        Names beginning with ``backbone.`` become ``encoder.`` ones in timm's words.
    head : mapping of str to str
        Beginnings of the head's names, there and here; the first that matches up to a dot holds.
    mmsegmentation : bool
        Whose names these are.
    """
    encoder = _encoder_names(state_dict, mmsegmentation)
    found: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        inner = key.removeprefix("backbone.")
        if inner != key:
            found["encoder." + encoder(inner)] = value
            continue
        for theirs, ours in head.items():
            if key.startswith(theirs + "."):
                key = ours + key[len(theirs) :]
                break
        found[key] = value
    return found


def _encoder_names(state_dict: StateDict, mmsegmentation: bool) -> Callable[[str], str]:
    if not mmsegmentation:
        # timm names the tensors of a ResNet as torchvision does.
        wide = "backbone.16.0.weight" in state_dict
        return mobilenet_v3_from_torchvision if wide else str
    if "backbone.conv1.conv.weight" in state_dict:
        return mobilenet_v2_from_mmsegmentation
    return resnet_from_mmsegmentation


def leftovers(state_dict: StateDict) -> bool:
    """Tell whether a foreign decoder has a part that the page did not explain."""
    pattern = re.compile(r"(decode_head|classifier)\.")
    return any(pattern.match(key) for key in state_dict)


def recognition(
    state_dict: StateDict, options: Any, classify: Tensor, *, torchvision: str | None = None
) -> Recognition:
    """Return what a page has found out, with the source and its published test path.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        As found in the file.
    options : Options
        The variant.
    classify : Tensor of shape (C, ...)
        Weights of the classifier.
    torchvision : str, optional
        A name that only torchvision's layout has.
    """
    classes = int(classify.shape[0])
    if is_mmsegmentation(state_dict):
        rule = mmsegmentation_preprocessing(classes)
        return Recognition("mmsegmentation", options, classes, rule)
    if torchvision in state_dict:
        return Recognition("torchvision", options, classes, torchvision_preprocessing())
    return Recognition("segstudio", options, classes)


def mmsegmentation_preprocessing(classes: int) -> Preprocessing:
    """Return the test path of MMSegmentation's convolutional networks: the whole image.

    Cityscapes (19 classes) at its own size, everything else with a short side of 512.
    """
    short = 1024 if classes == 19 else 512
    return Preprocessing(resize="keep-ratio", size=(2048, short))


def torchvision_preprocessing() -> Preprocessing:
    """Return the test path of torchvision's segmentation networks: a short side of 520."""
    return Preprocessing(resize="short-side", size=(520, 520), antialias=True)
