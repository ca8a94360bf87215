"""Encoder weights from a file of ImageNet weights: timm's, torchvision's, or a backbone's.

Several layouts are tried and the one that explains most of the encoder is taken; a file that
explains less than nine tenths of it is refused.  Weights expect the input that they were trained
with, so the mean and standard deviation of an encoder of timm are told here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from segstudio.architectures._base import SegmentationNetwork, StateDict
from segstudio.architectures._encoders import (
    mobilenet_v2_from_mmsegmentation,
    mobilenet_v3_from_torchvision,
    resnet_from_mmsegmentation,
)
from segstudio.architectures._vgg import vgg16_from_torchvision
from segstudio.architectures._vit_layouts import from_rstrudel
from segstudio.checkpoints.files import find_checkpoint, read_content
from segstudio.core.errors import NotACheckpointError, UsageError
from segstudio.core.preprocessing import Preprocessing

__all__ = ["encoder_preprocessing", "read_encoder_weights"]

_SHARE = 0.9
"""Of the encoder's tensors that a file has to hold."""
_PREFIXES = ("", "backbone.", "encoder.")
_HEADS = re.compile(r"(head|decode_head|decoder|auxiliary_head|classify|classifier)\.")
"""Beginnings of names that are no encoder's, in pages whose encoder has no prefix."""


