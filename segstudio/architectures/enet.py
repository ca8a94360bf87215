"""ENet.

A. Paszke, A. Chaurasia, S. Kim, E. Culurciello: "ENet: A Deep Neural Network Architecture for
Real-Time Semantic Segmentation", arXiv:1606.02147, 2016.

Early downsampling, bottlenecks with a cheap main branch, dilated and asymmetric convolutions in
the middle, and a small decoder that puts maxima back where the encoder found them.
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


@dataclass(frozen=True)
class ENetOptions:
    """Variant of ENet."""

    dropout: float = option(
        0.1, "Spatial dropout of stages 2 to 5; stage 1 has a tenth of it.", minimum=0, maximum=0.9
    )
    pool: int = option(
        2,
        "Window of the encoder's max pooling: 2 as in the paper, 3 (overlapping) in PyTorch-ENet.",
        minimum=2,
        maximum=3,
    )


def _unit(conv: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.PReLU())


class InitialBlock(nn.Module):
    """A strided convolution beside a max pooling: (N, 3, H, W) to (N, 16, H/2, W/2)."""

    def __init__(self, pool: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, stride=2, padding=1, bias=False)
        self.pool = nn.MaxPool2d(pool, stride=2, padding=pool - 2)
        self.norm = nn.BatchNorm2d(16)
        self.act = nn.PReLU(16)

    def forward(self, image: Tensor) -> Tensor:
        return self.act(self.norm(torch.cat([self.conv(image), self.pool(image)], 1)))


class Bottleneck(nn.Module):
    """Project, convolve, expand, add: regular, dilated or asymmetric (k x 1 then 1 x k)."""

    def __init__(
        self, channels: int, *, dilation: int = 1, asymmetric: bool = False, dropout: float = 0.1
    ) -> None:
        super().__init__()
        inner = channels // 4
        self.project = _unit(nn.Conv2d(channels, inner, 1, bias=False), inner)
        if asymmetric:
            self.conv = nn.Sequential(
                *_unit(nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False), inner),
                *_unit(nn.Conv2d(inner, inner, (1, 5), padding=(0, 2), bias=False), inner),
            )
        else:
            conv = nn.Conv2d(inner, inner, 3, padding=dilation, dilation=dilation, bias=False)
            self.conv = _unit(conv, inner)
        self.expand = _unit(nn.Conv2d(inner, channels, 1, bias=False), channels)
        self.drop = nn.Dropout2d(dropout)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x + self.drop(self.expand(self.conv(self.project(x)))))


class DownBottleneck(nn.Module):
    """Halve the size; the main branch is a max pooling whose indices are kept."""

    def __init__(self, channels: int, out_channels: int, *, pool: int, dropout: float) -> None:
        super().__init__()
        inner = channels // 4
        self.pool = nn.MaxPool2d(pool, stride=2, padding=pool - 2, return_indices=True)
        self.project = _unit(nn.Conv2d(channels, inner, 2, stride=2, bias=False), inner)
        self.conv = _unit(nn.Conv2d(inner, inner, 3, padding=1, bias=False), inner)
        self.expand = _unit(nn.Conv2d(inner, out_channels, 1, bias=False), out_channels)
        self.drop = nn.Dropout2d(dropout)
        self.act = nn.PReLU(out_channels)
        self.extra = out_channels - channels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        main, indices = self.pool(x)
        # The main branch has fewer channels than the output: the rest are zeros.
        main = nn.functional.pad(main, (0, 0, 0, 0, 0, self.extra))
        out = self.drop(self.expand(self.conv(self.project(x))))
        return self.act(main + out), indices


class UpBottleneck(nn.Module):
    """Double the size; the main branch puts values back where the pooling took them from."""

    def __init__(self, channels: int, out_channels: int, *, dropout: float) -> None:
        super().__init__()
        # The inner width is a quarter of the input's, as everywhere in the paper.
        inner = channels // 4
        self.main = nn.Sequential(
            nn.Conv2d(channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.unpool = nn.MaxUnpool2d(2)
        self.project = _unit(nn.Conv2d(channels, inner, 1, bias=False), inner)
        up = nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False)
        self.conv = _unit(up, inner)
        self.expand = _unit(nn.Conv2d(inner, out_channels, 1, bias=False), out_channels)
        self.drop = nn.Dropout2d(dropout)
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor, indices: Tensor) -> Tensor:
        main = self.unpool(self.main(x), indices)
        return self.act(main + self.drop(self.expand(self.conv(self.project(x)))))


@ARCHITECTURES.register("enet")
class ENet(SegmentationNetwork):
    """ENet with an output at full resolution.

    Odd sizes are padded to a multiple of 8 and the logits cropped back.
    """

    Options = ENetOptions
    facts = Facts(
        title="ENet",
        paper="Paszke et al.: ENet, arXiv:1606.02147",
        year=2016,
        output_stride=8,
        published="51.3 mIoU on CamVid test, 11 classes (the paper, table 6)",
        sizes=(PublishedSize(0.37, 19, {}, "the paper, table 3", tolerance=0.03),),
    )
    variants = {"published": {}, "pytorch-enet": {"pool": 3}}
    classifier = "head"
    needs_fp32 = True

    def __init__(self, classes: int, options: ENetOptions | None = None) -> None:
        super().__init__(classes, options)
        drop, pool = self.options.dropout, self.options.pool
        self.initial = InitialBlock(pool)
        self.down1 = DownBottleneck(16, 64, pool=pool, dropout=drop / 10)
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout=drop / 10) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, pool=pool, dropout=drop)
        self.stage2 = nn.Sequential(*self._middle(drop))
        self.stage3 = nn.Sequential(*self._middle(drop))
        self.up4 = UpBottleneck(128, 64, dropout=drop)
        self.stage4 = nn.Sequential(*(Bottleneck(64, dropout=drop) for _ in range(2)))
        self.up5 = UpBottleneck(64, 16, dropout=drop)
        self.stage5 = Bottleneck(16, dropout=drop)
        self.head = nn.ConvTranspose2d(
            16, classes, 3, stride=2, padding=1, output_padding=1, bias=False
        )

    @staticmethod
    def _middle(dropout: float) -> list[Bottleneck]:
        return [
            Bottleneck(128, dropout=dropout),
            Bottleneck(128, dilation=2, dropout=dropout),
            Bottleneck(128, asymmetric=True, dropout=dropout),
            Bottleneck(128, dilation=4, dropout=dropout),
            Bottleneck(128, dropout=dropout),
            Bottleneck(128, dilation=8, dropout=dropout),
            Bottleneck(128, asymmetric=True, dropout=dropout),
            Bottleneck(128, dilation=16, dropout=dropout),
        ]

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x, first = self.down1(self.initial(pad_to_multiple(image, 8)))
        x, second = self.down2(self.stage1(x))
        x = self.stage3(self.stage2(x))
        x = self.stage4(self.up4(x, second))
        x = self.stage5(self.up5(x, first))
        return self.head(x)[..., :height, :width]

    @classmethod
    def rename_keys(cls, state_dict: StateDict) -> dict[str, Tensor]:
        """Understand the layout of davidtvs/PyTorch-ENet (``initial_block.main_branch.weight``)."""
        if "initial_block.main_branch.weight" not in state_dict:
            return dict(state_dict)
        return {_from_pytorch_enet(key): value for key, value in state_dict.items()}

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        head = state_dict.get("head.weight")
        if head is not None and "up5.main.0.weight" in state_dict and head.ndim == 4:
            return Recognition("segstudio", ENetOptions(), int(head.shape[1]))
        head = state_dict.get("transposed_conv.weight")
        if head is not None and "initial_block.main_branch.weight" in state_dict and head.ndim == 4:
            # That code scales pixels to 0..1 and pools with overlapping windows.
            scaled = Preprocessing(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
            classes = int(head.shape[1])
            space = "camvid" if classes == 12 else None
            return Recognition("pytorch-enet", ENetOptions(pool=3), classes, scaled, space)
        return None


def _from_pytorch_enet(key: str) -> str:
    """Translate one name; stages are numbered by the block's place in its stage."""
    for old, new in (
        ("initial_block.main_branch", "initial.conv"),
        ("initial_block.batch_norm", "initial.norm"),
        ("initial_block.out_prelu", "initial.act"),
        ("transposed_conv", "head"),
    ):
        if key.startswith(old):
            return new + key[len(old) :]
    found = re.fullmatch(r"([a-z]+)(\d)_(\d)\.(.+)", key)
    if found is None:
        return key
    kind, stage, place, rest = found[1], int(found[2]), int(found[3]), found[4]
    if kind == "downsample":
        block = f"down{stage}"
    elif kind == "upsample":
        block = f"up{stage}"
    elif stage == 5:
        block = "stage5"
    else:
        # Stage 3 has no downsampling of its own, so its blocks are numbered from 0.
        block = f"stage{stage}.{place if stage == 3 else place - 1}"
    for old, new in (
        ("main_conv1", "main"),
        ("ext_conv1", "project"),
        ("ext_conv2", "conv"),
        ("ext_conv3", "expand"),
        ("out_prelu", "act"),
    ):
        if rest.startswith(old):
            rest = new + rest[len(old) :]
    return f"{block}.{rest}"
