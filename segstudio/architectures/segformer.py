"""SegFormer.

E. Xie, W. Wang, Z. Yu, A. Anandkumar, J. M. Alvarez, P. Luo: "SegFormer: Simple and Efficient
Design for Semantic Segmentation with Transformers", NeurIPS 2021, arXiv:2105.15203.

The encoder (Mix Transformer, MiT-B0 to B5) makes features at 1/4, 1/8, 1/16 and 1/32 from
overlapping patches, attends to a spatially reduced copy of the tokens, and needs no position
embedding because a depthwise convolution sits in each feed-forward part.  The head projects the
four maps to one width, upsamples, concatenates and classifies at 1/4.

There are two published heads with the same tensors' sense: the authors' (kept by Hugging Face)
projects linearly; MMSegmentation normalises and rectifies each projection.  The epsilon of the
layer norms is another in each of the three.
"""

from __future__ import annotations

import re
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
from segstudio.architectures._segformer_layouts import (
    FIRST_STAGE,
    HEADS,
    LANDMARKS,
    TRANSLATIONS,
)
from segstudio.core.options import option
from segstudio.core.preprocessing import Preprocessing

_VARIANTS: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    # Width of the first stage, blocks per stage.
    "b0": (32, (2, 2, 2, 2)),
    "b1": (64, (2, 2, 2, 2)),
    "b2": (64, (3, 4, 6, 3)),
    "b3": (64, (3, 4, 18, 3)),
    "b4": (64, (3, 8, 27, 3)),
    "b5": (64, (3, 6, 40, 3)),
}
_PUBLISHED_MILLIONS = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}
_WIDENING = (1, 2, 5, 8)
"""Width of a stage over the first one's; also its number of attention heads."""
_REDUCTIONS = (8, 4, 2, 1)
_EXPANSION = 4
_EPSILONS = {
    # Of the layers' norms and a stage's last one; of the norms behind a strided convolution.
    "hf": (1e-5, 1e-5),
    "authors": (1e-6, 1e-5),
    "mmseg": (1e-6, 1e-6),
}


@dataclass(frozen=True)
class SegFormerOptions:
    """Variant of SegFormer."""

    variant: str = option("b0", "Encoder, MiT-B0 to MiT-B5.", choices=tuple(_VARIANTS))
    head: str = option(
        "hf",
        "Head: hf has the authors' plain linear projections (LayerNorm epsilon 1e-5), authors the "
        "same with their own epsilons (1e-6 in the layers, 1e-5 behind convolutions), mmseg adds "
        "batch normalisation and ReLU to each (epsilon 1e-6).",
        choices=tuple(_EPSILONS),
    )
    head_width: int = option(
        0,
        "Channels of the head; 0 takes the published width: 256, and 768 for the hf head of B2 up.",
        minimum=0,
        maximum=4096,
    )
    dropout: float = option(0.1, "Dropout before the classifier.", minimum=0, maximum=0.9)
    drop_path: float = option(
        0.1,
        "Chance that a training image skips the last block; it grows linearly from 0 at the first.",
        minimum=0,
        maximum=0.9,
    )

    @property
    def published_width(self) -> int:
        """Channels of the head after 0 has been replaced."""
        large = self.head != "mmseg" and self.variant not in {"b0", "b1"}
        return self.head_width or (768 if large else 256)


class DropPath(nn.Module):
    """Drop a whole residual branch for some images of a training batch (stochastic depth)."""

    def __init__(self, chance: float) -> None:
        super().__init__()
        self.chance = chance

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.chance == 0:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1 - self.chance)
        return x * keep / (1 - self.chance)