def read_encoder_weights(network: SegmentationNetwork, path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file under the names of a network's encoder.

    Parameters
    ----------
    network : SegmentationNetwork
        Tells names and shapes; its weights are not touched.
    path : Path
        Opened without running anything it holds.

    Returns
    -------
    dict of str to Tensor
        Only what the network has, in its shapes; position embeddings of a Vision Transformer are
        resized to its grid.

    Raises
    ------
    NotACheckpointError
        When the file cannot be read or is of another encoder.
    UsageError
        When the network has no part that is called encoder.
    """
    wanted = {
        key: value
        for key, value in network.state_dict().items()
        if not _HEADS.match(key) and not key.endswith("num_batches_tracked")
    }
    inner = {key: value for key, value in wanted.items() if key.startswith("encoder.")}
    wanted = inner or wanted
    if not wanted:
        raise UsageError(f"{network.facts.title} has no encoder that could start from {path}.")
    tensors = read_content(find_checkpoint(path)).tensors
    best: dict[str, Tensor] = {}
    for candidate in _candidates(network, tensors, wanted):
        found = {
            key: fitted
            for key, value in candidate.items()
            if key in wanted and (fitted := _fitted(key, value, wanted[key])) is not None
        }
        best = max(best, found, key=len)
    if len(best) < _SHARE * len(wanted):
        raise NotACheckpointError(
            f"{path} explains {len(best)} of the {len(wanted)} tensors of the encoder of "
            f"{network.facts.title}; take a file of the same encoder and size."
        )
    return best


def encoder_preprocessing(network: SegmentationNetwork) -> Preprocessing:
    """Return the normalisation that ImageNet weights of a network's encoder expect.

    Parameters
    ----------
    network : SegmentationNetwork
        Where timm built its encoder, timm says mean and standard deviation; elsewhere they are
        those of ImageNet, which torchvision and MMSegmentation use.
    """
    configuration: Any = getattr(getattr(network, "encoder", None), "pretrained_cfg", None) or {}
    mean, std = configuration.get("mean"), configuration.get("std")
    if not mean or not std or len(mean) != 3:
        return Preprocessing()
    red, green, blue = (255.0 * float(value) for value in mean)
    of_red, of_green, of_blue = (255.0 * float(value) for value in std)
    return Preprocessing(mean=(red, green, blue), std=(of_red, of_green, of_blue))


def _candidates(
    network: SegmentationNetwork, tensors: StateDict, wanted: Collection[str]
) -> Iterator[Mapping[str, Tensor]]:
    """Yield the tensors under names that the encoder may know."""
    yield tensors
    yield network.rename_keys(tensors)
    yield network.rename_keys({f"backbone.{key}": value for key, value in tensors.items()})
    for prefix in _PREFIXES:
        bare = {
            key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)
        }
        for rename in (
            str,
            resnet_from_mmsegmentation,
            mobilenet_v2_from_mmsegmentation,
            _from_torchvision_mobilenet,
        ):
            yield _renamed(bare, rename)
        if "_conv_stem.weight" in bare:
            yield _from_efficientnet_pytorch(bare, wanted)
        # timm's Vision Transformer has the names of the Segmenter authors' encoder.
        vit = from_rstrudel({f"encoder.{key}": value for key, value in bare.items()})
        yield vit
        yield {key.replace(".bilinear", ".bicubic"): value for key, value in vit.items()}
    if any(key.startswith("features.") for key in tensors):
        try:
            yield vgg16_from_torchvision(tensors)
        except (ValueError, KeyError):  # features of something else
            return


def _renamed(tensors: StateDict, rename: Callable[[str], str]) -> dict[str, Tensor]:
    return {f"encoder.{rename(key)}": value for key, value in tensors.items()}


def _from_torchvision_mobilenet(key: str) -> str:
    return mobilenet_v3_from_torchvision(key.removeprefix("features."))


_TIMM_BLOCK = re.compile(r"encoder\.blocks\.(\d+)\.(\d+)\.")
_COUNTED_BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)")
_EFFICIENTNET_ENDS = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
"""The parts of an inverted residual block, there and in timm."""
_SEPARABLE = _EXPANDING | {"_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
"""Those of a block that does not expand its channels: the first ones."""


def _from_efficientnet_pytorch(tensors: StateDict, wanted: Collection[str]) -> dict[str, Tensor]:
    """Translate EfficientNet-PyTorch's names, which those of the EfficientNet-Lite files are.

    Its blocks are counted through; timm's are counted stage by stage.  How many a stage has is
    read off the network's own names.
    """
    places = sorted(
        {(int(match[1]), int(match[2])) for key in wanted if (match := _TIMM_BLOCK.match(key))}
    )
    blocks = {int(match[1]) for key in tensors if (match := _COUNTED_BLOCK.match(key))}
    if blocks != set(range(len(places))):  # a deeper or a shallower one: its blocks stand elsewhere
        return {}
    found = {}
    for key, value in tensors.items():
        match = _COUNTED_BLOCK.fullmatch(key)
        if match is None:
            part, _, leaf = key.partition(".")
            name = _EFFICIENTNET_ENDS.get(part)
            place = ""
        else:
            part, _, leaf = match[2].partition(".")
            expands = f"_blocks.{match[1]}._expand_conv.weight" in tensors
            name = (_EXPANDING if expands else _SEPARABLE).get(part)
            stage, index = places[int(match[1])]
            place = f"blocks.{stage}.{index}."
        if name is not None:
            found[f"encoder.{place}{name}.{leaf}"] = value
    return found


def _fitted(key: str, value: Tensor, wanted: Tensor) -> Tensor | None:
    """Return a tensor in the wanted shape, None when it is of something else."""
    if value.shape == wanted.shape:
        return value
    if ".positions." not in key or value.ndim != 3 or value.shape[2] != wanted.shape[2]:
        return None
    # Class and distillation tokens come first; the rest is a square grid.
    sides = [
        (extra, round((entry.shape[1] - extra) ** 0.5))
        for entry in (value, wanted)
        for extra in (0, 1, 2)
        if round((entry.shape[1] - extra) ** 0.5) ** 2 == entry.shape[1] - extra
    ]
    for extra, side in sides:
        goal = round((wanted.shape[1] - extra) ** 0.5)
        if side**2 + extra != value.shape[1] or goal**2 + extra != wanted.shape[1]:
            continue
        grid = value[:, extra:].transpose(1, 2).unflatten(2, (side, side))
        grid = F.interpolate(grid.float(), size=(goal, goal), mode="bicubic", align_corners=False)
        return torch.cat([value[:, :extra].float(), grid.flatten(2).transpose(1, 2)], 1)
    return None
