"""UPerNet.

T. Xiao, Y. Liu, B. Zhou, Y. Jiang, J. Sun: "Unified Perceptual Parsing for Scene Understanding",
ECCV 2018, arXiv:1807.10221.

An encoder makes features at 1/4, 1/8, 1/16 and 1/32.  The coarsest pass through PSPNet's pyramid
pooling; a feature pyramid (FPN) carries the result down to the finest, and all four levels are
concatenated and classified at 1/4.  Here the head for semantic segmentation is built, on ResNet
and on Swin Transformer, whose authors chose it for dense prediction.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
from segstudio.architectures._encoders import feature_channels, resnet, resnet_depth
from segstudio.architectures._swin import SWIN_SIZES, SwinTransformer
from segstudio.architectures._upernet_layouts import source_of, to_own_layout, to_own_name
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_RESNETS = {"resnet50": 50, "resnet101": 101}
_POOL_SCALES = (1, 2, 3, 6)
_MAX_WINDOW = 32
_PUBLISHED: dict[str, tuple[dict[str, Any], float, str]] = {
    # Options, millions of parameters with 150 classes, source of the figure.
    "r50": ({"encoder": "resnet50"}, 64.118, "MMSegmentation 1.2.2, without its auxiliary head"),
    "r101": ({"encoder": "resnet101"}, 83.110, "MMSegmentation 1.2.2, without its auxiliary head"),
    "swin-t": ({"encoder": "swin-t"}, 60, ""),
    "swin-s": ({"encoder": "swin-s"}, 81, ""),
    "swin-b": ({"encoder": "swin-b"}, 121, ""),
    "swin-b-w12": ({"encoder": "swin-b", "window": 12}, 121, ""),
    "swin-l": ({"encoder": "swin-l", "window": 12}, 234, ""),
}
_SWIN_SOURCE = "Liu et al.: Swin Transformer, table 3, with an auxiliary head of 1 to 2 million"


@dataclass(frozen=True)
class UPerNetOptions:
    """Variant of UPerNet."""

    encoder: str = option(
        "resnet50",
        "Encoder: ResNet with a deep stem, or Swin Transformer; swin-micro is not published, it is "
        "for tests and first looks.",
        choices=(*_RESNETS, *SWIN_SIZES),
    )
    window: int = option(
        7,
        "Edge of Swin's attention windows in tokens; 7 and 12 are published.",
        minimum=2,
        maximum=_MAX_WINDOW,
    )
    head_width: int = option(512, "Channels of the head.", minimum=1, maximum=4096)
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)
    drop_path: float = option(
        0.3,
        "Chance that a training image skips Swin's last block; it grows linearly from 0 at the "
        "first.",
        minimum=0,
        maximum=0.9,
    )


def _unit(channels: int, width: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


def _resized(features: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(features, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Head(nn.Module):
    """Pyramid pooling on the coarsest map, a feature pyramid down to the finest, logits.

    Parameters
    ----------
    channels : sequence of int
        Channels of the encoder's maps, fine to coarse.
    width : int
        Channels of every map of the head.
    classes : int
        Channels of the logits.
    dropout : float
        Chance that a map is dropped before the classifier.
    """

    def __init__(
        self, channels: Sequence[int], width: int, *, classes: int, dropout: float
    ) -> None:
        super().__init__()
        *finer, coarsest = channels
        self.pyramid = nn.ModuleList(_unit(coarsest, width, 1) for _ in _POOL_SCALES)
        self.bottleneck = _unit(coarsest + len(_POOL_SCALES) * width, width, 3)
        self.lateral = nn.ModuleList(_unit(entry, width, 1) for entry in finer)
        self.smooth = nn.ModuleList(_unit(width, width, 3) for _ in finer)
        self.fuse = _unit(len(channels) * width, width, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classify.weight, std=0.01)
        assert self.classify.bias is not None
        nn.init.zeros_(self.classify.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Four maps, fine to coarse, to (N, classes, h, w) at the finest one's size."""
        *finer, coarsest = features
        level = self._pool(coarsest)
        levels = [level]
        for lateral, smooth, entry in zip(
            reversed(self.lateral), reversed(self.smooth), reversed(finer), strict=True
        ):
            projected = lateral(entry)
            level = projected + _resized(level, projected)
            levels.append(smooth(level))
        finest = levels[-1]
        maps = [finest, *(_resized(entry, finest) for entry in reversed(levels[:-1]))]
        return self.classify(self.dropout(self.fuse(torch.cat(maps, 1))))

    def _pool(self, coarsest: Tensor) -> Tensor:
        pooled = (
            _resized(unit(F.adaptive_avg_pool2d(coarsest, scale)), coarsest)
            for unit, scale in zip(self.pyramid, _POOL_SCALES, strict=True)
        )
        return self.bottleneck(torch.cat([coarsest, *pooled], 1))