def _tokens(features: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H * W, C)."""
    return features.flatten(2).transpose(1, 2)


def _grid(tokens: Tensor, height: int, width: int) -> Tensor:
    """(N, H * W, C) to (N, C, H, W), channels last in memory."""
    return tokens.transpose(1, 2).unflatten(2, (height, width))


class Attention(nn.Module):
    """Self-attention whose keys and values come from a grid reduced by a strided convolution."""

    def __init__(self, channels: int, heads: int, reduction: int, *, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.reduction = reduction
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        if reduction > 1:
            self.reduce = nn.Conv2d(channels, channels, reduction, stride=reduction)
            self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        source = tokens
        if self.reduction > 1:
            grid = _grid(tokens, height, width)
            # Images below 29 pixels have a grid smaller than the window of the reduction.
            right, bottom = (max(0, self.reduction - size) for size in (width, height))
            if right or bottom:
                grid = F.pad(grid, (0, right, 0, bottom))
            source = self.norm(_tokens(self.reduce(grid)))
        query = self._split(self.q(tokens))
        key, value = (self._split(part) for part in self.kv(source).chunk(2, dim=-1))
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        """(N, L, C) to (N, heads, L, C / heads)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class MixFeedForward(nn.Module):
    """Expand, look at the 3 x 3 neighbourhood, shrink."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels * _EXPANSION
        self.expand = nn.Linear(channels, inner)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.shrink = nn.Linear(inner, channels)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        grid = self.mix(_grid(self.expand(tokens), height, width))
        return self.shrink(F.gelu(_tokens(grid)))


class Block(nn.Module):
    """One transformer layer on the tokens of an (H, W) grid."""

    def __init__(
        self,
        channels: int,
        heads: int,
        reduction: int,
        *,
        epsilons: tuple[float, float],
        drop_path: float,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=epsilons[0])
        self.attn = Attention(channels, heads, reduction, eps=epsilons[1])
        self.norm2 = nn.LayerNorm(channels, eps=epsilons[0])
        self.ffn = MixFeedForward(channels)
        self.drop_path = DropPath(drop_path)

    def forward(self, tokens: Tensor, height: int, width: int) -> Tensor:
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), height, width))
        return tokens + self.drop_path(self.ffn(self.norm2(tokens), height, width))


class PatchEmbedding(nn.Module):
    """Overlapping patches: a strided convolution whose window is larger than its stride."""

    def __init__(self, channels: int, width: int, window: int, stride: int, eps: float) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, window, stride=stride, padding=window // 2)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, features: Tensor) -> tuple[Tensor, int, int]:
        features = self.proj(features)
        height, width = features.shape[-2:]
        return self.norm(_tokens(features)), height, width


class Stage(nn.Module):
    """Patches, transformer layers, a norm: (N, C, H, W) to (N, C', H / stride, W / stride)."""

    def __init__(self, embed: PatchEmbedding, blocks: list[Block], width: int, eps: float) -> None:
        super().__init__()
        self.embed = embed
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, features: Tensor) -> Tensor:
        tokens, height, width = self.embed(features)
        for block in self.blocks:
            tokens = block(tokens, height, width)
        return _grid(self.norm(tokens), height, width)


