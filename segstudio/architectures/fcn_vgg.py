"""FCN-32s, FCN-16s and FCN-8s on VGG16.

J. Long, E. Shelhamer, T. Darrell: "Fully Convolutional Networks for Semantic Segmentation",
CVPR 2015, arXiv:1411.4038; the variant trained at once is of the longer version, E. Shelhamer,
J. Long, T. Darrell, IEEE TPAMI 2017, arXiv:1605.06211.

VGG16 with its fully connected layers as convolutions gives scores at stride 32.  FCN-16s and
FCN-8s double their size with a learned transposed convolution and add scores of the fourth, then
of the third pooling.  What is left up to the input's size is bilinear and fixed.
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
from segstudio.architectures._vgg import (
    conv_unit,
    initialise,
    stage_widths,
    vgg16_encoder,
    vgg16_width,
)
from segstudio.core.options import option

_WINDOW = 7
"""Window of fc6, in cells of the fifth pooling."""
_PADDING = 99
"""Zeros around the image; with the first convolution's own one they are the paper's 100."""
_VARIANTS: dict[str, tuple[tuple[str, ...], int, int]] = {
    # Poolings whose scores are added; how much the end enlarges; rows and columns to cut from its
    # top and left.  These and the offsets below follow from where the centres of the windows lie
    # in the image; the paper's published networks have the same numbers.
    "32s": ((), 32, 19),
    "16s": (("pool4",), 16, 27),
    "8s": (("pool4", "pool3"), 8, 31),
    "8s-at-once": (("pool4", "pool3"), 8, 31),
}
_SKIPS = {
    # Stage, cells of its pooling outside the coarser scores, scale in the variant trained at once.
    "pool4": (3, 5, 0.01),
    "pool3": (2, 9, 0.0001),
}


@dataclass(frozen=True)
class FCNVGGOptions:
    """Variant of FCN on VGG16."""

    variant: str = option(
        "8s",
        "Output stride of the finest scores; 8s-at-once scales the skips down, so that all "
        "three scores can be trained together.",
        choices=tuple(_VARIANTS),
    )
    width: int = option(
        64,
        "Channels of the first stage; the last two have eight times as many.",
        minimum=1,
        maximum=512,
    )
    fc_width: int = option(
        4096, "Channels of fc6 and fc7, VGG16's fully connected layers.", minimum=1, maximum=16384
    )
    dropout: float = option(0.5, "Dropout after fc6 and fc7.", minimum=0, maximum=0.9)


def bilinear_kernel(factor: int) -> Tensor:
    """Return the weights with which a transposed convolution of stride ``factor`` interpolates.

    Returns
    -------
    Tensor of shape (2 * factor, 2 * factor)
        Products of two triangles; for any pixel of the result those that meet there sum to 1.
    """
    triangle = torch.tensor([1 - abs(index + 0.5 - factor) / factor for index in range(2 * factor)])
    return triangle[:, None] * triangle[None, :]


class BilinearUpsampling(nn.Module):
    """Enlarge each class by itself, fixed: (N, C, h, w) to (N, C, factor * (h + 1), ... (w + 1)).

    Outside of the scores there are zeros, as in the paper: one coarse pixel of the border fades.
    """

    weight: Tensor

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.register_buffer("weight", bilinear_kernel(factor)[None, None])

    def forward(self, scores: Tensor) -> Tensor:
        each = scores.flatten(0, 1)[:, None]
        large = F.conv_transpose2d(each, self.weight, stride=self.factor)
        return large[:, 0].unflatten(0, scores.shape[:2])


class Skip(nn.Module):
    """Double the size of the scores and add those of a finer pooling.

    Parameters
    ----------
    channels : int
        Of the pooling.
    offset : int
        Cells of the pooling before the first of the doubled scores.
    scale : float or None
        Multiplies the pooling; None leaves it out.
    """

    scale: Tensor | None

    def __init__(self, channels: int, classes: int, *, offset: int, scale: float | None) -> None:
        super().__init__()
        self.offset = offset
        # In the state dict, so that the variant can be told from the names.
        self.register_buffer("scale", None if scale is None else torch.tensor(scale))
        self.up = nn.ConvTranspose2d(classes, classes, 4, stride=2, bias=False)
        self.score = nn.Conv2d(channels, classes, 1)
        with torch.no_grad():
            # Each class interpolates itself; the rest may be learned.
            self.up.weight.copy_(torch.eye(classes)[:, :, None, None] * bilinear_kernel(2))
        # At first a skip changes nothing, as in the paper.
        for parameter in self.score.parameters():
            nn.init.zeros_(parameter)

    def forward(self, scores: Tensor, pooled: Tensor) -> Tensor:
        coarse = self.up(scores)
        fine = self.score(pooled if self.scale is None else pooled * self.scale)
        height, width = coarse.shape[-2:]
        first = self.offset
        return coarse + fine[..., first : first + height, first : first + width]


@ARCHITECTURES.register("fcn-vgg")
class FCNVGG(SegmentationNetwork):
    """FCN on VGG16 with an output at full resolution.

    As in the paper the image stands in a border of 100 zeros, which makes any size from 1 x 1
    large enough for fc6, and the logits are cut where the image was.
    """

    Options = FCNVGGOptions
    facts = Facts(
        title="FCN (VGG16)",
        paper="Long et al.: Fully Convolutional Networks, CVPR 2015, arXiv:1411.4038",
        year=2015,
        output_stride=8,
        published="62.2 mIoU on PASCAL VOC 2012 test (FCN-8s, the paper, table 3)",
        sizes=(
            PublishedSize(134, 21, {"variant": "32s"}, "the paper, table 1", tolerance=0.004),
            # 134.49 with the fixed end as a layer of 21 x 21 x 16 x 16, which is none here.
            PublishedSize(134.5, 21, {}, "FC-DenseNet's paper, table 3", tolerance=0.001),
        ),
    )
    variants = {variant: {"variant": variant} for variant in _VARIANTS}
    smallest = {"width": 4, "fc_width": 16}
    # Up to three layers score, on grids that begin outside of the image.
    classifier = ""

    def __init__(self, classes: int, options: FCNVGGOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: FCNVGGOptions = self.options
        widths, middle = stage_widths(chosen.width), chosen.fc_width
        skips, factor, self.offset = _VARIANTS[chosen.variant]
        self.encoder = vgg16_encoder(chosen.width, batch_norm=False)
        self.fc6 = conv_unit(nn.Conv2d(widths[-1], middle, _WINDOW), batch_norm=False)
        self.fc7 = conv_unit(nn.Conv2d(middle, middle, 1), batch_norm=False)
        self.dropout = nn.Dropout(chosen.dropout)
        self.score = nn.Conv2d(middle, classes, 1)
        # The paper starts from ImageNet's weights, and with zeros here; it found random weights
        # as good.  Without ImageNet's, these let VGG16 train.
        self.apply(initialise)
        self.skips = nn.ModuleDict()
        for name in skips:
            stage, offset, scale = _SKIPS[name]
            self.skips[name] = Skip(
                widths[stage],
                classes,
                offset=offset,
                scale=scale if chosen.variant == "8s-at-once" else None,
            )
        self.upsample = BilinearUpsampling(factor)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = F.pad(image, (_PADDING,) * 4)
        pooled = []
        for stage in self.encoder:
            x = F.max_pool2d(stage(x), 2, ceil_mode=True)
            pooled.append(x)
        scores = self.score(self.dropout(self.fc7(self.dropout(self.fc6(x)))))
        for name, skip in self.skips.items():
            scores = skip(scores, pooled[_SKIPS[name][0]])
        first = self.offset
        return self.upsample(scores)[..., first : first + height, first : first + width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        width = vgg16_width(state_dict, batch_norm=False)
        fc6, head = state_dict.get("fc6.conv.weight"), state_dict.get("score.weight")
        if width is None or fc6 is None or head is None or "upsample.weight" not in state_dict:
            return None
        if tuple(fc6.shape[2:]) != (_WINDOW, _WINDOW) or head.ndim != 4:
            return None
        variant = "32s"
        if "skips.pool4.up.weight" in state_dict:
            variant = "8s" if "skips.pool3.up.weight" in state_dict else "16s"
        if "skips.pool3.scale" in state_dict:
            variant = "8s-at-once"
        options = FCNVGGOptions(variant, width, int(fc6.shape[0]))
        return Recognition("segstudio", options, int(head.shape[0]))
