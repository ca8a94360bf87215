"""Encoders that several pages share, built from timm, and the names that other libraries use.

timm is imported when a network is built, not with this module: it takes seconds.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn

__all__ = [
    "MobileNetV2",
    "MobileNetV3",
    "efficientnet_lite",
    "efficientnet_lite_of",
    "feature_channels",
    "mobilenet_v2_from_mmsegmentation",
    "mobilenet_v3_from_mmsegmentation",
    "mobilenet_v3_from_torchvision",
    "resnet",
    "resnet_depth",
    "resnet_from_mmsegmentation",
    "wake_residual_branches",
]

_BLOCKS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks per stage of the ResNets; 34 has those of 50, but no third convolution in a block."""


def resnet(depth: int, *, deep_stem: bool, output_stride: int = 32) -> nn.Module:
    """Build a ResNet that returns the features of its four stages.

    Parameters
    ----------
    depth : int
        18, 34, 50, 101 or 152; with a deep stem 50, 101 or 152.
    deep_stem : bool
        Three 3 x 3 convolutions in front (MMSegmentation's ResNetV1c) instead of one 7 x 7.
    output_stride : int
        8, 16 or 32; stages that would be coarser are dilated instead.  The first block of a
        dilated stage keeps the dilation of the stage before, as in DeepLabV3.

    Returns
    -------
    nn.Module
        From (N, 3, H, W) to a list of four tensors, fine to coarse.
    """
    import timm

    encoder: nn.Module = timm.create_model(
        f"resnet{depth}c" if deep_stem else f"resnet{depth}",
        pretrained=False,
        features_only=True,
        out_indices=(1, 2, 3, 4),
        output_stride=output_stride,
    )
    return encoder


def wake_residual_branches(encoder: nn.Module) -> None:
    """Let every weight of a ResNet built here learn from the first step on.

    timm starts residual branches at zero, where only their last norm has a gradient; at one, the
    sum of 33 branches would drown the input of an untrained network.
    """
    for block in encoder.modules():
        if hasattr(block, "zero_init_last"):
            last = block.bn3 if hasattr(block, "bn3") else block.bn2
            nn.init.constant_(cast(Tensor, cast(nn.Module, last).weight), 0.2)


def resnet_depth(names: Collection[str], prefix: str = "encoder.") -> int | None:
    """Return the depth of the ResNet whose tensors have these names, None when it is none.

    Parameters
    ----------
    names : collection of str
        In timm's and torchvision's words: ``PREFIXlayer3.5.conv2.weight``.
    prefix : str
        What stands before them.
    """
    found: dict[str, set[str]] = {stage: set() for stage in "1234"}
    pattern = re.compile(re.escape(prefix) + r"layer([1-4])\.(\d+)\.conv2\.weight")
    for name in names:
        match = pattern.fullmatch(name)
        if match:
            found[match[1]].add(match[2])
    counts = tuple(len(blocks) for blocks in found.values())
    depth = next((depth for depth, blocks in _BLOCKS.items() if blocks == counts), None)
    if depth == 50 and f"{prefix}layer1.0.conv3.weight" not in names:
        return 34
    return depth


def efficientnet_lite(size: int, *, output_stride: int = 32, halves: bool = False) -> nn.Module:
    """Build an EfficientNet-Lite without its head, with timm's names of TensorFlow's weights.

    M. Tan, Q. V. Le: "EfficientNet", ICML 2019, arXiv:1905.11946; the Lite variants (no
    squeeze-and-excitation, ReLU6) are those of github.com/tensorflow/tpu.

    Parameters
    ----------
    size : int
        0, 1 or 2.
    output_stride : int
        8, 16 or 32; stages that would be coarser are dilated instead.
    halves : bool
        Return the features at a stride of 2 too.

    Returns
    -------
    nn.Module
        From (N, 3, H, W) to a list of four tensors at strides 4 to 32, or five from stride 2 on.
    """
    import timm

    encoder: nn.Module = timm.create_model(
        f"tf_efficientnet_lite{size}",
        pretrained=False,
        features_only=True,
        out_indices=(0, 1, 2, 3, 4) if halves else (1, 2, 3, 4),
        output_stride=output_stride,
    )
    return encoder


