"""SETR: a Vision Transformer as the encoder of a segmentation network.

Reference: Zheng, Lu, Zhao, Zhu, Luo, Wang, Fu, Feng, Xiang, Torr, Zhang, "Rethinking Semantic
Segmentation from a Sequence-to-Sequence Perspective with Transformers", CVPR 2021,
arXiv:2012.15840.

The encoder keeps one resolution from the first layer to the last.  Three heads were published:

* naive: 1 x 1 convolutions and one bilinear upsampling,
* progressive upsampling (PUP): 3 x 3 convolutions, each followed by a doubling of the size,
* multi-level aggregation (MLA): four depths of the encoder, summed from the deepest to the
  shallowest and joined at four times the encoder's resolution.

Details are those of MMSegmentation, whose checkpoints are the published ones: images that are no
multiple of the patch are filled up, and the logits of the filled image are resized to the image.
The auxiliary heads, which only help the training, are not built.
"""

from __future__ import annotations

import math
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
from segstudio.architectures._vit import VIT_SIZES, VisionTransformer, read_encoder
from segstudio.architectures._vit_layouts import from_mmsegmentation, is_mmsegmentation
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_EPS = 1e-6
_HEAD_CHANNELS = 256
_MLA_CHANNELS = 128
_MLA_LEVELS = 4
_UPSAMPLING = 4
"""Factor of the naive and the MLA head; the PUP head doubles until patches are pixels."""
_MMSEG_MLA = "neck.mla.channel_proj.0.conv.weight"


@dataclass(frozen=True)
class SETROptions:
    """Variant of SETR."""

    variant: str = option(
        "large", "Encoder: Vision Transformer of this size.", choices=tuple(VIT_SIZES)
    )
    head: str = option(
        "pup",
        "Head: naive upsampling, progressive upsampling (pup) or multi-level aggregation (mla).",
        choices=("naive", "pup", "mla"),
    )
    patch: int = option(16, "Height and width of a patch, in pixels.", minimum=2, maximum=64)
    crop: int = option(
        512,
        "Height and width of the training crops, in pixels; position embeddings are learned for "
        "their patches and resized for other images.",
        minimum=2,
        maximum=4096,
    )
    layers: int = option(
        0, "Transformer layers; 0 takes the published number.", minimum=0, maximum=64
    )


