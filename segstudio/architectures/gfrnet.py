"""G-FRNet.

M. A. Islam, M. Rochan, N. D. B. Bruce, Y. Wang: "Gated Feedback Refinement Network for Dense
Image Labeling", CVPR 2017.

An encoder in the manner of VGG16 ends in a coarse label map, which is refined level by level.
What a level adds to it is gated: its features count where those of the next deeper level, which
see more of the image, agree.  Every stage gives a label map and is trained by a loss of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import (
    ARCHITECTURES,
    Facts,
    Recognition,
    SegmentationNetwork,
    StateDict,
)
from segstudio.core.options import option

_STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
"""Convolutions and channels (in units of the first stage's) of VGG16's stages."""
_TOP = 16
"""Channels of the two convolutions on top, in the same units."""


@dataclass(frozen=True)
class GFRNetOptions:
    """Variant of G-FRNet."""

    width: int = option(64, "Channels of the first stage; 64 is VGG16.", minimum=1, maximum=256)
    dropout: float = option(
        0.5, "Dropout in the coarser half of the encoder.", minimum=0, maximum=0.9
    )


def _unit(channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out_channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def _upsampled(maps: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=True)


class GateUnit(nn.Module):
    """Let a level's features pass where the deeper level's agree: their product."""

    def __init__(self, channels: int, deep_channels: int) -> None:
        super().__init__()
        self.fine = nn.Sequential(*_unit(channels, channels))
        self.deep = nn.Sequential(*_unit(deep_channels, channels))

    def forward(self, features: Tensor, deeper: Tensor) -> Tensor:
        return self.fine(features) * _upsampled(self.deep(deeper), features)


class RefinementUnit(nn.Module):
    """Refine a label map by gated features: (N, C, h, w) to (N, C, H, W)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, classes, 3, padding=1)
        self.merge = nn.Conv2d(2 * classes, classes, 3, padding=1)

    def forward(self, gated: Tensor, labels: Tensor) -> Tensor:
        return self.merge(torch.cat([self.reduce(gated), _upsampled(labels, gated)], 1))


@ARCHITECTURES.register("g-frnet")
class GFRNet(SegmentationNetwork):
    """G-FRNet with logits at the size of the input.

    The two 3 x 3 convolutions on top of VGG16 and the places of the dropout are those of the
    network that the authors released.
    """

    Options = GFRNetOptions
    facts = Facts(
        title="G-FRNet",
        paper="Islam et al.: Gated Feedback Refinement Network for Dense Image Labeling, CVPR 2017",
        year=2017,
        output_stride=1,
        published="68.0 mIoU on CamVid test, 11 classes (the paper)",
    )
    variants = {"vgg16": {}}
    smallest = {"width": 8}

    def __init__(self, classes: int, options: GFRNetOptions | None = None) -> None:
        super().__init__(classes, options)
        chosen: GFRNetOptions = self.options
        widths = [chosen.width * factor for _, factor in _STAGES]
        stages, channels = [], 3
        for (convs, _), width in zip(_STAGES, widths, strict=True):
            layers = _unit(channels, width)
            for _ in range(convs - 1):
                layers += _unit(width, width)
            stages.append(nn.Sequential(*layers))
            channels = width
        self.stages = nn.ModuleList(stages)
        # Rounded up, so that a single pixel is left of an image that is small enough.
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.dropout = nn.Dropout(chosen.dropout)
        top = _TOP * chosen.width
        self.top = nn.Sequential(
            *_unit(channels, top), self.dropout, *_unit(top, top), self.dropout
        )
        self.coarse = nn.Conv2d(top, classes, 3, padding=1)
        # The deepest gate looks at the features behind the last pooling.
        deeper = [*widths[1:], widths[-1]]
        self.gates = nn.ModuleList(
            GateUnit(width, deep) for width, deep in zip(widths, deeper, strict=True)
        )
        self.units = nn.ModuleList(RefinementUnit(width, classes) for width in widths)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> Tensor:
        return self.side_logits(image)[-1]

    def side_logits(self, image: Tensor) -> list[Tensor]:
        """Return the logits of every stage, each of which the paper's training has a loss on.

        Parameters
        ----------
        image : Tensor of shape (N, 3, H, W), floating
            Preprocessed images.

        Returns
        -------
        list of six Tensors of shape (N, C, h, w)
            From a 32nd of the input's size, rounded up, to the input's own: what `forward` gives.
        """
        levels, x = [], image
        for index, stage in enumerate(self.stages):
            x = stage(x)
            levels.append(x)
            x = self.pool(x)
            if index >= 2:
                x = self.dropout(x)
        levels.append(x)
        logits = [self.coarse(self.top(x))]
        for index in reversed(range(len(self.stages))):
            gated = self.gates[index](levels[index], levels[index + 1])
            logits.append(self.units[index](gated, logits[-1]))
        return logits

    @classmethod
    def recognise(cls, state_dict: StateDict) -> Recognition | None:
        names = ("stages.0.0.weight", "gates.4.deep.0.weight", "units.4.merge.weight")
        if any(name not in state_dict or state_dict[name].ndim != 4 for name in names):
            return None
        first, _, merge = (state_dict[name] for name in names)
        options = GFRNetOptions(width=int(first.shape[0]))
        return Recognition("segstudio", options, int(merge.shape[0]))