class Head(nn.Module):
    """Four maps to one width, to the finest size, together, to logits."""

    def __init__(
        self, widths: list[int], width: int, classes: int, *, norm: bool, dropout: float
    ) -> None:
        super().__init__()
        self.project = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, width, 1, bias=not norm),
                *((nn.BatchNorm2d(width), nn.ReLU()) if norm else ()),
            )
            for channels in widths
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(width * len(widths), width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.dropout = nn.Dropout2d(dropout)
        self.classify = nn.Conv2d(width, classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        size = features[0].shape[-2:]
        maps = [
            F.interpolate(project(entry), size=size, mode="bilinear", align_corners=False)
            for project, entry in zip(self.project, features, strict=True)
        ]
        return self.classify(self.dropout(self.fuse(torch.cat(maps, 1))))


@ARCHITECTURES.register("segformer")
class SegFormer(SegmentationNetwork):
    """SegFormer; `forward` gives logits at a quarter of the input's size, rounded up."""

    Options = SegFormerOptions
    facts = Facts(
        title="SegFormer",
        paper="Xie et al.: SegFormer, NeurIPS 2021, arXiv:2105.15203",
        year=2021,
        output_stride=4,
        published="37.4 (B0) to 51.0 (B5) mIoU on ADE20K val, single scale (the paper)",
        sizes=tuple(
            PublishedSize(millions, 150, {"variant": variant}, "the paper, table 1", 0.015)
            for variant, millions in _PUBLISHED_MILLIONS.items()
        ),
    )
    variants = {variant: {"variant": variant} for variant in _VARIANTS}
    classifier = "head.classify"

    def __init__(self, classes: int, options: SegFormerOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: SegFormerOptions = self.options
        first, depths = _VARIANTS[chosen.variant]
        widths = [first * factor for factor in _WIDENING]
        epsilons = _EPSILONS[chosen.head]
        chances = torch.linspace(0, chosen.drop_path, sum(depths), device="cpu").tolist()
        stages = []
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            channels = widths[index - 1] if index else 3
            window, stride = (3, 2) if index else (7, 4)
            blocks = [
                Block(
                    width,
                    _WIDENING[index],
                    _REDUCTIONS[index],
                    epsilons=epsilons,
                    drop_path=chances.pop(0),
                )
                for _ in range(depth)
            ]
            embed = PatchEmbedding(channels, width, window, stride, epsilons[1])
            stages.append(Stage(embed, blocks, width, epsilons[0]))
        self.stages = nn.ModuleList(stages)
        self.head = Head(
            widths,
            chosen.published_width,
            classes,
            norm=chosen.head == "mmseg",
            dropout=chosen.dropout,
        )
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        features = []
        x = image
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return self.head(features)

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layouts of MMSegmentation, Hugging Face transformers and the authors."""
        for first, translated in TRANSLATIONS.items():
            if first in state_dict:
                return translated(state_dict)
        return dict(state_dict)

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        source = next(
            (
                source
                for source, (first, _, project, _, head) in LANDMARKS.items()
                if first in state_dict and project in state_dict and head in state_dict
            ),
            None,
        )
        if source is None:
            return None
        first, block, _, fuse, head = LANDMARKS[source]
        variant = _variant(state_dict, first, re.compile(block), FIRST_STAGE.get(source, 0))
        width = state_dict[fuse].shape[0] if fuse in state_dict and state_dict[fuse].ndim else 0
        classes = state_dict[head].shape[0] if state_dict[head].ndim == 4 else 0
        if variant is None or not width or not classes:
            return None
        kind = HEADS.get(source, "hf")
        if source == "segstudio" and "head.project.0.1.weight" in state_dict:
            kind = "mmseg"
        options = SegFormerOptions(variant, kind)
        if options.published_width != width:
            options = SegFormerOptions(variant, kind, head_width=int(width))
        return Recognition(
            source, options, int(classes), _published_preprocessing(source, variant, int(classes))
        )


def _initialise(module: nn.Module) -> None:
    """Initialise as the authors do: small normal weights, convolutions by their fan-out."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=(2 * module.groups / fan_out) ** 0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _variant(state_dict: StateDict, first: str, block: re.Pattern[str], begin: int) -> str | None:
    """Return the variant whose width and depths these are; ``begin`` numbers the first stage."""
    if state_dict[first].ndim != 4:
        return None
    found = [match for match in map(block.fullmatch, state_dict) if match]
    depths = tuple(
        sum(match[1] == str(stage) for match in found) for stage in range(begin, begin + 4)
    )
    wanted = int(state_dict[first].shape[0]), depths
    return next((name for name, shape in _VARIANTS.items() if shape == wanted), None)


def _published_preprocessing(source: str, variant: str, classes: int) -> Preprocessing | None:
    """Return the test path of the published files of a layout.

    MMSegmentation's two B5 files for ADE20K hold the same names and shapes; the smaller size is
    assumed.  Hugging Face files bring a ``preprocessor_config.json`` that says more than this.
    The authors test as their ``local_configs`` say (https://github.com/NVlabs/SegFormer).
    """
    if source in ("mmsegmentation", "nvlabs") and classes == 19:
        # The images of Cityscapes are multiples of 32 as they are.
        return Preprocessing(
            resize="keep-ratio", size=(2048, 1024), window=(1024, 1024), stride=(768, 768)
        )
    if source == "mmsegmentation":
        return Preprocessing(resize="keep-ratio", size=(2048, 512))
    if source == "nvlabs":
        short = 640 if variant == "b5" else 512
        return Preprocessing(resize="keep-ratio-aligned", size=(2048, short))
    if source == "huggingface":
        edge = 640 if variant == "b5" and classes == 150 else 512
        return Preprocessing(
            resize="exact", size=(edge, edge), antialias=True, upsample_to_input=False
        )
    return None
