"""U-Net.

O. Ronneberger, P. Fischer, T. Brox: "U-Net: Convolutional Networks for Biomedical Image
Segmentation", MICCAI 2015, arXiv:1505.04597.

A contracting path of convolution pairs and poolings, an expanding path that doubles the size step
by step, and at every level the encoder's features concatenated to the decoder's.  The paper
convolves without padding and loses a border; here the convolutions are padded and the output has
the size of the input, as everybody has done since.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    PublishedSize,
    Recognition,
    SegmentationNetwork,
    StateDict,
    pad_to_multiple,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_MAX_DEPTH = 6
_S5_D16 = {"up": "bilinear", "head": "fcn"}


@dataclass(frozen=True)
class UNetOptions:
    """Variant of U-Net; MMSegmentation's S5-D16 is ``up="bilinear", head="fcn"``."""

    width: int = option(
        64,
        "Channels of the first level; every level below has twice as many.",
        minimum=1,
        maximum=512,
    )
    depth: int = option(4, "How many times the size is halved.", minimum=1, maximum=_MAX_DEPTH)
    batch_norm: bool = option(
        True, "Batch normalisation after each 3 x 3 convolution; the paper has none."
    )
    up: str = option(
        "transposed",
        "How the decoder doubles the size: a 2 x 2 transposed convolution as in the paper, or "
        "bilinear interpolation and a 1 x 1 convolution as in MMSegmentation.",
        choices=("transposed", "bilinear"),
    )
    head: str = option(
        "plain",
        "What gives the logits: one 1 x 1 convolution as in the paper, or one more 3 x 3 "
        "convolution before it as in MMSegmentation's FCN head.",
        choices=("plain", "fcn"),
    )
    dropout: float = option(
        0.0, "Dropout at the end of the contracting path.", minimum=0, maximum=0.9
    )


def _unit(conv: nn.Conv2d, batch_norm: bool) -> list[nn.Module]:
    norm = nn.BatchNorm2d(conv.out_channels) if batch_norm else nn.Identity()
    return [conv, norm, nn.ReLU(inplace=True)]


def _conv_pair(channels: int, out_channels: int, batch_norm: bool) -> nn.Sequential:
    """Two 3 x 3 convolutions; (N, channels, H, W) to (N, out_channels, H, W)."""
    bias = not batch_norm
    return nn.Sequential(
        *_unit(nn.Conv2d(channels, out_channels, 3, padding=1, bias=bias), batch_norm),
        *_unit(nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=bias), batch_norm),
    )