def efficientnet_lite_of(state_dict: Mapping[str, Tensor]) -> int | None:
    """Return the size of the EfficientNet-Lite under ``encoder.``, None when it is none."""
    last = state_dict.get("encoder.blocks.6.0.conv_pwl.weight")
    fine = state_dict.get("encoder.blocks.2.0.conv_dw.weight")
    # MobileNetV2, whose blocks have the same names, has no 5 x 5 convolutions.
    if last is None or fine is None or fine.shape[-1] != 5:
        return None
    if "encoder.blocks.1.2.conv_dw.weight" not in state_dict:
        return 0
    return {320: 1, 352: 2}.get(int(last.shape[0]))


def feature_channels(encoder: nn.Module) -> list[int]:
    """Return the channels of each feature map of an encoder built here."""
    channels = getattr(encoder, "channels", None)
    if channels is not None:
        return list(cast(Sequence[int], channels))
    info: Any = encoder.feature_info
    return list(info.channels())


class _Blocks(nn.Module):
    """The stem and the inverted residual blocks of a timm MobileNet, without its classifier."""

    taps: tuple[tuple[int, int], ...]
    """Stage and block behind which features are taken."""

    def __init__(self, name: str) -> None:
        super().__init__()
        import timm

        whole: Any = timm.create_model(name, pretrained=False)
        self.conv_stem = whole.conv_stem
        self.bn1 = whole.bn1
        self.blocks = cast(nn.Sequential, whole.blocks)

    def forward(self, image: Tensor) -> list[Tensor]:
        x = self.bn1(self.conv_stem(image))
        features = []
        for stage, blocks in enumerate(self.blocks):
            for place, block in enumerate(cast(nn.Sequential, blocks)):
                x = block(x)
                if (stage, place) in self.taps:
                    features.append(x)
        return features


def _dilate(conv: nn.Conv2d, dilation: int) -> None:
    """Dilate a depthwise convolution, which then keeps the size."""
    conv.stride = (1, 1)
    conv.dilation = (dilation, dilation)
    reach = dilation * (conv.kernel_size[0] - 1) // 2
    conv.padding = (reach, reach)


class MobileNetV2(_Blocks):
    """MobileNetV2 as MMSegmentation dilates it: only in the first block of a stage.

    Returns features with 24, 32, 96 and 320 channels at strides 4, 8, 8 and 8 (output stride 8).
    M. Sandler et al.: "MobileNetV2", CVPR 2018, arXiv:1801.04381.
    """

    taps = ((1, 1), (2, 2), (4, 2), (6, 0))
    channels = (24, 32, 96, 320)

    def __init__(self) -> None:
        super().__init__("mobilenetv2_100")
        for stage, dilation in ((3, 2), (4, 2), (5, 4), (6, 4)):
            first: Any = cast(nn.Sequential, self.blocks[stage])[0]
            _dilate(first.conv_dw, dilation)


class MobileNetV3(_Blocks):
    """MobileNetV3-Large without its classifier.

    A. Howard et al.: "Searching for MobileNetV3", ICCV 2019, arXiv:1905.02244.

    Parameters
    ----------
    layout : str
        "torchvision" returns 40 and 960 channels at strides 8 and 16, its last three blocks
        dilated by 2; "mmsegmentation" returns 16, 24 and 960 channels at strides 2, 4 and 8, pads
        as TensorFlow does, and dilates by 2 and 4.
    """

    def __init__(self, layout: str) -> None:
        foreign = layout == "mmsegmentation"
        super().__init__("tf_mobilenetv3_large_100" if foreign else "mobilenetv3_large_100")
        # torchvision takes its fine features behind the first block of the stage.
        self.taps = ((0, 0), (1, 1), (6, 0)) if foreign else ((2, 0), (6, 0))
        self.channels = (16, 24, 960) if foreign else (40, 960)
        dilations = {3: 2, 4: 2, 5: 4} if foreign else {5: 2}
        for stage, dilation in dilations.items():
            for block in cast(Any, self.blocks[stage]):
                _dilate(block.conv_dw, dilation)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 1e-3


_RESNET_STEM = {
    "stem.0": "conv1.0",
    "stem.1": "conv1.1",
    "stem.3": "conv1.3",
    "stem.4": "conv1.4",
    "stem.6": "conv1.6",
    "stem.7": "bn1",
}


def resnet_from_mmsegmentation(key: str) -> str:
    """Translate a name of MMSegmentation's ResNetV1c, without its ``backbone.``."""
    for old, new in _RESNET_STEM.items():
        if key.startswith(old + "."):
            return new + key[len(old) :]
    return key


