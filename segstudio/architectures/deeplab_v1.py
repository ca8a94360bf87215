"""DeepLab v1 (LargeFOV).

L.-C. Chen, G. Papandreou, I. Kokkinos, K. Murphy, A. L. Yuille: "Semantic Image Segmentation with
Deep Convolutional Nets and Fully Connected CRFs", ICLR 2015, arXiv:1412.7062.

VGG16 whose last two poolings no longer halve the size; the layers behind them are dilated
instead, so that they see what they saw in the classifier.  The first fully connected layer
becomes a small convolution with a dilation of 12 (LargeFOV): the field of view of the 7 x 7 one
with a seventh of the network's parameters.  The fully connected CRF comes after the network and
works with any model: see `segstudio.inference`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.options import option

_VGG_BASE = 64
_STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
"""Convolutions and channels (in units of the first stage's) of VGG16's stages."""
_WINDOWS = {"large-fov": 3, "4x4": 4, "7x7": 7}
_REACH = 24
"""Width of the first fully connected layer's view in its own input, whatever its window."""
_TABLE = "the paper, table 2"


@dataclass(frozen=True)
class DeepLabV1Options:
    """Variant of DeepLab v1."""

    view: str = option(
        "large-fov",
        "The former first fully connected layer: 3 x 3 with a dilation of 12 and a quarter of the "
        "channels, 4 x 4 with a dilation of 8, or 7 x 7 with one of 4.",
        choices=tuple(_WINDOWS),
    )
    width: int = option(
        _VGG_BASE, "Channels of the first stage; 64 is VGG16.", minimum=1, maximum=256
    )
    dropout: float = option(
        0.5, "Dropout after each former fully connected layer.", minimum=0, maximum=0.9
    )


def _stage(
    channels: int, out_channels: int, *, convs: int, stride: int, dilation: int
) -> nn.Sequential:
    """Convolutions and a 3 x 3 max pooling; (H, W) to (H / stride, W / stride), rounded up."""
    layers: list[nn.Module] = []
    for index in range(convs):
        conv = nn.Conv2d(
            out_channels if index else channels,
            out_channels,
            3,
            padding=dilation,
            dilation=dilation,
        )
        layers += [conv, nn.ReLU(inplace=True)]
    # A window of 3 keeps the grids aligned: cell i of the output looks at cell i * stride.
    return nn.Sequential(*layers, nn.MaxPool2d(3, stride=stride, padding=1))


@ARCHITECTURES.register("deeplab-v1")
class DeepLabV1(SegmentationNetwork):
    """DeepLab v1 with logits at an eighth of the input's size, rounded up.

    Logit i lies on pixel 8 * i, so they are upsampled with aligned corners; sizes of 8 * k + 1
    (the paper's 321 and 513) meet that exactly.
    """

    Options = DeepLabV1Options
    facts = Facts(
        title="DeepLab v1",
        paper="Chen et al.: Semantic Image Segmentation with Deep Convolutional Nets and Fully "
        "Connected CRFs, ICLR 2015, arXiv:1412.7062",
        year=2015,
        output_stride=8,
        published="62.25 mIoU on PASCAL VOC 2012 val, 67.64 with the CRF (the paper, table 1)",
        sizes=(
            PublishedSize(20.5, 21, {}, _TABLE),
            PublishedSize(65.1, 21, {"view": "4x4"}, _TABLE),
            PublishedSize(134.3, 21, {"view": "7x7"}, _TABLE),
        ),
    )
    align_corners = True
    variants = {"large-fov": {}, "4x4": {"view": "4x4"}, "7x7": {"view": "7x7"}}
    smallest = {"width": 8}
    classifier = "classify"

    def __init__(self, classes: int, options: DeepLabV1Options | None = None) -> None:
        super().__init__(classes, options)
        chosen: DeepLabV1Options = self.options
        stages, channels = [], 3
        for index, (convs, factor) in enumerate(_STAGES):
            width = chosen.width * factor
            stages.append(
                _stage(
                    channels,
                    width,
                    convs=convs,
                    stride=2 if index < 3 else 1,
                    # The pooling before the fifth stage no longer halves the size.
                    dilation=2 if index == 4 else 1,
                )
            )
            channels = width
        self.stages = nn.Sequential(*stages)
        window = _WINDOWS[chosen.view]
        hidden = chosen.width * (16 if chosen.view == "large-fov" else 64)
        self.view = nn.Conv2d(
            channels, hidden, window, padding=_REACH // 2, dilation=_REACH // (window - 1)
        )
        self.hidden = nn.Conv2d(hidden, hidden, 1)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(chosen.dropout)
        self.classify = nn.Conv2d(hidden, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)
        # The paper starts from ImageNet weights and draws only the classifier anew, like this.
        nn.init.normal_(self.classify.weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        x = self.dropout(self.relu(self.view(self.stages(image))))
        return self.classify(self.dropout(self.relu(self.hidden(x))))

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        names = ("stages.0.0.weight", "stages.4.4.weight", "view.weight", "classify.weight")
        if any(name not in state_dict or state_dict[name].ndim != 4 for name in names):
            return None
        first, _, view, classify = (state_dict[name] for name in names)
        found = [name for name, window in _WINDOWS.items() if view.shape[-1] == window]
        if "hidden.weight" not in state_dict or not found:
            return None
        options = DeepLabV1Options(found[0], width=int(first.shape[0]))
        return Recognition("segstudio", options, int(classify.shape[0]))
