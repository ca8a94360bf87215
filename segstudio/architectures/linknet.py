"""LinkNet.

A. Chaurasia, E. Culurciello: "LinkNet: Exploiting Encoder Representations for Efficient Semantic
Segmentation", VCIP 2017, arXiv:1707.03718.

A ResNet-18 encoder; a decoder whose blocks reduce the channels to a quarter, double the size with
a transposed convolution and expand again; and at every level the encoder's features *added* to
the decoder's, which needs no wider convolution behind it as concatenation does.
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
    pad_to_multiple,
)
from segstudio.architectures._encoders import feature_channels, resnet, resnet_depth
from segstudio.core.options import option

_DEPTHS = {"resnet18": 18, "resnet34": 34}
_HEAD_WIDTH = 32


@dataclass(frozen=True)
class LinkNetOptions:
    """Variant of LinkNet."""

    backbone: str = option("resnet18", "Encoder; the paper's is resnet18.", choices=tuple(_DEPTHS))


def _unit(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU(inplace=True))


def _doubling(channels: int, out_channels: int) -> nn.ConvTranspose2d:
    """Return a 3 x 3 transposed convolution that exactly doubles height and width."""
    return nn.ConvTranspose2d(
        channels, out_channels, 3, stride=2, padding=1, output_padding=1, bias=False
    )


class DecoderBlock(nn.Module):
    """Reduce to a quarter of the channels, convolve transposed (doubling or not), expand."""

    def __init__(self, channels: int, out_channels: int, *, double: bool) -> None:
        super().__init__()
        inner = channels // 4
        self.reduce = _unit(nn.Conv2d(channels, inner, 1, bias=False))
        keep = nn.ConvTranspose2d(inner, inner, 3, padding=1, bias=False)
        self.up = _unit(_doubling(inner, inner) if double else keep)
        self.expand = _unit(nn.Conv2d(inner, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.expand(self.up(self.reduce(x)))


@ARCHITECTURES.register("linknet")
class LinkNet(SegmentationNetwork):
    """LinkNet with an output at full resolution.

    Sizes that 32 does not divide are padded at the bottom and right, and the logits are cropped
    back.  ``decoder`` is numbered by level, 0 being the finest; only that one keeps the size, as
    the encoder's first stage does.
    """

    Options = LinkNetOptions
    facts = Facts(
        title="LinkNet",
        paper="Chaurasia, Culurciello: LinkNet, VCIP 2017, arXiv:1707.03718",
        year=2017,
        output_stride=4,
        sizes=(PublishedSize(11.5, 20, {}, "the paper, abstract and table II"),),
    )
    variants = {"published": {}, "resnet34": {"backbone": "resnet34"}}
    classifier = "classify"

    def __init__(self, classes: int, options: LinkNetOptions | None = None) -> None:
        super().__init__(classes, options)
        self.encoder = resnet(_DEPTHS[self.options.backbone], deep_stem=False)
        widths = feature_channels(self.encoder)
        self.decoder = nn.ModuleList(
            DecoderBlock(width, below, double=level > 0)
            for level, (width, below) in enumerate(
                zip(widths, [widths[0], *widths[:-1]], strict=True)
            )
        )
        self.head = nn.Sequential(
            _unit(_doubling(widths[0], _HEAD_WIDTH)),
            _unit(nn.Conv2d(_HEAD_WIDTH, _HEAD_WIDTH, 3, padding=1, bias=False)),
        )
        self.classify = nn.ConvTranspose2d(_HEAD_WIDTH, classes, 2, stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                # timm starts the last norm of a block at 0, which only pays in deep encoders.
                nn.init.ones_(module.weight)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        skips = list(self.encoder(pad_to_multiple(image, 32)))
        x = skips.pop()
        for level in range(len(self.decoder) - 1, -1, -1):
            x = self.decoder[level](x)
            if skips:
                x = x + skips.pop()
        return self.classify(self.head(x))[..., :height, :width]

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        classify = state_dict.get("classify.weight")
        if classify is None or "decoder.3.reduce.0.weight" not in state_dict:
            return None
        depth = resnet_depth(state_dict.keys())
        backbone = next((name for name, entry in _DEPTHS.items() if entry == depth), None)
        if backbone is None or classify.ndim != 4 or classify.shape[0] != _HEAD_WIDTH:
            return None
        return Recognition("segstudio", LinkNetOptions(backbone), int(classify.shape[1]))