def _block_names(separable: bool) -> dict[str, str]:
    """Return timm's names for a block's convolutions and norms in torchvision's numbering."""
    names = ["conv_dw", "bn1", "conv_pw", "bn2"]
    if not separable:
        names = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
    return {
        f"{index // 2}.{'conv' if index % 2 == 0 else 'bn'}": name
        for index, name in enumerate(names)
    }


def mobilenet_v2_from_mmsegmentation(key: str) -> str:
    """Translate a name of MMSegmentation's MobileNetV2, without its ``backbone.``."""
    if key.startswith("conv1."):
        kind, _, rest = key.removeprefix("conv1.").partition(".")
        return f"{'conv_stem' if kind == 'conv' else 'bn1'}.{rest}"
    found = re.fullmatch(r"layer(\d)\.(\d+)\.conv\.(\d\.(?:conv|bn))\.(\w+)", key)
    if found is None:
        return key
    stage = int(found[1]) - 1
    name = _block_names(separable=stage == 0).get(found[3])
    return key if name is None else f"blocks.{stage}.{found[2]}.{name}.{found[4]}"


_V3_DEPTHS = (1, 2, 3, 4, 2, 3)
"""Inverted residual blocks per stage of MobileNetV3-Large."""


def _v3_place(block: int) -> tuple[int, int] | None:
    """Return stage and place of a block that is counted through from 0."""
    for stage, depth in enumerate(_V3_DEPTHS):
        if block < depth:
            return stage, block
        block -= depth
    return None


def mobilenet_v3_from_mmsegmentation(key: str) -> str:
    """Translate a name of MMSegmentation's MobileNetV3-Large, without its ``backbone.``."""
    found = re.fullmatch(r"layer(\d+)\.(.+)", key)
    if found is None:
        return key
    layer, rest = int(found[1]), found[2]
    ends = {0: ("conv_stem", "bn1"), 16: ("blocks.6.0.conv", "blocks.6.0.bn1")}.get(layer)
    if ends is not None:
        kind, _, leaf = rest.partition(".")
        return f"{ends[0] if kind == 'conv' else ends[1]}.{leaf}"
    place = _v3_place(layer - 1)
    if place is None:
        return key
    separable = layer == 1
    names = {
        "expand_conv.conv": "conv_pw",
        "expand_conv.bn": "bn1",
        "depthwise_conv.conv": "conv_dw",
        "depthwise_conv.bn": "bn1" if separable else "bn2",
        "linear_conv.conv": "conv_pw" if separable else "conv_pwl",
        "linear_conv.bn": "bn2" if separable else "bn3",
        "se.conv1.conv": "se.conv_reduce",
        "se.conv2.conv": "se.conv_expand",
    }
    kind, _, leaf = rest.rpartition(".")
    name = names.get(kind)
    return key if name is None else f"blocks.{place[0]}.{place[1]}.{name}.{leaf}"


def mobilenet_v3_from_torchvision(key: str) -> str:
    """Translate a name of torchvision's dilated MobileNetV3-Large, without its ``backbone.``."""
    found = re.fullmatch(r"(\d+)\.(.+)", key)
    if found is None:
        return key
    layer, rest = int(found[1]), found[2]
    ends = {0: ("conv_stem", "bn1"), 16: ("blocks.6.0.conv", "blocks.6.0.bn1")}.get(layer)
    if ends is not None:
        index, _, leaf = rest.partition(".")
        return f"{ends[int(index)]}.{leaf}" if index in {"0", "1"} else key
    place = _v3_place(layer - 1)
    inner = re.fullmatch(r"block\.(\d)\.(.+)\.(\w+)", rest)
    if place is None or inner is None:
        return key
    index, what, leaf = int(inner[1]), inner[2], inner[3]
    if what in {"fc1", "fc2"}:
        name: str | None = "se.conv_reduce" if what == "fc1" else "se.conv_expand"
    else:
        separable = layer == 1
        # The squeeze-and-excitation takes a number of its own before the last convolution.
        last = not separable and index >= 2
        unit = 2 if last else index
        kind = {"0": "conv", "1": "bn"}.get(what)
        name = _block_names(separable).get(f"{unit}.{kind}")
    return key if name is None else f"blocks.{place[0]}.{place[1]}.{name}.{leaf}"
