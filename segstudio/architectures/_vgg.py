"""VGG16, the encoder of three pages, and what SegNet and DeconvNet do with its poolings.

K. Simonyan, A. Zisserman: "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, arXiv:1409.1556, configuration D: thirteen 3 x 3 convolutions in five stages, each
followed by a 2 x 2 max pooling.

The pages call the stages ``encoder.{stage}.{place}``; each unit holds a ``conv`` and, in the
networks with batch normalisation, a ``norm``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from segstudio.architectures._base import StateDict

__all__ = [
    "conv_unit",
    "decode_with_indices",
    "encode_with_indices",
    "initialise",
    "mirrored_channels",
    "stage_widths",
    "vgg16_encoder",
    "vgg16_from_torchvision",
    "vgg16_width",
]

_DEPTHS = (2, 2, 3, 3, 3)
_WIDENING = (1, 2, 4, 8, 8)
_FIRST, _LAST = "encoder.0.0", "encoder.4.2"
_FULLY_CONNECTED_WINDOW = 7


def stage_widths(width: int) -> list[int]:
    """Return the channels of the five stages, the first having ``width`` (64 as published)."""
    return [width * factor for factor in _WIDENING]


def conv_unit(conv: nn.Conv2d | nn.ConvTranspose2d, *, batch_norm: bool) -> nn.Sequential:
    """Return a convolution, its batch normalisation if wanted, and a ReLU."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if batch_norm:
        parts["norm"] = nn.BatchNorm2d(conv.out_channels)
    parts["act"] = nn.ReLU(inplace=True)
    return nn.Sequential(parts)


def initialise(module: nn.Module) -> None:
    """Initialise a convolution as He et al. do, its bias with zeros: for ``nn.Module.apply``."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def vgg16_encoder(width: int, *, batch_norm: bool) -> nn.ModuleList:
    """Build the five stages of VGG16 without their poolings.

    Parameters
    ----------
    width : int
        Channels of the first stage.
    batch_norm : bool
        Normalise after each convolution; the convolutions keep their biases all the same.
    """
    channels, stages = 3, []
    for depth, out_channels in zip(_DEPTHS, stage_widths(width), strict=True):
        units = []
        for _ in range(depth):
            conv = nn.Conv2d(channels, out_channels, 3, padding=1)
            units.append(conv_unit(conv, batch_norm=batch_norm))
            channels = out_channels
        stages.append(nn.Sequential(*units))
    return nn.ModuleList(stages)


def mirrored_channels(width: int) -> list[list[tuple[int, int]]]:
    """Return (in, out) channels of the decoder that mirrors `vgg16_encoder`, by stage, 0 finest.

    Each stage has as many convolutions as the encoder's; its last goes to the width of the next
    finer stage, and stage 0 keeps its own.
    """
    widths = stage_widths(width)
    stages = []
    for stage, depth in enumerate(_DEPTHS):
        inside, out = widths[stage], widths[max(stage - 1, 0)]
        stages.append([(inside, inside)] * (depth - 1) + [(inside, out)])
    return stages


def encode_with_indices(encoder: Iterable[nn.Module], x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Run stages with a 2 x 2 max pooling after each, and remember where each maximum stood.

    Parameters
    ----------
    encoder : iterable of nn.Module
        S stages, fine to coarse.
    x : Tensor of shape (N, C, H, W)
        H and W multiples of 2 to the power of S.

    Returns
    -------
    pooled : Tensor of shape (N, C', H / 2^S, W / 2^S)
        The last pooling's maxima.
    indices : list of Tensor, int64
        For each stage the flat positions of its maxima in the map that was pooled.
    """
    indices = []
    for stage in encoder:
        x, place = F.max_pool2d(stage(x), 2, return_indices=True)
        indices.append(place)
    return x, indices


def decode_with_indices(
    decoder: Sequence[nn.Module] | nn.ModuleList, x: Tensor, indices: Sequence[Tensor]
) -> Tensor:
    """Undo `encode_with_indices`, coarse to fine: values back to their places, then the stage.

    Parameters
    ----------
    decoder : sequence of nn.Module
        Stages, 0 finest.
    x : Tensor of shape (N, C, h, w)
        What is to be unpooled first, of the shape of the last indices.
    indices : sequence of Tensor, int64
        As `encode_with_indices` gave them.
    """
    for stage, place in zip(reversed(list(decoder)), reversed(indices), strict=True):
        x = stage(F.max_unpool2d(x, place, [2, 2]))
    return x


def vgg16_width(state_dict: StateDict, *, batch_norm: bool) -> int | None:
    """Return the width of the VGG16 encoder that a page's state dict holds, None if none."""
    first, last = (state_dict.get(f"{unit}.conv.weight") for unit in (_FIRST, _LAST))
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    width = int(first.shape[0])
    if (f"{_LAST}.norm.weight" in state_dict) is not batch_norm:
        return None
    if tuple(first.shape[1:]) != (3, 3, 3) or last.shape[0] != stage_widths(width)[-1]:
        return None
    return width


def vgg16_from_torchvision(state_dict: StateDict) -> dict[str, Tensor]:
    """Return an ImageNet VGG16's weights under the names of the pages with this encoder.

    ``features.N`` become ``encoder.{stage}.{place}``, with or without batch normalisation, and the
    first two fully connected layers the convolutions ``fc6`` (7 x 7) and ``fc7`` (1 x 1).  The
    classifier over ImageNet's classes is left out.  Load the result with ``strict=False``: what a
    page adds to VGG16 is not in it, and SegNet has no ``fc6`` and ``fc7``.

    Parameters
    ----------
    state_dict : mapping of str to Tensor
        torchvision's ``vgg16`` or ``vgg16_bn``.

    Raises
    ------
    ValueError
        When the file does not have the thirteen convolutions of VGG16.
    """
    layers = sorted({int(key.split(".")[1]) for key in state_dict if key.startswith("features.")})
    convs = [layer for layer in layers if state_dict[f"features.{layer}.weight"].ndim == 4]
    units = [
        f"encoder.{stage}.{place}" for stage, depth in enumerate(_DEPTHS) for place in range(depth)
    ]
    renamed: dict[str, Tensor] = {}
    for layer, unit in zip(convs, units, strict=True):
        for source, part in ((layer, "conv"), (layer + 1, "norm")):
            prefix = f"features.{source}."
            for key in (key for key in state_dict if key.startswith(prefix)):
                renamed[f"{unit}.{part}.{key[len(prefix) :]}"] = state_dict[key]
    channels = renamed["encoder.4.2.conv.weight"].shape[0]
    for layer, name, window in ((0, "fc6", _FULLY_CONNECTED_WINDOW), (3, "fc7", 1)):
        weight = state_dict.get(f"classifier.{layer}.weight")
        if weight is not None:
            renamed[f"{name}.conv.weight"] = weight.reshape(-1, channels, window, window)
            renamed[f"{name}.conv.bias"] = state_dict[f"classifier.{layer}.bias"]
            channels = weight.shape[0]
    return renamed