@ARCHITECTURES.register("upernet")
class UPerNet(SegmentationNetwork):
    """UPerNet; `forward` gives logits at a quarter of the input's size, rounded up."""

    Options = UPerNetOptions
    facts = Facts(
        title="UPerNet",
        paper="Xiao et al.: Unified Perceptual Parsing, ECCV 2018, arXiv:1807.10221",
        year=2018,
        output_stride=4,
        published="42.1 (ResNet-50) to 52.3 (Swin-L) mIoU on ADE20K val, single scale "
        "(MMSegmentation)",
        sizes=tuple(
            PublishedSize(
                millions, 150, options, source or _SWIN_SOURCE, tolerance=0.001 if source else 0.02
            )
            for options, millions, source in _PUBLISHED.values()
        ),
    )
    variants = {name: options for name, (options, *_) in _PUBLISHED.items()}
    smallest = {"encoder": "swin-micro", "head_width": 16, "drop_path": 0.0}
    classifier = "head.classify"

    def __init__(self, classes: int, options: UPerNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: UPerNetOptions = self.options
        self.encoder: nn.Module
        if chosen.encoder in _RESNETS:
            self.encoder = resnet(_RESNETS[chosen.encoder], deep_stem=True)
        else:
            self.encoder = SwinTransformer(
                chosen.encoder, window=chosen.window, drop_path=chosen.drop_path
            )
        self.head = Head(
            feature_channels(self.encoder),
            chosen.head_width,
            classes=classes,
            dropout=chosen.dropout,
        )

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.encoder(image))

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand MMSegmentation's layout, Hugging Face transformers' and Swin's authors'."""
        source = source_of(state_dict)
        if source in {None, "segstudio"}:
            return dict(state_dict)
        return to_own_layout(str(source), state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        source = source_of(state_dict)
        if source is None:
            return None
        # By name only: query, key and value need not be joined to see their number.
        ours = {to_own_name(source, key): value for key, value in state_dict.items()}
        encoder = _encoder(ours)
        head = ours["head.classify.weight"]
        if encoder is None or head.ndim != 4 or not (head.shape[0] and head.shape[1]):
            return None
        name, window = encoder
        options = UPerNetOptions(name, window, head_width=int(head.shape[1]))
        classes = int(head.shape[0])
        return Recognition(source, options, classes, _published_preprocessing(source, classes))


def _encoder(ours: StateDict) -> tuple[str, int] | None:
    """Return the name of the encoder and its window, from names and shapes."""
    if "encoder.conv1.0.weight" in ours:
        depth = resnet_depth(set(ours))
        name = next((name for name, entry in _RESNETS.items() if entry == depth), None)
        return (name, UPerNetOptions().window) if name else None
    embed = ours["encoder.embed.proj.weight"]
    table = ours.get("encoder.stages.0.blocks.0.attn.bias_table")
    if embed.ndim != 4 or table is None or table.ndim != 2:
        return None
    window = (math.isqrt(table.shape[0]) + 1) // 2
    found = [match for match in map(_BLOCK.fullmatch, ours) if match]
    depths = tuple(sum(match[1] == str(stage) for match in found) for stage in range(4))
    wanted = int(embed.shape[0]), depths
    name = next((name for name, shape in SWIN_SIZES.items() if shape == wanted), None)
    return (name, window) if name and 2 <= window <= _MAX_WINDOW else None


_BLOCK = re.compile(r"encoder\.stages\.(\d)\.blocks\.\d+\.norm1\.weight")


def _published_preprocessing(source: str, classes: int) -> Preprocessing | None:
    """Return the test path of the published files of a layout.

    Hugging Face's UPerNet, unlike its SegFormer, brings the logits to the input's size first.
    """
    if source in ("mmsegmentation", "microsoft"):
        short = 1024 if classes == 19 else 512
        return Preprocessing(resize="keep-ratio", size=(2048, short))
    if source == "huggingface":
        return Preprocessing(resize="exact", size=(512, 512), antialias=True)
    return None