def _conv(channels: int, width: int, kernel: int) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU; the size stays."""
    return nn.Sequential(
        nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def _normalised(features: Tensor, norm: nn.Module) -> Tensor:
    """Apply a LayerNorm to the channels of (N, C, H, W)."""
    out: Tensor = norm(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return out


def _enlarged(features: Tensor, factor: int) -> Tensor:
    height, width = features.shape[-2:]
    return F.interpolate(
        features, size=(height * factor, width * factor), mode="bilinear", align_corners=False
    )


class UpsamplingHead(nn.Module):
    """Convolutions, each followed by an upsampling; the naive head has one, PUP several."""

    def __init__(self, width: int, classes: int, *, kernel: int, factors: list[int]) -> None:
        super().__init__()
        self.factors = factors
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.up = nn.ModuleList(
            nn.Sequential(_conv(_HEAD_CHANNELS if index else width, _HEAD_CHANNELS, kernel))
            for index in range(len(factors))
        )
        self.classify = nn.Conv2d(_HEAD_CHANNELS, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        features = _normalised(maps[-1], self.norm)
        for convolve, factor in zip(self.up, self.factors, strict=True):
            features = _enlarged(convolve(features), factor)
        out: Tensor = self.classify(features)
        return out


class AggregationHead(nn.Module):
    """Four depths of the encoder, each helped by the sum of those below it."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        levels = range(_MLA_LEVELS)
        # The first two lists count from the shallowest level, the others from the deepest.
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=_EPS) for _ in levels)
        self.project = nn.ModuleList(_conv(width, _HEAD_CHANNELS, 1) for _ in levels)
        self.refine = nn.ModuleList(_conv(_HEAD_CHANNELS, _HEAD_CHANNELS, 3) for _ in levels)
        self.up = nn.ModuleList(
            nn.Sequential(
                _conv(_HEAD_CHANNELS, _MLA_CHANNELS, 3), _conv(_MLA_CHANNELS, _MLA_CHANNELS, 3)
            )
            for _ in levels
        )
        self.classify = nn.Conv2d(_MLA_LEVELS * _MLA_CHANNELS, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        projected = [
            project(_normalised(entry, norm))
            for entry, norm, project in zip(maps, self.norms, self.project, strict=True)
        ]
        joined = []
        total = torch.zeros_like(projected[-1])
        for entry, refine, up in zip(reversed(projected), self.refine, self.up, strict=True):
            total = total + entry
            joined.append(_enlarged(up(refine(total)), _UPSAMPLING))
        out: Tensor = self.classify(torch.cat(joined, 1))
        return out


@ARCHITECTURES.register("setr")
class SETR(SegmentationNetwork):
    """SETR; `forward` gives logits at a quarter of the input's size, the PUP head at all of it."""

    Options = SETROptions
    facts = Facts(
        title="SETR",
        paper="Zheng et al.: SETR, CVPR 2021, arXiv:2012.15840",
        year=2021,
        output_stride=16,
        published="47.4 (MLA) to 48.3 (naive) mIoU on ADE20K val, single scale (MMSegmentation)",
        sizes=(
            PublishedSize(305.67, 19, {"head": "naive", "crop": 768}, "the paper, table 2"),
            PublishedSize(310.57, 19, {"head": "mla", "crop": 768}, "the paper, table 2"),
            PublishedSize(
                318.31,
                19,
                {"head": "pup", "crop": 768},
                "the paper, table 2, with the auxiliary heads of the training",
                tolerance=0.03,
            ),
            PublishedSize(
                87.69,
                19,
                {"variant": "base", "head": "naive", "crop": 768},
                "the paper, table 2",
            ),
        ),
    )
    variants = {
        "naive": {"head": "naive"},
        "pup": {"head": "pup"},
        "mla": {"head": "mla"},
        "naive-base": {"variant": "base", "head": "naive"},
        "pup-base": {"variant": "base", "head": "pup"},
        "mla-base": {"variant": "base", "head": "mla"},
    }
    smallest = {"variant": "tiny", "head": "naive", "crop": 64, "layers": 2}
    classifier = "head.classify"

    def __init__(self, classes: int, options: SETROptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: SETROptions = self.options
        width, layers = VIT_SIZES[chosen.variant]
        layers = chosen.layers or layers
        mla = chosen.head == "mla"
        self.encoder = VisionTransformer(
            width,
            layers,
            patch=chosen.patch,
            crop=chosen.crop,
            # The MLA variant drops its class token before the first layer: it has no effect.
            tokens=0 if mla else 1,
            eps=_EPS,
            taps=_taps(layers) if mla else (-1,),
        )
        self.head: nn.Module
        if mla:
            self.head = AggregationHead(width, classes)
        elif chosen.head == "naive":
            self.head = UpsamplingHead(width, classes, kernel=1, factors=[_UPSAMPLING])
        else:
            doublings = max(1, round(math.log2(chosen.patch)))
            self.head = UpsamplingHead(width, classes, kernel=3, factors=[2] * doublings)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.head(self.encoder(image))
        height, width = (min(sizes) for sizes in zip(out.shape[-2:], image.shape[-2:], strict=True))
        if out.shape[-2:] == (height, width):
            return out
        # Filled up to whole patches, the image was smaller than the head's output.
        return F.interpolate(out, size=(height, width), mode="bilinear", align_corners=False)

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of MMSegmentation."""
        if not _is_foreign(state_dict):
            return dict(state_dict)
        return from_mmsegmentation(
            state_dict, interpolation="bilinear", class_token=_MMSEG_MLA not in state_dict
        )

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        tensors = cls.rename_keys(state_dict)
        first = tensors.get("head.up.0.0.0.weight")
        classify = tensors.get("head.classify.weight")
        if first is None or classify is None or first.ndim != 4 or classify.ndim != 4:
            return None
        mla = "head.norms.0.weight" in tensors
        if not mla and "head.norm.weight" not in tensors:
            return None
        encoder = read_encoder(tensors, tokens=0 if mla else 1)
        if encoder is None or encoder.interpolation != "bilinear":
            return None
        head = "mla" if mla else "naive" if first.shape[-1] == 1 else "pup"
        options = SETROptions(encoder.variant, head, encoder.patch, encoder.crop, encoder.layers)
        classes = int(classify.shape[0])
        if not _is_foreign(state_dict):
            return Recognition("segstudio", options, classes)
        return Recognition(
            "mmsegmentation", options, classes, _published_preprocessing(encoder.crop, classes)
        )


def _taps(layers: int) -> tuple[int, ...]:
    """Return the last layer of each quarter of the encoder: 5, 11, 17, 23 of 24."""
    return tuple(math.ceil((level + 1) * layers / _MLA_LEVELS) - 1 for level in range(_MLA_LEVELS))


def _is_foreign(state_dict: StateDict) -> bool:
    return is_mmsegmentation(state_dict) and "decode_head.up_convs.0.0.conv.weight" in state_dict


def _published_preprocessing(crop: int, classes: int) -> Preprocessing:
    """Return the test path: windows as large as the training crops, at two thirds of their size."""
    return Preprocessing(
        resize="keep-ratio",
        size=(2049, 1025) if classes == 19 else (4 * crop, crop),
        window=(crop, crop),
        stride=(crop * 2 // 3, crop * 2 // 3),
    )