class UpBlock(nn.Module):
    """Double the size, halve the channels, look at the encoder's features beside them."""

    def __init__(self, channels: int, *, up: str, batch_norm: bool) -> None:
        super().__init__()
        inner = channels // 2
        self.up: nn.Module
        if up == "transposed":
            self.up = nn.ConvTranspose2d(channels, inner, 2, stride=2)
        else:
            conv = nn.Conv2d(channels, inner, 1, bias=not batch_norm)
            self.up = nn.Sequential(
                nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
                *_unit(conv, batch_norm),
            )
        self.convs = _conv_pair(channels, inner, batch_norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.convs(torch.cat([skip, self.up(x)], 1))


@ARCHITECTURES.register("unet")
class UNet(SegmentationNetwork):
    """U-Net with an output at full resolution.

    Sizes that the poolings do not divide are padded at the bottom and right, and the logits are
    cropped back.  ``encoder`` and ``decoder`` are numbered by level, 0 being the finest.
    """

    Options = UNetOptions
    facts = Facts(
        title="U-Net",
        paper="Ronneberger et al.: U-Net, MICCAI 2015, arXiv:1505.04597",
        year=2015,
        output_stride=1,
        published="69.1 mIoU on Cityscapes val (S5-D16 with FCN head, MMSegmentation)",
        sizes=(
            PublishedSize(28.99, 19, _S5_D16, "MMSegmentation 1.2.2, without its auxiliary head"),
        ),
    )
    variants = {"published": {}, "s5-d16": _S5_D16}
    smallest = {"width": 8}
    classifier = "classify"

    def __init__(self, classes: int, options: UNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: UNetOptions = self.options
        widths = [chosen.width * 2**level for level in range(chosen.depth + 1)]
        norm = chosen.batch_norm
        self.encoder = nn.ModuleList(
            _conv_pair(channels, width, norm)
            for channels, width in zip([3, *widths[:-1]], widths, strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(chosen.dropout)
        self.decoder = nn.ModuleList(
            UpBlock(width, up=chosen.up, batch_norm=norm) for width in widths[1:]
        )
        self.head = nn.Sequential()
        if chosen.head == "fcn":
            conv = nn.Conv2d(widths[0], widths[0], 3, padding=1, bias=not norm)
            self.head.extend(_unit(conv, norm))
        self.classify = nn.Conv2d(widths[0], classes, 1)
        for module in self.modules():
            # The paper's initialisation: a variance of 2 over the inputs of a neuron.
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, 2 ** len(self.decoder))
        skips = []
        for level, convs in enumerate(self.encoder):
            x = convs(self.pool(x) if level else x)
            skips.append(x)
        x = self.dropout(skips.pop())
        for block in reversed(self.decoder):
            x = block(x, skips.pop())
        return self.classify(self.head(x))[..., :height, :width]

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of MMSegmentation's UNet backbone with an FCN head."""
        if _MMSEG_FIRST not in state_dict:
            return dict(state_dict)
        return {_from_mmsegmentation(key): value for key, value in state_dict.items()}

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        foreign = _MMSEG_FIRST in state_dict
        if foreign and _other_head(state_dict):
            return None
        ours = cls.rename_keys(state_dict)
        first, head = ours.get("encoder.0.0.weight"), ours.get("classify.weight")
        if first is None or head is None or first.ndim != 4 or head.ndim != 4:
            return None
        depth = 1 + max((int(key.split(".")[1]) for key in ours if _DECODER.match(key)), default=-1)
        if not 1 <= depth <= _MAX_DEPTH or first.shape[1] != 3:
            return None
        options = UNetOptions(
            width=int(first.shape[0]),
            depth=depth,
            batch_norm="encoder.0.1.weight" in ours,
            up="bilinear" if "decoder.0.up.1.weight" in ours else "transposed",
            head="fcn" if "head.0.weight" in ours else "plain",
        )
        classes = int(head.shape[0])
        if not foreign:
            return Recognition("segstudio", options, classes)
        # Published for Cityscapes at its full size; other class counts come from small images.
        whole = Preprocessing(resize="keep-ratio", size=(2048, 1024))
        return Recognition(
            "mmsegmentation", options, classes, whole if classes == 19 else Preprocessing()
        )


_MMSEG_FIRST = "backbone.encoder.0.0.convs.0.conv.weight"
_DECODER = re.compile(r"decoder\.\d\.convs\.0\.weight")
_MMSEG_KEYS = (
    # (pattern, what stands before the number of the layer, layers before it)
    (re.compile(r"backbone\.encoder\.(\d)\.\d\.convs\.(\d)\.(conv|bn)\.(\w+)"), "encoder.{}."),
    (
        re.compile(r"backbone\.decoder\.(\d)\.conv_block\.convs\.(\d)\.(conv|bn)\.(\w+)"),
        "decoder.{}.convs.",
    ),
)
_MMSEG_UP = re.compile(r"backbone\.decoder\.(\d)\.upsample\.interp_upsample\.1\.(conv|bn)\.(\w+)")


def _other_head(state_dict: StateDict) -> bool:
    """Tell whether the decode head is something else than one convolution and a classifier."""
    heads = [key for key in state_dict if key.startswith("decode_head.")]
    return any(
        not key.startswith(("decode_head.convs.0.", "decode_head.conv_seg.")) for key in heads
    )


def _from_mmsegmentation(key: str) -> str:
    for pattern, place in _MMSEG_KEYS:
        found = pattern.fullmatch(key)
        if found:
            layer = 3 * int(found[2]) + (found[3] == "bn")
            return f"{place.format(found[1])}{layer}.{found[4]}"
    found = _MMSEG_UP.fullmatch(key)
    if found:
        return f"decoder.{found[1]}.up.{1 + (found[2] == 'bn')}.{found[3]}"
    for old, new in (
        ("decode_head.convs.0.conv.", "head.0."),
        ("decode_head.convs.0.bn.", "head.1."),
        ("decode_head.conv_seg.", "classify."),
    ):
        if key.startswith(old):
            return new + key[len(old) :]
    return key
